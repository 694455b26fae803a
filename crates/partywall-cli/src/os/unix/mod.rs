//! Linux: signals, `poll`, and what /proc knows.
#![allow(unsafe_code)]

pub(crate) mod output;
pub(crate) mod signals;

use std::fs::{DirBuilder, File, Metadata};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{
    CWD, FlockOperation, Mode, OFlags, RenameFlags, flock, fstat, open, renameat_with, stat,
};
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, getpid, getppid, kill_process, set_parent_process_death_signal,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// What ends a command that does not look after it itself.
pub(crate) const ENDING: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

/// As shells say that a signal ended a command: so much and its number.
const KILLED: i32 = 128;

/// This very program: not `argv[0]`, which may be anything; the file itself, even if it was replaced meanwhile.
pub(crate) fn this_program() -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("partywall");
    command
}

/// Ctrl-C on the terminal does not reach the child. It is killed when the thread that started it has ended, however that
/// ended: also if it stands still then, and from its first moment on.
pub(crate) fn set_apart(command: &mut Command) {
    let parent = Some(getpid());
    command.process_group(0);
    // SAFETY: between fork and exec it makes two system calls and nothing else.
    unsafe {
        command.pre_exec(move || {
            die_with_parent()?;
            // Nobody would send that signal any more, nor hear of an error.
            match getppid() == parent {
                true => Ok(()),
                false => Err(Errno::SRCH.into()),
            }
        });
    }
}

/// Whoever started this process takes it along when he is killed.
pub(crate) fn die_with_parent() -> io::Result<()> {
    Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
}

/// Whether nobody holds the other end of a pipe any more.
pub(crate) fn has_gone(pipe: &impl AsFd) -> bool {
    let mut polled = [PollFd::new(pipe, PollFlags::empty())];
    // Asks only, and does not wait.
    poll(&mut polled, Some(&Timespec::default())).is_ok()
        && polled[0].revents().contains(PollFlags::HUP)
}

/// Ends a child by force, and does not return before the kernel has taken everything from it; whether it was this that
/// ended it.
pub(crate) fn kill(child: &mut Child) -> io::Result<bool> {
    child.kill()?;
    Ok(child.wait()?.signal() == Some(Signal::KILL.as_raw()))
}

/// Stops a child until it may go on. One that has ended is heard of elsewhere.
pub(crate) fn stop(child: &Child) {
    // Its number is ours until it is waited for.
    let _ = kill_process(Pid::from_child(child), Signal::STOP);
}

/// Lets a stopped child go on.
pub(crate) fn go_on(child: &Child) {
    let _ = kill_process(Pid::from_child(child), Signal::CONT);
}

/// Renames a file, unless there is one of that name.
pub(crate) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not on this file system (NFS): a second name, which never replaces one.
        Err(Errno::INVAL) => {
            std::fs::hard_link(from, to)?;
            std::fs::remove_file(from)
        }
        other => Ok(other?),
    }
}

/// How a command ended, in the byte that this one ends with.
pub(crate) fn exit_code(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .unwrap_or_else(|| KILLED + status.signal().unwrap_or(0));
    code as u8
}

/// Where directories for one run are made: in memory.
pub(crate) fn scratch_parent() -> PathBuf {
    PathBuf::from("/dev/shm")
}

/// Makes a directory that only this user may enter.
pub(crate) fn create_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// Whether something in the file system is this user's.
pub(crate) fn is_ours(found: &Metadata) -> bool {
    found.uid() == rustix::process::geteuid().as_raw()
}

/// Held as long as somebody needs a directory; gone with the process, however that ends.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    _directory: OwnedFd,
}

impl DirectoryLock {
    /// Locks a directory, and makes sure that the name still leads to what was locked.
    pub(crate) fn take(path: &Path) -> Option<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = open(path, flags, Mode::empty()).ok()?;
        flock(&directory, FlockOperation::NonBlockingLockExclusive).ok()?;
        let (locked, named) = (fstat(&directory).ok()?, stat(path).ok()?);
        let same = locked.st_ino == named.st_ino && locked.st_dev == named.st_dev;
        same.then_some(DirectoryLock {
            _directory: directory,
        })
    }
}

/// CLOCK_MONOTONIC, the same in every process of the machine.
pub(crate) fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Fills the buffer from a place in a file.
pub(crate) fn read_exact_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<()> {
    file.read_exact_at(buffer, at)
}
