//! One thread, plain memory, and random everything, against a reference that keeps all it needs in plain lists.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;

use proptest::prelude::*;

use super::super::plain::{NoLocks, Plain};
use super::forged::{Place, fill};
use super::{Pool, Wish};
use crate::layout::frames as layout;
use crate::layout::header::{self, State};
use crate::layout::seat;
use crate::layout::{owner, peers, verdict};
use crate::memory::{Shared, SharedMut};
use crate::protocol::frames::{self, Frame, Loan, Next, Publisher, Subscriber};
use crate::protocol::seats;

/// A subscriber and what the reference knows of it.
struct Reader {
    subscriber: Subscriber<Plain, Plain>,
    seat: u32,
    wish: Wish,
    /// The last frame that it had, missed, or joined behind.
    at: u64,
    held: VecDeque<Frame>,
}

struct Reference {
    place: Place,
    publisher: Publisher<Plain, Plain>,
    /// The frame in each slot; 0 for none.
    slots: Vec<u64>,
    /// Bytes of the published frames.
    lens: Vec<u32>,
    loans: Vec<Loan>,
    readers: Vec<Option<Reader>>,
}

impl Reference {
    fn new(pool: Pool, frame: u32, base: u64) -> Self {
        let place = Place::new(pool, frame, base);
        Reference {
            publisher: place.create(),
            slots: vec![0; pool.slots as usize],
            lens: Vec::new(),
            loans: Vec::new(),
            readers: (0..pool.seats).map(|_| None).collect(),
            place,
        }
    }

    fn slot_of(&self, loan: &Loan) -> usize {
        let stride = layout::stride(self.place.shape.frame);
        ((self.publisher.data_at(loan) - layout::DATA) / stride) as usize
    }

    /// Whether somebody needs what lies in a slot.
    fn is_needed(&self, slot: usize) -> bool {
        let frame = self.slots[slot];
        let position = self.publisher.position();
        self.loans.iter().any(|loan| self.slot_of(loan) == slot)
            || frame != 0 && position - frame < u64::from(self.place.shape.pool.history)
            || self.readers.iter().flatten().any(|reader| {
                !reader.wish.lossy && frame > reader.at
                    || reader.held.iter().any(|held| held.slot as usize == slot)
            })
    }

    fn loan(&mut self) {
        let room = self.loans.len() < self.place.shape.pool.loans as usize;
        let free = (0..self.slots.len()).any(|slot| !self.is_needed(slot));
        match self.publisher.loan() {
            Ok(loan) => {
                let slot = self.slot_of(&loan);
                assert!(room && !self.is_needed(slot), "slot {slot} is needed");
                self.loans.push(loan);
            }
            Err(busy) => {
                assert!(!room || !free, "a free slot was not found");
                assert!(busy.loans > 0 || busy.seats() != 0, "nobody is in the way");
            }
        }
    }

    fn abort(&mut self) {
        if let Some(loan) = self.loans.pop() {
            self.spoil(&loan);
            self.publisher.abort(loan);
        }
    }

    /// What lay in a slot that was loaned is nobody's any more.
    fn spoil(&mut self, loan: &Loan) {
        let slot = self.slot_of(loan);
        self.slots[slot] = 0;
    }

    fn publish(&mut self, len: u32) {
        if self.loans.is_empty() {
            self.loan();
        }
        let Some(loan) = self.loans.pop() else {
            return;
        };
        let slot = self.slot_of(&loan);
        let sequence = fill(&mut self.publisher, loan, len);
        self.lens.push(len);
        self.slots[slot] = sequence;
    }

    /// Its bytes are those that were published under its number.
    fn check(&self, frame: &Frame) {
        let base = self.place.shape.base;
        let len = self.lens[(frame.sequence - base) as usize - 1];
        assert_eq!((frame.len, frame.about.width), (len, len));
        assert_eq!(
            (frame.time_ns, frame.kind, frame.content),
            (frame.sequence, 7, 1)
        );
        let mut bytes = vec![0; len as usize];
        self.place.owner.copy_out(frame.at, &mut bytes);
        assert!(bytes.iter().all(|&byte| byte == frame.sequence as u8));
    }

    fn join(&mut self, seat: usize, wish: Wish) {
        if self.readers[seat].is_some() {
            return;
        }
        let position = self.publisher.position();
        let (pool, base) = (self.place.shape.pool, self.place.shape.base);
        let back = u64::from(wish.back.min(pool.history)).min(position - base);
        let subscriber = self.place.attach(seat as u32, wish);
        assert_eq!(subscriber.cursor(), position - back);
        self.readers[seat] = Some(Reader {
            at: subscriber.cursor(),
            subscriber,
            seat: seat as u32,
            wish,
            held: VecDeque::new(),
        });
    }

