//! Shared mappings.
#![allow(unsafe_code)]

use std::io;
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use windows_sys::Win32::System::Diagnostics::Debug::{ReadProcessMemory, WriteProcessMemory};
use windows_sys::Win32::System::Memory::{
    FILE_MAP_READ, FILE_MAP_WRITE, MEM_COMMIT, MEMORY_BASIC_INFORMATION,
    MEMORY_MAPPED_VIEW_ADDRESS, MapViewOfFile, UnmapViewOfFile, VirtualLock, VirtualQuery,
};
use windows_sys::Win32::System::Threading::GetCurrentProcess;

use super::files::FileIdentity;
use super::{File, fault_point};

/// A file, or a part of one, mapped shared; unmapped when dropped.
#[derive(Debug)]
pub(crate) struct Mapping {
    /// Start of `len` mapped bytes, aligned to 64 KiB. Readable until drop; writable iff `writable`.
    base: NonNull<u8>,
    len: u64,
    writable: bool,
    /// Names the events that are slept on.
    file: FileIdentity,
    /// Where the mapping begins in the file.
    at: u64,
    /// Of a named section: its name is there as long as somebody has a handle, and so as long as it is mapped.
    _section: Option<OwnedHandle>,
    /// Events of its words are found from every session.
    global: AtomicBool,
}

