//! The pool grows while frames are published, held and given back: the publisher goes on in the next generation, and
//! subscribers come over by themselves.

use std::cell::RefCell;
use std::rc::Rc;

use loom::sync::atomic::Ordering::{Acquire, Relaxed};

use super::super::memory::Memory;
use super::super::{explore, kill_everywhere};
use super::{LOSSY, Pool, Process, Publisher, RELIABLE, Reader, Wish, World};
use super::{check, pool, publish, publish_some};
use crate::layout::header::{self, State};
use crate::layout::root::CURRENT;
use crate::layout::seat::{self, Claim, SeatState};
use crate::layout::verdict::{self, Evicted};
use crate::layout::{frames as layout, peers};
use crate::memory::{Shared, SharedMut};
use crate::protocol::eviction::carry_losses;
use crate::protocol::growth::{self, Later, Older};
use crate::protocol::{SeatLocks, seats};

/// A channel: its root, and its generations, numbered from 0.
#[derive(Clone)]
struct Chain {
    root: Rc<Memory>,
    worlds: Rc<RefCell<Vec<World>>>,
    pool: Pool,
}

impl Chain {
    fn new(pool: Pool) -> (Chain, Publisher) {
        let world = World::frames(pool, 0);
        let publisher = super::create(&world);
        let chain = Chain {
            root: Memory::racing([CURRENT].into_iter()),
            worlds: Rc::new(RefCell::new(vec![world])),
            pool,
        };
        (chain, publisher)
    }

    fn world(&self, generation: usize) -> World {
        self.worlds.borrow()[generation].clone()
    }

    /// What `Owned::grow` does: the segments of the next generation are complete before anybody can know of them.
    fn grow(&self, mut old: Publisher, process: &Process) -> Publisher {
        let world = World::frames(self.pool, old.position());
        let number = self.worlds.borrow().len() as u64;
        let opened = world.also(process);
        let mut publisher = Publisher::create(opened.owner, opened.peers, world.shape);
        self.worlds.borrow_mut().push(world);
        growth::advance(&process.map(&self.root), old.owner(), number);
        let mut older = std::mem::take(old.older());
        older.push(Older {
            generation: number - 1,
            role: old,
            durable_only: false,
        });
        *publisher.older() = older;
        publisher
    }

    /// A successor: goes on in the current generation, retires those before it, and discards what was not finished.
    fn adopt(&self, stores: Option<u64>) -> (Publisher, Process) {
        let process = self.world(0).process(stores);
        let current = process.map(&self.root).load(CURRENT, Acquire) as usize;
        self.worlds.borrow_mut().truncate(current + 1);
        let open = |generation| {
            let opened = self.world(generation).also(&process);
            super::adopt(&self.world(generation), opened)
        };
        let mut publisher = open(current);
        *publisher.older() = (0..current)
            .map(|generation| {
                let role = open(generation);
                growth::retire(role.owner());
                Older {
                    generation: generation as u64,
                    role,
                    durable_only: false,
                }
            })
            .collect();
        (publisher, process)
    }

    fn process(&self) -> Process {
        self.world(0).process(None)
    }

    fn state(&self, generation: usize, seat: u32) -> SeatState {
        let peers = self.world(generation).process(None).peers;
        SeatState(peers.load(peers::seat_at(seat) + seat::STATE, Acquire))
    }

    /// Frames that dead holders of a seat left in a generation.
    fn lost(&self, generation: usize, seat: u32) -> u64 {
        let at = verdict::at(seat);
        let owner = self.world(generation).process(None).owner;
        let word = Evicted(owner.load(at + verdict::EVICTED, Acquire));
        let count = [verdict::LOST_0, verdict::LOST_1][word.selector() as usize];
        owner.load(at + count, Acquire)
    }
}

/// A subscriber that goes from one generation to the next.
struct Mover {
    chain: Chain,
    generation: usize,
    reader: Reader,
    /// What it still holds in older ones.
    left: Vec<(usize, Reader)>,
}

impl Mover {
    fn attach(chain: &Chain, process: Process, seat: u32, wish: Wish) -> Mover {
        let reader = Reader::attach(&chain.world(0), process, seat, wish).unwrap();
        Mover {
            chain: chain.clone(),
            generation: 0,
            reader,
            left: Vec::new(),
        }
    }

