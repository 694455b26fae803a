//! A position with a count of records that belongs to exactly that position.
//!
//! Two plain words would disagree after a kill between their stores. So there are two words for the count, and
//! bit 0 of the position word, free because positions are multiples of 8, says which of them belongs to it.
//! The writer fills the other count first and then stores position and bit at once.
//!
//! Layout of the block: position and bit, count 0, count 1. The three words lie in one half of a cache line,
//! which a processor fills by one transfer.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::memory::{Shared, SharedMut};

/// Says which count belongs to the position.
const SELECTOR: u64 = 1;

/// The writer's view of its own counted position. Its fields share half a cache line too: private stores
/// between shared ones have their price as well.
#[derive(Clone, Debug)]
#[repr(C, align(32))]
pub(crate) struct Cursor {
    /// Offset of the block.
    at: u64,
    position: u64,
    records: u64,
    /// Which count is the current one.
    selector: u64,
}

/// What a reader found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) position: u64,
    /// `None` if the writer was faster than several looks.
    pub(crate) records: Option<u64>,
}

/// Offset of a count in the block.
#[inline(always)]
const fn count(at: u64, selector: u64) -> u64 {
    at + 8 + 8 * selector
}

/// The position in a position word.
#[inline(always)]
pub(crate) const fn position_of(word: u64) -> u64 {
    word & !7
}

impl Cursor {
    /// Begins anew at a position; stores it.
    pub(crate) fn begin(words: &impl SharedMut, at: u64, position: u64, records: u64) -> Self {
        let mut cursor = Cursor {
            at,
            position,
            records,
            selector: words.load(at, Relaxed) & SELECTOR,
        };
        cursor.publish(words, position, records);
        cursor
    }

    /// Everything up to `position`, that is `records` records, is published.
    #[inline(always)]
    pub(crate) fn publish(&mut self, words: &impl SharedMut, position: u64, records: u64) {
        self.selector ^= SELECTOR;
        self.position = position;
        self.records = records;
        // Release: a reader that sees this count, which belongs to a later position than the one it read,
        // must see at its second look that the position has moved on. So the store may not overtake the one
        // below of the time before.
        words.store(count(self.at, self.selector), records, Release);
        // SYNC cursor: publishes the count, and everything its writer did before.
        words.store(self.at, position | self.selector, Release);
    }

    #[inline(always)]
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    #[inline(always)]
    pub(crate) fn records(&self) -> u64 {
        self.records
    }
}

/// Reads somebody's counted position: the position of one moment, and the count that belongs to it.
pub(crate) fn read(words: &impl Shared, at: u64) -> Counted {
    let mut word = words.load(at, Acquire); // SYNC cursor
    // The writer can go on between our loads; a few tries find a quiet moment, else the caller has a
    // position without a count.
    for _ in 0..8 {
        let records = words.load(count(at, word & SELECTOR), Acquire);
        // A count is replaced only after the position has moved on to the other one, so an unchanged
        // position proves that this one was not. The fence keeps the second look behind the first.
        words.fence(Acquire);
        let again = words.load(at, Relaxed);
        if again == word {
            return Counted {
                position: position_of(word),
                records: Some(records),
            };
        }
        word = words.load(at, Acquire); // SYNC cursor
    }
    Counted {
        position: position_of(word),
        records: None,
    }
}
