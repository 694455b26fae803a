//! A seat: what one consumer alone writes, four lines.

use super::LINE;

block! {
    /// Offsets from the start of the seat.
    SEAT, "seat (peer side)", SIZE;
    /// See [`SeatState`].
    STATE: [8; Seat] = 0;
    /// The holder's process id in its own pid namespace, for people.
    PID: [8; Seat] = 8;
    /// `CLOCK_BOOTTIME` at which the seat was taken, in nanoseconds, for people.
    SINCE_NS: [8; Seat] = 16;
    /// As in the segment header, for the holder.
    HEARTBEAT_NS: [8; Seat] = 24;
    /// Records that dead holders of this seat left unread; index = epoch modulo 2.
    ABANDONED_0: [8; Seat] = 32;
    /// The other epoch's.
    ABANDONED_1: [8; Seat] = 40;
    /// Where the holder of an even epoch began, if it took over; else 0.
    START_0: [8; Seat] = 48;
    /// The same for odd epochs.
    START_1: [8; Seat] = 56;
    /// The owner sleeps on it; bumped by the holder when the owner's parked word is set.
    SEAT_BELL: [4; Seat] = 64;
    /// Everything before it has been processed; a counted position like the producer's.
    READ_SEQ: [8; Seat] = LINE;
    /// Records before it, counted from the channel's beginning, if bit 0 is 0.
    READ_RECORDS_0: [8; Seat] = LINE + 8;
    /// The same if bit 0 is 1.
    READ_RECORDS_1: [8; Seat] = LINE + 16;
    /// Frames: the slots that the holder has in use, one bit each. On the half line of `READ_SEQ`: the owner looks at
    /// both.
    PINS: [32; Seat] = LINE + 32;
    /// Records handed out by all holders of this seat.
    RECEIVED: [8; Seat] = 2 * LINE;
    /// Records that holders left unread when they detached of their own will.
    UNREAD: [8; Seat] = 2 * LINE + 8;
    /// Holders so far.
    ATTACHED: [8; Seat] = 2 * LINE + 16;
    /// Holders that left in an orderly way.
    DETACHED: [8; Seat] = 2 * LINE + 24;
    /// The last error the holder met, numbered as in `PROTOCOL.md`.
    LAST_ERROR: [8; Seat] = 2 * LINE + 32;
    /// Frames that were written over before a holder that may be skipped came to them.
    MISSED: [8; Seat] = 2 * LINE + 40;
    /// Bytes of the name; 0 for a seat that is not durable.
    NAME_LEN: [8; Seat] = 3 * LINE;
    /// The durable consumer's name.
    NAME: [64; Seat] = 3 * LINE + 8;
}

/// Bytes of a seat.
pub(crate) const SIZE: u64 = 4 * LINE;
/// The longest name of a durable consumer.
pub(crate) const MAX_NAME: usize = 64;

/// What a seat is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// By nobody.
    Free,
    /// A consumer is about to choose its first position; the producer must not go on past it.
    Joining,
    /// A consumer, or what a dead one left behind.
    Active,
    /// A durable consumer that is away; still counted.
    Absent,
    /// Given up, but something in it is still in use (frames).
    Left,
}

/// The state word: epoch in the upper 48 bits, LOSSY in bit 9, DURABLE in bit 8, the claim in the low byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SeatState(pub(crate) u64);

impl SeatState {
    const DURABLE: u64 = 0x100;
    const LOSSY: u64 = 0x200;

    pub(crate) fn new(epoch: u64, claim: Claim, durable: bool) -> Self {
        let claim = match claim {
            Claim::Free => 0,
            Claim::Joining => 1,
            Claim::Active => 2,
            Claim::Absent => 3,
            Claim::Left => 4,
        };
        SeatState(epoch << 16 | if durable { Self::DURABLE } else { 0 } | claim)
    }

    pub(crate) fn epoch(self) -> u64 {
        self.0 >> 16
    }

    /// The next holder's epoch; never 0, for that means that no epoch was evicted, and odd after even and even after odd,
    /// for counts lie at an epoch's place modulo 2.
    pub(crate) fn next_epoch(self) -> u64 {
        match (self.epoch() + 1) & (u64::MAX >> 16) {
            0 => 2,
            next => next,
        }
    }

    pub(crate) fn durable(self) -> bool {
        self.0 & Self::DURABLE != 0
    }

    /// The same for a subscriber of frames whose unread ones may be written over.
    pub(crate) fn with_lossy(self, lossy: bool) -> Self {
        SeatState(self.0 & !Self::LOSSY | if lossy { Self::LOSSY } else { 0 })
    }

    pub(crate) fn lossy(self) -> bool {
        self.0 & Self::LOSSY != 0
    }

    /// The claim, or `None` for a word that no holder writes.
    pub(crate) fn claim(self) -> Option<Claim> {
        if self.0 & 0xfc00 != 0 {
            return None;
        }
        Some(match self.0 & 0xff {
            0 => Claim::Free,
            1 => Claim::Joining,
            2 => Claim::Active,
            3 => Claim::Absent,
            4 => Claim::Left,
            _ => return None,
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self.claim() {
            Some(Claim::Free) => "free",
            Some(Claim::Joining) => "joining",
            Some(Claim::Active) => "active",
            Some(Claim::Absent) => "absent",
            Some(Claim::Left) => "left",
            None => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Claim, SeatState};

    #[test]
    fn epochs_are_never_0_and_odd_and_even_in_turn_also_where_they_wrap() {
        for epoch in (0..3).chain((1 << 48) - 3..1 << 48) {
            let state = SeatState::new(epoch, Claim::Free, false);
            let next = state.next_epoch();
            assert!(next != 0 && next < 1 << 48);
            assert_ne!(next & 1, epoch & 1, "after {epoch}");
        }
    }
}
