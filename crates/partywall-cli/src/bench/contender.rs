//! What is measured: for each contender a driver's half and a follower's half, which the two
//! processes run against each other, batch by batch.
//!
//! A new contender is a variant of [`Contender`], its row in [`Contender::ALL`] and its two halves.

use super::Work;
use partywall::ring::{Consumer, ConsumerOptions, Producer, ProducerOptions};
use partywall::{Namespace, WaitStrategy};
use std::error::Error;

pub(super) const SIZE: usize = 64;

/// Records in a batch of the `batch` contender.
pub(super) const TOGETHER: u64 = 32;

/// Round trips in one turn of a latency contender, and of the limit.
pub(super) const ROUND_TRIPS: u64 = 2_000;

/// Records in one turn of a throughput contender.
const RECORDS: u64 = 20_480;

/// Small enough to stay in a core's second-level cache, large enough for hundreds of records.
const CAPACITY: u64 = 256 * 1024;

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
pub(super) enum Driver {
    Latency {
        there: Producer,
        back: Option<Consumer>,
        sequence: u64,
        buffer: Vec<u8>,
    },
    OneByOne {
        there: Producer,
        sequence: u64,
    },
    Batch {
        there: Producer,
        sequence: u64,
    },
}

impl Driver {
    /// Creates its channel. `meet` must follow once the follower runs.
    pub(super) fn open(contender: Contender, namespace: &Namespace) -> Outcome<Driver> {
        let there = producer(namespace, &contender.channel(false))?;
        let sequence = 0;
        Ok(match contender {
            Contender::OneWay => Driver::Latency {
                there,
                back: None,
                sequence,
                buffer: Vec::with_capacity(SIZE),
            },
            Contender::OneByOne => Driver::OneByOne { there, sequence },
            Contender::InBatches => Driver::Batch { there, sequence },
        })
    }

    /// Attaches to what the follower creates, and waits for its consumer.
    pub(super) fn meet(&mut self, contender: Contender, namespace: &Namespace) -> Outcome<()> {
        let patience = Some(std::time::Duration::from_secs(20));
        match self {
            Driver::Latency { there, back, .. } => {
                *back = Some(consumer(namespace, &contender.channel(true))?);
                there.wait_for_consumer(patience)?;
            }
            Driver::OneByOne { there, .. } | Driver::Batch { there, .. } => {
                there.wait_for_consumer(patience)?;
            }
        }
        Ok(())
    }

    /// One turn. Returns by what the time of the turn is to be divided: crossings, or records. For
    /// throughput the turn ends when the follower has them all, which the caller waits for.
    pub(super) fn turn(&mut self) -> Outcome<u64> {
        match self {
            Driver::Latency {
                there,
                back,
                sequence,
                buffer,
            } => {
                let back = back.as_mut().ok_or("the contenders have not met")?;
                for number in *sequence..*sequence + ROUND_TRIPS {
                    there.send(&payload(number))?;
                    back.recv_into(buffer)?;
                    check(number, buffer)?;
                }
                *sequence += ROUND_TRIPS;
                Ok(2 * ROUND_TRIPS)
            }
            Driver::OneByOne { there, sequence } => {
                for number in *sequence..*sequence + RECORDS {
                    there.send(&payload(number))?;
                }
                *sequence += RECORDS;
                Ok(RECORDS)
            }
            Driver::Batch { there, sequence } => {
                for first in (*sequence..*sequence + RECORDS).step_by(TOGETHER as usize) {
                    let mut batch = there.batch();
                    for number in first..first + TOGETHER {
                        batch.push(&payload(number))?;
                    }
                    batch.commit();
                }
                *sequence += RECORDS;
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
    sequence: u64,
    buffer: Vec<u8>,
}

impl Follower {
    pub(super) fn open(contender: Contender, namespace: &Namespace) -> Outcome<Follower> {
        let back = match contender {
            Contender::OneWay => Some(producer(namespace, &contender.channel(true))?),
            Contender::OneByOne | Contender::InBatches => None,
        };
        let there = consumer(namespace, &contender.channel(false))?;
        Ok(Follower {
            there,
            back,
            sequence: 0,
            buffer: Vec::with_capacity(SIZE),
        })
    }

    /// One turn: every record is looked at, its number and all of its content.
    pub(super) fn turn(&mut self) -> Outcome<()> {
        let Follower {
            there,
            back,
            sequence,
            buffer,
        } = self;
        if let Some(back) = back {
            for number in *sequence..*sequence + ROUND_TRIPS {
                there.recv_into(buffer)?;
                check(number, buffer)?;
                back.send(&payload(number))?;
            }
            *sequence += ROUND_TRIPS;
        } else {
            for number in *sequence..*sequence + RECORDS {
                there.recv_into(buffer)?;
                check(number, buffer)?;
            }
            *sequence += RECORDS;
        }
        Ok(())
    }
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

/// Between neighbouring words of a record.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// What record `number` holds. Every word depends on the number, so that a stale one is noticed.
#[inline]
fn payload(number: u64) -> [u8; SIZE] {
    let mut out = [0; SIZE];
    let mut word = number;
    for slot in out.chunks_exact_mut(8) {
        slot.copy_from_slice(&word.to_le_bytes());
        word = word.wrapping_add(STEP);
    }
    out
}

/// Word by word, as the record was copied: a comparison by wider loads would have to wait until the
/// copy's stores have reached the cache, and that wait would be measured.
#[inline]
fn check(number: u64, found: &[u8]) -> Outcome<()> {
    let mut difference = found.len() ^ SIZE;
    let mut word = number;
    for slot in found.chunks_exact(8) {
        let found = u64::from_le_bytes(std::array::from_fn(|i| slot[i]));
        difference |= usize::from(found != word);
        word = word.wrapping_add(STEP);
    }
    if difference == 0 {
        Ok(())
    } else {
        Err(wrong(number, found))
    }
}

#[cold]
fn wrong(number: u64, found: &[u8]) -> Box<dyn Error> {
    format!(
        "record {number} holds {found:02x?}, expected {:02x?}",
        payload(number)
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_or_short_record_is_noticed() {
        assert!(check(7, &payload(7)).is_ok());
        assert!(check(8, &payload(7)).is_err());
        assert!(check(7, &payload(7)[..63]).is_err());
        for word in 0..SIZE / 8 {
            let mut mixed = payload(7);
            mixed[8 * word..][..8].copy_from_slice(&payload(8)[8 * word..][..8]);
            assert!(check(7, &mixed).is_err(), "word {word}");
        }
    }

    #[test]
    fn batches_fill_a_turn() {
        assert_eq!(RECORDS % TOGETHER, 0);
    }
}