    /// Takes the next frame, or goes to where it will be; whether there was anything.
    fn step(&mut self) -> bool {
        self.reader.take() || self.move_over()
    }

    /// As `Move::go` does it.
    fn move_over(&mut self) -> bool {
        let Reader {
            process,
            subscriber,
            seat,
            ..
        } = &mut self.reader;
        let seat = *seat;
        // SYNC retire: behind it, what is there once more.
        if State(process.owner.load32(header::STATE, Acquire)) == State::READY || process.dead() {
            return false;
        }
        if subscriber.has_news() {
            return self.reader.take();
        }
        let current = process.map(&self.chain.root).load(CURRENT, Acquire);
        assert!(
            current > self.generation as u64,
            "retired, and none to go to"
        );
        let world = self.chain.world(self.generation + 1);
        growth::at_the_end(subscriber.cursor(), world.shape.base).unwrap();
        if !world.locks.try_lock(seat) {
            return false;
        }
        let opened = world.also(process);
        let (owner, peers) = (opened.owner.clone(), opened.peers.clone());
        let next = Reader {
            subscriber: subscriber.move_over(owner, peers, world.shape),
            process: opened,
            seat,
            first: self.reader.first,
            got: std::mem::take(&mut self.reader.got),
            missed: self.reader.missed,
            held: Vec::new(),
        };
        let old = std::mem::replace(&mut self.reader, next);
        if old.held.is_empty() {
            self.chain.world(self.generation).locks.unlock(seat);
        } else {
            self.left.push((self.generation, old));
        }
        self.generation += 1;
        true
    }

    fn read(&mut self, looks: u32) {
        for _ in 0..looks {
            self.step();
            self.reader.give_back();
        }
    }

    /// Gives back what it holds in older generations, and the last of it gives up the seat there.
    fn give_old_back(&mut self) {
        for (generation, mut old) in self.left.drain(..) {
            while !old.held.is_empty() {
                old.give_back();
            }
            seats::leave(&old.process.peers, old.seat, old.subscriber.state(), false);
            self.chain.world(generation).locks.unlock(old.seat);
        }
    }

    /// Takes all that is there, after everybody else has come to an end.
    fn drain(&mut self) {
        self.give_old_back();
        self.reader.give_back();
        while self.step() {
            self.give_old_back();
            self.reader.give_back();
        }
    }

    fn assert_told_to(&self, last: u64) {
        if self.reader.subscriber.state().lossy() {
            self.reader.assert_all_told_to(last);
        } else {
            self.reader.assert_run_to(last);
        }
    }
}

/// Publishes one frame in each generation but the last, and `last` there, while somebody reads.
fn growing(preemptions: usize, growths: usize, wishes: &'static [Wish], last: u64, looks: u32) {
    explore(preemptions, move || {
        let seats = wishes.len() as u32;
        let (chain, mut publisher) = Chain::new(pool(1 + seats, seats, 0));
        let mut movers: Vec<Mover> = (0..)
            .zip(wishes)
            .map(|(seat, &wish)| Mover::attach(&chain, chain.process(), seat, wish))
            .collect();
        let grower = chain.clone();
        let publishing = loom::thread::spawn(move || {
            for _ in 0..growths {
                publish(&mut publisher);
                publisher = grower.grow(publisher, &grower.process());
            }
            publish_some(&mut publisher, last, 1);
            publisher
        });
        let others: Vec<_> = movers
            .drain(1..)
            .map(|mut mover| {
                loom::thread::spawn(move || {
                    mover.read(looks);
                    mover
                })
            })
            .collect();
        movers[0].read(looks);
        let mut publisher = publishing.join().unwrap();
        if wishes.iter().all(|wish| wish.lossy) {
            assert_eq!(publisher.position(), growths as u64 + last, "it waited");
        }
        movers.extend(others.into_iter().map(|other| other.join().unwrap()));
        for mover in &mut movers {
            mover.drain();
            assert_eq!(mover.generation, growths);
        }
        // The pool is whole: nobody is waited for who has come over.
        for _ in 0..1 + seats {
            assert!(publish(&mut publisher), "a slot is lost");
        }
        for mover in &mut movers {
            mover.drain();
            mover.assert_told_to(publisher.position());
        }
    });
}

#[test]
fn a_reliable_subscriber_has_an_unbroken_run_over_a_growth() {
    growing(2, 1, &[RELIABLE], 3, 3);
}

