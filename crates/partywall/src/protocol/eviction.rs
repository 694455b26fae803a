//! What an owner remembers of its seats, and how it stops counting one whose holder is dead or lies.
//!
//! An eviction is one store of the verdict word. It names the epoch, so that it is over when the next holder comes,
//! and says which of two counts of lost records is valid, so that a loss is counted by the very store that decides it.
//!
//! Where the channel grows, what was lost at a seat goes over on the owner side: the holder that comes over begins a new
//! account, and the owner says in the next generation what all before it lost. While somebody sits in the old one that
//! may be too little; it is said again before that one goes.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::layout::seat::{self, SeatState};
use crate::layout::verdict::{self, Evicted, EvictionReason};
use crate::layout::{owner, peers};
use crate::memory::{Shared, SharedMut};
use crate::protocol::SeatLocks;
use crate::protocol::seats::abandoned;

/// One seat, to notice when its holder goes back on its word.
#[derive(Clone, Copy, Debug, Default)]
struct Watch {
    /// The epoch that was evicted last.
    evicted: u64,
    state: u64,
    position: u64,
}

/// All seats of a generation.
#[derive(Debug)]
pub(crate) struct Watches(Vec<Watch>);

impl Watches {
    pub(crate) fn new(seats: u32) -> Self {
        Watches(vec![Watch::default(); seats as usize])
    }

    /// With the verdicts that an earlier owner left.
    pub(crate) fn adopt(owner: &impl Shared, seats: u32) -> Self {
        let watch = |seat| {
            let word = owner.load(verdict::at(seat) + verdict::EVICTED, Relaxed);
            Watch {
                evicted: Evicted(word).epoch(),
                ..Watch::default()
            }
        };
        Watches((0..seats).map(watch).collect())
    }

    /// Whether the holder that this state word is of was evicted.
    #[inline]
    pub(crate) fn is_evicted(&self, seat: u32, state: SeatState) -> bool {
        state.epoch() == self.0[seat as usize].evicted && state.epoch() != 0
    }

    /// Whether a position was taken back under one state word. If not, it is remembered.
    #[inline]
    pub(crate) fn goes_back(&mut self, seat: u32, state: SeatState, position: u64) -> bool {
        let watch = &mut self.0[seat as usize];
        if watch.state == state.0 && (position.wrapping_sub(watch.position) as i64) < 0 {
            return true;
        }
        watch.state = state.0;
        watch.position = position;
        false
    }

    /// Stops counting a seat whose words no honest holder writes. Its records are not counted as lost: what
    /// it says about itself is worth nothing.
    pub(crate) fn evict_liar(&mut self, owner: &impl SharedMut, seat: u32, state: SeatState) {
        let at = verdict::at(seat);
        let selector = Evicted(owner.load(at + verdict::EVICTED, Relaxed)).selector();
        let word = Evicted::new(state.epoch(), EvictionReason::Lied, selector);
        owner.store(at + verdict::EVICTED, word.0, Release);
        owner.count(owner::LIES, 1);
        self.0[seat as usize].evicted = state.epoch();
    }

    /// Evicts every seat of `candidates` whose holder is dead, if the pattern says that its state allows it; how
    /// many. `unread` counts what it left.
    pub(crate) fn evict_dead(
        &mut self,
        owner: &impl SharedMut,
        peers: &impl Shared,
        locks: &impl SeatLocks,
        candidates: u64,
        evictable: impl Fn(SeatState) -> bool,
        unread: impl Fn(u32, SeatState) -> u64,
    ) -> u32 {
        let mut evicted = 0;
        for seat in (0..self.0.len() as u32).filter(|seat| candidates >> seat & 1 != 0) {
            let state_at = peers::seat_at(seat) + seat::STATE;
            let before = SeatState(peers.load(state_at, Acquire));
            if !evictable(before) || self.0[seat as usize].evicted == before.epoch() {
                continue;
            }
            if !locks.try_lock(seat) {
                continue;
            }
            // Read again under the lock: somebody may have taken the seat over and left again.
            let state = SeatState(peers.load(state_at, Acquire));
            if state == before {
                self.evict_locked(owner, seat, state, unread(seat, state));
                evicted += 1;
            }
            locks.unlock(seat);
        }
        evicted
    }

    fn evict_locked(&mut self, owner: &impl SharedMut, seat: u32, state: SeatState, unread: u64) {
        let at = verdict::at(seat);
        let selector = Evicted(owner.load(at + verdict::EVICTED, Relaxed)).selector();
        let lost = [at + verdict::LOST_0, at + verdict::LOST_1];
        let total = owner.load(lost[selector as usize], Relaxed);
        owner.store(
            lost[1 - selector as usize],
            total.wrapping_add(unread),
            Relaxed,
        );
        // One store decides both: evicted, and how many were lost by it.
        let word = Evicted::new(state.epoch(), EvictionReason::Dead, 1 - selector);
        owner.store(at + verdict::EVICTED, word.0, Release);
        owner.count(owner::EVICTIONS, 1);
        self.0[seat as usize].evicted = state.epoch();
    }
}

/// Says in the next generation what the seats of this one lost, here and before. Whoever comes over takes nothing of it
/// along, so it may be said as often as one likes; what is said when nobody sits here any more is final.
pub(crate) fn carry_losses(
    owner: &impl Shared,
    peers: &impl Shared,
    seats: u32,
    next: &impl SharedMut,
) {
    for seat in 0..seats {
        let (at, verdict) = (peers::seat_at(seat), verdict::at(seat));
        // Acquire: the counts that belong to it were stored before.
        let epoch = SeatState(peers.load(at + seat::STATE, Acquire)).epoch();
        let selector = Evicted(owner.load(verdict + verdict::EVICTED, Relaxed)).selector();
        let lost = [
            owner.load(verdict + verdict::FORMER, Relaxed),
            owner.load(verdict + verdict::LOST_0 + 8 * selector, Relaxed),
            peers.load(at + abandoned(epoch), Relaxed),
            peers.load(at + seat::UNREAD, Relaxed),
        ];
        let lost = lost.into_iter().fold(0, u64::wrapping_add);
        next.store(verdict + verdict::FORMER, lost, Relaxed);
    }
}
