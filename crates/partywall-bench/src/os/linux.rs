//! Linux.
#![allow(unsafe_code)]

use crate::mapped::Mapped;
use rustix::thread::futex::{self, Flags};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::AtomicU32;

/// Whether there is a call that sleeps on a word: the limit of waking (W5) is made of it.
pub(crate) const HAS_FUTEXES: bool = true;
/// Whether memory can be asked for in larger pages (W10).
pub(crate) const HAS_HUGE_PAGES: bool = true;

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

/// The calling thread runs only where nobody else would.
pub(crate) fn run_when_idle() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: 0 is the calling thread, and the parameters live.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// This process, and those that it starts, come before others that want the same cores, where it may ask for that.
pub(crate) fn ask_for_priority() {
    const PRIORITY: i32 = -10;
    let _ = rustix::process::setpriority_process(None, PRIORITY);
}

/// Sleeps while the word has this value.
pub(crate) fn sleep(word: &AtomicU32, value: u32) -> io::Result<()> {
    match futex::wait(word, Flags::empty(), value, None) {
        Ok(()) | Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Wakes who sleeps there.
pub(crate) fn wake(word: &AtomicU32) -> io::Result<()> {
    futex::wake(word, Flags::empty(), 1)?;
    Ok(())
}

/// This very program, as a child that Ctrl-C on the terminal does not reach.
pub(crate) fn this_program() -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("partywall").process_group(0);
    command
}

/// Bytes that a file takes.
pub(crate) fn allocated(file: &Metadata) -> u64 {
    512 * file.blocks()
}

/// Asks for huge pages behind a mapping.
pub(crate) fn ask_for_huge_pages(memory: &Mapped) -> io::Result<()> {
    let (start, len) = memory.range();
    // SAFETY: exactly the mapping; the advice changes no byte.
    match unsafe { libc::madvise(start.cast(), len, libc::MADV_HUGEPAGE) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
