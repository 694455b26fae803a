//! Shared mappings.
#![allow(unsafe_code)]

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;

use rustix::mm::{self, MapFlags, ProtFlags};

use super::lost_pages::Watched;
use super::{File, fault_point, fork, kernel};

/// A file, or a part of one, mapped shared; unmapped when dropped.
#[derive(Debug)]
pub(crate) struct Mapping {
    /// Start of `len` bytes, aligned to a page, or to a [`Line`] where they are copied. Readable until drop; writable iff
    /// `writable`.
    base: NonNull<u8>,
    len: u64,
    writable: bool,
    process: fork::Process,
    /// Gone before the bytes are.
    watched: Option<Watched>,
    /// The bytes are these, from `Box::into_raw`, and nothing is mapped.
    copied: Option<NonNull<[Line]>>,
}

/// Copies are aligned as well as any word needs it.
#[repr(C, align(64))]
#[derive(Clone)]
struct Line([u8; 64]);

/// Up to so many bytes are copied in less time than pages are mapped, met for the first time and unmapped.
const SOON_COPIED: u64 = 64 << 10;

// SAFETY: the mapping is only an address range; every access goes through atomics and racing copies.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps a file, or its first `most` bytes if it is longer; and how long it is. That is read from the
    /// descriptor, once.
    pub(crate) fn head(file: &File, most: u64, writable: bool) -> io::Result<(Self, u64)> {
        let len = rustix::fs::fstat(file.descriptor())?.st_size as u64;
        Ok((Self::part(file, 0, len.min(most), writable)?, len))
    }

    /// For one look, after which it is dropped: a small file is copied, as it is now, unless its first `head` bytes, which are
    /// no secret themselves, say that it must not be in core dumps; others are mapped. Nobody can sleep on it.
    pub(crate) fn glance(
        file: &File,
        most: u64,
        head: u64,
        confidential: impl FnOnce(&[u8]) -> bool,
    ) -> io::Result<(Self, u64)> {
        let len = rustix::fs::fstat(file.descriptor())?.st_size as u64;
        if len == 0 || len > most.min(SOON_COPIED) {
            return Self::head(file, most, false);
        }
        let mut lines = vec![Line([0; 64]); (len as usize).div_ceil(64)].into_boxed_slice();
        // SAFETY: the lines' own bytes, of which there are at least so many, borrowed while nobody else has them.
        let bytes =
            unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), len as usize) };
        // The beginning first, so that nothing is here that should not be.
        let (first, rest) = bytes.split_at_mut(len.min(head) as usize);
        if !fill(file, 0, first)? || confidential(first) || !fill(file, head, rest)? {
            return Self::head(file, most, false);
        }
        let copied = NonNull::new(Box::into_raw(lines)).expect("a box is somewhere");
        let mapping = Mapping {
            base: copied.cast(),
            len,
            writable: false,
            process: fork::Process::current(),
            watched: None,
            copied: Some(copied),
        };
        Ok((mapping, len))
    }

    /// Maps the whole file.
    pub(crate) fn new(file: &File, writable: bool) -> io::Result<Self> {
        Ok(Self::head(file, u64::MAX, writable)?.0)
    }

    /// Maps `len` bytes of a file from `at` on, a multiple of every page's size. The caller knows that the file is
    /// so long.
    pub(crate) fn part(file: &File, at: u64, len: u64, writable: bool) -> io::Result<Self> {
        if len == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "no bytes to map",
            ));
        }
        // A channel that a 64-bit process made can be larger than all that a 32-bit process can address.
        let size = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
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
                file.descriptor(),
                at,
            )
        }?;
        let mut mapping = Mapping {
            base: NonNull::new(base.cast())
                .ok_or_else(|| io::Error::other("the kernel mapped address 0"))?,
            len,
            writable,
            process: fork::Process::current(),
            watched: None,
            copied: None,
        };
        // SAFETY: exactly the range just mapped; a child that lacks it cannot be a second writer.
        unsafe { kernel::keep_from_children(base, size) }?;
        // Until its header was read, nobody knows whether it is confidential.
        // SAFETY: as above; it only changes what a core dump has in it.
        unsafe { kernel::keep_from_dumps(base, size) }?;
        mapping.watched = Some(Watched::note(mapping.base, size, writable, mapping.process));
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

    /// The offset of a page that was accessed and is gone, if there is one: the file was cut short, or there was no
    /// memory for it.
    pub(crate) fn lost(&self) -> Option<u64> {
        self.watched.as_ref().and_then(Watched::lost)
    }

    /// Makes a part readable without a fault: pages that have no memory yet get some. `false` if they cannot, because the
    /// file system is full or the file has ended. Kernels before 5.14 do not know it, and say so; then nothing was done.
    pub(crate) fn populate(&self, at: u64, len: u64) -> bool {
        let inside = at <= self.len && self.len - at >= len;
        assert!(inside, "range outside its segment");
        // SAFETY: inside the mapping, as was just checked; reading pages changes none of them.
        unsafe {
            let from = self.base.as_ptr().add(at as usize);
            kernel::populate(from.cast(), len as usize)
        }
    }

    /// Lets core dumps have what is mapped; without this none does.
    pub(crate) fn show_in_dumps(&self) -> io::Result<()> {
        if self.copied.is_some() {
            return Ok(());
        }
        // SAFETY: the mapping's own range; it only changes what a core dump has in it.
        unsafe { kernel::show_in_dumps(self.base.as_ptr().cast(), self.len as usize) }
    }

    /// Files are found from every session.
    #[allow(clippy::unused_self)]
    pub(crate) fn serve_all_sessions(&self) {}

    /// Keeps what is mapped out of swap; `present`: all of it is brought into memory now, else each page once it is
    /// touched.
    pub(crate) fn lock_in_memory(&self, present: bool) -> io::Result<()> {
        let (base, size) = (self.base.as_ptr().cast(), self.len as usize);
        // SAFETY: the mapping's own range; no byte of it changes.
        unsafe { kernel::lock_in_memory(base, size, present) }
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.writable
    }
}

