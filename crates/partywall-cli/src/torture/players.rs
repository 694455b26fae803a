//! The processes of a round: started, killed, stopped, ordered about, and heard to the end.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::Fault;
use super::journal;
use super::oracle::{Run, source};
use super::plan::Plan;
use super::worker::{Assignment, FINISH};
use crate::demo::event::now_ns;
use crate::demo::record::mix;
use crate::os;

/// How often a process is started at most, and how long after the try before.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// Where the processes of a round do what they do.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pub(super) namespace: &'a Path,
    pub(super) channel: &'a str,
    /// For the journals.
    pub(super) notes: &'a Path,
}

/// One process. Killed when dropped: nothing of a round outlives it.
#[derive(Debug)]
pub(super) struct Player {
    child: Child,
    slot: usize,
    source: u64,
    killed: Option<u64>,
    stopped: bool,
    /// Runs the other program.
    pub(super) is_other: bool,
    notes: PathBuf,
    complaints: PathBuf,
}

impl Player {
    pub(super) fn start(
        plan: &Plan,
        place: &Place<'_>,
        slot: usize,
        number: u32,
        fault: Option<Fault>,
        other: Option<&Path>,
    ) -> Result<Player, String> {
        let problem = |error: std::io::Error| format!("cannot start a process: {error}");
        let source = source(slot, number);
        let file = |kind: &str| place.notes.join(format!("{slot}.{number}.{kind}"));
        let assignment = Assignment {
            pattern: plan.pattern,
            options: plan.options.clone(),
            slot: plan.slots[slot].clone(),
            key: plan.key(),
            seed: mix(plan.key() ^ mix(source)),
            source,
            namespace: place.namespace.to_owned(),
            channel: place.channel.to_owned(),
            journal: file("journal"),
            fault,
        };
        let assignment = serde_json::to_string(&assignment)
            .map_err(|error| format!("cannot write an assignment: {error}"))?;
        let complaints = file("complaints");
        let mut program = other.map_or_else(os::this_program, Command::new);
        // Ctrl-C is for the conductor, who ends the others in good order.
        os::set_apart(&mut program);
        program
            .args(["torture", "--worker", &assignment])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(File::create(&complaints).map_err(problem)?);
        let child = spawn(&mut program).map_err(problem)?;
        Ok(Player {
            child,
            slot,
            source,
            killed: None,
            stopped: false,
            is_other: other.is_some(),
            notes: file("journal"),
            complaints,
        })
    }

    /// Whether it has begun to write down what it does.
    pub(super) fn is_at_work(&self) -> bool {
        self.notes.exists()
    }

    /// Stops it until the next [`Self::go_on`], however often it is told to: Windows would count, and have it told to go on
    /// as often.
    pub(super) fn stop(&mut self) {
        if !self.stopped {
            os::stop(&self.child);
            self.stopped = true;
        }
    }

    pub(super) fn go_on(&mut self) {
        if self.stopped {
            os::go_on(&self.child);
            self.stopped = false;
        }
    }

    /// SIGKILL, and no return before the kernel has taken everything from it.
    pub(super) fn kill(&mut self) -> Result<(), String> {
        let time = now_ns();
        let problem = |error| format!("cannot kill a process: {error}");
        if os::kill(&mut self.child).map_err(problem)? {
            self.killed = Some(time);
        }
        Ok(())
    }

    pub(super) fn order(&mut self, order: u8) {
        // One that has ended is heard of elsewhere.
        let _ = self
            .child
            .stdin
            .as_mut()
            .map(|pipe| pipe.write_all(&[order]));
    }

    pub(super) fn finish(&mut self) {
        self.order(FINISH);
    }

    /// `None`: it has not ended in time.
    pub(super) fn wait(&mut self, patience: Duration) -> Result<Option<ExitStatus>, String> {
        let deadline = Instant::now() + patience;
        loop {
            let status = self.child.try_wait();
            match status.map_err(|error| format!("cannot wait for a process: {error}"))? {
                Some(status) => return Ok(Some(status)),
                None if Instant::now() >= deadline => return Ok(None),
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        }
    }

    /// Why it ended badly, if it did; it must have ended.
    pub(super) fn complaint(&mut self, status: ExitStatus) -> Option<String> {
        if status.success() || self.killed.is_some() {
            return None;
        }
        let said = std::fs::read_to_string(&self.complaints).unwrap_or_default();
        Some(format!("{status}: {}", said.trim()))
    }

    /// What it did.
    pub(super) fn account(&self) -> Result<Run, String> {
        Ok(Run {
            slot: self.slot,
            source: self.source,
            killed: self.killed,
            entries: journal::read(&self.notes)?,
        })
    }
}

/// Wine cannot start a process at times when it is busy.
fn spawn(program: &mut Command) -> std::io::Result<Child> {
    for _ in 0..TRIES {
        if let Ok(child) = program.spawn() {
            return Ok(child);
        }
        std::thread::sleep(PAUSE);
    }
    program.spawn()
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
