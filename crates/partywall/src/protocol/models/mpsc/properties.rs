//! One thread, plain memory, and random everything.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::super::plain::{NoLocks, Plain};
use crate::layout::header::{self, State};
use crate::layout::record::{Control, RecordHeader};
use crate::layout::{mpsc, owner, peers, seat};
use crate::memory::{Shared, SharedMut};
use crate::protocol::buffer::Buffer;
use crate::protocol::mpsc::Shape;
use crate::protocol::mpsc::receiver::{Event, Receiver};
use crate::protocol::mpsc::sender::{Look, Sender, Unclaimed};
use proptest::prelude::*;

pub(super) type PlainSender = Sender<Plain, Plain, Plain>;
pub(super) type PlainReceiver = Receiver<Plain, Plain>;

/// Both segments of a channel that is READY. `lanes` of the lanes have memory.
pub(super) fn segments(shape: Shape, lanes: u32) -> (Plain, Plain) {
    let owner = Plain::new(owner::SIZE + mpsc::lane_words(shape.seats));
    owner.store32(header::STATE, State::READY.0, Release);
    (owner, Plain::new(mpsc::lane_at(shape.lane, lanes)))
}

pub(super) fn claim(
    (owner, peers): &(Plain, Plain),
    shape: Shape,
    seat: u32,
) -> Result<PlainSender, Unclaimed> {
    let lane = shape.lane_of(seat);
    let (owner, peers) = (owner.clone(), peers.clone());
    Sender::claim(owner, peers.clone(), peers, lane, shape, seat, None)
}

pub(super) fn send(sender: &mut PlainSender, kind: u16, payload: &[u8]) -> bool {
    for _ in 0..2 {
        if let Some(room) = sender.room(payload.len() as u64) {
            let at = sender.payload_at(room);
            sender.lane().copy_in(at, payload);
            sender.commit(room, payload.len() as u64, kind);
            return true;
        }
        if sender.look() != Ok(Look::Fine) {
            return false;
        }
    }
    false
}

pub(super) fn payload_of(peers: &Plain, event: &Event) -> Vec<u8> {
    let Event::Record { found, .. } = event else {
        panic!("{event:?} is no record");
    };
    let mut payload = vec![0; found.len as usize];
    peers.copy_out(found.payload_at, &mut payload);
    payload
}

fn shape() -> impl Strategy<Value = Shape> {
    (6..13_u32, 1..4_u32).prop_map(|(lane, seats)| Shape {
        lane: 1 << lane,
        seats,
    })
}

/// Where the lanes begin: anywhere, and near the end of the numbers.
fn base() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0_u64), any::<u64>(), u64::MAX - 10_000..].prop_map(|base| base & !7)
}

/// Words that lead somewhere, besides any others.
fn word(shape: Shape) -> impl Strategy<Value = u64> {
    let near = (-2 * shape.lane as i64..2 * shape.lane as i64).prop_map(|near| near as u64);
    let header = (0..shape.lane, any::<u16>(), any::<bool>()).prop_map(|(len, kind, padding)| {
        if padding {
            RecordHeader::encode_padding(len | 8)
        } else {
            RecordHeader::encode(len, kind)
        }
    });
    let control = (0..5_u64, any::<bool>()).prop_map(|(epoch, bye)| {
        if bye {
            Control::Bye(epoch).encode()
        } else {
            Control::Hello(epoch).encode()
        }
    });
    let state = (0..5_u64, 0..6_u64).prop_map(|(epoch, low)| epoch << 16 | low);
    prop_oneof![Just(0), any::<u64>(), near, header, control, state]
}

