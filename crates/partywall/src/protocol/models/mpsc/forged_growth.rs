//! A channel that grows, in states that were made by hand: half-done ones that somebody dead left, and lies.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::super::plain::{NoLocks, Plain};
use super::properties::{Held, PlainReceiver, PlainSender, claim, payload_of, segments, send};
use crate::layout::header::{self, State};
use crate::layout::mpsc::{self, LaneState};
use crate::layout::peers;
use crate::layout::record::RecordHeader;
use crate::layout::seat::{self, SeatState};
use crate::memory::{Shared, SharedMut};
use crate::protocol::buffer::Buffer;
use crate::protocol::mpsc::Shape;
use crate::protocol::mpsc::receiver::{Event, Receiver};
use crate::protocol::mpsc::sender::{Ended, Look, Sender, Unclaimed, end_unread, end_untouched};

type Both = (Plain, Plain);

const OLD: Shape = Shape {
    lane: 256,
    seats: 2,
};
const NEW: Shape = Shape {
    lane: 512,
    seats: 2,
};

/// The next generation, and the receiver there.
pub(super) fn grow(old: &Both, receiver: PlainReceiver, shape: Shape) -> (Both, PlainReceiver) {
    let new = segments(shape, shape.seats);
    let mut next = Receiver::create(new.0.clone(), new.1.clone(), shape);
    next.inherit(&receiver);
    old.0.store32(header::STATE, State::RETIRED.0, Release);
    next.follow(receiver);
    (new, next)
}

/// A sender goes over.
pub(super) fn go_over(sender: &PlainSender, new: &Both, shape: Shape) -> PlainSender {
    let (owner, peers) = new.clone();
    let lane = shape.lane_of(sender.seat());
    sender
        .move_on(owner, peers.clone(), peers, lane, shape)
        .unwrap()
}

/// Where a lane of the generation before ends, for who claims its seat.
pub(super) fn end(old: &Both, shape: Shape, seat: u32) -> Result<Ended, Unclaimed> {
    let (owner, peers) = old;
    match end_untouched(owner, peers, shape, seat) {
        Some(ended) => Ok(ended),
        None => {
            let lane = shape.lane_of(seat);
            end_unread(owner, peers, peers, lane, shape, seat).map_err(Unclaimed::Lie)
        }
    }
}

pub(super) fn claim_after(
    new: &Both,
    shape: Shape,
    seat: u32,
    ended: Ended,
) -> Result<PlainSender, Unclaimed> {
    let (owner, peers) = new.clone();
    let lane = shape.lane_of(seat);
    Sender::claim(owner, peers.clone(), peers, lane, shape, seat, Some(ended))
}

fn all(receiver: &mut PlainReceiver) -> Vec<Event> {
    std::iter::from_fn(|| receiver.next()).collect()
}

fn begin() -> (Both, PlainReceiver, PlainSender) {
    let old = segments(OLD, 2);
    let receiver = Receiver::create(old.0.clone(), old.1.clone(), OLD);
    let mut sender = claim(&old, OLD, 0).unwrap();
    assert!(send(&mut sender, 0, b"first") && send(&mut sender, 1, b"second"));
    (old, receiver, sender)
}

