//! Holders of a guarded record that die, give up and repair; what the next one is told.

use std::num::NonZero;

use loom::sync::Mutex;
use loom::sync::atomic::Ordering::{Acquire, Relaxed};
use std::rc::Rc;

use super::memory::{Handle, World};
use super::slots::{Slots, author, value};
use super::{explore, kill_everywhere};
use crate::layout::guarded::{CONDITION, HOLDER};
use crate::layout::seat::{Claim, SeatState};
use crate::layout::{owner, slots};
use crate::memory::{Shared, SharedMut};
use crate::protocol::SeatLocks;
use crate::protocol::guarded::{self, Found, Held, Refused};
use crate::protocol::slots::Shape;

/// What somebody does while it has the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    /// Looks, and lets go.
    Look,
    /// Commits, and calls the record consistent.
    Mark,
    /// Commits, and does not.
    Leave,
    /// As Mark, even if it is not recoverable.
    Repair,
    /// As Leave, even if it is not recoverable.
    TryToRepair,
}

const DEEDS: [Deed; 5] = [
    Deed::Look,
    Deed::Mark,
    Deed::Leave,
    Deed::Repair,
    Deed::TryToRepair,
];

/// What really happened, kept beside the record.
#[derive(Debug, Default)]
struct Truth {
    /// Somebody died while it had the record.
    deaths: bool,
    /// Somebody died who had changed something, and nobody has dealt with it.
    news: bool,
    /// Somebody gave up, and nobody has repaired the record.
    given_up: bool,
    /// The version that was committed last.
    version: u64,
}

/// A record that was released in order with version 1 in it.
fn record() -> (Slots, Truth) {
    let world = Slots::new(2, 0);
    let mut held = Held::create(world.process(None), world.shape, token(0));
    held.commit(&value(1, 0), 1, 0);
    held.release();
    let truth = Truth {
        version: 1,
        ..Truth::default()
    };
    (world, truth)
}

fn token(number: u64) -> NonZero<u64> {
    NonZero::new(100 + number).unwrap()
}

/// Everything of the slots that a writer moves.
fn moved(world: &Slots) -> [u64; 3] {
    let process = world.process(None);
    let mark = |version| process.load(world.shape.slot(version) + slots::MARK, Acquire);
    [process.load(owner::WRITE_SEQ, Acquire), mark(1), mark(2)]
}

/// Takes the lock, which the caller holds, does its deed and lets go, or dies on the way; asserts that it is told
/// what it must know, and nothing that is not so.
fn hold(world: &Slots, process: &Handle, number: u64, deed: Deed, truth: &mut Truth) {
    let before = moved(world);
    let repairing = matches!(deed, Deed::Repair | Deed::TryToRepair);
    let locked = Held::lock(process.clone(), world.shape, token(number), repairing);
    let mut held = match locked {
        Ok(held) => held,
        Err(Refused::NotRecoverable) => {
            assert!(!repairing);
            assert!(truth.given_up || truth.deaths, "a false alarm");
            assert_eq!(before, moved(world));
            truth.given_up = true;
            return;
        }
        Err(Refused::Lie(lie)) => panic!("{lie}"),
    };
    match held.found() {
        Found::Clean => {
            assert!(!truth.given_up, "that somebody gave up is forgotten");
            assert!(!truth.news, "a death is forgotten");
        }
        Found::OwnerDied => {
            assert!(!truth.given_up, "that somebody gave up is forgotten");
            assert!(truth.deaths, "a false alarm");
        }
        Found::NotRecoverable => {
            assert!(repairing);
            assert!(truth.given_up || truth.deaths, "a false alarm");
            truth.given_up = true;
        }
    }
    // Old or new, and never torn: whoever died had committed, or had not.
    let mut bytes = Vec::new();
    let meta = held.read(&mut bytes).unwrap().unwrap();
    author(meta, &bytes);
    let may_be_newer = u64::from(truth.deaths);
    assert!((truth.version..=truth.version + may_be_newer).contains(&meta.version));
    truth.version = meta.version;

    if deed != Deed::Look {
        let version = held.slots().version() + 1;
        held.commit(&value(version, number), version as u16, 0);
    }
    if matches!(deed, Deed::Mark | Deed::Repair) {
        held.mark_consistent();
    }
    // Not as the holder has it, but as it must be.
    let settled = held.found() == Found::Clean || matches!(deed, Deed::Mark | Deed::Repair);
    assert_eq!(held.settled(), settled);
    held.release();
    if !process.dead() {
        truth.version += u64::from(deed != Deed::Look);
        truth.news = !settled;
        truth.given_up = !settled;
        return;
    }
    truth.deaths = true;
    truth.news |= before != moved(world);
    if deed == Deed::Repair && truth.given_up {
        // It may have been killed behind its word that the record is consistent.
        truth.given_up = process.load(CONDITION, Acquire) != 0;
        truth.news = !truth.given_up;
    }
}