    fn take(&mut self, seat: usize) {
        let Some(mut reader) = self.readers[seat].take() else {
            return;
        };
        let position = self.publisher.position();
        assert_eq!(reader.subscriber.has_news(), position > reader.at);
        match reader.subscriber.take().expect("an honest publisher") {
            Some(Next::Frame(frame)) => {
                assert_eq!(frame.sequence, reader.at + 1);
                self.check(&frame);
                reader.at += 1;
                reader.held.push_back(frame);
            }
            Some(Next::Missed(frames)) => {
                assert!(reader.wish.lossy, "a reliable subscriber was overrun");
                let wanted = reader.at + 1;
                let descriptors = u64::from(self.place.shape.pool.slots).next_power_of_two();
                let there = self.slots.contains(&wanted)
                    && position - wanted < descriptors
                    && !self
                        .loans
                        .iter()
                        .any(|loan| self.slots[self.slot_of(loan)] == wanted);
                assert!(!there, "frame {wanted} is there");
                reader.at += frames;
                assert!(reader.at <= position);
            }
            Some(Next::HandsFull) => {
                assert_eq!(reader.held.len(), self.place.shape.pool.held as usize);
            }
            None => assert_eq!(reader.at, position),
        }
        self.readers[seat] = Some(reader);
    }

    /// Only the newest frame is wanted.
    fn skip(&mut self, seat: usize) {
        let position = self.publisher.position();
        if let Some(reader) = &mut self.readers[seat] {
            let unread = position - reader.at;
            let skipped = reader.subscriber.skip_to_newest();
            assert_eq!(skipped, unread.saturating_sub(1));
            reader.at += skipped;
        }
    }

    fn give_back(&mut self, seat: usize, which: usize) {
        let Some(mut reader) = self.readers[seat].take() else {
            return;
        };
        if !reader.held.is_empty() {
            let frame = reader.held.remove(which % reader.held.len()).unwrap();
            self.check(&frame);
            frames::give_back(&self.place.peers, reader.seat, frame.slot);
        }
        self.readers[seat] = Some(reader);
    }

    /// A subscriber leaves in order, or dies and is evicted, or leaves its seat to the next.
    fn end(&mut self, seat: usize, how: u8) {
        let Some(reader) = self.readers[seat].take() else {
            return;
        };
        let left = self.publisher.position() - reader.at;
        let before = counted(&self.place, reader.seat);
        match how % 3 {
            0 => {
                for frame in &reader.held {
                    self.check(frame);
                    frames::give_back(&self.place.peers, reader.seat, frame.slot);
                }
                seats::leave(
                    &self.place.peers,
                    reader.seat,
                    reader.subscriber.state(),
                    false,
                );
                assert_eq!(counted(&self.place, reader.seat), before);
            }
            1 => {
                assert_eq!(self.publisher.evict_dead(&NoLocks, 1 << seat), 1);
                assert_eq!(counted(&self.place, reader.seat), before + left);
            }
            _ => {
                self.join(seat, reader.wish);
                assert_eq!(counted(&self.place, reader.seat), before + left);
            }
        }
    }

    /// The publisher dies with its loans, and a successor comes.
    fn adopt(&mut self) {
        let position = self.publisher.position();
        for loan in std::mem::take(&mut self.loans) {
            self.spoil(&loan);
        }
        self.publisher = self.place.adopt().expect("an honest predecessor");
        assert_eq!(self.publisher.position(), position);
    }
}

/// What owner and successors counted for dead holders of a seat.
fn counted(place: &Place, seat: u32) -> u64 {
    let at = verdict::at(seat);
    let word = verdict::Evicted(place.owner.load(at + verdict::EVICTED, Relaxed));
    let lost = [verdict::LOST_0, verdict::LOST_1][word.selector() as usize];
    let state = place
        .peers
        .load(peers::seat_at(seat) + seat::STATE, Relaxed);
    let abandoned = seats::abandoned(seat::SeatState(state).epoch());
    place.owner.load(at + lost, Relaxed)
        + place.peers.load(peers::seat_at(seat) + abandoned, Relaxed)
}

fn pools() -> impl Strategy<Value = Pool> {
    let numbers = (1..4_u32, 0..4_u32, 1..4_u32, 1..3_u32);
    // Sometimes more slots than one word of pins has bits.
    let more = prop_oneof![0..5_u32, 0..5_u32, 60..70_u32];
    (numbers, more).prop_map(|((seats, history, held, loans), more)| Pool {
        slots: seats * held + history + loans + more,
        seats,
        history,
        held,
        loans,
    })
}

fn bases() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 0..1000_u64, (1_u64 << 61) - 100..(1_u64 << 61)]
}

/// Words that lead somewhere, besides any others.
fn words(base: u64) -> impl Strategy<Value = u64> {
    let frame = move || (-3..10_i64).prop_map(move |distance| base.wrapping_add_signed(distance));
    let mark =
        (frame(), 0..2_u64).prop_map(|(frame, less)| frame.wrapping_mul(2).wrapping_sub(less));
    let word = (frame(), 0..2_u64).prop_map(|(frame, writing)| frame << 1 | writing);
    let offset = (0..12_u64).prop_map(|slot| layout::DATA + 128 * slot);
    let state = (0..4_u64, 0..4_u64, 0..6_u64)
        .prop_map(|(epoch, flags, claim)| epoch << 16 | flags << 8 | claim);
    let pins = (0..12_u32).prop_map(|slot| 1 << slot);
    prop_oneof![
        Just(0),
        any::<u64>(),
        frame(),
        frame(),
        mark.boxed(),
        word.boxed(),
        offset.boxed(),
        state.boxed(),
        pins.boxed(),
    ]
}

