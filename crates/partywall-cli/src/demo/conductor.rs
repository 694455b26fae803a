//! The process that the user started: it brings the others up, kills a writer when it is least
//! welcome, and in the end compares the accounts.

use super::DemoArgs;
use super::account::{Account, Stream};
use super::cast::Cast;
use super::children::{Heard, Player, Who};
use super::event::{Event, now_ns};
use super::pledges::Pledges;
use super::progress::Progress;
use super::report::{Outcome, Recovery};
use super::scratch::{Scratch, random};
use super::source::Source;
use partywall::{Namespace, inspect, manage};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// For anything that takes a moment on an idle machine. Generous: the machine may be a busy one.
const PATIENCE: Duration = Duration::from_secs(60);

/// How far a kill may lie after its time: several records, so that it falls anywhere in one.
const JITTER_NS: u64 = 20_000_000;

pub(super) fn run(
    args: &DemoArgs,
    cast: &'static Cast,
    source: &Source,
    dir: Option<&Path>,
) -> Result<ExitCode, String> {
    let signal = Arc::new(AtomicUsize::new(0));
    for number in crate::os::ENDING {
        signal_hook::flag::register_usize(number, Arc::clone(&signal), number as usize)
            .map_err(|error| format!("cannot watch for signals: {error}"))?;
    }
    let stage = Stage::open(cast, dir)?;
    let mut show = Show::new(args, cast, &stage, &signal);
    let played = show.play(source);
    drop(show);
    drop(stage);
    match played {
        Ok(outcome) => Ok(outcome.tell(args.json)),
        Err(Halt::Problem(problem)) => Err(problem),
        Err(Halt::Signal(number)) => Ok(ExitCode::from(128 + number)),
    }
}

/// The channel's place. Nothing of it is left when dropped.
struct Stage {
    namespace: Namespace,
    channel: String,
    scratch: Option<Scratch>,
}

impl Stage {
    fn open(cast: &Cast, dir: Option<&Path>) -> Result<Stage, String> {
        let scratch = if dir.is_none() {
            Some(Scratch::create("demo")?)
        } else {
            None
        };
        let path = scratch
            .as_ref()
            .map(Scratch::path)
            .or(dir)
            .unwrap_or(Path::new("."));
        let namespace = Namespace::open(path).map_err(|error| error.to_string())?;
        // In a directory of the user's there may be a channel of this name already.
        let channel = match scratch {
            Some(_) => cast.channel.to_owned(),
            None => format!("demo-{}-{}", cast.channel, std::process::id()),
        };
        Ok(Stage {
            namespace,
            channel,
            scratch,
        })
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if self.scratch.is_none() {
            let _ = manage::remove(&self.namespace, &self.channel, true);
        }
    }
}

enum Halt {
    Problem(String),
    Signal(u8),
}

impl From<String> for Halt {
    fn from(problem: String) -> Halt {
        Halt::Problem(problem)
    }
}

struct Show<'a> {
    args: &'a DemoArgs,
    cast: &'static Cast,
    stage: &'a Stage,
    signal: &'a AtomicUsize,
    sender: Sender<Heard>,
    heard: Receiver<Heard>,
    /// The running process of each writer.
    runs: Vec<u32>,
    attached: usize,
    /// When each watcher got the first record of each writer's running process.
    firsts: Vec<Vec<Option<u64>>>,
    sent: Vec<Option<u64>>,
    pledges: Pledges,
    /// Killed processes that have been heard to the end.
    buried: usize,
    watched: Vec<Option<Account>>,
    recoveries: Vec<Recovery>,
    progress: Progress,
}

