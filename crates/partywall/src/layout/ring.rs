//! A ring's payload: the data, indexed by positions.

use super::geometry::Impossible;
use super::{header, owner};

/// Where the data begins.
pub(crate) const PAYLOAD_OFFSET: u64 = owner::SIZE;
/// Smallest capacity that a user can ask for.
pub(crate) const MIN_CAPACITY: u64 = super::PAGE;
/// Largest capacity that a user can ask for.
pub(crate) const MAX_CAPACITY: u64 = 1 << 40;

/// Where the data begins, if there can be so much of it.
pub(crate) fn check(capacity: u64) -> Result<u64, Impossible> {
    if capacity.is_power_of_two() && (MIN_CAPACITY..=MAX_CAPACITY).contains(&capacity) {
        return Ok(PAYLOAD_OFFSET);
    }
    let expected = "a power of two from 4 KiB to 1 TiB";
    Err(("payload_size", header::PAYLOAD_SIZE, expected, capacity))
}
