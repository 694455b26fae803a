//! Starting, hearing, killing and burying the demo's processes.

use super::event::Event;
use super::{DemoArgs, Fault, Part, WATCHERS};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Sender;

/// Who says something. Cameras are told apart by their run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Watcher(usize),
    Camera(u32),
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Who::Watcher(index) => f.write_str(WATCHERS[*index]),
            Who::Camera(1) => f.write_str("producer"),
            Who::Camera(run) => write!(f, "producer {run}"),
        }
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
        args: &DemoArgs,
        namespace: &Path,
        channel: &str,
        heard: Sender<Heard>,
    ) -> Result<Player, String> {
        let problem = |error: std::io::Error| format!("cannot start the {who}: {error}");
        // Not argv[0], which may be anything; the file itself, even if it was replaced meanwhile.
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0("partywall")
            .arg("demo")
            .args(["--channel", channel]);
        let mut fault = args.fault;
        match who {
            Who::Watcher(index) => {
                command.args(["--part", part_name(Part::Watcher)]);
                // The inspector stays without fault, so that a test sees whose loss is counted.
                fault = fault.filter(|&fault| fault == Fault::Lose && index == 1);
            }
            Who::Camera(run) => {
                command.args(["--part", part_name(Part::Camera), "--run", &run.to_string()]);
                fault = fault.filter(|&fault| fault != Fault::Lose);
                if let Some(fps) = args.fps {
                    command.args(["--fps", &fps.to_string()]);
                }
                if let Some(size) = args.frame_size {
                    command.args(["--frame-size", &size.to_string()]);
                }
                if let Some(input) = &args.input {
                    command.arg("--input").arg(input);
                }
            }
        }
        if let Some(fault) = fault {
            command.args(["--fault", fault_name(fault)]);
        }
        let mut child = command
            .env("PARTYWALL_DIR", namespace)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C is for the conductor, who ends the others in good order.
            .process_group(0)
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

fn part_name(part: Part) -> &'static str {
    match part {
        Part::Camera => "camera",
        Part::Watcher => "watcher",
    }
}

fn fault_name(fault: Fault) -> &'static str {
    match fault {
        Fault::Corrupt => "corrupt",
        Fault::Lose => "lose",
        Fault::Fail => "fail",
    }
}