#[test]
fn a_lossy_subscriber_is_told_all_over_a_growth() {
    growing(2, 1, &[LOSSY], 3, 3);
}

#[test]
fn a_reliable_subscriber_has_an_unbroken_run_over_two_growths() {
    growing(1, 2, &[RELIABLE], 3, 4);
}

#[test]
fn a_lossy_subscriber_is_told_all_over_two_growths() {
    growing(2, 2, &[LOSSY], 3, 3);
}

#[test]
fn several_subscribers_come_over_together() {
    growing(1, 1, &[RELIABLE, LOSSY], 3, 3);
}

/// Its publisher writes over the old pool as soon as nobody sits there by what the seats say.
#[test]
fn a_frame_in_hand_outlives_its_generation() {
    explore(3, || {
        let (chain, mut publisher) = Chain::new(pool(2, 1, 0));
        let mut mover = Mover::attach(&chain, chain.process(), 0, RELIABLE);
        assert!(publish(&mut publisher));
        assert!(mover.step(), "it holds the first");
        let mut publisher = chain.grow(publisher, &chain.process());
        let moving = loom::thread::spawn(move || {
            assert!(mover.step(), "it comes over");
            let (_, old) = &mover.left[0];
            check(&old.process, &old.held[0]);
            mover.give_old_back();
            mover
        });
        publish_some(&mut publisher, 3, 1);
        if chain.state(0, 0).claim() == Some(Claim::Free) {
            let old = &publisher.older()[0].role;
            old.owner().store(layout::DATA, 77, Relaxed);
        }
        let mut mover = moving.join().unwrap();
        mover.drain();
        mover.assert_told_to(publisher.position());
        assert_eq!(chain.state(0, 0).claim(), Some(Claim::Free));
    });
}

/// It holds a frame of the old generation, and one of the new, for as long as it likes.
#[test]
fn frames_of_an_older_generation_keep_nobody_waiting() {
    explore(1, || {
        let (chain, mut publisher) = Chain::new(pool(2, 1, 0));
        let mut mover = Mover::attach(&chain, chain.process(), 0, RELIABLE);
        assert!(publish(&mut publisher) && mover.step());
        let mut publisher = chain.grow(publisher, &chain.process());
        assert!(publish(&mut publisher) && publish(&mut publisher));
        assert_ne!(
            publisher.loan().unwrap_err().behind,
            0,
            "it has not come over"
        );
        assert_eq!(publisher.subscribers(), 1);
        assert!(mover.step(), "it comes over");
        assert_eq!(publisher.subscribers(), 1);
        for sequence in 2..6 {
            assert!(mover.step(), "frame {sequence}");
            mover.reader.give_back();
            assert!(publish(&mut publisher), "after frame {sequence}");
            check(&mover.left[0].1.process, &mover.left[0].1.held[0]);
        }
        assert_eq!(chain.state(0, 0).claim(), Some(Claim::Left));
        mover.give_old_back();
        assert_eq!(chain.state(0, 0).claim(), Some(Claim::Free));
        mover.drain();
        mover.assert_told_to(publisher.position());
    });
}

/// Somebody joins the old generation while it is replaced: it is turned away, or has an unbroken run.
#[test]
fn a_joiner_of_the_old_generation_is_turned_away_or_comes_over() {
    explore(3, || {
        let (chain, mut publisher) = Chain::new(pool(2, 1, 0));
        assert!(publish(&mut publisher));
        let grower = chain.clone();
        let publishing = loom::thread::spawn(move || {
            let mut publisher = grower.grow(publisher, &grower.process());
            publish_some(&mut publisher, 3, 1);
            publisher
        });
        let world = chain.world(0);
        let reader = Reader::attach(&world, world.process(None), 0, RELIABLE);
        let mut publisher = publishing.join().unwrap();
        let Some(reader) = reader else {
            assert_eq!(chain.state(0, 0).claim(), Some(Claim::Free));
            for _ in 0..3 {
                assert!(publish(&mut publisher));
            }
            return;
        };
        let mut mover = Mover {
            chain: chain.clone(),
            generation: 0,
            reader,
            left: Vec::new(),
        };
        mover.drain();
        mover.assert_told_to(publisher.position());
    });
}

