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
//!
//! **Waiting.** The owner's bell is no bell for those who wait for the lock: after letting go the holder must not store to
//! the owner side, for by then it may be another's. So it rings the bell of *its own* seat, and `holder` says which that
//! is. See [`park`].

use std::num::NonZero;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::Lie;
use super::park;
use super::slots::{Meta, Shape, SlotWriter};
use crate::layout::guarded::{self, Condition};
use crate::layout::peers;
use crate::layout::seat::{self, SeatState};
use crate::memory::{Doorbell, Shared, SharedMut};

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
    /// The record of a fresh generation with nothing in it. Its creator holds it.
    #[cfg(test)]
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
    /// `me` says who holds it, and is not that of any holder before in another seat, or of the same seat's holders
    /// before: see [`holder_number`]. `repairing`: a record that is not recoverable is no reason to refuse.
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

/// The number of the holder in a seat: which seat, and which of its holders.
pub(crate) fn holder_number(seat: u32, state: SeatState) -> NonZero<u64> {
    NonZero::new(state.epoch() << 16 | u64::from(seat + 1)).expect("seats are counted from 1 here")
}

/// The seat in a holder's number; `None` for nobody's, and for one that no holder writes.
pub(crate) fn seat_of(number: u64, seats: u32) -> Option<u32> {
    (number & 0xffff)
        .checked_sub(1)
        .and_then(|seat| u32::try_from(seat).ok())
        .filter(|&seat| seat < seats)
}

/// Somebody in `seat` goes to sleep until the holder lets go, unless `try_lock` succeeds at the last moment or the
/// holder has changed meanwhile. `sleep` is given the bell of the holder's seat, and its value; nothing if `holder` says
/// nobody, as it does for a moment before whoever has the lock has said who it is: then it must sleep shortly.
///
/// Who lets go stores holder = 0, unlocks, and rings the bell of *its own* seat if anybody is parked ([`unlock`]).
/// One of the two fences comes first. The waiter's: then the ring finds it parked, and bumps the bell after it was
/// loaded. The other's: then the lock is seen free, or taken by somebody else since, and `holder` is not what it was,
/// for it was 0 in between. **Unless it is the same holder again**, who has the same number; then it has locked once
/// more since, will let go once more, and finds the waiter parked. So no number may come from two seats.
///
/// Nobody rings for a holder that died, or was killed before it rang, and who locks after a death has the dead one's
/// number to say for a moment: that costs a slice.
pub(crate) fn park<O, P>(
    owner: &O,
    peers: &P,
    seat: u32,
    seats: u32,
    try_lock: impl FnOnce() -> bool,
    sleep: impl FnOnce(Option<(u64, u32)>),
) where
    O: Shared,
    P: SharedMut + Doorbell,
{
    let holder = owner.load(guarded::HOLDER, Acquire);
    let bell = seat_of(holder, seats).map(|seat| {
        let at = peers::seat_at(seat) + seat::SEAT_BELL;
        (at, peers.load32(at, Acquire))
    });
    peers.store32(peers::parked(seat), 1, Relaxed);
    // SYNC park: the parked word before it, the lock and `holder` behind it.
    peers.heavy_fence();
    if !try_lock() && owner.load(guarded::HOLDER, Acquire) == holder {
        sleep(bell);
    }
    peers.store32(peers::parked(seat), 0, Relaxed);
}

/// The holder in `seat` unlocks, and wakes who waits for that. It has released the record before, if it has not died so
/// to speak.
pub(crate) fn unlock<P>(peers: &P, seat: u32, seats: u32, unlock: impl FnOnce())
where
    P: SharedMut + Doorbell,
{
    unlock();
    // SYNC park: holder = 0 and the unlocking before it, the parked words behind it.
    if park::sleepers(peers, peers, seats) != 0 {
        let at = peers::seat_at(seat) + seat::SEAT_BELL;
        let bell = peers.load32(at, Relaxed);
        peers.store32(at, bell.wrapping_add(1), Release);
        peers.wake(at);
    }
}
