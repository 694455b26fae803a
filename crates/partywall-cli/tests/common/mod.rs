//! What the command's tests share.
#![allow(dead_code, reason = "each test uses some of it")]

use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// A namespace of the test's own.
pub(crate) struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Place {
            directory: tempfile::tempdir_in("/dev/shm").unwrap(),
        }
    }

    /// The command, in this namespace.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_partywall"));
        command
            .env("PARTYWALL_DIR", self.directory.path())
            .args(arguments);
        command
    }

    /// Its directory.
    pub(crate) fn path(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// The channels that have a root.
    pub(crate) fn has(&self, channel: &str) -> bool {
        self.directory.path().join(channel).join("root").exists()
    }

    /// Everything in the namespace.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.directory.path()).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    /// Looks again and again, as long as a busy machine may need.
    pub(crate) fn wait_until(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !condition() {
            assert!(Instant::now() < end, "waited in vain until {what}");
            std::thread::yield_now();
        }
    }
}

/// Sends a signal to a child.
pub(crate) fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}
