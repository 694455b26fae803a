//! Starting, hearing, killing and burying the demo's processes.

use super::cast::Cast;
use super::event::Event;
use super::{DemoArgs, Fault, Part, word};
use crate::os;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::Sender;

/// Who says something, by the number in the cast. The processes of a writer are told apart by their run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Watcher(usize),
    Writer(usize, u32),
}

impl Who {
    /// As people call it.
    pub(super) fn name(self, cast: &Cast) -> String {
        match self {
            Who::Watcher(index) => cast.watchers[index].name.to_owned(),
            Who::Writer(index, 1) => cast.writers[index].to_owned(),
            Who::Writer(index, run) => format!("{} {run}", cast.writers[index]),
        }
    }

    /// Which fault falls upon it, so that a test can tell whose it was.
    fn fault(self, cast: &Cast, fault: Fault) -> Option<Fault> {
        let his = match self {
            Who::Watcher(index) => fault == Fault::Lose && index + 1 == cast.watchers.len(),
            Who::Writer(index, _) => fault != Fault::Lose && index == cast.victim,
        };
        his.then_some(fault)
    }
}

/// `None`: the process has ended.
pub(super) type Heard = (Who, Option<Event>);

/// A child process. Killed when dropped: nothing of the demo outlives it.
#[derive(Debug)]
pub(super) struct Player(Child);

impl Player {
    pub(super) fn start(
        who: Who,
        cast: &Cast,
        args: &DemoArgs,
        namespace: &Path,
        channel: &str,
        heard: Sender<Heard>,
    ) -> Result<Player, String> {
        let problem =
            |error: std::io::Error| format!("cannot start the {}: {error}", who.name(cast));
        let mut command = os::this_program();
        let (part, index, run) = match who {
            Who::Watcher(index) => (Part::Watcher, index, 1),
            Who::Writer(index, run) => (Part::Writer, index, run),
        };
        command
            .arg("demo")
            .args(["--pattern", &word(cast.pattern)])
            .args(["--channel", channel])
            .args(["--part", &word(part)])
            .args(["--index", &index.to_string()])
            .args(["--run", &run.to_string()]);
        if let Some(fps) = args.fps {
            command.args(["--fps", &fps.to_string()]);
        }
        if let Some(size) = args.frame_size {
            command.args(["--frame-size", &size.to_string()]);
        }
        if let Some(input) = &args.input {
            command.arg("--input").arg(input);
        }
        if let Some(fault) = args.fault.and_then(|fault| who.fault(cast, fault)) {
            command.args(["--fault", &word(fault)]);
        }
        // Ctrl-C is for the conductor, who ends the others in good order.
        os::set_apart(&mut command);
        let mut child = command
            .env("PARTYWALL_DIR", namespace)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(problem)?;
        let out = child.stdout.take();
        let player = Player(child);
        std::thread::spawn(move || {
            for line in out.into_iter().flat_map(|out| BufReader::new(out).lines()) {
                // A process that is killed in the middle of a line has nothing more to say.
                let Some(event) = line.ok().and_then(|line| serde_json::from_str(&line).ok())
                else {
                    break;
                };
                if heard.send((who, Some(event))).is_err() {
                    return;
                }
            }
            let _ = heard.send((who, None));
        });
        Ok(player)
    }

    /// Gives the cue to begin.
    pub(super) fn begin(&mut self) {
        // One that is dead already is heard of elsewhere.
        let _ = self.0.stdin.as_mut().map(|pipe| pipe.write_all(b"\n"));
    }

    /// SIGKILL, and no return before the kernel has taken everything from it.
    pub(super) fn kill(&mut self) -> std::io::Result<()> {
        self.0.kill()?;
        self.0.wait().map(drop)
    }

    /// Asks it to come to an end.
    pub(super) fn finish(&mut self) {
        drop(self.0.stdin.take());
    }

    pub(super) fn wait(&mut self) -> std::io::Result<bool> {
        self.0.wait().map(|status| status.success())
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
