//! A ring's payload: the data, indexed by positions.

use super::owner;

/// Where the data begins.
pub(crate) const PAYLOAD_OFFSET: u64 = owner::SIZE;
/// Smallest capacity that a user can ask for.
pub(crate) const MIN_CAPACITY: u64 = super::PAGE;
/// Largest capacity that a user can ask for.
pub(crate) const MAX_CAPACITY: u64 = 1 << 40;

/// Bytes of the owner side.
pub(crate) const fn owner_size(capacity: u64) -> u64 {
    PAYLOAD_OFFSET + capacity
}