/// What may happen to a lane.
#[derive(Clone, Debug)]
enum Step {
    /// A record of about so many bytes.
    Send(u16),
    /// So many events are taken.
    Listen(u8),
    Leave,
    /// Its process ends.
    Die,
    /// The receiver's does, and there is another one.
    Succeed,
    LookForDead,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => any::<u16>().prop_map(Step::Send),
        4 => (1..40_u8).prop_map(Step::Listen),
        1 => Just(Step::Leave),
        1 => Just(Step::Die),
        1 => Just(Step::Succeed),
        1 => Just(Step::LookForDead),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn what_goes_into_each_lane_comes_out(
        shape in shape(),
        base in base(),
        steps in prop::collection::vec((0..3_u32, step()), 1..200),
    ) {
        let both = segments(shape, shape.seats);
        let (owner, peers) = both.clone();
        for seat in 0..shape.seats {
            let at = mpsc::lane_words(seat) + mpsc::LANE_READ_SEQ;
            owner.store(at, base, Release);
            // Whoever brought it so far has said so.
            let notice = mpsc::notice(shape.seats, seat);
            peers.store32(notice, mpsc::notice_of(base), Release);
        }
        let adopt = || Receiver::adopt(owner.clone(), peers.clone(), shape).unwrap();
        let mut receiver = adopt();
        let seats = shape.seats as usize;
        let mut senders: Vec<Option<PlainSender>> = (0..seats).map(|_| None).collect();
        let mut sent: Vec<Vec<(u16, Vec<u8>)>> = vec![Vec::new(); seats];
        // The holder that is there, as the receiver's words tell.
        let mut present: Vec<Option<u64>> = vec![None; seats];
        let mut ends = vec![0_u64; seats];
        let mut hear = |receiver: &PlainReceiver, event: Event, sent: &[Vec<(u16, Vec<u8>)>]| {
            match &event {
                Event::Record { seat, epoch, found } => {
                    assert_eq!(present[*seat as usize], Some(*epoch));
                    let (kind, payload) = &sent[*seat as usize][receiver.records(*seat) as usize];
                    assert_eq!(found.kind, *kind);
                    assert_eq!(&payload_of(&peers, &event), payload);
                }
                Event::Opened { seat, epoch } => {
                    let now = present[*seat as usize].replace(*epoch);
                    assert!(now.is_none() || now == Some(*epoch));
                }
                Event::Closed { seat, epoch } | Event::Died { seat, epoch } => {
                    let now = present[*seat as usize].take();
                    assert!(now == Some(*epoch) || now.is_none());
                    ends[*seat as usize] = *epoch;
                }
                Event::Lied { .. } => panic!("{event:?}"),
            }
        };
        for (seat, step) in steps {
            let seat = seat % shape.seats;
            let index = seat as usize;
            match step {
                Step::Send(number) => {
                    if senders[index].is_none() {
                        senders[index] = Some(claim(&both, shape, seat).unwrap());
                    }
                    let sender = senders[index].as_mut().unwrap();
                    let len = u64::from(number) % (mpsc::max_payload(shape.lane) + 1);
                    let payload = vec![number as u8; len as usize];
                    let done = send(sender, number, &payload);
                    if done {
                        sent[index].push((number, payload));
                    }
                    // Where everything was heard and given back there is room.
                    prop_assert!(done || receiver.poll());
                }
                Step::Listen(looks) => {
                    for _ in 0..looks {
                        if let Some(event) = receiver.next() {
                            hear(&receiver, event, &sent);
                        }
                    }
                }
                Step::Leave => {
                    if let Some(sender) = senders[index].take() {
                        sender.leave();
                    }
                }
                Step::Die => senders[index] = None,
                Step::Succeed => receiver = adopt(),
                Step::LookForDead => {
                    let locks = Held(senders.iter().map(Option::is_some).collect());
                    while let Some(event) = receiver.find_dead(&locks, &locks) {
                        hear(&receiver, event, &sent);
                    }
                }
            }
        }
        senders.clear();
        while let Some(event) = receiver.next().or_else(|| receiver.find_dead(&NoLocks, &NoLocks)) {
            hear(&receiver, event, &sent);
        }
        for seat in 0..shape.seats {
            prop_assert_eq!(receiver.records(seat) as usize, sent[seat as usize].len());
            prop_assert_eq!(present[seat as usize], None, "an end was not told");
        }
    }

