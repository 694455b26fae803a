//! Windows: nothing is measured that needs futexes.
#![allow(unsafe_code)]

use crate::mapped::Mapped;
use std::fs::Metadata;
use std::io;
use std::os::windows::process::CommandExt;
use std::process::Command;
use std::sync::atomic::AtomicU32;
use windows_sys::Win32::System::Threading::{
    CREATE_NEW_PROCESS_GROUP, GetCurrentProcess, GetCurrentThread, GetProcessAffinityMask,
    SetThreadAffinityMask,
};

/// Whether there is a call that sleeps on a word: the limit of waking (W5) is made of it.
pub(crate) const HAS_FUTEXES: bool = false;
/// Whether memory can be asked for in larger pages (W10).
pub(crate) const HAS_HUGE_PAGES: bool = false;

pub(crate) fn cores() -> io::Result<Vec<usize>> {
    let (mut allowed, mut all) = (0_usize, 0_usize);
    // SAFETY: stores two numbers into two of our own; the handle means this process.
    match unsafe { GetProcessAffinityMask(GetCurrentProcess(), &raw mut allowed, &raw mut all) } {
        0 => Err(io::Error::last_os_error()),
        _ => Ok((0..usize::BITS as usize)
            .filter(|core| allowed >> core & 1 != 0)
            .collect()),
    }
}

pub(crate) fn bind(core: usize) -> io::Result<()> {
    // SAFETY: the handle means the calling thread.
    match unsafe { SetThreadAffinityMask(GetCurrentThread(), 1 << core) } {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
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
    let program = std::env::current_exe().unwrap_or_else(|_| "partywall.exe".into());
    let mut command = Command::new(program);
    command.creation_flags(CREATE_NEW_PROCESS_GROUP);
    command
}

pub(crate) fn allocated(file: &Metadata) -> u64 {
    file.len()
}

pub(crate) fn ask_for_huge_pages(_: &Mapped) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
