//! The owner side behind its header: words that every pattern has at the same place.

use super::{LINE, MAX_SEATS, PAGE, verdict};

block! {
    /// The owner side behind its header; offsets from the start of the segment.
    OWNER, "owner side", SIZE;
    /// Where the next record begins, and in bit 0 which of the two counts belongs to it; stored after the
    /// record's header, for joiners, tools and adoption. See [counted positions](crate::protocol::cursor).
    WRITE_SEQ: [8; Owner] = 2 * LINE;
    /// Records committed before the position, if bit 0 is 0.
    WRITE_RECORDS_0: [8; Owner] = 2 * LINE + 8;
    /// Records committed before the position, if bit 0 is 1.
    WRITE_RECORDS_1: [8; Owner] = 2 * LINE + 16;
    /// Peers sleep on it; bumped when one of them has set its parked word.
    OWNER_BELL: [4; Owner] = 3 * LINE;
    /// Not 0 while the owner sleeps until a peer has done something.
    OWNER_PARKED: [4; Owner] = 4 * LINE;
    /// Records refused by the drop-newest policy.
    DROPPED: [8; Owner] = 5 * LINE;
    /// Records committed while no peer was counted.
    DISCARDED: [8; Owner] = 5 * LINE + 8;
    /// Times a send found no room.
    BLOCKED: [8; Owner] = 5 * LINE + 16;
    /// Nanoseconds spent waiting for room.
    BLOCKED_NS: [8; Owner] = 5 * LINE + 24;
    /// Seats evicted because their holder was dead.
    EVICTIONS: [8; Owner] = 5 * LINE + 32;
    /// Seats evicted because what they claimed was impossible.
    LIES: [8; Owner] = 5 * LINE + 40;
    /// Owners that took over after a death.
    ADOPTIONS: [8; Owner] = 5 * LINE + 48;
    /// Times sleepers were woken.
    WAKES: [8; Owner] = 5 * LINE + 56;
    /// `CLOCK_BOOTTIME` of the last look at the clock that followed a commit, in nanoseconds.
    LAST_UPDATE_NS: [8; Owner] = 5 * LINE + 64;
    /// The last error the owner met, numbered as in `PROTOCOL.md`; 0 for none.
    LAST_ERROR: [8; Owner] = 5 * LINE + 72;
    /// 64 verdicts, one for each seat.
    VERDICTS: [64 * 32; Owner] = 8 * LINE;
}

/// Bytes up to where a pattern's own words or its payload may begin.
pub(crate) const SIZE: u64 = PAGE;
/// A pattern's own words, if it has any, lie from here to [`SIZE`].
pub(crate) const PATTERN_WORDS: u64 = VERDICTS + MAX_SEATS as u64 * verdict::SIZE;

const _: () = assert!(PATTERN_WORDS <= SIZE);
