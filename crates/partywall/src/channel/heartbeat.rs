//! Signs of life: one thread a process stamps the clock into every handle's heartbeat word once a second.
//!
//! They tell people and tools that a process is *stuck* (stopped, starved, deep in swap). Nothing is decided
//! by them: death is a free lock.

use crate::layout::{header, owner};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::memory::{Region, Shared, Writable};
use crate::os::{self, Process};

/// How often.
const PERIOD: Duration = Duration::from_secs(1);

struct Heart {
    number: u64,
    words: Region<Writable>,
    at: u64,
    activity: Option<Activity>,
}

/// A producer's `write_seq` as it was last seen: when it has moved, that is the last update. So records pay
/// nothing for it, and it is as exact as the beat.
struct Activity {
    write_seq: u64,
}

impl Heart {
    fn beat(&mut self, now: u64) {
        self.words.stamp(self.at, now);
        if let Some(activity) = &mut self.activity {
            let write_seq = self.words.load(owner::WRITE_SEQ, Ordering::Relaxed);
            if write_seq != activity.write_seq {
                activity.write_seq = write_seq;
                self.words.stamp(owner::LAST_UPDATE_NS, now);
            }
        }
    }
}

struct Hearts {
    beating: Vec<Heart>,
    /// There is a thread, in this process.
    running: Option<Process>,
}

static HEARTS: Mutex<Hearts> = Mutex::new(Hearts {
    beating: Vec::new(),
    running: None,
});
static CHANGED: Condvar = Condvar::new();
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Keeps one word stamped until it is dropped.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    number: u64,
    process: Process,
}

impl Heartbeat {
    /// Stamps a word.
    pub(crate) fn start(words: Region<Writable>, at: u64) -> Self {
        Self::register(words, at, None)
    }

    /// Stamps a producer's owner side, and when it last moved.
    pub(crate) fn of_producer(owner: Region<Writable>) -> Self {
        let write_seq = owner.load(owner::WRITE_SEQ, Ordering::Relaxed);
        Self::register(owner, header::HEARTBEAT_NS, Some(Activity { write_seq }))
    }

    fn register(words: Region<Writable>, at: u64, activity: Option<Activity>) -> Self {
        words.stamp(at, os::boottime_ns());
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let process = Process::current();
        let mut hearts = lock();
        if hearts.running.is_some_and(|running| running != process) {
            // A forked child: the thread and the handles were its parent's.
            hearts.beating.clear();
        }
        hearts.beating.push(Heart {
            number,
            words,
            at,
            activity,
        });
        if hearts.running != Some(process) {
            // It ends once it finds nothing to stamp. Without a thread nothing is stamped and tools call the
            // handle stuck; that is worth no error.
            let spawned = std::thread::Builder::new()
                .name("partywall-heart".into())
                .spawn(beat);
            hearts.running = spawned.is_ok().then_some(process);
        }
        Heartbeat { number, process }
    }
}

fn lock() -> MutexGuard<'static, Hearts> {
    HEARTS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn beat() {
    let mut hearts = lock();
    while !hearts.beating.is_empty() {
        let now = os::boottime_ns();
        for heart in &mut hearts.beating {
            heart.beat(now);
        }
        hearts = CHANGED
            .wait_timeout(hearts, PERIOD)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
    }
    hearts.running = None;
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        if !self.process.is_this() {
            return;
        }
        let mut hearts = lock();
        hearts.beating.retain(|heart| heart.number != self.number);
        if hearts.beating.is_empty() {
            CHANGED.notify_all();
        }
    }
}
