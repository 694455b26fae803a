//! Many at once create, adopt, join, leave, close, remove and vanish: one owner at any time, everybody ends
//! with success or with an error that says why, and nothing is left over.

mod common;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use common::{Place, Random};
use partywall::ring::Alone;
use partywall::{ManageError, OpenError, RecvError, inspect, manage};

fn expected(error: &OpenError) -> bool {
    matches!(
        error,
        OpenError::AlreadyOwned { .. }
            | OpenError::Missing { .. }
            | OpenError::TimedOut { .. }
            | OpenError::NoFreeSeat { .. }
            | OpenError::ConsumerInUse { .. }
    )
}

#[test]
fn whoever_comes_and_goes_there_is_one_owner_and_nothing_is_left() {
    let place = Place::new();
    let mut random = Random::from_environment();
    let owners = AtomicU32::new(0);
    let (owned, received) = (AtomicU64::new(0), AtomicU64::new(0));
    let workers = 12;
    let seeds: Vec<u64> = (0..workers).map(|_| random.below(u64::MAX)).collect();
    thread::scope(|scope| {
        for seed in seeds {
            let (place, owners, owned, received) = (&place, &owners, &owned, &received);
            scope.spawn(move || {
                let mut random = Random::from_seed(seed);
                for _ in 0..150 {
                    match random.below(10) {
                        0..4 => own(place, owners, owned, random.below(3)),
                        4..8 => join(place, received, random.below(3) == 0),
                        8 => match manage::remove(&place.namespace, "c", false) {
                            Ok(_) | Err(ManageError::InUse { .. }) => {}
                            Err(ManageError::Open(OpenError::Missing { .. })) => {}
                            Err(error) => panic!("{error}"),
                        },
                        _ => {
                            manage::clean(&place.namespace).unwrap();
                            inspect::list(&place.namespace).unwrap();
                        }
                    }
                }
            });
        }
    });
    assert!(owned.load(SeqCst) > 50 && received.load(SeqCst) > 0);
    let _ = manage::forget(&place.namespace, "c", "durable");
    for row in manage::clean(&place.namespace).unwrap() {
        assert!(row.removed, "{row:?}");
    }
    assert_eq!(place.files(), Vec::<String>::new());
}

fn own(place: &Place, owners: &AtomicU32, owned: &AtomicU64, end: u64) {
    let options = place.producer().heartbeat(false).alone(Alone::Discard);
    let mut producer = match options.open("c") {
        Ok(producer) => producer,
        Err(error) => return assert!(expected(&error), "{error}"),
    };
    assert_eq!(owners.fetch_add(1, SeqCst), 0, "two owners at once");
    owned.fetch_add(1, SeqCst);
    for _ in 0..20 {
        let _ = producer.try_send(b"a record");
    }
    owners.fetch_sub(1, SeqCst);
    match end {
        0 => producer.abandon(),
        1 => producer.close().unwrap(),
        _ => drop(producer),
    }
}

fn join(place: &Place, received: &AtomicU64, durable: bool) {
    let mut options = place
        .consumer()
        .heartbeat(false)
        .attach_timeout(Some(Duration::from_millis(3)));
    if durable {
        options = options.durable("durable");
    }
    let mut consumer = match options.attach("c") {
        Ok(consumer) => consumer,
        Err(error) => return assert!(expected(&error), "{error}"),
    };
    loop {
        match consumer.recv_timeout(Duration::from_millis(1)) {
            Ok(record) => {
                assert_eq!(&record[..], b"a record");
                received.fetch_add(1, SeqCst);
            }
            Err(
                RecvError::Closed { .. }
                | RecvError::OwnerDied { .. }
                | RecvError::TimedOut { .. }
                | RecvError::Deleted { .. }
                | RecvError::Superseded { .. },
            ) => return,
            Err(error) => panic!("{error}"),
        }
    }
}
