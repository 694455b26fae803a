//! Half-done states that a death can leave, and words that no honest process leaves, written by hand.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::super::plain::{NoLocks, Plain};
use super::{LOSSY, Pool, RELIABLE, Wish, frame_seats, pool};
use crate::layout::frames::{self as layout, About, Info, SlotWord};
use crate::layout::header::{self, State};
use crate::layout::seat::{self, Claim, SeatState};
use crate::layout::verdict::EvictionReason;
use crate::layout::{owner, peers};
use crate::memory::{Shared, SharedMut};
use crate::protocol::frames::{self, Frame, Loan, Next, Publisher, Shape, Subscriber};
use crate::protocol::seats;

/// A generation in plain memory.
pub(super) struct Place {
    pub(super) owner: Plain,
    pub(super) peers: Plain,
    pub(super) shape: Shape,
}

impl Place {
    pub(super) fn new(pool: Pool, frame: u32, base: u64) -> Self {
        let shape = Shape::new(pool.check().expect("a pool"), frame, base);
        let size = owner::SIZE + layout::payload_size(pool.slots, frame);
        let owner = Plain::new(size);
        owner.store32(header::STATE, State::READY.0, Release);
        Place {
            owner,
            peers: Plain::new(peers::size(pool.seats)),
            shape,
        }
    }

    pub(super) fn create(&self) -> Publisher<Plain, Plain> {
        Publisher::create(self.owner.clone(), self.peers.clone(), self.shape)
    }

    pub(super) fn adopt(&self) -> Result<Publisher<Plain, Plain>, crate::protocol::Lie> {
        Publisher::adopt(self.owner.clone(), self.peers.clone(), self.shape)
    }

    pub(super) fn attach(&self, seat: u32, wish: Wish) -> Subscriber<Plain, Plain> {
        let (owner, peers) = (self.owner.clone(), self.peers.clone());
        let taken = frame_seats::take(&owner, &peers, &self.shape, seat, wish).expect("READY");
        Subscriber::new(owner, peers, self.shape, seat, taken)
    }

    fn seat_word(&self, seat: u32, word: u64, value: u64) {
        self.peers
            .store(peers::seat_at(seat) + word, value, Relaxed);
    }

    fn slot_word(&self, slot: u32, word: SlotWord) {
        self.owner.store(self.shape.word(slot), word.0, Relaxed);
    }
}

/// Writes the frame's number all over it and publishes it.
pub(super) fn fill(publisher: &mut Publisher<Plain, Plain>, loan: Loan, len: u32) -> u64 {
    let sequence = publisher.position().wrapping_add(1);
    let bytes = vec![sequence as u8; len as usize];
    publisher.owner().copy_in(publisher.data_at(&loan), &bytes);
    let about = About {
        width: len,
        ..About::default()
    };
    publisher.publish(loan, Info::new(len, 7, 1), sequence, &about)
}

fn publish(publisher: &mut Publisher<Plain, Plain>) -> u64 {
    let loan = publisher.loan().expect("a free slot");
    fill(publisher, loan, 8)
}

