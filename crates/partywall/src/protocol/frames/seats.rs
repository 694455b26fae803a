//! Taking a seat and giving it up. Every function here is called under the seat's lock, which its holder keeps for
//! as long as it sits there.
//!
//! ```text
//!             join                   leave, with frames in hand
//!   FREE ───► JOINING ───► ACTIVE ──────► LEFT
//!    ▲           │           │              │ the last one is given back
//!    └───────────┴───────────┴──────────────┘
//!      settle (of a dead one), leave
//! ```

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

use super::Shape;
use crate::layout::header::{self, State};
use crate::layout::seat::{self, Claim, SeatState};
use crate::layout::{owner, peers};
use crate::memory::{Shared, SharedMut};
use crate::protocol::seats::{Refused, abandoned, is_evicted, store_name};

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
    // A dead holder's pins. Release, as in `settle`: the publisher may see that they are gone.
    for word in 0..shape.pin_words() as u64 {
        peers.store(at + seat::PINS + 8 * word, 0, Release);
    }
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

/// Wants no more frames, but holds some yet: the cursor no longer counts, the pins do. When the last one was given
/// back the seat is freed as in every pattern.
pub(crate) fn leave_with_frames<P: SharedMut>(peers: &P, seat: u32, state: SeatState) {
    let left = SeatState::new(state.epoch(), Claim::Left, false).with_lossy(state.lossy());
    // Release: the pins of frames that were taken are before it.
    peers.store(peers::seat_at(seat) + seat::STATE, left.0, Release);
}
