//! Shared words of the test's own, and a corrupter that writes through a mapping as a peer would.
#![allow(unsafe_code)]

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Maps a page of a file to read and write; `None` if that cannot be.
#[cfg(unix)]
fn map(file: &File, page: u64) -> Option<*mut u8> {
    use rustix::mm::{MapFlags, ProtFlags, mmap};
    let (anywhere, protection) = (std::ptr::null_mut(), ProtFlags::READ | ProtFlags::WRITE);
    // SAFETY: a fresh mapping, placed by the kernel.
    let mapped = unsafe { mmap(anywhere, 4096, protection, MapFlags::SHARED, file, page) };
    mapped.ok().map(<*mut _>::cast)
}

/// Undoes [`map`].
///
/// # Safety
/// `base` is from [`map`], and nobody uses it any more.
#[cfg(unix)]
unsafe fn unmap(base: *mut u8) -> bool {
    // SAFETY: the caller's promise.
    unsafe { rustix::mm::munmap(base.cast(), 4096) }.is_ok()
}

/// Maps the first pages of a file to read and write; `None` if that cannot be.
#[cfg(windows)]
fn map(file: &File) -> Option<*mut u8> {
    use std::os::windows::io::AsRawHandle;
    use windows_sys::Win32::Foundation::CloseHandle;
    use windows_sys::Win32::System::Memory::{
        CreateFileMappingW, FILE_MAP_WRITE, MapViewOfFile, PAGE_READWRITE,
    };
    let (default, unnamed) = (std::ptr::null(), std::ptr::null());
    // SAFETY: the handle is open; the section is as long as the file.
    let section =
        unsafe { CreateFileMappingW(file.as_raw_handle(), default, PAGE_READWRITE, 0, 0, unnamed) };
    if section.is_null() {
        return None;
    }
    // SAFETY: a fresh view, placed by the system; it keeps the section.
    let view = unsafe { MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 4096) };
    // SAFETY: the handle is ours.
    unsafe { CloseHandle(section) };
    (!view.Value.is_null()).then_some(view.Value.cast())
}

/// Stores one word of a file; `false` if that cannot be. Views and files show the same bytes.
#[cfg(windows)]
pub(crate) fn store(file: &File, at: u64, value: u64) -> bool {
    use crate::common::system::At;
    file.write_all_at(&value.to_le_bytes(), at).is_ok()
}

/// Stores one word of a file through a mapping of its page; `false` if it cannot be mapped.
#[cfg(unix)]
pub(crate) fn store(file: &File, at: u64, value: u64) -> bool {
    let page = at & !4095;
    let Some(base) = map(file, page) else {
        return false;
    };
    // SAFETY: the word lies in the page that was just mapped, aligned; nobody shortens the file but this thread.
    unsafe { AtomicU64::from_ptr(base.add((at - page) as usize).cast()) }
        .store(value, Ordering::Release);
    // SAFETY: what was mapped above.
    unsafe { unmap(base) }
}

/// Words that a test and its processes share, apart from the channel.
pub(crate) struct Board {
    words: &'static [AtomicU64],
}

impl Board {
    /// The word that tells processes to stop.
    const STOP: usize = 0;

    pub(crate) fn open(path: &Path) -> Self {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .unwrap();
        file.set_len(4096).unwrap();
        #[cfg(unix)]
        let base = map(&file, 0).unwrap();
        #[cfg(windows)]
        let base = map(&file).unwrap();
        // SAFETY: a fresh mapping, never unmapped, of a file that nobody shortens.
        let words = unsafe { std::slice::from_raw_parts(base.cast::<AtomicU64>(), 512) };
        Board { words }
    }

    pub(crate) fn stop(&self) {
        self.words[Self::STOP].store(1, Ordering::Release);
    }

    pub(crate) fn stopped(&self) -> bool {
        self.words[Self::STOP].load(Ordering::Acquire) != 0
    }

    /// A process did something, right or wrong.
    pub(crate) fn tick(&self, process: usize) {
        self.words[1 + process].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn ticks(&self, process: usize) -> u64 {
        self.words[1 + process].load(Ordering::Relaxed)
    }
}
