//! What a worker did, in a file that survives it.
//!
//! Each entry is written by one system call, once what it says has come about, and lies within one page: a process
//! that is killed leaves whole entries. So an entry's time is not before what it tells; and whatever an operation looked at,
//! it looked at after the time of the entry before.
//!
//! Not before for everybody, that is. A processor keeps stores back for a moment, under which its own clock goes on: without
//! a fence before the clock is read, a record could be acknowledged at a time at which others do not see it yet. (They did
//! not, some hundred nanoseconds later, once in some hundred million reads.) The kernel's clock is the same on all
//! processors.
//!
//! ```text
//!  0  u16  what      see `What`
//!  2  u16  flag      what makes it special, see `What`
//!  4  u32  count     see `What`
//!  8  u64  source    who made the record
//! 16  u64  sequence
//! 24  u64  at_ns     CLOCK_MONOTONIC
//! ```

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{Ordering, fence};

use crate::demo::event::now_ns;

pub(super) const ENTRY: usize = 32;

/// A journal of this many entries is long enough: its worker goes slowly from then on.
const LONG: u64 = 100_000;

/// What an entry tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum What {
    /// A writer has the channel: `flag` bit 0 if it adopted it, bit 1 if records are of the other schema, `count` the generation, `sequence` of the latest record.
    Opened = 1,
    /// A record is committed, `count` of them up to `sequence`.
    Acked,
    /// One was refused by policy, and the channel counts it.
    Dropped,
    /// A writer is about to close, with `sequence` the last; `flag` 1 if everything was received before.
    Closing,
    /// A writer is about to give the channel up.
    Abandoning,
    /// The writer that waits for room got none in time.
    NoRoom,
    /// A reader is there: `flag` 1 if it resumed, `count` the generation or the seat, `sequence` the next that it will get, 0 if it cannot say.
    Attached,
    /// A record of `source`; `count` the seat that it came from, where that matters.
    Got,
    /// There is no value yet.
    Empty,
    /// The channel says that so many (`sequence`) were lost to this reader.
    Overrun,
    /// Nothing came in time.
    Nothing,
    /// The writer is said to be dead, and everything read.
    OwnerDied,
    /// Everything up to `sequence` is processed.
    Acknowledged,
    /// The reader is about to leave.
    Leaving,
    /// It has left.
    Left,
    /// The handle came to its end: `flag` says how, see `Ending`.
    Ended,
    /// A record with wrong bytes, or `flag` 1: with another sequence than the channel says; `flag` 2: that changed while held.
    Torn,
    /// Of an mpsc sender: `count` the seat, `sequence` the epoch.
    SenderCame,
    SenderClosed,
    SenderDied,
    /// A lock is wanted.
    Locking,
    /// It is held: `flag` 1 if the owner died, `source` the record's birth, `sequence` of its value.
    Locked,
    /// It is about to be given back; `flag` 1 if the record is given up.
    Unlocking,
    Unlocked,
    /// Somebody gave the record up.
    NotRecoverable,
    /// A writer is about to grow.
    Growing,
    /// It has: `count` the generation.
    Grown,
    /// A writer is about to go on with records of another schema.
    Rescheming,
    /// It does: `count` the generation.
    Reschemed,
    /// What the channel itself counts: `flag` says what, see `Tally`; `count` the seat, `source` the generation, where
    /// that matters.
    Counted,
}

/// What a channel counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Tally {
    /// Records that were refused by policy.
    Dropped = 1,
    /// Records that were received through a lane.
    Received,
    /// Records of a seat that nobody received, in this generation.
    Losses,
    /// The same in all generations before, none of which is there any more.
    Former,
}

/// How a handle came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Ending {
    Closed = 1,
    Deleted,
    Superseded,
    Evicted,
    /// The records are others now.
    Schema,
}

impl Ending {
    const ALL: [Ending; 5] = [
        Ending::Closed,
        Ending::Deleted,
        Ending::Superseded,
        Ending::Evicted,
        Ending::Schema,
    ];

    pub(super) fn of(flag: u16) -> Option<Ending> {
        Ending::ALL
            .into_iter()
            .find(|&ending| ending as u16 == flag)
    }
}

