//! Mpsc channels that grow, or change what their records are made of, while senders send.

mod common;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use common::Place;
use partywall::mpsc::{
    Event, Receiver, ReceiverOptions, Sender, SenderId, SenderOptions, TypedReceiver,
};
use partywall::record::{Record, Schema};
use partywall::{GrowError, OpenError, RecvError, SendError};

const LONG: Duration = Duration::from_secs(20);

fn receiver(place: &Place) -> ReceiverOptions {
    ReceiverOptions::new()
        .namespace(place.namespace.clone())
        .lane_capacity(4096)
        .heartbeat(false)
}

fn sender(place: &Place) -> SenderOptions {
    SenderOptions::new()
        .namespace(place.namespace.clone())
        .heartbeat(false)
        .attach_timeout(Some(LONG))
        .block_timeout(Some(LONG))
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

fn bytes(number: u64) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(8 + number as usize % 300, number as u8);
    bytes
}

fn number(bytes: &[u8]) -> u64 {
    let number = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert_eq!(bytes.len(), 8 + number as usize % 300);
    assert!(bytes[8..].iter().all(|&byte| byte == number as u8));
    number
}

fn next(receiver: &mut Receiver) -> Event {
    receiver.recv_timeout(LONG).unwrap()
}

fn next_number(receiver: &mut Receiver) -> u64 {
    loop {
        if let Event::Record(record) = next(receiver) {
            return number(&record);
        }
    }
}

/// The sender's thread panics: it looks dead.
fn die(sender: Sender) {
    let died = catch_unwind(AssertUnwindSafe(move || {
        let _sender = sender;
        std::panic::resume_unwind(Box::new(()));
    }));
    assert!(died.is_err());
}

/// What was heard of each sender, checked: it comes, its records come in order, it goes.
#[derive(Default)]
struct Account {
    present: BTreeMap<SenderId, u64>,
    gone: BTreeMap<SenderId, (u64, bool)>,
}

impl Account {
    fn hear(&mut self, event: &Event) {
        match event {
            Event::Opened(id) => {
                assert!(!self.gone.contains_key(id), "{id} came twice");
                assert!(self.present.insert(*id, 0).is_none(), "{id} came twice");
            }
            Event::Record(record) => {
                let expected = self.present.get_mut(&record.sender).expect("it is there");
                assert_eq!(number(record), *expected, "of {}", record.sender);
                *expected += 1;
            }
            Event::Closed(id) | Event::Died(id) => {
                let records = self.present.remove(id).expect("it is there");
                let died = matches!(event, Event::Died(_));
                assert!(self.gone.insert(*id, (records, died)).is_none());
            }
            Event::Lied(..) => panic!("{event:?}"),
        }
    }
}

/// Receives until a growth is possible, and grows.
fn grow(receiver: &mut Receiver, capacity: u64, account: &mut Account) {
    until_finished(receiver, account, |receiver| receiver.grow(capacity));
}

