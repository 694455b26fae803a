//! Points at which a test stops or kills this very process: before every shared store, and before every
//! system call that changes something outside it. Compiled in for tests only.
//!
//! `PARTYWALL_FAULT=kill:17` kills the process by force before its 17th point, `stop:17` stops it there
//! (SIGKILL, SIGSTOP), `count` only counts. Counting begins with [`arm`], so that a sweep visits one operation.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// What is about to happen at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A store to shared memory.
    Store,
    /// A system call.
    System,
}

const OFF: u64 = u64::MAX;
static VISITED: AtomicU64 = AtomicU64::new(OFF);

#[derive(Clone, Copy)]
struct Plan {
    at: u64,
    stop: bool,
}

fn plan() -> Option<Plan> {
    static PLAN: OnceLock<Option<Plan>> = OnceLock::new();
    *PLAN.get_or_init(|| {
        let text = std::env::var("PARTYWALL_FAULT").ok()?;
        let (verb, at) = text.split_once(':')?;
        Some(Plan {
            at: at.parse().expect("PARTYWALL_FAULT=kill:N or stop:N"),
            stop: verb == "stop",
        })
    })
}

/// Points are counted from here on.
pub fn arm() {
    plan();
    VISITED.store(0, SeqCst);
}

/// Points are no longer counted; how many were visited since [`arm`].
pub fn disarm() -> u64 {
    VISITED.swap(OFF, SeqCst)
}

/// Called before every shared store and system call.
#[inline]
pub fn point(_kind: Kind) {
    if VISITED.load(SeqCst) == OFF {
        return;
    }
    let number = VISITED.fetch_add(1, SeqCst) + 1;
    let Some(plan) = plan() else { return };
    if plan.at == number {
        // Both act before the call returns, so nothing behind this point happens.
        if plan.stop {
            crate::os::stop_this_process();
        } else {
            crate::os::kill_this_process();
        }
    }
}
