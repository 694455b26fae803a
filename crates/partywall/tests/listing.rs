//! A list of channels says of each what a look at it alone does, though it reads their files in another way.

mod common;

use common::Place;
use partywall::inspect::ChannelInfo;
use partywall::{broadcast, frames, guarded, inspect, mpsc, snapshot};

/// What is the same at two looks between which nothing was done.
fn at_rest(info: &ChannelInfo) -> String {
    let mut info = info.clone();
    (info.heartbeat_age_ns, info.last_update_age_ns) = (None, None);
    if let Some(guarded) = &mut info.guarded {
        guarded.held_ns = None;
    }
    for seat in &mut info.seats {
        seat.heartbeat_age_ns = None;
    }
    format!("{info:#?}")
}

#[test]
fn a_glance_at_one_among_many_says_what_a_look_at_it_alone_does() {
    let place = Place::new();
    let namespace = || place.namespace.clone();
    // Rings: with records read and unread, and one that has grown away from a consumer.
    let mut ring = place.producer().open("ring").unwrap();
    let mut consumer = place.consumer().attach("ring").unwrap();
    let sleeper = place.consumer().durable("sleeper").attach("ring").unwrap();
    for number in 0..20_u64 {
        ring.send(&number.to_le_bytes()).unwrap();
    }
    consumer.recv().unwrap();
    ring.grow(8192).unwrap();
    ring.send(b"in the second generation").unwrap();
    drop(sleeper);
    let options = snapshot::WriterOptions::new().namespace(namespace());
    let mut writer = options.clone().value_size(100).open("snapshot").unwrap();
    writer.put(b"a value").unwrap();
    let mut other = options.confidential(true).open("secret").unwrap();
    other.put(b"another").unwrap();
    let options = broadcast::SenderOptions::new().namespace(namespace());
    let mut sender = options.value_size(16).open("broadcast").unwrap();
    for _ in 0..3 {
        sender.send(b"a record").unwrap();
    }
    let options = frames::PublisherOptions::new().namespace(namespace());
    let publisher = options.frame_size(1000).open("frames").unwrap();
    let options = frames::SubscriberOptions::new().namespace(namespace());
    let mut subscriber = options.attach("frames").unwrap();
    for _ in 0..3 {
        publisher.publish_copy(b"a frame").unwrap();
    }
    let held = subscriber.recv().unwrap();
    let options = mpsc::ReceiverOptions::new().namespace(namespace());
    let mut receiver = options.lane_capacity(4096).open("mpsc").unwrap();
    let options = mpsc::SenderOptions::new().namespace(namespace());
    let mut lane = options.attach("mpsc").unwrap();
    for _ in 0..3 {
        lane.send(b"a record").unwrap();
    }
    receiver.recv().unwrap();
    let options = guarded::RecordOptions::new().namespace(namespace());
    let mut record = options.clone().open("guarded").unwrap();
    let mut guard = record.lock().unwrap().consistent();
    guard.value_mut().extend_from_slice(b"a value");
    guard.commit().unwrap();
    let mut free = options.open("unlocked").unwrap();
    drop(free.lock().unwrap());
    // So many that several threads look.
    for number in 0..100 {
        let options = place.producer().heartbeat(false);
        options.open(&format!("z{number}")).unwrap().abandon();
    }
    let rows = inspect::list(&place.namespace).unwrap();
    assert_eq!(rows.len(), 108);
    for row in &rows {
        assert_eq!(row.problem, None, "{}", row.name);
        let alone = inspect::inspect(&place.namespace, &row.name).unwrap();
        assert_eq!(at_rest(row), at_rest(&alone));
    }
    let row = |name: &str| rows.iter().find(|row| row.name == name).unwrap();
    assert_eq!((row("ring").seats.len(), row("ring").older.len()), (2, 1));
    assert_eq!((row("ring").records, row("snapshot").write_seq), (21, 1));
    assert_eq!((row("broadcast").records, row("mpsc").seats.len()), (3, 1));
    assert_eq!(
        (row("frames").seats[0].held, row("secret").confidential),
        (1, true)
    );
    let locked = |name: &str| row(name).guarded.unwrap().locked;
    assert_eq!((locked("guarded"), locked("unlocked")), (true, false));
    drop(held);
}
