//! Going to sleep and waking, so that no wake-up is lost.
//!
//! Waiter: bell = load Acquire; parked = 1; *heavy fence*; look at the condition once more; sleep while the
//! bell has not moved; parked = 0. Waker: publish; *light fence*; parked set? bump the bell, wake all.
//!
//! Either the waker's look at `parked` comes behind the waiter's store, and it rings; or the waiter's second
//! look comes behind the publication, and it does not sleep. That is Dekker's argument and needs a full
//! fence on both sides. A fence for every record would cost more than the record, so it is *asymmetric*: the
//! sleeper fences every registered process (membarrier), and the waker only keeps its compiler in order.
//! Processes that cannot register fence for themselves; sleepers that cannot fence others sleep in short
//! slices. The bell is loaded *before* the flag is set, so a ring between the two is not slept through.
//!
//! Every sleep ends after a slice in any case: a waker that dies between publishing and ringing, or a peer
//! that lies, costs at most that.

use crate::layout::{owner, peers, seat};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::memory::{Doorbell, Shared, SharedMut};

/// The seats whose holders say that they sleep, one bit each; asked after every commit. If there are any,
/// [`ring_for_peers`].
#[inline(always)]
pub(crate) fn sleepers<O, P>(owner: &O, peers: &P, seats: u32) -> u64
where
    O: SharedMut + Doorbell,
    P: Shared,
{
    // SYNC park: the commit before it, the parked words behind it.
    owner.light_fence();
    if !peers.any32(peers::parked(0), seats) {
        return 0;
    }
    let mut asleep = 0;
    for seat in 0..seats {
        if peers.load32(peers::parked(seat), Relaxed) != 0 {
            asleep |= 1 << seat;
        }
    }
    asleep
}

/// Rings for consumers; how many were woken. Also at the end of the stream, and at a new owner, when it does
/// not matter who sleeps.
pub(crate) fn ring_for_peers<O: SharedMut + Doorbell>(owner: &O) -> usize {
    owner.count(owner::WAKES, 1);
    let bell = owner.load32(owner::OWNER_BELL, Relaxed);
    // Release: whoever wakes by it sees the publication.
    owner.store32(owner::OWNER_BELL, bell.wrapping_add(1), Release);
    owner.wake(owner::OWNER_BELL)
}

/// Rings for the producer, if it sleeps.
#[inline]
pub(crate) fn wake_owner<O, P>(owner: &O, peers: &P, seat: u32)
where
    O: Shared,
    P: SharedMut + Doorbell,
{
    // SYNC park: read_seq or the seat's state before it, the parked word behind it.
    peers.light_fence();
    if owner.load32(owner::OWNER_PARKED, Relaxed) != 0 {
        let at = peers::seat_at(seat) + seat::SEAT_BELL;
        let bell = peers.load32(at, Relaxed);
        peers.store32(at, bell.wrapping_add(1), Release);
        peers.wake(at);
    }
}

/// A consumer goes to sleep unless `ready` says that there is no need. `sleep` is given the bell's value.
pub(crate) fn park_peer<O, P>(
    owner: &O,
    peers: &P,
    seat: u32,
    ready: impl FnOnce() -> bool,
    sleep: impl FnOnce(u32),
) where
    O: Shared,
    P: SharedMut + Doorbell,
{
    let bell = owner.load32(owner::OWNER_BELL, Acquire);
    peers.store32(peers::parked(seat), 1, Relaxed);
    // SYNC park: the parked word before it, the condition behind it.
    peers.heavy_fence();
    if !ready() {
        sleep(bell);
    }
    peers.store32(peers::parked(seat), 0, Relaxed);
}

/// The producer goes to sleep until one of the seats of `holding` rings.
pub(crate) fn park_owner<O, P>(
    owner: &O,
    peers: &P,
    holding: impl Iterator<Item = u32>,
    ready: impl FnOnce() -> bool,
    sleep: impl FnOnce(&[(u64, u32)]),
) where
    O: SharedMut + Doorbell,
    P: Shared,
{
    let bells: Vec<(u64, u32)> = holding
        .map(|seat| {
            let at = peers::seat_at(seat) + seat::SEAT_BELL;
            (at, peers.load32(at, Acquire))
        })
        .collect();
    owner.store32(owner::OWNER_PARKED, 1, Relaxed);
    // SYNC park
    owner.heavy_fence();
    if !ready() {
        sleep(&bells);
    }
    owner.store32(owner::OWNER_PARKED, 0, Relaxed);
}
