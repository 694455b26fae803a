//! Readers: they store nothing, so there can be any number of them.

use std::sync::atomic::Ordering::Acquire;

use super::{Copied, Meta, Shape, complete, copy_out};
use crate::layout::owner;
use crate::memory::Shared;
use crate::protocol::Lie;

/// How often a reader of the latest value tries before it says that the writer is too fast for it.
const TRIES: u32 = 64;

/// Why nothing was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// Each value was written over while it was copied.
    Contended,
    Lie(Lie),
}

impl From<Lie> for Unread {
    fn from(lie: Lie) -> Self {
        Unread::Lie(lie)
    }
}

/// Reads the latest value, whichever that is.
#[derive(Debug)]
pub(crate) struct LatestReader<O> {
    owner: O,
    shape: Shape,
    /// The version that was read last.
    seen: u64,
}

impl<O: Shared> LatestReader<O> {
    pub(crate) fn new(owner: O, shape: Shape) -> Self {
        LatestReader {
            owner,
            shape,
            seen: shape.base,
        }
    }

    pub(crate) fn owner(&self) -> &O {
        &self.owner
    }

    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }

    /// Whether there is a value that was not read yet.
    #[inline(always)]
    pub(crate) fn has_news(&self) -> bool {
        self.owner.load(owner::WRITE_SEQ, Acquire) != self.seen
    }

    /// Copies the latest value; `None` if there is none yet.
    #[inline(always)]
    pub(crate) fn read(&mut self, out: &mut Vec<u8>) -> Result<Option<Meta>, Unread> {
        let mut first = None;
        for _ in 0..TRIES {
            // SYNC slot-latest
            let version = self.owner.load(owner::WRITE_SEQ, Acquire);
            if (version.wrapping_sub(self.seen) as i64) < 0 {
                return Err(Unread::Lie(Lie {
                    word: "write_seq",
                    place: owner::WRITE_SEQ,
                    expected: "no version before the one that was read",
                    found: version,
                }));
            }
            if version == self.shape.base {
                return Ok(None);
            }
            match copy_out(&self.owner, &self.shape, version, out)? {
                Copied::Whole(meta) => {
                    self.seen = version;
                    return Ok(Some(meta));
                }
                Copied::Other(mark) => match first {
                    None => first = Some((version, mark)),
                    // Nothing moves and nothing fits: no writer leaves that behind.
                    Some(before) if before == (version, mark) && !is_ahead(mark, version) => {
                        return Err(Unread::Lie(wrong_mark(version, mark)));
                    }
                    Some(_) => {}
                },
            }
            std::hint::spin_loop();
        }
        Err(Unread::Contended)
    }
}

/// Whether the mark is of a later version than this.
fn is_ahead(mark: u64, version: u64) -> bool {
    mark.wrapping_sub(complete(version)) as i64 > 0
}

fn wrong_mark(version: u64, found: u64) -> Lie {
    Lie {
        word: "mark of a slot",
        place: version,
        expected: "that of a version that belongs into the slot, and is not far ahead",
        found,
    }
}

/// Where a reader of every value begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// The oldest value that is safe to read for some time yet.
    Oldest,
    /// The newest that is there.
    Newest,
    /// What is written from now on.
    Next,
    /// This version.
    At(u64),
}

/// What a reader of every value finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Value(Meta),
    /// Nothing yet.
    Nothing,
    /// The writer has lapped the reader, which goes on so many versions later.
    Overrun(u64),
}

/// Reads every value in turn, or says exactly how many it missed.
#[derive(Debug)]
pub(crate) struct CursorReader<O> {
    owner: O,
    shape: Shape,
    /// The version to read next.
    next: u64,
}

impl<O: Shared> CursorReader<O> {
    pub(crate) fn new(owner: O, shape: Shape, start: Start) -> Self {
        let latest = owner.load(owner::WRITE_SEQ, Acquire);
        let next = match start {
            Start::Oldest => oldest(&shape, latest),
            Start::Newest if latest != shape.base => latest,
            Start::Newest | Start::Next => latest.wrapping_add(1),
            Start::At(version) => version,
        };
        CursorReader { owner, shape, next }
    }

    pub(crate) fn owner(&self) -> &O {
        &self.owner
    }

    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The version to read next.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Whether [`Self::read`] would find something.
    #[inline(always)]
    pub(crate) fn has_news(&self) -> bool {
        let mark = self.owner.load(
            self.shape.slot(self.next) + crate::layout::slots::MARK,
            Acquire,
        );
        mark.wrapping_sub(complete(self.next)) as i64 >= 0
    }

    /// Copies the next value.
    #[inline(always)]
    pub(crate) fn read(&mut self, out: &mut Vec<u8>) -> Result<Next, Lie> {
        let version = self.next;
        match copy_out(&self.owner, &self.shape, version, out)? {
            Copied::Whole(meta) => {
                self.next = version.wrapping_add(1);
                Ok(Next::Value(meta))
            }
            Copied::Other(mark) if is_ahead(mark, version) => self.overrun(mark),
            Copied::Other(_) => Ok(Next::Nothing),
        }
    }

    /// The slot has a later version's mark: goes on where some time is left before the writer comes round again.
    #[cold]
    fn overrun(&mut self, mark: u64) -> Result<Next, Lie> {
        let marked = mark.wrapping_add(1) / 2;
        let latest = self.owner.load(owner::WRITE_SEQ, Acquire);
        // A complete mark's version is the latest or one after it by the time we see it, an incomplete one's at
        // most two after it, for the store of `write_seq` before it may still be under way.
        let ahead = marked.wrapping_sub(latest) as i64;
        if ahead > 2 || self.shape.slot(marked) != self.shape.slot(self.next) {
            return Err(wrong_mark(self.next, mark));
        }
        let latest = if ahead > 0 { marked } else { latest };
        let resume = oldest(&self.shape, latest);
        // At least the one that was looked for is gone.
        let lost = (resume.wrapping_sub(self.next) as i64).max(1) as u64;
        self.next = self.next.wrapping_add(lost);
        Ok(Next::Overrun(lost))
    }
}

/// The oldest version that can be read while the writer writes some more: a quarter of the slots is left to it.
fn oldest(shape: &Shape, latest: u64) -> u64 {
    let kept = shape.slots - (shape.slots / 4).max(1);
    // No more than there are.
    let there = latest.wrapping_sub(shape.base);
    latest.wrapping_add(1).wrapping_sub(kept.min(there))
}
