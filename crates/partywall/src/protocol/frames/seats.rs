//! Taking a seat and giving it up. Every function here is called under the seat's lock, which its holder keeps for
//! as long as it sits there.
//!
//! ```text
//!             join                   leave, with frames in hand
//!   FREE ───► JOINING ───► ACTIVE ──────► LEFT
//!    ▲ │         │         ▲ │              │ the last one is given back
//!    │ └─────────┼─────────┘ │              │
//!    │  move in  │           │              │
//!    └───────────┴───────────┴──────────────┘
//!      settle (of a dead one), leave
//! ```
//!
//! Who moves to the next generation is ACTIVE there before it leaves the old one, with or without frames.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

use super::Shape;
use crate::layout::header::{self, State};
use crate::layout::seat::{self, Claim, SeatState};
use crate::layout::{owner, peers};
use crate::memory::{Shared, SharedMut};
use crate::protocol::seats::{Refused, abandoned, is_evicted, leave, store_name};

/// How a subscriber wants to be served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    /// Frames that it has not come to may be written over.
    pub(crate) lossy: bool,
    /// It begins so many frames back, as far as they are kept.
    pub(crate) back: u32,
}

/// A seat that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) state: SeatState,
    /// The last frame before the first one that it gets.
    pub(crate) cursor: u64,
}

/// Takes a seat: settles what a dead holder left, then joins.
pub(crate) fn take<O: Shared, P: SharedMut>(
    owner: &O,
    peers: &P,
    shape: &Shape,
    seat: u32,
    wish: Wish,
) -> Result<Taken, Refused> {
    let at = peers::seat_at(seat);
    let mut state = SeatState(peers.load(at + seat::STATE, Acquire));
    if state.claim() == Some(Claim::Active) && !is_evicted(owner, seat, state) {
        state = settle(owner, peers, shape, seat, state);
    }
    join(owner, peers, shape, seat, state, wish)
}

/// Frames that the holder of a seat had not come to when `written` were published. A seat that claims the impossible
/// left nothing that could be counted.
pub(crate) fn unread(
    peers: &impl Shared,
    seat: u32,
    state: SeatState,
    base: u64,
    written: u64,
) -> u64 {
    if state.claim() != Some(Claim::Active) {
        return 0;
    }
    let cursor = peers.load(peers::seat_at(seat) + seat::READ_SEQ, Acquire);
    let unread = written.wrapping_sub(cursor);
    // It may stand one past `write_seq`, which is stored after the descriptor.
    if unread <= written.wrapping_sub(base) {
        unread
    } else {
        0
    }
}

/// Counts what a dead holder left unread, and frees its seat, by one store.
fn settle<O: Shared, P: SharedMut>(
    owner: &O,
    peers: &P,
    shape: &Shape,
    seat: u32,
    state: SeatState,
) -> SeatState {
    let at = peers::seat_at(seat);
    let epoch = state.next_epoch();
    let written = owner.load(owner::WRITE_SEQ, Acquire);
    let before = peers.load(at + abandoned(state.epoch()), Relaxed);
    let unread = unread(peers, seat, state, shape.base, written);
    peers.store(at + abandoned(epoch), before.wrapping_add(unread), Relaxed);
    // The count is of this epoch: the store that frees the seat makes it valid. Release: also for the dead one's last
    // use of its frames, which the kernel's lock has put before us.
    let free = SeatState::new(epoch, Claim::Free, false);
    peers.store(at + seat::STATE, free.0, Release);
    free
}