proptest! {
    // Found cases become tests of their own, not files beside the sources.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn every_frame_is_had_or_told_and_never_changes_in_hand(
        pool in pools(),
        base in bases(),
        frame in prop_oneof![Just(8_u32), Just(200)],
        steps in prop::collection::vec((0..12_u8, any::<u8>(), any::<u8>()), 1..200),
    ) {
        let mut world = Reference::new(pool, frame, base);
        for (step, number, how) in steps {
            let seat = usize::from(number) % pool.seats as usize;
            match step {
                0..4 => world.publish(u32::from(how) % (frame + 1)),
                4 => world.loan(),
                5 => world.abort(),
                6 if how & 15 == 0 => world.skip(seat),
                6..9 => world.take(seat),
                9 => world.give_back(seat, how.into()),
                10 => world.join(seat, Wish { lossy: how & 1 != 0, back: u32::from(how) / 64 }),
                _ if how & 3 == 0 => world.adopt(),
                _ => world.end(seat, how),
            }
        }
        // Everything is read and given back: as many frames can be published as one likes.
        while !world.loans.is_empty() {
            world.abort();
        }
        for _ in 0..pool.slots {
            for seat in 0..pool.seats as usize {
                while world.readers[seat].as_ref().is_some_and(|reader| {
                    reader.at < world.publisher.position() || !reader.held.is_empty()
                }) {
                    world.give_back(seat, 0);
                    world.take(seat);
                }
            }
            let before = world.publisher.position();
            world.publish(1);
            prop_assert_eq!(world.publisher.position(), before + 1);
        }
    }

    #[test]
    fn nothing_that_a_peer_writes_makes_us_panic_or_loop(
        (base, values) in bases().prop_flat_map(|base| {
            (Just(base), prop::collection::vec(words(base), 80))
        }),
        lossy in any::<bool>(),
    ) {
        let pool = Pool { slots: 8, seats: 2, history: 2, held: 2, loans: 2 };
        let place = Place::new(pool, 8, base);
        let shape = place.shape;
        let mut honest = place.create();
        for _ in 0..values[0] % 6 {
            let Ok(loan) = honest.loan() else { break };
            fill(&mut honest, loan, 8);
        }
        let owners: Vec<u64> = [owner::WRITE_SEQ, verdict::at(0) + verdict::EVICTED]
            .into_iter()
            .chain((0..pool.slots).map(|slot| shape.word(slot)))
            .chain((1..9).flat_map(|frame| {
                let at = shape.descriptor(base + frame);
                [layout::MARK, layout::OFFSET, layout::INFO].map(|word| at + word)
            }))
            .collect();
        let seats: Vec<u64> = (0..2)
            .map(peers::seat_at)
            .flat_map(|at| {
                [seat::STATE, seat::READ_SEQ, seat::PINS, seat::PINS + 8, seat::ABANDONED_0]
                    .map(|word| at + word)
            })
            .collect();
        // Some of them, so that others stay as an honest owner left them.
        let spoil = |from: usize| {
            for pair in values[from..from + 10].chunks(2) {
                place.owner.store(owners[pair[0] as usize % owners.len()], pair[1], Relaxed);
                place.peers.store(seats[pair[1] as usize % seats.len()], pair[0], Relaxed);
            }
        };
        spoil(1);
        let wish = Wish { lossy, back: values[11] as u32 % 4 };
        let mut reader = place.attach(0, wish);
        let use_all = |reader: &mut Subscriber<Plain, Plain>| {
            for _ in 0..6 {
                if let Ok(Some(Next::Frame(frame))) = reader.take() {
                    let mut bytes = vec![0; frame.len as usize];
                    place.owner.copy_out(frame.at, &mut bytes);
                    if frame.sequence & 1 == 0 {
                        frames::give_back(&place.peers, 0, frame.slot);
                    }
                }
                let _ = (reader.has_news(), reader.held(), reader.skip_to_newest());
            }
        };
        for round in 0..4 {
            use_all(&mut reader);
            spoil(12 + 10 * round);
            if let Ok(mut publisher) = place.adopt() {
                for _ in 0..4 {
                    match publisher.loan() {
                        Ok(loan) if values[60] & 1 == 0 => publisher.abort(loan),
                        Ok(loan) => { fill(&mut publisher, loan, 8); }
                        Err(busy) => { publisher.evict_dead(&NoLocks, busy.seats()); }
                    }
                    use_all(&mut reader);
                }
                publisher.evict_dead(&NoLocks, u64::MAX);
            }
        }
        place.owner.store32(header::STATE, State::CLOSED.0, Relaxed);
    }
}
