//! What a round will do, all of it chosen by its seed: who takes part, with which options, and what befalls whom when.

use serde::{Deserialize, Serialize};

use crate::demo::cast::Pattern;
use crate::demo::record::mix;

/// Numbers that follow from a seed.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0)
    }

    /// 0 to `bound` - 1.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// From a range, both ends included.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// Once in so many times.
    pub(super) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub(super) fn choose<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize].clone()
    }
}

/// One round: one channel, from its first owner to the last.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) round: u64,
    pub(super) pattern: Pattern,
    pub(super) millis: u64,
    pub(super) options: Options,
    pub(super) slots: Vec<Slot>,
    /// In the order of their times.
    pub(super) events: Vec<Event>,
}

/// Options of the channel. What a pattern does not have it does not look at.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
pub(super) struct Options {
    /// Of a ring, or of a lane.
    pub(super) capacity: u64,
    /// Of a snapshot, a broadcast, a guarded record.
    pub(super) slots: u64,
    /// The longest record. With a schema, the length of all.
    pub(super) record: u64,
    pub(super) seats: u32,
    pub(super) checksums: bool,
    pub(super) schema: bool,
    pub(super) overflow: Overflow,
    /// Of a ring: whether it goes on when nobody listens.
    pub(super) discard: bool,
    pub(super) history: u32,
    pub(super) held: u32,
    pub(super) loans: u32,
}

#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Overflow {
    Block,
    Fail,
    Drop,
}

/// A place that one process after the other takes.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
pub(super) struct Slot {
    pub(super) part: Part,
    pub(super) wait: Wait,
    /// Microseconds between two operations; 0: none.
    pub(super) pace_us: u64,
    /// Of a ring's consumer.
    pub(super) durable: Option<String>,
    pub(super) at_most_once: bool,
    /// Of a subscriber of frames.
    pub(super) lossy: bool,
    /// Whether it waits for the successor of a dead owner.
    pub(super) patient: bool,
    /// Of a peer where records have a schema: whether it takes them as bytes.
    pub(super) raw: bool,
    /// Of a snapshot's reader: whether it goes on with the next writer's; of a broadcast's: whether it begins with the oldest.
    pub(super) follow: bool,
}

#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub(super) enum Part {
    /// Who owns the channel, or stands by to own it: producer, writer, sender, publisher, receiver of an mpsc.
    Owner,
    /// The other side. Of a guarded record: who locks it.
    Peer,
    /// Of a guarded record: who only reads.
    Reader,
}

#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Wait {
    Spin,
    Both,
    Park,
}

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) at_us: u64,
    pub(super) deed: Deed,
}

/// What befalls somebody.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Deed {
    /// SIGKILL; another process takes the slot after so long.
    Kill { slot: usize, away_us: u64 },
    /// SIGSTOP, for so long.
    Stop { slot: usize, still_us: u64 },
    /// Leaves, or closes, in an orderly way, and comes back.
    Again { slot: usize },
    /// An owner gives the channel up without closing it, and opens it again.
    Abandon { slot: usize },
    /// An owner goes on with more memory.
    Grow { slot: usize },
    /// An owner goes on with records that are made of something else.
    Reschema { slot: usize },
    /// Somebody looks at all channels.
    List,
    /// Somebody removes all channels that nobody uses.
    Clean,
    /// Somebody removes the channel, whoever uses it if `force`.
    Remove { force: bool },
}

impl Plan {
    /// The round of this number; of one of these patterns, in turn.
    pub(super) fn new(seed: u64, round: u64, patterns: &[Pattern]) -> Plan {
        let pattern = patterns[(round % patterns.len() as u64) as usize];
        let random = &mut Random::new(mix(seed ^ mix(round)));
        let peers = random.between(1, 8).min(random.between(1, 8));
        let mut slots = Vec::new();
        if pattern != Pattern::Guarded {
            slots.push(slot(random, Part::Owner));
            // One that takes over at once.
            if random.once_in(3) {
                slots.push(slot(random, Part::Owner));
            }
        }
        for number in 0..peers {
            let reads = pattern == Pattern::Guarded && number > 0 && random.once_in(3);
            let mut peer = slot(random, if reads { Part::Reader } else { Part::Peer });
            if pattern == Pattern::Ring && random.once_in(2) {
                peer.durable = Some(format!("durable-{number}"));
            }
            slots.push(peer);
        }
        let millis = random.between(300, 1500);
        let options = options(random, pattern);
        let events = events(random, pattern, &options, &slots, millis * 1000);
        Plan {
            seed,
            round,
            pattern,
            millis,
            options,
            slots,
            events,
        }
    }

    /// What all records of the round are made with.
    pub(super) fn key(&self) -> u64 {
        mix(self.seed ^ mix(self.round ^ 0x006b_6579))
    }
}

fn slot(random: &mut Random, part: Part) -> Slot {
    Slot {
        part,
        wait: random.choose(&[Wait::Spin, Wait::Both, Wait::Both, Wait::Park, Wait::Park]),
        pace_us: random.choose(&[0, 0, 20, 100, 1000]),
        durable: None,
        at_most_once: random.once_in(3),
        lossy: random.once_in(2),
        patient: random.once_in(2),
        raw: random.once_in(3),
        follow: random.once_in(2),
    }
}

