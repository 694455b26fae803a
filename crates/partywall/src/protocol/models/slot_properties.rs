//! Slots on one thread and in plain memory: random values, starts and geometries, half-done states written by hand,
//! and words that no honest writer leaves.

use std::sync::atomic::Ordering::Relaxed;

use proptest::prelude::*;

use super::plain::Plain;
use crate::layout::slots::{self, Info, LAST_VERSION};
use crate::layout::{guarded, owner};
use crate::memory::SharedMut;
use crate::protocol::Lie;
use crate::protocol::guarded::Held;
use crate::protocol::slots::{
    CursorReader, LatestReader, Meta, Next, Shape, SlotWriter, Start, Unread,
};

type Writer = SlotWriter<Plain>;

fn segment(shape: &Shape) -> Plain {
    Plain::new(slots::PAYLOAD_OFFSET + shape.slots * slots::stride(shape.value))
}

fn shape() -> impl Strategy<Value = Shape> {
    let base = prop_oneof![
        Just(0),
        0..100_u64,
        0..LAST_VERSION - 1000,
        Just(LAST_VERSION - 1000)
    ];
    (1..5_u32, 1..200_u32, base, any::<bool>()).prop_map(|(slots, value, base, checksums)| Shape {
        slots: 1 << slots,
        value,
        base,
        checksums,
    })
}

fn value(version: u64, len: usize) -> Vec<u8> {
    (0..len as u64)
        .map(|at| (version % 251 * 31 + at) as u8)
        .collect()
}

/// Puts the next version, with a length and a time of its own.
fn put(writer: &mut Writer, number: u16) {
    let version = writer.version() + 1;
    let len = usize::from(number) % (writer.shape().value as usize + 1);
    writer.put(&value(version, len), number, version ^ 7);
}

/// The value must be the one that `put` wrote.
fn check(shape: &Shape, meta: Meta, bytes: &[u8]) {
    let len = usize::from(meta.kind) % (shape.value as usize + 1);
    assert_eq!(bytes, value(meta.version, len));
    assert_eq!(meta.time_ns, meta.version ^ 7);
}

/// Reads to the end; how many were read and how many lost.
fn drain(reader: &mut CursorReader<Plain>, bytes: &mut Vec<u8>) -> (u64, u64) {
    let (mut read, mut lost) = (0, 0);
    loop {
        let next = reader.next();
        let Some(found) = reader.read(bytes).expect("an honest writer") else {
            return (read, lost);
        };
        match found {
            Next::Value(meta) => {
                assert_eq!(meta.version, next);
                check(reader.shape(), meta, bytes);
                read += 1;
            }
            Next::Overrun(more) => lost += more,
        }
        assert!(reader.next() > next);
    }
}

fn start(shape: Shape) -> impl Strategy<Value = Start> {
    prop_oneof![
        Just(Start::Oldest),
        Just(Start::Newest),
        Just(Start::Next),
        (0..100_u64).prop_map(move |ahead| Start::At(shape.base + ahead)),
        (0..100_u64).prop_map(move |before| Start::At(shape.base.saturating_sub(before))),
        any::<u64>().prop_map(Start::At),
    ]
}