    #[test]
    fn a_liar_harms_nobody_else(
        (shape, words, data) in shape().prop_flat_map(|shape| (
            Just(Shape { seats: 2, ..shape }),
            prop::collection::vec((0..6_u8, word(shape)), 60),
            prop::collection::vec((0..shape.lane / 8, word(shape)), 0..40),
        )),
    ) {
        let both = segments(shape, 2);
        let (owner, peers) = both.clone();
        let mut receiver = Receiver::create(owner.clone(), peers.clone(), shape);
        let lane = shape.lane_of(1);
        for (index, word) in data {
            peers.store(lane.data(8 * index), word, Relaxed);
        }
        let mut honest = claim(&both, shape, 0).unwrap();
        let (mut sent, mut heard) = (0, 0);
        let mut taken = None;
        for (number, (what, word)) in words.into_iter().enumerate() {
            sent += u16::from(send(&mut honest, sent, &[]));
            // What the holder of seat 1 may write, and who sits down there after it.
            match what {
                0 => peers.store(lane.data(word & !7), word, Relaxed),
                1 => {
                    let next = owner.load(mpsc::lane_words(1) + mpsc::LANE_READ_SEQ, Acquire);
                    peers.store(lane.data(next & !7), word, Relaxed);
                }
                2 => peers.store(peers::seat_at(1) + seat::STATE, word, Relaxed),
                3 => peers.store32(mpsc::notice(2, 1), word as u32, Relaxed),
                4 => taken = claim(&both, shape, 1).ok(),
                _ => {
                    if let Some(sender) = &mut taken {
                        let _ = (send(sender, 0, &[]), sender.look(), sender.seat_is_ours());
                    }
                }
            }
            if number % 8 == 0 {
                receiver.sweep();
            }
            for _ in 0..10 {
                let event = if number % 5 == 0 {
                    {
                        let locks = Held(vec![true, false]);
                        receiver.find_dead(&locks, &locks)
                    }
                } else {
                    receiver.next()
                };
                match event {
                    Some(Event::Record { seat: 0, found, .. }) => {
                        prop_assert_eq!(found.kind, heard);
                        heard += 1;
                    }
                    Some(Event::Record { found, .. }) => {
                        peers.copy_out(found.payload_at, &mut vec![0; found.len as usize]);
                    }
                    Some(Event::Closed { seat: 0, .. } | Event::Died { seat: 0, .. } | Event::Lied { seat: 0, .. }) => {
                        panic!("{event:?}");
                    }
                    _ => {}
                }
            }
            prop_assert_eq!(honest.look(), Ok(Look::Fine));
        }
        for _ in 0..100 {
            if let Some(Event::Record { seat: 0, found, .. }) = receiver.next() {
                prop_assert_eq!(found.kind, heard);
                heard += 1;
            }
        }
        prop_assert_eq!(heard, sent);
    }

    #[test]
    fn a_sender_survives_any_words_of_the_owner(
        (shape, words) in shape().prop_flat_map(|shape| (
            Just(Shape { seats: 1, ..shape }),
            prop::collection::vec((0..3_u8, word(shape)), 30),
        )),
    ) {
        let both = segments(shape, 1);
        let (owner, _) = both.clone();
        let mut taken = None;
        for (what, word) in words {
            let at = mpsc::lane_words(0) + [mpsc::LANE_READ_SEQ, mpsc::LANE_STATE][what as usize % 2];
            owner.store(at, word, Relaxed);
            if what == 2 || taken.is_none() {
                taken = claim(&both, shape, 0).ok();
            }
            if let Some(sender) = &mut taken {
                let len = word % (mpsc::max_payload(shape.lane) + 1);
                let _ = send(sender, 0, &vec![0; len as usize]);
            }
            // A receiver that takes over says what is wrong, or goes on.
            if let Ok(mut receiver) = Receiver::adopt(owner.clone(), both.1.clone(), shape) {
                for _ in 0..5 {
                    receiver.next();
                }
            }
        }
    }
}

/// Seats that somebody holds.
pub(super) struct Held(pub(super) Vec<bool>);

impl crate::protocol::SeatLocks for Held {
    fn try_lock(&self, seat: u32) -> bool {
        !self.0[seat as usize]
    }

    fn unlock(&self, _: u32) {}
}