impl What {
    const ALL: [What; 30] = [
        What::Opened,
        What::Acked,
        What::Dropped,
        What::Closing,
        What::Abandoning,
        What::NoRoom,
        What::Attached,
        What::Got,
        What::Empty,
        What::Overrun,
        What::Nothing,
        What::OwnerDied,
        What::Acknowledged,
        What::Leaving,
        What::Left,
        What::Ended,
        What::Torn,
        What::SenderCame,
        What::SenderClosed,
        What::SenderDied,
        What::Locking,
        What::Locked,
        What::Unlocking,
        What::Unlocked,
        What::NotRecoverable,
        What::Growing,
        What::Grown,
        What::Rescheming,
        What::Reschemed,
        What::Counted,
    ];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) what: What,
    pub(super) flag: u16,
    pub(super) count: u32,
    pub(super) source: u64,
    pub(super) sequence: u64,
    pub(super) at_ns: u64,
}

impl Entry {
    /// An entry of now.
    pub(super) fn new(what: What) -> Entry {
        Entry {
            what,
            flag: 0,
            count: 0,
            source: 0,
            sequence: 0,
            at_ns: 0,
        }
    }

    pub(super) fn flag(self, flag: u16) -> Entry {
        Entry { flag, ..self }
    }

    /// Of what the channel counts, at this seat.
    pub(super) fn counted(tally: Tally, seat: u32, generation: u64, number: u64) -> Entry {
        Entry::new(What::Counted)
            .flag(tally as u16)
            .count(seat)
            .of(generation, number)
    }

    pub(super) fn count(self, count: u32) -> Entry {
        Entry { count, ..self }
    }

    pub(super) fn of(self, source: u64, sequence: u64) -> Entry {
        Entry {
            source,
            sequence,
            ..self
        }
    }

    fn encode(&self) -> [u8; ENTRY] {
        let mut out = [0; ENTRY];
        out[..2].copy_from_slice(&(self.what as u16).to_le_bytes());
        out[2..4].copy_from_slice(&self.flag.to_le_bytes());
        out[4..8].copy_from_slice(&self.count.to_le_bytes());
        out[8..16].copy_from_slice(&self.source.to_le_bytes());
        out[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        out[24..].copy_from_slice(&self.at_ns.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Option<Entry> {
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let first = word(0);
        let what = *What::ALL.get(usize::from(first as u16).checked_sub(1)?)?;
        Some(Entry {
            what,
            flag: (first >> 16) as u16,
            count: (first >> 32) as u32,
            source: word(8),
            sequence: word(16),
            at_ns: word(24),
        })
    }
}

/// The journal of this process.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    entries: u64,
}

impl Journal {
    pub(super) fn create(path: &Path) -> io::Result<Journal> {
        let file = File::options().append(true).create_new(true).open(path)?;
        Ok(Journal { file, entries: 0 })
    }

    /// Writes down what has just come about.
    pub(super) fn note(&mut self, entry: Entry) -> io::Result<()> {
        fence(Ordering::SeqCst);
        let entry = Entry {
            at_ns: now_ns(),
            ..entry
        };
        self.entries += 1;
        self.file.write_all(&entry.encode())
    }

    pub(super) fn is_long(&self) -> bool {
        self.entries >= LONG
    }
}

/// What a worker wrote down; nothing if it was killed before it could.
pub(super) fn read(path: &Path) -> Result<Vec<Entry>, String> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("cannot read a journal: {error}")),
    };
    let whole = bytes.chunks_exact(ENTRY);
    if !whole.remainder().is_empty() {
        return Err("a journal ends in the middle of an entry".into());
    }
    whole
        .map(|entry| Entry::decode(entry).ok_or_else(|| "a journal is not one".to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        for (number, &what) in What::ALL.iter().enumerate() {
            assert_eq!(what as usize, number + 1);
            let entry = Entry {
                at_ns: 5,
                ..Entry::new(what).flag(2).count(3).of(u64::MAX, 4)
            };
            assert_eq!(Entry::decode(&entry.encode()), Some(entry));
        }
        assert_eq!(Entry::decode(&[0; ENTRY]), None);
    }
}
