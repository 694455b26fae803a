//! Guarded records through the public API: one holder at a time, old or new, and news of deaths.

mod common;

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use common::{Place, system};
use partywall::guarded::{Lock, ReaderOptions, Record, RecordOptions};
use partywall::{LockError, ManageError, OpenError, SendError, StopToken, WaitStrategy, manage};

/// Nothing here takes so long unless it hangs.
const LONG: Duration = Duration::from_secs(20);

fn options(place: &Place) -> RecordOptions {
    RecordOptions::new()
        .namespace(place.namespace.clone())
        .heartbeat(false)
}

fn open(place: &Place) -> Record {
    options(place).open("r").unwrap()
}

/// Locks a record that ought to be clean, and commits.
fn set(record: &mut Record, value: &[u8]) {
    let Lock::Clean(mut guard) = record.lock_timeout(LONG).unwrap() else {
        panic!("nobody died")
    };
    guard.value_mut().clear();
    guard.value_mut().extend_from_slice(value);
    guard.commit().unwrap();
}

/// What a killed holder leaves, for the kernel's part of it is tested by the kill sweep.
fn die_holding(record: &mut Record, edited: &[u8]) {
    let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut guard = record.lock_timeout(LONG).unwrap().into_guard();
        guard.value_mut().extend_from_slice(edited);
        std::panic::resume_unwind(Box::new("a panic is a death"));
    }));
    assert!(died.is_err());
}

#[test]
fn what_is_committed_is_seen_and_what_is_not_never_was() {
    let place = Place::new();
    let mut one = open(&place);
    let mut other = open(&place);
    assert!(other.get().unwrap().is_none());
    set(&mut one, b"first");
    let mut guard = other.lock().unwrap().consistent();
    assert_eq!((guard.value(), guard.sequence()), (&b"first"[..], 1));
    guard.value_mut().extend_from_slice(b" and second");
    drop(guard);
    assert_eq!(&one.get().unwrap().unwrap()[..], b"first", "not committed");
    let mut guard = other.lock().unwrap().consistent();
    guard.set_kind(4);
    guard.value_mut().extend_from_slice(b" and third");
    assert_eq!(guard.commit().unwrap(), 2);
    // Readers need not wait for the lock.
    let value = one.get().unwrap().unwrap();
    assert_eq!((&value[..], value.kind), (&b"first and third"[..], 4));
    guard.value_mut().resize(5000, 0);
    assert!(matches!(
        guard.commit(),
        Err(SendError::TooLarge {
            len: 5000,
            max: 4096,
            ..
        })
    ));
    drop(guard);
    let options = ReaderOptions::new().namespace(place.namespace.clone());
    let mut reader = options.attach("r").unwrap();
    assert_eq!(&reader.get().unwrap().unwrap()[..], b"first and third");
}

#[test]
fn there_is_one_holder_at_a_time_and_waiters_get_their_turn() {
    for wait in [WaitStrategy::Park, WaitStrategy::SpinThenPark] {
        let place = Place::new();
        set(&mut open(&place), &0_u64.to_le_bytes());
        const EACH: u64 = 400 / system::LESS as u64;
        thread::scope(|scope| {
            for _ in 0..4 {
                let mut record = options(&place).wait(wait).open("r").unwrap();
                scope.spawn(move || {
                    for _ in 0..EACH {
                        let Lock::Clean(mut guard) = record.lock_timeout(LONG).unwrap() else {
                            panic!("nobody died")
                        };
                        let count = u64::from_le_bytes(guard.value().try_into().unwrap());
                        guard.value_mut().clear();
                        guard
                            .value_mut()
                            .extend_from_slice(&(count + 1).to_le_bytes());
                        guard.commit().unwrap();
                    }
                });
            }
        });
        let value = open(&place).get().unwrap().unwrap();
        assert_eq!(&value[..], (4 * EACH).to_le_bytes(), "no increment is lost");
        assert_eq!(value.sequence, 4 * EACH + 1);
    }
}

#[test]
fn a_busy_lock_is_told_timed_out_or_stopped() {
    let place = Place::new();
    let mut holder = open(&place);
    let token = StopToken::new();
    let mut waiter = options(&place).stop_token(token.clone()).open("r").unwrap();
    let guard = holder.lock().unwrap().consistent();
    assert!(waiter.is_locked());
    assert!(matches!(waiter.try_lock(), Err(LockError::Busy { .. })));
    let waited = waiter.lock_timeout(Duration::from_millis(5)).map(drop);
    assert!(
        matches!(waited, Err(LockError::TimedOut { .. })),
        "{waited:?}"
    );
    token.stop();
    let stopped = waiter.lock().map(drop);
    assert!(
        matches!(stopped, Err(LockError::Stopped { .. })),
        "{stopped:?}"
    );
    drop(guard);
    assert!(!waiter.is_locked());
    drop(waiter.try_lock().unwrap());
}

