//! Where the tests play: a directory that everybody can come to, and actors of any user.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::common::system;

/// A test, by its name.
pub(crate) type Test = (&'static str, fn());

/// Who: a user and a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) user: u32,
    pub(crate) group: u32,
}

/// Owns the channels.
pub(crate) const OWNER: Who = Who {
    user: 47_111,
    group: 47_200,
};
/// Is in the owner's group.
pub(crate) const COLLEAGUE: Who = Who {
    user: 47_112,
    group: 47_200,
};
/// Has nothing to do with either.
pub(crate) const STRANGER: Who = Who {
    user: 47_113,
    group: 47_300,
};

/// Says that a test cannot be run here, and whether the test is to go on. Where skips are forbidden it fails.
pub(crate) fn skip_unless(condition: bool, why: &str) -> bool {
    if !condition {
        assert!(
            std::env::var_os("PARTYWALL_NO_SKIPS").is_none(),
            "may not be skipped here: {why}"
        );
        println!("skipped: {why}");
    }
    condition
}

/// Only root can become somebody else.
pub(crate) fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    skip_unless(root, "only root can run a process as another user")
}

/// A directory on a tmpfs that everybody can come to.
pub(crate) struct Stage {
    directory: tempfile::TempDir,
    programs: tempfile::TempDir,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let stage = Stage {
            directory: tempfile::tempdir_in("/dev/shm").unwrap(),
            programs: tempfile::tempdir().unwrap(),
        };
        set_mode(stage.path(), 0o755);
        set_mode(stage.programs(), 0o755);
        stage
    }

    /// A directory on whatever /tmp is on.
    pub(crate) fn programs(&self) -> &Path {
        self.programs.path()
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A directory in it that belongs to somebody.
    pub(crate) fn home_of(&self, who: Who) -> PathBuf {
        let home = self.path().join(format!("home-{}", who.user));
        if !home.exists() {
            fs::create_dir(&home).unwrap();
            chown(&home, Some(who.user), Some(who.group)).unwrap();
            set_mode(&home, 0o755);
        }
        home
    }
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

pub(crate) fn mode_of(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

/// This program, about to act.
pub(crate) fn act(name: &str, arguments: &[&str]) -> Command {
    // By this name everybody may run it, wherever it lies.
    let mut command = system::process("/proc/self/exe");
    command.env("PARTYWALL_ACT", name).args(arguments);
    command
}

/// A process that acts, and is talked to line by line.
pub(crate) struct Actor {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Actor {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Actor {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    /// As somebody, without any other group.
    pub(crate) fn of(who: Who, name: &str, arguments: &[&str]) -> Self {
        let mut command = act(name, arguments);
        command.uid(who.user).gid(who.group).current_dir("/");
        Self::start(command)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn say(&mut self, line: &str) {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "{line}").unwrap();
    }

    /// The next line that it writes.
    pub(crate) fn hear(&mut self) -> String {
        let mut line = String::new();
        if self.output.buffer().is_empty() {
            use rustix::event::{PollFd, PollFlags, Timespec, poll};
            let long = Timespec {
                tv_sec: 60,
                tv_nsec: 0,
            };
            let output = self.output.get_ref();
            let ready = poll(&mut [PollFd::new(output, PollFlags::IN)], Some(&long));
            assert!(ready != Ok(0), "it says nothing");
        }
        self.output.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "it ended: {line:?}");
        line.trim_end().to_owned()
    }

    /// Says a line, and hears the answer.
    pub(crate) fn ask(&mut self, line: &str) -> String {
        self.say(line);
        self.hear()
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends its input; everything that it still writes.
    pub(crate) fn finish(mut self) -> String {
        drop(self.input.take());
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {rest}");
        rest
    }

    /// Waits for it to be ended by a signal, as it intends to.
    pub(crate) fn die(mut self) -> std::process::ExitStatus {
        drop(self.input.take());
        self.child.wait().unwrap()
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        // A test that failed leaves nobody behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