#[test]
fn an_end_that_lies_cuts_the_lane_off_and_the_others_go_on() {
    let end_at = peers::seat_at(0) + mpsc::END;
    for lie in [1, 2, 9, 25, 49, u64::MAX, 41 + 256, 41 - 16, 41 + 8] {
        let (old, receiver, sender) = begin();
        let mut other = claim(&old, OLD, 1).unwrap();
        assert!(send(&mut other, 0, b"one"));
        assert_eq!(sender.position(), 40);
        let (new, mut receiver) = grow(&old, receiver, NEW);
        let mut liar = go_over(&sender, &new, NEW);
        assert!(send(&mut liar, 2, &[1; 100]));
        old.1.store(end_at, lie, Release);
        // Who comes to the lane meanwhile does not believe it either.
        assert!(matches!(end(&old, OLD, 0), Err(Unclaimed::Lie(_))));
        let events = all(&mut receiver);
        let of_liar: Vec<&Event> = events
            .iter()
            .filter(|event| {
                !matches!(
                    event,
                    Event::Opened { seat: 1, .. } | Event::Record { seat: 1, .. }
                )
            })
            .collect();
        let [
            Event::Opened { .. },
            Event::Record { .. },
            Event::Record { .. },
            Event::Lied {
                seat: 0,
                epoch: 1,
                lie: told,
            },
        ] = of_liar[..]
        else {
            panic!("{lie:#x}: {events:?}");
        };
        assert_eq!((told.word, told.found), ("end of a lane", lie));
        let mut other = go_over(&other, &new, NEW);
        assert!(send(&mut other, 1, b"two"));
        let events = all(&mut receiver);
        assert_eq!(payload_of(&new.1, &events[0]), b"two");
        assert_eq!(events.len(), 1);
        // Its old seat is free: the lane is left, and it is not heard in the new one either.
        receiver.leave_free(&NoLocks);
        assert!(receiver.older().is_none());
        assert_eq!(liar.look(), Ok(Look::CutOff));
        receiver.sweep();
        assert_eq!(all(&mut receiver), []);
        let mut heir = claim(&new, NEW, 0).unwrap();
        assert!(send(&mut heir, 0, b"anew"));
        assert_eq!(receiver.next(), Some(Event::Opened { seat: 0, epoch: 2 }));
        let event = receiver.next().unwrap();
        assert_eq!(payload_of(&new.1, &event), b"anew");
    }
}

#[test]
fn an_end_that_changes_later_tells_nothing() {
    let (old, receiver, sender) = begin();
    let (new, mut receiver) = grow(&old, receiver, NEW);
    drop(go_over(&sender, &new, NEW));
    assert_eq!(all(&mut receiver).len(), 3);
    old.1.store(peers::seat_at(0) + mpsc::END, 400 | 1, Release);
    let ended = end(&old, OLD, 0).unwrap();
    assert_eq!((ended.at, ended.epoch), (40, 1));
    let mut heir = claim_after(&new, NEW, 0, ended).unwrap();
    assert!(send(&mut heir, 0, b"heard"));
    assert_eq!(receiver.next(), Some(Event::Died { seat: 0, epoch: 1 }));
    assert_eq!(receiver.next(), Some(Event::Opened { seat: 0, epoch: 2 }));
    let event = receiver.next().unwrap();
    assert_eq!(payload_of(&new.1, &event), b"heard");
}

#[test]
fn a_mover_that_only_said_where_it_ends_has_died_there() {
    let (old, receiver, sender) = begin();
    let (new, mut receiver) = grow(&old, receiver, NEW);
    let end_word = mpsc::end_word(sender.position());
    old.1
        .store(peers::seat_at(0) + mpsc::END, end_word, Release);
    assert_eq!(all(&mut receiver).len(), 3);
    // It may be alive in the next generation: not before its seat there is free.
    let busy = Held(vec![true, true]);
    assert_eq!(receiver.find_dead(&busy, &Held(vec![false, false])), None);
    let free = Held(vec![false, true]);
    let died = receiver.find_dead(&free, &free);
    assert_eq!(died, Some(Event::Died { seat: 0, epoch: 1 }));
    assert_eq!(receiver.next(), None);
    let mut heir = claim(&new, NEW, 0).unwrap();
    assert_eq!(heir.state().epoch(), 2, "later than who was told of");
    assert!(send(&mut heir, 0, &[]));
    assert_eq!(all(&mut receiver).len(), 2);
}

/// The lock of the old seat is free as soon as its holder has gone over.
#[test]
fn who_went_over_is_not_told_to_be_dead() {
    let (old, receiver, sender) = begin();
    let (new, mut receiver) = grow(&old, receiver, NEW);
    // Everything is read, and the receiver has not seen the end yet.
    for _ in 0..3 {
        receiver.next();
    }
    receiver.settle();
    let mut sender = go_over(&sender, &new, NEW);
    let died = receiver.find_dead(&Held(vec![true, true]), &Held(vec![false, true]));
    assert_eq!(died, None);
    assert!(send(&mut sender, 2, &[]));
    assert_eq!(all(&mut receiver).len(), 1);
}