/// The words before the first holder of a history, and what they mean.
const BEGINNINGS: [(u64, u64); 3] = [(0, 0), (99, 0), (0, 1)];

/// Every history of three holders of whom the first two are killed, each before any of its stores or not at all; on
/// a record that is as it should be, on one whose holder died, and on one that somebody gave up.
#[test]
fn two_deaths_in_a_row_are_told_whatever_the_holders_do() {
    let pairs = DEEDS.map(|first| DEEDS.map(|second| (first, second)));
    for (first, second) in pairs.into_iter().flatten() {
        for stores in 0..10 {
            kill_everywhere(0, move |more| {
                let mut killed = false;
                let histories = BEGINNINGS.map(|begin| DEEDS.map(|third| (begin, third)));
                for ((holder, condition), third) in histories.into_iter().flatten() {
                    let (world, mut truth) = record();
                    let process = world.process(None);
                    process.store(HOLDER, holder, Relaxed);
                    process.store(CONDITION, condition, Relaxed);
                    truth.deaths = (holder, condition) != (0, 0);
                    truth.news = truth.deaths;
                    truth.given_up = condition != 0;
                    let victim = world.process(Some(stores));
                    hold(&world, &victim, 1, first, &mut truth);
                    let victim = world.process(Some(more));
                    hold(&world, &victim, 2, second, &mut truth);
                    killed |= victim.dead();
                    for (number, deed) in (3..).zip([third, Deed::Mark, Deed::Repair, Deed::Look]) {
                        hold(&world, &world.process(None), number, deed, &mut truth);
                    }
                    assert!(!truth.given_up && !truth.news);
                }
                killed
            });
        }
    }
}

/// One who is killed, one who waits for the lock meanwhile, and a reader who waits for nobody.
#[test]
fn readers_and_waiters_see_the_old_value_or_the_new() {
    for deed in [Deed::Mark, Deed::Leave] {
        kill_everywhere(2, move |stores| {
            let (world, truth) = record();
            let lock = Rc::new(Mutex::new(truth));
            let mut reader = world.latest();
            let victim = world.process(Some(stores));
            let holders =
                [(1, victim.clone()), (2, world.process(None))].map(|(number, process)| {
                    let (world, lock) = (world.clone(), Rc::clone(&lock));
                    loom::thread::spawn(move || {
                        let mut truth = lock.lock().unwrap();
                        hold(&world, &process, number, deed, &mut truth);
                    })
                });
            // Behind the holders: the checker notices that a load meets an earlier store, but not that a store
            // meets an earlier load if its own thread has loaded the word since.
            let reading = loom::thread::spawn(move || {
                reader.read(2);
                reader
            });
            for holder in holders {
                holder.join().unwrap();
            }
            let mut reader = reading.join().unwrap();
            let mut truth = lock.lock().unwrap();
            hold(&world, &world.process(None), 3, Deed::Repair, &mut truth);
            reader.read(1);
            assert_eq!(reader.read.last(), Some(&(truth.version, 3)));
            victim.dead()
        });
    }
}

/// Half-done states, written by hand, and what no holder writes.
#[test]
fn the_words_say_what_the_next_holder_is_told() {
    for (holder, condition, told) in [
        (0, 0, Ok(Found::Clean)),
        (9, 0, Ok(Found::OwnerDied)),
        (u64::MAX, 0, Ok(Found::OwnerDied)),
        (0, 1, Err(Refused::NotRecoverable)),
        (9, 1, Err(Refused::NotRecoverable)),
    ] {
        explore(0, move || {
            let (world, _) = record();
            let process = world.process(None);
            process.store(HOLDER, holder, Relaxed);
            process.store(CONDITION, condition, Relaxed);
            let lock = |repairing| {
                let held = Held::lock(process.clone(), world.shape, token(1), repairing);
                held.map(|held| held.found())
            };
            assert_eq!(lock(false), told);
            // Who is refused stores nothing.
            let now = if told.is_ok() { token(1).get() } else { holder };
            assert_eq!(process.load(HOLDER, Acquire), now);
            assert_eq!(process.load(CONDITION, Acquire), condition);
            if condition == 1 {
                assert_eq!(lock(true), Ok(Found::NotRecoverable));
            }
        });
    }
    explore(0, || {
        let (world, _) = record();
        let process = world.process(None);
        process.store(CONDITION, 2, Relaxed);
        for repairing in [false, true] {
            let held = Held::lock(process.clone(), world.shape, token(1), repairing);
            assert!(matches!(held, Err(Refused::Lie(lie)) if lie.word == "condition"));
        }
        process.store(CONDITION, 0, Relaxed);
        process.store(owner::WRITE_SEQ, 7, Relaxed);
        let held = Held::lock(process.clone(), world.shape, token(1), false);
        assert!(matches!(held, Err(Refused::Lie(lie)) if lie.word == "mark of the latest value"));
        assert_eq!(process.load(HOLDER, Acquire), 0);
    });
}

