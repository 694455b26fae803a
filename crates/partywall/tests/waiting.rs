//! Waiting is done in the kernel, and ends when it should.

mod common;

use std::thread;
use std::time::{Duration, Instant};

use common::Place;
use partywall::ring::Overflow;
use partywall::{RecvError, SLICE, WaitStrategy, inspect, manage};

/// Processor time of this thread, user and system.
#[cfg(unix)] // only here does a thread know its own
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(unix)] // see `processor_time`
#[test]
fn an_idle_wait_takes_less_than_a_hundredth_of_a_core() {
    let place = Place::new();
    let _producer = place.producer().open("c").unwrap();
    for wait in [WaitStrategy::Park, WaitStrategy::SpinThenPark] {
        let mut consumer = place.consumer().wait(wait).attach("c").unwrap();
        // Ten seconds for whoever wants to be sure; two show it.
        let span = match std::env::var("PARTYWALL_SWEEP") {
            Ok(depth) if depth == "full" => Duration::from_secs(10),
            _ => Duration::from_secs(2),
        };
        let before = processor_time();
        let ended = consumer.recv_timeout(span);
        let used = processor_time() - before;
        assert!(matches!(ended, Err(RecvError::TimedOut { .. })));
        assert!(used < span / 100, "{used:?} in {span:?}");
    }
    // A producer that waits for room.
    let mut producer = place.producer().wait(WaitStrategy::Park).open("d").unwrap();
    let before = processor_time();
    let ended = producer.send_timeout(b"nobody is there", Duration::from_secs(2));
    let used = processor_time() - before;
    assert!(ended.is_err());
    assert!(used < Duration::from_millis(20), "{used:?}");
}

#[test]
fn two_that_park_wake_each_other_many_thousand_times() {
    let place = Place::new();
    let mut there = place
        .producer()
        .wait(WaitStrategy::Park)
        .open("there")
        .unwrap();
    let mut back = place
        .producer()
        .wait(WaitStrategy::Park)
        .open("back")
        .unwrap();
    let consumer = |name| {
        place
            .consumer()
            .wait(WaitStrategy::Park)
            .attach(name)
            .unwrap()
    };
    let (mut echo, mut answers) = (consumer("there"), consumer("back"));
    let rounds = 20_000_u64;
    thread::scope(|scope| {
        scope.spawn(move || {
            for number in 0..rounds {
                let record = echo.recv().unwrap();
                assert_eq!(record.payload, number.to_le_bytes());
                back.send(&record).unwrap();
            }
        });
        let started = Instant::now();
        for number in 0..rounds {
            there.send(&number.to_le_bytes()).unwrap();
            assert_eq!(answers.recv().unwrap().payload, number.to_le_bytes());
        }
        // Not a matter of speed: if wake-ups were lost, each would cost a slice.
        let slices = started.elapsed().as_nanos() / SLICE.as_nanos();
        assert!(
            slices < u128::from(rounds) / 20,
            "{slices} slices for {rounds} rounds"
        );
    });
}

#[test]
fn a_producer_that_parks_is_woken_by_room_and_loses_nothing() {
    let place = Place::new();
    let mut producer = place.producer().wait(WaitStrategy::Park).open("c").unwrap();
    let mut consumer = place
        .consumer()
        .wait(WaitStrategy::Park)
        .attach("c")
        .unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            for number in 0..20_000_u64 {
                producer.send(&number.to_le_bytes()).unwrap();
            }
        });
        for number in 0..20_000_u64 {
            assert_eq!(consumer.recv().unwrap().payload, number.to_le_bytes());
        }
    });
}

/// Runs a wait in another thread until it is asleep, then does something, and gives the wait's result.
fn while_asleep<T: Send>(place: &Place, wait: impl FnOnce() -> T + Send, act: impl FnOnce()) -> T {
    thread::scope(|scope| {
        let waiting = scope.spawn(wait);
        let asleep = || {
            let info = inspect::inspect(&place.namespace, "c").unwrap();
            info.seats.iter().any(|seat| seat.parked)
        };
        let end = Instant::now() + Duration::from_secs(30);
        while !asleep() {
            assert!(Instant::now() < end, "it never slept");
            thread::yield_now();
        }
        act();
        waiting.join().unwrap()
    })
}