fn options(random: &mut Random, pattern: Pattern) -> Options {
    let capacity = 4096 << random.below(7);
    let long = match pattern {
        // Half of it less the headers.
        Pattern::Ring | Pattern::Mpsc => capacity / 2 - 32,
        Pattern::Frames => 200_000,
        Pattern::Snapshot | Pattern::Broadcast | Pattern::Guarded => 16_000,
    };
    let short = random.choose(&[64, 256, 1024]);
    let schema = random.once_in(3);
    Options {
        capacity,
        slots: 2 << random.below(9),
        record: if schema {
            64
        } else if random.once_in(2) {
            long
        } else {
            short
        },
        seats: random.choose(&[9, 16, 64]),
        checksums: random.once_in(2),
        schema,
        overflow: random.choose(&[
            Overflow::Block,
            Overflow::Block,
            Overflow::Fail,
            Overflow::Drop,
        ]),
        discard: random.once_in(2),
        history: random.between(1, 4) as u32,
        held: random.between(1, 3) as u32,
        loans: random.between(1, 2) as u32,
    }
}

fn events(
    random: &mut Random,
    pattern: Pattern,
    options: &Options,
    slots: &[Slot],
    micros: u64,
) -> Vec<Event> {
    let (kills, stops, agains) = (random.between(2, 14), random.below(5), random.below(5));
    let mut deeds = Vec::new();
    for _ in 0..kills {
        // Half of the kills are the first slot's: the owner's, if there is one.
        let slot = if random.once_in(2) {
            0
        } else {
            random.below(slots.len() as u64) as usize
        };
        let away_us = if random.once_in(2) {
            0
        } else {
            random.below(150_000)
        };
        deeds.push(Deed::Kill { slot, away_us });
    }
    for _ in 0..stops {
        deeds.push(Deed::Stop {
            slot: random.below(slots.len() as u64) as usize,
            still_us: random.between(1_000, 300_000),
        });
    }
    for _ in 0..agains {
        let slot = random.below(slots.len() as u64) as usize;
        deeds.push(if slots[slot].part == Part::Owner && random.once_in(2) {
            Deed::Abandon { slot }
        } else {
            Deed::Again { slot }
        });
    }
    deeds.extend((0..random.below(4)).map(|_| Deed::List));
    deeds.extend((0..random.below(3)).map(|_| Deed::Clean));
    if random.once_in(3) {
        deeds.push(Deed::Remove { force: false });
    }
    if random.once_in(if pattern == Pattern::Guarded { 2 } else { 5 }) {
        deeds.push(Deed::Remove { force: true });
    }
    let mut events: Vec<Event> = deeds
        .into_iter()
        .map(|deed| Event {
            at_us: random.below(micros),
            deed,
        })
        .collect();
    growths(random, options.schema, slots, micros, &mut events);
    events.sort_by_key(|event| event.at_us);
    events
}

/// Owners grow; some are killed while they do, or soon after it.
fn growths(random: &mut Random, typed: bool, slots: &[Slot], micros: u64, events: &mut Vec<Event>) {
    let owners: Vec<usize> = (0..slots.len())
        .filter(|&slot| slots[slot].part == Part::Owner)
        .collect();
    if owners.is_empty() {
        return;
    }
    for _ in 0..random.below(6) {
        let (at_us, slot) = (random.below(micros), random.choose(&owners));
        let deed = if typed && random.once_in(2) {
            Deed::Reschema { slot }
        } else {
            Deed::Grow { slot }
        };
        events.push(Event { at_us, deed });
        if random.once_in(2) {
            let at_us = at_us + random.below(1500);
            let deed = Deed::Kill { slot, away_us: 0 };
            events.push(Event { at_us, deed });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn a_round_follows_from_its_seed_and_can_be_written_down() {
        for round in 0..500 {
            let plan = Plan::new(7, round, Pattern::value_variants());
            assert_eq!(plan, Plan::new(7, round, Pattern::value_variants()));
            let written = serde_json::to_string(&plan).expect("a plan can be written");
            let read: Plan = serde_json::from_str(&written).expect("and read");
            assert_eq!(read, plan);
            assert!(plan.events.is_sorted_by_key(|event| event.at_us));
        }
        let other = Plan::new(8, 0, Pattern::value_variants());
        assert_ne!(
            other.events,
            Plan::new(7, 0, Pattern::value_variants()).events
        );
    }

    #[test]
    fn every_deed_befalls_every_pattern() {
        for &pattern in Pattern::value_variants() {
            let events = (0..200).flat_map(|round| Plan::new(1, round, &[pattern]).events);
            let mut seen = [0; 10];
            for event in events {
                seen[match event.deed {
                    Deed::Kill { .. } => 0,
                    Deed::Stop { .. } => 1,
                    Deed::Again { .. } => 2,
                    Deed::Abandon { .. } => 3,
                    Deed::List => 4,
                    Deed::Clean => 5,
                    Deed::Remove { force: false } => 6,
                    Deed::Remove { force: true } => 7,
                    Deed::Grow { .. } => 8,
                    Deed::Reschema { .. } => 9,
                }] += 1;
            }
            // A guarded record has nobody who could abandon it, or make it grow under others.
            for deed in [3, 8, 9] {
                seen[deed] += usize::from(pattern == Pattern::Guarded);
            }
            assert!(!seen.contains(&0), "{pattern:?} {seen:?}");
        }
    }
}
