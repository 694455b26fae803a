//! Frames: one publisher, a pool of slots for large buffers, subscribers that use them where they lie.
//!
//! # In words
//!
//! Frames are numbered from 1. Frame s lies in any slot of the pool; a **descriptor** at index s mod D says in which,
//! how long it is, and what it is. The descriptor's mark says 2s − 1 while it is written and 2s once it is complete, and
//! so tells a reader that was lapped. Each slot has a **word**: the frame that lies in it, and WRITING beside it when
//! the publisher is about to write over that.
//!
//! **A frame is safe to read from the moment at which its descriptor's mark is exactly 2s** (stored Release behind the
//! bytes and the slot's word, label `frame-commit`), **and it stays until it is given back: pinned, for a reliable
//! subscriber; pinned, and then found in its slot still, for a lossy one.**
//!
//! **Reliable subscribers.** A frame that the cursor of a reliable seat has not passed is never written over. The
//! subscriber pins first and moves its cursor then, by Release; the publisher looks at cursors before pins, by Acquire:
//! who sees the cursor behind a frame sees its pin (label `frame-hold`).
//!
//! **Lossy subscribers.** The subscriber pins, fences, and looks at the slot's word; the publisher stores WRITING,
//! fences, and looks at the pins. One of the two fences comes first: either the publisher sees the pin and puts the
//! word back, or the subscriber sees WRITING (or what came later) and takes its pin away (label `frame-pin`).
//!
//! **Joining.** A reliable joiner says JOINING, fences, and takes `write_seq`; the publisher, behind its WRITING and the
//! same fence, looks at *everything* again: states, cursors, pins. A look from before the fence may be as old as it
//! likes, so it can choose a candidate, and never decide. While somebody is JOINING no slot with a frame in it may be
//! had (label `frame-join`).
//!
//! **Giving back.** Pins are cleared by Release behind the last use of the bytes, and looked at by Acquire before the
//! first byte is written (label `frame-release`). They are changed by read-modify-write, for several threads of the
//! process give frames back while one takes them; nobody outside the process writes the word.
//!
//! **Death.** A publisher that dies leaves WRITING in a slot: whether it had begun to write over the frame nobody can
//! know. So its successor takes the slot as *still holding* the frame when it asks who may need it (a reliable joiner
//! may be reading it), and everybody else as not holding it. Where a candidate turns out not to be free, *the very
//! word that was found* is put back: WRITING stays WRITING. A publisher that dies between the slot's word and
//! the descriptor leaves a slot with a frame that nobody can ever take; its successor empties it, or it would
//! wait for ever until reliable subscribers have passed that frame. A dead subscriber's seat is evicted as a whole,
//! cursor and pins, and what it left unread is counted in the store that decides it.
//!
//! **Growth.** A larger pool is another generation. Subscribers leave the old one at its last frame, and keep there what
//! they hold; the publisher writes in the new one alone (see `publisher::older`).

mod publisher;
pub(crate) mod seats;
mod set;
mod subscriber;

pub(crate) use publisher::{Busy, Loan, Publisher};
pub(crate) use subscriber::{Frame, Next, Subscriber, give_back};

use std::sync::atomic::Ordering::{Acquire, Relaxed};

use super::Lie;
use crate::layout::frames::{self, About, Info, Pool};
use crate::layout::geometry::Impossible;
use crate::layout::{peers, seat};
use crate::memory::{Shared, SharedMut};

/// A generation's geometry, read once from words that were checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) pool: Pool,
    /// Bytes of the largest frame.
    pub(crate) frame: u32,
    /// The last frame before this generation.
    pub(crate) base: u64,
    /// Descriptors in use, less one: a power of two less one.
    mask: u64,
}

impl Shape {
    pub(crate) fn new(pool: Pool, frame: u32, base: u64) -> Self {
        Shape {
            pool,
            frame,
            base,
            mask: u64::from(pool.slots).next_power_of_two() - 1,
        }
    }

    /// The shape of an owner side whose header was checked and says these numbers.
    pub(crate) fn read(
        owner: &impl Shared,
        payload_size: u64,
        frame: u32,
        seats: u32,
        base: u64,
    ) -> Result<Self, Impossible> {
        let pool = Pool {
            slots: frames::slots(payload_size, frame)?,
            seats,
            history: owner.load32(frames::HISTORY, Relaxed),
            held: owner.load32(frames::HELD, Relaxed),
            loans: owner.load32(frames::LOANS, Relaxed),
        };
        Ok(Shape::new(pool.check()?, frame, base))
    }