fn until_finished(
    receiver: &mut Receiver,
    account: &mut Account,
    mut grow: impl FnMut(&mut Receiver) -> Result<(), GrowError>,
) {
    let end = Instant::now() + LONG;
    loop {
        match grow(receiver) {
            Ok(()) => return,
            Err(GrowError::Unfinished { .. }) => {
                assert!(Instant::now() < end, "the last growth never ends");
                for _ in 0..100 {
                    if let Ok(event) = receiver.recv_timeout(Duration::from_millis(1)) {
                        account.hear(&event);
                    }
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn eight_senders_lose_nothing_in_three_growths() {
    const RECORDS: u64 = 6000;
    let place = Place::new();
    let mut receiver = receiver(&place).seats(9).open("grow").unwrap();
    let options = sender(&place);
    let ends: BTreeMap<SenderId, (u64, bool)> = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..8_u64)
            .map(|index| {
                let options = options.clone();
                scope.spawn(move || {
                    let mut ends = Vec::new();
                    // Every other one dies in the middle, and somebody takes its place.
                    let lives = if index % 2 == 0 { 2 } else { 1 };
                    for life in 1..=lives {
                        let mut sender = options.attach("grow").unwrap();
                        let records = RECORDS / lives + index;
                        for record in 0..records {
                            sender.send(&bytes(record)).unwrap();
                        }
                        let died = life < lives;
                        ends.push((sender.id(), (records, died)));
                        if died {
                            die(sender);
                        } else {
                            sender.close().unwrap();
                        }
                    }
                    ends
                })
            })
            .collect();
        let mut account = Account::default();
        for capacity in [1 << 13, 1 << 14, 1 << 16] {
            for _ in 0..3000 {
                account.hear(&receiver.recv_timeout(LONG).unwrap());
            }
            grow(&mut receiver, capacity, &mut account);
            assert_eq!(receiver.lane_capacity(), capacity);
        }
        while account.gone.len() < 12 {
            account.hear(&receiver.recv_timeout(LONG).unwrap());
        }
        let ends = senders
            .into_iter()
            .flat_map(|sender| sender.join().unwrap());
        let ends = ends.collect();
        assert_eq!(account.gone, ends);
        ends
    });
    let records: u64 = ends.values().map(|end| end.0).sum();
    assert_eq!(receiver.generation(), 4);
    let end = Instant::now() + LONG;
    while generations(&place, "grow") != [4] {
        assert!(Instant::now() < end, "old memory stays");
        let event = receiver.recv_timeout(Duration::from_millis(1));
        assert!(event.is_err(), "{event:?}");
    }
    receiver.acknowledge();
    assert_eq!(receiver.received(), records);
}

#[test]
fn whoever_comes_while_the_channel_grows_finds_a_seat() {
    const GROWTHS: u64 = 60;
    let place = Place::new();
    let mut receiver = receiver(&place).seats(4).open("come").unwrap();
    let options = sender(&place);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let comers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut times = 0;
                    while !over.load(Relaxed) {
                        // There is always a seat for it: four seats, and two others.
                        let sender = options
                            .attach("come")
                            .inspect_err(|_| over.store(true, Relaxed));
                        sender.unwrap().close().unwrap();
                        times += 1;
                    }
                    times
                })
            })
            .collect();
        let mut account = Account::default();
        'growths: for growth in 0..GROWTHS {
            for _ in 0..6 {
                if over.load(Relaxed) {
                    break 'growths;
                }
                if let Ok(event) = receiver.recv_timeout(LONG) {
                    account.hear(&event);
                }
            }
            let schema = (growth % 2 == 0).then(Schema::of::<Metre>);
            until_finished(&mut receiver, &mut account, |receiver| {
                receiver.reschema(schema.clone())
            });
        }
        over.store(true, Relaxed);
        for comer in comers {
            assert!(comer.join().unwrap() > 0);
        }
    });
    assert_eq!(receiver.generation(), GROWTHS + 1);
}

#[test]
fn a_sender_that_waits_for_room_finds_it_in_the_next_generation() {
    let place = Place::new();
    let mut receiver = receiver(&place).open("full").unwrap();
    let options = sender(&place);
    let mut sender = options.attach("full").unwrap();
    let mut sent = 0;
    while sender.try_send(&bytes(sent)).is_ok() {
        sent += 1;
    }
    let blocked = std::thread::spawn(move || {
        // Nobody receives before it has.
        sender.send(&bytes(sent)).unwrap();
        (sender, sent + 1)
    });
    receiver.grow(1 << 16).unwrap();
    let (sender, sent) = blocked.join().unwrap();
    assert_eq!(sender.generation(), 2);
    assert_eq!(sender.lane_capacity(), 1 << 16);
    for expected in 0..sent {
        assert_eq!(next_number(&mut receiver), expected);
    }
}

#[test]
fn a_receiver_that_sleeps_hears_of_who_came_over() {
    let place = Place::new();
    let mut receiver = receiver(&place).open("sleep").unwrap();
    let mut sender = sender(&place).attach("sleep").unwrap();
    sender.send(&bytes(0)).unwrap();
    assert_eq!(next_number(&mut receiver), 0);
    receiver.grow(1 << 16).unwrap();
    let receiving = std::thread::spawn(move || {
        let first = next_number(&mut receiver);
        (first, next_number(&mut receiver), receiver)
    });
    sender.send(&bytes(1)).unwrap();
    sender.send(&bytes(2)).unwrap();
    let (first, second, _receiver) = receiving.join().unwrap();
    assert_eq!((first, second), (1, 2));
}

#[test]
fn a_sender_that_sends_nothing_holds_up_the_next_growth_and_nothing_else() {
    let place = Place::new();
    let mut receiver = receiver(&place).open("idle").unwrap();
    let options = sender(&place);
    let mut idle = options.attach("idle").unwrap();
    let mut busy = options.attach("idle").unwrap();
    idle.send(&bytes(0)).unwrap();
    receiver.grow(1 << 13).unwrap();
    // Not for the same size.
    receiver.grow(1 << 13).unwrap();
    assert_eq!(next_number(&mut receiver), 0);
    for record in 0..2000 {
        busy.send(&bytes(record)).unwrap();
        assert_eq!(next_number(&mut receiver), record);
    }
    let refused = receiver.grow(1 << 16).unwrap_err();
    assert!(
        matches!(refused, GrowError::Unfinished { generation: 1, .. }),
        "{refused}"
    );
    assert_eq!(generations(&place, "idle"), [1, 2]);
    idle.send(&bytes(1)).unwrap();
    assert_eq!(next_number(&mut receiver), 1);
    receiver.grow(1 << 16).unwrap();
    assert_eq!(generations(&place, "idle"), [2, 3]);
    for sender in [&mut idle, &mut busy] {
        sender.send(&bytes(7)).unwrap();
        assert_eq!(sender.generation(), 3);
        assert_eq!(next_number(&mut receiver), 7);
    }
}

