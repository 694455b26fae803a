//! The process that the user started: it plays one round after the other.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use partywall::{ManageError, Namespace, OpenError, inspect, manage};

use super::TortureArguments;
use super::journal::What;
use super::oracle::{self, Evidence, Finding, Kind};
use super::plan::{Deed, Part, Plan};
use super::players::{Place, Player};
use super::report::{Builds, Report, keep};
use super::worker::{ABANDON, AGAIN, GROW, RESCHEMA};
use crate::demo::cast::Pattern;
use crate::demo::event::now_ns;
use crate::demo::scratch::{Scratch, random};

/// For anything that takes a moment on an idle machine. Generous: the machine may be a busy one.
const PATIENCE: Duration = Duration::from_secs(60);

/// From the start of the first process to the first that works: where it takes longer, rounds do.
const USUAL_START: Duration = Duration::from_millis(25);
const SLOWEST_START: Duration = Duration::from_secs(2);
const SLOWEST_PACE: u32 = 4;

pub(super) fn run(arguments: &TortureArguments, dir: Option<&Path>) -> Result<ExitCode, String> {
    let signal = Arc::new(AtomicUsize::new(0));
    for number in crate::os::ENDING {
        signal_hook::flag::register_usize(number, Arc::clone(&signal), number as usize)
            .map_err(|error| format!("cannot watch for signals: {error}"))?;
    }
    let seed = arguments.seed.unwrap_or_else(random);
    let patterns = match &arguments.pattern[..] {
        [] => Pattern::value_variants(),
        chosen => chosen,
    };
    let stage = Stage::open(dir)?;
    let mut report = Report::new(seed, arguments.json);
    report.opening();
    let deadline = Instant::now() + Duration::from_secs(arguments.seconds);
    let mut number = arguments.round.unwrap_or(0);
    while Instant::now() < deadline && signal.load(Ordering::Relaxed) == 0 {
        let plan = Plan::new(seed, number, patterns);
        report.progress(&plan);
        let round = Round::play(&plan, &stage, arguments, &signal)?;
        let Some(round) = round else {
            break;
        };
        let kept = if round.findings.is_empty() {
            None
        } else {
            Some(keep(&plan, &round, &stage.notes)?)
        };
        report.add(&plan, &round, kept.as_deref());
        if arguments.round.is_none() {
            number += 1;
        }
    }
    drop(stage);
    let clean = report.tell();
    Ok(match signal.load(Ordering::Relaxed) {
        0 if clean => ExitCode::SUCCESS,
        0 => ExitCode::FAILURE,
        number => ExitCode::from(128 + number as u8),
    })
}

/// Where all rounds are played. Nothing of it is left when dropped.
struct Stage {
    namespace: Namespace,
    channel: String,
    notes: PathBuf,
    /// Whether nobody else has channels there.
    ours: bool,
    _scratch: Scratch,
}

impl Stage {
    fn open(dir: Option<&Path>) -> Result<Stage, String> {
        let scratch = Scratch::create("torture")?;
        let (path, channel) = match dir {
            Some(dir) => (dir.to_owned(), format!("torture-{}", std::process::id())),
            None => (scratch.path().join("channels"), "torture".to_owned()),
        };
        let namespace = Namespace::open(&path).map_err(|error| error.to_string())?;
        Ok(Stage {
            namespace,
            channel,
            notes: scratch.path().join("notes"),
            ours: dir.is_none(),
            _scratch: scratch,
        })
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = manage::remove(&self.namespace, &self.channel, true);
    }
}

/// What happened in a round.
#[derive(Debug, Default)]
pub(super) struct Round {
    pub(super) kills: u64,
    pub(super) stops: u64,
    pub(super) growths: u64,
    pub(super) reschemas: u64,
    /// Times that somebody opened the channel, or came to it, again.
    pub(super) rejoins: u64,
    pub(super) operations: u64,
    pub(super) records: u64,
    /// Who did it, if there is another program.
    pub(super) builds: Builds,
    pub(super) findings: Vec<Finding>,
}

