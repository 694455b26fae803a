//! A file was cut short, and what a handle does next would end without success anyway: there is no room, nothing came,
//! somebody else has the lock. The very call that met what is gone says so, and not one of those.

use std::time::Duration;

use partywall::mpsc::Overflow as LaneOverflow;
use partywall::ring::Overflow;
use partywall::{LockError, Namespace, SendError, frames};

use crate::common::Place;
use crate::cut_short::{Ask, cut, receiving, sending};
use crate::patterns::{
    CHANNEL, consumer, lane_sender, listener, producer, publisher, reader, receiver, record,
    sender, subscriber, writer,
};

/// Whatever the handle waits for will not come.
const AT_ONCE: Duration = Duration::ZERO;
const OWNER: &[&str] = &["1.owner"];
const PEERS: &[&str] = &["1.peers"];

/// A call, the files that it looks at at once, and how to come to where it is made.
type Case = (
    &'static str,
    &'static [&'static str],
    Box<dyn Fn(&Namespace) -> Ask>,
);

fn case(
    name: &'static str,
    files: &'static [&'static str],
    open: impl Fn(&Namespace) -> Ask + 'static,
) -> Case {
    (name, files, Box::new(open))
}

/// A full ring whose consumer does not come.
fn full_ring(
    name: &'static str,
    overflow: Overflow,
    send: impl FnMut(&mut partywall::ring::Producer) -> Result<bool, String> + Clone + 'static,
) -> Case {
    case(name, PEERS, move |namespace| {
        let options = producer(namespace, false)
            .overflow(overflow)
            .block_timeout(Some(AT_ONCE));
        let mut producer = options.open(CHANNEL).unwrap();
        let consumer = consumer(namespace, false).attach(CHANNEL).unwrap();
        while producer.try_send(&[7; 500]).is_ok() {}
        let mut send = send.clone();
        Box::new(move || {
            let _stays = &consumer;
            send(&mut producer)
        })
    })
}

fn rings() -> Vec<Case> {
    let record = [7; 500];
    vec![
        full_ring("ring: send", Overflow::Block, move |producer| {
            sending(producer.send(&record))
        }),
        full_ring(
            "ring: send, dropping",
            Overflow::DropNewest,
            move |producer| sending(producer.send(&record)),
        ),
        full_ring("ring: send, failing", Overflow::Fail, move |producer| {
            sending(producer.send(&record))
        }),
        full_ring("ring: send_timeout", Overflow::Block, move |producer| {
            sending(producer.send_timeout(&record, AT_ONCE))
        }),
        full_ring("ring: reserve", Overflow::Block, |producer| {
            sending(producer.reserve(500).map(drop))
        }),
        full_ring("ring: batch", Overflow::Block, move |producer| {
            sending(producer.batch().push(&record))
        }),
        full_ring("ring: flush", Overflow::Block, |producer| {
            sending(producer.flush(Some(AT_ONCE)))
        }),
        case("ring: wait_for_consumer", PEERS, |namespace| {
            let mut producer = producer(namespace, false).open(CHANNEL).unwrap();
            Box::new(move || sending(producer.wait_for_consumer(Some(AT_ONCE))))
        }),
        case("ring: recv_timeout", OWNER, |namespace| {
            let producer = producer(namespace, false).open(CHANNEL).unwrap();
            let mut consumer = consumer(namespace, false).attach(CHANNEL).unwrap();
            Box::new(move || {
                let _stays = &producer;
                receiving(consumer.recv_timeout(AT_ONCE))
            })
        }),
        case("ring: try_recv", OWNER, |namespace| {
            let producer = producer(namespace, false).open(CHANNEL).unwrap();
            let mut consumer = consumer(namespace, false).attach(CHANNEL).unwrap();
            Box::new(move || {
                let _stays = &producer;
                receiving(consumer.try_recv())
            })
        }),
    ]
}