impl Mapping {
    /// The half-word at `at`, for the kernel to sleep on.
    pub(super) fn half_word(&self, at: u64) -> &AtomicU32 {
        assert!(
            at.is_multiple_of(4) && at < self.len && self.len - at >= 4,
            "word outside its segment"
        );
        // SAFETY: inside the mapping and aligned, as tested; this process accesses it by atomics only.
        unsafe { AtomicU32::from_ptr(self.base.as_ptr().add(at as usize).cast()) }
    }
}

/// Fills a buffer from a file; whether the file had so much.
fn fill(file: &File, at: u64, buffer: &mut [u8]) -> io::Result<bool> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(at + filled as u64, &mut buffer[filled..])? {
            0 => return Ok(false),
            read => filled += read,
        }
    }
    Ok(true)
}

impl Drop for Mapping {
    fn drop(&mut self) {
        self.watched = None;
        if let Some(copied) = self.copied {
            // SAFETY: it came from `Box::into_raw`, once, and nobody borrows from it any more. A forked child has a copy of
            // its own.
            drop(unsafe { Box::from_raw(copied.as_ptr()) });
            return;
        }
        // A forked child does not have the range; something else may lie there by now.
        if !self.process.is_this() {
            return;
        }
        // SAFETY: `base` and `len` are the mapping's own, and nobody borrows from it any more: regions
        // hold it by reference count, and borrows hold a region.
        let _ = unsafe { mm::munmap(self.base.as_ptr().cast(), self.len as usize) };
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Whether this process runs the one test alone; if not, it has just run one that does. The models' engine has a
    /// handler for the signal, too, which knows nothing of us where it came second.
    fn is_alone(test: &str) -> bool {
        const ALONE: &str = "PARTYWALL_TEST_ALONE";
        if std::env::var_os(ALONE).is_some() {
            return true;
        }
        let test = format!("os::linux::mapping::tests::{test}");
        let ran = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &test])
            .env(ALONE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success() && said.contains("1 passed"), "{said}");
        false
    }

    #[test]
    fn what_has_no_memory_cannot_be_populated_and_what_is_gone_is_told() {
        if !is_alone("what_has_no_memory_cannot_be_populated_and_what_is_gone_is_told") {
            return;
        }
        let file = tempfile::tempfile_in("/dev/shm").unwrap();
        file.set_len(3 << 16).unwrap();
        let shortened = file.try_clone().unwrap();
        let mapping = Mapping::new(&File::from(file), false).unwrap();
        // Of a file with a hole: memory is found for it.
        assert!(mapping.populate(0, 3 << 16));
        shortened.set_len(1 << 16).unwrap();
        assert!(mapping.populate(0, 1 << 16));
        assert!(!mapping.populate(0, 2 << 16));
        assert_eq!(mapping.lost(), None);
        // SAFETY: inside the mapping; the handler puts a page there.
        let read = unsafe { mapping.base().as_ptr().add(2 << 16).read_volatile() };
        assert_eq!(read, 0);
        assert_eq!(mapping.lost(), Some(2 << 16));
        assert!(super::super::pages_lost());
    }

    #[test]
    fn a_small_file_is_copied_unless_it_is_confidential() {
        let bytes: Vec<u8> = (0..9001_u32).map(|n| n as u8).collect();
        let file = tempfile::tempfile_in("/dev/shm").unwrap();
        std::io::Write::write_all(&mut &file, &bytes).unwrap();
        let descriptor = File::from(file.try_clone().unwrap());
        let holds = |mapping: &Mapping, len: usize| {
            // SAFETY: as many bytes as it has, which nobody changes meanwhile.
            let found = unsafe { std::slice::from_raw_parts(mapping.base().as_ptr(), len) };
            found == &bytes[..len]
        };
        let (copied, size) = Mapping::glance(&descriptor, u64::MAX, 4096, |head| {
            assert_eq!(head, &bytes[..4096]);
            false
        })
        .unwrap();
        assert!(copied.copied.is_some() && holds(&copied, bytes.len()));
        assert_eq!((copied.len(), size), (9001, 9001));
        for (most, confidential) in [(u64::MAX, true), (4096, false)] {
            let (mapped, size) =
                Mapping::glance(&descriptor, most, 4096, |_| confidential).unwrap();
            let len = most.min(9001);
            assert!(mapped.copied.is_none() && holds(&mapped, len as usize));
            assert_eq!((mapped.len(), size), (len, 9001));
        }
        file.set_len(0).unwrap();
        let nothing = Mapping::glance(&descriptor, u64::MAX, 4096, |_| false);
        assert_eq!(nothing.unwrap_err().kind(), io::ErrorKind::InvalidData);
        file.set_len(SOON_COPIED + 1).unwrap();
        let (large, _) = Mapping::glance(&descriptor, u64::MAX, 4096, |_| false).unwrap();
        assert!(large.copied.is_none());
    }

    #[test]
    fn more_mappings_than_the_first_list_holds_are_watched() {
        if !is_alone("more_mappings_than_the_first_list_holds_are_watched") {
            return;
        }
        let file = tempfile::tempfile_in("/dev/shm").unwrap();
        file.set_len(1 << 16).unwrap();
        let descriptor = File::from(file.try_clone().unwrap());
        let mappings: Vec<Mapping> = (0..300)
            .map(|_| Mapping::new(&descriptor, true).unwrap())
            .collect();
        file.set_len(0).unwrap();
        for mapping in &mappings {
            // SAFETY: inside the mapping, of which a page that is not there is replaced by one of our own.
            unsafe { mapping.base().as_ptr().write_volatile(1) };
            assert_eq!(mapping.lost(), Some(0));
        }
        drop(mappings);
        // What comes after is whole.
        file.set_len(1 << 16).unwrap();
        assert_eq!(Mapping::new(&descriptor, true).unwrap().lost(), None);
    }
}