/// Something that is due while a round is played.
enum Due {
    Deed(Deed),
    Start(usize),
    GoOn(usize),
}

struct Playing<'a> {
    plan: &'a Plan,
    place: Place<'a>,
    stage: &'a Stage,
    arguments: &'a TortureArguments,
    signal: &'a AtomicUsize,
    began: Instant,
    /// The plan's time goes so many times slower than the clock.
    pace: u32,
    due: Vec<(Duration, Due)>,
    /// Who has each slot now.
    playing: Vec<Option<Player>>,
    started: Vec<u32>,
    gone: Vec<Player>,
    removals: Vec<(u64, u64)>,
    round: Round,
}

impl Round {
    /// Plays a round; `None` if a signal ended it.
    fn play(
        plan: &Plan,
        stage: &Stage,
        arguments: &TortureArguments,
        signal: &AtomicUsize,
    ) -> Result<Option<Round>, String> {
        let _ = std::fs::remove_dir_all(&stage.notes);
        std::fs::create_dir(&stage.notes)
            .map_err(|error| format!("cannot make a directory for journals: {error}"))?;
        let mut playing = Playing {
            plan,
            place: Place {
                namespace: stage.namespace.path(),
                channel: &stage.channel,
                notes: &stage.notes,
            },
            stage,
            arguments,
            signal,
            began: Instant::now(),
            pace: 1,
            due: Vec::new(),
            playing: plan.slots.iter().map(|_| None).collect(),
            started: vec![0; plan.slots.len()],
            gone: Vec::new(),
            removals: Vec::new(),
            round: Round::default(),
        };
        if !playing.play()? {
            return Ok(None);
        }
        playing.finish()?;
        playing.judge()?;
        Ok(Some(playing.round))
    }
}

