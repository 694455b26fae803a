//! Channels that grow, or change what their records are made of, while traffic runs.

mod common;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use common::Place;
use partywall::record::Record;
use partywall::ring::{Consumer, ConsumerOptions, Producer, ProducerOptions};
use partywall::{GrowError, OpenError, RecvError, SendError, inspect, manage};

const LONG: Duration = Duration::from_secs(20);

fn producer(place: &Place) -> ProducerOptions {
    ProducerOptions::new()
        .namespace(place.namespace.clone())
        .capacity(4096)
        .heartbeat(false)
        .block_timeout(Some(LONG))
}

fn consumer(place: &Place) -> ConsumerOptions {
    ConsumerOptions::new()
        .namespace(place.namespace.clone())
        .heartbeat(false)
        .attach_timeout(Some(LONG))
}

fn send(producer: &mut Producer) {
    let number = producer.records();
    let len = 8 + number as usize % 100;
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(len, number as u8);
    producer.send(&bytes).unwrap();
}

fn number(bytes: &[u8]) -> u64 {
    let number = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert_eq!(bytes.len(), 8 + number as usize % 100);
    assert!(bytes[8..].iter().all(|&byte| byte == number as u8));
    number
}

fn receive(consumer: &mut Consumer) -> u64 {
    number(&consumer.recv_timeout(LONG).unwrap())
}

/// Generations that have files.
fn generations(place: &Place, channel: &str) -> Vec<u64> {
    let mut found: Vec<u64> = std::fs::read_dir(place.namespace.path().join(channel))
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            name.strip_suffix(".owner")
                .map(|number| number.parse().unwrap())
        })
        .collect();
    found.sort_unstable();
    found
}

#[test]
fn a_consumer_comes_over_and_misses_nothing() {
    let place = Place::new();
    let mut producer = producer(&place).open("c").unwrap();
    let mut reader = consumer(&place).attach("c").unwrap();
    for _ in 0..10 {
        send(&mut producer);
    }
    producer.grow(10_000).unwrap();
    assert_eq!((producer.generation(), producer.capacity()), (2, 16384));
    for _ in 0..10 {
        send(&mut producer);
    }
    assert_eq!(generations(&place, "c"), [1, 2]);
    for expected in 0..20 {
        assert_eq!(receive(&mut reader), expected);
    }
    assert_eq!(reader.generation(), 2);
    assert!(reader.try_recv().unwrap().is_none());
    producer.flush(Some(LONG)).unwrap();
    assert_eq!(generations(&place, "c"), [2]);
    // It is as large already.
    producer.grow(16384).unwrap();
    assert_eq!(producer.generation(), 2);
    producer.close().unwrap();
    assert!(matches!(reader.recv(), Err(RecvError::Closed { .. })));
    drop(reader);
    assert_eq!(place.files(), [""; 0]);
}