fn slots() -> Vec<Case> {
    vec![
        case("snapshot: get", OWNER, |namespace| {
            let writer = writer(namespace, false).open(CHANNEL).unwrap();
            let mut reader = reader(namespace, false).attach(CHANNEL).unwrap();
            Box::new(move || {
                let _stays = &writer;
                receiving(reader.get())
            })
        }),
        case("snapshot: changed_timeout", OWNER, |namespace| {
            let writer = writer(namespace, false).open(CHANNEL).unwrap();
            let mut reader = reader(namespace, false).attach(CHANNEL).unwrap();
            Box::new(move || {
                let _stays = &writer;
                receiving(reader.changed_timeout(AT_ONCE))
            })
        }),
        case("broadcast: recv_timeout", OWNER, |namespace| {
            let sender = sender(namespace, false).open(CHANNEL).unwrap();
            let mut listener = listener(namespace, false).attach(CHANNEL).unwrap();
            Box::new(move || {
                let _stays = &sender;
                receiving(listener.recv_timeout(AT_ONCE))
            })
        }),
        case("broadcast: try_recv", OWNER, |namespace| {
            let sender = sender(namespace, false).open(CHANNEL).unwrap();
            let mut listener = listener(namespace, false).attach(CHANNEL).unwrap();
            Box::new(move || {
                let _stays = &sender;
                receiving(listener.try_recv())
            })
        }),
    ]
}

/// A pool in which a subscriber that does not come needs every slot.
fn full_pool(
    name: &'static str,
    overflow: Overflow,
    send: fn(&frames::Publisher) -> Result<(), SendError>,
) -> Case {
    case(name, PEERS, move |namespace| {
        let options = publisher(namespace, false)
            .overflow(overflow)
            .block_timeout(Some(AT_ONCE));
        let publisher = options.open(CHANNEL).unwrap();
        let subscriber = subscriber(namespace, false).attach(CHANNEL).unwrap();
        for _ in 0..publisher.slots() {
            let _ = publisher.try_loan(500).map(|loan| loan.publish());
        }
        Box::new(move || {
            let _stays = &subscriber;
            sending(send(&publisher))
        })
    })
}

fn pools() -> Vec<Case> {
    vec![
        full_pool("frames: loan", Overflow::Block, |publisher| {
            publisher.loan(500).map(drop)
        }),
        full_pool("frames: loan, failing", Overflow::Fail, |publisher| {
            publisher.loan(500).map(drop)
        }),
        full_pool(
            "frames: publish_copy, dropping",
            Overflow::DropNewest,
            |publisher| publisher.publish_copy(&[7; 500]).map(drop),
        ),
        case("frames: wait_for_subscriber", PEERS, |namespace| {
            let publisher = publisher(namespace, false).open(CHANNEL).unwrap();
            Box::new(move || sending(publisher.wait_for_subscriber(Some(AT_ONCE))))
        }),
        case("frames: recv_timeout", OWNER, |namespace| {
            let publisher = publisher(namespace, false).open(CHANNEL).unwrap();
            let mut subscriber = subscriber(namespace, false).attach(CHANNEL).unwrap();
            Box::new(move || {
                let _stays = &publisher;
                receiving(subscriber.recv_timeout(AT_ONCE))
            })
        }),
        case("frames: try_recv", OWNER, |namespace| {
            let publisher = publisher(namespace, false).open(CHANNEL).unwrap();
            let mut subscriber = subscriber(namespace, false).attach(CHANNEL).unwrap();
            Box::new(move || {
                let _stays = &publisher;
                receiving(subscriber.try_recv())
            })
        }),
        case("frames: skip_to_newest", OWNER, |namespace| {
            let publisher = publisher(namespace, false).open(CHANNEL).unwrap();
            let mut subscriber = subscriber(namespace, false).attach(CHANNEL).unwrap();
            Box::new(move || {
                let _stays = &publisher;
                receiving(subscriber.skip_to_newest())
            })
        }),
    ]
}

/// A full lane whose receiver does not come.
fn full_lane(
    name: &'static str,
    overflow: LaneOverflow,
    send: fn(&mut partywall::mpsc::Sender) -> Result<(), SendError>,
) -> Case {
    case(name, OWNER, move |namespace| {
        let receiver = receiver(namespace, false).open(CHANNEL).unwrap();
        let options = lane_sender(namespace, false)
            .overflow(overflow)
            .block_timeout(Some(AT_ONCE));
        let mut sender = options.attach(CHANNEL).unwrap();
        while sender.try_send(&[7; 500]).is_ok() {}
        Box::new(move || {
            let _stays = &receiver;
            sending(send(&mut sender))
        })
    })
}

