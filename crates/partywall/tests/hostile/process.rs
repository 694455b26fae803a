//! Processes that use a channel while or after somebody lied: this program again, in a role. Their memory is bounded, so
//! that an allocation by a forged length ends them, and whoever watches sees it.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::common::system;

const ROLE: &str = "PARTYWALL_HOSTILE_ROLE";
/// No handle needs so long for anything that it is asked here, on the slowest machine: it hangs.
pub(crate) const HANG: Duration = Duration::from_secs(20);

/// What this process is to do; `None` for the one that tests.
pub(crate) fn role() -> Option<Vec<String>> {
    let role = env::var(ROLE).ok()?;
    #[cfg(unix)]
    limit_memory();
    Some(role.split(' ').map(str::to_owned).collect())
}

/// Elsewhere that takes a job object, made by who starts the process.
#[cfg(unix)]
fn limit_memory() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    const LIMIT: u64 = 768 << 20;
    let limit = Rlimit {
        current: Some(LIMIT),
        maximum: Some(LIMIT),
    };
    setrlimit(Resource::As, limit).expect("less memory may always be asked for");
}

/// A process in a role; killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    pub(crate) fn start(role: &str) -> Self {
        let mut child = system::this_program()
            .env(ROLE, role)
            .env("MALLOC_ARENA_MAX", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = child.stdout.take().unwrap();
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        Process { child, lines }
    }

    /// The next line that it says; `None` at its end.
    ///
    /// # Errors
    /// If it says nothing for too long.
    pub(crate) fn line(&self) -> Result<Option<String>, &'static str> {
        match self.lines.recv_timeout(HANG) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => Err("it hangs"),
        }
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// How it ended, once it does; `None` if it does not.
    pub(crate) fn end(&mut self) -> Option<ExitStatus> {
        let end = Instant::now() + HANG;
        while Instant::now() < end {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            std::thread::yield_now();
        }
        None
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a role to its end.
#[cfg(unix)]
pub(crate) fn run(role: &str) -> ExitStatus {
    Process::start(role).end().expect("it ends")
}

/// How a role and its place are said.
pub(crate) fn said(role: &str, path: &Path, more: &str) -> String {
    format!("{role} {} {more}", path.to_str().unwrap())
}
