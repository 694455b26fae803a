//! A position with a count of records that belongs to exactly that position.
//!
//! Two plain words would disagree after a kill between their stores. So there are two candidate pairs
//! {position, count}: the one that does *not* match the current position is filled first, then the
//! position is stored. The pair whose position equals the current one is the valid one
//! (`protocols.md` section 3: "a count beside write_seq as two plain stores: off by one after a kill").
//!
//! Layout of the block of five words: position, position 0, count 0, position 1, count 1.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::memory::{Shared, SharedMut};

/// The writer's view of its own counted position.
#[derive(Clone, Debug)]
pub(crate) struct Cursor {
    /// Offset of the block.
    at: u64,
    /// The candidate that matches the stored position.
    valid: u64,
    position: u64,
    records: u64,
}

/// What a reader found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) position: u64,
    /// `None` if neither candidate matched, which the writer's next store repairs.
    pub(crate) records: Option<u64>,
}

const fn candidate(at: u64, index: u64) -> u64 {
    at + 8 + 16 * index
}

impl Cursor {
    /// Begins anew at a position; stores it.
    pub(crate) fn begin(words: &impl SharedMut, at: u64, position: u64, records: u64) -> Self {
        // Whichever candidate is valid now, the other one is overwritten first.
        let now = words.load(at, Relaxed);
        let valid = u64::from(words.load(candidate(at, 0), Relaxed) != now);
        let mut cursor = Cursor {
            at,
            valid,
            position,
            records,
        };
        cursor.publish(words, position, records);
        cursor
    }

    /// Everything up to `position`, that is `records` records, is published.
    #[inline(always)]
    pub(crate) fn publish(&mut self, words: &impl SharedMut, position: u64, records: u64) {
        let spare = candidate(self.at, 1 - self.valid);
        // Release, both: the pair must not be seen before what it counts, nor half of it after the
        // position that makes it valid.
        words.store(spare, position, Release);
        words.store(spare + 8, records, Release);
        // SYNC cursor: publishes the pair, and everything its writer did before.
        words.store(self.at, position, Release);
        self.valid = 1 - self.valid;
        self.position = position;
        self.records = records;
    }

    #[inline(always)]
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn records(&self) -> u64 {
        self.records
    }
}

/// Reads somebody's counted position: the position of one moment, and the count that belongs to it.
pub(crate) fn read(words: &impl Shared, at: u64) -> Counted {
    // The writer can go on between our loads; a few tries find a quiet moment, else the caller has a
    // position without a count.
    let mut position = words.load(at, Acquire); // SYNC cursor
    for _ in 0..8 {
        for index in 0..2 {
            let pair = candidate(at, index);
            if words.load(pair, Acquire) == position {
                let records = words.load(pair + 8, Acquire);
                // The pair is refilled only after the position moved on, so an unchanged position
                // proves that the count was not being replaced. The fence keeps the second look behind.
                words.fence(Acquire);
                if words.load(pair, Relaxed) == position && words.load(at, Relaxed) == position {
                    return Counted {
                        position,
                        records: Some(records),
                    };
                }
            }
        }
        let again = words.load(at, Acquire);
        if again == position {
            break;
        }
        position = again;
    }
    Counted {
        position,
        records: None,
    }
}
