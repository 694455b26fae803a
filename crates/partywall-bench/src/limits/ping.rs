//! Two atomics on lines of their own, in memory that two processes share, and nothing else. No crossing between two
//! cores can be shorter.

use crate::Outcome;
use crate::contest::{Meeting, Party, Seat};
use crate::mapped::{LINE, Mapped};
use hdrhistogram::Histogram;
use std::sync::atomic::{Ordering::Acquire, Ordering::Release};
use std::time::Instant;

#[derive(Debug)]
pub(super) struct Ping {
    words: Mapped,
    leads: bool,
    /// Where both stand.
    round: u64,
}

impl Ping {
    pub(super) fn open(seat: &Seat) -> Outcome<Ping> {
        let words = Mapped::open(&seat.file("ping"), 2 * LINE)?;
        Ok(Ping {
            words,
            leads: seat.leads(),
            round: 0,
        })
    }

    #[inline(never)]
    fn there_and_back(&mut self, times: u64) {
        let (ping, pong) = (self.words.word(0), self.words.word(LINE));
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
        let (ping, pong) = (self.words.word(0), self.words.word(LINE));
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
