//! Unix systems other than Linux: processes are not bound to cores, and nothing is measured that needs futexes.

use crate::mapped::Mapped;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::AtomicU32;

/// Whether there is a call that sleeps on a word: the limit of waking (W5) is made of it.
pub(crate) const HAS_FUTEXES: bool = false;
/// Whether memory can be asked for in larger pages (W10).
pub(crate) const HAS_HUGE_PAGES: bool = false;

pub(crate) fn cores() -> io::Result<Vec<usize>> {
    Ok((0..std::thread::available_parallelism()?.get()).collect())
}

pub(crate) fn bind(_: usize) -> io::Result<()> {
    Ok(())
}

pub(crate) fn ask_for_priority() {}

pub(crate) fn run_when_idle() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn sleep(_: &AtomicU32, _: u32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn wake(_: &AtomicU32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn this_program() -> Command {
    let program = std::env::current_exe().unwrap_or_else(|_| "partywall".into());
    let mut command = Command::new(program);
    command.process_group(0);
    command
}

pub(crate) fn allocated(file: &Metadata) -> u64 {
    512 * file.blocks()
}

pub(crate) fn ask_for_huge_pages(_: &Mapped) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
