//! A forked child must not use its parent's handles: it would be a second writer of the same bytes, and
//! open file descriptions that it inherits would keep its parent's locks alive after the parent's death.
//!
//! Two defences. A private page that the kernel wipes in children (`MADV_WIPEONFORK`) turns every use in
//! a child into an error. And lock descriptors are closed in the child by a `pthread_atfork` handler.
//! A child made by raw `clone` runs no handlers: there only the first works.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::os::fd::RawFd;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};

/// The word that reads 1 in the process that made it and 0 in its children.
struct Wiped(NonNull<u32>);
// SAFETY: only ever accessed as an atomic; the page lives as long as the process.
unsafe impl Send for Wiped {}
// SAFETY: as above.
unsafe impl Sync for Wiped {}

static WIPED: OnceLock<Option<Wiped>> = OnceLock::new();

fn make_wiped_page() -> Option<Wiped> {
    const LEN: usize = 4096;
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a fresh anonymous mapping, placed by the kernel, touches no existing memory.
    let page =
        unsafe { mmap_anonymous(std::ptr::null_mut(), LEN, protection, MapFlags::PRIVATE) }.ok()?;
    // SAFETY: the page was just mapped and is used by nobody yet. It stays mapped for good.
    unsafe { madvise(page, LEN, Advice::LinuxWipeOnFork) }.ok()?;
    // SAFETY: the page is mapped, writable and aligned.
    let word = unsafe { AtomicU32::from_ptr(page.cast()) };
    word.store(1, Ordering::Relaxed);
    Some(Wiped(NonNull::new(page.cast())?))
}

/// Whether this process is a forked child of the one that opened its handles.
#[inline(always)]
pub(crate) fn in_forked_child() -> bool {
    match WIPED.get() {
        Some(Some(word)) => {
            // SAFETY: the page was mapped by `make_wiped_page`, is aligned, and stays for good.
            let word = unsafe { AtomicU32::from_ptr(word.0.as_ptr()) };
            word.load(Ordering::Relaxed) == 0
        }
        // A kernel before 4.14: the handlers below are the only defence.
        _ => false,
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
    REGISTRY.release();
}

/// Notes a descriptor that a forked child has to close.
pub(super) fn close_in_children(descriptor: RawFd) {
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
    WIPED.get_or_init(make_wiped_page);
    REGISTRY.with(|descriptors| descriptors.push(descriptor));
}

/// Forgets a descriptor that is about to be closed.
pub(super) fn forget(descriptor: RawFd) {
    REGISTRY.with(|descriptors| descriptors.retain(|&other| other != descriptor));
}
