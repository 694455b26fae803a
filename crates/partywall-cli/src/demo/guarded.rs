//! A configuration in a guarded record: two operators edit it in turn, in two steps, and readers never see the step
//! between, nor does who comes after an operator that was killed.

use super::account::Ledger;
use super::cast::{Cast, Look, News, Pattern, Problem, Promise, Size, Watcher, Watches, Writes};
use super::event::now_ns;
use super::part::{OPENING, Role, Words, nothing};
use super::record::{Header, mix};
use partywall::guarded::{ReaderOptions, RecordOptions, TypedRecord};
use partywall::record::Record;
use partywall::snapshot::TypedReader;
use partywall::{Namespace, RecvError};
use std::time::Duration;

const OPERATORS: usize = 2;
const TENANTS: usize = 8;
/// What the tenants share, in thousandths of the link.
const WHOLE: u32 = 1000;

/// Edits a second of each operator.
const RATE: f64 = 100.0;
/// An operator thinks for less than this between the two steps of an edit, with the lock in hand.
const LONGEST_THOUGHT_US: u64 = 6_000;
/// A lock is not a queue: who takes it again at once keeps the other waiting.
const COURTESY: Duration = Duration::from_micros(200);

pub(super) static CAST: Cast = Cast {
    pattern: Pattern::Guarded,
    channel: "shares",
    opening: "A guarded record has several writers: who locks it edits a copy, and commits it by one store. Readers lock nothing.\n\
              Here an operator and a deputy move shares of a link from one tenant to another, in two steps with some\n\
              thought between, so that who is killed often holds the lock. A router follows every change, a dashboard\n\
              looks 20 times a second: the shares add up always.",
    verdict: "Every configuration that was read was whole and newer than the one before, and no acknowledged edit was forgotten.",
    one: "edit",
    many: "edits",
    watchers: &[
        Watcher {
            name: "router",
            nap: None,
        },
        Watcher {
            name: "dashboard",
            nap: Some(Duration::from_millis(50)),
        },
    ],
    writers: &["operator", "deputy"],
    victim: 0,
    promise: Promise::Latest,
    size: Size::Fixed(size_of::<Config>()),
    news: News::OwnerDied,
    rate: Some(RATE),
    enter,
    attach,
};

/// The record. Whole is one whose shares add up, whose edits are those of its operators, and whose numbers have
/// the checksum that it says.
#[derive(Record, Debug)]
#[repr(C)]
struct Config {
    /// Edits by all operators, this one included.
    edits: u64,
    /// By each operator, all its processes.
    edits_of: [u64; OPERATORS],
    /// Times that an operator was told that another had died with the lock in hand.
    owner_died: u64,
    /// CLOCK_MONOTONIC just before the commit.
    #[record(unit = "ns")]
    stamp: u64,
    checksum: u64,
    /// The latest process of each operator that edited.
    runs: [u32; OPERATORS],
    /// Whose edit this is.
    author: u32,
    /// Bit n: operator n has made its last edit.
    done: u32,
    #[record(unit = "1/1000")]
    shares: [u32; TENANTS],
    #[record(unit = "1/1000")]
    largest: u32,
    #[record(unit = "1/1000")]
    smallest: u32,
}

const ALL_DONE: u32 = (1 << OPERATORS) - 1;

impl Config {
    /// What an operator begins with if nothing was committed.
    fn begin(&mut self) {
        self.shares = [WHOLE / TENANTS as u32; TENANTS];
    }

    /// The first step of an edit: something is taken from a tenant, and nobody has it. From whom, and how much.
    fn take(&mut self, chance: u64) -> (usize, u32) {
        let mut from = chance as usize % TENANTS;
        // All have something together, so that one has.
        while self.shares[from] == 0 {
            from = (from + 1) % TENANTS;
        }
        let taken = 1 + (chance >> 32) as u32 % self.shares[from];
        self.shares[from] -= taken;
        (from, taken)
    }

