//! What the command's tests share.
#![allow(dead_code, reason = "each test uses some of it")]

#[path = "../../../partywall/tests/common/system.rs"]
pub(crate) mod system;

use std::process::{Child, Command};
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

/// The command, which can be asked to end.
pub(crate) fn command() -> Command {
    #[allow(unused_mut, reason = "Windows adds to it")]
    let mut command = Command::new(env!("CARGO_BIN_EXE_partywall"));
    #[cfg(windows)]
    console::be_asked_alone(&mut command);
    command
}

/// What a command ends with that Ctrl-C came to: it is Ctrl-Break on Windows, where Ctrl-C comes to whole consoles.
pub(crate) const INTERRUPTED: i32 = if cfg!(windows) { TERMINATED } else { 130 };
/// What it ends with if it was asked to otherwise.
pub(crate) const TERMINATED: i32 = 143;

/// Asks a command to end, as Ctrl-C does.
pub(crate) fn interrupt(child: &Child) {
    #[cfg(unix)]
    system::unix::signal(child, rustix::process::Signal::INT);
    #[cfg(windows)]
    console::ask(child);
}

/// Asks a command to end, as a supervisor does.
pub(crate) fn terminate(child: &Child) {
    #[cfg(unix)]
    system::unix::signal(child, rustix::process::Signal::TERM);
    #[cfg(windows)]
    console::ask(child);
}

/// The lines of a text, however the system ends them.
pub(crate) fn lines(text: &[u8]) -> String {
    String::from_utf8_lossy(text).replace("\r\n", "\n")
}

#[cfg(windows)]
mod console {
    #![allow(unsafe_code)]

    use std::os::windows::process::CommandExt;
    use std::process::{Child, Command};

    use windows_sys::Win32::System::Console::{CTRL_BREAK_EVENT, GenerateConsoleCtrlEvent};
    use windows_sys::Win32::System::Threading::CREATE_NEW_PROCESS_GROUP;

    pub(super) fn be_asked_alone(command: &mut Command) {
        command.creation_flags(CREATE_NEW_PROCESS_GROUP);
    }

    pub(super) fn ask(child: &Child) {
        // SAFETY: takes two numbers; the child leads the group of its number.
        let asked = unsafe { GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, child.id()) };
        assert_ne!(asked, 0, "{}", std::io::Error::last_os_error());
    }
}
