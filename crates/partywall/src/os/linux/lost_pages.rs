//! Pages that are gone: a file can be cut short under its mappings, by anybody who may write it, and then every access
//! behind its new end raises SIGBUS. So does the first access to a page for which the file system has no memory.
//!
//! Nothing keeps a peer of the same user from it: seals exist for memfds alone (a file of tmpfs is born with
//! `F_SEAL_SEAL`), reserving memory does not hold it, and a look at the size is over before the access. So the
//! signal is taken: where the address lies in a mapping of ours, a page of zeros takes the place of the one
//! that is gone, private to this process, and the mapping is marked. The access then goes on, and whoever made
//! it asks [`pages_lost`] before it makes use of what it got: an error that says so, instead of a dead process.
//!
//! What is done in the handler is what may be done in one: atomics, and two system calls. It touches no
//! mapping but ours; every other SIGBUS goes to whoever handled it before us, or ends the process as it would have.
//! The registry is a list that only grows. An entry is protected by a version, odd while it changes: the
//! entry of the mapping that faults cannot change meanwhile, for whoever accesses a mapping keeps it.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};
use std::sync::Once;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, compiler_fence, fence,
};

use super::{fork, kernel};

/// Entries that are made together.
const TOGETHER: usize = 64;

/// One mapping.
#[derive(Debug)]
struct Entry {
    taken: AtomicBool,
    /// Odd while it changes.
    version: AtomicU32,
    /// The process that has the mapping: a forked child has not.
    process: AtomicU32,
    /// 0: none.
    base: AtomicUsize,
    len: AtomicUsize,
    writable: AtomicBool,
    /// One more than the offset of the page that was found gone last; 0: it is whole.
    lost: AtomicU64,
}

#[derive(Debug)]
struct Entries {
    entries: [Entry; TOGETHER],
    next: AtomicPtr<Entries>,
}

impl Entries {
    const fn new() -> Self {
        Entries {
            entries: [const {
                Entry {
                    taken: AtomicBool::new(false),
                    version: AtomicU32::new(0),
                    process: AtomicU32::new(0),
                    base: AtomicUsize::new(0),
                    len: AtomicUsize::new(0),
                    writable: AtomicBool::new(false),
                    lost: AtomicU64::new(0),
                }
            }; TOGETHER],
            next: AtomicPtr::new(ptr::null_mut()),
        }
    }

    fn next(&self) -> Option<&'static Entries> {
        // SAFETY: null, or what `grow` leaked, complete before it was stored.
        unsafe { self.next.load(Acquire).as_ref() }
    }

    /// What follows; makes it if there is none.
    fn grow(&self) -> &'static Entries {
        if let Some(next) = self.next() {
            return next;
        }
        let made = Box::into_raw(Box::new(Entries::new()));
        match self
            .next
            .compare_exchange(ptr::null_mut(), made, AcqRel, Acquire)
        {
            // SAFETY: it came from a box, and lives for good now.
            Ok(_) => unsafe { &*made },
            Err(other) => {
                // SAFETY: nobody else has seen it.
                drop(unsafe { Box::from_raw(made) });
                // SAFETY: as in `next`; it is not null.
                unsafe { &*other }
            }
        }
    }
}

static FIRST: Entries = Entries::new();
/// A page of some mapping of this process was found gone, at some time.
static LOST: AtomicBool = AtomicBool::new(false);
static DECLINED: AtomicBool = AtomicBool::new(false);
static INSTALL: Once = Once::new();
static PAGE: AtomicUsize = AtomicUsize::new(0);

/// Who handled the signal before.
struct Previous(UnsafeCell<MaybeUninit<libc::sigaction>>);
// SAFETY: written once, before the handler that reads it is installed.
unsafe impl Sync for Previous {}
static PREVIOUS: Previous = Previous(UnsafeCell::new(MaybeUninit::uninit()));

