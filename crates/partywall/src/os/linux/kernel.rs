//! What other Unix systems have by other names, or not at all.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_long, c_void};
use std::io;
use std::os::fd::{BorrowedFd, RawFd};

use rustix::fs::{Mode, OFlags};
use rustix::mm::{self, Advice, madvise};

use super::super::Doubt;

/// File systems that live in memory: `TMPFS_MAGIC`, `RAMFS_MAGIC`, `HUGETLBFS_MAGIC` (statfs(2)).
const IN_MEMORY: [u64; 3] = [0x0102_1994, 0x8584_58f6, 0x9584_58f6];

/// Permission bits, as the system takes them.
pub(super) fn mode(bits: u32) -> Mode {
    Mode::from_raw_mode(bits)
}

/// A file's permission bits.
pub(super) fn permissions(stat: &rustix::fs::Stat) -> u32 {
    stat.st_mode & 0o7777
}

/// Which device a file is on.
pub(super) fn device_of(stat: &rustix::fs::Stat) -> u64 {
    stat.st_dev
}

/// Why a directory lies where shared memory must not.
pub(super) fn doubt_of_medium(directory: BorrowedFd<'_>) -> io::Result<Option<Doubt>> {
    let kind = rustix::fs::fstatfs(directory)?.f_type as u64 & 0xffff_ffff;
    Ok((!IN_MEMORY.contains(&kind)).then(|| Doubt {
        problem: format!("is on a disk or network file system (type {kind:#x})"),
        next: "choose a directory on a tmpfs such as /dev/shm",
    }))
}

/// Children of a fork do not get these pages.
///
/// # Safety
/// They are whole pages of one mapping of the caller's.
pub(super) unsafe fn keep_from_children(at: *mut c_void, len: usize) -> io::Result<()> {
    // SAFETY: the caller's promise.
    Ok(unsafe { madvise(at, len, Advice::LinuxDontFork) }?)
}

/// Core dumps leave these pages out.
///
/// # Safety
/// They are whole pages of one mapping of the caller's.
pub(super) unsafe fn keep_from_dumps(at: *mut c_void, len: usize) -> io::Result<()> {
    // SAFETY: the caller's promise.
    Ok(unsafe { madvise(at, len, Advice::LinuxDontDump) }?)
}

/// Core dumps have them again.
///
/// # Safety
/// As [`keep_from_dumps`].
pub(super) unsafe fn show_in_dumps(at: *mut c_void, len: usize) -> io::Result<()> {
    // SAFETY: the caller's promise.
    Ok(unsafe { madvise(at, len, Advice::LinuxDoDump) }?)
}

/// Keeps pages out of swap: all of them now, or each once it is touched.
///
/// # Safety
/// They lie in a mapping of the caller's.
pub(super) unsafe fn lock_in_memory(at: *mut c_void, len: usize, present: bool) -> io::Result<()> {
    // SAFETY: the caller's promise; no byte changes.
    unsafe {
        if present {
            mm::mlock(at, len)?;
        } else {
            mm::mlock_with(at, len, mm::MlockFlags::ONFAULT)?;
        }
    }
    Ok(())
}

/// Opens a directory only to look up names through it.
pub(super) const LOOK: OFlags = OFlags::PATH;

/// A device's number, in two parts as the kernel writes it.
pub(super) fn numbers_of(device: u64) -> (u32, u32) {
    (rustix::fs::major(device), rustix::fs::minor(device))
}

/// Children of a fork find zeros in these pages; a kernel before 4.14 does not do it.
///
/// # Safety
/// They are whole pages of one private mapping of the caller's.
pub(super) unsafe fn wipe_in_children(at: *mut c_void, len: usize) {
    // SAFETY: the caller's promise.
    let _ = unsafe { madvise(at, len, Advice::LinuxWipeOnFork) };
}

/// Makes pages readable without a fault; `false` if they cannot be. Kernels before 5.14 do not know it, and say so;
/// then nothing was done.
///
/// # Safety
/// They lie in a mapping of the caller's.
pub(super) unsafe fn populate(at: *mut c_void, len: usize) -> bool {
    // SAFETY: the caller's promise; reading pages changes none of them.
    let populated = unsafe { madvise(at, len, Advice::LinuxPopulateRead) };
    !matches!(
        populated,
        Err(rustix::io::Errno::FAULT | rustix::io::Errno::NOMEM)
    )
}

/// The calling thread's error number.
pub(super) fn errno() -> *mut c_int {
    // SAFETY: always there.
    unsafe { libc::__errno_location() }
}

/// What is asked of [`control`].
pub(super) type Lock = libc::flock64;
/// A lock for writing.
pub(super) const WRITE: c_int = libc::F_WRLCK;
/// No lock.
pub(super) const NONE: c_int = libc::F_UNLCK;

/// `fcntl`, by the call that takes offsets of 64 bits on 32-bit machines too, where C libraries do not agree.
///
/// # Safety
/// `lock` is valid for reading and writing.
pub(super) unsafe fn control(descriptor: RawFd, command: c_int, lock: *mut Lock) -> c_long {
    #[cfg(target_pointer_width = "32")]
    const CALL: c_long = libc::SYS_fcntl64;
    #[cfg(target_pointer_width = "64")]
    const CALL: c_long = libc::SYS_fcntl;
    // SAFETY: the caller's promise.
    unsafe { libc::syscall(CALL, descriptor, command, lock) }
}
