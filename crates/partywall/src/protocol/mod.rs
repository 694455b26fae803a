//! The state machines: no system calls, no mapping. Generic over where the words live, so that the model
//! checker runs the very code that ships.
//!
//! Labels in comments (`SYNC record-commit`) stand at both ends of each happens-before edge.

pub(crate) mod buffer;
pub(crate) mod checksum;
pub(crate) mod cursor;
pub(crate) mod eviction;
pub(crate) mod frames;
pub(crate) mod growth;
pub(crate) mod guarded;
#[cfg(test)]
mod models;
pub(crate) mod mpsc;
pub(crate) mod park;
#[cfg(any(test, feature = "fuzz-entries"))]
pub(crate) mod plain;
pub(crate) mod ring;
pub(crate) mod seats;
pub(crate) mod slots;

use std::fmt;

/// What somebody's bytes claim that cannot be. Says where, what was expected, and what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lie {
    /// Which word, in the terms of `PROTOCOL.md`.
    pub word: &'static str,
    /// Where it belongs: a position, a seat, an offset.
    pub place: u64,
    /// What an honest peer could have written.
    pub expected: &'static str,
    /// What stood there.
    pub found: u64,
}

impl Lie {
    /// A page of a segment was accessed that is not there any more, or has no memory: what was read there is zeros of
    /// our own, and what was written reached nobody.
    #[cold]
    pub(crate) fn lost_page(at: u64) -> Self {
        Lie {
            word: "page",
            place: at,
            expected: "to be there; the file was cut short, or the file system is full",
            found: 0,
        }
    }
}

impl fmt::Display for Lie {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} at {} is {:#x}, expected {}",
            self.word, self.place, self.found, self.expected
        )
    }
}

/// The kernel locks of a generation's seats, as a protocol sees them.
pub(crate) trait SeatLocks {
    /// Locks a seat; `false` if its holder lives, or if somebody else looks at it just now.
    fn try_lock(&self, seat: u32) -> bool;
    /// Gives it up.
    fn unlock(&self, seat: u32);
}