proptest! {
    // Found cases become tests of their own, not files beside the sources.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn every_version_is_read_or_counted_once(
        (shape, starts) in shape().prop_flat_map(|shape| (
            Just(shape),
            prop::collection::vec(start(shape), 4),
        )),
        steps in prop::collection::vec((any::<u16>(), 0..7_usize), 1..100),
    ) {
        let owner = segment(&shape);
        let mut writer = Writer::create(owner.clone(), shape);
        let mut latest = LatestReader::new(owner.clone(), shape);
        let mut starts = starts.into_iter();
        let mut readers: Vec<(u64, u64, CursorReader<Plain>)> = Vec::new();
        let mut bytes = Vec::new();
        for (number, step) in steps {
            match step {
                0..3 => put(&mut writer, number),
                3 => writer = Writer::adopt(owner.clone(), shape).unwrap(),
                4 => {
                    let news = latest.has_news();
                    let read = latest.read(&mut bytes).unwrap();
                    prop_assert_eq!(read.map_or(shape.base, |meta| meta.version), writer.version());
                    prop_assert!(news || read.is_none_or(|meta| meta.version == latest.seen()));
                    if let Some(meta) = read {
                        check(&shape, meta, &bytes);
                        prop_assert_eq!(writer.read(&mut bytes).unwrap(), Some(meta));
                    }
                }
                5 => if let Some(start) = starts.next() {
                    let reader = CursorReader::new(owner.clone(), shape, start).unwrap();
                    let first = reader.next();
                    match start {
                        Start::At(version) => prop_assert_eq!(first, version.clamp(1, LAST_VERSION)),
                        Start::Next => prop_assert_eq!(first, writer.version() + 1),
                        Start::Newest => prop_assert_eq!(first, writer.version().max(shape.base + 1)),
                        Start::Oldest => {
                            prop_assert!(first > shape.base && first <= writer.version() + 1);
                            prop_assert!(writer.version() == shape.base || first <= writer.version());
                        }
                    }
                    readers.push((first, 0, reader));
                },
                _ => for (_, accounted, reader) in &mut readers {
                    let news = reader.has_news();
                    let (read, lost) = drain(reader, &mut bytes);
                    prop_assert_eq!(news, read + lost > 0);
                    *accounted += read + lost;
                    reader.check().unwrap();
                },
            }
        }
        for (first, accounted, reader) in &mut readers {
            let (read, lost) = drain(reader, &mut bytes);
            prop_assert_eq!(*first + *accounted + read + lost, reader.next());
            // Who waits for a version to come stands there.
            prop_assert_eq!(reader.next(), (*first).max(writer.version() + 1));
        }
    }

    #[test]
    fn nothing_that_a_writer_leaves_makes_us_panic_or_loop(
        (shape, latest, words, start) in shape().prop_flat_map(|shape| {
            let near = (0..40_u64).prop_map(move |ahead| shape.base.saturating_sub(10) + ahead);
            let version = prop_oneof![near.clone(), near, any::<u64>(), Just(LAST_VERSION)];
            let mark = prop_oneof![
                Just(0),
                version.clone().prop_map(|version| version.wrapping_mul(2)),
                version.clone().prop_map(|version| version.wrapping_mul(2).wrapping_sub(1)),
                any::<u64>(),
            ];
            let info = prop_oneof![
                (0..300_u32, any::<u16>()).prop_map(|(len, kind)| Info::new(len, kind).0),
                any::<u64>(),
            ];
            (
                Just(shape),
                prop::collection::vec(version, 6),
                prop::collection::vec((0..shape.slots, mark, info, any::<u64>()), 20),
                start(shape),
            )
        }),
        record in (0..3_u64, 0..3_u64),
    ) {
        let owner = segment(&shape);
        let scribble = |(slot, mark, info, sum): (u64, u64, u64, u64)| {
            let at = shape.slot(slot + 1);
            owner.store(at + slots::MARK, mark, Relaxed);
            owner.store(at + slots::INFO, info, Relaxed);
            owner.store(at + slots::CHECKSUM, sum, Relaxed);
        };
        words[..10].iter().copied().for_each(scribble);
        owner.store(owner::WRITE_SEQ, latest[0], Relaxed);
        let mut bytes = Vec::new();
        let mut one = LatestReader::new(owner.clone(), shape);
        let mut every = CursorReader::new(owner.clone(), shape, start).ok();
        // The liar goes on while they read.
        for (words, &latest) in words[10..].chunks(2).zip(&latest[1..]) {
            for _ in 0..4 {
                let before = one.seen();
                if let Ok(Some(meta)) = one.read(&mut bytes) {
                    prop_assert!(meta.version >= before && bytes.len() <= shape.value as usize);
                }
                if let Some(every) = &mut every {
                    let before = every.next();
                    let news = every.has_news();
                    match every.read(&mut bytes) {
                        Ok(Some(Next::Value(meta))) => {
                            prop_assert!(bytes.len() <= shape.value as usize);
                            prop_assert_eq!((meta.version, every.next()), (before, before + 1));
                        }
                        Ok(Some(Next::Overrun(lost))) => prop_assert_eq!(every.next(), before + lost),
                        Ok(None) => prop_assert!(!news),
                        Err(_) => prop_assert_eq!(every.next(), before),
                    }
                    let _ = every.check();
                }
            }
            words.iter().copied().for_each(scribble);
            owner.store(owner::WRITE_SEQ, latest, Relaxed);
        }
        owner.store(guarded::HOLDER, record.0, Relaxed);
        owner.store(guarded::CONDITION, record.1, Relaxed);
        for repairing in [false, true] {
            let me = 1.try_into().unwrap();
            if let Ok(mut held) = Held::lock(owner.clone(), shape, me, repairing) {
                let _ = held.read(&mut bytes);
                held.commit(&[], 0, 0);
                prop_assert!(held.read(&mut bytes).unwrap().is_some());
                held.release();
            }
        }
    }
}