#[test]
fn a_claimant_walks_from_where_the_receiver_is_in_the_new_lane() {
    let (old, receiver, sender) = begin();
    let shape = Shape {
        lane: 128,
        seats: 2,
    };
    let (new, mut receiver) = grow(&old, receiver, shape);
    let mut sender = go_over(&sender, &new, shape);
    // Round and round: what stands where the lane began is of a later lap.
    for kind in 0..40 {
        assert!(send(&mut sender, kind, &[0; 8 * 3]));
        all(&mut receiver);
    }
    let (position, ended) = (sender.position(), Ended { at: 40, epoch: 1 });
    let heir = claim_after(&new, shape, 0, ended).unwrap();
    assert_eq!(heir.position(), position);
}

#[test]
fn a_lane_that_nobody_ever_held_is_not_touched() {
    // Lane 1 has no memory at all.
    let old = segments(OLD, 1);
    let receiver = Receiver::create(old.0.clone(), old.1.clone(), OLD);
    let (new, mut receiver) = grow(&old, receiver, NEW);
    receiver.sweep();
    assert_eq!(all(&mut receiver), []);
    // Somebody comes and says so; of the other one the receiver finds out.
    let ended = end(&old, OLD, 1).unwrap();
    let mut sender = claim_after(&new, NEW, 1, ended).unwrap();
    assert!(send(&mut sender, 0, &[]));
    assert_eq!(all(&mut receiver).len(), 2);
    let free = Held(vec![false, true]);
    assert_eq!(receiver.find_dead(&free, &free), None);
    assert!(receiver.older().is_none());
}

#[test]
fn a_lane_that_nobody_has_claimed_is_not_touched_where_the_receiver_goes_on() {
    let old = segments(OLD, 2);
    let receiver = Receiver::create(old.0.clone(), old.1.clone(), OLD);
    let (new, mut receiver) = grow(&old, receiver, NEW);
    // Neither lane has memory.
    new.1.take_away(NEW.lane_of(0).offset(), 2 * NEW.lane);
    // Somebody came for one of them, said where the old one ends, and found no memory for the new one; the receiver leaves
    // the other by itself.
    end(&old, OLD, 1).unwrap();
    assert_eq!(all(&mut receiver), []);
    receiver.leave_free(&NoLocks);
    assert!(receiver.older().is_none());
    receiver.sweep();
    assert_eq!(all(&mut receiver), []);
    assert_eq!(receiver.find_dead(&NoLocks, &NoLocks), None);
    // With memory, somebody is heard.
    new.1.take_away(0, 0);
    let ended = end(&old, OLD, 1).unwrap();
    let mut sender = claim_after(&new, NEW, 1, ended).unwrap();
    assert!(send(&mut sender, 0, b"heard"));
    assert_eq!(all(&mut receiver).len(), 2);
}

#[test]
fn a_lane_that_was_cut_off_ends_at_the_cursor_for_the_next_one() {
    let (old, receiver, sender) = begin();
    let mut receiver = receiver;
    let at = OLD.lane_of(0).data(sender.position());
    old.1
        .store(at, RecordHeader::encode(8, 0) | 1 << 63, Release);
    assert!(matches!(
        all(&mut receiver).last(),
        Some(Event::Lied { .. })
    ));
    let (new, mut receiver) = grow(&old, receiver, NEW);
    let ended = end(&old, OLD, 0).unwrap();
    assert_eq!((ended.at, ended.epoch), (40, 2));
    let mut heir = claim_after(&new, NEW, 0, ended).unwrap();
    assert!(send(&mut heir, 0, b"anew"));
    assert_eq!(heir.look(), Ok(Look::Fine));
    assert_eq!(receiver.next(), Some(Event::Opened { seat: 0, epoch: 3 }));
    let event = receiver.next().unwrap();
    assert_eq!(payload_of(&new.1, &event), b"anew");
    assert_eq!(heir.look(), Ok(Look::Fine));
}

