//! Two processes that put each other to sleep: a store and a wake-up there, a store and a wake-up back.

use crate::Outcome;
use crate::contest::{Meeting, Party, Seat};
use crate::mapped::{LINE, Mapped};
use crate::os;
use crate::transport::let_fall_asleep;
use hdrhistogram::Histogram;
use std::sync::atomic::{AtomicU32, Ordering::Acquire, Ordering::Release};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct FutexPing {
    words: Mapped,
    leads: bool,
    round: u32,
    awake: Option<Duration>,
}

impl FutexPing {
    pub(super) fn open(seat: &Seat) -> Outcome<FutexPing> {
        let words = Mapped::open(&seat.file("futex"), 2 * LINE)?;
        Ok(FutexPing {
            words,
            leads: seat.leads(),
            round: 0,
            awake: None,
        })
    }

    fn timed(&mut self) -> Outcome<Duration> {
        if self.leads {
            let_fall_asleep();
        }
        let started = Instant::now();
        self.exchange()?;
        Ok(started.elapsed())
    }

    fn exchange(&mut self) -> Outcome<()> {
        let (ping, pong) = (self.words.half(0), self.words.half(LINE));
        let before = self.round;
        self.round = before.wrapping_add(1);
        if self.leads {
            say(ping, self.round)?;
            hear(pong, before)
        } else {
            hear(ping, before)?;
            say(pong, self.round)
        }
    }
}

fn say(word: &AtomicU32, round: u32) -> Outcome<()> {
    word.store(round, Release);
    Ok(os::wake(word)?)
}

fn hear(word: &AtomicU32, before: u32) -> Outcome<()> {
    while word.load(Acquire) == before {
        os::sleep(word, before)?;
    }
    Ok(())
}

impl Party for FutexPing {
    fn turn(&mut self, amount: u64, _: &Meeting) -> Outcome<u64> {
        let mut awake = Duration::ZERO;
        for _ in 0..amount {
            awake += self.timed()?;
        }
        self.awake = self.leads.then_some(awake);
        Ok(2 * amount)
    }

    fn own_time(&mut self) -> Option<Duration> {
        self.awake.take()
    }

    fn sample(&mut self, amount: u64, _: &Meeting, latencies: &mut Histogram<u64>) -> Outcome<u64> {
        for _ in 0..amount {
            let taken = self.timed()?;
            latencies.saturating_record(taken.as_nanos() as u64 / 2);
        }
        Ok(2 * amount)
    }
}
