//! Typed channels: values pass, schemas are written, compared and read, and what differs is named.

mod common;

use std::fs::OpenOptions;

use common::Place;
use common::system::At;
use partywall::guarded::RecordOptions;
use partywall::record::{self, Change, Record, Schema};
use partywall::ring::{Alone, ConsumerOptions, Sent};
use partywall::{OpenError, RecvError, broadcast, frames, inspect, mpsc, snapshot};

#[derive(Record, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
struct Level {
    #[record(unit = "EUR")]
    price: f64,
    size: u32,
    _padding: [u8; 4],
}

#[derive(Record, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
struct Book {
    #[record(unit = "ns")]
    time: u64,
    bids: [Level; 2],
    flags: [[u16; 2]; 2],
}

/// What the same record looks like in other programs.
mod others {
    pub(crate) mod first {
        use partywall::record::Record;
        #[derive(Record)]
        #[repr(C)]
        #[record(name = "Quote")]
        pub(crate) struct Renamed {
            pub(crate) bid: u32,
            pub(crate) ask: u32,
        }
    }

    pub(crate) mod second {
        use partywall::record::Record;
        #[derive(Record)]
        #[repr(C)]
        pub(crate) struct Quote {
            pub(crate) ask: u32,
            pub(crate) bid: u32,
        }
    }
}

fn level(price: f64, size: u32) -> Level {
    Level {
        price,
        size,
        _padding: [0; 4],
    }
}

fn book(time: u64) -> Book {
    Book {
        time,
        bids: [level(1.25, 3), level(1.0, 4)],
        flags: [[1, 2], [3, time as u16]],
    }
}

const BOOK: &str = "\
partywall schema 1
record Level 16
field price 0 f64 EUR
field size 8 u32
field _padding 12 u8[4]
record Book 48
field time 0 u64 ns
field bids 8 Level[2]
field flags 40 u16[2][2]
";

#[test]
fn values_pass_as_they_are_and_the_channel_says_what_they_are() {
    let place = Place::new();
    let mut producer = place.producer().open_typed::<Book>("c").unwrap();
    let mut consumer = place.consumer().attach_typed::<Book>("c").unwrap();
    for time in 0..100 {
        assert_eq!(producer.send(&book(time)).unwrap(), Sent::Committed);
        assert_eq!(consumer.recv().unwrap(), book(time));
    }
    let many: Vec<Book> = (0..5).map(book).collect();
    assert_eq!(producer.send_all(&many).unwrap(), 5);
    assert_eq!(consumer.try_recv().unwrap(), Some(book(0)));

    let schema = inspect::schema(&place.namespace, "c").unwrap().unwrap();
    assert_eq!(schema.to_text(), BOOK);
    assert_eq!(schema, Schema::of::<Book>());
    assert_eq!(consumer.schema().unwrap(), Some(schema.clone()));
    let info = inspect::inspect(&place.namespace, "c").unwrap();
    assert_eq!(info.schema_hash, schema.hash());
    let seventh = book(7);
    let shown = schema.view(record::bytes_of(&seventh)).unwrap();
    assert_eq!(
        shown.to_string(),
        "time=7 bids=[{price=1.25 size=3} {price=1.0 size=4}] flags=[[1 2] [3 7]]"
    );
    producer.into_inner().close().unwrap();
    let rest: Result<Vec<Book>, RecvError> = consumer.values().collect();
    assert_eq!(rest.unwrap(), many[1..]);
}

#[test]
fn snapshots_and_broadcasts_have_types_too() {
    let place = Place::new();
    let namespace = || place.namespace.clone();
    let writers = snapshot::WriterOptions::new().namespace(namespace());
    let readers = snapshot::ReaderOptions::new().namespace(namespace());
    let mut writer = writers.open_typed::<Book>("s").unwrap();
    let mut reader = readers.attach_typed::<Book>("s").unwrap();
    assert_eq!(writer.max_value(), 48);
    assert_eq!(reader.get().unwrap(), None);
    writer.put(&book(1)).unwrap();
    assert_eq!(reader.get().unwrap(), Some(book(1)));
    writer.put(&book(2)).unwrap();
    assert_eq!(reader.changed().unwrap(), book(2));
    assert!(matches!(
        readers.attach_typed::<Level>("s"),
        Err(OpenError::SchemaMismatch { .. })
    ));

    let senders = broadcast::SenderOptions::new().namespace(namespace());
    let receivers = broadcast::ReceiverOptions::new().namespace(namespace());
    let mut sender = senders.open_typed::<Level>("b").unwrap();
    let mut receiver = receivers.attach_typed::<Level>("b").unwrap();
    assert_eq!(sender.send(&level(2.0, 9)).unwrap(), 1);
    assert_eq!(receiver.recv().unwrap(), level(2.0, 9));
    let bytes = receivers.attach("b").unwrap();
    assert_eq!(bytes.schema().unwrap(), Some(Schema::of::<Level>()));
}

