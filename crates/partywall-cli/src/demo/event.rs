//! What the demo's processes tell the conductor: one JSON object a line, on standard output.

use serde::{Deserialize, Serialize};
use std::io::Write;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Event {
    /// The producer holds the channel; `records` had been committed before it came.
    Opened {
        records: u64,
        adopted: bool,
    },
    /// The producer sent its last frame and everybody has taken it.
    Sent {
        records: u64,
    },
    /// A consumer holds its seat.
    Attached,
    /// A consumer got the first frame of producer process `run`, at this time.
    FirstOf {
        run: u32,
        at_ns: u64,
    },
    Progress {
        received: u64,
        p50_ns: u64,
        p99_ns: u64,
    },
    Watched(Box<Watched>),
}

/// A consumer's account of all it was handed.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(super) struct Watched {
    pub(super) received: u64,
    /// Sequence numbers that were skipped.
    pub(super) missing: u64,
    /// Frames whose sequence number had gone by already.
    pub(super) repeated: u64,
    /// Frames whose content is not what was sent.
    pub(super) torn: u64,
    /// The sequence number that would have come next.
    pub(super) next: u64,
    pub(super) first_stamp_ns: u64,
    pub(super) last_ns: u64,
    /// Latencies as (nanoseconds, how often).
    pub(super) latency: Vec<(u64, u64)>,
}

/// Errors are left alone: a conductor that has gone has no use for the news.
pub(super) fn tell(event: &Event) {
    let Ok(mut line) = serde_json::to_vec(event) else {
        return;
    };
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(&line).and_then(|()| out.flush());
}

/// CLOCK_MONOTONIC, the same in every process of the machine.
pub(super) fn now_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