#[test]
fn a_receivers_successor_goes_on_with_what_is_left_in_both_generations() {
    let place = Place::new();
    let options = receiver(&place);
    let mut first = options.open("heir").unwrap();
    let senders = sender(&place);
    let mut stays = senders.attach("heir").unwrap();
    let mut comes = senders.attach("heir").unwrap();
    for record in 0..3 {
        stays.send(&bytes(record)).unwrap();
        comes.send(&bytes(record)).unwrap();
    }
    first.grow(1 << 16).unwrap();
    comes.send(&bytes(3)).unwrap();
    first.abandon();
    let mut second = options.open("heir").unwrap();
    assert!(second.adopted());
    assert_eq!((second.generation(), second.lane_capacity()), (2, 1 << 16));
    let mut account = Account::default();
    for _ in 0..2 + 7 {
        account.hear(&next(&mut second));
    }
    stays.send(&bytes(3)).unwrap();
    let mut late = senders.attach("heir").unwrap();
    late.send(&bytes(0)).unwrap();
    for _ in 0..3 {
        account.hear(&next(&mut second));
    }
    let ids = [stays.id(), comes.id(), late.id()];
    for sender in [stays, comes, late] {
        sender.close().unwrap();
        account.hear(&next(&mut second));
    }
    let records = [4, 4, 1];
    for (id, records) in ids.into_iter().zip(records) {
        assert_eq!(account.gone[&id], (records, false));
    }
    // The last event is done with.
    second.acknowledge();
    second.grow(1 << 17).unwrap();
    assert_eq!(generations(&place, "heir"), [3]);
}

#[test]
fn a_dead_senders_seat_is_had_again_while_the_channel_grows() {
    let place = Place::new();
    let mut receiver = receiver(&place).seats(2).open("dead").unwrap();
    let options = sender(&place);
    let idle = options.attach("dead").unwrap();
    let mut dying = options.attach("dead").unwrap();
    for record in 0..5 {
        dying.send(&bytes(record)).unwrap();
    }
    let died = dying.id();
    die(dying);
    receiver.grow(1 << 16).unwrap();
    let mut heir = options.attach("dead").unwrap();
    assert_eq!(heir.id().seat, died.seat);
    heir.send(&bytes(0)).unwrap();
    let mut account = Account::default();
    for _ in 0..2 + 5 + 2 + 1 {
        account.hear(&next(&mut receiver));
    }
    assert_eq!(account.gone[&died], (5, true));
    assert_eq!(account.present[&heir.id()], 1);
    assert_eq!(account.present[&idle.id()], 0);
}

#[test]
fn a_closed_channel_is_closed_for_who_did_not_come_over() {
    let place = Place::new();
    let mut receiver = receiver(&place).open("shut").unwrap();
    let mut sender = sender(&place).attach("shut").unwrap();
    receiver.grow(1 << 16).unwrap();
    receiver.close().unwrap();
    let refused = sender.send(&bytes(0)).unwrap_err();
    assert!(matches!(refused, SendError::Closed { .. }), "{refused}");
    drop(sender);
    assert!(!place.namespace.path().join("shut").exists());
}

#[derive(Record, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
struct Metre {
    length: f64,
}

#[derive(Record, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
struct Feet {
    length: u64,
}