#[test]
fn whoever_has_no_definition_is_told_the_schema_by_every_patterns_handle() {
    let place = Place::new();
    let namespace = || place.namespace.clone();
    let schema = Some(Schema::of::<Level>());
    let publishers = frames::PublisherOptions::new().namespace(namespace());
    let _publisher = publishers.open_typed::<Level>("f").unwrap();
    let subscribers = frames::SubscriberOptions::new().namespace(namespace());
    assert_eq!(subscribers.attach("f").unwrap().schema().unwrap(), schema);

    let receivers = mpsc::ReceiverOptions::new().namespace(namespace());
    let _receiver = receivers.open_typed::<Level>("m").unwrap();
    let senders = mpsc::SenderOptions::new().namespace(namespace());
    assert_eq!(senders.attach("m").unwrap().schema().unwrap(), schema);

    let records = RecordOptions::new().namespace(namespace());
    let _record = records.open_typed::<Level>("g").unwrap();
    let bytes = records.value_size(16).open("g").unwrap();
    assert_eq!(bytes.schema().unwrap(), schema);
}

/// The message of a mismatch.
fn mismatch<H: std::fmt::Debug>(opened: Result<H, OpenError>) -> String {
    match opened {
        Err(error @ OpenError::SchemaMismatch { .. }) => error.to_string(),
        other => panic!("no mismatch: {other:?}"),
    }
}

#[test]
fn a_field_swapped_between_two_peers_is_refused_with_its_name() {
    let place = Place::new();
    let _producer = place
        .producer()
        .open_typed::<others::first::Renamed>("c")
        .unwrap();
    let told = mismatch(place.consumer().attach_typed::<others::second::Quote>("c"));
    assert!(
        told.contains("fields `Quote.ask` and `bid` are swapped"),
        "{told}"
    );
    assert!(
        told.contains("channel c") && told.contains("partywall schema c"),
        "{told}"
    );
    // No seat was taken.
    let info = inspect::inspect(&place.namespace, "c").unwrap();
    assert!(info.seats.is_empty());
}

#[test]
fn typed_and_untyped_meet_as_documented() {
    let place = Place::new();
    let typed = place.producer().open_typed::<Level>("typed").unwrap();
    // Who wants bytes gets bytes.
    place.consumer().attach("typed").unwrap().detach();
    drop(typed);

    let untyped = place.producer().open("untyped").unwrap();
    let told = mismatch(place.consumer().attach_typed::<Level>("untyped"));
    assert!(
        told.contains("record `Level` expected, it has bytes without a schema"),
        "{told}"
    );
    drop(untyped);
}