    /// The second step: another tenant gets it.
    fn give(&mut self, chance: u64, (from, taken): (usize, u32)) {
        let further = 1 + (chance >> 8) as usize % (TENANTS - 1);
        self.shares[(from + further) % TENANTS] += taken;
        let (largest, smallest) = self.extremes();
        (self.largest, self.smallest) = (largest, smallest);
    }

    fn extremes(&self) -> (u32, u32) {
        let shares = self.shares.iter().copied();
        (shares.clone().max().unwrap_or(0), shares.min().unwrap_or(0))
    }

    fn is_whole(&self) -> bool {
        let total = |numbers: &[u64]| numbers.iter().fold(0_u64, |sum, n| sum.wrapping_add(*n));
        self.shares.iter().all(|&share| share <= WHOLE)
            && self.shares.iter().sum::<u32>() == WHOLE
            && self.extremes() == (self.largest, self.smallest)
            && total(&self.edits_of) == self.edits
            && self.checksum == self.sum()
    }

    /// A checksum of all other fields.
    fn sum(&self) -> u64 {
        let Config {
            edits,
            edits_of,
            owner_died,
            stamp,
            checksum: _,
            runs,
            author,
            done,
            shares,
            largest,
            smallest,
        } = self;
        let long = [*edits, *owner_died, *stamp].into_iter().chain(*edits_of);
        let short = runs.iter().chain(shares);
        let short = short.chain([author, done, largest, smallest]);
        long.chain(short.map(|&number| number.into()))
            .fold(0, |sum, number| mix(sum ^ number))
    }

    /// What stands in front of other patterns' records. `None` if this was committed by nobody.
    fn header(&self) -> Option<Header> {
        Some(Header {
            sequence: self.edits.checked_sub(1)?,
            stamp_ns: self.stamp,
            length: size_of::<Config>() as u64,
            checksum: Some(self.checksum),
            run: *self.runs.get(self.author as usize)?,
            writer: self.author,
            last: self.done == ALL_DONE,
        })
    }
}

struct Operator {
    record: TypedRecord<Config>,
    words: Words,
    me: usize,
    /// The one that is killed leaves last, so that what a test has it spoil is what remains.
    leaves_last: bool,
    adopted: bool,
    edits: u64,
}

fn enter(role: &Role) -> Result<Box<dyn Writes>, Problem> {
    let mut record = RecordOptions::new()
        .namespace(Namespace::open_default()?)
        .open_typed::<Config>(&role.channel)?;
    let words = role.words();
    let me = words.writer as usize;
    let found = current(&mut record)?;
    Ok(Box::new(Operator {
        adopted: found.is_some(),
        edits: found.map_or(0, |found| found.edits_of[me]),
        record,
        words,
        me,
        leaves_last: me == role.cast.victim,
    }))
}

/// What was committed last.
fn current(record: &mut TypedRecord<Config>) -> Result<Option<Config>, RecvError> {
    loop {
        match record.get() {
            Err(RecvError::Contended { .. }) => {}
            found => return found,
        }
    }
}

impl Operator {
    fn others_are_done(&mut self) -> Result<bool, Problem> {
        let mine = 1 << self.me;
        Ok(current(&mut self.record)?.is_some_and(|found| found.done | mine == ALL_DONE))
    }
}

impl Writes for Operator {
    fn adopted(&self) -> bool {
        self.adopted
    }

    fn records(&self) -> u64 {
        self.edits
    }

