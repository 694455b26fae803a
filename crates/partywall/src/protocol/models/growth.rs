//! Rings that grow while records flow: consumers that drain and come over, newcomers, and deaths of either side.

use std::rc::Rc;

use loom::sync::atomic::Ordering::{Acquire, Relaxed};

use super::memory::{Memory, Process, World};
use super::people::{Producer, Reader, send};
use super::{explore, kill_everywhere};
use crate::layout::header::State;
use crate::layout::peers;
use crate::layout::root::CURRENT;
use crate::layout::seat::{self, Claim, SeatState};
use crate::layout::verdict::{self, Evicted};
use crate::memory::Shared;
use crate::protocol::growth::{self, Behind, Later, Older};
use crate::protocol::ring::consumer::RingConsumer;
use crate::protocol::ring::seats as ring_seats;
use crate::protocol::{SeatLocks, seats};

/// A channel with generations that begin where the one before ends. All are READY, but nobody looks at one before
/// the root names it.
#[derive(Clone)]
struct Channel {
    root: Rc<Memory>,
    generations: Vec<World>,
}

impl Channel {
    /// Capacity and base of each.
    fn new(seats: u32, generations: &[(u64, u64)]) -> Self {
        Channel {
            root: Memory::racing([CURRENT].into_iter()),
            generations: generations
                .iter()
                .map(|&(capacity, base)| World::new(capacity, seats, base))
                .collect(),
        }
    }

    fn current(&self, process: &Process) -> usize {
        process.map(&self.root).load(CURRENT, Acquire) as usize
    }

    fn state_of(&self, generation: usize, seat: u32, process: &Process) -> SeatState {
        let process = self.generations[generation].also(process);
        SeatState(
            process
                .peers
                .load(peers::seat_at(seat) + seat::STATE, Acquire),
        )
    }
}

/// The producer of a channel, that makes its generations one after the other.
struct Grower {
    channel: Channel,
    process: Process,
    generation: usize,
    producer: Producer,
}

impl Grower {
    fn found(channel: &Channel, process: Process) -> Self {
        let world = &channel.generations[0];
        let here = world.also(&process);
        let producer = Producer::create(here.owner, here.peers, world.shape, 0);
        Grower {
            channel: channel.clone(),
            process,
            generation: 0,
            producer,
        }
    }

    /// Sends one record, with one look at the seats.
    fn send(&mut self) -> bool {
        let kind = self.producer.records() as u16;
        send(&mut self.producer, kind, 8, 1)
    }

    /// As `Owned::grow` does it.
    fn grow(&mut self) {
        let next = self.generation + 1;
        let world = &self.channel.generations[next];
        assert_eq!(self.producer.position(), world.shape.base, "as was planned");
        let here = world.also(&self.process);
        let records = self.producer.records();
        let mut producer = Producer::create(here.owner, here.peers, world.shape, records);
        producer.decide_as(&self.producer);
        let mut old = std::mem::replace(&mut self.producer, producer);
        let root = self.process.map(&self.channel.root);
        growth::advance(&root, old.owner(), next as u64);
        let mut older = std::mem::take(old.older());
        older.push(Older {
            generation: self.generation as u64,
            role: old,
            durable_only: false,
        });
        *self.producer.older() = older;
        self.generation = next;
    }

    /// Who goes on after a death, as `owner::open` does it.
    fn succeed(channel: &Channel, process: Process) -> Self {
        let generation = channel.current(&process);
        let adopt = |index: usize| {
            let world = &channel.generations[index];
            let here = world.also(&process);
            Producer::adopt(here.owner, here.peers, world.shape).expect("an honest one")
        };
        let mut producer = adopt(generation);
        for before in 0..generation {
            growth::retire(&channel.generations[before].also(&process).owner);
            producer.older().push(Older {
                generation: before as u64,
                role: adopt(before),
                durable_only: false,
            });
        }
        Grower {
            channel: channel.clone(),
            process,
            generation,
            producer,
        }
    }

    /// Evicts whoever is dead, in all generations, as `Owned::reclaim` does it.
    fn evict_dead(&mut self) {
        let records = self.producer.records();
        let mut peers = vec![self.producer.peers().clone()];
        for before in self.producer.older().iter_mut().rev() {
            let locks = &self.channel.generations[before.generation as usize].locks;
            let later = Later {
                records,
                peers: &peers,
            };
            before.role.evict_left_behind(&**locks, &later);
            peers.push(before.role.peers().clone());
        }
        let locks = &self.channel.generations[self.generation].locks;
        self.producer.evict_dead(&**locks, u64::MAX);
    }
}

