//! Two atomics on lines of their own, in memory that two processes share, and nothing else. No crossing between two
//! cores can be shorter.
//!
//! Or each of them in a file of its own, which the process that reads it may not write: that is what every reader of
//! Partywall has to live with, and some processors take longer for a line of such a page.

use crate::Outcome;
use crate::contest::{Meeting, Party, Seat};
use crate::mapped::{LINE, Mapped};
use hdrhistogram::Histogram;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Release};
use std::time::Instant;

/// A word, and where it lies.
#[derive(Debug)]
struct Word(Arc<Mapped>, usize);

impl Word {
    fn word(&self) -> &AtomicU64 {
        self.0.word(self.1)
    }
}

#[derive(Debug)]
pub(super) struct Ping {
    /// What this process writes.
    mine: Word,
    /// What it reads.
    theirs: Word,
    leads: bool,
    /// Where both stand.
    round: u64,
}

impl Ping {
    pub(super) fn open(seat: &Seat) -> Outcome<Ping> {
        let words = Arc::new(Mapped::open(&seat.file("ping"), 2 * LINE)?);
        let (mine, theirs) = if seat.leads() { (0, LINE) } else { (LINE, 0) };
        Ok(Ping {
            mine: Word(Arc::clone(&words), mine),
            theirs: Word(words, theirs),
            leads: seat.leads(),
            round: 0,
        })
    }

    /// With a page for each, which the other may only read.
    pub(super) fn open_read_only(seat: &Seat) -> Outcome<Ping> {
        let (mine, theirs) = match seat.leads() {
            true => ("ping", "pong"),
            false => ("pong", "ping"),
        };
        Ok(Ping {
            mine: Word(Arc::new(Mapped::open(&seat.file(mine), LINE)?), 0),
            theirs: Word(
                Arc::new(Mapped::open_read_only(&seat.file(theirs), LINE)?),
                0,
            ),
            leads: seat.leads(),
            round: 0,
        })
    }

    #[inline(never)]
    fn there_and_back(&mut self, times: u64) {
        let (ping, pong) = (self.mine.word(), self.theirs.word());
        for round in self.round + 1..=self.round + times {
            ping.store(round, Release);
            while pong.load(Acquire) != round {
                std::hint::spin_loop();
            }
        }
        self.round += times;
    }

    #[inline(never)]
    fn answer(&mut self, times: u64) {
        let (ping, pong) = (self.theirs.word(), self.mine.word());
        for round in self.round + 1..=self.round + times {
            while ping.load(Acquire) != round {
                std::hint::spin_loop();
            }
            pong.store(round, Release);
        }
        self.round += times;
    }
}

impl Party for Ping {
    fn turn(&mut self, amount: u64, _: &Meeting) -> Outcome<u64> {
        if self.leads {
            self.there_and_back(amount);
        } else {
            self.answer(amount);
        }
        Ok(2 * amount)
    }

    fn sample(&mut self, amount: u64, _: &Meeting, latencies: &mut Histogram<u64>) -> Outcome<u64> {
        if !self.leads {
            self.answer(amount);
            return Ok(2 * amount);
        }
        for _ in 0..amount {
            let started = Instant::now();
            self.there_and_back(1);
            latencies.saturating_record(started.elapsed().as_nanos() as u64 / 2);
        }
        Ok(2 * amount)
    }
}
