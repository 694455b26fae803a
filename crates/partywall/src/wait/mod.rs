//! How to wait: spin, then look around, then sleep in the kernel; never longer than a slice at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::os;

/// The longest sleep between two looks at the condition, the root, the peer's lock and the stop token. It
/// bounds what a lost wake-up, a killed waker or a lying peer can cost.
pub const SLICE: Duration = Duration::from_millis(100);

/// The slice of a process that cannot fence its wakers: it must not rely on being woken.
const SHORT_SLICE: Duration = Duration::from_millis(1);

/// Looks at the condition before [`WaitStrategy::SpinThenPark`] goes to sleep.
const SPINS: u32 = 400;

/// Looks at the condition between two looks at the clock.
const SPINS_PER_CLOCK: u32 = 256;

/// How a handle waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WaitStrategy {
    /// Never sleeps: the lowest latency, and a whole core.
    Spin,
    /// Spins for some microseconds, then sleeps.
    #[default]
    SpinThenPark,
    /// Sleeps at once: the least processor time.
    Park,
}

/// Ends waits from elsewhere: another thread, or a signal handler. Clones are one token.
///
/// Every wait of a handle that was given the token returns `Stopped` within [`SLICE`].
///
/// ```
/// let token = partywall::StopToken::new();
/// let in_handler = token.clone();
/// in_handler.stop();
/// assert!(token.is_stopped());
/// ```
#[derive(Clone, Debug, Default)]
pub struct StopToken(Arc<AtomicBool>);

impl StopToken {
    /// A token that is not stopped.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops. One store, so it is safe in a signal handler.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody stopped it.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A flag that something else sets, such as a signal handler's.
impl From<Arc<AtomicBool>> for StopToken {
    fn from(flag: Arc<AtomicBool>) -> Self {
        StopToken(flag)
    }
}

/// What a waiter does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Look at the condition again at once.
    Spin,
    /// A slice is over: look around (locks, states), then at the condition.
    LookAround,
    /// Sleep at most so long, then look at the condition.
    Park(Duration),
    /// The time is over.
    TimedOut,
    /// The stop token was used.
    Stopped,
}

/// One wait, from the first look that failed to its end.
#[derive(Debug)]
pub(crate) struct Waiter<'a> {
    strategy: WaitStrategy,
    stop: Option<&'a StopToken>,
    started: Instant,
    timeout: Option<Duration>,
    spins: u32,
    /// When to look around next.
    look: Instant,
}

impl<'a> Waiter<'a> {
    pub(crate) fn new(
        strategy: WaitStrategy,
        timeout: Option<Duration>,
        stop: Option<&'a StopToken>,
    ) -> Self {
        let started = Instant::now();
        Waiter {
            strategy,
            stop,
            started,
            timeout,
            spins: 0,
            look: started + SLICE,
        }
    }

    /// Called after each look that failed.
    #[inline]
    pub(crate) fn step(&mut self) -> Step {
        self.spins = self.spins.wrapping_add(1);
        let spinning = match self.strategy {
            WaitStrategy::Spin => true,
            WaitStrategy::SpinThenPark => self.spins < SPINS,
            WaitStrategy::Park => false,
        };
        if spinning && !self.spins.is_multiple_of(SPINS_PER_CLOCK) {
            std::hint::spin_loop();
            return Step::Spin;
        }
        if self.stop.is_some_and(StopToken::is_stopped) {
            return Step::Stopped;
        }
        let now = Instant::now();
        let left = match self.timeout {
            None => Duration::MAX,
            Some(timeout) => timeout.saturating_sub(now - self.started),
        };
        if left.is_zero() {
            return Step::TimedOut;
        }
        if now >= self.look {
            self.look = now + SLICE;
            return Step::LookAround;
        }
        if spinning {
            return Step::Spin;
        }
        let slice = if os::may_rely_on_wakers() {
            self.look - now
        } else {
            SHORT_SLICE
        };
        Step::Park(slice.min(left))
    }

    pub(crate) fn waited(&self) -> Duration {
        self.started.elapsed()
    }
}
