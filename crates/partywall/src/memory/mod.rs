//! The only code that touches bytes that another process may change.
//!
//! The rules of this layer:
//! - no `&T` and no `&[u8]` to shared bytes, atomics excepted;
//! - a word is loaded once, and whatever is done with it is done with the local copy;
//! - every access is checked against the mapping's length, so that no value found in shared memory can
//!   lead outside it;
//! - protocols are generic over [`Shared`] and [`SharedMut`], so that the model checker runs the very
//!   code that ships. A region that a process may only read does not implement [`SharedMut`]: the rule
//!   that every byte has one writer is a matter of types here, and of page protection in [`Region`].

mod copy;
#[cfg(feature = "fault-points")]
pub mod fault;
pub(crate) mod plain;
mod region;
mod word;

pub(crate) use region::{ReadOnly, Region, Writable};

use std::sync::atomic::Ordering;

/// Words that somebody else may change at any time.
///
/// Offsets are in bytes. Implementations panic on an offset outside the memory or misaligned: protocols
/// compute offsets from checked geometry only, never from a peer's word.
pub(crate) trait Shared {
    /// Loads the word at `at`, a multiple of 8.
    fn load(&self, at: u64, order: Ordering) -> u64;
    /// Loads the half-word at `at`, a multiple of 4.
    fn load32(&self, at: u64, order: Ordering) -> u32;
    /// Whether any of `count` half-words from `at` on is not 0; relaxed.
    fn any32(&self, at: u64, count: u32) -> bool {
        (0..u64::from(count)).any(|index| self.load32(at + 4 * index, Ordering::Relaxed) != 0)
    }
    /// A hint that the line at `at` will be read soon.
    fn prefetch(&self, _at: u64) {}
    /// Makes sure that there is memory behind a part that others were to reserve, before it is read. `false`: there is none.
    fn populate(&self, _at: u64, _len: u64) -> bool {
        true
    }
    /// Copies bytes out while they may be changing; what is torn is the reader's to detect.
    fn copy_out(&self, at: u64, out: &mut [u8]);
    /// `std::sync::atomic::fence`, or the model checker's.
    fn fence(&self, order: Ordering);
}

/// Words that this process alone writes.
pub(crate) trait SharedMut: Shared {
    /// Stores a word at `at`, a multiple of 8.
    fn store(&self, at: u64, value: u64, order: Ordering);
    /// Stores a half-word at `at`, a multiple of 4.
    fn store32(&self, at: u64, value: u32, order: Ordering);
    /// Sets bits of the word at `at`, which several threads of this process change at once; what it was before.
    fn set_bits(&self, at: u64, bits: u64, order: Ordering) -> u64;
    /// The same the other way.
    fn clear_bits(&self, at: u64, bits: u64, order: Ordering) -> u64;
    /// Copies bytes in while peers may be reading them.
    fn copy_in(&self, at: u64, bytes: &[u8]);
    /// The same from the end to the start, for a copy after which the word in front is stored.
    fn copy_in_backwards(&self, at: u64, bytes: &[u8]) {
        self.copy_in(at, bytes);
    }

    /// Adds to a counter that this process alone writes: for people, so no ordering.
    fn count(&self, at: u64, by: u64) {
        let value = self.load(at, Ordering::Relaxed);
        self.store(at, value.wrapping_add(by), Ordering::Relaxed);
    }
}

/// What a process that sleeps on a word of this memory, or wakes sleepers, needs.
pub(crate) trait Doorbell {
    /// Wakes everybody who sleeps on the half-word at `at`; how many.
    fn wake(&self, at: u64) -> usize;
    /// The waker's side of an asymmetric pair of fences: keeps a store before it from being overtaken
    /// by a load after it. Costs nothing where sleepers pay with [`Doorbell::heavy_fence`].
    fn light_fence(&self);
    /// The sleeper's side: a full fence here and in every process that may wake.
    fn heavy_fence(&self);
}