#[test]
fn sleepers_wake_at_a_record_a_close_a_death_a_new_owner_and_a_removal() {
    let place = Place::new();
    let attach = || {
        place
            .consumer()
            .wait(WaitStrategy::Park)
            .attach("c")
            .unwrap()
    };

    let mut producer = place.producer().open("c").unwrap();
    let mut consumer = attach();
    let got = while_asleep(
        &place,
        || consumer.recv(),
        || {
            producer.send(b"record").unwrap();
        },
    );
    assert_eq!(&got.unwrap()[..], b"record");

    let got = while_asleep(&place, || consumer.recv(), || producer.abandon());
    assert!(matches!(got, Err(RecvError::OwnerDied { .. })));

    let mut patient = place
        .consumer()
        .wait(WaitStrategy::Park)
        .await_successor(true)
        .attach("c")
        .unwrap();
    let got = while_asleep(
        &place,
        || patient.recv(),
        || {
            let mut successor = place.producer().open("c").unwrap();
            successor.send(b"from the successor").unwrap();
            successor.abandon();
        },
    );
    assert_eq!(&got.unwrap()[..], b"from the successor");
    assert_eq!(&consumer.recv().unwrap()[..], b"from the successor");

    let got = while_asleep(
        &place,
        || patient.recv(),
        || place.producer().open("c").unwrap().close().unwrap(),
    );
    assert!(matches!(got, Err(RecvError::Closed { .. })));
    drop((patient, consumer));

    let producer = place.producer().open("c").unwrap();
    let mut consumer = attach();
    let got = while_asleep(
        &place,
        || consumer.recv(),
        || drop(manage::remove(&place.namespace, "c", true).unwrap()),
    );
    assert!(matches!(got, Err(RecvError::Deleted { .. })));
    drop(producer);
}

#[test]
fn a_stopped_consumer_overflows_by_the_chosen_policy_and_then_gets_everything() {
    let place = Place::new();
    let mut producer = place
        .producer()
        .overflow(Overflow::DropNewest)
        .open("c")
        .unwrap();
    // It stands still: it attached, and asks for nothing.
    let mut stalled = place.consumer().attach("c").unwrap();
    let mut committed = Vec::new();
    for number in 0..1000_u64 {
        if producer.send(&number.to_le_bytes()).unwrap() == partywall::ring::Sent::Committed {
            committed.push(number);
        }
    }
    assert!(committed.len() < 1000);
    let info = inspect::inspect(&place.namespace, "c").unwrap();
    assert_eq!(info.counters.dropped as usize, 1000 - committed.len());
    for number in committed {
        assert_eq!(stalled.recv().unwrap().payload, number.to_le_bytes());
    }
}

/// No single wait is as long as a slice, after which it looks around.
#[test]
fn many_short_waits_learn_of_a_death_and_of_a_removal() {
    for wait in [
        WaitStrategy::Spin,
        WaitStrategy::SpinThenPark,
        WaitStrategy::Park,
    ] {
        for removed in [false, true] {
            let place = Place::new();
            let producer = place.producer().open("c").unwrap();
            let mut consumer = place.consumer().wait(wait).attach("c").unwrap();
            producer.abandon();
            if removed {
                manage::remove(&place.namespace, "c", true).unwrap();
            }
            let began = Instant::now();
            let ended = loop {
                match consumer.recv_timeout(Duration::from_millis(1)) {
                    Err(RecvError::TimedOut { .. }) => {
                        let waited = began.elapsed();
                        assert!(waited < Duration::from_secs(30), "{wait:?} learns nothing");
                    }
                    ended => break ended,
                }
            };
            match ended {
                Err(RecvError::Deleted { .. }) => assert!(removed),
                Err(RecvError::OwnerDied { .. }) => assert!(!removed),
                other => panic!("{wait:?} {other:?}"),
            }
        }
    }
}
