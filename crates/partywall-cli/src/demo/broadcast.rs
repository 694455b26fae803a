//! Sensor samples by broadcast: a sensor that never waits, and receivers who learn exactly what they lost.

use super::account::Ledger;
use super::cast::{Cast, Look, News, Pattern, Problem, Promise, Size, Watcher, Watches, Writes};
use super::event::now_ns;
use super::part::{OPENING, Role, Words, nothing};
use super::record::{HEADER, mix};
use partywall::broadcast::{Receiver, ReceiverOptions, Sender, SenderOptions, Start};
use partywall::{Namespace, RecvError};
use std::time::Duration;

/// A sample: acceleration, rotation and magnetic field on three axes, and the temperature; `i32` each.
const AXES: usize = 10;
const SAMPLE: usize = AXES * 4;

/// A twentieth of a second of samples.
const SLOTS: u64 = 1024;
const RATE: f64 = 20_000.0;

pub(super) static CAST: Cast = Cast {
    pattern: Pattern::Broadcast,
    channel: "imu",
    opening: "A broadcast goes to whoever listens, and its sender never waits: who is too slow is told exactly what it lost.\n\
              Here a sensor sends 20,000 samples a second (or --fps). A controller takes each one; a plotter looks ten\n\
              times a second only, less often than the channel holds.",
    verdict: "Every sample reached each receiver whole and in order, or was reported to it as overrun.",
    one: "sample",
    many: "samples",
    watchers: &[
        Watcher {
            name: "controller",
            nap: None,
        },
        Watcher {
            name: "plotter",
            nap: Some(Duration::from_millis(100)),
        },
    ],
    writers: &["sensor"],
    victim: 0,
    promise: Promise::Every,
    size: Size::Fixed(SAMPLE),
    news: News::Nothing,
    rate: Some(RATE),
    enter,
    attach,
};

struct Sensor {
    sender: Sender,
    words: Words,
    record: Vec<u8>,
}

fn enter(role: &Role) -> Result<Box<dyn Writes>, Problem> {
    let sender = SenderOptions::new()
        .namespace(Namespace::open_default()?)
        .value_size((HEADER + SAMPLE) as u32)
        .slots(SLOTS)
        // The conductor reads the channel's own count of records after the close.
        .keep_when_closed(true)
        .open(&role.channel)?;
    Ok(Box::new(Sensor {
        sender,
        words: role.words(),
        record: vec![0; HEADER + SAMPLE],
    }))
}

impl Writes for Sensor {
    fn adopted(&self) -> bool {
        self.sender.adopted()
    }

    fn records(&self) -> u64 {
        self.sender.sequence()
    }

    fn send(&mut self, last: bool) -> Result<(), Problem> {
        let sequence = self.sender.sequence();
        self.words
            .compose(&mut self.record, sequence, last, make_sample);
        self.sender.send(&self.record)?;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<u64, Problem> {
        let records = self.sender.sequence();
        self.sender.close()?;
        Ok(records)
    }
}

/// A sample as a sensor gives it: each axis swings in its own time, with some noise.
fn make_sample(sequence: u64, sample: &mut [u8]) {
    let mut noise = mix(sequence);
    for (axis, value) in (1..).zip(sample.chunks_exact_mut(4)) {
        let phase = (sequence % 1_000_000 * axis) % 20_000;
        let swing = phase.min(20_000 - phase) as i32 * 100 - 500_000;
        noise = noise.rotate_left(17).wrapping_mul(5).wrapping_add(axis);
        value.copy_from_slice(&(swing + (noise >> 48) as i32).to_le_bytes());
    }
}

struct Controller {
    receiver: Receiver,
    record: Vec<u8>,
    expected: [u8; SAMPLE],
}

fn attach(role: &Role) -> Result<Box<dyn Watches>, Problem> {
    let receiver = ReceiverOptions::new()
        .namespace(Namespace::open_default()?)
        .attach_timeout(OPENING)
        .await_successor(true)
        .start(Start::At(1))
        .attach(&role.channel)?;
    Ok(Box::new(Controller {
        receiver,
        record: Vec::new(),
        expected: [0; SAMPLE],
    }))
}

impl Watches for Controller {
    fn look(&mut self, ledger: &mut Ledger, wait: Duration) -> Result<Look, Problem> {
        let meta = match self.receiver.recv_into(&mut self.record, Some(wait)) {
            Ok(meta) => meta,
            Err(RecvError::Overrun { lost, .. }) => {
                ledger.overrun(lost);
                return Ok(Look::More);
            }
            Err(error) => return nothing(error),
        };
        ledger.enter(&self.record, now_ns(), |header, sample| {
            make_sample(header.sequence, &mut self.expected);
            // The channel counts from 1.
            meta.sequence == header.sequence + 1 && sample == self.expected
        });
        Ok(Look::More)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_sample_passes_for_the_next() {
        let mut samples = (0..10_000).map(|sequence| {
            let mut sample = [0; SAMPLE];
            make_sample(sequence, &mut sample);
            sample
        });
        let mut one = samples.next().expect("a sample");
        for next in samples {
            assert_ne!(one, next);
            one = next;
        }
    }

    #[test]
    fn samples_stay_in_their_range() {
        for sequence in [0, 1, 9_999, 1_000_000, u64::MAX] {
            let mut sample = [0; SAMPLE];
            make_sample(sequence, &mut sample);
            for value in sample.chunks_exact(4) {
                let value = i32::from_le_bytes(value.try_into().expect("four bytes"));
                assert!((-500_000..=600_000).contains(&value), "{value}");
            }
        }
    }
}