/// A handle of the record in a seat, which waits for the lock without a time-out: a lost wake-up is a deadlock.
struct Waiter {
    world: World<Shape>,
    process: super::memory::Process,
    seat: u32,
}

const WAITERS: u32 = 3;

impl Waiter {
    fn new(world: &World<Shape>, seat: u32) -> Self {
        Waiter {
            world: world.clone(),
            process: world.process(None),
            seat,
        }
    }

    fn take(&self) -> Held<Handle> {
        let number = guarded::holder_number(self.seat, SeatState::new(1, Claim::Active, false));
        let held = Held::lock(self.process.owner.clone(), self.world.shape, number, false)
            .expect("it is recoverable");
        assert_eq!(held.found(), Found::Clean, "nobody died");
        held
    }

    fn lock(&self) -> Held<Handle> {
        loop {
            if self.world.locks.try_lock(0) {
                return self.take();
            }
            let mut locked = false;
            guarded::park(
                &self.process.owner,
                &self.process.peers,
                self.seat,
                WAITERS,
                || {
                    locked = self.world.locks.try_lock(0);
                    locked
                },
                |bell| {
                    // Without a bell it is a short sleep, and then another look.
                    if let Some(bell) = bell {
                        self.process.peers.sleep(&[bell]);
                    }
                },
            );
            if locked {
                return self.take();
            }
            loom::thread::yield_now();
        }
    }

    fn let_go(&self, held: Held<Handle>) {
        held.release();
        guarded::unlock(&self.process.peers, self.seat, WAITERS, || {
            self.world.locks.unlock(0);
        });
    }
}

#[test]
fn a_waiter_is_woken_when_the_holder_lets_go() {
    explore(4, || {
        let world = World::guarded(WAITERS);
        let holder = Waiter::new(&world, 1);
        let held = holder.lock();
        let waiter = Waiter::new(&world, 2);
        let waiting = loom::thread::spawn(move || waiter.let_go(waiter.lock()));
        holder.let_go(held);
        waiting.join().unwrap();
        assert!(world.locks.try_lock(0));
    });
}

#[test]
fn two_waiters_get_their_turns() {
    explore(1, || {
        let world = World::guarded(WAITERS);
        let holder = Waiter::new(&world, 1);
        let held = holder.lock();
        let waiting = [0, 2].map(|seat| {
            let waiter = Waiter::new(&world, seat);
            loom::thread::spawn(move || waiter.let_go(waiter.lock()))
        });
        holder.let_go(held);
        for waiting in waiting {
            waiting.join().unwrap();
        }
        assert!(world.locks.try_lock(0));
    });
}

/// The number in `holder` is the same the second time, or it is another seat's.
#[test]
fn a_waiter_is_woken_by_whoever_locks_before_it() {
    for second in [1, 0] {
        explore(3, move || {
            let world = World::guarded(WAITERS);
            let holder = Waiter::new(&world, 1);
            let held = holder.lock();
            let waiter = Waiter::new(&world, 2);
            let waiting = loom::thread::spawn(move || waiter.let_go(waiter.lock()));
            holder.let_go(held);
            let second = Waiter::new(&world, second);
            second.let_go(second.lock());
            waiting.join().unwrap();
            assert!(world.locks.try_lock(0));
        });
    }
}

/// Whatever stands in `holder`, the bell that is slept on is one of a seat that exists.
#[test]
fn a_forged_holder_leads_to_no_bell_that_is_not_there() {
    for (number, bell) in [
        (0, false),
        (1, true),
        (3, true),
        (4, false),
        (u64::MAX, false),
    ] {
        explore(0, move || {
            let world = World::guarded(WAITERS);
            let Waiter { process, .. } = Waiter::new(&world, 0);
            process.owner.store(HOLDER, number, Relaxed);
            let mut slept = None;
            let sleep = |bell: Option<(u64, u32)>| slept = Some(bell.is_some());
            guarded::park(&process.owner, &process.peers, 0, WAITERS, || false, sleep);
            assert_eq!(slept, Some(bell), "{number:#x}");
        });
    }
}