#[test]
fn senders_of_other_records_are_told_so_and_have_closed() {
    let place = Place::new();
    let options = receiver(&place).schema(Schema::of::<Metre>());
    let mut receiver = options.open("unit").unwrap();
    let senders = sender(&place);
    let mut metres = senders.attach_typed::<Metre>("unit").unwrap();
    let mut raw = senders.attach("unit").unwrap();
    metres.send(&Metre { length: 1.0 }).unwrap();
    receiver.reschema(Some(Schema::of::<Feet>())).unwrap();
    let refused = metres.send(&Metre { length: 2.0 }).unwrap_err();
    assert!(
        matches!(refused, SendError::SchemaMismatch { .. }),
        "{refused}"
    );
    raw.send(&3_u64.to_le_bytes()).unwrap();
    let refused = senders.attach_typed::<Metre>("unit").unwrap_err();
    assert!(matches!(refused, OpenError::SchemaMismatch { .. }));
    let mut feet = senders.attach_typed::<Feet>("unit").unwrap();
    feet.send(&Feet { length: 4 }).unwrap();
    let mut records = Vec::new();
    let mut closed = 0;
    while records.len() < 3 || closed < 1 {
        match next(&mut receiver) {
            Event::Record(record) => records.push((record.generation, record.payload)),
            Event::Closed(_) => closed += 1,
            Event::Opened(_) => {}
            other => panic!("{other:?}"),
        }
    }
    records.sort();
    let expected = [
        (1, 1.0_f64.to_le_bytes().to_vec()),
        (2, 3_u64.to_le_bytes().to_vec()),
        (2, 4_u64.to_le_bytes().to_vec()),
    ];
    assert_eq!(records, expected);
}

/// Values, and what was told instead of others.
fn feet(receiver: &mut TypedReceiver<Feet>) -> (Vec<u64>, Vec<RecvError>) {
    let (mut values, mut errors) = (Vec::new(), Vec::new());
    loop {
        match receiver.try_recv() {
            Ok(Some(event)) => values.extend(event.record().map(|received| received.value.length)),
            Ok(None) => return (values, errors),
            Err(error) => errors.push(error),
        }
    }
}

#[test]
fn values_of_the_type_before_are_converted_and_never_taken_for_the_new() {
    let place = Place::new();
    let mut metres = receiver(&place).open_typed::<Metre>("unit").unwrap();
    metres.grow(1 << 14).unwrap();
    assert_eq!((metres.generation(), metres.lane_capacity()), (2, 1 << 14));
    let senders = sender(&place);
    // As many bytes as the new ones have.
    let mut old = senders.attach_typed::<Metre>("unit").unwrap();
    old.send(&Metre { length: 3.0 }).unwrap();
    let convert = |Metre { length }| Feet {
        length: (length / 0.3048).round() as u64,
    };
    let mut receiver = metres.reschema::<Feet>(convert).unwrap();
    let mut new = senders.attach_typed::<Feet>("unit").unwrap();
    new.send(&Feet { length: 4 }).unwrap();
    let (values, errors) = feet(&mut receiver);
    assert!(
        values == [10, 4] && errors.is_empty(),
        "{values:?}, {errors:?}"
    );
    drop(new);
    assert!(matches!(
        old.send(&Metre { length: 1.0 }),
        Err(SendError::SchemaMismatch { .. })
    ));
    assert_eq!(feet(&mut receiver).0, [0; 0]);
}

#[test]
fn a_successor_is_told_of_values_of_the_type_before() {
    let place = Place::new();
    let metres = receiver(&place).open_typed::<Metre>("unit").unwrap();
    let senders = sender(&place);
    let mut old = senders.attach_typed::<Metre>("unit").unwrap();
    old.send(&Metre { length: 3.0 }).unwrap();
    let convert = |Metre { length }| Feet {
        length: length as u64,
    };
    let dies = metres.reschema::<Feet>(convert).unwrap();
    let mut new = senders.attach_typed::<Feet>("unit").unwrap();
    new.send(&Feet { length: 4 }).unwrap();
    dies.into_inner().abandon();
    let mut receiver = self::receiver(&place).open_typed::<Feet>("unit").unwrap();
    let (values, errors) = feet(&mut receiver);
    assert_eq!(values, [4]);
    assert!(
        matches!(&errors[..], [RecvError::SchemaMismatch { .. }]),
        "{errors:?}"
    );
}

#[cfg(unix)] // elsewhere lanes take their memory when the channel is made
#[test]
fn lanes_that_nobody_has_claimed_take_no_memory_in_the_next_generation_either() {
    const LANE: u64 = 1 << 20;
    let place = Place::new();
    let mut receiver = receiver(&place).seats(16).open("lean").unwrap();
    let mut sender = sender(&place).attach("lean").unwrap();
    sender.send(&bytes(0)).unwrap();
    receiver.grow(LANE).unwrap();
    sender.send(&bytes(1)).unwrap();
    assert_eq!(next_number(&mut receiver), 0);
    assert_eq!(next_number(&mut receiver), 1);
    // Looks at every lane, more than once.
    for _ in 0..3 {
        assert!(receiver.recv_timeout(Duration::from_millis(110)).is_err());
    }
    assert_eq!(generations(&place, "lean"), [2]);
    let info = partywall::inspect::inspect(&place.namespace, "lean").unwrap();
    let reserved = info.bytes_reserved;
    assert!((LANE..2 * LANE).contains(&reserved), "{reserved}");
}