    fn send(&mut self, last: bool) -> Result<(), Problem> {
        while last && self.leaves_last && !self.others_are_done()? {
            std::thread::sleep(COURTESY);
        }
        let lock = self.record.lock()?;
        let owner_died = lock.owner_died();
        let mut config = lock.into_guard();
        if config.sequence() == 0 {
            config.begin();
        } else if !config.is_whole() {
            return Err(format!("the configuration is not whole: {:?}", *config).into());
        }
        let chance = mix(config.edits ^ u64::from(self.words.run) << 48);
        let taken = config.take(chance);
        std::thread::sleep(Duration::from_micros(mix(chance) % LONGEST_THOUGHT_US));
        config.give(chance, taken);
        config.edits += 1;
        config.edits_of[self.me] += 1;
        config.owner_died += u64::from(owner_died);
        config.runs[self.me] = self.words.run;
        config.author = self.words.writer;
        config.done |= u32::from(last) << self.me;
        config.stamp = now_ns();
        config.checksum = config.sum();
        if self.words.corrupts(last) {
            config.shares[0] ^= 1;
        }
        config.commit()?;
        if owner_died {
            // After the commit that counts it: who is killed between leaves the news to the next.
            config.mark_consistent();
        }
        self.edits = config.edits_of[self.me];
        drop(config);
        std::thread::sleep(COURTESY);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<u64, Problem> {
        Ok(self.edits)
    }
}

struct Router {
    reader: TypedReader<Config>,
    edits_of: [u64; OPERATORS],
    owner_died: u64,
}

fn attach(role: &Role) -> Result<Box<dyn Watches>, Problem> {
    let reader = ReaderOptions::new()
        .namespace(Namespace::open_default()?)
        .attach_timeout(OPENING)
        .await_successor(true)
        .attach_typed::<Config>(&role.channel)?;
    Ok(Box::new(Router {
        reader,
        edits_of: [0; OPERATORS],
        owner_died: 0,
    }))
}

impl Watches for Router {
    fn look(&mut self, ledger: &mut Ledger, wait: Duration) -> Result<Look, Problem> {
        let config = match self.reader.changed_timeout(wait) {
            Ok(config) => config,
            // The operators were faster than we could copy. The next look finds a newer one.
            Err(RecvError::Contended { .. }) => return Ok(Look::More),
            Err(error) => return nothing(error),
        };
        let now = now_ns();
        ledger.enter_parts(config.header(), now, |_| {
            let mut edits = self.edits_of.iter().zip(&config.edits_of);
            config.is_whole()
                && edits.all(|(before, now)| before <= now)
                && self.owner_died <= config.owner_died
        });
        // Of an operator whose edits were all replaced before anybody looked there is this.
        for (writer, &run) in (0..).zip(&config.runs) {
            ledger.sees(writer, run, now);
        }
        ledger.owner_died(config.owner_died);
        (self.edits_of, self.owner_died) = (config.edits_of, config.owner_died);
        Ok(if config.done == ALL_DONE {
            Look::End
        } else {
            Look::Current
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use partywall::record;

    fn edited(times: u64) -> Config {
        let mut config: Config = record::zeroed();
        config.begin();
        for edit in 1..=times {
            let chance = mix(edit);
            let taken = config.take(chance);
            config.give(chance, taken);
            config.edits = edit;
            config.edits_of[edit as usize % OPERATORS] += 1;
            config.checksum = config.sum();
        }
        config
    }

    #[test]
    fn an_edit_leaves_the_configuration_whole_and_half_of_one_does_not() {
        for times in 1..1_000 {
            let mut config = edited(times);
            assert!(config.is_whole(), "{config:?}");
            config.take(mix(times + 1));
            config.checksum = config.sum();
            assert!(!config.is_whole(), "{config:?}");
        }
    }

    #[test]
    fn no_changed_byte_goes_unnoticed() {
        let config = edited(100);
        let good = record::bytes_of(&config);
        for at in 0..good.len() {
            let mut bad = good.to_vec();
            bad[at] ^= 1;
            let bad: Config = record::from_bytes(&bad).expect("as long");
            assert!(!bad.is_whole(), "byte {at}");
        }
    }

    #[test]
    fn half_of_another_configuration_is_noticed() {
        let (one, other) = (edited(100), edited(101));
        let (one, other) = (record::bytes_of(&one), record::bytes_of(&other));
        for at in (0..=one.len()).step_by(4) {
            let mixed = [&one[..at], &other[at..]].concat();
            let is_one_of_them = mixed == one || mixed == other;
            let config: Config = record::from_bytes(&mixed).expect("as long");
            assert_eq!(config.is_whole(), is_one_of_them, "byte {at}");
        }
    }
}
