//! Who plays in the show of each pattern, and what is promised to the audience.

use super::account::{Account, Ledger};
use super::part::Role;
use super::{broadcast, ring, snapshot};
use clap::ValueEnum;
use std::error::Error;
use std::time::Duration;

/// The patterns that there is a show of.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// Frames from a producer to two consumers that miss none
    Ring,
    /// Market depth: two readers get the latest order book, each when it likes
    Snapshot,
    /// Sensor samples: a sender that never waits, and receivers who learn what they lost
    Broadcast,
}

impl Pattern {
    pub(super) fn cast(self) -> &'static Cast {
        match self {
            Pattern::Ring => &ring::CAST,
            Pattern::Snapshot => &snapshot::CAST,
            Pattern::Broadcast => &broadcast::CAST,
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
    /// The latest record, and never one that is older than the one before.
    Latest,
}

/// Bytes of a record's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    OfFrames,
    Fixed(usize),
}

pub(super) type Problem = Box<dyn Error>;

/// A writer's process at work.
pub(super) trait Writes {
    /// Whether it took over what another process left.
    fn adopted(&self) -> bool;

    /// Writes one record. The last one bears the mark of it, and a flaw if the role has that fault.
    fn send(&mut self, last: bool) -> Result<(), Problem>;

    /// Ends in good order: how many records there are now, those of its predecessors among them.
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
    /// How much of what was sent by each writer a watcher never got, nor was told of.
    pub(super) fn lost(self, account: &Account, sent: &[u64]) -> u64 {
        // Gaps in what came, and what should have come after the last that did.
        let behind = sent.iter().zip(&account.next);
        let behind = behind.map(|(&sent, &next)| sent.saturating_sub(next));
        match self {
            Promise::Every => account.missing + behind.sum::<u64>(),
            Promise::Latest => behind.map(|behind| u64::from(behind > 0)).sum(),
        }
    }
}