impl Playing<'_> {
    fn problem(&mut self, text: String) {
        self.round.findings.push(Finding {
            kind: Kind::Problem,
            count: 1,
            text,
        });
    }

    /// `false` if a signal came.
    fn play(&mut self) -> Result<bool, String> {
        for slot in 0..self.plan.slots.len() {
            self.start(slot)?;
        }
        self.take_the_pace();
        let events = self.plan.events.iter();
        self.due = events
            .map(|event| (Duration::from_micros(event.at_us), Due::Deed(event.deed)))
            .collect();
        self.began = Instant::now();
        let end = Duration::from_millis(self.plan.millis);
        loop {
            if self.signal.load(Ordering::Relaxed) != 0 {
                return Ok(false);
            }
            let now = self.now();
            if now >= end {
                return Ok(true);
            }
            self.due.sort_by_key(|(at, _)| *at);
            match self.due.first() {
                Some((at, _)) if *at <= now => {
                    let (_, due) = self.due.remove(0);
                    self.bring_about(due)?;
                }
                next => {
                    let until = next.map_or(end, |(at, _)| (*at).min(end));
                    std::thread::sleep(((until - now) * self.pace).min(Duration::from_millis(20)));
                }
            }
        }
    }

    /// A plan is for processes that are there in some milliseconds. Where they take longer, all of it does: else they would be
    /// killed, and the round be over, before they came to do anything.
    fn take_the_pace(&mut self) {
        let someone_works = || self.playing.iter().flatten().any(Player::is_at_work);
        while !someone_works() && self.began.elapsed() < SLOWEST_START {
            std::thread::sleep(Duration::from_millis(1));
        }
        let taken = self.began.elapsed().as_millis() / USUAL_START.as_millis();
        self.pace = (taken as u32).clamp(1, SLOWEST_PACE);
    }

    /// By the plan's time.
    fn now(&self) -> Duration {
        self.began.elapsed() / self.pace
    }

    fn start(&mut self, slot: usize) -> Result<(), String> {
        self.started[slot] += 1;
        let fault = self.arguments.fault.filter(|_| self.is_faulty(slot));
        let number = self.started[slot];
        // Who comes after one that was killed is of the other build, and each build has each part in some round.
        let turn = self.plan.key() as usize + slot + number as usize;
        let other = self.arguments.other.as_deref();
        let other = other.filter(|_| turn.is_multiple_of(2));
        let player = Player::start(self.plan, &self.place, slot, number, fault, other)?;
        self.playing[slot] = Some(player);
        Ok(())
    }

    /// Faults are made by those who write.
    fn is_faulty(&self, slot: usize) -> bool {
        let owner = self.plan.slots[slot].part == Part::Owner;
        match self.plan.pattern {
            Pattern::Mpsc => !owner,
            Pattern::Guarded => true,
            _ => owner,
        }
    }

    fn bring_about(&mut self, due: Due) -> Result<(), String> {
        let now = self.now();
        match due {
            Due::Start(slot) => self.start(slot)?,
            Due::GoOn(slot) => {
                if let Some(player) = &mut self.playing[slot] {
                    player.go_on();
                }
            }
            Due::Deed(Deed::Kill { slot, away_us }) => {
                if let Some(mut player) = self.playing[slot].take() {
                    player.kill()?;
                    self.gone.push(player);
                    self.round.kills += 1;
                    let back = now + Duration::from_micros(away_us);
                    self.due.push((back, Due::Start(slot)));
                }
            }
            Due::Deed(Deed::Stop { slot, still_us }) => {
                if let Some(player) = &mut self.playing[slot] {
                    player.stop();
                    self.round.stops += 1;
                    let back = now + Duration::from_micros(still_us);
                    self.due.push((back, Due::GoOn(slot)));
                }
            }
            Due::Deed(Deed::Again { slot }) => self.order(slot, AGAIN),
            Due::Deed(Deed::Abandon { slot }) => self.order(slot, ABANDON),
            Due::Deed(Deed::Grow { slot }) => self.order(slot, GROW),
            Due::Deed(Deed::Reschema { slot }) => self.order(slot, RESCHEMA),
            Due::Deed(Deed::List) => {
                if let Err(error) = inspect::list(&self.stage.namespace) {
                    self.problem(format!("channels cannot be listed: {error}"));
                }
                let _ = inspect::inspect(&self.stage.namespace, &self.stage.channel);
            }
            Due::Deed(Deed::Clean) => self.clean(),
            Due::Deed(Deed::Remove { force }) => self.remove(force),
        }
        Ok(())
    }

    fn order(&mut self, slot: usize, order: u8) {
        if let Some(player) = &mut self.playing[slot] {
            player.order(order);
        }
    }

    /// Not among channels of others.
    fn clean(&mut self) {
        if !self.stage.ours {
            return;
        }
        let began = now_ns();
        match manage::clean(&self.stage.namespace) {
            Ok(rows) => {
                if rows.iter().any(|row| row.removed) {
                    self.removals.push((began, now_ns()));
                }
            }
            Err(error) => self.problem(format!("channels cannot be cleaned: {error}")),
        }
    }

    fn remove(&mut self, force: bool) {
        let began = now_ns();
        match manage::remove(&self.stage.namespace, &self.stage.channel, force) {
            Ok(_) => self.removals.push((began, now_ns())),
            Err(ManageError::InUse { .. }) if !force => {}
            Err(ManageError::Open(OpenError::Missing { .. })) => {}
            Err(error) => self.problem(format!("the channel cannot be removed: {error}")),
        }
    }

    /// Brings everybody back, and has them come to an end: those first whose end the others wait for.
    fn finish(&mut self) -> Result<(), String> {
        for slot in 0..self.plan.slots.len() {
            match &mut self.playing[slot] {
                Some(player) => player.go_on(),
                None => self.start(slot)?,
            }
        }
        let is_owner = |slot: &usize| self.plan.slots[*slot].part == Part::Owner;
        let (owners, others): (Vec<usize>, Vec<usize>) =
            (0..self.plan.slots.len()).partition(is_owner);
        let groups = match self.plan.pattern {
            Pattern::Mpsc => [others, owners],
            _ => [owners, others],
        };
        let deadline = Instant::now() + PATIENCE;
        for group in groups {
            for &slot in &group {
                if let Some(player) = &mut self.playing[slot] {
                    player.finish();
                }
            }
            for slot in group {
                self.bury(slot, deadline)?;
            }
        }
        self.leave_nothing();
        Ok(())
    }

    fn bury(&mut self, slot: usize, deadline: Instant) -> Result<(), String> {
        let Some(mut player) = self.playing[slot].take() else {
            return Ok(());
        };
        let part = self.plan.slots[slot].part;
        match player.wait(deadline.saturating_duration_since(Instant::now()))? {
            Some(status) => {
                if let Some(complaint) = player.complaint(status) {
                    self.problem(format!("process {slot} ({part:?}) ended in {complaint}"));
                }
            }
            None => {
                let waited = PATIENCE.as_secs();
                self.problem(format!(
                    "process {slot} ({part:?}) hangs: no end in {waited} s"
                ));
                player.kill()?;
            }
        }
        self.gone.push(player);
        Ok(())
    }

    /// The channel can be removed in an orderly way, and then nothing of it is there.
    fn leave_nothing(&mut self) {
        let (namespace, channel) = (&self.stage.namespace, &self.stage.channel[..]);
        for name in self
            .plan
            .slots
            .iter()
            .filter_map(|slot| slot.durable.as_deref())
        {
            // One that never came is not known, and the last that is given up takes a closed channel along.
            let _ = manage::forget(namespace, channel, name);
        }
        match manage::remove(namespace, channel, false) {
            Ok(_) | Err(ManageError::Open(OpenError::Missing { .. })) => {}
            Err(error) => {
                self.problem(format!("what all have left cannot be removed: {error}"));
                let _ = manage::remove(namespace, channel, true);
            }
        }
        let left = std::fs::read_dir(namespace.path().join(channel)).map_or(0, Iterator::count);
        if left > 0 {
            self.problem(format!("{left} files are left over"));
            let _ = std::fs::remove_dir_all(namespace.path().join(channel));
        }
    }

    fn judge(&mut self) -> Result<(), String> {
        let mut gone = std::mem::take(&mut self.gone);
        for player in &mut gone {
            // Everybody has ended; one that did so before it was killed had a reason.
            if let Some(status) = player.wait(PATIENCE)?
                && let Some(complaint) = player.complaint(status)
            {
                let text = format!("a process ended in {complaint}");
                if !self
                    .round
                    .findings
                    .iter()
                    .any(|found| found.text.ends_with(&complaint))
                {
                    self.problem(text);
                }
            }
        }
        let runs: Vec<oracle::Run> = gone.iter().map(Player::account).collect::<Result<_, _>>()?;
        if self.arguments.other.is_some() {
            for (player, run) in gone.iter().zip(&runs) {
                let part = self.plan.slots[run.slot].part;
                self.round.builds.add(player.is_other, part, run);
            }
        }
        self.round.operations = runs.iter().map(|run| run.entries.len() as u64).sum();
        self.round.records = runs.iter().map(|run| run.count(What::Got)).sum();
        let count = |what| runs.iter().map(|run| run.count(what)).sum::<u64>();
        self.round.reschemas = count(What::Reschemed);
        self.round.growths = count(What::Grown);
        let slots = self.plan.slots.len() as u64;
        let came = count(What::Opened) + count(What::Attached);
        self.round.rejoins = came.saturating_sub(slots);
        let evidence = Evidence {
            plan: self.plan,
            runs,
            removals: std::mem::take(&mut self.removals),
        };
        self.round.findings.extend(oracle::judge(&evidence));
        Ok(())
    }
}