/// A subscriber is killed anywhere on its way, with a frame in hand; the publisher finds it dead in whichever
/// generation.
fn killed_on_its_way(growths: usize, wish: Wish) {
    kill_everywhere(1, move |stores| {
        let (chain, mut publisher) = Chain::new(pool(2, 1, 0));
        let victim = chain.world(0).process(Some(stores + 10));
        let mut mover = Mover::attach(&chain, victim.clone(), 0, wish);
        assert!(publish(&mut publisher) && mover.step());
        for _ in 0..growths {
            publisher = chain.grow(publisher, &chain.process());
        }
        let moving = loom::thread::spawn(move || {
            for _ in 0..=growths {
                mover.step();
            }
            // The kernel unlocks what it held.
            for generation in 0..=growths {
                mover.chain.world(generation).locks.unlock(0);
            }
            (mover.reader.got, mover.reader.missed)
        });
        publish_some(&mut publisher, 2, 1);
        let (got, missed) = moving.join().unwrap();
        // As `Owned::reclaim` does it.
        let mut later = vec![publisher.peers().clone()];
        let records = publisher.position();
        for older in publisher.older().iter_mut().rev() {
            let world = chain.world(older.generation as usize);
            let peers = &later;
            let found = Later { records, peers };
            older.role.evict_left_behind(&*world.locks, &found);
            later.push(older.role.peers().clone());
        }
        publisher.evict_dead(&*chain.world(growths).locks, u64::MAX);
        let lost: u64 = (0..=growths)
            .map(|generation| chain.lost(generation, 0))
            .sum();
        let told = lost + got.len() as u64 + missed;
        assert_eq!(told, publisher.position(), "{got:?}, {missed} missed");
        for _ in 0..3 {
            assert!(publish(&mut publisher), "it waits for the dead");
        }
        victim.dead()
    });
}

#[test]
fn a_subscriber_killed_on_its_way_keeps_nothing() {
    killed_on_its_way(1, RELIABLE);
    killed_on_its_way(1, LOSSY);
}

#[test]
fn a_subscriber_killed_between_three_generations_keeps_nothing() {
    killed_on_its_way(2, RELIABLE);
}

#[test]
fn what_others_abandoned_stays_counted_over_a_growth() {
    explore(0, || {
        let (chain, mut publisher) = Chain::new(pool(2, 1, 0));
        let world = chain.world(0);
        let dead = Reader::attach(&world, world.process(None), 0, RELIABLE).unwrap();
        assert!(publish(&mut publisher));
        dead.die(&world);
        let mut mover = Mover::attach(&chain, chain.process(), 0, RELIABLE);
        let _publisher = chain.grow(publisher, &chain.process());
        assert!(mover.step(), "it comes over");
        let epoch = chain.state(1, 0).epoch();
        let at = peers::seat_at(0) + seats::abandoned(epoch);
        let process = chain.world(1).process(None);
        assert_eq!(process.peers.load(at, Acquire), 0, "it begins anew");
        let old = chain.world(0).process(None);
        // Once more, by the successor of who was killed then.
        for _ in 0..2 {
            carry_losses(&old.owner, &old.peers, 1, &process.owner);
            let former = verdict::at(0) + verdict::FORMER;
            assert_eq!(process.owner.load(former, Acquire), 1);
        }
    });
}

/// The publisher is killed anywhere in a growth; its successor finishes it, or goes on in the old generation.
fn grower_killed(wish: Wish) {
    kill_everywhere(1, move |stores| {
        let (chain, mut founder) = Chain::new(pool(2, 1, 0));
        assert!(publish(&mut founder));
        drop(founder);
        let mut mover = Mover::attach(&chain, chain.process(), 0, wish);
        let reading = loom::thread::spawn(move || {
            mover.read(2);
            mover
        });
        let (publisher, victim) = chain.adopt(Some(stores));
        let mut publisher = chain.grow(publisher, &victim);
        publish(&mut publisher);
        let (mut publisher, _) = chain.adopt(None);
        publish_some(&mut publisher, 2, 1);
        let mut mover = reading.join().unwrap();
        mover.drain();
        for _ in 0..2 {
            assert!(publish(&mut publisher), "a slot is lost");
        }
        mover.drain();
        mover.assert_told_to(publisher.position());
        victim.dead()
    });
}

#[test]
fn a_successor_finishes_a_growth_for_a_reliable_subscriber() {
    grower_killed(RELIABLE);
}

#[test]
fn a_successor_finishes_a_growth_for_a_lossy_subscriber() {
    grower_killed(LOSSY);
}
