//! What the owner says about each seat: whom it evicted, why, and what was lost by it.

use super::owner;

block! {
    /// What the owner says about one seat.
    VERDICT, "verdict (owner side, one for each seat)", SIZE;
    /// See [`Evicted`].
    EVICTED: [8; Owner] = 0;
    /// Records that evicted holders of this seat left unread, candidate 0.
    LOST_0: [8; Owner] = 8;
    /// Candidate 1; [`Evicted::selector`] says which of the two counts.
    LOST_1: [8; Owner] = 16;
    /// Records that holders of this seat left unread in the generations before, whether they were evicted or taken over
    /// from, or left.
    FORMER: [8; Owner] = 24;
}

/// Bytes of a verdict.
pub(crate) const SIZE: u64 = 32;

/// Offset of the verdict on `seat` in the owner side.
pub(crate) const fn at(seat: u32) -> u64 {
    owner::VERDICTS + seat as u64 * SIZE
}

/// The owner's verdict word: which epoch of the seat was evicted, why, and which of the two loss
/// counts is valid, in one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Evicted(pub(crate) u64);

/// Why a seat was evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EvictionReason {
    /// Its holder was dead.
    Dead = 1,
    /// Its words claimed something impossible.
    Lied = 2,
}

impl Evicted {
    pub(crate) fn new(epoch: u64, reason: EvictionReason, selector: u64) -> Self {
        Evicted(epoch << 16 | (reason as u64) << 8 | (selector & 1))
    }

    pub(crate) fn epoch(self) -> u64 {
        self.0 >> 16
    }

    pub(crate) fn reason(self) -> Option<EvictionReason> {
        match self.0 >> 8 & 0xff {
            1 => Some(EvictionReason::Dead),
            2 => Some(EvictionReason::Lied),
            _ => None,
        }
    }

    pub(crate) fn selector(self) -> u64 {
        self.0 & 1
    }
}
