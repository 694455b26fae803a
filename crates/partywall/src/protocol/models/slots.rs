//! Values in slots: readers of the latest and of every one, while the writer goes round, dies, and has a successor.

use std::rc::Rc;

use super::memory::{Handle, Memory};
use super::{explore, kill_everywhere};
use crate::layout::slots;
use crate::layout::{guarded, owner};
use crate::protocol::slots::{
    CursorReader, LatestReader, Meta, Next, Shape, SlotWriter, Start, Tried,
};

type Writer = SlotWriter<Handle>;

/// The owner side of a generation of slots. A value has one word, and its kind stands apart from that: enough to tear.
#[derive(Clone)]
pub(super) struct Slots {
    memory: Rc<Memory>,
    pub(super) shape: Shape,
}

impl Slots {
    pub(super) fn new(slots: u64, base: u64) -> Self {
        let shape = Shape {
            slots,
            value: 8,
            base,
            checksums: false,
        };
        let of_slot = [slots::MARK, slots::INFO, slots::HEADER];
        let words = (1..=slots)
            .map(|version| shape.slot(version))
            .flat_map(|at| of_slot.map(|word| at + word))
            .chain([owner::WRITE_SEQ, guarded::HOLDER, guarded::CONDITION]);
        Slots {
            memory: Memory::racing(words),
            shape,
        }
    }

    pub(super) fn process(&self, stores: Option<u64>) -> Handle {
        Handle::open(&self.memory, stores)
    }

    fn create(&self) -> Writer {
        Writer::create(self.process(None), self.shape)
    }

    fn adopt(&self, process: Handle) -> Writer {
        Writer::adopt(process, self.shape).expect("an honest predecessor")
    }

    pub(super) fn latest(&self) -> Latest {
        Latest {
            reader: LatestReader::new(self.process(None), self.shape),
            read: Vec::new(),
        }
    }

    fn cursor(&self, start: Start) -> Every {
        let reader = CursorReader::new(self.process(None), self.shape, start);
        let reader = reader.expect("an honest writer");
        Every {
            accounted: reader.next(),
            reader,
            read: Vec::new(),
            lost: 0,
        }
    }
}

/// The value of this version by this author.
pub(super) fn value(version: u64, author: u64) -> [u8; 8] {
    (author << 32 | version).to_le_bytes()
}

/// Who wrote the value; it must be whole, and of the version that it is said to be.
pub(super) fn author(meta: Meta, bytes: &[u8]) -> u64 {
    assert_eq!(u64::from(meta.kind), meta.version, "foreign kind");
    let word = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    let author = word >> 32;
    assert_eq!(bytes, value(meta.version, author), "torn or foreign value");
    author
}

fn put(writer: &mut Writer, author: u64) {
    let version = writer.version() + 1;
    writer.put(&value(version, author), version as u16, 0);
}

/// A reader of the latest value: what it read, as version and author.
pub(super) struct Latest {
    reader: LatestReader<Handle>,
    pub(super) read: Vec<(u64, u64)>,
}

impl Latest {
    pub(super) fn read(&mut self, looks: u32) {
        let mut bytes = Vec::new();
        for _ in 0..looks {
            match self.reader.try_read(&mut bytes).expect("an honest writer") {
                Tried::Value(meta) => {
                    let before = self.read.last().map_or(0, |read| read.0);
                    assert!(meta.version >= before, "back in time");
                    assert_eq!(self.reader.seen(), meta.version);
                    self.read.push((meta.version, author(meta, &bytes)));
                }
                Tried::Nothing => assert!(self.read.is_empty(), "back in time"),
                Tried::Lapped => {}
            }
        }
    }
}

/// A reader of every value.
struct Every {
    reader: CursorReader<Handle>,
    read: Vec<(u64, u64)>,
    lost: u64,
    /// The version up to which everything was read or counted.
    accounted: u64,
}

impl Every {
    /// Whether there was something.
    fn step(&mut self) -> bool {
        let mut bytes = Vec::new();
        let Some(found) = self.reader.read(&mut bytes).expect("an honest writer") else {
            return false;
        };
        match found {
            Next::Value(meta) => {
                assert_eq!(meta.version, self.accounted);
                self.accounted += 1;
                self.read.push((meta.version, author(meta, &bytes)));
            }
            Next::Overrun(lost) => {
                assert!(lost > 0);
                self.accounted += lost;
                self.lost += lost;
            }
        }
        assert_eq!(self.reader.next(), self.accounted);
        true
    }

    fn read(&mut self, looks: u32) {
        for _ in 0..looks {
            self.step();
            self.reader.check().expect("an honest writer");
        }
    }

    /// Reads on to the end, after everybody else has come to theirs: all up to `last` was read or counted.
    fn drain(&mut self, last: u64) {
        while self.step() {}
        assert_eq!(self.accounted, last + 1);
    }
}