#[test]
fn a_sleeping_waiter_is_woken_when_the_holder_lets_go() {
    let place = Place::new();
    let mut holder = open(&place);
    let mut waiter = options(&place).wait(WaitStrategy::Park).open("r").unwrap();
    for _ in 0..20 {
        let guard = holder.lock_timeout(LONG).unwrap().consistent();
        let (told, asleep) = mpsc::channel();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                told.send(()).unwrap();
                drop(waiter.lock_timeout(LONG).unwrap().consistent());
            });
            asleep.recv().unwrap();
            drop(guard);
            waiting.join().unwrap();
        });
    }
}

#[test]
fn the_next_holder_is_told_of_a_death_until_somebody_deals_with_it() {
    let place = Place::new();
    let mut record = open(&place);
    set(&mut record, b"good");
    die_holding(&mut record, b" and half an edit");
    let mut other = open(&place);
    // Told, and dies too: the news is not lost.
    die_holding(&mut other, b"");
    let Lock::OwnerDied(guard) = other.lock().unwrap() else {
        panic!("a death is forgotten")
    };
    assert_eq!(guard.value(), b"good", "the last good value is intact");
    // One who cannot judge leaves it to the next.
    guard.leave_news();
    let Lock::OwnerDied(mut guard) = record.lock().unwrap() else {
        panic!("a death is forgotten")
    };
    guard.mark_consistent();
    drop(guard);
    set(&mut record, b"better");
    assert_eq!(&other.get().unwrap().unwrap()[..], b"better");
}

#[test]
fn a_record_that_was_given_up_is_refused_until_it_is_repaired() {
    let place = Place::new();
    let mut record = open(&place);
    set(&mut record, b"good");
    die_holding(&mut record, b"");
    drop(record.lock().unwrap()); // told, and gives up
    let mut other = open(&place);
    for _ in 0..2 {
        let refused = other.lock().map(drop);
        assert!(
            matches!(refused, Err(LockError::NotRecoverable { .. })),
            "{refused:?}"
        );
        let refused = record.try_lock().map(drop);
        assert!(
            matches!(refused, Err(LockError::NotRecoverable { .. })),
            "{refused:?}"
        );
    }
    assert_eq!(&other.get().unwrap().unwrap()[..], b"good", "readers go on");
    // A repairer that gives up as well changes nothing.
    drop(other.repair(Some(LONG)).unwrap());
    assert!(matches!(
        other.lock(),
        Err(LockError::NotRecoverable { .. })
    ));
    let mut guard = other.repair(Some(LONG)).unwrap();
    guard.value_mut().extend_from_slice(b" again");
    guard.commit().unwrap();
    guard.mark_consistent();
    drop(guard);
    assert!(!record.lock().unwrap().owner_died());
    assert_eq!(&record.get().unwrap().unwrap()[..], b"good again");
}

#[test]
fn a_record_stays_until_it_is_removed_and_then_is_told_so() {
    let place = Place::new();
    let mut record = open(&place);
    set(&mut record, b"x");
    drop(record);
    assert_eq!(&open(&place).get().unwrap().unwrap()[..], b"x");
    assert!(
        manage::clean(&place.namespace)
            .unwrap()
            .iter()
            .all(|row| !row.removed)
    );
    let mut record = open(&place);
    let refused = manage::remove(&place.namespace, "r", false);
    assert!(
        matches!(refused, Err(ManageError::InUse { .. })),
        "{refused:?}"
    );
    let mut guard = record.lock().unwrap().consistent();
    manage::remove(&place.namespace, "r", true).unwrap();
    let gone = guard.commit();
    assert!(matches!(gone, Err(SendError::Deleted { .. })), "{gone:?}");
    drop(guard);
    assert!(matches!(record.lock(), Err(LockError::Deleted { .. })));
    drop(record);
    assert_eq!(place.files(), Vec::<String>::new());
}

#[test]
fn larger_values_are_made_room_for_with_everything_that_matters() {
    let place = Place::new();
    let mut small = options(&place).value_size(8).open("r").unwrap();
    set(&mut small, b"12345678");
    die_holding(&mut small, b"");
    let refused = options(&place).value_size(100).open("r");
    assert!(
        matches!(refused, Err(OpenError::Mismatch { .. })),
        "{refused:?}"
    );
    drop(small);
    let mut large = options(&place).value_size(100).open("r").unwrap();
    assert_eq!((large.max_value(), large.generation()), (100, 2));
    let Lock::OwnerDied(guard) = large.lock().unwrap() else {
        panic!("a death is forgotten")
    };
    assert_eq!(guard.value(), b"12345678");
    drop(Lock::OwnerDied(guard).consistent());
    assert!(!large.lock().unwrap().owner_died());
}