/// Four slots with versions up to `last`, 24 bytes each.
fn written(base: u64, last: u64) -> (Plain, Shape) {
    let shape = Shape {
        slots: 4,
        value: 24,
        base,
        checksums: true,
    };
    let owner = segment(&shape);
    let mut writer = Writer::create(owner.clone(), shape);
    while writer.version() < last {
        let number = writer.version() as u16 % 24;
        put(&mut writer, number);
    }
    (owner, shape)
}

/// What a reader of the latest value, a reader of every value at `next`, and an adopter say to a forged state.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    latest: Result<u64, &'static str>,
    every: Result<&'static str, &'static str>,
    adopter: Result<u64, &'static str>,
}

fn said(owner: &Plain, shape: Shape, next: u64) -> Said {
    let word = |lie: Lie| lie.word;
    let mut bytes = Vec::new();
    let latest = LatestReader::new(owner.clone(), shape).read(&mut bytes);
    let every = CursorReader::new(owner.clone(), shape, Start::At(next))
        .and_then(|mut reader| reader.read(&mut bytes));
    Said {
        latest: match latest {
            Ok(meta) => Ok(meta.map_or(0, |meta| meta.version)),
            Err(Unread::Contended) => Err("contended"),
            Err(Unread::Lie(lie)) => Err(word(lie)),
        },
        every: every.map_err(word).map(|next| match next {
            Some(Next::Value(_)) => "value",
            None => "nothing",
            Some(Next::Overrun(_)) => "overrun",
        }),
        adopter: Writer::adopt(owner.clone(), shape)
            .map(|writer| writer.version())
            .map_err(word),
    }
}

/// Forges one word behind versions 1 to 6, of which 3 to 6 are there.
fn forged(next: u64, at: impl FnOnce(Shape) -> u64, word: u64) -> Said {
    let (owner, shape) = written(0, 6);
    owner.store(at(shape), word, Relaxed);
    said(&owner, shape, next)
}

fn mark(version: u64) -> impl FnOnce(Shape) -> u64 {
    move |shape| shape.slot(version) + slots::MARK
}

fn all(word: &'static str) -> Said {
    Said {
        latest: Err(word),
        every: Err(word),
        adopter: Err(word),
    }
}

#[test]
fn half_done_versions_are_nothing_or_committed() {
    let as_before = |every| Said {
        latest: Ok(6),
        every: Ok(every),
        adopter: Ok(6),
    };
    assert_eq!(forged(6, mark(7), 6), as_before("value"));
    // Version 7 is being written, and gone with it version 3.
    assert_eq!(forged(7, mark(7), 13), as_before("nothing"));
    assert_eq!(forged(3, mark(7), 13), as_before("overrun"));
    // It is complete, and `write_seq` does not say so yet.
    let committed = Said {
        adopter: Ok(7),
        ..as_before("value")
    };
    assert_eq!(forged(7, mark(7), 14), committed);
    assert_eq!(
        forged(3, mark(7), 14),
        Said {
            every: Ok("overrun"),
            ..committed
        }
    );
}

#[test]
fn marks_that_no_writer_leaves_are_lies() {
    let mark_of_slot = "mark of a slot";
    let elsewhere = |every| Said {
        latest: Ok(6),
        every,
        adopter: Ok(6),
    };
    // A version of another slot; one that is further ahead than the writer can be.
    for word in [8 * 2, 8 * 2 - 1, 11 * 2 - 1, 11 * 2, u64::MAX, u64::MAX - 1] {
        assert_eq!(
            forged(3, mark(3), word),
            elsewhere(Err(mark_of_slot)),
            "{word}"
        );
    }
    assert_eq!(forged(7, mark(7), 2 * 2), elsewhere(Err(mark_of_slot)));
    // The latest is not there.
    for word in [0, 2 * 2, 6 * 2 - 1, 6 * 2 + 1, 14 * 2] {
        let said = forged(7, mark(6), word);
        assert_eq!(said.latest, Err(mark_of_slot));
        assert_eq!(said.adopter, Err("mark of the latest value"));
    }
}

