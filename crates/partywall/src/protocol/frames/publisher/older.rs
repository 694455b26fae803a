//! What a publisher still looks at in the generations before its own.
//!
//! # In words
//!
//! A pool never grows in place: the publisher makes the next generation, whose base is its last frame, and publishes
//! only there from then on (see [`crate::protocol::growth`]). A subscriber takes what is left in the old one, claims its
//! seat in the new one at the base, and *only then* gives the old seat up. So whoever looks at the old seat first, and
//! at the new one then, finds it in one of them (label `move`).
//!
//! **A reliable subscriber that is still in an older generation counts as standing at the base of the current one**: it
//! has passed no frame of that, so none may be written over. What it reads and holds over there is of no account here,
//! for over there nobody writes any more. One that is JOINING over there counts in the same way: it may have found
//! READY, and will come then. A lossy one is waited for nowhere.
//!
//! **Who moved and still holds frames is LEFT over there**: nothing is waited for, but its memory stays. Were it
//! ACTIVE until the last frame is given back, the publisher would wait for a subscriber that waits for the publisher.
//! Were it FREE, nobody could tell that the memory is in use. The lock of that seat is held until the last frame was
//! given back, so the kernel says when the generation may go, also of the dead; and who has mapped it keeps the
//! mapping, whatever becomes of its names.

use std::sync::atomic::Ordering::Acquire;

use super::Publisher;
use crate::layout::peers;
use crate::layout::seat::{self, Claim, SeatState};
use crate::memory::{Shared, SharedMut};
use crate::protocol::SeatLocks;
use crate::protocol::growth::{Later, Older};

impl<O: SharedMut, P: Shared> Publisher<O, P> {
    /// The generations before this one that somebody may still come from, oldest first.
    pub(crate) fn older(&mut self) -> &mut Vec<Older<Self>> {
        &mut self.older
    }

    /// The same, to look at.
    pub(crate) fn kept(&self) -> &[Older<Self>] {
        &self.older
    }

    /// The seats of reliable subscribers that have not come over from an older generation, one bit each.
    pub(super) fn look_at_older(&mut self) -> u64 {
        // SYNC move: the oldest first, for who moves goes from one to the next.
        self.older
            .iter_mut()
            .filter(|older| !older.durable_only)
            .fold(0, |seats, older| seats | older.role.stragglers())
    }

    /// Reliable subscribers of this generation, which was replaced: who has not come over.
    fn stragglers(&mut self) -> u64 {
        let mut stragglers = 0;
        for seat in 0..self.shape.pool.seats {
            let at = peers::seat_at(seat);
            // SYNC move
            let state = SeatState(self.peers.load(at + seat::STATE, Acquire));
            if self.watches.is_evicted(seat, state) {
                continue;
            }
            let honest = match state.claim() {
                Some(Claim::Free | Claim::Left) => continue,
                // Epochs begin at 1: somebody scribbled, and nobody who sits there can be evicted by it.
                Some(_) if state.epoch() == 0 => continue,
                Some(_) if state.durable() => false,
                Some(Claim::Joining | Claim::Active) if state.lossy() => continue,
                Some(Claim::Joining) => true,
                Some(Claim::Active) => {
                    let cursor = self.peers.load(at + seat::READ_SEQ, Acquire);
                    self.position.wrapping_sub(cursor) <= self.shape.pool.slots.into()
                        && !self.watches.goes_back(seat, state, cursor)
                }
                Some(Claim::Absent) | None => false,
            };
            if honest {
                stragglers |= 1 << seat;
            } else {
                self.watches.evict_liar(&self.owner, seat, state);
            }
        }
        stragglers
    }

    /// Evicts whoever died in this generation, which was replaced; how many. What it had not come to includes what was
    /// published after this generation.
    pub(crate) fn evict_left_behind(
        &mut self,
        locks: &impl SeatLocks,
        later: &Later<'_, P>,
    ) -> u32 {
        let beyond = later.records.wrapping_sub(self.position);
        self.evict(locks, u64::MAX, |seat| {
            // One that was killed between its two seats is counted where it was to go on.
            if later.has(seat) { 0 } else { beyond }
        })
    }

    /// Subscribers of this generation, one bit each; dead ones that nobody has noticed yet included.
    pub(super) fn attached(&self) -> u64 {
        let is_there = |&seat: &u32| {
            let at = peers::seat_at(seat);
            let state = SeatState(self.peers.load(at + seat::STATE, Acquire));
            state.claim() == Some(Claim::Active) && !self.watches.is_evicted(seat, state)
        };
        (0..self.shape.pool.seats)
            .filter(is_there)
            .fold(0, |seats, seat| seats | 1 << seat)
    }
}