/// A mapping's entry; the mapping goes after it.
#[derive(Debug)]
pub(super) struct Watched(&'static Entry);

impl Watched {
    /// Notes a mapping. The first one installs the handler, unless the application declined it.
    pub(super) fn note(
        base: NonNull<u8>,
        len: usize,
        writable: bool,
        process: fork::Process,
    ) -> Self {
        INSTALL.call_once(|| {
            if !DECLINED.load(Relaxed) {
                install();
            }
        });
        let mut entries = &FIRST;
        let entry = loop {
            let free = entries.entries.iter().find(|entry| {
                !entry.taken.load(Relaxed)
                    && entry
                        .taken
                        .compare_exchange(false, true, Acquire, Relaxed)
                        .is_ok()
            });
            match free {
                Some(entry) => break entry,
                None => entries = entries.grow(),
            }
        };
        entry.change(|| {
            entry.process.store(process.number(), Relaxed);
            entry.len.store(len, Relaxed);
            entry.writable.store(writable, Relaxed);
            entry.lost.store(0, Relaxed);
            entry.base.store(base.as_ptr().addr(), Relaxed);
        });
        Watched(entry)
    }

    /// The offset of a page that is gone.
    pub(super) fn lost(&self) -> Option<u64> {
        self.0.lost.load(Relaxed).checked_sub(1)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.change(|| self.0.base.store(0, Relaxed));
        self.0.taken.store(false, Release);
    }
}

impl Entry {
    /// Only by who has taken it.
    fn change(&self, change: impl FnOnce()) {
        let version = self.version.load(Relaxed);
        self.version.store(version.wrapping_add(1), Relaxed);
        // The odd version before any change, the even one behind all of them.
        fence(Release);
        change();
        self.version.store(version.wrapping_add(2), Release);
    }

    /// Puts zeros in the place of the page at `address`, if it is one of this mapping. In a signal handler.
    fn mend(&self, address: usize, page: usize, process: u32) -> bool {
        let version = self.version.load(Acquire);
        let (base, len) = (self.base.load(Relaxed), self.len.load(Relaxed));
        let writable = self.writable.load(Relaxed);
        let ours = self.process.load(Relaxed) == process;
        fence(Acquire);
        if !version.is_multiple_of(2) || self.version.load(Relaxed) != version {
            return false;
        }
        if base == 0 || !ours || address < base || address - base >= len {
            return false;
        }
        let begin = address & !(page - 1);
        let protection = if writable {
            libc::PROT_READ | libc::PROT_WRITE
        } else {
            libc::PROT_READ
        };
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE;
        // Marked first: another thread that finds the zeros finds the mark, too.
        let offset = begin.saturating_sub(base) as u64;
        self.lost.store(offset + 1, Relaxed);
        LOST.store(true, Release);
        // SAFETY: the page lies in a mapping that the thread which faulted is using, so it is there and ours; what is
        // replaced is a page that has no memory. Whoever else accesses it uses atomics and racing copies.
        let got = unsafe {
            libc::mmap(
                ptr::with_exposed_provenance_mut(begin),
                page,
                protection,
                flags,
                -1,
                0,
            )
        };
        if got == libc::MAP_FAILED {
            return false;
        }
        // SAFETY: the page that was just mapped; as the rest of the mapping, children do not have it.
        let _ = unsafe { kernel::keep_from_children(got, page) };
        true
    }
}

/// Whether any page of any mapping of this process was ever found gone: then each says for itself whether it is whole.
#[inline(always)]
pub(crate) fn pages_lost() -> bool {
    // The handler runs between two instructions of this thread: the access before, and not behind, this look.
    compiler_fence(SeqCst);
    LOST.load(Relaxed)
}

/// Asks Partywall not to handle SIGBUS in this process, for applications that want to do so alone. To be called before
/// the first channel is opened; `false` if that is too late.
///
/// Without the handler, a peer that cuts a channel's file short ends this process, as it would end any program that maps
/// a file. With it, handles answer `Damaged`. Only accesses to Partywall's own mappings are handled;
/// every other SIGBUS goes to the handler that was there before, or to the default action. An application
/// that installs a handler of its own later, and does not call the one that was there, has declined too.
///
/// ```
/// assert!(partywall::decline_sigbus_handler());
/// ```
pub fn decline_sigbus_handler() -> bool {
    DECLINED.store(true, Relaxed);
    let mut in_time = false;
    INSTALL.call_once(|| in_time = true);
    in_time
}

fn install() {
    // SAFETY: asks the C library for a number, which it always has.
    PAGE.store(
        unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize,
        Relaxed,
    );
    // SAFETY: all zeros are a `sigaction`.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_sigbus as *const () as usize;
    // On the alternate stack where there is one: a SIGBUS may be a stack's that is at its end.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
    // SAFETY: the pointers are to locals and to a place that nobody reads before the handler is there.
    unsafe {
        libc::sigemptyset(&raw mut action.sa_mask);
        if libc::sigaction(libc::SIGBUS, ptr::null(), (*PREVIOUS.0.get()).as_mut_ptr()) == 0 {
            libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut());
        }
    }
}

extern "C" fn on_sigbus(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: the calling thread's own, and the kernel's.
    let (errno, code, address) = unsafe {
        let errno = kernel::errno();
        (*errno, (*info).si_code, (*info).si_addr().addr())
    };
    // Raised by an access, and not sent by somebody.
    let mended = code > 0 && mend(address);
    // SAFETY: the calling thread's own.
    unsafe { *kernel::errno() = errno };
    if !mended {
        // SAFETY: the kernel's own arguments.
        unsafe { pass_on(signal, info, context, code > 0) };
    }
}

fn mend(address: usize) -> bool {
    let (page, process) = (PAGE.load(Relaxed), fork::Process::known());
    let mut entries = Some(&FIRST);
    while let Some(some) = entries {
        if some
            .entries
            .iter()
            .any(|entry| entry.mend(address, page, process))
        {
            return true;
        }
        entries = some.next();
    }
    false
}

/// Somebody else's signal.
///
/// # Safety
/// With what the kernel gave to the handler.
unsafe fn pass_on(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
    raised: bool,
) {
    // SAFETY: `install` filled it before the handler was there.
    let previous = unsafe { (*PREVIOUS.0.get()).assume_init_ref() };
    match previous.sa_sigaction {
        libc::SIG_IGN if !raised => {}
        libc::SIG_DFL | libc::SIG_IGN => {
            // The kernel ignores no SIGBUS that an access raised. The access is made again, and ends the process.
            // SAFETY: all zeros are the default action; the calls may be made in a handler.
            unsafe {
                let default: libc::sigaction = std::mem::zeroed();
                libc::sigaction(signal, &raw const default, ptr::null_mut());
                if !raised {
                    libc::raise(signal);
                }
            }
        }
        handler if previous.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: whoever installed it with this flag gave a function of this kind.
            let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                unsafe { std::mem::transmute(handler) };
            handler(signal, info, context);
        }
        handler => {
            // SAFETY: as above, without the flag.
            let handler: extern "C" fn(libc::c_int) = unsafe { std::mem::transmute(handler) };
            handler(signal);
        }
    }
}
