//! What is measured: for each contender a driver's half and a follower's half, which the two
//! processes run against each other, batch by batch.
//!
//! A new contender is a variant of [`Contender`], its row in [`Contender::ALL`] and its two halves.

use super::Work;
use partywall::ring::{Consumer, ConsumerOptions, Producer, ProducerOptions};
use partywall::{Namespace, WaitStrategy};
use std::error::Error;
use std::time::Duration;

pub(super) const SIZE: usize = 64;

/// Records in a batch of the `batch` contender.
pub(super) const TOGETHER: u64 = 32;

/// Round trips in one turn of a latency contender, and of the limit. Turns are short, because on a busy
/// machine a long one is interrupted more often than not.
pub(super) const ROUND_TRIPS: u64 = 4 * PAYLOADS;

/// Records in one turn of a throughput contender.
const RECORDS: u64 = TOGETHER * PAYLOADS;

/// Small enough to stay in a core's second-level cache, large enough for hundreds of records.
const CAPACITY: u64 = 256 * 1024;

/// How long the two processes wait for each other in the beginning.
const PATIENCE: Duration = Duration::from_secs(20);

type Outcome<T> = Result<T, Box<dyn Error>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contender {
    OneWay,
    OneByOne,
    InBatches,
}

impl Contender {
    pub(super) const ALL: [Contender; 3] =
        [Contender::OneWay, Contender::OneByOne, Contender::InBatches];

    pub(super) fn work(self) -> Work {
        match self {
            Contender::OneWay => Work::W1,
            Contender::OneByOne | Contender::InBatches => Work::W2,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Contender::OneWay => "ring",
            Contender::OneByOne => "ring",
            Contender::InBatches => "ring batch",
        }
    }

    /// The name of this contender's channels, and of the command that calls it.
    fn channel(self, back: bool) -> String {
        format!(
            "bench-{}-{}",
            self as u8,
            if back { "back" } else { "there" }
        )
    }
}

/// The driver's half of a contender.
#[derive(Debug)]
pub(super) struct Driver {
    contender: Contender,
    there: Producer,
    /// For latency: the way back.
    back: Option<Consumer>,
    payloads: Payloads,
    buffer: Vec<u8>,
}

impl Driver {
    /// Creates its channel. `meet` must follow once the follower runs.
    pub(super) fn open(contender: Contender, namespace: &Namespace) -> Outcome<Driver> {
        Ok(Driver {
            contender,
            there: producer(namespace, &contender.channel(false))?,
            back: None,
            payloads: Payloads::new(),
            buffer: Vec::with_capacity(SIZE),
        })
    }

    /// Attaches to what the follower creates, and waits for its consumer.
    pub(super) fn meet(&mut self, namespace: &Namespace) -> Outcome<()> {
        if self.contender == Contender::OneWay {
            self.back = Some(consumer(namespace, &self.contender.channel(true))?);
        }
        self.there.wait_for_consumer(Some(PATIENCE))?;
        Ok(())
    }

    /// One turn. Returns by what the time of the turn is to be divided: crossings, or records. For
    /// throughput the turn ends when the follower has them all, which the caller waits for.
    pub(super) fn turn(&mut self) -> Outcome<u64> {
        let there = &mut self.there;
        match (self.contender, &mut self.back) {
            (Contender::OneWay, Some(back)) => {
                send_and_await(there, back, &self.payloads, &mut self.buffer)?;
                Ok(2 * ROUND_TRIPS)
            }
            (Contender::OneWay, None) => Err("the contenders have not met".into()),
            (Contender::OneByOne, _) => {
                send_one_by_one(there, &self.payloads)?;
                Ok(RECORDS)
            }
            (Contender::InBatches, _) => {
                send_in_batches(there, &self.payloads)?;
                Ok(RECORDS)
            }
        }
    }
}

/// The follower's half of a contender.
#[derive(Debug)]
pub(super) struct Follower {
    there: Consumer,
    /// For latency: the way back.
    back: Option<Producer>,
    payloads: Payloads,
    buffer: Vec<u8>,
}

impl Follower {
    pub(super) fn open(contender: Contender, namespace: &Namespace) -> Outcome<Follower> {
        let back = match contender {
            Contender::OneWay => Some(producer(namespace, &contender.channel(true))?),
            Contender::OneByOne | Contender::InBatches => None,
        };
        Ok(Follower {
            there: consumer(namespace, &contender.channel(false))?,
            back,
            payloads: Payloads::new(),
            buffer: Vec::with_capacity(SIZE),
        })
    }

    /// One turn: every record is looked at, its number and all of its content.
    pub(super) fn turn(&mut self) -> Outcome<()> {
        match &mut self.back {
            Some(back) => answer(&mut self.there, back, &self.payloads, &mut self.buffer),
            None => receive(&mut self.there, &self.payloads, &mut self.buffer),
        }
    }
}

// The loops that are measured, each a function of its own: inlined into one, they would fight for
// registers, and what is spilled to the stack stands in line with the ring's own stores.

