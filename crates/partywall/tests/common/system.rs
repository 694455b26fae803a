//! What tests ask of the system in one way on each: places for channels, bytes of files, children that are stopped or
//! killed by force. Tests of what only one system has ask for it themselves, and say so at their `cfg`.
#![allow(dead_code, unused_imports, reason = "each test uses some of it")]

use std::ffi::OsStr;
use std::process::{Child, Command, ExitStatus};

#[cfg(unix)]
pub(crate) use std::os::unix::fs::FileExt as At;

/// By how much less is done where everything that is not memory takes Wine's server.
pub(crate) const LESS: usize = if cfg!(windows) { 20 } else { 1 };

/// A directory for channels: in memory where the system has file systems there.
pub(crate) fn directory() -> tempfile::TempDir {
    directory_named("partywall-test-")
}

/// The same, whose name begins so.
pub(crate) fn directory_named(prefix: &str) -> tempfile::TempDir {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix);
    if cfg!(unix) {
        builder.tempdir_in("/dev/shm").unwrap()
    } else {
        builder.tempdir().unwrap()
    }
}

/// The names in a namespace. On Windows what somebody still has mapped lies in a directory of its own, with no name
/// that a channel could have, until it can be deleted.
pub(crate) fn names(namespace: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(namespace).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| cfg!(unix) || name != ".removed")
        .collect()
}

/// Bytes of a file by their place, as on Linux.
#[cfg(windows)]
pub(crate) trait At {
    fn write_at(&self, bytes: &[u8], at: u64) -> std::io::Result<usize>;
    fn write_all_at(&self, bytes: &[u8], at: u64) -> std::io::Result<()>;
    fn read_exact_at(&self, bytes: &mut [u8], at: u64) -> std::io::Result<()>;
}

#[cfg(windows)]
impl At for std::fs::File {
    fn write_at(&self, bytes: &[u8], at: u64) -> std::io::Result<usize> {
        std::os::windows::fs::FileExt::seek_write(self, bytes, at)
    }

    fn write_all_at(&self, bytes: &[u8], at: u64) -> std::io::Result<()> {
        match self.write_at(bytes, at)? {
            written if written == bytes.len() => Ok(()),
            _ => Err(std::io::ErrorKind::WriteZero.into()),
        }
    }

    fn read_exact_at(&self, bytes: &mut [u8], at: u64) -> std::io::Result<()> {
        match std::os::windows::fs::FileExt::seek_read(self, bytes, at)? {
            read if read == bytes.len() => Ok(()),
            _ => Err(std::io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// A program that a test starts; every test starts its processes by this. On Linux it is killed when the thread that
/// started it ends, however that ends: nothing runs on, or stands still, for a test that was killed.
pub(crate) fn process(program: impl AsRef<OsStr>) -> Command {
    #[cfg(target_os = "linux")]
    return unix::taken_along(Command::new(program));
    #[cfg(not(target_os = "linux"))]
    Command::new(program)
}

/// This program once more.
pub(crate) fn this_program() -> Command {
    process(std::env::current_exe().unwrap())
}

/// Whether a process was ended by force: by SIGKILL, or by `TerminateProcess` with the number that only
/// `partywall::fault` and [`kill`] give.
pub(crate) fn was_killed(status: ExitStatus) -> bool {
    #[cfg(unix)]
    let killed = std::os::unix::process::ExitStatusExt::signal(&status) == Some(9);
    #[cfg(windows)]
    let killed = status.code() == Some(windows::KILLED.cast_signed());
    killed
}

/// Ends a child by force, if it has not ended.
pub(crate) fn kill(child: &Child) {
    #[cfg(unix)]
    unix::signal(child, rustix::process::Signal::KILL);
    #[cfg(windows)]
    windows::terminate(child);
}

/// Stops a child until it may go on.
pub(crate) fn stop(child: &Child) {
    #[cfg(unix)]
    unix::signal(child, rustix::process::Signal::STOP);
    #[cfg(windows)]
    windows::suspend(child);
}

/// Lets a stopped child go on.
pub(crate) fn go_on(child: &Child) {
    #[cfg(unix)]
    unix::signal(child, rustix::process::Signal::CONT);
    #[cfg(windows)]
    windows::resume(child);
}

#[cfg(unix)]
pub(crate) mod unix {
    #![allow(unsafe_code)]

    use std::process::{Child, Command};

    /// A process that the kernel kills when the thread that started it has ended.
    #[cfg(target_os = "linux")]
    pub(super) fn taken_along(mut command: Command) -> Command {
        use std::os::unix::process::CommandExt;

        use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};

        let parent = Some(getpid());
        // SAFETY: between fork and exec it makes two system calls and nothing else.
        unsafe {
            command.pre_exec(move || {
                set_parent_process_death_signal(Some(Signal::KILL))?;
                // Killed in the meantime: nobody would send that signal any more, nor hear of an error.
                match getppid() == parent {
                    true => Ok(()),
                    false => Err(rustix::io::Errno::SRCH.into()),
                }
            });
        }
        command
    }

    /// Sends a signal to a child that was not waited for.
    pub(crate) fn signal(child: &Child, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).unwrap();
    }
}

#[cfg(windows)]
mod windows {
    #![allow(unsafe_code)]

    use std::os::windows::io::AsRawHandle;
    use std::process::Child;

    use windows_sys::Win32::Foundation::HANDLE;
    use windows_sys::Win32::System::Threading::TerminateProcess;

    /// What a process that was ended by force ends with.
    pub(crate) const KILLED: u32 = 137;

    #[link(name = "ntdll")]
    unsafe extern "system" {
        fn NtSuspendProcess(process: HANDLE) -> i32;
        fn NtResumeProcess(process: HANDLE) -> i32;
    }

    pub(crate) fn terminate(child: &Child) {
        // SAFETY: the handle is open. For a child that has ended already this fails, and changes nothing.
        unsafe { TerminateProcess(child.as_raw_handle(), KILLED) };
    }

    pub(crate) fn suspend(child: &Child) {
        // SAFETY: the handle is open.
        assert_eq!(unsafe { NtSuspendProcess(child.as_raw_handle()) }, 0);
    }

    pub(crate) fn resume(child: &Child) {
        // SAFETY: the handle is open.
        assert_eq!(unsafe { NtResumeProcess(child.as_raw_handle()) }, 0);
    }
}