/// A notice may have any value, 0 too.
#[test]
fn what_comes_right_after_a_lane_was_left_is_noticed() {
    let old = segments(OLD, 2);
    let base = (1 << 35) - 64;
    old.0
        .store(mpsc::lane_words(0) + mpsc::LANE_READ_SEQ, base, Release);
    let mut sender = claim(&old, OLD, 0).unwrap();
    sender.look().unwrap();
    let receiver = Receiver::adopt(old.0.clone(), old.1.clone(), OLD).unwrap();
    let (new, mut receiver) = grow(&old, receiver, NEW);
    let mut sender = go_over(&sender, &new, NEW);
    assert_eq!(all(&mut receiver).len(), 1);
    assert!(!receiver.is_older(0));
    assert!(send(&mut sender, 0, &[0; 48]));
    assert_eq!(new.1.load32(mpsc::notice(2, 0), Relaxed), 0);
    assert_eq!(all(&mut receiver).len(), 1);
}

/// Killed before any store of leaving, a receiver has a successor that loses and repeats nothing.
#[test]
fn a_receiver_that_died_while_it_left_a_lane_has_not_left_it() {
    let (old, receiver, sender) = begin();
    let (new, mut receiver) = grow(&old, receiver, NEW);
    let mut sender = go_over(&sender, &new, NEW);
    assert!(send(&mut sender, 2, b"third"));
    assert_eq!(all(&mut receiver).len(), 4);
    let left_at = mpsc::lane_words(0) + mpsc::LANE_LEFT;
    let adopt =
        |both: &Both, shape| Receiver::adopt(both.0.clone(), both.1.clone(), shape).unwrap();
    let successor = || {
        let mut next = adopt(&new, NEW);
        next.follow(adopt(&old, OLD));
        next
    };
    assert_eq!(old.0.load(left_at, Acquire), 41);
    let mut next = successor();
    next.sweep();
    assert_eq!(all(&mut next), []);
    assert_eq!(next.records(0), 3);
    // As before the last store of leaving.
    old.0.store(left_at, 0, Relaxed);
    let cursor = mpsc::lane_words(0) + mpsc::LANE_READ_SEQ;
    let selector = new.0.load(cursor, Relaxed) & 1;
    new.0.store(cursor, 40 | selector, Relaxed);
    new.0.store(cursor + 8 + 8 * selector, 2, Relaxed);
    let mut next = successor();
    let events = all(&mut next);
    assert_eq!(payload_of(&new.1, &events[0]), b"third");
    assert_eq!((events.len(), next.records(0)), (1, 3));
    assert_eq!(old.0.load(left_at, Acquire), 41);
    let state = LaneState(new.0.load(mpsc::lane_words(0) + mpsc::LANE_STATE, Acquire));
    assert_eq!(state, LaneState::open(1));
    let seat = SeatState(new.1.load(peers::seat_at(0) + seat::STATE, Acquire));
    assert_eq!(seat.epoch(), 1);
}

/// The seat's words of a generation that nobody sat in tell nothing of those before it.
#[test]
fn epochs_go_on_through_generations_that_nobody_sat_in() {
    let (old, receiver, sender) = begin();
    sender.leave();
    let mut receiver = receiver;
    assert_eq!(all(&mut receiver).len(), 4);
    let (between, mut receiver) = grow(&old, receiver, NEW);
    receiver.leave_free(&NoLocks);
    let (new, mut receiver) = grow(&between, receiver, NEW);
    let ended = end(&between, NEW, 0).unwrap();
    let mut heir = claim_after(&new, NEW, 0, ended).unwrap();
    assert_eq!(heir.state().epoch(), 2);
    assert!(send(&mut heir, 0, &[]));
    assert_eq!(receiver.next(), Some(Event::Opened { seat: 0, epoch: 2 }));
}
