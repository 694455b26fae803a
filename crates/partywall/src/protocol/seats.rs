//! What seats have in common in every pattern. Every function that stores is called under the seat's lock.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::layout::peers;
use crate::layout::seat::{self, Claim, SeatState};
use crate::layout::verdict::{self, Evicted, EvictionReason};
use crate::memory::{Shared, SharedMut};
use crate::protocol::Lie;

/// What an attempt to take a seat can come to besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The generation was retired meanwhile: begin again from the root.
    NotReady,
}

/// Why the owner evicted the epoch that a state word names, if it did.
pub(crate) fn eviction(owner: &impl Shared, seat: u32, state: SeatState) -> Option<EvictionReason> {
    let word = Evicted(owner.load(verdict::at(seat) + verdict::EVICTED, Acquire));
    if word.epoch() == state.epoch() && state.epoch() != 0 {
        // Whatever the reason byte says, the seat is lost.
        Some(word.reason().unwrap_or(EvictionReason::Lied))
    } else {
        None
    }
}

/// Whether the owner evicted the epoch that a state word names.
pub(crate) fn is_evicted(owner: &impl Shared, seat: u32, state: SeatState) -> bool {
    eviction(owner, seat, state).is_some()
}

/// Whether a seat still says what its holder stored; if not, somebody scribbled over it.
pub(crate) fn is_ours(peers: &impl Shared, seat: u32, state: SeatState) -> Result<(), Lie> {
    let found = peers.load(peers::seat_at(seat) + seat::STATE, Relaxed);
    if found == state.0 {
        return Ok(());
    }
    Err(Lie {
        word: "state of our seat",
        place: u64::from(seat),
        expected: "what we stored there",
        found,
    })
}

/// Where in a seat the count of records stands that dead holders left unread, valid in this epoch.
pub(crate) const fn abandoned(epoch: u64) -> u64 {
    seat::ABANDONED_0 + 8 * (epoch & 1)
}

/// Gives a seat up: FREE, or ABSENT for a durable consumer that will come back.
pub(crate) fn leave<P: SharedMut>(peers: &P, seat: u32, state: SeatState, come_back: bool) {
    let claim = if come_back {
        Claim::Absent
    } else {
        Claim::Free
    };
    let left = SeatState::new(state.epoch(), claim, come_back);
    peers.store(peers::seat_at(seat) + seat::STATE, left.0, Release);
}

/// Stores a durable peer's name; empty for one that has none.
pub(crate) fn store_name<P: SharedMut>(peers: &P, at: u64, name: &str) {
    let mut bytes = [0_u8; seat::MAX_NAME];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    peers.copy_in(at + seat::NAME, &bytes);
    peers.store(at + seat::NAME_LEN, name.len() as u64, Relaxed);
}

/// The name in a seat, if it is one.
pub(crate) fn name_of(peers: &impl Shared, seat: u32) -> Option<String> {
    let at = peers::seat_at(seat);
    let len = usize::try_from(peers.load(at + seat::NAME_LEN, Acquire)).ok()?;
    if len == 0 || len > seat::MAX_NAME {
        return None;
    }
    let mut bytes = [0_u8; seat::MAX_NAME];
    peers.copy_out(at + seat::NAME, &mut bytes);
    String::from_utf8(bytes[..len].to_vec()).ok()
}