#[test]
fn a_write_seq_that_went_back_or_ahead_is_a_lie() {
    let write_seq = |_| owner::WRITE_SEQ;
    // Before the generation, or after the last version there can be.
    let (owner, shape) = written(3, 6);
    for word in [0, 2, LAST_VERSION + 1, u64::MAX] {
        owner.store(owner::WRITE_SEQ, word, Relaxed);
        assert_eq!(said(&owner, shape, 6), all("write_seq"), "{word}");
    }
    for word in [7, 10, LAST_VERSION] {
        let said = forged(6, write_seq, word);
        assert_eq!(said.latest, Err("mark of a slot"), "{word}");
        assert_eq!(said.every, Err("mark of a slot"), "{word}");
        assert_eq!(said.adopter, Err("mark of the latest value"), "{word}");
    }
    // Back within the generation: who has read later ones notices.
    let (owner, shape) = written(0, 6);
    let mut bytes = Vec::new();
    let mut latest = LatestReader::new(owner.clone(), shape);
    latest.read(&mut bytes).unwrap();
    let mut every = CursorReader::new(owner.clone(), shape, Start::Oldest).unwrap();
    drain(&mut every, &mut bytes);
    owner.store(owner::WRITE_SEQ, 4, Relaxed);
    assert!(matches!(latest.read(&mut bytes), Err(Unread::Lie(lie)) if lie.word == "write_seq"));
    assert_eq!(every.read(&mut bytes), Ok(None));
    assert!(matches!(every.check(), Err(lie) if lie.word == "write_seq"));
}

#[test]
fn lengths_and_checksums_that_do_not_fit_are_lies() {
    let info = |shape: Shape| shape.slot(6) + slots::INFO;
    for len in [25, 32, u32::MAX] {
        let said = forged(6, info, Info::new(len, 0).0);
        assert_eq!(said.latest, Err("length of a value"));
        assert_eq!(said.every, Err("length of a value"));
        // What is not looked at does not harm a successor.
        assert_eq!(said.adopter, Ok(6));
    }
    for at in [slots::CHECKSUM, slots::HEADER] {
        let said = forged(6, |shape| shape.slot(6) + at, 0x0102_0304_0506_0708);
        assert_eq!(said.latest, Err("checksum of a value"));
        assert_eq!(said.every, Err("checksum of a value"));
    }
}

#[test]
fn a_reader_that_never_catches_up_says_so() {
    let shape = Shape {
        slots: 2,
        value: 8,
        base: 0,
        checksums: false,
    };
    let owner = segment(&shape);
    let mut writer = Writer::create(owner.clone(), shape);
    put(&mut writer, 0);
    // As if the writer stood in version 3 whenever we look, and in 1 whenever it says how far it is.
    owner.store(shape.slot(3) + slots::MARK, 5, Relaxed);
    let mut bytes = Vec::new();
    let read = LatestReader::new(owner.clone(), shape).read(&mut bytes);
    assert_eq!(read, Err(Unread::Contended));
}

#[test]
fn an_overrun_says_exactly_how_many() {
    let (owner, shape) = written(100, 111);
    let mut bytes = Vec::new();
    // Of the four that are there, 108 to 111, one is left to the writer.
    for (at, lost, read) in [
        (0, 108, 3),
        (1, 108, 3),
        (100, 9, 3),
        (101, 8, 3),
        (107, 2, 3),
        (108, 0, 4),
        (111, 0, 1),
        (112, 0, 0),
        (1000, 0, 0),
        (u64::MAX, 0, 0),
    ] {
        let mut reader = CursorReader::new(owner.clone(), shape, Start::At(at)).unwrap();
        assert_eq!(reader.has_news(), lost + read > 0);
        assert_eq!(drain(&mut reader, &mut bytes), (read, lost), "at {at}");
    }
    // An empty generation behind another one.
    let (owner, shape) = written(100, 100);
    for (at, lost) in [(1, 100), (100, 1), (101, 0)] {
        let mut reader = CursorReader::new(owner.clone(), shape, Start::At(at)).unwrap();
        assert_eq!(drain(&mut reader, &mut bytes), (0, lost), "at {at}");
        assert_eq!(reader.next(), 101);
    }
    assert_eq!(LatestReader::new(owner, shape).read(&mut bytes), Ok(None));
}
