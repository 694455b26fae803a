//! What Linux has by other names.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};

use super::super::Doubt;

/// Permission bits, as the system takes them.
pub(super) fn mode(bits: u32) -> Mode {
    Mode::from_raw_mode(bits as u16)
}

/// A file's permission bits.
pub(super) fn permissions(stat: &rustix::fs::Stat) -> u32 {
    u32::from(stat.st_mode) & 0o7777
}

/// Which device a file is on.
pub(super) fn device_of(stat: &rustix::fs::Stat) -> u64 {
    stat.st_dev as u64
}

/// Why a directory lies where shared memory must not.
pub(super) fn doubt_of_medium(directory: BorrowedFd<'_>) -> io::Result<Option<Doubt>> {
    let flags = rustix::fs::fstatfs(directory)?.f_flags;
    Ok((flags & libc::MNT_LOCAL as u32 == 0).then(|| Doubt {
        problem: "is on a network file system".into(),
        next: "choose a directory on a disk of this machine with PARTYWALL_DIR",
    }))
}

unsafe extern "C" {
    fn minherit(at: *mut c_void, len: usize, inheritance: c_int) -> c_int;
}

/// `VM_INHERIT_NONE` of <mach/vm_inherit.h>.
const INHERIT_NONE: c_int = 2;

/// Children of a fork do not get these pages.
///
/// # Safety
/// They are whole pages of one mapping of the caller's.
pub(super) unsafe fn keep_from_children(at: *mut c_void, len: usize) -> io::Result<()> {
    // SAFETY: the caller's promise.
    match unsafe { minherit(at, len, INHERIT_NONE) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// There is no such thing here: a core dump, where they are enabled, has everything.
///
/// # Safety
/// None is needed; as on Linux.
#[allow(clippy::unnecessary_wraps)]
pub(super) unsafe fn keep_from_dumps(_at: *mut c_void, _len: usize) -> io::Result<()> {
    Ok(())
}

/// Nothing to take back.
///
/// # Safety
/// None is needed; as on Linux.
#[allow(clippy::unnecessary_wraps)]
pub(super) unsafe fn show_in_dumps(_at: *mut c_void, _len: usize) -> io::Result<()> {
    Ok(())
}

/// Keeps pages out of swap: always all of them now.
///
/// # Safety
/// They lie in a mapping of the caller's.
pub(super) unsafe fn lock_in_memory(at: *mut c_void, len: usize, _present: bool) -> io::Result<()> {
    // SAFETY: the caller's promise; no byte changes.
    Ok(unsafe { rustix::mm::mlock(at, len) }?)
}

/// Opens a directory only to look up names through it: here it must be readable.
pub(super) const LOOK: OFlags = OFlags::empty();

/// A device's number, in two parts; there is no list of locks here to look for it in.
pub(super) fn numbers_of(device: u64) -> (u32, u32) {
    (0, device as u32)
}

/// There is no such thing here: the fork handler wipes the word.
///
/// # Safety
/// None is needed; as on Linux.
pub(super) unsafe fn wipe_in_children(_at: *mut c_void, _len: usize) {}

/// Nothing to do: a file's space was reserved when it was made, or when the lane was claimed.
///
/// # Safety
/// None is needed; as on Linux.
pub(super) unsafe fn populate(_at: *mut c_void, _len: usize) -> bool {
    true
}

/// The calling thread's error number.
pub(super) fn errno() -> *mut c_int {
    // SAFETY: always there.
    unsafe { libc::__error() }
}

/// What is asked of [`control`].
pub(super) type Lock = libc::flock;
/// A lock for writing.
pub(super) const WRITE: c_int = libc::F_WRLCK as c_int;
/// No lock.
pub(super) const NONE: c_int = libc::F_UNLCK as c_int;

/// `fcntl`.
///
/// # Safety
/// `lock` is valid for reading and writing.
pub(super) unsafe fn control(descriptor: RawFd, command: c_int, lock: *mut Lock) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { libc::fcntl(descriptor, command, lock) }
}

/// There is none here: who waits for new names looks ten times a slice.
#[derive(Debug)]
pub(crate) enum DirectoryWatch {}

impl DirectoryWatch {
    pub(crate) fn new(_path: &Path) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn add(&self, _path: &Path) -> io::Result<()> {
        match *self {}
    }

    pub(crate) fn wait(&self, _timeout: Duration) {
        match *self {}
    }
}
