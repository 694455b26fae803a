//! A set of slots.

use crate::layout::frames::MAX_SLOTS;

/// Words of a set, as many as a seat has for its pins.
pub(super) const WORDS: usize = MAX_SLOTS as usize / 64;

/// One bit for each slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SlotSet(pub(super) [u64; WORDS]);

impl SlotSet {
    #[inline(always)]
    pub(super) fn contains(&self, slot: u32) -> bool {
        self.0[slot as usize / 64] >> (slot % 64) & 1 != 0
    }

    #[inline(always)]
    pub(super) fn insert(&mut self, slot: u32) {
        self.0[slot as usize / 64] |= 1 << (slot % 64);
    }

    #[inline(always)]
    pub(super) fn remove(&mut self, slot: u32) {
        self.0[slot as usize / 64] &= !(1 << (slot % 64));
    }

    #[inline(always)]
    pub(super) fn union(&mut self, other: &SlotSet) {
        for (word, more) in self.0.iter_mut().zip(other.0) {
            *word |= more;
        }
    }

    pub(super) fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }
}