#[inline(never)]
fn send_and_await(
    there: &mut Producer,
    back: &mut Consumer,
    payloads: &Payloads,
    buffer: &mut Vec<u8>,
) -> Outcome<()> {
    for payload in payloads.turn(ROUND_TRIPS) {
        there.send(payload)?;
        back.recv_into(buffer)?;
        check(payload, buffer)?;
    }
    Ok(())
}

#[inline(never)]
fn answer(
    there: &mut Consumer,
    back: &mut Producer,
    payloads: &Payloads,
    buffer: &mut Vec<u8>,
) -> Outcome<()> {
    for payload in payloads.turn(ROUND_TRIPS) {
        there.recv_into(buffer)?;
        check(payload, buffer)?;
        back.send(payload)?;
    }
    Ok(())
}

#[inline(never)]
fn send_one_by_one(there: &mut Producer, payloads: &Payloads) -> Outcome<()> {
    for payload in payloads.turn(RECORDS) {
        there.send(payload)?;
    }
    Ok(())
}

#[inline(never)]
fn send_in_batches(there: &mut Producer, payloads: &Payloads) -> Outcome<()> {
    let mut payloads = payloads.turn(RECORDS);
    for _ in 0..RECORDS / TOGETHER {
        let mut batch = there.batch();
        for payload in payloads.by_ref().take(TOGETHER as usize) {
            batch.push(payload)?;
        }
        batch.commit();
    }
    Ok(())
}

#[inline(never)]
fn receive(there: &mut Consumer, payloads: &Payloads, buffer: &mut Vec<u8>) -> Outcome<()> {
    for payload in payloads.turn(RECORDS) {
        there.recv_into(buffer)?;
        check(payload, buffer)?;
    }
    Ok(())
}

fn producer(namespace: &Namespace, channel: &str) -> Outcome<Producer> {
    let options = ProducerOptions::new()
        .capacity(CAPACITY)
        .seats(1)
        .wait(WaitStrategy::Spin);
    Ok(options.namespace(namespace.clone()).open(channel)?)
}

fn consumer(namespace: &Namespace, channel: &str) -> Outcome<Consumer> {
    let options = ConsumerOptions::new().wait(WaitStrategy::Spin);
    Ok(options.namespace(namespace.clone()).attach(channel)?)
}

/// What the records of a turn hold, one after the other, the same in both processes.
///
/// They are made beforehand: a payload built anew for each record would be in the processor's store
/// buffer, in line with the ring's own stores, and the time of building it would be measured. They
/// come round after a prime number of records, which no whole number of laps of the ring is, so a
/// record that was lost, repeated or left from the lap before differs in every word.
#[derive(Debug)]
struct Payloads(Vec<[u8; SIZE]>);

const PAYLOADS: u64 = 251;

impl Payloads {
    fn new() -> Payloads {
        Payloads((0..PAYLOADS).map(payload).collect())
    }

    /// A turn is a whole number of rounds, so that the next one begins where this one does.
    fn turn(&self, records: u64) -> impl Iterator<Item = &[u8; SIZE]> {
        debug_assert_eq!(records % PAYLOADS, 0);
        self.0.iter().cycle().take(records as usize)
    }
}

fn payload(number: u64) -> [u8; SIZE] {
    let mut out = [0; SIZE];
    let mut word = number;
    for slot in out.chunks_exact_mut(8) {
        slot.copy_from_slice(&word.to_le_bytes());
        word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    }
    out
}

/// Compares word by word: the library's `memcmp` uses the widest loads there are, which have to wait
/// until the narrower stores of the copy have left the store buffer, and that wait would be measured.
#[inline]
fn check(expected: &[u8; SIZE], found: &[u8]) -> Outcome<()> {
    let word = |slot: &[u8]| u64::from_le_bytes(std::array::from_fn(|i| slot[i]));
    let words = expected.chunks_exact(8).zip(found.chunks_exact(8));
    let difference = words.fold(0, |all, (one, other)| all | (word(one) ^ word(other)));
    if difference == 0 && found.len() == SIZE {
        Ok(())
    } else {
        Err(wrong(expected, found))
    }
}

#[cold]
fn wrong(expected: &[u8; SIZE], found: &[u8]) -> Box<dyn Error> {
    format!("a record holds {found:02x?}, expected {expected:02x?}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_or_short_record_is_noticed() {
        let (one, other) = (payload(0), payload(1));
        assert!(check(&one, &one).is_ok());
        assert!(check(&one, &other).is_err());
        assert!(check(&one, &one[..63]).is_err());
        for word in 0..SIZE / 8 {
            let mut mixed = one;
            mixed[8 * word..][..8].copy_from_slice(&other[8 * word..][..8]);
            assert!(check(&one, &mixed).is_err(), "word {word}");
        }
    }

    #[test]
    fn the_lap_before_holds_other_payloads() {
        // A lap is one record longer or shorter, as the padding at its end has it.
        let lap = CAPACITY / (SIZE as u64 + 8);
        for lap in lap - 1..=lap + 1 {
            assert_ne!(lap % PAYLOADS, 0);
        }
    }

    #[test]
    fn batches_fill_a_turn() {
        assert_eq!(RECORDS % TOGETHER, 0);
    }
}
