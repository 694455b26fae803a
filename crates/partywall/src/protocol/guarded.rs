//! A record that several processes write in turn, under a lock that the kernel gives back when its holder dies.
//!
//! # In words
//!
//! The lock is the channel's owner lock: whoever holds it owns the channel for that time, so every byte has one
//! writer at a time here too. The value lies in [slots](super::slots): a holder edits a copy, and commits it as the
//! next version. **The record is old or new and never torn, wherever the holder dies**, and readers lock nothing.
//!
//! What the lock cannot say is *how* it was given back. The word `holder` does: it is not 0 from the moment a holder
//! may change something until it is through.
//!
//! | state | holder | condition | comes from |
//! |---|---|---|---|
//! | CLEAN | 0 | CONSISTENT | a release in order |
//! | HELD | the holder's number | as it was | a lock, on CLEAN, on DIED (told so), or to repair on LOST |
//! | DIED | a dead one's number | CONSISTENT | the holder's death |
//! | LOST | any | NOT_RECOVERABLE | a release by one who was told, and did not call the record consistent |
//!
//! **A death is news until somebody has dealt with it.** The next holder stores its own number over the dead one's, by one
//! store and never through 0: if it dies too, wherever, the word is still not 0, and the one after it is told. Only a
//! release stores 0, and only behind everything else: behind what was committed, and behind `condition`.
//!
//! **Giving up.** A holder that was told and releases without calling the record consistent stores NOT_RECOVERABLE, *then*
//! holder = 0. Killed in between, it leaves NOT_RECOVERABLE too; killed before, the news. From then on every lock is
//! refused, without a store, until somebody repairs: a repairer is a holder like any other, and NOT_RECOVERABLE
//! stays until it calls the record consistent. It does so while `holder` names it, so a repairer that dies after that
//! is a holder that died.

use std::num::NonZero;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::Lie;
use super::slots::{Meta, Shape, SlotWriter};
use crate::layout::guarded::{self, Condition};
use crate::memory::SharedMut;

/// What a holder found when it took the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Clean,
    /// The holder before died. The value is the last one that was committed.
    OwnerDied,
    /// The holder before was told so, and gave up.
    NotRecoverable,
}

/// Why a lock cannot be held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It must be repaired first.
    NotRecoverable,
    Lie(Lie),
}

impl From<Lie> for Refused {
    fn from(lie: Lie) -> Self {
        Refused::Lie(lie)
    }
}

/// The record, while this process holds its lock.
#[derive(Debug)]
pub(crate) struct Held<O> {
    slots: SlotWriter<O>,
    found: Found,
    /// What was found needs nobody's word, or has it.
    settled: bool,
}

impl<O: SharedMut> Held<O> {
    /// The record of a fresh generation, not yet published, with nothing in it. Its creator holds it.
    pub(crate) fn create(owner: O, shape: Shape, me: NonZero<u64>) -> Self {
        owner.store(guarded::HOLDER, me.get(), Relaxed);
        Held {
            slots: SlotWriter::create(owner, shape),
            found: Found::Clean,
            settled: true,
        }
    }

    /// Takes the record over. Called with the lock held; if it is refused, nothing was stored, and the caller unlocks.
    ///
    /// `me` is drawn anew for each lock. `repairing`: a record that is not recoverable is no reason to refuse.
    pub(crate) fn lock(
        owner: O,
        shape: Shape,
        me: NonZero<u64>,
        repairing: bool,
    ) -> Result<Self, Refused> {
        let number = owner.load(guarded::CONDITION, Acquire);
        let found = match Condition::from_number(number) {
            Some(Condition::Consistent) if owner.load(guarded::HOLDER, Acquire) == 0 => {
                Found::Clean
            }
            Some(Condition::Consistent) => Found::OwnerDied,
            Some(Condition::NotRecoverable) if repairing => Found::NotRecoverable,
            Some(Condition::NotRecoverable) => return Err(Refused::NotRecoverable),
            None => {
                return Err(Refused::Lie(Lie {
                    word: "condition",
                    place: guarded::CONDITION,
                    expected: "0 or 1",
                    found: number,
                }));
            }
        };
        // Another process may have written since this one last did, or died between a mark and `write_seq`.
        let slots = SlotWriter::adopt(owner, shape)?;
        let owner = slots.owner();
        owner.store(guarded::HOLDER, me.get(), Relaxed);
        // Nothing is changed before it is said who does.
        owner.fence(Release);
        owner.count(guarded::LOCKS, 1);
        if found == Found::OwnerDied {
            owner.count(guarded::OWNER_DEATHS, 1);
        }
        Ok(Held {
            slots,
            found,
            settled: found == Found::Clean,
        })
    }

    pub(crate) fn found(&self) -> Found {
        self.found
    }

    /// Whether a release would not give up.
    pub(crate) fn settled(&self) -> bool {
        self.settled
    }

    pub(crate) fn slots(&self) -> &SlotWriter<O> {
        &self.slots
    }

    /// Copies the value; `None` if there never was one.
    pub(crate) fn read(&self, out: &mut Vec<u8>) -> Result<Option<Meta>, Lie> {
        self.slots.read(out)
    }

    /// Makes this the value, by one store; the caller has checked that it is not too large.
    pub(crate) fn commit(&mut self, bytes: &[u8], kind: u16, time_ns: u64) {
        self.slots.put(bytes, kind, time_ns);
    }

    /// The value is as it should be, whatever befell those before.
    pub(crate) fn mark_consistent(&mut self) {
        if self.found == Found::NotRecoverable && !self.settled {
            let owner = self.slots.owner();
            owner.count(guarded::REPAIRS, 1);
            // Behind what was committed to repair it.
            let consistent = Condition::Consistent.number();
            owner.store(guarded::CONDITION, consistent, Release);
        }
        self.settled = true;
    }

    /// Lets go of the record, and gives it up if nobody called it consistent. The caller unlocks then.
    pub(crate) fn release(self) {
        let owner = self.slots.owner();
        if !self.settled {
            let lost = Condition::NotRecoverable.number();
            owner.store(guarded::CONDITION, lost, Relaxed);
            owner.count(guarded::GIVEN_UP, 1);
        }
        // Release: last of all, for it says that nobody died.
        owner.store(guarded::HOLDER, 0, Release);
    }
}
