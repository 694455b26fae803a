//! Values in slots: readers of the latest and of every one, while the writer goes round, dies, and has a successor.

use std::rc::Rc;

use super::memory::{Handle, Memory};
use super::{explore, kill_everywhere};
use crate::layout::slots;
use crate::layout::{guarded, owner};
use crate::protocol::slots::{
    CursorReader, LatestReader, Meta, Next, Shape, SlotWriter, Start, Tried,
};

pub(super) type Writer = SlotWriter<Handle>;

/// The owner side of a generation of slots with two words of data each.
#[derive(Clone)]
pub(super) struct Slots {
    memory: Rc<Memory>,
    pub(super) shape: Shape,
}

impl Slots {
    pub(super) fn new(slots: u64, base: u64) -> Self {
        let shape = Shape {
            slots,
            value: 16,
            base,
            checksums: false,
        };
        let of_slot = [slots::MARK, slots::INFO, slots::HEADER, slots::HEADER + 8];
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

    fn latest(&self) -> Latest {
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

/// The value of this version by this author: both words say it, and the kind does.
pub(super) fn value(version: u64, author: u64) -> Vec<u8> {
    (author << 32 | version).to_le_bytes().repeat(2)
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
struct Latest {
    reader: LatestReader<Handle>,
    read: Vec<(u64, u64)>,
}

impl Latest {
    fn read(&mut self, looks: u32) {
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
        match self.reader.read(&mut bytes).expect("an honest writer") {
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
            Next::Nothing => return false,
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

#[test]
fn the_latest_value_is_whole_and_never_older_than_one_before() {
    for slots in [2, 4] {
        explore(3, move || {
            let world = Slots::new(slots, 0);
            let mut writer = world.create();
            let mut reader = world.latest();
            let writing = loom::thread::spawn(move || {
                (0..3).for_each(|_| put(&mut writer, 0));
            });
            reader.read(3);
            writing.join().unwrap();
            reader.read(1);
            assert_eq!(reader.read.last(), Some(&(3, 0)));
        });
    }
}

#[test]
fn every_value_is_read_or_counted() {
    for base in [0, 4] {
        explore(3, move || {
            let world = Slots::new(2, base);
            let mut writer = world.create();
            let mut reader = world.cursor(Start::Oldest);
            let writing = loom::thread::spawn(move || {
                (0..4).for_each(|_| put(&mut writer, 0));
            });
            reader.read(3);
            writing.join().unwrap();
            reader.drain(base + 4);
        });
    }
}

/// A writer that goes round and round in front of a reader that never catches up.
#[test]
fn a_lapped_reader_goes_on_where_the_writer_is() {
    explore(3, || {
        let world = Slots::new(2, 0);
        let mut writer = world.create();
        put(&mut writer, 0);
        let mut reader = world.cursor(Start::Newest);
        let writing = loom::thread::spawn(move || {
            (0..4).for_each(|_| put(&mut writer, 0));
        });
        reader.read(2);
        writing.join().unwrap();
        reader.drain(5);
        assert_eq!(reader.lost + reader.read.len() as u64, 5);
    });
}

#[test]
fn readers_begin_where_they_are_told_while_the_writer_goes_on() {
    for start in [
        Start::Oldest,
        Start::Newest,
        Start::Next,
        Start::At(1),
        Start::At(4),
    ] {
        explore(2, move || {
            let world = Slots::new(2, 0);
            let mut writer = world.create();
            (0..2).for_each(|_| put(&mut writer, 0));
            let writing = loom::thread::spawn(move || {
                (0..3).for_each(|_| put(&mut writer, 0));
            });
            let mut reader = world.cursor(start);
            reader.read(1);
            writing.join().unwrap();
            reader.drain(5);
        });
    }
}

/// A victim writes `before` values and is killed somewhere in two more; its successor, in another thread, writes
/// `then`, while somebody reads.
fn succession<R: 'static>(
    slots: u64,
    before: u64,
    then: u64,
    reader: impl Fn(&Slots) -> R + Send + Sync + 'static,
    read: impl Fn(&mut R) + Send + Sync + Copy + 'static,
    end: impl Fn(R, u64) -> Vec<(u64, u64)> + Send + Sync + 'static,
) {
    kill_everywhere(2, move |stores| {
        let world = Slots::new(slots, 0);
        let mut founder = world.create();
        (0..before).for_each(|_| put(&mut founder, 0));
        let mut reader = reader(&world);
        let reading = loom::thread::spawn(move || {
            read(&mut reader);
            reader
        });
        let victim = world.process(Some(stores));
        let (other, process) = (world.clone(), victim.clone());
        let dying = loom::thread::spawn(move || {
            let mut writer = other.adopt(process);
            (0..2).for_each(|_| put(&mut writer, 0));
        });
        dying.join().unwrap();
        let mut successor = world.adopt(world.process(None));
        let first = successor.version() + 1;
        assert!((before + 1..=before + 3).contains(&first));
        (0..then).for_each(|_| put(&mut successor, 1));
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
        2,
        1,
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
        2,
        0,
        2,
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
