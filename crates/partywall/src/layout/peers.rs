//! The peer side behind its header: parked words and seats.

use super::{LINE, MAX_SEATS, PAGE, header, round_up, seat};

/// Where the parked words begin: one `u32` a seat, all on lines of their own so that an owner sees all of
/// its sleepers in one or two lines.
pub(crate) const PARKED: u64 = header::SIZE;
/// Where the seats begin.
pub(crate) const SEATS: u64 = PARKED + 4 * MAX_SEATS as u64;

/// What concerns all seats lies in so many bytes; what a single seat alone has, if there is such, lies behind them.
/// A multiple of every page's size. The holder of a seat maps no more than this writable, and what is its own.
pub(crate) const HEAD: u64 = 1 << 16;

/// Bytes of a peer side that consists of seats only.
pub(crate) const fn size(seats: u32) -> u64 {
    round_up(SEATS + seats as u64 * seat::SIZE, PAGE)
}

/// Offset of the parked word of `seat`.
pub(crate) const fn parked(seat: u32) -> u64 {
    PARKED + seat as u64 * 4
}

/// Offset of `seat`.
pub(crate) const fn seat_at(seat: u32) -> u64 {
    SEATS + seat as u64 * seat::SIZE
}

const _: () = assert!(size(MAX_SEATS) <= HEAD);
const _: () = assert!(SEATS.is_multiple_of(LINE) && seat::SIZE.is_multiple_of(LINE));
