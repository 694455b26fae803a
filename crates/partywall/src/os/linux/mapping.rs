//! Shared mappings.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;

use rustix::mm::{self, Advice, MapFlags, ProtFlags};

use super::fault_point;
use super::fork;

/// A file, or a part of one, mapped shared; unmapped when dropped.
#[derive(Debug)]
pub(crate) struct Mapping {
    /// Start of `len` mapped bytes, aligned to a page. Readable until drop; writable iff `writable`.
    base: NonNull<u8>,
    len: u64,
    writable: bool,
    process: fork::Process,
}

// SAFETY: the mapping is only an address range; every access goes through atomics and racing copies.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps a file, or its first `most` bytes if it is longer; and how long it is. That is read from the
    /// descriptor, once.
    pub(crate) fn head(file: &OwnedFd, most: u64, writable: bool) -> io::Result<(Self, u64)> {
        let len = rustix::fs::fstat(file)?.st_size as u64;
        Ok((Self::part(file, 0, len.min(most), writable)?, len))
    }

    /// Maps the whole file.
    pub(crate) fn new(file: &OwnedFd, writable: bool) -> io::Result<Self> {
        Ok(Self::head(file, u64::MAX, writable)?.0)
    }

    /// Maps `len` bytes of a file from `at` on, a multiple of every page's size. The caller knows that the file is
    /// so long.
    pub(crate) fn part(file: &OwnedFd, at: u64, len: u64, writable: bool) -> io::Result<Self> {
        let size = usize::try_from(len)
            .ok()
            .filter(|&size| size > 0)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no bytes to map"))?;
        let protection = if writable {
            ProtFlags::READ | ProtFlags::WRITE
        } else {
            ProtFlags::READ
        };
        fault_point();
        // SAFETY: the kernel chooses the place, so no existing memory is touched. The bytes can change
        // under us at any time, which is why only `memory` accesses them.
        let base = unsafe {
            mm::mmap(
                std::ptr::null_mut(),
                size,
                protection,
                MapFlags::SHARED,
                file.as_fd(),
                at,
            )
        }?;
        let mapping = Mapping {
            base: NonNull::new(base.cast())
                .ok_or_else(|| io::Error::other("the kernel mapped address 0"))?,
            len,
            writable,
            process: fork::Process::current(),
        };
        // SAFETY: exactly the range just mapped; a child that lacks it cannot be a second writer.
        unsafe { mm::madvise(base, size, Advice::LinuxDontFork) }?;
        // Until its header was read, nobody knows whether it is confidential.
        // SAFETY: as above; it only changes what a core dump has in it.
        unsafe { mm::madvise(base, size, Advice::LinuxDontDump) }?;
        Ok(mapping)
    }

    #[inline(always)]
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    #[inline(always)]
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Lets core dumps have what is mapped; without this none does.
    pub(crate) fn show_in_dumps(&self) -> io::Result<()> {
        // SAFETY: the mapping's own range; it only changes what a core dump has in it.
        unsafe {
            mm::madvise(
                self.base.as_ptr().cast(),
                self.len as usize,
                Advice::LinuxDoDump,
            )
        }?;
        Ok(())
    }

    /// Keeps what is mapped out of swap; `present`: all of it is brought into memory now, else each page once it is
    /// touched.
    pub(crate) fn lock_in_memory(&self, present: bool) -> io::Result<()> {
        let (base, size) = (self.base.as_ptr().cast(), self.len as usize);
        // SAFETY: the mapping's own range; no byte of it changes.
        unsafe {
            if present {
                mm::mlock(base, size)?;
            } else {
                mm::mlock_with(base, size, mm::MlockFlags::ONFAULT)?;
            }
        }
        Ok(())
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.writable
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // A forked child does not have the range; something else may lie there by now.
        if !self.process.is_this() {
            return;
        }
        // SAFETY: `base` and `len` are the mapping's own, and nobody borrows from it any more: regions
        // hold it by reference count, and borrows hold a region.
        let _ = unsafe { mm::munmap(self.base.as_ptr().cast(), self.len as usize) };
    }
}
