//! Shared words of the test's own, and a corrupter that writes through a mapping as a peer would.
#![allow(unsafe_code)]

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Stores one word of a file through a mapping of its page; `false` if it cannot be mapped.
pub(crate) fn store(file: &File, at: u64, value: u64) -> bool {
    let (page, protection) = (at & !4095, ProtFlags::READ | ProtFlags::WRITE);
    // SAFETY: a fresh mapping, placed by the kernel.
    let mapped = unsafe {
        mmap(
            std::ptr::null_mut(),
            4096,
            protection,
            MapFlags::SHARED,
            file,
            page,
        )
    };
    let Ok(base) = mapped else {
        return false;
    };
    // SAFETY: the word lies in the page that was just mapped, aligned; nobody shortens the file but this thread.
    unsafe { AtomicU64::from_ptr(base.cast::<u8>().add((at - page) as usize).cast()) }
        .store(value, Ordering::Release);
    // SAFETY: what was mapped above.
    unsafe { munmap(base, 4096) }.is_ok()
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
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a fresh mapping, placed by the kernel, never unmapped, of a file that nobody shortens.
        let words = unsafe {
            let base = mmap(
                std::ptr::null_mut(),
                4096,
                protection,
                MapFlags::SHARED,
                &file,
                0,
            )
            .unwrap();
            std::slice::from_raw_parts(base.cast::<AtomicU64>(), 512)
        };
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
