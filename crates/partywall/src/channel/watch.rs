//! Seats for readers that need none, but for being woken.

use std::sync::atomic::Ordering::{Acquire, Release};

use super::directory::ChannelDirectory;
use super::generation;
use super::liveness::seat_byte;
use super::segment::Header;
use crate::layout::peers;
use crate::layout::seat::{self, Claim, SeatState};
use crate::memory::{Region, Shared, SharedMut, Writable};
use crate::os::LockFile;

/// Takes any seat of a pattern whose owner counts none; `None` if all are taken, or the peer side cannot be
/// written. Nobody waits for the holder of such a seat, so there is nothing to join but the sleepers.
pub(crate) fn sit_down(
    channel: &ChannelDirectory,
    lock: &LockFile,
    header: &Header,
) -> Option<(Region<Writable>, u32, SeatState)> {
    let opened = generation::open_for_peer(channel, header.generation, header.instance);
    let (_, _, peers) = opened.ok()?;
    for seat in 0..header.seat_count {
        // Whoever holds the lock sits there, whatever the dead one before it left in the state.
        if matches!(lock.try_lock(seat_byte(header.generation, seat)), Ok(true)) {
            let at = peers::seat_at(seat) + seat::STATE;
            let found = SeatState(peers.load(at, Acquire));
            let state = SeatState::new(found.next_epoch(), Claim::Active, false);
            peers.store(at, state.0, Release);
            return Some((peers, seat, state));
        }
    }
    None
}
