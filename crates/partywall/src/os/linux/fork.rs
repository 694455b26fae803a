//! A forked child must not use its parent's handles: it would be a second writer of the same bytes, and
//! open file descriptions that it inherits would keep its parent's locks alive after the parent's death.
//!
//! Two defences. A private page that the kernel wipes in children (`MADV_WIPEONFORK`) turns every use in
//! a child into an error; what a child opens itself works. And lock descriptors are closed in the child by a `pthread_atfork` handler.
//! A child made by raw `clone` runs no handlers: there only the first works.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

use super::kernel;

/// The word that says which process this is; 0 in a child that has not opened anything yet.
struct Wiped(NonNull<u32>);
// SAFETY: only ever accessed as an atomic; the page lives as long as the process.
unsafe impl Send for Wiped {}
// SAFETY: as above.
unsafe impl Sync for Wiped {}

impl Wiped {
    #[inline(always)]
    fn word(&self) -> &AtomicU32 {
        // SAFETY: the page was mapped by `make_wiped_page`, is aligned, and stays for good.
        unsafe { AtomicU32::from_ptr(self.0.as_ptr()) }
    }
}

static WIPED: OnceLock<Option<Wiped>> = OnceLock::new();

/// The number that the next process in a line of forks takes: ordinary memory, so children go on counting.
static NEXT: AtomicU32 = AtomicU32::new(1);

fn make_wiped_page() -> Option<Wiped> {
    const LEN: usize = 4096;
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a fresh anonymous mapping, placed by the kernel, touches no existing memory.
    let page =
        unsafe { mmap_anonymous(std::ptr::null_mut(), LEN, protection, MapFlags::PRIVATE) }.ok()?;
    // Where the kernel refuses, the fork handler below wipes the word, but for raw `clone`.
    // SAFETY: the page was just mapped and is used by nobody yet. It stays mapped for good.
    unsafe { kernel::wipe_in_children(page, LEN) };
    Some(Wiped(NonNull::new(page.cast())?))
}

/// The process that a handle was opened in: a forked child is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process(u32);

impl Process {
    /// This one.
    pub(crate) fn current() -> Self {
        let Some(wiped) = WIPED.get_or_init(make_wiped_page) else {
            return Process(0);
        };
        let word = wiped.word();
        if word.load(Ordering::Relaxed) == 0 {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            // Another thread may have been first: then its number counts.
            let _ = word.compare_exchange(0, number, Ordering::Relaxed, Ordering::Relaxed);
        }
        Process(word.load(Ordering::Relaxed))
    }

    /// The number of this one; 0 if nothing was opened in it yet. May be asked in a signal handler.
    pub(super) fn known() -> u32 {
        match WIPED.get() {
            Some(Some(wiped)) => wiped.word().load(Ordering::Relaxed),
            _ => 0,
        }
    }

    /// Its number in the line of forks.
    pub(super) fn number(self) -> u32 {
        self.0
    }

    /// Whether it is this one still.
    #[inline(always)]
    pub(crate) fn is_this(self) -> bool {
        match WIPED.get() {
            Some(Some(wiped)) => wiped.word().load(Ordering::Relaxed) == self.0,
            _ => true,
        }
    }
}

/// The lock descriptors of this process, behind a lock that fork handlers can hold across the fork.
struct Registry {
    busy: AtomicBool,
    descriptors: UnsafeCell<Vec<RawFd>>,
}
// SAFETY: `descriptors` is touched only by the thread that set `busy` (see `with` and the handlers).
unsafe impl Sync for Registry {}

static REGISTRY: Registry = Registry {
    busy: AtomicBool::new(false),
    descriptors: UnsafeCell::new(Vec::new()),
};

impl Registry {
    fn acquire(&self) {
        while self
            .busy
            .compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            // Held for a few instructions, or across a fork by the thread that forks.
            std::thread::yield_now();
        }
    }

    fn release(&self) {
        self.busy.store(false, Ordering::Release);
    }

    fn with(&self, change: impl FnOnce(&mut Vec<RawFd>)) {
        self.acquire();
        // SAFETY: this thread holds `busy`.
        change(unsafe { &mut *self.descriptors.get() });
        self.release();
    }
}

extern "C" fn before_fork() {
    REGISTRY.acquire();
}

extern "C" fn after_fork_in_parent() {
    REGISTRY.release();
}

extern "C" fn after_fork_in_child() {
    // SAFETY: the forking thread, whose copy runs here, acquired `busy` in `before_fork`.
    let descriptors = unsafe { &mut *REGISTRY.descriptors.get() };
    for descriptor in descriptors.iter() {
        // SAFETY: closing a number is memory-safe, and async-signal-safe as a fork handler needs. The
        // child's copies of the handles refuse to work and never close the number again.
        unsafe { libc::close(*descriptor) };
    }
    // The memory is kept: freeing is not safe here.
    descriptors.truncate(0);
    if let Some(Some(wiped)) = WIPED.get() {
        wiped.word().store(0, Ordering::Relaxed);
    }
    REGISTRY.release();
}

/// Opens a descriptor that a forked child has to close.
pub(super) fn open_and_note(open: impl FnOnce() -> io::Result<OwnedFd>) -> io::Result<OwnedFd> {
    static HANDLERS: OnceLock<()> = OnceLock::new();
    HANDLERS.get_or_init(|| {
        // SAFETY: the three handlers are functions for the life of the process and do only what
        // fork handlers may do.
        unsafe {
            libc::pthread_atfork(
                Some(before_fork),
                Some(after_fork_in_parent),
                Some(after_fork_in_child),
            )
        };
    });
    let mut opened = None;
    REGISTRY.with(|descriptors| {
        let descriptor = open();
        if let Ok(descriptor) = &descriptor {
            descriptors.push(descriptor.as_raw_fd());
        }
        opened = Some(descriptor);
    });
    opened.expect("`with` calls its closure")
}

/// Closes a descriptor and forgets it, with no fork in between.
pub(super) fn forget(descriptor: RawFd, close: impl FnOnce()) {
    REGISTRY.with(|descriptors| {
        close();
        descriptors.retain(|&other| other != descriptor);
    });
}