/// Somebody reads while the writer, who has written `before` values, writes `more`.
fn reading<R: 'static>(
    world: &Slots,
    before: u64,
    more: u64,
    reader: impl FnOnce(&Slots) -> R,
    read: impl FnOnce(&mut R),
) -> R {
    let mut writer = world.create();
    (0..before).for_each(|_| put(&mut writer, 0));
    let mut reader = reader(world);
    let writing = loom::thread::spawn(move || {
        (0..more).for_each(|_| put(&mut writer, 0));
    });
    read(&mut reader);
    writing.join().unwrap();
    reader
}

#[test]
fn the_latest_value_is_whole_and_never_older_than_one_before() {
    for (before, more) in [(0, 2), (1, 3)] {
        explore(2, move || {
            let world = Slots::new(2, 0);
            let mut reader = reading(&world, before, more, Slots::latest, |reader| reader.read(2));
            reader.read(1);
            assert_eq!(reader.read.last(), Some(&(before + more, 0)));
        });
    }
}

#[test]
fn every_value_is_read_or_counted() {
    for (base, before, more) in [(0, 0, 3), (3, 1, 3)] {
        explore(2, move || {
            let world = Slots::new(2, base);
            let start = |world: &Slots| world.cursor(Start::Oldest);
            let mut reader = reading(&world, before, more, start, |reader| reader.read(2));
            reader.drain(base + before + more);
            assert_eq!(reader.lost + reader.read.len() as u64, before + more);
        });
    }
}

#[test]
fn readers_begin_where_they_are_told_while_the_writer_goes_on() {
    for start in [
        Start::Oldest,
        Start::Newest,
        Start::Next,
        Start::At(1),
        Start::At(5),
    ] {
        explore(2, move || {
            let world = Slots::new(2, 0);
            let mut reader = None;
            reading(
                &world,
                2,
                2,
                |_| (),
                |()| {
                    let mut every = world.cursor(start);
                    every.read(1);
                    reader = Some(every);
                },
            );
            let mut reader = reader.unwrap();
            reader.drain(4);
        });
    }
}

/// A victim adds two values to `before` and is killed somewhere; its successor, in another thread, writes one, while somebody reads.
fn succession<R: 'static>(
    before: u64,
    reader: impl Fn(&Slots) -> R + Send + Sync + 'static,
    read: impl Fn(&mut R) + Send + Sync + Copy + 'static,
    end: impl Fn(R, u64) -> Vec<(u64, u64)> + Send + Sync + 'static,
) {
    kill_everywhere(2, move |stores| {
        let world = Slots::new(2, 0);
        let mut founder = world.create();
        (0..before).for_each(|_| put(&mut founder, 0));
        let mut reader = reader(&world);
        let victim = world.process(Some(stores));
        let (other, process) = (world.clone(), victim.clone());
        let dying = loom::thread::spawn(move || {
            let mut writer = other.adopt(process);
            (0..2).for_each(|_| put(&mut writer, 0));
        });
        // Behind the victim: the checker notices that a load meets an earlier store, but not that a store meets an
        // earlier load if its own thread has loaded the word since, as an adopter does.
        let reading = loom::thread::spawn(move || {
            read(&mut reader);
            reader
        });
        dying.join().unwrap();
        let mut successor = world.adopt(world.process(None));
        let first = successor.version() + 1;
        assert!((before + 1..=before + 3).contains(&first));
        put(&mut successor, 1);
        let reader = reading.join().unwrap();
        for (version, author) in end(reader, successor.version()) {
            // What was complete is its author's for ever.
            assert_eq!(author, u64::from(version >= first), "version {version}");
        }
        victim.dead()
    });
}

#[test]
fn a_killed_writer_leaves_the_last_value_readable() {
    succession(
        1,
        Slots::latest,
        |reader| reader.read(2),
        |mut reader, last| {
            reader.read(1);
            assert_eq!(reader.read.last().unwrap().0, last);
            reader.read
        },
    );
}

#[test]
fn a_killed_writer_and_its_successor_leave_no_version_out() {
    succession(
        0,
        |world| world.cursor(Start::Oldest),
        |reader| reader.read(2),
        |mut reader, last| {
            reader.drain(last);
            reader.read
        },
    );
}

/// The first may have committed and not said so; the second counts that, commits, and does not say so either.
#[test]
fn two_killed_writers_leave_no_version_out() {
    for first in 0..20 {
        kill_everywhere(0, move |second| {
            let world = Slots::new(4, 0);
            let mut founder = world.create();
            put(&mut founder, 0);
            let mut reader = world.cursor(Start::Oldest);
            let mut killed = false;
            for (number, stores) in [first, second].into_iter().enumerate() {
                let victim = world.process(Some(stores));
                let mut writer = world.adopt(victim.clone());
                put(&mut writer, number as u64);
                while reader.step() {}
                killed = victim.dead();
            }
            let mut last = world.adopt(world.process(None));
            put(&mut last, 2);
            reader.drain(last.version());
            assert_eq!(reader.lost, 0);
            let (newest, by) = *reader.read.last().unwrap();
            assert_eq!((newest, by), (last.version(), 2));
            killed
        });
    }
}
