//! Two lines that cross together: a payload, and the word that announces it. What a record of 64 bytes costs at least
//! that is written and read in full, where its header has a line of its own.

use crate::Outcome;
use crate::contest::Seat;
use crate::mapped::{LINE, Mapped};
use crate::transport::{How, Receiving, Sending, Transport};
use std::sync::atomic::{Ordering::Acquire, Ordering::Release};

#[derive(Debug)]
pub(super) struct TwoLines;

/// One place for one record: its payload, then the word, at the end of the line before.
#[derive(Debug)]
pub(super) struct Place {
    memory: Mapped,
    round: u64,
    buffer: Vec<u8>,
}

const WORD: usize = LINE - 8;

impl Place {
    fn open(seat: &Seat, name: &str) -> Outcome<Place> {
        let memory = Mapped::open(&seat.file(name), LINE + seat.size)?;
        Ok(Place {
            memory,
            round: 0,
            buffer: vec![0; seat.size],
        })
    }
}

impl Sending for Place {
    #[inline(always)]
    fn send(&mut self, payload: &[u8]) -> Outcome<()> {
        self.round += 1;
        self.memory.race_in(LINE, payload);
        self.memory.word(WORD).store(self.round, Release);
        Ok(())
    }
}

impl Receiving for Place {
    #[inline(always)]
    fn receive(&mut self, look: impl FnOnce(&[u8]) -> Outcome<()>) -> Outcome<()> {
        self.round += 1;
        let word = self.memory.word(WORD);
        // Asks for the payload's line too while it waits, so that both come together.
        let first = self.memory.word(LINE);
        while word.load(Acquire) != self.round {
            std::hint::black_box(first.load(Acquire));
            std::hint::spin_loop();
        }
        self.memory.race_out(LINE, &mut self.buffer);
        look(&self.buffer)
    }
}

impl Transport for TwoLines {
    type Sender = Place;
    type Receiver = Place;

    fn sender(seat: &Seat, name: &str, _: How) -> Outcome<Place> {
        Place::open(seat, name)
    }

    fn receiver(seat: &Seat, name: &str, _: How) -> Outcome<Place> {
        Place::open(seat, name)
    }
}
