//! Four slots with a sequence each, and which one is the latest.

use crate::Outcome;
use crate::contest::Seat;
use crate::latest::{Getting, Latest, Putting};
use crate::mapped::{LINE, Mapped};
use std::sync::atomic::{Ordering::Acquire, Ordering::Relaxed, Ordering::Release, fence};

const SLOTS: u64 = 4;

#[derive(Debug)]
pub(super) struct Seqlock;

#[derive(Debug)]
pub(super) struct End {
    memory: Mapped,
    stride: usize,
    version: u64,
    buffer: Vec<u8>,
}

impl End {
    fn open(seat: &Seat) -> Outcome<End> {
        let stride = (64 + seat.size).next_multiple_of(LINE);
        let memory = Mapped::open(&seat.file("seqlock"), LINE + SLOTS as usize * stride)?;
        Ok(End {
            memory,
            stride,
            version: 0,
            buffer: vec![0; seat.size],
        })
    }

    fn slot(&self, version: u64) -> usize {
        LINE + (version % SLOTS) as usize * self.stride
    }
}

impl Putting for End {
    #[inline(always)]
    fn put(&mut self, value: &[u8]) -> Outcome<()> {
        self.version += 1;
        let slot = self.slot(self.version);
        let sequence = self.memory.word(slot);
        sequence.store(2 * self.version - 1, Relaxed);
        fence(Release);
        self.memory.race_in(slot + 64, value);
        sequence.store(2 * self.version, Release);
        self.memory.word(0).store(self.version, Release);
        Ok(())
    }
}

impl Getting for End {
    #[inline(always)]
    fn get(&mut self, look: impl FnOnce(&[u8]) -> Outcome<()>) -> Outcome<()> {
        loop {
            let version = self.memory.word(0).load(Acquire);
            let slot = self.slot(version);
            if version == 0 || self.memory.word(slot).load(Acquire) != 2 * version {
                continue;
            }
            self.memory.race_out(slot + 64, &mut self.buffer);
            fence(Acquire);
            if self.memory.word(slot).load(Relaxed) == 2 * version {
                return look(&self.buffer);
            }
        }
    }
}

impl Latest for Seqlock {
    type Writer = End;
    type Reader = End;

    fn writer(seat: &Seat) -> Outcome<End> {
        End::open(seat)
    }

    fn reader(seat: &Seat) -> Outcome<End> {
        End::open(seat)
    }
}
