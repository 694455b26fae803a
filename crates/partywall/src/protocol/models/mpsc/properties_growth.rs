//! Lanes of a channel that grows again and again: one thread, plain memory, and random everything.

use std::sync::atomic::Ordering::Release;

use super::super::plain::Plain;
use super::forged_growth::{claim_after, end, go_over, grow};
use super::properties::{Held, PlainReceiver, PlainSender, claim, payload_of, segments, send};
use crate::layout::mpsc;
use crate::memory::SharedMut;
use crate::protocol::mpsc::Shape;
use crate::protocol::mpsc::receiver::{Event, Receiver};
use proptest::prelude::*;

const SEATS: u32 = 3;

#[derive(Clone, Debug)]
enum Step {
    /// A record of about so many bytes, in whichever generation its sender is.
    Send(u16),
    GoOver,
    /// A record is refused.
    Refuse,
    Listen(u8),
    Leave,
    /// Its process ends.
    Die,
    /// The receiver's does, and there is another one.
    Succeed,
    LookForDead,
    /// To lanes so many times as large.
    Grow(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => any::<u16>().prop_map(Step::Send),
        2 => Just(Step::GoOver),
        2 => Just(Step::Refuse),
        4 => (1..20_u8).prop_map(Step::Listen),
        1 => Just(Step::Leave),
        1 => Just(Step::Die),
        1 => Just(Step::Succeed),
        1 => Just(Step::LookForDead),
        2 => (0..2_u32).prop_map(Step::Grow),
    ]
}

/// Every generation, and who is there.
struct World {
    generations: Vec<((Plain, Plain), Shape)>,
    receiver: PlainReceiver,
    senders: Vec<Option<(PlainSender, usize)>>,
    sent: Vec<Vec<(u16, Vec<u8>)>>,
    refused: Vec<u64>,
    /// The holder that is there, as the receiver says.
    present: Vec<Option<u64>>,
    /// The last one that was told of.
    last: Vec<u64>,
}

impl World {
    fn new(shape: Shape, base: u64) -> Self {
        let both = segments(shape, SEATS);
        for seat in 0..SEATS {
            let at = mpsc::lane_words(seat) + mpsc::LANE_READ_SEQ;
            both.0.store(at, base, Release);
            let notice = mpsc::notice(SEATS, seat);
            both.1.store32(notice, mpsc::notice_of(base), Release);
        }
        let (owner, peers) = both.clone();
        World {
            receiver: Receiver::adopt(owner, peers, shape).unwrap(),
            generations: vec![(both, shape)],
            senders: (0..SEATS).map(|_| None).collect(),
            sent: vec![Vec::new(); SEATS as usize],
            refused: vec![0; SEATS as usize],
            present: vec![None; SEATS as usize],
            last: vec![0; SEATS as usize],
        }
    }

    fn current(&self) -> usize {
        self.generations.len() - 1
    }

    fn claim(&mut self, seat: u32) {
        let current = self.current();
        let (both, shape) = &self.generations[current];
        let sender = if current > 0 && self.receiver.older().is_some() {
            let (old, old_shape) = &self.generations[current - 1];
            let ended = end(old, *old_shape, seat).unwrap();
            claim_after(both, *shape, seat, ended).unwrap()
        } else {
            claim(both, *shape, seat).unwrap()
        };
        self.senders[seat as usize] = Some((sender, current));
    }

    fn hear(&mut self, event: Option<Event>) -> bool {
        let Some(event) = event else {
            return false;
        };
        match &event {
            Event::Record { seat, epoch, found } => {
                let index = *seat as usize;
                assert_eq!(self.present[index], Some(*epoch));
                let (kind, payload) = &self.sent[index][self.receiver.records(*seat) as usize];
                assert_eq!(found.kind, *kind);
                assert_eq!(&payload_of(self.receiver.peers_of(*seat), &event), payload);
            }
            Event::Opened { seat, epoch } => {
                let now = self.present[*seat as usize].replace(*epoch);
                assert!(now.is_none() || now == Some(*epoch));
                assert!(*epoch >= self.last[*seat as usize]);
                self.last[*seat as usize] = *epoch;
            }
            Event::Closed { seat, epoch } | Event::Died { seat, epoch } => {
                let now = self.present[*seat as usize].take();
                assert!(now == Some(*epoch) || now.is_none());
                assert_eq!(self.last[*seat as usize], *epoch);
            }
            Event::Lied { .. } => panic!("{event:?}"),
        }
        true
    }