#[test]
fn what_is_no_record_is_told_and_passed_over() {
    let place = Place::new();
    let producer = place.producer().open_typed::<Level>("c").unwrap();
    let mut consumer = place.consumer().attach_typed::<Level>("c").unwrap();
    let mut producer = producer.into_inner();
    producer.send(b"short").unwrap();
    producer.send(record::bytes_of(&level(1.0, 1))).unwrap();
    let error = consumer.recv().unwrap_err();
    assert!(
        matches!(
            &error,
            RecvError::WrongLength {
                expected: 16,
                found: 5,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(consumer.recv().unwrap(), level(1.0, 1));
}

#[test]
fn an_owner_that_adopts_compares_too() {
    let place = Place::new();
    let options = place.producer().alone(Alone::Discard);
    let mut producer = options.open_typed::<Level>("c").unwrap();
    producer.send(&level(1.0, 1)).unwrap();
    let consumer = place.consumer().attach_typed::<Level>("c").unwrap();
    producer.into_inner().abandon();

    // In use: refused, and nothing is changed.
    let told = mismatch(options.open_typed::<Book>("c"));
    assert!(
        told.contains("record `Book` expected, it has record `Level`"),
        "{told}"
    );
    let again = options.open_typed::<Level>("c").unwrap();
    assert!(again.adopted());
    assert_eq!(again.generation(), 1);
    again.into_inner().abandon();
    // Bytes are written by whoever adopts without a type; the schema stays.
    let bytes = options.open("c").unwrap();
    assert!(bytes.adopted());
    assert_eq!(
        inspect::schema(&place.namespace, "c").unwrap(),
        Some(Schema::of::<Level>())
    );
    bytes.abandon();

    // Not in use: a new generation.
    drop(consumer);
    let other = options.open_typed::<Book>("c").unwrap();
    assert!(!other.adopted());
    assert_eq!(other.generation(), 2);
    assert_eq!(
        inspect::schema(&place.namespace, "c").unwrap(),
        Some(Schema::of::<Book>())
    );
}

#[test]
fn a_durable_consumer_is_told_when_the_next_stream_has_other_records() {
    let place = Place::new();
    let options = place.producer().keep_when_closed(true);
    let durable = place.consumer().durable("archive");
    let mut producer = options.open_typed::<Level>("c").unwrap();
    let consumer = durable.attach_typed::<Level>("c").unwrap();
    producer.send(&level(1.0, 1)).unwrap();
    consumer.into_inner().detach();
    producer.into_inner().close().unwrap();

    let _next = options.open_typed::<Book>("c").unwrap();
    // What is left of the old stream comes first, and is of the old type.
    let told = mismatch(durable.attach_typed::<Book>("c"));
    assert!(told.contains("it has record `Level`"), "{told}");
    let mut consumer = durable.attach_typed::<Level>("c").unwrap();
    assert_eq!(consumer.recv().unwrap(), level(1.0, 1));
    consumer.into_inner().detach();
    // Then the new one does, and is not.
    let told = mismatch(durable.attach_typed::<Level>("c"));
    assert!(told.contains("it has record `Book`"), "{told}");
    let consumer = durable.attach_typed::<Book>("c").unwrap();
    assert_eq!(consumer.generation(), 2);
}

#[test]
fn a_snapshot_of_another_type_does_not_inherit_the_value() {
    let place = Place::new();
    let options = snapshot::WriterOptions::new().namespace(place.namespace.clone());
    let mut writer = options.open_typed::<others::first::Renamed>("s").unwrap();
    let quote = others::first::Renamed { bid: 1, ask: 2 };
    writer.put(&quote).unwrap();
    writer.into_inner().abandon();
    let _writer = options.open_typed::<others::second::Quote>("s").unwrap();
    let readers = snapshot::ReaderOptions::new().namespace(place.namespace.clone());
    let mut reader = readers.attach_typed::<others::second::Quote>("s").unwrap();
    assert!(reader.get().unwrap().is_none());
}

#[test]
fn a_record_that_does_not_fit_the_ring_is_refused_when_it_is_opened() {
    #[derive(Record)]
    #[repr(C)]
    struct Large {
        bytes: [u8; 4096],
    }
    let place = Place::new();
    let error = place.producer().open_typed::<Large>("c").unwrap_err();
    assert!(
        error.to_string().contains("capacity must be large enough"),
        "{error}"
    );
    place
        .producer()
        .capacity(16384)
        .open_typed::<Large>("c")
        .unwrap();
}

/// A schema that somebody scribbled over: typed peers are told, others are served.
#[test]
fn a_damaged_schema_is_a_typed_error() {
    let place = Place::new();
    let _producer = place.producer().open_typed::<Level>("c").unwrap();
    let file = place.path().join("c/1.owner");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(file)
        .unwrap();
    let text_at = 4096 + 4096;
    let attach = || place.consumer().attach_typed::<Level>("c");
    let damaged = |what: &str| match attach() {
        Err(OpenError::Damaged { lie, .. }) => assert_eq!(lie.word, what),
        other => panic!("{what}: {other:?}"),
    };

    file.write_all_at(b"Q", text_at).unwrap();
    damaged("schema_hash");
    assert!(inspect::schema(&place.namespace, "c").is_err());
    place.consumer().attach("c").unwrap();
    // The hash of what is there now, so that the text itself is looked at.
    let text = Schema::of::<Level>().to_text().replacen('p', "Q", 1);
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    file.write_all_at(&hash.to_le_bytes(), 80).unwrap();
    damaged("line of the schema");
    // Neither without the other.
    file.write_all_at(&[0; 8], 80).unwrap();
    damaged("schema_size");

    file.write_all_at(b"p", text_at).unwrap();
    let hash = Schema::of::<Level>().hash();
    file.write_all_at(&hash.to_le_bytes(), 80).unwrap();
    attach().unwrap();
}

#[test]
fn differences_are_told_by_field_and_kind() {
    let schema =
        |fields: &str| Schema::parse(format!("partywall schema 1\n{fields}").as_bytes()).unwrap();
    let expected = schema("record R 16\nfield a 0 u32 mV\nfield b 4 u32\nfield c 8 f64\n");
    for (found, path, told) in [
        (
            "record R 16\nfield b 0 u32\nfield a 4 u32 mV\nfield c 8 f64\n",
            "R.a",
            "fields `R.a` and `b` are swapped",
        ),
        (
            "record R 16\nfield c 0 f64\nfield b 8 u32\nfield a 12 u32 mV\n",
            "R.a",
            "fields `R.a` and `c` are swapped",
        ),
        (
            "record R 16\nfield a 0 u32 V\nfield b 4 u32\nfield c 8 f64\n",
            "R.a",
            "field `R.a` expected in unit \"mV\", it is in \"V\"",
        ),
        (
            "record R 16\nfield a 0 u32\nfield b 4 u32\nfield c 8 f64\n",
            "R.a",
            "field `R.a` expected in unit \"mV\", it is in none",
        ),
        (
            "record R 16\nfield a 0 i32 mV\nfield b 4 u32\nfield c 8 f64\n",
            "R.a",
            "field `R.a` expected as u32, it is i32",
        ),
        (
            "record R 16\nfield a 0 u32 mV\nfield b 4 u16[2]\nfield c 8 f64\n",
            "R.b",
            "field `R.b` expected as u32, it is u16[2]",
        ),
        (
            "record R 16\nfield a 0 u32 mV\nfield d 4 u32\nfield c 8 f64\n",
            "R.b",
            "field `R.b` is missing, `d` is in its place",
        ),
        (
            "record R 16\nfield a 0 u32 mV\nfield _b 4 u32\nfield c 8 f64\n",
            "R.b",
            "field `R.b` is missing",
        ),
        (
            "record R 24\nfield a 0 u32 mV\nfield _p 4 u8[4]\nfield b 8 u32\nfield _q 12 u8[4]\nfield c 16 f64\n",
            "R.b",
            "field `R.b` expected at byte 4, it is at 8",
        ),
        (
            "record R 24\nfield a 0 u32 mV\nfield b 4 u32\nfield c 8 f64\nfield d 16 u64\n",
            "R.d",
            "field `R.d` is not expected",
        ),
        (
            "record R 24\nfield a 0 u32 mV\nfield b 4 u32\nfield c 8 f64\nfield _d 16 u64\n",
            "R",
            "record `R` expected with 16 bytes, it has 24",
        ),
        (
            "record S 16\nfield a 0 u32 mV\nfield b 4 u32\nfield c 8 f64\n",
            "R",
            "record `R` expected, it has record `S`",
        ),
    ] {
        let difference = expected.difference(&schema(found)).expect(told);
        assert_eq!(difference.to_string(), told);
        assert_eq!(difference.path, path);
    }
    // Deep inside, with the whole way there.
    let nested = |unit: &str| {
        schema(&format!(
            "record In 8\nfield x 0 f64{unit}\nrecord Out 16\nfield y 0 u64\nfield ins 8 In[1]\n"
        ))
    };
    let difference = nested(" mm").difference(&nested("")).unwrap();
    assert_eq!(difference.path, "Out.ins.x");
    assert!(matches!(difference.change, Change::Unit { .. }));
    // What padding is called makes no difference.
    let padded = |name: &str| {
        schema(&format!(
            "record R 8\nfield a 0 u32\nfield {name} 4 u8[4]\n"
        ))
    };
    assert_eq!(padded("_padding").difference(&padded("_reserved")), None);
}

#[test]
fn two_types_of_one_name_are_told_apart() {
    #[derive(Record)]
    #[repr(C)]
    struct Both {
        first: others::first::Renamed,
        second: others::second::Quote,
        again: others::first::Renamed,
    }
    let text = Schema::of::<Both>().to_text();
    assert_eq!(
        text,
        "\
partywall schema 1
record Quote 8
field bid 0 u32
field ask 4 u32
record Quote_2 8
field ask 0 u32
field bid 4 u32
record Both 24
field first 0 Quote
field second 8 Quote_2
field again 16 Quote
"
    );
    assert_eq!(
        Schema::parse(text.as_bytes()).unwrap(),
        Schema::of::<Both>()
    );
}

#[test]
fn a_record_can_be_looked_at_where_it_lies() {
    let place = Place::new();
    let mut producer = place.producer().open_typed::<Level>("c").unwrap();
    let consumer = ConsumerOptions::new()
        .namespace(place.namespace.clone())
        .attach_typed::<Level>("c")
        .unwrap();
    producer.send(&level(1.5, 7)).unwrap();
    // SAFETY: the one producer is this test's own.
    #[allow(unsafe_code)]
    let mut consumer = unsafe { consumer.into_inner().in_place() };
    let lent = consumer.recv_ref(None).unwrap();
    let seen: &Level = record::ref_from_bytes(&lent).unwrap();
    assert_eq!(*seen, level(1.5, 7));
    assert!(
        record::ref_from_bytes::<Book>(&lent).is_none(),
        "another length"
    );

    let zero = Level {
        price: 2.5,
        ..record::zeroed()
    };
    assert_eq!(zero, level(2.5, 0));
    // Somewhere among these begin 16 that are aligned.
    let mut bytes = [0; 24];
    let start = bytes.as_ptr().align_offset(8);
    let bytes = &mut bytes[start..start + 16];
    *record::mut_from_bytes::<Level>(bytes).unwrap() = level(1.0, 1);
    assert_eq!(record::from_bytes::<Level>(bytes), Ok(level(1.0, 1)));
    assert!(record::ref_from_bytes::<Level>(&bytes[1..]).is_none());
}

#[test]
fn a_typed_guarded_record_is_edited_in_place_and_committed_whole() {
    #[derive(Record, Clone, Copy, Debug, PartialEq)]
    #[repr(C)]
    struct Settings {
        exposure: u32,
        gain: f32,
    }
    /// The same bytes under other names.
    #[derive(Record)]
    #[repr(C)]
    #[record(name = "Settings")]
    struct Swapped {
        gain: f32,
        exposure: u32,
    }
    let place = Place::new();
    let options = RecordOptions::new().namespace(place.namespace.clone());
    let mut record = options.open_typed::<Settings>("config").unwrap();
    assert!(record.get().unwrap().is_none());
    let mut guard = record.lock().unwrap().consistent();
    assert_eq!(
        *guard,
        Settings {
            exposure: 0,
            gain: 0.0
        },
        "nothing yet"
    );
    guard.exposure = 7;
    drop(guard);
    assert!(record.get().unwrap().is_none(), "not committed");
    let mut guard = record.lock().unwrap().consistent();
    (guard.exposure, guard.gain) = (9, 1.5);
    assert_eq!(guard.commit().unwrap(), 1);
    drop(guard);
    let committed = Settings {
        exposure: 9,
        gain: 1.5,
    };
    assert_eq!(record.get().unwrap(), Some(committed));
    assert_eq!(*record.lock().unwrap().consistent(), committed);
    assert_eq!(record.max_value(), 8);
    let refused = options.open_typed::<Swapped>("config").map(drop);
    let Err(OpenError::SchemaMismatch { .. }) = &refused else {
        panic!("{refused:?}")
    };
    let said = refused.unwrap_err().to_string();
    assert!(
        said.contains("`Settings.gain` and `exposure` are swapped"),
        "{said}"
    );
}

#[test]
fn frames_and_lanes_carry_values_and_refuse_others() {
    let place = Place::new();
    let namespace = || place.namespace.clone();
    let publisher = partywall::frames::PublisherOptions::new().namespace(namespace());
    let subscriber = partywall::frames::SubscriberOptions::new().namespace(namespace());
    let mut sends = publisher.open_typed::<Book>("f").unwrap();
    let mut gets = subscriber.attach_typed::<Book>("f").unwrap();
    for time in 1..=3 {
        assert_eq!(sends.send(&book(time)).unwrap(), Some(time));
    }
    for time in 1..=3 {
        assert_eq!(gets.recv().unwrap(), book(time));
    }
    assert!(gets.try_recv().unwrap().is_none());
    let refused = subscriber.attach_typed::<Level>("f").map(drop);
    assert!(
        matches!(refused, Err(OpenError::SchemaMismatch { .. })),
        "{refused:?}"
    );

    let receiver = partywall::mpsc::ReceiverOptions::new().namespace(namespace());
    let sender = partywall::mpsc::SenderOptions::new().namespace(namespace());
    let mut receives = receiver.open_typed::<Level>("m").unwrap();
    let refused = sender.attach_typed::<Book>("m").map(drop);
    assert!(
        matches!(refused, Err(OpenError::SchemaMismatch { .. })),
        "{refused:?}"
    );
    let mut one = sender.attach_typed::<Level>("m").unwrap();
    assert_eq!(one.send(&level(2.5, 7)).unwrap(), Sent::Committed);
    let received = std::iter::from_fn(|| receives.try_recv().unwrap())
        .find_map(partywall::mpsc::Event::record)
        .expect("one was sent");
    assert_eq!(
        (received.value, received.meta.sender),
        (level(2.5, 7), one.id())
    );
}
