//! Linux: signals, `poll`, and what /proc knows.

pub(crate) mod output;
pub(crate) mod signals;

use std::fs::{DirBuilder, File, Metadata};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat, open, stat};
use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// What ends a command that does not look after it itself.
pub(crate) const ENDING: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

/// As shells say that a signal ended a command: so much and its number.
const KILLED: i32 = 128;

/// This very program: not argv[0], which may be anything; the file itself, even if it was replaced meanwhile.
pub(crate) fn this_program() -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("partywall");
    command
}

/// Ctrl-C on the terminal does not reach the child.
pub(crate) fn set_apart(command: &mut Command) {
    command.process_group(0);
}

/// Whoever started this process takes it along when he is killed.
pub(crate) fn die_with_parent() -> io::Result<()> {
    Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
}

/// Whether nobody holds the other end of a pipe any more.
pub(crate) fn has_gone(pipe: impl AsFd) -> bool {
    let mut polled = [PollFd::new(&pipe, PollFlags::empty())];
    // Asks only, and does not wait.
    poll(&mut polled, Some(&Timespec::default())).is_ok()
        && polled[0].revents().contains(PollFlags::HUP)
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

/// The cores that this process may use.
pub(crate) fn cores() -> io::Result<Vec<usize>> {
    let allowed = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU)
        .filter(|&core| allowed.is_set(core))
        .collect())
}

/// Binds the calling thread, and those it starts later.
pub(crate) fn bind(core: usize) -> io::Result<()> {
    let mut only = CpuSet::new();
    only.set(core);
    Ok(sched_setaffinity(None, &only)?)
}
