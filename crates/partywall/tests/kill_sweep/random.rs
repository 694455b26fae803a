//! Kills at random moments, under load: not at a store, but wherever the processor happens to be.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Located;
use crate::system;
use crate::victim::Stage;
use crate::world::{CHANNEL, LONG, Payload, World, consumer_options, receive};

const SEED: &str = "PARTYWALL_SEED";

/// Moments that can be had again: the seed is printed, and taken from `PARTYWALL_SEED` if that is set.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(what: &str) -> Self {
        let seed = std::env::var(SEED).map_or_else(
            |_| RandomState::new().build_hasher().finish(),
            |seed| seed.parse().expect("a number"),
        );
        println!("random kills of {what}: {SEED}={seed}");
        Random(seed | 1)
    }

    /// Less than `end`. xorshift64 (Marsaglia 2003).
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    /// Any moment of some milliseconds.
    pub(crate) fn moment(&mut self) -> Duration {
        Duration::from_micros(3000 + self.below(12_000))
    }
}

/// One producer after the other is killed while two consumers read on.
pub(crate) fn kill_at_random_moments(full: bool) {
    let rounds = if full { 300 } else { 30 };
    let mut random = Random::new("producers");
    let mut world = World::producing();
    let options = consumer_options(&world.namespace).await_successor(true);
    let mut consumers = [(); 2].map(|()| options.attach(CHANNEL).unwrap());
    world.producer.take().unwrap().abandon();
    let mut expected = 0;
    for round in 0..rounds {
        let mut victim = spawn(&world);
        // Every other time it gets to send something, however long it takes to run at all.
        let begun = (Instant::now(), expected);
        while round % 2 == 0 && expected == begun.1 {
            assert!(begun.0.elapsed() < LONG, "the victim sends nothing");
            expected = read_both(&mut consumers, expected);
        }
        let end = Instant::now() + random.moment();
        while Instant::now() < end {
            expected = read_both(&mut consumers, expected);
        }
        victim.kill().unwrap();
        victim.wait().unwrap();
        expected = read_both(&mut consumers, expected);
    }
    assert!(expected > rounds, "the victims got to send something");
    let successor = crate::world::producer_options(&world.namespace)
        .open(CHANNEL)
        .unwrap();
    assert_eq!(successor.records(), expected, "the count is exact");
    successor.close().unwrap();
    drop(consumers);
    world.nothing_is_left();
}

/// Both consumers read the same records, in order, each once; the next number.
fn read_both(consumers: &mut [partywall::ring::Consumer; 2], mut expected: u64) -> u64 {
    let [first, second] = consumers;
    while let Some(record) = first.try_recv().unwrap() {
        assert_eq!(Payload::number(&record), expected);
        assert_eq!(receive(second), expected);
        expected += 1;
    }
    assert!(second.try_recv().unwrap().is_none_or(|record| {
        // It was committed between the two looks.
        assert_eq!(Payload::number(&record), expected);
        assert_eq!(receive(first), expected);
        expected += 1;
        true
    }));
    expected
}

fn spawn(world: &World) -> Child {
    start("send_without_end", world.path())
}

/// A process of this program in a role.
pub(crate) fn start(role: &str, place: &Path) -> Child {
    command(role, place).spawn().unwrap()
}

/// The same, before it begins; nobody hears what it says.
pub(crate) fn command(role: &str, place: &Path) -> Command {
    let mut command = system::this_program();
    command
        .env("PARTYWALL_SWEEP_ROLE", role)
        .env("PARTYWALL_SWEEP_PLACE", place)
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    command
}

/// The victim: sizes and ways of sending change from record to record.
pub(crate) fn send_without_end(stage: &Stage) -> ! {
    let mut producer = stage.producer();
    loop {
        let number = producer.records();
        let len = 8 + (number * 131 % 900) as usize;
        match number % 3 {
            0 => drop(producer.send(&Payload::bytes(number, len)).unwrap()),
            1 => {
                let mut room = producer.reserve(len + 64).unwrap();
                room.write_at(0, &vec![0xee; len + 64]);
                room.write_at(0, &Payload::bytes(number, len));
                room.commit_len(len);
            }
            _ => {
                let mut batch = producer.batch();
                for number in number..number + 3 {
                    batch.push(&Payload::bytes(number, len)).unwrap();
                }
                batch.commit();
            }
        }
    }
}