    /// Stores what the header does not say, before the segment is READY.
    fn write(&self, owner: &impl SharedMut) {
        owner.store32(frames::HISTORY, self.pool.history, Relaxed);
        owner.store32(frames::HELD, self.pool.held, Relaxed);
        owner.store32(frames::LOANS, self.pool.loans, Relaxed);
    }

    /// Descriptors in use.
    fn descriptors(&self) -> u64 {
        self.mask + 1
    }

    /// Offset of a frame's descriptor in the owner side.
    #[inline(always)]
    pub(crate) fn descriptor(&self, sequence: u64) -> u64 {
        frames::DESCRIPTORS + (sequence & self.mask) * frames::DESCRIPTOR_SIZE
    }

    /// Offset of a slot's word.
    #[inline(always)]
    pub(crate) fn word(&self, slot: u32) -> u64 {
        frames::SLOT_WORDS + u64::from(slot) * 8
    }

    /// Offset of a slot.
    #[inline(always)]
    pub(crate) fn data(&self, slot: u32) -> u64 {
        frames::DATA + u64::from(slot) * frames::stride(self.frame)
    }

    /// The slot that begins at an offset.
    fn slot_at(&self, offset: u64) -> Option<u32> {
        let behind = offset.checked_sub(frames::DATA)?;
        let stride = frames::stride(self.frame);
        let slot = behind / stride;
        (behind.is_multiple_of(stride) && slot < self.pool.slots.into()).then_some(slot as u32)
    }

    /// Words of pins in use in each seat.
    fn pin_words(&self) -> usize {
        self.pool.slots.div_ceil(64) as usize
    }
}

/// Where in the peer side a seat's pin of a slot is: the word and the bit.
#[inline(always)]
fn pin(seat: u32, slot: u32) -> (u64, u64) {
    let at = peers::seat_at(seat) + seat::PINS + u64::from(slot / 64) * 8;
    (at, 1 << (slot % 64))
}

/// The mark of a complete descriptor.
#[inline(always)]
const fn complete(sequence: u64) -> u64 {
    sequence.wrapping_mul(2)
}

/// The mark of a descriptor that is being written.
#[inline(always)]
const fn incomplete(sequence: u64) -> u64 {
    complete(sequence).wrapping_sub(1)
}

/// A descriptor that was read whole and checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptor {
    pub(crate) slot: u32,
    pub(crate) info: Info,
    pub(crate) time_ns: u64,
    pub(crate) about: About,
}

/// What came of a look at a frame's descriptor.
enum Described {
    Whole(Descriptor),
    /// Its place has another mark: not there yet, or gone.
    Other(u64),
}

/// Reads the descriptor of a frame.
#[inline(always)]
fn describe(owner: &impl Shared, shape: &Shape, sequence: u64) -> Result<Described, Lie> {
    let at = shape.descriptor(sequence);
    // SYNC frame-commit
    let mark = owner.load(at + frames::MARK, Acquire);
    if mark != complete(sequence) {
        return Ok(Described::Other(mark));
    }
    let offset = owner.load(at + frames::OFFSET, Relaxed);
    let info = Info(owner.load(at + frames::INFO, Relaxed));
    let time_ns = owner.load(at + frames::TIME_NS, Relaxed);
    let mut about = [0; frames::ABOUT_SIZE];
    owner.copy_out(at + frames::ABOUT, &mut about);
    // SYNC frame-lap: whoever read a word of a later descriptor sees a later mark now.
    owner.fence(Acquire);
    if owner.load(at + frames::MARK, Relaxed) != complete(sequence) {
        // Acquire this time, for whoever sets the mark against `write_seq`.
        let mark = owner.load(at + frames::MARK, Acquire);
        return Ok(Described::Other(mark));
    }
    let lie = |word, expected, found| {
        Err(Lie {
            word,
            place: sequence,
            expected,
            found,
        })
    };
    let Some(slot) = shape.slot_at(offset) else {
        return lie("offset of a frame", "the beginning of a slot", offset);
    };
    if info.len() > shape.frame {
        return lie(
            "length of a frame",
            "at most the record size",
            info.len().into(),
        );
    }
    Ok(Described::Whole(Descriptor {
        slot,
        info,
        time_ns,
        about: About::from_bytes(about),
    }))
}