#[test]
fn a_seat_that_is_only_looked_at_is_not_taken() {
    let place = Place::new();
    let options = options(&place).seats(2);
    let first = options.open("r").unwrap();
    let _keeper = options.open("r").unwrap();
    // The other seat is free, but for the moments in which a remover sees whether anybody sits there.
    drop(first);
    let over = std::sync::atomic::AtomicBool::new(false);
    let order = std::sync::atomic::Ordering::Relaxed;
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(order) {
                match manage::remove(&place.namespace, "r", false) {
                    Err(
                        ManageError::InUse { .. }
                        | ManageError::Open(OpenError::AlreadyOwned { .. }),
                    ) => {}
                    other => panic!("{other:?}"),
                }
            }
        });
        for _ in 0..3000 / system::LESS {
            let opened = options.open("r").inspect_err(|_| over.store(true, order));
            drop(opened.unwrap());
        }
        over.store(true, order);
    });
}

#[test]
fn who_opens_a_record_while_it_is_made_anew_gets_the_one_or_the_other() {
    let place = Place::new();
    let options = options(&place).seats(2).value_size(8);
    let over = std::sync::atomic::AtomicBool::new(false);
    let order = std::sync::atomic::Ordering::Relaxed;
    let grown = std::sync::atomic::AtomicU32::new(16);
    // As often as that, and until it was made anew more than once.
    let least = 3000 / system::LESS as u64;
    let mut counted = 0_u64;
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(order) {
                match options.clone().value_size(grown.load(order)).open("r") {
                    Ok(record) => grown.store(record.max_value() as u32 + 8, order),
                    // Somebody uses it.
                    Err(OpenError::Mismatch { .. } | OpenError::AlreadyOwned { .. }) => {}
                    Err(error) => {
                        over.store(true, order);
                        panic!("{error}");
                    }
                }
            }
        });
        while (counted < least || counted < 3000 && grown.load(order) <= 24) && !over.load(order) {
            let opened = options.open("r").inspect_err(|_| over.store(true, order));
            let mut record = opened.unwrap();
            let lock = record.lock_timeout(LONG);
            let mut guard = lock
                .inspect_err(|_| over.store(true, order))
                .unwrap()
                .consistent();
            let before = guard.value().try_into().map_or(0, u64::from_le_bytes);
            assert_eq!(before, counted, "a commit is lost");
            counted += 1;
            *guard.value_mut() = counted.to_le_bytes().to_vec();
            guard.commit().unwrap();
        }
        over.store(true, order);
    });
    let grown = grown.into_inner();
    assert!(counted >= least && grown > 24, "{counted}, {grown}");
}

#[test]
fn who_opens_a_record_while_it_is_removed_gets_it_or_the_next() {
    let place = Place::new();
    let (place, done) = (&place, &std::sync::atomic::AtomicBool::new(false));
    let order = std::sync::atomic::Ordering::Relaxed;
    thread::scope(|scope| {
        let openers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(move || {
                    for _ in 0..1000 / system::LESS {
                        let mut record = open(place);
                        match record.lock_timeout(LONG) {
                            Ok(_) | Err(LockError::Deleted { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                })
            })
            .collect();
        scope.spawn(move || {
            while !done.load(order) {
                match manage::remove(&place.namespace, "r", true) {
                    Ok(_) | Err(ManageError::Open(OpenError::Missing { .. })) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        });
        let ended: Vec<_> = openers.into_iter().map(|opener| opener.join()).collect();
        done.store(true, order);
        for opener in ended {
            opener.unwrap();
        }
    });
    let _ = manage::remove(&place.namespace, "r", true);
    assert_eq!(place.files(), Vec::<String>::new());
}

#[test]
fn a_state_that_nobody_honest_stores_is_damage_and_no_removal() {
    use common::system::At;

    const STATE: u64 = 12;
    let place = Place::new();
    let mut record = options(&place).open("c").unwrap();
    let mut other = options(&place).open("c").unwrap();
    let file = common::file(&place, "1.owner");
    let held = other.lock().unwrap().consistent();
    file.write_all_at(&0x4141_4141_u32.to_le_bytes(), STATE)
        .unwrap();
    let busy = record.lock_timeout(Duration::ZERO).map(drop);
    assert!(matches!(busy, Err(LockError::Damaged { .. })), "{busy:?}");
    drop(held);
    let free = record.try_lock().map(drop);
    assert!(matches!(free, Err(LockError::Damaged { .. })), "{free:?}");
}
