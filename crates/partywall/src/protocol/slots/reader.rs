//! Readers: they store nothing, so there can be any number of them.

use std::sync::atomic::Ordering::Acquire;

use super::{Copied, Meta, Shape, complete, copy_out, wrong_mark};
use crate::layout::{owner, slots};
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

/// The version in `write_seq`, which cannot be smaller than `least`.
#[inline(always)]
pub(super) fn latest(owner: &impl Shared, least: u64) -> Result<u64, Lie> {
    // SYNC slot-latest
    let found = owner.load(owner::WRITE_SEQ, Acquire);
    if (least..=slots::LAST_VERSION).contains(&found) {
        return Ok(found);
    }
    Err(Lie {
        word: "write_seq",
        place: owner::WRITE_SEQ,
        expected: "a version, none before what it was",
        found,
    })
}

/// The same, believed only if that version is there, or was.
fn latest_there(owner: &impl Shared, shape: &Shape, least: u64) -> Result<u64, Lie> {
    let version = latest(owner, least)?;
    if version != shape.base {
        let mark = owner.load(shape.slot(version) + slots::MARK, Acquire);
        if mark < complete(version) {
            return Err(wrong_mark(version, mark));
        }
    }
    Ok(version)
}

/// The newest complete version that can be known, for a reader that wanted `version` and found another mark in its
/// slot: that of a later version, or somebody lies.
#[cold]
fn newest(owner: &impl Shared, shape: &Shape, version: u64, mark: u64) -> Result<u64, Lie> {
    // SYNC slot-lapped: the second look at a mark was no Acquire load.
    owner.fence(Acquire);
    let latest = latest_there(owner, shape, shape.base)?;
    // While version m is written, m - 1 is complete.
    let whole = mark / 2;
    let belongs = shape.slot(mark.div_ceil(2)) == shape.slot(version);
    if mark <= complete(version) || !belongs || whole > latest + 1 {
        return Err(wrong_mark(version, mark));
    }
    Ok(latest.max(whole))
}

/// Reads the latest value, whichever that is.
#[derive(Debug)]
pub(crate) struct LatestReader<O> {
    owner: O,
    shape: Shape,
    /// The version that was read last.
    seen: u64,
}

/// What one attempt to read the latest value comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tried {
    Value(Meta),
    /// There is none yet.
    Nothing,
    /// It was written over meanwhile; there is a later one.
    Lapped,
}

impl<O: Shared> LatestReader<O> {
    pub(crate) fn new(owner: O, shape: Shape) -> Self {
        LatestReader {
            owner,
            shape,
            seen: shape.base,
        }
    }

    /// The same for a reader that goes on in another generation of the channel: what it has seen is no news there. A
    /// generation begins at most one version before where the one before it ended, for the latest is written again.
    pub(crate) fn going_on(owner: O, shape: Shape, seen: u64) -> Self {
        LatestReader {
            seen: seen.clamp(shape.base, shape.base + 1),
            owner,
            shape,
        }
    }

    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The version that was read last; where the generation begins, if none was.
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
        for _ in 0..TRIES {
            match self.try_read(out)? {
                Tried::Value(meta) => return Ok(Some(meta)),
                Tried::Nothing => return Ok(None),
                Tried::Lapped => std::hint::spin_loop(),
            }
        }
        Err(Unread::Contended)
    }

    /// The same, once.
    #[inline(always)]
    pub(crate) fn try_read(&mut self, out: &mut Vec<u8>) -> Result<Tried, Lie> {
        let version = latest(&self.owner, self.seen)?;
        if version == self.shape.base {
            return Ok(Tried::Nothing);
        }
        match copy_out(&self.owner, &self.shape, version, out)? {
            Copied::Whole(meta) => {
                self.seen = version;
                Ok(Tried::Value(meta))
            }
            Copied::Other(mark) => {
                newest(&self.owner, &self.shape, version, mark)?;
                Ok(Tried::Lapped)
            }
        }
    }
}

