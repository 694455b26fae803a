//! What the command's tests share.
#![allow(dead_code, reason = "each test uses some of it")]

#[path = "../../../partywall/tests/common/system.rs"]
pub(crate) mod system;

#[cfg(unix)]
use std::process::Child;
use std::process::Command;
use std::time::{Duration, Instant};

/// A namespace of the test's own.
pub(crate) struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Place {
            directory: system::directory(),
        }
    }

    /// The command, in this namespace.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command();
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

    /// Whether a command has opened the namespace, and so can be interrupted in order.
    #[cfg(target_os = "linux")] // /proc tells
    pub(crate) fn is_open_in(&self, command: &std::process::Child) -> bool {
        let place = self.path().canonicalize().expect("it is there");
        let files = std::fs::read_dir(format!("/proc/{}/fd", command.id()));
        let mut files = files.into_iter().flatten().flatten();
        files.any(|file| std::fs::read_link(file.path()).is_ok_and(|to| to.starts_with(&place)))
    }

    /// Everything in the namespace.
    pub(crate) fn names(&self) -> Vec<String> {
        system::names(self.path())
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

/// The command.
pub(crate) fn command() -> Command {
    system::process(env!("CARGO_BIN_EXE_partywall"))
}

/// Asks a command to end, as Ctrl-C does. Wine delivers no console events to one process, so on Windows nobody is asked.
#[cfg(unix)]
pub(crate) fn interrupt(child: &Child) {
    system::unix::signal(child, rustix::process::Signal::INT);
}

/// Asks a command to end, as a supervisor does.
#[cfg(unix)]
pub(crate) fn terminate(child: &Child) {
    system::unix::signal(child, rustix::process::Signal::TERM);
}

/// The lines of a text, however the system ends them.
pub(crate) fn lines(text: &[u8]) -> String {
    String::from_utf8_lossy(text).replace("\r\n", "\n")
}