fn take(subscriber: &mut Subscriber<Plain, Plain>) -> Frame {
    match subscriber.take() {
        Ok(Some(Next::Frame(frame))) => frame,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_slot_whose_frame_was_never_described_is_emptied() {
    let place = Place::new(pool(2, 1, 0), 8, 0);
    let mut publisher = place.create();
    let mut reader = place.attach(0, RELIABLE);
    publish(&mut publisher);
    // It died behind the slot's word of frame 2.
    place.slot_word(1, SlotWord::holds(2));
    let mut publisher = place.adopt().unwrap();
    assert_eq!(publisher.position(), 1);
    assert_eq!(place.owner.load(place.shape.word(1), Relaxed), 0);
    // The subscriber has not come to frame 1 yet, so slot 1 is the only one.
    publish(&mut publisher);
    assert_eq!(take(&mut reader).sequence, 1);
}

#[test]
fn a_frame_that_was_described_counts_whether_write_seq_says_so_or_not() {
    let place = Place::new(pool(3, 1, 0), 8, 0);
    let mut publisher = place.create();
    publish(&mut publisher);
    publish(&mut publisher);
    place.owner.store(owner::WRITE_SEQ, 1, Relaxed);
    let publisher = place.adopt().unwrap();
    assert_eq!(publisher.position(), 2);
    assert_eq!(place.owner.load(owner::WRITE_SEQ, Relaxed), 2);
}

#[test]
fn a_descriptor_that_was_being_written_is_written_anew() {
    let place = Place::new(pool(4, 1, 0), 8, 0);
    let mut publisher = place.create();
    let mut reader = place.attach(0, LOSSY);
    for _ in 0..4 {
        publish(&mut publisher);
    }
    // It died while it wrote the fifth, over the first one.
    let at = place.shape.descriptor(5);
    place.owner.store(at + layout::MARK, 2 * 5 - 1, Relaxed);
    let mut publisher = place.adopt().unwrap();
    assert_eq!(publisher.position(), 4);
    assert_eq!(reader.take(), Ok(Some(Next::Missed(3))));
    assert_eq!(take(&mut reader).sequence, 4);
    assert_eq!(publish(&mut publisher), 5);
}

#[test]
fn a_slot_that_was_marked_is_kept_for_whoever_may_read_it_and_readable_for_nobody() {
    let place = Place::new(pool(3, 2, 0), 8, 0);
    let mut publisher = place.create();
    let mut reliable = place.attach(0, RELIABLE);
    let mut lossy = place.attach(1, LOSSY);
    for _ in 0..2 {
        publish(&mut publisher);
    }
    let mut slots = (0..3).filter(|&slot| {
        SlotWord(place.owner.load(place.shape.word(slot), Relaxed)) == SlotWord::holds(1)
    });
    let slot = slots.next().expect("frame 1 is somewhere");
    place.slot_word(slot, SlotWord::holds(1).writing());
    let mut publisher = place.adopt().unwrap();
    assert_eq!(lossy.take(), Ok(Some(Next::Missed(1))));
    // Frames 1 and 2 are still to be read by the reliable one: there is one slot more, and then none.
    publish(&mut publisher);
    let busy = publisher.loan().unwrap_err();
    assert_eq!((busy.behind, busy.holding), (1, 0));
    // What was tried is as it was.
    assert_eq!(
        SlotWord(place.owner.load(place.shape.word(slot), Relaxed)),
        SlotWord::holds(1).writing()
    );
    assert_eq!(take(&mut reliable).slot, slot);
}

#[test]
fn a_slot_that_was_emptied_does_not_make_the_next_successor_call_the_channel_broken() {
    let place = Place::new(pool(4, 1, 1), 8, 0);
    let mut publisher = place.create();
    for _ in 0..3 {
        publish(&mut publisher);
    }
    let loan = publisher.loan().unwrap();
    let slot = (publisher.data_at(&loan) - layout::DATA) / layout::stride(8);
    // Frame 4 came as far as the slot's word; frame 2 was there before, and its descriptor is there still.
    place.slot_word(slot as u32, SlotWord::holds(4));
    place.adopt().unwrap();
    assert_eq!(place.adopt().unwrap().position(), 3);
}

#[test]
fn an_aborted_loan_is_the_next_one_to_be_had() {
    let place = Place::new(pool(4, 1, 1), 8, 0);
    let mut publisher = place.create();
    for _ in 0..3 {
        publish(&mut publisher);
    }
    let loan = publisher.loan().unwrap();
    let at = publisher.data_at(&loan);
    assert_eq!(publisher.loan().unwrap_err().loans, 1);
    publisher.abort(loan);
    let loan = publisher.loan().unwrap();
    assert_eq!(publisher.data_at(&loan), at, "the slot that is warm");
    assert_eq!(fill(&mut publisher, loan, 0), 4);
}

#[test]
fn who_keeps_the_slots_is_told() {
    let pool = Pool {
        held: 2,
        ..pool(8, 3, 1)
    };
    let place = Place::new(pool, 8, 0);
    let mut publisher = place.create();
    let mut holds = place.attach(0, LOSSY);
    let _behind = place.attach(1, RELIABLE);
    for _ in 0..8 {
        publish(&mut publisher);
    }
    take(&mut holds);
    let busy = publisher.loan().unwrap_err();
    assert_eq!((busy.behind, busy.holding, busy.joining), (0b010, 0b001, 0));
    assert_eq!(busy.seats(), 0b011);
    // Both died: all comes back but for the history, and what they had not come to is counted.
    assert_eq!(publisher.evict_dead(&NoLocks, busy.seats()), 2);
    for _ in 0..8 {
        publish(&mut publisher);
    }
    let state = SeatState::new(5, Claim::Joining, false);
    place.seat_word(2, seat::STATE, state.0);
    assert_eq!(publisher.loan().unwrap_err().joining, 0b100);
    assert_eq!(publisher.evict_dead(&NoLocks, 0b100), 1);
    publish(&mut publisher);
}

#[test]
fn what_a_dead_subscriber_held_comes_back() {
    let place = Place::new(pool(3, 2, 0), 8, 0);
    let mut publisher = place.create();
    let mut dead = place.attach(0, LOSSY);
    let mut behind = place.attach(1, RELIABLE);
    publish(&mut publisher);
    let held = take(&mut dead);
    let read = take(&mut behind);
    frames::give_back(behind.peers(), 1, read.slot);
    // The other two slots have frames that one subscriber has not come to.
    publish(&mut publisher);
    publish(&mut publisher);
    let busy = publisher.loan().unwrap_err();
    assert_eq!((busy.behind, busy.holding), (0b10, 0b01));
    publisher.evict_dead(&NoLocks, busy.holding);
    let loan = publisher.loan().unwrap();
    assert_eq!(publisher.data_at(&loan), held.at);
}

#[test]
fn a_subscriber_that_claims_the_impossible_is_evicted() {
    let state = |claim| SeatState::new(9, claim, false).0;
    let durable = SeatState::new(9, Claim::Active, true).0;
    for (word, value) in [
        (seat::STATE, state(Claim::Absent)),
        (seat::STATE, durable),
        (seat::STATE, 9 << 16 | 77),
        (seat::READ_SEQ, 3),
        (seat::READ_SEQ, u64::MAX),
        (seat::PINS, 0b11),
        (seat::PINS, 1 << 4),
        (seat::PINS + 8, 0),
    ] {
        let place = Place::new(pool(4, 1, 1), 8, 0);
        let mut publisher = place.create();
        place.seat_word(0, seat::STATE, state(Claim::Active));
        publish(&mut publisher);
        publish(&mut publisher);
        place.seat_word(0, word, value);
        let lies = word != seat::PINS + 8;
        for _ in 0..3 {
            let Ok(loan) = publisher.loan() else {
                assert!(!lies);
                break;
            };
            fill(&mut publisher, loan, 8);
        }
        let seen = SeatState(place.peers.load(peers::seat_at(0) + seat::STATE, Acquire));
        let evicted = seats::eviction(&place.owner, 0, seen);
        assert_eq!(
            evicted,
            lies.then_some(EvictionReason::Lied),
            "{word} {value:#x}"
        );
    }
}

#[test]
fn a_cursor_that_goes_back_is_a_lie() {
    let place = Place::new(pool(4, 1, 1), 8, 0);
    let mut publisher = place.create();
    let mut reader = place.attach(0, RELIABLE);
    for _ in 0..2 {
        publish(&mut publisher);
        let frame = take(&mut reader);
        frames::give_back(reader.peers(), 0, frame.slot);
    }
    let loan = publisher.loan().unwrap();
    publisher.abort(loan);
    place.seat_word(0, seat::READ_SEQ, 1);
    let loan = publisher.loan().unwrap();
    publisher.abort(loan);
    let found = seats::eviction(&place.owner, 0, reader.state());
    assert_eq!(found, Some(EvictionReason::Lied));
}

#[test]
fn a_successor_refuses_words_that_cannot_be() {
    let cases: [fn(&Place); 6] = [
        |place| place.slot_word(0, SlotWord::holds(13)),
        |place| place.slot_word(0, SlotWord::holds(10)),
        |place| place.slot_word(0, SlotWord::holds(14).writing()),
        |place| place.owner.store(owner::WRITE_SEQ, 9, Relaxed),
        |place| place.owner.store(owner::WRITE_SEQ, u64::MAX, Relaxed),
        |place| {
            let at = place.shape.descriptor(12) + layout::OFFSET;
            place.owner.store(at, layout::DATA + 1, Relaxed);
        },
    ];
    for (number, spoil) in cases.iter().enumerate() {
        let place = Place::new(pool(3, 1, 1), 8, 10);
        let mut publisher = place.create();
        publish(&mut publisher);
        publish(&mut publisher);
        assert_eq!(place.adopt().unwrap().position(), 12);
        spoil(&place);
        // Frame 13 itself is what a death leaves.
        assert_eq!(place.adopt().is_ok(), number == 0, "case {number}");
    }
}

#[test]
fn a_subscriber_believes_no_descriptor_that_leads_astray() {
    let forge = |word: u64, value: u64| {
        let place = Place::new(pool(3, 1, 1), 8, 0);
        let mut publisher = place.create();
        let mut reader = place.attach(0, LOSSY);
        publish(&mut publisher);
        let at = place.shape.descriptor(1);
        place.owner.store(at + word, value, Relaxed);
        reader.take()
    };
    for (word, value, told) in [
        (layout::OFFSET, 0, "offset of a frame"),
        (layout::OFFSET, layout::DATA - 128, "offset of a frame"),
        (layout::OFFSET, layout::DATA + 1, "offset of a frame"),
        (layout::OFFSET, layout::DATA + 3 * 128, "offset of a frame"),
        (layout::OFFSET, u64::MAX, "offset of a frame"),
        (layout::INFO, Info::new(9, 0, 0).0, "length of a frame"),
        (layout::INFO, u64::MAX, "length of a frame"),
        (layout::MARK, 4, "mark of a descriptor"),
        (layout::MARK, 2 * 5 - 1, "mark of a descriptor"),
        (layout::MARK, u64::MAX / 2, "mark of a descriptor"),
    ] {
        assert_eq!(forge(word, value).unwrap_err().word, told, "{value:#x}");
    }
    // Before its time: nothing there.
    assert_eq!(forge(layout::MARK, u64::MAX), Ok(None));
    assert_eq!(forge(layout::MARK, 0), Ok(None));
}

#[test]
fn two_frames_in_one_slot_are_found_out() {
    let place = Place::new(
        Pool {
            held: 2,
            ..pool(4, 1, 1)
        },
        8,
        0,
    );
    let mut publisher = place.create();
    let mut reader = place.attach(0, RELIABLE);
    publish(&mut publisher);
    publish(&mut publisher);
    let first = take(&mut reader);
    let at = place.shape.descriptor(2) + layout::OFFSET;
    place.owner.store(at, first.at, Relaxed);
    assert_eq!(reader.take().unwrap_err().word, "offset of a frame");
    assert_eq!(reader.held(), 1, "the first one is still held");
}