/// A consumer that goes where its producer goes.
struct Follower {
    channel: Channel,
    generation: usize,
    reader: Reader,
}

impl Follower {
    /// Joins the generation that the root names; `None` if that is over by now, or the seat is somebody's.
    fn join(channel: &Channel, process: &Process, seat: u32, name: Option<&str>) -> Option<Self> {
        let generation = channel.current(process);
        for before in 0..generation {
            let here = channel.generations[before].also(process);
            let promised = growth::promised(&here.owner, &here.peers, 2)?;
            if promised >> seat & 1 != 0 {
                return None;
            }
        }
        Self::sit(channel, process, generation, seat, name)
    }

    /// Takes a seat of one generation.
    fn sit(
        channel: &Channel,
        process: &Process,
        generation: usize,
        seat: u32,
        name: Option<&str>,
    ) -> Option<Self> {
        let world = &channel.generations[generation];
        let reader = Reader::attach(world, world.also(process), seat, name)?;
        Some(Follower {
            channel: channel.clone(),
            generation,
            reader,
        })
    }

    /// A durable consumer comes back: to the oldest generation that knows it.
    fn resume(channel: &Channel, process: &Process, name: &str) -> Self {
        let last = channel.current(process);
        let known = (0..=last).find(|&generation| {
            let state = channel.state_of(generation, 0, process);
            state.durable() && matches!(state.claim(), Some(Claim::Active | Claim::Absent))
        });
        Self::sit(channel, process, known.unwrap_or(last), 0, Some(name)).expect("nobody is there")
    }

    /// One look: a record, or on to the next generation. `None`: nothing, now.
    fn look(&mut self) -> Option<u16> {
        if let Some(kind) = self.next() {
            return Some(kind);
        }
        let owner = self.reader.process.owner.clone();
        let consumer = &mut self.reader.consumer;
        match growth::look_behind(&owner, || consumer.peek()).expect("an honest producer") {
            Behind::Ready => None,
            Behind::Found(_) => self.next(),
            Behind::Over(state) => {
                assert_eq!(state, State::RETIRED);
                self.move_over();
                None
            }
        }
    }

    fn next(&mut self) -> Option<u16> {
        let kind = self.reader.next()?;
        self.reader.consumer.publish();
        if !self.reader.process.dead() {
            self.reader.kinds.push(kind);
        }
        Some(kind)
    }

    /// As `Move::go` and the consumer's handle do it.
    fn move_over(&mut self) {
        let process = &self.reader.process;
        assert!(
            self.channel.current(process) > self.generation,
            "RETIRED, and nowhere to go"
        );
        let next = self.generation + 1;
        let world = &self.channel.generations[next];
        let old = &self.reader.consumer;
        growth::at_the_end(old.position(), world.shape.base).expect("the tail is not lost");
        let (seat, here) = (old.seat(), world.also(process));
        if !world.locks.try_lock(seat) {
            // The owner looks whether a dead one sits there.
            return;
        }
        let taken = ring_seats::move_over(
            old.peers(),
            old.state(),
            &here.peers,
            seat,
            world.shape.base,
            old.records(),
        );
        self.channel.generations[self.generation].locks.unlock(seat);
        self.reader.consumer = RingConsumer::new(
            here.owner.clone(),
            here.peers.clone(),
            world.shape,
            seat,
            taken.state,
            taken.cursor,
        );
        self.reader.process = here;
        self.generation = next;
    }

    fn looks(&mut self, looks: u32) {
        for _ in 0..looks {
            self.look();
        }
    }

    /// Everything, after everybody else has come to an end.
    fn drain(&mut self) {
        loop {
            let generation = self.generation;
            if self.look().is_none() && self.generation == generation {
                return;
            }
        }
    }

    fn die(self) -> Vec<u16> {
        let world = &self.channel.generations[self.generation];
        self.reader.die(world)
    }
}

/// Bytes of a record of the models.
const RECORD: u64 = 16;

#[test]
fn who_drains_and_comes_over_misses_nothing() {
    explore(3, || {
        let channel = Channel::new(1, &[(64, 0), (32, 2 * RECORD)]);
        let process = channel.generations[0].process(None);
        let mut grower = Grower::found(&channel, process);
        let process = channel.generations[0].process(None);
        let mut follower = Follower::join(&channel, &process, 0, None).unwrap();
        let growing = loom::thread::spawn(move || {
            assert!(grower.send() && grower.send(), "there is room");
            grower.grow();
            let _ = grower.send() && grower.send() && grower.send();
            grower
        });
        follower.looks(4);
        let mut grower = growing.join().unwrap();
        grower.send();
        follower.drain();
        follower.reader.assert_run_to(grower.producer.records());
        assert_eq!(follower.generation, 1);
        assert_eq!(
            channel.state_of(0, 0, &process).claim(),
            Some(Claim::Free),
            "the old memory may go"
        );
    });
}

