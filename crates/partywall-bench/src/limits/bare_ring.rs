//! Four frames and bare counters: one of how many are published, and one a reader of how many it is done with.
#![allow(unsafe_code)]

use super::HUGE;
use crate::Outcome;
use crate::contest::Seat;
use crate::mapped::{LINE, Mapped};
use crate::os;
use crate::transport::{How, Receiving, Sending, Transport};
use std::sync::atomic::{Ordering::Acquire, Ordering::Release};

const FRAMES: u64 = 4;

/// The counters take the first page, and the largest of huge pages keeps frames aligned.
const FIRST: usize = 2 << 20;

#[derive(Debug)]
pub(super) struct BareRing;

#[derive(Debug)]
pub(super) struct End {
    memory: Mapped,
    stride: usize,
    size: usize,
    readers: usize,
    /// 0: the writer.
    index: usize,
    next: u64,
}

impl End {
    fn open(seat: &Seat, name: &str, index: usize) -> Outcome<End> {
        let stride = seat.size.next_multiple_of(4096);
        let memory = Mapped::open(&seat.file(name), FIRST + FRAMES as usize * stride)?;
        if seat.who == HUGE {
            os::ask_for_huge_pages(&memory)?;
        }
        Ok(End {
            memory,
            stride,
            size: seat.size,
            readers: seat.followers,
            index,
            next: 0,
        })
    }

    fn at(&self) -> usize {
        FIRST + (self.next % FRAMES) as usize * self.stride
    }

    fn wait(&self, line: usize, at_least: u64) {
        while self.memory.word(LINE * line).load(Acquire) < at_least {
            std::hint::spin_loop();
        }
    }
}

impl Sending for End {
    fn send(&mut self, payload: &[u8]) -> Outcome<()> {
        self.send_filled(payload.len(), &mut Vec::new(), |frame| {
            frame.copy_from_slice(payload)
        })
    }

    fn send_filled(
        &mut self,
        len: usize,
        _: &mut Vec<u8>,
        fill: impl FnOnce(&mut [u8]),
    ) -> Outcome<()> {
        for reader in 1..=self.readers {
            self.wait(reader, (self.next + 1).saturating_sub(FRAMES));
        }
        // SAFETY: every reader is done with what lay here, and sees the counter only afterwards.
        fill(unsafe { self.memory.bytes_mut(self.at(), len.min(self.size)) });
        self.next += 1;
        self.memory.word(0).store(self.next, Release);
        Ok(())
    }
}

impl Receiving for End {
    fn receive(&mut self, look: impl FnOnce(&[u8]) -> Outcome<()>) -> Outcome<()> {
        self.wait(0, self.next + 1);
        // SAFETY: the writer comes back here only when this reader's counter says that it is done.
        let looked = look(unsafe { self.memory.bytes(self.at(), self.size) });
        self.next += 1;
        self.memory
            .word(LINE * self.index)
            .store(self.next, Release);
        looked
    }
}

impl Transport for BareRing {
    type Sender = End;
    type Receiver = End;

    fn sender(seat: &Seat, name: &str, _: How) -> Outcome<End> {
        End::open(seat, name, 0)
    }

    fn receiver(seat: &Seat, name: &str, _: How) -> Outcome<End> {
        End::open(seat, name, seat.index)
    }
}