// SAFETY: the mapping is only an address range; every access goes through atomics and racing copies.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps a file, or its first `most` bytes if it is longer; and how long it is. That is read once.
    pub(crate) fn head(file: &File, most: u64, writable: bool) -> io::Result<(Self, u64)> {
        let len = file.len()?;
        Ok((Self::part(file, 0, len.min(most), writable)?, len))
    }

    /// For one look, after which it is dropped.
    pub(crate) fn glance(
        file: &File,
        most: u64,
        _head: u64,
        _confidential: impl FnOnce(&[u8]) -> bool,
    ) -> io::Result<(Self, u64)> {
        Self::head(file, most, false)
    }

    /// Maps the whole file.
    pub(crate) fn new(file: &File, writable: bool) -> io::Result<Self> {
        Ok(Self::head(file, u64::MAX, writable)?.0)
    }

    /// Maps `len` bytes of a file from `at` on, a multiple of 64 KiB. The caller knows that the file is so long.
    pub(crate) fn part(file: &File, at: u64, len: u64, writable: bool) -> io::Result<Self> {
        if len == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "no bytes to map",
            ));
        }
        // A channel that a 64-bit process made can be larger than all that a 32-bit process can address.
        let size = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let access = FILE_MAP_READ | if writable { FILE_MAP_WRITE } else { 0 };
        fault_point();
        // A view keeps a section when its handle is closed.
        let (section, named) = file.section(writable)?;
        let handle = section.as_raw_handle();
        // SAFETY: the kernel chooses the place, so no existing memory is touched. The bytes can change under us at
        // any time, which is why only `memory` accesses them.
        let view = unsafe { MapViewOfFile(handle, access, (at >> 32) as u32, at as u32, size) };
        let base = NonNull::new(view.Value.cast()).ok_or_else(|| match named {
            // The system lets nobody map more of a section than there is; what it has said of it was not so.
            true => io::Error::new(io::ErrorKind::InvalidData, "no section of that size"),
            false => io::Error::last_os_error(),
        })?;
        let mut mapping = Mapping {
            base,
            len,
            writable,
            file: FileIdentity::default(),
            at,
            _section: named.then_some(section),
            global: AtomicBool::new(false),
        };
        if named && !mapping.is_committed() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a section without memory behind it",
            ));
        }
        mapping.file = file.identity()?;
        Ok(mapping)
    }

    /// Whether there is memory behind all of it. A section that was only reserved, as none of ours is, has none, and an
    /// access would end the process.
    fn is_committed(&self) -> bool {
        let mut found = MEMORY_BASIC_INFORMATION::default();
        let size = size_of_val(&found);
        // SAFETY: fills a structure of our own, of the size that is said.
        let filled = unsafe { VirtualQuery(self.base.as_ptr().cast(), &raw mut found, size) };
        // One region: of pages that are all alike.
        filled == size && found.State == MEM_COMMIT && found.RegionSize as u64 >= self.len
    }

    /// Lets whoever sleeps on it be found from every session, and finds those who sleep.
    pub(crate) fn serve_all_sessions(&self) {
        self.global.store(true, Ordering::Relaxed);
    }

    /// The table of names that its events lie in.
    pub(super) fn sessions(&self) -> &'static str {
        match self.global.load(Ordering::Relaxed) {
            true => "Global",
            false => "Local",
        }
    }

    /// Reads as if it were a file: the system copies, so that it does not matter who writes meanwhile.
    pub(super) fn read(&self, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.rest(at).min(buffer.len());
        let mut done = 0;
        // SAFETY: inside the mapping and inside the buffer.
        let read = unsafe {
            let from = self.base.as_ptr().add(at.min(self.len) as usize);
            let to = buffer.as_mut_ptr();
            ReadProcessMemory(
                GetCurrentProcess(),
                from.cast(),
                to.cast(),
                len,
                &raw mut done,
            )
        };
        match read {
            0 => Err(io::Error::last_os_error()),
            _ => Ok(done),
        }
    }

    /// Writes as if it were a file.
    pub(super) fn write(&self, at: u64, bytes: &[u8]) -> io::Result<usize> {
        assert!(self.writable, "a view for reading only");
        let len = self.rest(at).min(bytes.len());
        let mut done = 0;
        // SAFETY: inside the mapping and inside the bytes. Nobody but us writes there, or what is there is of no more use.
        let written = unsafe {
            let to = self.base.as_ptr().add(at.min(self.len) as usize);
            let from = bytes.as_ptr();
            WriteProcessMemory(
                GetCurrentProcess(),
                to.cast(),
                from.cast(),
                len,
                &raw mut done,
            )
        };
        match written {
            0 => Err(io::Error::last_os_error()),
            _ => Ok(done),
        }
    }

    /// Bytes from `at` on.
    fn rest(&self, at: u64) -> usize {
        usize::try_from(self.len.saturating_sub(at)).unwrap_or(usize::MAX)
    }

    #[inline(always)]
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    #[inline(always)]
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The page that was found gone: none ever is.
    #[allow(clippy::unused_self)]
    pub(crate) fn lost(&self) -> Option<u64> {
        None
    }

    /// Makes a part readable without a fault: it is, for its space was reserved when the file was made.
    pub(crate) fn populate(&self, at: u64, len: u64) -> bool {
        let inside = at <= self.len && self.len - at >= len;
        assert!(inside, "range outside its segment");
        true
    }

    /// Lets core dumps have what is mapped. What a dump has is the dumper's choice here (`MiniDumpWriteDump`).
    #[allow(clippy::unused_self, clippy::unnecessary_wraps)]
    pub(crate) fn show_in_dumps(&self) -> io::Result<()> {
        Ok(())
    }

    /// Keeps what is mapped out of swap, all of it at once. (It is a file: what the cache writes out goes there.)
    pub(crate) fn lock_in_memory(&self, _present: bool) -> io::Result<()> {
        // SAFETY: the mapping's own range; no byte of it changes.
        match unsafe { VirtualLock(self.base.as_ptr().cast(), self.len as usize) } {
            0 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.writable
    }

    /// The half-word at `at`.
    pub(super) fn half_word(&self, at: u64) -> &AtomicU32 {
        assert!(
            at.is_multiple_of(4) && at < self.len && self.len - at >= 4,
            "word outside its segment"
        );
        // SAFETY: inside the mapping and aligned, as tested; this process accesses it by atomics only.
        unsafe { AtomicU32::from_ptr(self.base.as_ptr().add(at as usize).cast()) }
    }

    /// What the half-word at `at` is called, in every process that maps it.
    pub(super) fn name_of(&self, at: u64) -> String {
        format!("{}-{:x}", self.file.name(), self.at + at)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let view = MEMORY_MAPPED_VIEW_ADDRESS {
            Value: self.base.as_ptr().cast(),
        };
        // SAFETY: the view is the mapping's own, and nobody borrows from it any more: regions hold it by reference
        // count, and borrows hold a region.
        unsafe { UnmapViewOfFile(view) };
    }
}
