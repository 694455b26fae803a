//! Ten thousand channels in one namespace: what each costs does not depend on how many others there are. What is counted is
//! what the library does to shared memory and to the file system, never time.

mod common;

use common::{Place, system};
use partywall::{fault, inspect, manage};

const CHANNELS: usize = 10_000 / system::LESS;
/// One in so many has an owner.
const HELD: usize = 100;

/// What the library does meanwhile: shared stores, and system calls that change something.
fn steps<T>(act: impl FnOnce() -> T) -> (u64, T) {
    fault::arm();
    let done = act();
    (fault::disarm(), done)
}

#[test]
fn a_channel_costs_the_same_among_ten_thousand() {
    let place = Place::new();
    let options = place.producer().heartbeat(false);
    let mut held = Vec::new();
    let mut costs = Vec::new();
    for number in 0..CHANNELS {
        let (cost, producer) = steps(|| options.open(&format!("c{number}")).unwrap());
        costs.push(cost);
        if number % HELD == 0 {
            held.push(producer);
        } else {
            producer.abandon();
        }
    }
    assert_eq!(costs.iter().min(), costs.iter().max());
    let rows = inspect::list(&place.namespace).unwrap();
    assert_eq!(rows.len(), CHANNELS);
    assert!(rows.iter().all(|row| row.problem.is_none()));
    let live = rows
        .iter()
        .filter(|row| row.owner != inspect::Liveness::Dead)
        .count();
    // Without heartbeats, some may seem stuck by now.
    assert_eq!(live, held.len());
    assert!(rows.is_sorted_by(|one, next| one.name < next.name));
    // One is found among many, and works.
    let middle = held.len() / 2;
    let mut consumer = place
        .consumer()
        .heartbeat(false)
        .attach(&format!("c{}", HELD * middle))
        .unwrap();
    held[middle].send(b"a record").unwrap();
    assert_eq!(&consumer.recv().unwrap()[..], b"a record");
    drop(consumer);

    let few = Place::new();
    for number in 0..100 {
        let options = few.producer().heartbeat(false);
        options.open(&format!("c{number}")).unwrap().abandon();
    }
    let (of_few, rows) = steps(|| manage::clean(&few.namespace).unwrap());
    assert_eq!(rows.iter().filter(|row| row.removed).count(), 100);
    let dead = CHANNELS - held.len();
    // With patience is looked for whether an owner lets go: those that live go first.
    for producer in held.drain(..) {
        producer.close().unwrap();
    }
    let (of_many, rows) = steps(|| manage::clean(&place.namespace).unwrap());
    assert_eq!(rows.iter().filter(|row| row.removed).count(), dead);
    assert_eq!(of_many * 100, of_few * dead as u64);
    assert_eq!(place.files(), Vec::<String>::new());
}
