//! Sleeping on words, and fences for which the sleeper pays.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use rustix::thread::futex;
use rustix::thread::{MembarrierCommand, MembarrierQuery, membarrier, membarrier_query};
use rustix::time::{ClockId, Timespec};

use super::{Mapping, Process, fault_point};

impl Mapping {
    /// Sleeps while the half-word at `at` is `expected`, at most `timeout`. Comes back early for any reason; the
    /// caller looks at its condition again. Works through a read-only mapping (futex(2): the word is only read).
    pub(crate) fn sleep(&self, at: u64, expected: u32, timeout: Duration) {
        wait(self.half_word(at), expected, timeout);
    }

    /// The same for several half-words and their values, up to 64 of them; any of them wakes.
    pub(crate) fn sleep_any(words: &[(&Self, u64, u32)], timeout: Duration) {
        let words: Vec<_> = words
            .iter()
            .map(|&(mapping, at, value)| (mapping.half_word(at), value))
            .collect();
        wait_any(&words, timeout);
    }

    /// Wakes everybody who sleeps on the half-word at `at`, which was just changed by one; how many.
    pub(crate) fn wake(&self, at: u64) -> usize {
        fault_point();
        futex::wake(self.half_word(at), futex::Flags::empty(), i32::MAX as u32).unwrap_or(0)
    }
}

fn wait(word: &AtomicU32, expected: u32, timeout: Duration) {
    // Not FUTEX_PRIVATE: the waker is another process with another mapping of the same page.
    let _ = futex::wait(
        word,
        futex::Flags::empty(),
        expected,
        Some(&timespec(timeout)),
    );
}

fn wait_any(words: &[(&AtomicU32, u32)], timeout: Duration) {
    match words {
        [] => {}
        [(word, expected)] => wait(word, *expected, timeout),
        _ => {
            let waiters: Vec<futex::Wait> = words
                .iter()
                .map(|(word, expected)| {
                    let mut waiter = futex::Wait::new();
                    waiter.val = u64::from(*expected);
                    waiter.uaddr = futex::WaitPtr::new(word.as_ptr().cast());
                    waiter.flags = futex::WaitFlags::SIZE_U32;
                    waiter
                })
                .collect();
            // futex_waitv takes a point in time, not a span.
            let now = rustix::time::clock_gettime(ClockId::Monotonic);
            let end = Duration::new(now.tv_sec as u64, now.tv_nsec as u32) + timeout;
            let end = timespec(end);
            let slept = futex::waitv(
                &waiters,
                futex::WaitvFlags::empty(),
                Some(&end),
                ClockId::Monotonic,
            );
            if slept == Err(rustix::io::Errno::NOSYS) {
                // Before Linux 5.16: sleep on one of them, and look at the others soon.
                let (word, expected) = words[0];
                wait(word, expected, timeout.min(Duration::from_millis(2)));
            }
        }
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

static REGISTERED: AtomicBool = AtomicBool::new(false);

/// The process that was registered: a forked child registers anew.
static REGISTERED_FOR: AtomicU32 = AtomicU32::new(0);

/// Registers this process for [`fence_wakers`], once; called by every handle that may wake
/// somebody, before its first store. Where the kernel refuses, wakers fence for themselves.
pub(crate) fn register_waker() {
    let process = Process::current();
    if REGISTERED_FOR.load(Ordering::Relaxed) == process.number() {
        return;
    }
    let registered =
        may_rely_on_wakers() && membarrier(MembarrierCommand::RegisterGlobalExpedited).is_ok();
    // SeqCst for clarity only: the registration is a system call, which orders by itself.
    REGISTERED.store(registered, Ordering::SeqCst);
    REGISTERED_FOR.store(process.number(), Ordering::SeqCst);
}

/// Whether sleepers fence for this process, so that its own wake-up check needs no fence.
#[inline(always)]
pub(crate) fn sleepers_fence_for_us() -> bool {
    REGISTERED.load(Ordering::Relaxed)
}

/// Whether this process, when it sleeps, may rely on being woken: it can fence those who leave that to it. If it
/// cannot, it sleeps in short slices.
pub(crate) fn may_rely_on_wakers() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        membarrier_query().contains(
            MembarrierQuery::GLOBAL_EXPEDITED | MembarrierQuery::REGISTER_GLOBAL_EXPEDITED,
        )
    })
}

/// A full fence here, and in every thread of every registered process (membarrier(2)).
pub(crate) fn fence_wakers() {
    std::sync::atomic::fence(Ordering::SeqCst);
    if may_rely_on_wakers() {
        let _ = membarrier(MembarrierCommand::GlobalExpedited);
    }
}