impl<'a> Show<'a> {
    fn new(
        args: &'a DemoArgs,
        cast: &'static Cast,
        stage: &'a Stage,
        signal: &'a AtomicUsize,
    ) -> Show<'a> {
        let (sender, heard) = channel();
        let (watchers, writers) = (cast.watchers.len(), cast.writers.len());
        Show {
            args,
            cast,
            stage,
            signal,
            sender,
            heard,
            runs: vec![1; writers],
            attached: 0,
            firsts: vec![vec![None; writers]; watchers],
            sent: vec![None; writers],
            pledges: Pledges::default(),
            buried: 0,
            watched: vec![None; watchers],
            recoveries: Vec::new(),
            progress: Progress::new(cast, args.json),
        }
    }

    fn play(&mut self, source: &Source) -> Result<Outcome, Halt> {
        let (args, cast) = (self.args, self.cast);
        self.progress
            .opening(source, self.stage.namespace.path(), args);
        let mut watchers = Vec::new();
        for index in 0..cast.watchers.len() {
            watchers.push(self.start(Who::Watcher(index))?);
        }
        let mut writers = Vec::new();
        for index in 0..cast.writers.len() {
            writers.push(self.start(Who::Writer(index, 1))?);
        }
        // Who attaches late would rightly not get the first records; the demo wants to count them all.
        self.until("the channel", |show| show.attached == cast.watchers.len())?;
        writers.iter_mut().for_each(Player::begin);
        self.until("the first records", Show::firsts_are_in)?;
        let began = Instant::now();
        for kill in 1..=args.kills {
            let at = args.seconds * f64::from(kill) / f64::from(args.kills + 1);
            let at = Duration::from_secs_f64(at) + Duration::from_nanos(random() % JITTER_NS);
            self.until_time(began + at)?;
            self.kill(&mut writers[cast.victim])?;
        }
        self.until_time(began + Duration::from_secs_f64(args.seconds))?;
        writers.iter_mut().for_each(Player::finish);
        self.until("the last records to be read", |show| {
            let all_said =
                show.sent.iter().all(Option::is_some) && show.watched.iter().all(Option::is_some);
            all_said && show.buried == show.recoveries.len()
        })?;
        for player in watchers.iter_mut().chain(&mut writers) {
            match player.wait() {
                Ok(true) => {}
                Ok(false) => return Err(Halt::Problem("a process of the demo ended badly".into())),
                Err(error) => return Err(Halt::Problem(format!("cannot wait: {error}"))),
            }
        }
        self.progress.clear();
        self.outcome(source)
    }

    fn start(&self, who: Who) -> Result<Player, String> {
        Player::start(
            who,
            self.cast,
            self.args,
            self.stage.namespace.path(),
            &self.stage.channel,
            self.sender.clone(),
        )
    }

    /// Kills the victim, starts its successor, and sees to it that the watchers go on.
    fn kill(&mut self, player: &mut Player) -> Result<(), Halt> {
        let victim = self.cast.victim;
        let name = self.cast.writers[victim];
        let killed_ns = now_ns();
        player
            .kill()
            .map_err(|error| format!("cannot kill the {name}: {error}"))?;
        self.runs[victim] += 1;
        for firsts in &mut self.firsts {
            firsts[victim] = None;
        }
        *player = self.start(Who::Writer(victim, self.runs[victim]))?;
        player.begin();
        let awaited = format!("the restarted {name}'s first {}", self.cast.one);
        self.until(&awaited, Show::firsts_are_in)?;
        let since = |firsts: &Vec<Option<u64>>| {
            let first = firsts[victim].unwrap_or(killed_ns);
            first.saturating_sub(killed_ns)
        };
        self.recoveries.push(Recovery {
            ns: self.firsts.iter().map(since).collect(),
        });
        self.progress.kills = self.recoveries.len();
        Ok(())
    }

    fn firsts_are_in(&self) -> bool {
        self.firsts.iter().flatten().all(Option::is_some)
    }

    fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) -> Result<(), Halt> {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            if Instant::now() >= deadline {
                let waited = PATIENCE.as_secs();
                return Err(Halt::Problem(format!(
                    "waited {waited} s for {what}, in vain"
                )));
            }
            self.listen(deadline)?;
        }
        Ok(())
    }

    fn until_time(&mut self, time: Instant) -> Result<(), Halt> {
        while Instant::now() < time {
            self.listen(time)?;
        }
        Ok(())
    }

    /// Takes one piece of news, or none until the deadline; in slices, for the sake of signals.
    fn listen(&mut self, deadline: Instant) -> Result<(), Halt> {
        let signal = self.signal.load(Ordering::Relaxed);
        if signal != 0 {
            self.progress.clear();
            return Err(Halt::Signal(signal as u8));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let (who, event) = match self.heard.recv_timeout(left.min(Duration::from_millis(50))) {
            Ok(heard) => heard,
            Err(RecvTimeoutError::Timeout) => return Ok(()),
            // Cannot be: this struct holds a sender.
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Halt::Problem("nobody is left".into()));
            }
        };
        match (who, event) {
            // What a killed writer said to be committed holds; nothing else of it is of interest any more.
            (Who::Writer(index, run), Some(Event::Committed { records })) => {
                self.pledges.committed(index, run, records);
            }
            (Who::Writer(index, run), event) if run != self.runs[index] => {
                self.buried += usize::from(event.is_none());
            }
            (_, None) => return self.ended(who),
            (Who::Watcher(index), Some(event)) => self.watcher_says(index, event),
            (Who::Writer(index, run), Some(Event::Sent { records })) => {
                self.sent[index] = Some(records);
                self.left(index, run, records);
            }
            (Who::Writer(index, run), Some(Event::Opened { adopted, found })) => {
                if run > 1 && self.cast.promise.is_one_stream() {
                    if !adopted {
                        let name = who.name(self.cast);
                        let problem = format!("the {name} did not find what was left");
                        return Err(Halt::Problem(problem));
                    }
                    self.left(index, run - 1, found);
                }
            }
            (Who::Writer(..), _) => {}
        }
        Ok(())
    }

    /// So many records of a writer were there when its process `run` was no more.
    fn left(&mut self, writer: usize, run: u32, records: u64) {
        self.pledges.found(writer, run + 1, records);
    }

    /// What the watchers should have got, as far as the writers said.
    fn streams(&self) -> Vec<Stream> {
        let sent = self.sent.iter().copied().flatten();
        if self.cast.promise.is_one_stream() {
            return vec![Stream::of_all(sent.sum())];
        }
        let mut streams = Vec::new();
        for (writer, sent) in sent.enumerate() {
            let last = self.runs[writer];
            let of = |run, records| Stream::of_process(writer as u32, run, records);
            streams.extend((1..last).map(|run| of(run, self.pledges.of(writer, run))));
            streams.push(of(last, sent));
        }
        streams
    }

    fn watcher_says(&mut self, index: usize, event: Event) {
        match event {
            Event::Attached => self.attached += 1,
            Event::FirstOf { writer, run, at_ns } if self.runs.get(writer) == Some(&run) => {
                self.firsts[index][writer] = Some(at_ns);
            }
            Event::Progress {
                received,
                p50_ns,
                p99_ns,
            } => self.progress.heard(index, received, p50_ns, p99_ns),
            Event::Watched(account) => self.watched[index] = Some(*account),
            _ => {}
        }
    }

    /// A process has ended: as it should, once it has said all.
    fn ended(&self, who: Who) -> Result<(), Halt> {
        let said_all = match who {
            Who::Watcher(index) => self.watched[index].is_some(),
            Who::Writer(index, _) => self.sent[index].is_some(),
        };
        if said_all {
            return Ok(());
        }
        self.progress.clear();
        Err(Halt::Problem(format!(
            "the {} ended before its time",
            who.name(self.cast)
        )))
    }

    fn outcome(&mut self, source: &Source) -> Result<Outcome, Halt> {
        let Stage {
            namespace, channel, ..
        } = self.stage;
        let channel = inspect::inspect(namespace, channel).map_err(|error| error.to_string())?;
        let sent = self.streams();
        let watched: Vec<Account> = self.watched.drain(..).flatten().collect();
        let counted = if self.cast.promise.is_one_stream() {
            &sent
        } else {
            // What a killed process committed after its last word only its watcher knows.
            &watched[0].streams
        };
        let records = counted.iter().map(|stream| stream.next).sum();
        if channel.records != records {
            return Err(Halt::Problem(format!(
                "the demo counted {records} {}, the channel {}",
                self.cast.many, channel.records
            )));
        }
        Ok(Outcome {
            cast: self.cast,
            records,
            sent,
            frame_size: source.frame_size(),
            recoveries: std::mem::take(&mut self.recoveries),
            watched,
            forgotten: self.pledges.forgotten(),
        })
    }
}
