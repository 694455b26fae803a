//! Memory that several processes map: what the limits are made of, and how the processes of a contest meet.
#![allow(unsafe_code)]

use memmap2::{MmapOptions, MmapRaw};
use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Two cache lines of most machines, because many fetch them in pairs.
pub const LINE: usize = 128;

/// A file in memory, mapped. Words that processes race for are accessed as atomics; runs of bytes as slices by whoever
/// has them to itself.
#[derive(Debug)]
pub struct Mapped(MmapRaw);

impl Mapped {
    /// Every process opens the same file; who comes first creates it. It is zero to begin with.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path, len: usize) -> io::Result<Mapped> {
        Ok(Mapped(MmapRaw::map_raw(&file(path, len)?)?))
    }

    /// The same, but this process may only read: a store would end it.
    ///
    /// # Errors
    /// What the system says.
    pub fn open_read_only(path: &Path, len: usize) -> io::Result<Mapped> {
        let pages = MmapOptions::new().map_raw_read_only(&file(path, len)?)?;
        Ok(Mapped(pages))
    }

    /// A word that all processes access as an atomic.
    ///
    /// # Panics
    /// If it lies outside, or askew.
    #[inline(always)]
    pub fn word(&self, at: usize) -> &AtomicU64 {
        assert!(at.is_multiple_of(8) && at + 8 <= self.0.len());
        // SAFETY: inside the mapping, which lives as long as `self`; a mapping begins on a page, so this is aligned; who
        // accesses a range as a slice has it to itself (`bytes`).
        unsafe { AtomicU64::from_ptr(self.0.as_mut_ptr().add(at).cast()) }
    }

    /// The same with 32 bits.
    ///
    /// # Panics
    /// As [`Self::word`].
    #[inline(always)]
    pub fn half(&self, at: usize) -> &AtomicU32 {
        assert!(at.is_multiple_of(4) && at + 4 <= self.0.len());
        // SAFETY: as in `word`.
        unsafe { AtomicU32::from_ptr(self.0.as_mut_ptr().add(at).cast()) }
    }

    /// A range, for reading.
    ///
    /// # Safety
    /// Nobody may write there while the slice lives.
    ///
    /// # Panics
    /// If it lies outside.
    pub unsafe fn bytes(&self, at: usize, len: usize) -> &[u8] {
        assert!(at + len <= self.0.len());
        // SAFETY: inside the mapping; the rest is the caller's promise.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().add(at), len) }
    }

    /// A range, for writing.
    ///
    /// # Safety
    /// Nobody else may read or write there while the slice lives.
    ///
    /// # Panics
    /// If it lies outside.
    #[expect(
        clippy::mut_from_ref,
        reason = "the mapping is shared by nature; the caller keeps others away"
    )]
    pub unsafe fn bytes_mut(&self, at: usize, len: usize) -> &mut [u8] {
        assert!(at + len <= self.0.len());
        // SAFETY: inside the mapping; the rest is the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().add(at), len) }
    }

    /// Copies words in, which others may be reading meanwhile.
    ///
    /// # Panics
    /// If they lie outside, or askew.
    #[inline]
    pub fn race_in(&self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= self.0.len());
        if string(bytes.len()) {
            // SAFETY: both ranges are there, and one is private.
            unsafe { string_copy(self.0.as_mut_ptr().add(at), bytes.as_ptr(), bytes.len()) };
            return;
        }
        for (index, word) in bytes.chunks_exact(8).enumerate() {
            let value = u64::from_ne_bytes(word.try_into().expect("chunks of 8"));
            self.word(at + 8 * index).store(value, Relaxed);
        }
    }

    /// Copies words out, which another may be writing meanwhile.
    ///
    /// # Panics
    /// As [`Self::race_in`].
    #[inline]
    pub fn race_out(&self, at: usize, out: &mut [u8]) {
        assert!(at + out.len() <= self.0.len());
        if string(out.len()) {
            // SAFETY: both ranges are there, and one is private.
            unsafe { string_copy(out.as_mut_ptr(), self.0.as_ptr().add(at), out.len()) };
            return;
        }
        for (index, word) in out.chunks_exact_mut(8).enumerate() {
            let value = self.word(at + 8 * index).load(Relaxed);
            word.copy_from_slice(&value.to_ne_bytes());
        }
    }

    /// Where the mapping is, and how long.
    #[must_use]
    pub fn range(&self) -> (*mut u8, usize) {
        (self.0.as_mut_ptr(), self.0.len())
    }
}

/// The file behind a mapping.
fn file(path: &Path, len: usize) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    if file.metadata()?.len() < len as u64 {
        file.set_len(len as u64)?;
    }
    Ok(file)
}

/// Whether so many bytes go by the processor's own string copy: races on plain bytes are no business of Rust's `copy`.
fn string(len: usize) -> bool {
    cfg!(target_arch = "x86_64") && len >= 768
}

/// # Safety
/// Both ranges must be mapped, `to` writable, and must not overlap.
#[inline]
unsafe fn string_copy(to: *mut u8, from: *const u8, len: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the caller vouches for the ranges; the direction flag is clear by the calling convention.
    unsafe {
        std::arch::asm!(
            "rep movsb",
            inout("rcx") len => _,
            inout("rdi") to => _,
            inout("rsi") from => _,
            options(nostack, preserves_flags)
        );
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (to, from, len);
}
