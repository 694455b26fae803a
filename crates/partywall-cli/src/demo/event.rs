//! What the demo's processes tell the conductor: one JSON object a line, on standard output.

use super::account::Account;
use serde::{Deserialize, Serialize};
use std::io::Write;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Event {
    /// A writer holds its place, and took it over from another process or not; how many records it found there, as
    /// it counts them.
    Opened { adopted: bool, found: u64 },
    /// A writer has committed so many, those that it found among them: they are there, whatever befalls it.
    Committed { records: u64 },
    /// A writer wrote its last record, and everybody who must has taken it.
    Sent { records: u64 },
    /// A watcher holds the channel.
    Attached,
    /// A watcher got the first record of process `run` of a writer, at this time.
    FirstOf { writer: usize, run: u32, at_ns: u64 },
    /// How it goes.
    Progress {
        received: u64,
        p50_ns: u64,
        p99_ns: u64,
    },
    /// A watcher came to the end.
    Watched(Box<Account>),
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

pub(crate) use crate::os::monotonic_ns as now_ns;
