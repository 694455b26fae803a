//! Slots of one size, written in turn by one writer that never waits: the protocol of snapshots, broadcasts and
//! guarded records.
//!
//! # In words
//!
//! Values are numbered: version v, from 1, goes into slot (v − 1) mod N. The slot's **mark** says 2v − 1 while
//! version v is written and 2v once it is complete; `write_seq` says v after that. So a mark names *its* version,
//! and nobody can take an old or a half-written value for a new one: "even" would not do, for a reader whose slot
//! was written over while it looked the other way would go back in time; counting the mark up would not do, for
//! the successor of a writer that died in the middle would count itself into step with the torn value.
//!
//! **A value is safe to use once it was copied, if the mark was exactly 2v before and after.** The writer stores
//! 2v − 1, then a Release fence, then the bytes (label `slot-open`); the reader copies the bytes, then an Acquire
//! fence, then looks at the mark again. If it copied a single byte of a later value, the two fences make the later
//! mark visible to it. The writer stores 2v by Release behind the bytes, and the reader loads it by Acquire before
//! them (label `slot-commit`): it copies nothing older than version v.
//!
//! `write_seq` is stored by Release behind the mark (label `slot-latest`): who reads v there finds 2v, or a later
//! mark, in the slot. A smaller one is a lie.
//!
//! **Overrun.** A reader that wants version v and finds the mark of a later one was lapped. It must not go on where it
//! likes: `write_seq` says how far the writer is, and how many versions are gone. That word may be a little older than
//! the mark, but by no more than one version: before each value stands a Release fence behind the `write_seq` of the
//! version before the last, and the reader's Acquire fence behind the mark meets it (label `slot-lapped`). An adopter
//! fences once itself, for its predecessor's fences are not its own. So whoever finds a mark further ahead than that was
//! told a lie, and cannot be sent to a version that is not there.
//!
//! **Death.** A writer that dies between the marks leaves 2v − 1 in the slot after the latest: nobody is pointed
//! there, and its successor writes version v there anew. One that dies between the mark and `write_seq` has
//! committed: some reader may have seen it. So a successor counts a complete slot behind the latest as the latest,
//! and says so before it goes on: a third one looks one slot behind the latest, and no further.
//!
//! **Numbers.** Versions end at 2^62: at one a nanosecond that is in 146 years. So nothing here wraps, and a word that
//! says more is a lie.

mod reader;
mod writer;

pub use reader::Start;
#[cfg(test)]
pub(crate) use reader::Tried;
pub(crate) use reader::{CursorReader, LatestReader, Next, Unread};
pub(crate) use writer::SlotWriter;

use std::sync::atomic::Ordering::{Acquire, Relaxed};

use super::Lie;
use super::checksum::checksum;
use crate::layout::slots::{self, Info};
use crate::memory::Shared;

/// A generation's geometry, read once from a header that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// A power of two.
    pub(crate) slots: u64,
    /// Bytes of the largest value.
    pub(crate) value: u32,
    /// The last version before this generation.
    pub(crate) base: u64,
    pub(crate) checksums: bool,
}

impl Shape {
    /// Offset of the slot of a version in the owner side.
    #[inline(always)]
    pub(crate) fn slot(self, version: u64) -> u64 {
        // Version 0 is none, but a lie may name it.
        let index = version.wrapping_sub(1) & (self.slots - 1);
        slots::PAYLOAD_OFFSET + index * slots::stride(self.value)
    }
}

/// The mark of a complete version.
#[inline(always)]
const fn complete(version: u64) -> u64 {
    2 * version
}

/// The mark of a version that is being written.
#[inline(always)]
const fn writing(version: u64) -> u64 {
    complete(version) - 1
}

fn wrong_mark(version: u64, found: u64) -> Lie {
    Lie {
        word: "mark of a slot",
        place: version,
        expected: "that of a version that belongs into the slot, near the latest",
        found,
    }
}

/// What stands beside a value's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) version: u64,
    pub(crate) kind: u16,
    pub(crate) time_ns: u64,
}

/// What came of an attempt to copy one version.
enum Copied {
    Whole(Meta),
    /// The slot has this mark, loaded by either look.
    Other(u64),
}

/// Copies a version out of its slot, if it is there and stays there.
#[inline(always)]
fn copy_out(
    owner: &impl Shared,
    shape: &Shape,
    version: u64,
    out: &mut Vec<u8>,
) -> Result<Copied, Lie> {
    let at = shape.slot(version);
    // SYNC slot-commit
    let mark = owner.load(at + slots::MARK, Acquire);
    if mark != complete(version) {
        return Ok(Copied::Other(mark));
    }
    let info = Info(owner.load(at + slots::INFO, Relaxed));
    let time_ns = owner.load(at + slots::TIME_NS, Relaxed);
    let sum = owner.load(at + slots::CHECKSUM, Relaxed);
    let fits = info.len() <= shape.value;
    if fits {
        let len = info.len() as usize;
        // Only what the buffer lacks is zeroed first; what it has is overwritten anyway.
        if out.len() < len {
            out.resize(len, 0);
        } else {
            out.truncate(len);
        }
        owner.copy_out(at + slots::HEADER, out);
    }
    // SYNC slot-open: the copy stays before the second look.
    owner.fence(Acquire);
    let mark = owner.load(at + slots::MARK, Relaxed);
    if mark != complete(version) {
        return Ok(Copied::Other(mark));
    }
    let lie = |word, expected, found| {
        Err(Lie {
            word,
            place: version,
            expected,
            found,
        })
    };
    if !fits {
        let found = info.len().into();
        return lie("length of a value", "at most the record size", found);
    }
    if shape.checksums && sum != u64::from(checksum(out)) {
        return lie("checksum of a value", "that of its bytes", sum);
    }
    Ok(Copied::Whole(Meta {
        version,
        kind: info.kind(),
        time_ns,
    }))
}