fn lanes() -> Vec<Case> {
    vec![
        full_lane("mpsc: send", LaneOverflow::Block, |sender| {
            sender.send(&[7; 500]).map(drop)
        }),
        full_lane("mpsc: send, dropping", LaneOverflow::DropNewest, |sender| {
            sender.send(&[7; 500]).map(drop)
        }),
        full_lane("mpsc: try_send", LaneOverflow::Block, |sender| {
            sender.try_send(&[7; 500])
        }),
        full_lane("mpsc: flush", LaneOverflow::Block, |sender| {
            sender.flush(Some(AT_ONCE))
        }),
        case("mpsc: recv_timeout", PEERS, |namespace| {
            let mut receiver = receiver(namespace, false).open(CHANNEL).unwrap();
            Box::new(move || receiving(receiver.recv_timeout(AT_ONCE)))
        }),
        case("mpsc: try_recv", PEERS, |namespace| {
            let mut receiver = receiver(namespace, false).open(CHANNEL).unwrap();
            Box::new(move || receiving(receiver.try_recv()))
        }),
        // The lanes of the generation before are looked at too, as long as they are.
        case("mpsc: recv_timeout, grown", PEERS, |namespace| {
            let mut receiver = receiver(namespace, false).open(CHANNEL).unwrap();
            let mut sender = lane_sender(namespace, false).attach(CHANNEL).unwrap();
            sender.send(b"before").unwrap();
            while receiver.try_recv().unwrap().is_some() {}
            receiver.grow(1 << 16).unwrap();
            Box::new(move || {
                let _stays = &sender;
                receiving(receiver.recv_timeout(AT_ONCE))
            })
        }),
        case("ring: send, grown", PEERS, |namespace| {
            let options = producer(namespace, false).block_timeout(Some(AT_ONCE));
            let mut producer = options.open(CHANNEL).unwrap();
            let consumer = consumer(namespace, false).attach(CHANNEL).unwrap();
            producer.grow(8192).unwrap();
            while producer.try_send(&[7; 500]).is_ok() {}
            Box::new(move || {
                let _stays = &consumer;
                sending(producer.send(&[7; 500]))
            })
        }),
    ]
}

fn locks() -> Vec<Case> {
    let locking = |told: Result<(), LockError>| match told {
        Ok(()) => Ok(false),
        Err(LockError::Damaged { .. }) => Ok(true),
        Err(error) => Err(error.to_string()),
    };
    vec![
        case("guarded: try_lock", OWNER, move |namespace| {
            let mut record = record(namespace, false).open(CHANNEL).unwrap();
            Box::new(move || locking(record.try_lock().map(drop)))
        }),
        case("guarded: lock_timeout", OWNER, move |namespace| {
            let mut holder = record(namespace, false).open(CHANNEL).unwrap();
            // It keeps the lock.
            std::mem::forget(holder.lock().unwrap().consistent());
            let mut other = record(namespace, false).open(CHANNEL).unwrap();
            Box::new(move || {
                let _stays = &holder;
                locking(other.lock_timeout(AT_ONCE).map(drop))
            })
        }),
        case("guarded: get", OWNER, |namespace| {
            let mut record = record(namespace, false).open(CHANNEL).unwrap();
            Box::new(move || receiving(record.get()))
        }),
    ]
}

pub(crate) fn the_call_that_meets_a_page_that_is_gone_tells_of_it() {
    let all = [rings(), slots(), pools(), lanes(), locks()];
    let cases: Vec<Case> = all.into_iter().flatten().collect();
    assert!(cases.len() > 30);
    let mut wrong = Vec::new();
    for (name, files, open) in cases {
        for file in files {
            let place = Place::new();
            let mut ask = open(&place.namespace);
            cut(place.path(), file, 0);
            let answers = [ask(), ask()];
            if answers != [Ok(true), Ok(true)] {
                wrong.push(format!("{name}, {file}: {answers:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
