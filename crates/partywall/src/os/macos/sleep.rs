//! Sleeping on words: `os_sync_wait_on_address` (macOS 14.4), and short naps where there is none.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering, fence};
use std::time::Duration;

use super::{Mapping, fault_point};

/// Between two looks where nobody can wake us.
const NAP: Duration = Duration::from_millis(1);

/// `OS_SYNC_WAIT_ON_ADDRESS_SHARED` and `OS_SYNC_WAKE_BY_ADDRESS_SHARED` of <os/os_sync_wait_on_address.h>.
const SHARED: u32 = 1;
/// `OS_CLOCK_MACH_ABSOLUTE_TIME` of <os/clock.h>.
const CLOCK: u32 = 32;

type Wait = unsafe extern "C" fn(*mut c_void, u64, usize, u32, u32, u64) -> c_int;
type Wake = unsafe extern "C" fn(*mut c_void, usize, u32) -> c_int;

#[derive(Clone, Copy)]
struct Calls {
    wait: Wait,
    wake: Wake,
}

/// The two calls, if this system has them.
fn calls() -> Option<Calls> {
    static CALLS: OnceLock<Option<Calls>> = OnceLock::new();
    *CALLS.get_or_init(|| {
        // SAFETY: the names end with a zero.
        let (wait, wake) = unsafe {
            (
                libc::dlsym(
                    libc::RTLD_DEFAULT,
                    c"os_sync_wait_on_address_with_timeout".as_ptr(),
                ),
                libc::dlsym(libc::RTLD_DEFAULT, c"os_sync_wake_by_address_all".as_ptr()),
            )
        };
        if wait.is_null() || wake.is_null() {
            return None;
        }
        // SAFETY: functions of these names have these types (os_sync_wait_on_address.h).
        Some(unsafe {
            Calls {
                wait: std::mem::transmute::<*mut c_void, Wait>(wait),
                wake: std::mem::transmute::<*mut c_void, Wake>(wake),
            }
        })
    })
}

impl Mapping {
    /// Sleeps while the half-word at `at` is `expected`, at most `timeout`. Comes back early for any reason; the
    /// caller looks at its condition again.
    pub(crate) fn sleep(&self, at: u64, expected: u32, timeout: Duration) {
        wait(self.half_word(at), expected, timeout);
    }

    /// The same for several half-words and their values; any of them wakes, within a nap.
    pub(crate) fn sleep_any(words: &[(&Self, u64, u32)], timeout: Duration) {
        match *words {
            [] => {}
            [(mapping, at, value)] => mapping.sleep(at, value, timeout),
            [(mapping, at, value), ..] => mapping.sleep(at, value, timeout.min(NAP)),
        }
    }

    /// Wakes everybody who sleeps on the half-word at `at`, which was just changed by one; 1 if there may be any.
    pub(crate) fn wake(&self, at: u64) -> usize {
        fault_point();
        let word: *mut c_void = self.half_word(at).as_ptr().cast();
        // SAFETY: the word lies in the mapping, and is 4 bytes wide.
        calls().map_or(0, |calls| unsafe {
            usize::from((calls.wake)(word, size_of::<u32>(), SHARED) == 0)
        })
    }
}

fn wait(word: &AtomicU32, expected: u32, timeout: Duration) {
    let nanoseconds = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
    let Some(calls) = calls() else {
        std::thread::sleep(timeout.min(NAP));
        return;
    };
    // 0 is refused.
    let nanoseconds = nanoseconds.max(1);
    let (word, expected) = (word.as_ptr().cast(), u64::from(expected));
    // SAFETY: the word lies in a mapping that outlives the call, and is 4 bytes wide; it is only read.
    unsafe { (calls.wait)(word, expected, size_of::<u32>(), SHARED, CLOCK, nanoseconds) };
}

/// Every waker fences for itself here: there is no call that fences other processes.
pub(crate) fn register_waker() {}

/// No.
#[inline(always)]
pub(crate) fn sleepers_fence_for_us() -> bool {
    false
}

/// Yes, for every waker fences.
pub(crate) fn may_rely_on_wakers() -> bool {
    true
}

/// A full fence here; the others do their own.
pub(crate) fn fence_wakers() {
    fence(Ordering::SeqCst);
}
