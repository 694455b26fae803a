//! Slots of one size, used in turn: the payload of snapshots, broadcasts and guarded records.
//!
//! Version `v`, counted from 1, lies in slot `(v - 1) mod slots`; there is a power of two of them.

use super::geometry::Impossible;
use super::{LINE, header, owner, round_up};

block! {
    /// The header of a slot; offsets from the start of the slot.
    SLOT, "slot", HEADER;
    /// `2v` when version v is complete here, `2v - 1` while it is written, 0 before the first.
    MARK: [8; Owner] = 0;
    /// Length in bits 0 to 31, kind in bits 32 to 47.
    INFO: [8; Owner] = 8;
    /// `CLOCK_BOOTTIME` in nanoseconds, read when the value was handed over; 0 if the writer was told not to.
    TIME_NS: [8; Owner] = 16;
    /// CRC-32 of the value's bytes, where the header's flags say that there are checksums; else 0.
    CHECKSUM: [8; Owner] = 24;
}

/// Bytes of a slot's header; the value follows.
pub(crate) const HEADER: u64 = 32;
/// Where the slots begin.
pub(crate) const PAYLOAD_OFFSET: u64 = owner::SIZE;
/// A slot takes a multiple of this.
const GRAIN: u64 = LINE / 2;
/// The largest value, in bytes.
pub(crate) const MAX_VALUE: u32 = 1 << 30;
/// All slots together, in bytes.
pub(crate) const MAX_PAYLOAD: u64 = 1 << 40;

/// The last version there can be: a word that names a later one is a lie.
pub(crate) const LAST_VERSION: u64 = 1 << 62;

/// Bytes that a slot for values of up to `value` bytes takes.
pub(crate) const fn stride(value: u32) -> u64 {
    round_up(HEADER + value as u64, GRAIN)
}

/// Where the slots begin, if there can be such.
pub(crate) fn check(payload_size: u64, value: u32) -> Result<u64, Impossible> {
    if !(1..=MAX_VALUE).contains(&value) {
        let expected = "1 byte to 1 GiB";
        return Err(("record_size", header::RECORD_SIZE, expected, value.into()));
    }
    let stride = stride(value);
    let slots = payload_size / stride;
    let whole = payload_size.is_multiple_of(stride);
    if payload_size > MAX_PAYLOAD || slots < 2 || !whole || !slots.is_power_of_two() {
        let expected = "a power of two of slots, two or more, and at most 1 TiB";
        return Err(("payload_size", header::PAYLOAD_SIZE, expected, payload_size));
    }
    Ok(PAYLOAD_OFFSET)
}

/// The word of a value's length and kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Info(pub(crate) u64);

impl Info {
    pub(crate) fn new(len: u32, kind: u16) -> Self {
        Info(u64::from(len) | u64::from(kind) << 32)
    }

    pub(crate) fn len(self) -> u32 {
        self.0 as u32
    }

    pub(crate) fn kind(self) -> u16 {
        (self.0 >> 32) as u16
    }
}