/// Where a reader of every value begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The oldest value that is safe to read for some time yet.
    Oldest,
    /// The newest that is there; if there is none yet, the first.
    Newest,
    /// What is written from now on.
    Next,
    /// The one with this sequence, counted from 1. What is gone of it and those after it is counted as an overrun;
    /// one that is still to come is waited for.
    At(u64),
}

/// What a reader of every value finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Value(Meta),
    /// So many versions were written over unread; the reader goes on behind them.
    Overrun(u64),
}

/// Reads every value in turn, or says exactly how many it missed.
#[derive(Debug)]
pub(crate) struct CursorReader<O> {
    owner: O,
    shape: Shape,
    /// The version to read next.
    next: u64,
    /// What `write_seq` cannot be smaller than.
    least: u64,
}

impl<O: Shared> CursorReader<O> {
    pub(crate) fn new(owner: O, shape: Shape, start: Start) -> Result<Self, Lie> {
        let latest = latest_there(&owner, &shape, shape.base)?;
        let next = match start {
            Start::Oldest => oldest(&shape, latest),
            Start::Newest => latest.max(shape.base + 1),
            Start::Next => latest + 1,
            // There is no version 0, and none after the last: it waits for ever.
            Start::At(version) => version.clamp(1, slots::LAST_VERSION),
        };
        Ok(CursorReader {
            owner,
            shape,
            next,
            least: latest,
        })
    }

    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The version to read next.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Whether [`Self::read`] would find something.
    #[cfg(test)]
    pub(crate) fn has_news(&self) -> bool {
        let at = self.shape.slot(self.next) + slots::MARK;
        self.next <= self.shape.base || self.owner.load(at, Acquire) > super::writing(self.next)
    }

    /// Copies the next value; `None` if there is none yet.
    #[inline(always)]
    pub(crate) fn read(&mut self, out: &mut Vec<u8>) -> Result<Option<Next>, Lie> {
        let version = self.next;
        if version <= self.shape.base {
            // It was in an earlier generation.
            let latest = latest_there(&self.owner, &self.shape, self.least)?;
            return Ok(Some(self.skip(latest)));
        }
        match copy_out(&self.owner, &self.shape, version, out)? {
            Copied::Whole(meta) => {
                self.next = version + 1;
                // `write_seq` is stored behind the mark.
                self.least = self.least.max(version - 1);
                Ok(Some(Next::Value(meta)))
            }
            Copied::Other(mark) if mark > complete(version) => {
                let newest = newest(&self.owner, &self.shape, version, mark)?;
                Ok(Some(self.skip(newest)))
            }
            Copied::Other(mark) => {
                if mark != 0 && self.shape.slot(mark.div_ceil(2)) != self.shape.slot(version) {
                    return Err(wrong_mark(version, mark));
                }
                Ok(None)
            }
        }
    }

    /// What nobody sees who only waits for the next mark: whether the writer's words went back. For now and then.
    pub(crate) fn check(&self) -> Result<(), Lie> {
        latest_there(&self.owner, &self.shape, self.least).map(drop)
    }

    /// Goes on where some time is left before the writer comes round again.
    ///
    /// That is behind `next`. A version of this generation was lapped by one that is whole laps later, so `newest` is
    /// at least a lap less one later, and fewer than all slots are kept. One of an earlier generation is not later
    /// than `base`, and the oldest version is.
    #[cold]
    fn skip(&mut self, newest: u64) -> Next {
        let resume = oldest(&self.shape, newest);
        let lost = resume - self.next;
        self.next = resume;
        self.least = self.least.max(newest - 1);
        Next::Overrun(lost)
    }
}

/// The oldest version that can be read while the writer writes some more: a quarter of the slots is left to it. The
/// one after the latest if there is none.
fn oldest(shape: &Shape, latest: u64) -> u64 {
    let kept = shape.slots - (shape.slots / 4).max(1);
    // No more than there are.
    latest + 1 - kept.min(latest - shape.base)
}
