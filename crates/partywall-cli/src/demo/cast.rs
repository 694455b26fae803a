//! Who plays in the show of each pattern, and what is promised to the audience.

use super::account::{Account, Ledger, Stream};
use super::part::Role;
use super::{broadcast, frames, guarded, mpsc, ring, snapshot};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::time::Duration;

/// The patterns that there is a show of.
#[derive(ValueEnum, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Pattern {
    /// Images in a pool: written, looked at and held where they lie, and no subscriber misses one
    Frames,
    /// Frames from a producer to two consumers that miss none
    Ring,
    /// Market depth: two readers get the latest order book, each when it likes
    Snapshot,
    /// Sensor samples: a sender that never waits, and receivers who learn what they lost
    Broadcast,
    /// Logs: many senders, none of which holds up another, and a collector that is told who died
    Mpsc,
    /// A configuration that two operators edit in turn: old or new, even if one is killed with the lock in hand
    Guarded,
}

impl Pattern {
    pub(super) fn cast(self) -> &'static Cast {
        match self {
            Pattern::Frames => &frames::CAST,
            Pattern::Ring => &ring::CAST,
            Pattern::Snapshot => &snapshot::CAST,
            Pattern::Broadcast => &broadcast::CAST,
            Pattern::Mpsc => &mpsc::CAST,
            Pattern::Guarded => &guarded::CAST,
        }
    }
}

/// Everything in which the show of one pattern differs from another's.
#[derive(Debug)]
pub(super) struct Cast {
    pub(super) pattern: Pattern,
    pub(super) channel: &'static str,
    /// What the pattern is for, and who plays, in a sentence or two.
    pub(super) opening: &'static str,
    /// What it means that nothing went wrong.
    pub(super) verdict: &'static str,
    /// What one record is called, and many of them.
    pub(super) one: &'static str,
    pub(super) many: &'static str,
    /// The processes that verify.
    pub(super) watchers: &'static [Watcher],
    /// The processes that write.
    pub(super) writers: &'static [&'static str],
    /// Which of the writers is killed and restarted.
    pub(super) victim: usize,
    pub(super) promise: Promise,
    pub(super) size: Size,
    pub(super) news: News,
    /// Records a second of each writer, if `--fps` says nothing. `None`: as many as the memory carries.
    pub(super) rate: Option<f64>,
    pub(super) enter: fn(&Role) -> Result<Box<dyn Writes>, Problem>,
    pub(super) attach: fn(&Role) -> Result<Box<dyn Watches>, Problem>,
}

impl Cast {
    /// Whether it shows frames, whose size and content the user may choose.
    pub(super) fn shows_frames(&self) -> bool {
        self.size == Size::OfFrames
    }
}

#[derive(Debug)]
pub(super) struct Watcher {
    pub(super) name: &'static str,
    /// One that is in no hurry does something else for so long whenever it has all there is.
    pub(super) nap: Option<Duration>,
}

/// What a watcher may rely on: from this follows what counts as lost and what as torn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Promise {
    /// Every record, in order, or the news of how many were overrun.
    Every,
    /// Every record of each process, in its own order.
    EveryOfEach,
    /// The latest record, and never one that is older than the one before.
    Latest,
}

/// Bytes of a record's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    OfFrames,
    Fixed(usize),
    /// They differ, and none has more.
    UpTo(usize),
}

/// What a watcher is told of writers besides their records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    Nothing,
    /// Who died and who left in good order, at its place.
    Ends,
    /// How often somebody died with the lock in hand.
    OwnerDied,
}

pub(super) type Problem = Box<dyn Error>;

/// A writer's process at work.
pub(super) trait Writes {
    /// Whether it took over what another process left.
    fn adopted(&self) -> bool;

    /// How many records of its own are committed, those of its predecessors among them if it goes on where they
    /// stopped.
    fn records(&self) -> u64;

    /// Writes one record. The last one bears the mark of it, and a flaw if the role has that fault.
    fn send(&mut self, last: bool) -> Result<(), Problem>;

    /// Ends in good order: [`Self::records`] as it is then.
    fn finish(self: Box<Self>) -> Result<u64, Problem>;
}

/// A watcher's process at work.
pub(super) trait Watches {
    /// Takes what comes next, if anything does in so long.
    fn look(&mut self, ledger: &mut Ledger, wait: Duration) -> Result<Look, Problem>;
}

/// What a look came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// There may be more.
    More,
    /// That was all, for now.
    Current,
    /// That was all.
    End,
}

impl Promise {
    /// Whether all writers' processes add to one stream, and not each to its own.
    pub(super) fn is_one_stream(self) -> bool {
        self != Promise::EveryOfEach
    }

    /// How much of what was sent a watcher never got, nor was told of.
    pub(super) fn lost(self, account: &Account, sent: &[Stream]) -> u64 {
        // Gaps in what came, and what should have come after the last that did.
        let behind = sent.iter().map(|sent| {
            let came = account.streams.iter().find(|came| came.is(sent));
            sent.next.saturating_sub(came.map_or(0, |came| came.next))
        });
        match self {
            Promise::Every | Promise::EveryOfEach => account.missing + behind.sum::<u64>(),
            Promise::Latest => behind.map(|behind| u64::from(behind > 0)).sum(),
        }
    }
}