/// It comes from the first generation to the third while the producer looks for it.
#[test]
fn who_slept_through_a_generation_is_seen_in_each() {
    explore(3, || {
        let channel = Channel::new(1, &[(64, 0), (64, RECORD), (32, 2 * RECORD)]);
        let process = channel.generations[0].process(None);
        let mut grower = Grower::found(&channel, process);
        let process = channel.generations[0].process(None);
        let mut follower = Follower::join(&channel, &process, 0, None).unwrap();
        // Whoever is seen nowhere is written over.
        grower.producer.set_discard_when_alone(true);
        assert!(grower.send());
        grower.grow();
        assert!(grower.send());
        grower.grow();
        let growing = loom::thread::spawn(move || {
            let _ = grower.send() && grower.send();
            grower
        });
        follower.looks(5);
        let mut grower = growing.join().unwrap();
        grower.send();
        follower.drain();
        follower.reader.assert_run_to(grower.producer.records());
    });
}

/// Whoever sits down while the channel grows gets an unbroken run to the end, wherever it came to sit.
#[test]
fn a_joiner_sees_an_unbroken_run_while_it_grows() {
    for discards in [false, true] {
        explore(4, move || {
            let channel = Channel::new(1, &[(32, 0), (32, RECORD)]);
            let process = channel.generations[0].process(None);
            let mut grower = Grower::found(&channel, process);
            // Else nobody's first record needs a consumer.
            grower.producer.set_discard_when_alone(true);
            let growing = loom::thread::spawn(move || {
                if grower.send() {
                    grower.producer.set_discard_when_alone(discards);
                    grower.grow();
                    let _ = grower.send() && grower.send();
                }
                grower
            });
            let process = channel.generations[0].process(None);
            let mut follower = Follower::join(&channel, &process, 0, None);
            if let Some(follower) = &mut follower {
                follower.looks(2);
            }
            let mut grower = growing.join().unwrap();
            let mut follower = follower
                .unwrap_or_else(|| Follower::join(&channel, &process, 0, None).expect("free now"));
            grower.send();
            follower.drain();
            follower.reader.assert_run_to(grower.producer.records());
        });
    }
}

/// One joins the old generation while another one, who came to the new, looks whether the index is free.
#[test]
fn an_index_is_given_to_one_of_two() {
    explore(4, || {
        let channel = Channel::new(1, &[(32, 0), (32, 0)]);
        let process = channel.generations[0].process(None);
        let mut grower = Grower::found(&channel, process);
        let growing = loom::thread::spawn(move || grower.grow());
        let other = channel.clone();
        let joining = loom::thread::spawn(move || {
            let process = other.generations[0].process(None);
            let follower = Follower::sit(&other, &process, 0, 0, None);
            follower.is_some()
        });
        let process = channel.generations[0].process(None);
        let newcomer = Follower::join(&channel, &process, 0, None);
        growing.join().unwrap();
        let old = joining.join().unwrap();
        let newcomer = newcomer.is_some_and(|newcomer| newcomer.generation == 1);
        assert!(!(old && newcomer), "both have the index");
    });
}

/// The grower is killed before any store, also between the root and RETIRED; its successor goes on where it was.
#[test]
fn a_grower_may_die_before_any_store() {
    kill_everywhere(2, |stores| {
        let channel = Channel::new(1, &[(64, 0), (64, 2 * RECORD)]);
        let process = channel.generations[0].process(None);
        drop(Grower::found(&channel, process));
        let process = channel.generations[0].process(None);
        let mut follower = Follower::join(&channel, &process, 0, None).unwrap();
        let reading = loom::thread::spawn(move || {
            follower.looks(3);
            follower
        });
        let victim = channel.generations[0].process(Some(stores));
        let mut grower = Grower::succeed(&channel, victim.clone());
        if grower.send() && grower.send() {
            grower.grow();
            grower.send();
        }
        let sent = grower.producer.records();
        drop(grower);
        let process = channel.generations[0].process(None);
        let mut successor = Grower::succeed(&channel, process);
        let found = successor.producer.records();
        assert!(found <= sent && (victim.dead() || found == sent));
        successor.send();
        let mut follower = reading.join().unwrap();
        follower.drain();
        follower.reader.assert_run_to(successor.producer.records());
        assert_eq!(follower.generation, successor.generation);
        victim.dead()
    });
}