/// Joins: the first frame is the one after `write_seq`, or some of those that are kept.
fn join<O: Shared, P: SharedMut>(
    owner: &O,
    peers: &P,
    shape: &Shape,
    seat: u32,
    state: SeatState,
    wish: Wish,
) -> Result<Taken, Refused> {
    let at = peers::seat_at(seat);
    let epoch = state.next_epoch();
    // What dead holders abandoned stays counted, at the new epoch's parity.
    let carried = peers.load(at + abandoned(state.epoch()), Relaxed);
    peers.store(at + abandoned(epoch), carried, Relaxed);
    clear_pins(peers, shape, at);
    let state_of = |claim| SeatState::new(epoch, claim, false).with_lossy(wish.lossy);
    // Release: whoever sees JOINING sees the words above.
    peers.store(at + seat::STATE, state_of(Claim::Joining).0, Release);
    // SYNC frame-join: JOINING before it, write_seq behind it.
    owner.fence(SeqCst);
    // Ready still? Else a publisher that looks only at later generations would not see this seat.
    if State(owner.load32(header::STATE, Acquire)) != State::READY {
        let free = SeatState::new(epoch, Claim::Free, false);
        peers.store(at + seat::STATE, free.0, Release);
        return Err(Refused::NotReady);
    }
    // SYNC frame-commit: whatever was published before is described.
    let written = owner.load(owner::WRITE_SEQ, Acquire);
    let there = written.wrapping_sub(shape.base);
    let back = there.min(wish.back.min(shape.pool.history).into());
    let cursor = written.wrapping_sub(back);
    peers.store(at + seat::READ_SEQ, cursor, Relaxed);
    store_name(peers, at, "");
    let active = state_of(Claim::Active);
    // Whoever sees ACTIVE sees the cursor.
    peers.store(at + seat::STATE, active.0, Release);
    Ok(Taken {
        state: active,
        cursor,
    })
}

/// A subscriber that has come to the last frame of its generation goes over to the next one, whose base that is: claims
/// its seat there, at the same index, by one store, and only then gives up the old one. Under the locks of both.
///
/// `held` is what it stored in the old seat's state word; `with_frames` says that it holds some there still. Nobody is
/// JOINING here, nor looks at READY: the publisher keeps every frame of the new generation for a reliable one until the
/// old seat is given up, and one that has ended meanwhile is left in the same way.
pub(crate) fn move_over<P: SharedMut>(
    old: &P,
    held: SeatState,
    with_frames: bool,
    peers: &P,
    shape: &Shape,
    seat: u32,
) -> Taken {
    let at = peers::seat_at(seat);
    let found = SeatState(peers.load(at + seat::STATE, Acquire));
    let epoch = found.next_epoch();
    // Nobody sat here before but the same subscriber, killed in the middle of this: the index was promised to it. What
    // was abandoned in the old seat its owner keeps.
    let carried = peers.load(at + abandoned(found.epoch()), Relaxed);
    peers.store(at + abandoned(epoch), carried, Relaxed);
    clear_pins(peers, shape, at);
    peers.store(at + seat::READ_SEQ, shape.base, Relaxed);
    store_name(peers, at, "");
    let active = SeatState::new(epoch, Claim::Active, false).with_lossy(held.lossy());
    // SYNC move: Release, and the store that gives up the old seat is behind it: who sees that sees this.
    peers.store(at + seat::STATE, active.0, Release);
    if with_frames {
        leave_with_frames(old, seat, held);
    } else {
        leave(old, seat, held, false);
    }
    Taken {
        state: active,
        cursor: shape.base,
    }
}

/// A dead holder's pins no longer count.
fn clear_pins<P: SharedMut>(peers: &P, shape: &Shape, at: u64) {
    for word in 0..shape.pin_words() as u64 {
        // Release, as in `settle`: the publisher may see that they are gone.
        peers.store(at + seat::PINS + 8 * word, 0, Release);
    }
}

/// Wants no more frames, but holds some yet: the cursor no longer counts, the pins do. When the last one was given
/// back the seat is freed as in every pattern.
pub(crate) fn leave_with_frames<P: SharedMut>(peers: &P, seat: u32, state: SeatState) {
    let left = SeatState::new(state.epoch(), Claim::Left, false).with_lossy(state.lossy());
    // Release: the pins of frames that were taken are before it.
    // SYNC move: so is the seat in the next generation, of one that moves.
    peers.store(peers::seat_at(seat) + seat::STATE, left.0, Release);
}
