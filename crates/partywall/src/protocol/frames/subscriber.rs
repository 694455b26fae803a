//! A subscriber's side: take the next frame, use it where it lies, give it back.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

use super::seats::{self, Taken};
use super::set::SlotSet;
use super::{Described, Descriptor, Shape, complete, describe, pin};
use crate::layout::frames::{self, About, SlotWord};
use crate::layout::seat::{self, SeatState};
use crate::layout::{owner, peers};
use crate::memory::{Shared, SharedMut};
use crate::protocol::Lie;

/// A frame that was taken. Its bytes stay as they are until it is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) sequence: u64,
    pub(crate) slot: u32,
    /// Where its bytes lie in the owner side.
    pub(crate) at: u64,
    pub(crate) len: u32,
    pub(crate) kind: u16,
    pub(crate) content: u16,
    pub(crate) time_ns: u64,
    pub(crate) about: About,
}

/// What a subscriber finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Frame(Frame),
    /// There is one, but this subscriber holds as many as it may.
    HandsFull,
    /// So many were written over before it came to them; it goes on behind those.
    Missed(u64),
}

/// The holder of one seat.
#[derive(Debug)]
pub(crate) struct Subscriber<O, P> {
    owner: O,
    peers: P,
    shape: Shape,
    seat: u32,
    /// What this holder stored in its state word.
    state: SeatState,
    /// The last frame that it took or passed.
    cursor: u64,
    /// It went over to the next generation, and has frames here still.
    left: bool,
}

impl<O: Shared, P: SharedMut> Subscriber<O, P> {
    /// The holder of a seat that was just taken (see [`super::seats`]).
    pub(crate) fn new(owner: O, peers: P, shape: Shape, seat: u32, taken: Taken) -> Self {
        Subscriber {
            owner,
            peers,
            shape,
            seat,
            state: taken.state,
            cursor: taken.cursor,
            left: false,
        }
    }

    /// Goes over to the next generation, whose base the cursor is at; see [`seats::move_over`]. What this was gives back
    /// what it holds, and then, if it [holds something](Self::has_left), frees its seat.
    pub(crate) fn move_over(&mut self, owner: O, peers: P, shape: Shape) -> Self {
        self.left = self.held() > 0;
        let taken = seats::move_over(
            &self.peers,
            self.state,
            self.left,
            &peers,
            &shape,
            self.seat,
        );
        Subscriber::new(owner, peers, shape, self.seat, taken)
    }

    /// Whether it went over to the next generation with frames in hand.
    pub(crate) fn has_left(&self) -> bool {
        self.left
    }

    pub(crate) fn owner(&self) -> &O {
        &self.owner
    }

    pub(crate) fn peers(&self) -> &P {
        &self.peers
    }

    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    pub(crate) fn seat(&self) -> u32 {
        self.seat
    }

    pub(crate) fn state(&self) -> SeatState {
        self.state
    }

    /// The last frame that was taken or passed.
    pub(crate) fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Frames in hand, in all threads of this process.
    pub(crate) fn held(&self) -> u32 {
        let mut pins = SlotSet::default();
        let at = peers::seat_at(self.seat) + seat::PINS;
        for word in 0..self.shape.pin_words() {
            pins.0[word] = self.peers.load(at + 8 * word as u64, Relaxed);
        }
        pins.count()
    }

    /// Whether [`Self::take`] would find something.
    pub(crate) fn has_news(&self) -> bool {
        let wanted = self.cursor.wrapping_add(1);
        let at = self.shape.descriptor(wanted) + frames::MARK;
        self.owner.load(at, Acquire).wrapping_sub(complete(wanted)) as i64 >= 0
    }

    /// Takes the next frame; `None` if there is none yet.
    #[inline(always)]
    pub(crate) fn take(&mut self) -> Result<Option<Next>, Lie> {
        let wanted = self.cursor.wrapping_add(1);
        match describe(&self.owner, &self.shape, wanted)? {
            Described::Whole(_) if self.held() >= self.shape.pool.held => Ok(Some(Next::HandsFull)),
            Described::Whole(found) => self.hold(wanted, &found).map(Some),
            Described::Other(mark) if mark.wrapping_sub(complete(wanted)) as i64 > 0 => {
                self.lapped(wanted, mark).map(Some)
            }
            Described::Other(_) => Ok(None),
        }
    }

