//! What is measured: the works, each with its limit.

mod contests;
mod memory;
mod process;
pub(crate) mod rivals;

pub(crate) use process::SPINNER;

use crate::Outcome;
use crate::conductor::Run;
use crate::contest::{Party, Seat};
use crate::limits::LIMIT;
use crate::{limits, patterns, system};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// A work.
#[derive(
    clap::ValueEnum,
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
)]
#[value(rename_all = "verbatim")]
pub enum Work {
    /// One-way latency, both sides awake
    W1,
    /// Time per record of a stream: one by one, and in batches
    W2,
    /// 1080p frames, written and read in full
    W3,
    /// Snapshots: reading while the writer is idle or writes, and writing
    W4,
    /// Waking a sleeper
    W5,
    /// Mpsc against the number of senders
    W6,
    /// Broadcast against the number of readers
    W7,
    /// Attaching, listing channels, watching one
    W8,
    /// Memory
    W9,
    /// Transfers larger than the last-level cache, and huge pages
    W10,
}

impl Work {
    /// All of them, in order.
    pub const ALL: [Work; 10] = [
        Work::W1,
        Work::W2,
        Work::W3,
        Work::W4,
        Work::W5,
        Work::W6,
        Work::W7,
        Work::W8,
        Work::W9,
        Work::W10,
    ];

    /// What it is, in words.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Work::W1 => "one-way latency, both awake",
            Work::W2 => "time per record of a stream",
            Work::W3 => "1080p frames, written and read in full",
            Work::W4 => "snapshots",
            Work::W5 => "waking a sleeper, one way",
            Work::W6 => "mpsc against senders",
            Work::W7 => "broadcast against readers",
            Work::W8 => "attaching, listing, watching",
            Work::W9 => "memory",
            Work::W10 => "transfers larger than the caches",
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self:?}")
    }
}

/// A contender, or the limit, in a group of contests.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// As rows call it.
    pub(crate) label: String,
    /// As the program knows it.
    pub(crate) who: String,
    pub(crate) what: String,
    pub(crate) followers: usize,
    /// The rival's program, if it is not this one.
    pub(crate) program: Option<PathBuf>,
    pub(crate) rival: bool,
    /// Somebody looks at its channel from outside, ten times a second.
    pub(crate) watched: bool,
}

impl Entry {
    pub(crate) fn new(who: &str, what: &str, followers: usize) -> Entry {
        Entry {
            label: who.to_owned(),
            who: who.to_owned(),
            what: what.to_owned(),
            followers,
            program: None,
            rival: false,
            watched: false,
        }
    }

    pub(crate) fn limit(what: &str, followers: usize) -> Entry {
        Entry::new(LIMIT, what, followers)
    }

    pub(crate) fn labelled(mut self, label: impl Into<String>) -> Entry {
        self.label = label.into();
        self
    }
}

/// Contests that are measured in turn, against one limit.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) work: Work,
    pub(crate) size: usize,
    pub(crate) unit: &'static str,
    pub(crate) limit: Entry,
    /// What the limit is, in words.
    pub(crate) limit_name: String,
    pub(crate) contenders: Vec<Entry>,
    /// How long a turn should take.
    pub(crate) turn: Duration,
    /// Amounts are multiples of this.
    pub(crate) step: u64,
    /// Its part of the run's time.
    pub(crate) weight: f64,
    /// Whether single exchanges are timed, for percentiles.
    pub(crate) sampled: bool,
    /// Whether cores are kept from halting by somebody who only runs where nobody else would.
    pub(crate) kept_awake: bool,
}

/// The party of a seat in this program.
pub(crate) fn party(seat: &Seat) -> Outcome<Box<dyn Party>> {
    limits::party(seat)
        .or_else(|| patterns::party(seat))
        .or_else(|| system::party(seat))
        .or_else(|| process::party(seat))
        .unwrap_or_else(|| {
            let Seat { who, what, .. } = seat;
            Err(format!("nobody here is called '{who}' and does '{what}'").into())
        })
}

/// Measures a work. What is made of contests is left to the run.
pub(crate) fn measure(work: Work, run: &mut Run<'_>) -> Outcome<()> {
    match work {
        Work::W8 => process::measure(run),
        Work::W9 => memory::measure(run),
        _ => {
            for group in contests::groups(work, run) {
                run.measure(&group)?;
            }
            Ok(())
        }
    }
}

/// The weight of all the groups of a work, as parts of a run's time.
pub(crate) fn weight(work: Work, run: &Run<'_>) -> f64 {
    match work {
        Work::W8 => process::WEIGHT,
        Work::W9 => memory::WEIGHT,
        _ => contests::groups(work, run)
            .iter()
            .map(|group| group.weight)
            .sum(),
    }
}
