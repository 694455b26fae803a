//! Lies about one thing, and what exactly is to come of each.

use std::time::Duration;

use partywall::{EvictionReason, RecvError, SendError, inspect, layout, manage, mpsc};

use crate::common::system::At;
use crate::common::{Place, file};
use crate::patterns::{consumer, lane_sender, producer, publisher, receiver, subscriber};

pub(crate) fn a_subscriber_that_lies_about_its_pins_is_evicted_and_the_others_are_served() {
    let place = Place::new();
    let publishing = publisher(&place.namespace, false).open("c").unwrap();
    let mut liar = subscriber(&place.namespace, false).attach("c").unwrap();
    let mut honest = subscriber(&place.namespace, false).attach("c").unwrap();
    for number in 0..500_u64 {
        publishing.publish_copy(&number.to_le_bytes()).unwrap();
        let frame = honest.recv().unwrap();
        assert_eq!(frame.to_vec(), number.to_le_bytes());
        if number < 200 {
            drop(liar.recv().unwrap());
        } else if number == 200 {
            let at = in_seat("PINS", 0);
            file(&place, "1.peers").write_at(&[0xff; 8], at).unwrap();
        }
    }
    let info = inspect::inspect(&place.namespace, "c").unwrap();
    assert_eq!(info.counters.lies, 1);
    file(&place, "1.peers")
        .write_at(&[0; 8], in_seat("PINS", 0))
        .unwrap();
    let told = liar.recv_timeout(Duration::from_secs(10)).unwrap_err();
    let lied = EvictionReason::Lied;
    assert!(
        matches!(told, RecvError::Evicted { reason, .. } if reason == lied),
        "{told}"
    );
}

pub(crate) fn a_consumer_that_lies_about_its_position_is_evicted_and_the_others_are_served() {
    for lie in [u64::MAX, 1 << 40, 1 << 63] {
        let place = Place::new();
        let mut producer = place.producer().open("c").unwrap();
        let mut liar = place.consumer().attach("c").unwrap();
        let mut honest = place.consumer().attach("c").unwrap();
        for number in 0..500_u64 {
            producer.send(&number.to_le_bytes()).unwrap();
            assert_eq!(
                honest.try_recv().unwrap().unwrap().payload,
                number.to_le_bytes()
            );
            assert!(honest.try_recv().unwrap().is_none());
            if number < 200 {
                liar.recv().unwrap();
                assert!(liar.try_recv().unwrap().is_none());
            } else if number == 200 {
                let at = in_seat("READ_SEQ", 0);
                file(&place, "1.peers")
                    .write_at(&u64::to_le_bytes(lie), at)
                    .unwrap();
            }
        }
        let info = inspect::inspect(&place.namespace, "c").unwrap();
        assert_eq!(info.counters.lies, 1, "{lie:#x}");
        // It is told, after what is still there.
        let told = loop {
            match liar.recv_timeout(Duration::from_secs(10)) {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert!(
            matches!(
                told,
                RecvError::Evicted {
                    reason: EvictionReason::Lied,
                    ..
                } | RecvError::Damaged { .. }
            ),
            "{told}"
        );
    }
}

pub(crate) fn a_producer_that_waits_notices_that_its_channel_was_removed_or_scribbled_over() {
    let place = Place::new();
    let mut producer = place.producer().open("c").unwrap();
    manage::remove(&place.namespace, "c", true).unwrap();
    let told = producer.send(b"nobody is there").unwrap_err();
    assert!(matches!(told, SendError::Deleted { .. }), "{told}");
    drop(producer);

    let mut producer = place.producer().open("c").unwrap();
    file(&place, "1.owner").write_at(&[9], 12).unwrap();
    let told = producer.send(b"nobody is there").unwrap_err();
    assert!(matches!(told, SendError::Damaged { .. }), "{told}");
}

pub(crate) fn a_seat_that_is_scribbled_over_is_noticed_by_its_holder() {
    let place = Place::new();
    let _producer = place.producer().open("c").unwrap();
    let mut consumer = place.consumer().attach("c").unwrap();
    let at = in_seat("STATE", 0);
    file(&place, "1.peers")
        .write_at(&0_u64.to_le_bytes(), at)
        .unwrap();
    let told = consumer.recv_timeout(Duration::from_secs(10)).unwrap_err();
    assert!(matches!(told, RecvError::Damaged { .. }), "{told}");
}

/// Where a field of a seat lies in the peer side.
fn in_seat(name: &str, seat: u64) -> u64 {
    let block = layout::abi()
        .into_iter()
        .find(|block| block.title.starts_with("seat"))
        .unwrap();
    let field = block
        .fields
        .iter()
        .find(|field| field.name == name)
        .unwrap();
    512 + seat * block.size + field.offset
}

/// A committed record of no bytes, over and over: valid wherever one looks.
fn fill_with_empty_records(place: &Place, name: &str, from: u64, len: usize) {
    let header = 1_u64 << 48;
    let bytes = header.to_le_bytes().repeat(len / 8);
    file(place, name).write_all_at(&bytes, from).unwrap();
}

pub(crate) fn headers_that_lead_round_and_round_are_told_by_consumers() {
    let place = Place::new();
    let _producer = producer(&place.namespace, false).open("c").unwrap();
    let mut consumer = consumer(&place.namespace, false).attach("c").unwrap();
    fill_with_empty_records(&place, "1.owner", 4096, 4096);
    let told = (0..10_000).find_map(|_| consumer.recv().err());
    assert!(matches!(told, Some(RecvError::Damaged { .. })), "{told:?}");
}

pub(crate) fn headers_that_lead_round_and_round_in_a_lane_cut_it_off() {
    let place = Place::new();
    let mut receiver = receiver(&place.namespace, false).open("c").unwrap();
    let mut sender = lane_sender(&place.namespace, false).attach("c").unwrap();
    sender.send(b"honest").unwrap();
    assert!(matches!(receiver.recv().unwrap(), mpsc::Event::Opened(_)));
    fill_with_empty_records(&place, "1.peers", 65_536 + 8, 4096 - 8);
    // What stands where HELLO was is looked at after the first time round.
    fill_with_empty_records(&place, "1.peers", 65_536, 8);
    let moment = Duration::from_secs(10);
    let told = (0..10_000).find_map(|_| match receiver.recv_timeout(moment).unwrap() {
        mpsc::Event::Lied(_, lie) => Some(lie),
        _ => None,
    });
    assert_eq!(told.expect("it is told").word, "notice of a lane");
}
