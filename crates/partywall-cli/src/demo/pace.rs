//! Keeping to a rate.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A writer that fell behind by more than this does not make up for it by a burst. Less is what the system's
/// timers cost, and would add up.
const LATE: Duration = Duration::from_millis(2);

/// Keeps to a rate of records, if one was asked for.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Option<Duration>,
    next: Instant,
}

impl Pace {
    pub(super) fn new(rate: Option<f64>) -> Pace {
        Pace {
            interval: rate.map(|rate| Duration::from_secs_f64(1.0 / rate)),
            next: Instant::now(),
        }
    }

    /// Waits until the next record is due, or the end.
    pub(super) fn wait(&mut self, end: &AtomicBool) {
        let Some(interval) = self.interval else {
            return;
        };
        while !end.load(Ordering::Relaxed) {
            let now = Instant::now();
            let left = self.next.saturating_duration_since(now);
            if left.is_zero() {
                let earliest = now.checked_sub(LATE).unwrap_or(now);
                self.next = self.next.max(earliest) + interval;
                return;
            }
            // In slices, so that a slow writer stops when it is told to.
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
    }
}