/// Records that the owner says were lost with dead holders of seat 0 of a generation.
fn lost(channel: &Channel, generation: usize, process: &Process) -> u64 {
    let process = channel.generations[generation].also(process);
    let at = verdict::at(0);
    let word = Evicted(process.owner.load(at + verdict::EVICTED, Acquire));
    let count = [verdict::LOST_0, verdict::LOST_1][word.selector() as usize];
    process.owner.load(at + count, Relaxed)
}

/// A consumer is killed before any store on its way from the old generation to the new one.
fn killed_on_the_way(durable: bool) {
    kill_everywhere(2, move |stores| {
        let channel = Channel::new(1, &[(64, 0), (64, 2 * RECORD)]);
        let process = channel.generations[0].process(None);
        let mut grower = Grower::found(&channel, process);
        let name = durable.then_some("d");
        let victim = channel.generations[0].process(Some(stores));
        let founder = channel.generations[0].process(None);
        // It sat there before it began to count its stores.
        let seated = Follower::join(&channel, &founder, 0, name).unwrap();
        let state = seated.reader.consumer.state();
        seated.die();
        assert!(grower.send() && grower.send());
        grower.grow();
        let here = channel.generations[0].also(&victim);
        assert!(channel.generations[0].locks.try_lock(0));
        let cursor = crate::protocol::cursor::Cursor::begin(
            &channel.generations[0].also(&founder).peers,
            peers::seat_at(0) + seat::READ_SEQ,
            0,
            0,
        );
        let mut follower = Follower {
            channel: channel.clone(),
            generation: 0,
            reader: Reader {
                consumer: RingConsumer::new(
                    here.owner.clone(),
                    here.peers.clone(),
                    channel.generations[0].shape,
                    0,
                    state,
                    cursor,
                ),
                process: here,
                kinds: Vec::new(),
                resumed: durable,
                first: 0,
            },
        };
        let growing = loom::thread::spawn(move || {
            let _ = grower.send() && grower.send();
            grower
        });
        follower.looks(4);
        let (killed, reached) = (victim.dead(), follower.generation);
        let other = channel.clone();
        let had = follower.die();
        // Where it was killed between the two seats, the kernel frees both locks.
        if killed && reached == 1 {
            other.generations[0].locks.unlock(0);
        }
        let mut grower = growing.join().unwrap();
        let process = channel.generations[0].process(None);
        if durable {
            grower.evict_dead();
            let mut last = Follower::resume(&channel, &process, "d");
            assert!(last.reader.resumed);
            let first = last.reader.first;
            assert!(first <= had.len() as u64, "{first} after {had:?}");
            assert!(first == had.len() as u64 || killed);
            grower.send();
            last.drain();
            last.reader.assert_run_to(grower.producer.records());
        } else {
            grower.evict_dead();
            let gone = lost(&channel, 0, &process) + lost(&channel, 1, &process);
            let sum = had.len() as u64 + gone;
            let records = grower.producer.records();
            // What it had read and not said is counted as lost, and that is one record at most.
            assert!((records..=records + 1).contains(&sum), "{sum} of {records}");
            assert!(sum == records || killed);
            // Nobody is in the way of the old memory, nor of a newcomer.
            let mut newcomer = Follower::join(&channel, &process, 0, None).unwrap();
            assert_eq!(newcomer.generation, 1);
            grower.send();
            newcomer.drain();
            newcomer.reader.assert_run_to(grower.producer.records());
        }
        killed
    });
}

#[test]
fn a_consumer_may_die_on_its_way() {
    killed_on_the_way(false);
}

#[test]
fn a_durable_consumer_may_die_on_its_way() {
    killed_on_the_way(true);
}

/// A durable consumer is away while the channel grows, and comes back while the producer sends.
#[test]
fn a_durable_consumer_that_is_away_is_waited_for() {
    explore(3, || {
        let channel = Channel::new(1, &[(64, 0), (32, RECORD)]);
        let process = channel.generations[0].process(None);
        let mut grower = Grower::found(&channel, process);
        let process = channel.generations[0].process(None);
        let follower = Follower::join(&channel, &process, 0, Some("d")).unwrap();
        let here = channel.generations[0].also(&process);
        seats::leave(&here.peers, 0, follower.reader.consumer.state(), true);
        follower.die();
        assert!(grower.send());
        grower.grow();
        let growing = loom::thread::spawn(move || {
            let _ = grower.send() && grower.send() && grower.send();
            grower
        });
        let mut back = Follower::resume(&channel, &process, "d");
        back.looks(3);
        let mut grower = growing.join().unwrap();
        grower.send();
        back.drain();
        back.reader.assert_run_to(grower.producer.records());
    });
}
