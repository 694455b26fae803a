//! The process that the user started: it brings the others up, kills the producer when it is least
//! welcome, and in the end compares the accounts.

use super::children::{Heard, Player, Who};
use super::event::{Event, Watched, now_ns};
use super::report::{Outcome, Progress, Recovery};
use super::scratch::{Scratch, random};
use super::{DemoArgs, Source, WATCHERS};
use partywall::{Namespace, inspect, manage};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// For anything that takes a moment on an idle machine. Generous: the machine may be a busy one.
const PATIENCE: Duration = Duration::from_secs(60);

/// How far a kill may lie after its time: several frames, so that it falls anywhere in one.
const JITTER_NS: u64 = 20_000_000;

pub(super) fn run(
    args: &DemoArgs,
    source: &Source,
    dir: Option<&Path>,
) -> Result<ExitCode, String> {
    let signal = Arc::new(AtomicUsize::new(0));
    for number in [
        signal_hook::consts::SIGINT,
        signal_hook::consts::SIGTERM,
        signal_hook::consts::SIGHUP,
    ] {
        signal_hook::flag::register_usize(number, Arc::clone(&signal), number as usize)
            .map_err(|error| format!("cannot watch for signals: {error}"))?;
    }
    let stage = Stage::open(dir)?;
    let mut show = Show::new(args, &stage, &signal);
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
    fn open(dir: Option<&Path>) -> Result<Stage, String> {
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
        // In a directory of the user's there may be a camera already.
        let channel = match scratch {
            Some(_) => "camera".to_owned(),
            None => format!("demo-camera-{}", std::process::id()),
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
    stage: &'a Stage,
    signal: &'a AtomicUsize,
    sender: Sender<Heard>,
    heard: Receiver<Heard>,
    run: u32,
    attached: usize,
    /// When each consumer got the first frame of the running camera.
    firsts: [Option<u64>; WATCHERS.len()],
    sent: Option<u64>,
    watched: [Option<Watched>; WATCHERS.len()],
    recoveries: Vec<Recovery>,
    progress: Progress,
}

impl<'a> Show<'a> {
    fn new(args: &'a DemoArgs, stage: &'a Stage, signal: &'a AtomicUsize) -> Show<'a> {
        let (sender, heard) = channel();
        Show {
            args,
            stage,
            signal,
            sender,
            heard,
            run: 1,
            attached: 0,
            firsts: [None; WATCHERS.len()],
            sent: None,
            watched: Default::default(),
            recoveries: Vec::new(),
            progress: Progress::new(args.json),
        }
    }

    fn play(&mut self, source: &Source) -> Result<Outcome, Halt> {
        let args = self.args;
        self.progress
            .opening(source, self.stage.namespace.path(), args);
        let mut watchers = Vec::new();
        for index in 0..WATCHERS.len() {
            watchers.push(self.start(Who::Watcher(index))?);
        }
        let mut camera = self.start(Who::Camera(1))?;
        self.until("the first frame", PATIENCE, |show| show.firsts_are_in())?;
        let began = Instant::now();
        for kill in 1..=args.kills {
            let at = args.seconds * f64::from(kill) / f64::from(args.kills + 1);
            let at = Duration::from_secs_f64(at) + Duration::from_nanos(random() % JITTER_NS);
            self.until_time(began + at)?;
            camera = self.kill(camera)?;
        }
        self.until_time(began + Duration::from_secs_f64(args.seconds))?;
        camera.finish();
        self.until("the last frames to be read", PATIENCE, |show| {
            show.sent.is_some() && show.watched.iter().all(Option::is_some)
        })?;
        for player in watchers.iter_mut().chain([&mut camera]) {
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
        let namespace = self.stage.namespace.path();
        Player::start(
            who,
            self.args,
            namespace,
            &self.stage.channel,
            self.sender.clone(),
        )
    }

    /// Kills the camera, starts the next, and sees to it that the consumers go on.
    fn kill(&mut self, mut camera: Player) -> Result<Player, Halt> {
        let killed_ns = now_ns();
        camera
            .kill()
            .map_err(|error| format!("cannot kill the producer: {error}"))?;
        self.run += 1;
        self.firsts = [None; WATCHERS.len()];
        let camera = self.start(Who::Camera(self.run))?;
        self.until("the restarted producer's first frame", PATIENCE, |show| {
            show.firsts_are_in()
        })?;
        self.recoveries.push(Recovery {
            ns: self
                .firsts
                .map(|first| first.unwrap_or(killed_ns).saturating_sub(killed_ns)),
        });
        self.progress.recoveries = self.recoveries.len();
        Ok(camera)
    }

    fn firsts_are_in(&self) -> bool {
        self.firsts.iter().all(Option::is_some)
    }

    fn until(
        &mut self,
        what: &str,
        patience: Duration,
        done: impl Fn(&Self) -> bool,
    ) -> Result<(), Halt> {
        let deadline = Instant::now() + patience;
        while !done(self) {
            if Instant::now() >= deadline {
                let waited = patience.as_secs();
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
            // What the killed camera had still to say is of no interest any more.
            (Who::Camera(run), _) if run != self.run => {}
            (Who::Watcher(_), Some(Event::Attached)) => self.attached += 1,
            (Who::Watcher(index), Some(Event::FirstOf { run, at_ns })) if run == self.run => {
                self.firsts[index] = Some(at_ns);
            }
            (
                Who::Watcher(index),
                Some(Event::Progress {
                    received,
                    p50_ns,
                    p99_ns,
                }),
            ) => {
                self.progress.heard(index, received, p50_ns, p99_ns);
            }
            (Who::Watcher(index), Some(Event::Watched(watched))) => {
                self.watched[index] = Some(*watched)
            }
            (Who::Camera(_), Some(Event::Sent { records })) => self.sent = Some(records),
            (Who::Camera(run), Some(Event::Opened { adopted, .. })) if run > 1 && !adopted => {
                return Err(Halt::Problem(
                    "the restarted producer did not find the channel".into(),
                ));
            }
            (Who::Watcher(index), None) if self.watched[index].is_some() => {}
            (Who::Camera(_), None) if self.sent.is_some() => {}
            (_, None) => {
                self.progress.clear();
                return Err(Halt::Problem(format!("the {who} ended before its time")));
            }
            _ => {}
        }
        Ok(())
    }

    fn outcome(&mut self, source: &Source) -> Result<Outcome, Halt> {
        let Stage {
            namespace, channel, ..
        } = self.stage;
        let channel = inspect::inspect(namespace, channel).map_err(|error| error.to_string())?;
        let frames = channel.records;
        if self.sent != Some(frames) {
            return Err(Halt::Problem(format!(
                "the producer counted {:?} committed frames, the channel {frames}",
                self.sent
            )));
        }
        Ok(Outcome {
            frames,
            frame_size: source.frame_size(),
            recoveries: std::mem::take(&mut self.recoveries),
            watched: std::mem::take(&mut self.watched).map(Option::unwrap_or_default),
        })
    }
}