    fn locks(&self) -> (Held, Held) {
        let current = self.current();
        let held = |number: Option<usize>| {
            let holds = |sender: &Option<(_, usize)>| {
                sender
                    .as_ref()
                    .is_some_and(|sender| Some(sender.1) == number)
            };
            Held(self.senders.iter().map(holds).collect())
        };
        (held(Some(current)), held(current.checked_sub(1)))
    }

    fn look_for_dead(&mut self) -> bool {
        let (locks, older) = self.locks();
        let event = self.receiver.find_dead(&locks, &older);
        self.hear(event)
    }

    fn succeed(&mut self) {
        let adopt = |number: usize| {
            let ((owner, peers), shape) = self.generations[number].clone();
            Receiver::adopt(owner, peers, shape).unwrap()
        };
        let current = self.current();
        let mut receiver = adopt(current);
        if current > 0 {
            receiver.follow(adopt(current - 1));
        }
        self.receiver = receiver;
    }

    /// Whether the last growth is over.
    fn may_grow(&self) -> bool {
        let current = self.current();
        let here = |sender: &Option<(_, usize)>| sender.as_ref().is_none_or(|s| s.1 == current);
        self.receiver.older().is_none() && self.senders.iter().all(here)
    }

    fn step(&mut self, seat: u32, step: Step) {
        let (index, current) = (seat as usize, self.current());
        match step {
            Step::Send(number) => {
                if self.senders[index].is_none() {
                    self.claim(seat);
                }
                let (sender, at) = self.senders[index].as_mut().unwrap();
                let shape = self.generations[*at].1;
                let len = u64::from(number) % (mpsc::max_payload(shape.lane) + 1);
                let payload = vec![number as u8; len as usize];
                let done = send(sender, number, &payload);
                if done {
                    self.sent[index].push((number, payload));
                }
                // Or the sweep finds what came round to the notice that was seen last.
                let noticed = self.receiver.poll();
                self.receiver.sweep();
                assert!(done || noticed || self.receiver.poll());
            }
            Step::GoOver => {
                if let Some((sender, at)) = &mut self.senders[index]
                    && *at < current
                {
                    let (both, shape) = &self.generations[current];
                    (*sender, *at) = (go_over(sender, both, *shape), current);
                }
            }
            Step::Refuse => {
                if let Some((sender, _)) = &self.senders[index] {
                    sender.count_dropped();
                    self.refused[index] += 1;
                }
            }
            Step::Listen(looks) => {
                for _ in 0..looks {
                    let event = self.receiver.next();
                    self.hear(event);
                }
            }
            Step::Leave => {
                if let Some((sender, _)) = self.senders[index].take() {
                    sender.leave();
                }
            }
            Step::Die => self.senders[index] = None,
            Step::Succeed => self.succeed(),
            Step::LookForDead => while self.look_for_dead() {},
            Step::Grow(times) => {
                if self.may_grow() {
                    let (old, shape) = self.generations[current].clone();
                    let shape = Shape {
                        lane: shape.lane << times,
                        ..shape
                    };
                    let dead = Receiver::create(Plain::new(1 << 14), Plain::new(1), OTHER);
                    let receiver = std::mem::replace(&mut self.receiver, dead);
                    let (new, receiver) = grow(&old, receiver, shape);
                    self.receiver = receiver;
                    self.generations.push((new, shape));
                }
            }
        }
        for (seat, &refused) in (0..SEATS).zip(&self.refused) {
            assert_eq!(self.receiver.counted(seat, mpsc::COUNTED[0]), refused);
        }
    }
}

/// Of a receiver that nobody asks anything.
const OTHER: Shape = Shape { lane: 64, seats: 1 };

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn what_goes_into_each_lane_comes_out_through_all_generations(
        lane in 6..9_u32,
        base in prop_oneof![Just(0_u64), any::<u64>(), u64::MAX - 3000..],
        steps in prop::collection::vec((0..SEATS, step()), 1..200),
    ) {
        let shape = Shape { lane: 1 << lane, seats: SEATS };
        let mut world = World::new(shape, base & !7);
        for (seat, step) in steps {
            if world.current() < 4 || !matches!(step, Step::Grow(_)) {
                world.step(seat, step);
            }
        }
        world.senders.fill_with(|| None);
        // In a new lane a notice begins at 0, to which it may have come round by its first commits: then the sweep, which
        // every receiver does once in a slice, is what finds them.
        world.receiver.sweep();
        loop {
            let event = world.receiver.next();
            if !world.hear(event) && !world.look_for_dead() {
                break;
            }
        }
        prop_assert!(world.receiver.older().is_none(), "something is left there");
        for seat in 0..SEATS {
            let index = seat as usize;
            prop_assert_eq!(world.receiver.records(seat) as usize, world.sent[index].len());
            prop_assert_eq!(world.present[index], None, "an end was not told");
        }
    }
}