    /// Pins a frame that is described, if it is still in its slot then.
    #[inline(always)]
    fn hold(&mut self, wanted: u64, found: &Descriptor) -> Result<Next, Lie> {
        let (pins, bit) = pin(self.seat, found.slot);
        // SYNC frame-hold, frame-pin: Release, so that it stays behind the clearing of an earlier pin.
        let before = self.peers.set_bits(pins, bit, Release);
        if before & bit != 0 {
            // Two frames in one slot, and we hold the other one. Its pin stays.
            return Err(Lie {
                word: "offset of a frame",
                place: wanted,
                expected: "a slot that this subscriber does not hold",
                found: found.slot.into(),
            });
        }
        if self.state.lossy() {
            // SYNC frame-pin: the pin before it, the slot's word behind it.
            self.peers.fence(SeqCst);
        }
        let word = SlotWord(self.owner.load(self.shape.word(found.slot), Acquire));
        // A frame that a reliable subscriber has not passed is never written over. It may be marked for a moment by a
        // publisher that has not looked again yet.
        let stays = if self.state.lossy() {
            word == SlotWord::holds(wanted)
        } else {
            word.sequence() == wanted
        };
        if !stays {
            give_back(&self.peers, self.seat, found.slot);
            return self.lapped(wanted, complete(wanted));
        }
        self.cursor = wanted;
        // SYNC frame-hold: the pin before it.
        let at = peers::seat_at(self.seat) + seat::READ_SEQ;
        self.peers.store(at, wanted, Release);
        Ok(Next::Frame(Frame {
            sequence: wanted,
            slot: found.slot,
            at: self.shape.data(found.slot),
            len: found.info.len(),
            kind: found.info.kind(),
            content: found.info.content(),
            time_ns: found.time_ns,
            about: found.about,
        }))
    }

    /// The wanted frame is gone, for its descriptor's place has the mark of a later one, or its slot another word:
    /// goes on where some time is left before the publisher comes there.
    #[cold]
    fn lapped(&mut self, wanted: u64, mark: u64) -> Result<Next, Lie> {
        let lie = |word, expected, found| {
            Err(Lie {
                word,
                place: wanted,
                expected,
                found,
            })
        };
        if !self.state.lossy() {
            let expected = "that of a frame that this reliable subscriber has not passed";
            return lie("descriptor or word of a slot", expected, mark);
        }
        let marked = mark.wrapping_add(1) / 2;
        let written = self.owner.load(owner::WRITE_SEQ, Acquire);
        // Each mark was seen by Acquire: `write_seq` is that of the frame before it, or later.
        let ahead = marked.wrapping_sub(written) as i64;
        if ahead > 1 || self.shape.descriptor(marked) != self.shape.descriptor(wanted) {
            return lie("mark of a descriptor", "one that belongs there", mark);
        }
        let newest = if ahead > 0 && mark == complete(marked) {
            marked
        } else {
            written
        };
        let there = newest.wrapping_sub(self.shape.base);
        // Most of those that are kept from being written over, and the newest in any case.
        let history = u64::from(self.shape.pool.history);
        let kept = (history - history / 4).max(1).min(there);
        let resume = newest.wrapping_add(1).wrapping_sub(kept);
        let missed = (resume.wrapping_sub(wanted) as i64).max(1) as u64;
        self.pass(missed);
        let at = peers::seat_at(self.seat) + seat::MISSED;
        self.peers.count(at, missed);
        Ok(Next::Missed(missed))
    }

    /// Passes all frames but the newest; how many.
    pub(crate) fn skip_to_newest(&mut self) -> u64 {
        let written = self.owner.load(owner::WRITE_SEQ, Acquire);
        let ahead = written.wrapping_sub(self.cursor);
        // One past `write_seq` is possible, and more than the generation has is not.
        if ahead <= 1 || ahead > written.wrapping_sub(self.shape.base) {
            return 0;
        }
        self.pass(ahead - 1);
        ahead - 1
    }

    /// Passes all frames of a generation that was replaced; how many.
    pub(crate) fn skip_to_the_end(&mut self) -> u64 {
        let newest = self.skip_to_newest();
        if self.owner.load(owner::WRITE_SEQ, Acquire) == self.cursor.wrapping_add(1) {
            self.pass(1);
            return newest + 1;
        }
        newest
    }

    fn pass(&mut self, frames: u64) {
        self.cursor = self.cursor.wrapping_add(frames);
        let at = peers::seat_at(self.seat) + seat::READ_SEQ;
        self.peers.store(at, self.cursor, Release);
    }
}

/// Gives a frame back, from any thread of the process that took it. Its bytes are no longer used.
#[inline(always)]
pub(crate) fn give_back<P: SharedMut>(peers: &P, seat: u32, slot: u32) {
    let (pins, bit) = pin(seat, slot);
    // SYNC frame-release: our last loads of the bytes stay before the publisher's stores to them.
    peers.clear_bits(pins, bit, Release);
}
