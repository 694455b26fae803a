//! A guarded record's own words on the owner side: who holds it, and whether it can be trusted.

use super::{LINE, owner};

block! {
    /// Offsets from the start of the segment.
    GUARDED, "guarded record", owner::SIZE;
    /// Who holds the lock: its seat's epoch in the upper 48 bits, its seat + 1 below. 0 once it let go in order.
    HOLDER: [8; Owner] = owner::PATTERN_WORDS;
    /// See [`Condition`].
    CONDITION: [8; Owner] = owner::PATTERN_WORDS + 8;
    /// Times the lock was taken.
    LOCKS: [8; Owner] = owner::PATTERN_WORDS + LINE;
    /// Times a holder was told that the one before it had died.
    OWNER_DEATHS: [8; Owner] = owner::PATTERN_WORDS + LINE + 8;
    /// Times such a holder gave up.
    GIVEN_UP: [8; Owner] = owner::PATTERN_WORDS + LINE + 16;
    /// Times the record was repaired after that.
    REPAIRS: [8; Owner] = owner::PATTERN_WORDS + LINE + 24;
}

/// Whether the record can be locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    Consistent,
    /// A holder died, and the one after it did not call the record consistent.
    NotRecoverable,
}

impl Condition {
    pub(crate) const fn number(self) -> u64 {
        match self {
            Condition::Consistent => 0,
            Condition::NotRecoverable => 1,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Condition::Consistent => "consistent",
            Condition::NotRecoverable => "not_recoverable",
        }
    }

    /// `None` for a word that no holder writes.
    pub(crate) fn from_number(number: u64) -> Option<Self> {
        match number {
            0 => Some(Condition::Consistent),
            1 => Some(Condition::NotRecoverable),
            _ => None,
        }
    }
}
