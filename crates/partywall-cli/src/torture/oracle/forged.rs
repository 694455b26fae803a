//! Journals that nobody wrote: what an oracle accepts, and every broken promise that it must find.

use super::super::journal::{Ending, Entry, Tally, What};
use super::super::plan::{Options, Overflow, Part, Plan, Slot, Wait};
use super::{Evidence, Finding, Kind, Run, judge, source};
use crate::demo::cast::Pattern;

/// A round in the making.
struct Forged {
    plan: Plan,
    runs: Vec<Run>,
    removals: Vec<(u64, u64)>,
    now: u64,
}

fn slot(part: Part) -> Slot {
    Slot {
        part,
        wait: Wait::Both,
        pace_us: 0,
        durable: None,
        at_most_once: true,
        lossy: false,
        patient: false,
        raw: false,
        follow: false,
    }
}

impl Forged {
    /// An owner and two peers, of whom only the first takes part so far.
    fn new(pattern: Pattern) -> Self {
        let first = match pattern {
            Pattern::Guarded => Part::Reader,
            _ => Part::Owner,
        };
        let options = Options {
            capacity: 4096,
            slots: 8,
            record: 64,
            seats: 9,
            checksums: false,
            schema: true,
            overflow: Overflow::Drop,
            discard: true,
            history: 1,
            held: 1,
            loans: 1,
        };
        Forged {
            plan: Plan {
                seed: 1,
                round: 1,
                pattern,
                millis: 1,
                options,
                slots: vec![slot(first), slot(Part::Peer), slot(Part::Peer)],
                events: Vec::new(),
            },
            runs: Vec::new(),
            removals: Vec::new(),
            now: 1000,
        }
    }

    /// Another process in a slot, by its place.
    fn run(&mut self, slot: usize) -> usize {
        let number = 1 + self.runs.iter().filter(|run| run.slot == slot).count();
        self.runs.push(Run {
            slot,
            source: source(slot, number as u32),
            killed: None,
            entries: Vec::new(),
        });
        self.runs.len() - 1
    }

    fn tick(&mut self) -> u64 {
        self.now += 1000;
        self.now
    }

    fn note(&mut self, run: usize, entry: Entry) {
        let at_ns = self.tick();
        self.runs[run].entries.push(Entry { at_ns, ..entry });
    }

    fn kill(&mut self, run: usize) {
        self.runs[run].killed = Some(self.tick());
    }

    /// What a process makes when it has opened the channel once.
    fn source(&self, run: usize) -> u64 {
        self.runs[run].source + 1
    }

    fn open(&mut self, run: usize, adopted: bool, records: u64) {
        let opened = Entry::new(What::Opened).flag(adopted.into()).count(1);
        self.note(run, opened.of(self.source(run), records));
    }

    fn ack(&mut self, run: usize, sequence: u64) {
        self.note(run, Entry::new(What::Acked).count(1).of(0, sequence));
    }

    fn got(&mut self, run: usize, from: usize, sequence: u64) {
        let source = self.source(from);
        self.note(run, Entry::new(What::Got).of(source, sequence));
    }

    fn end(&mut self, run: usize, how: Ending) {
        self.note(run, Entry::new(What::Ended).flag(how as u16));
    }

    fn judge(&self) -> Vec<Finding> {
        judge(&Evidence {
            plan: &self.plan,
            runs: self.runs.clone(),
            removals: self.removals.clone(),
        })
    }

    #[track_caller]
    fn finds_nothing(&self) {
        let found = self.judge();
        assert!(found.is_empty(), "{found:#?}");
    }

    #[track_caller]
    fn finds(&self, kind: Kind, text: &str) {
        let found = self.judge();
        let is_it = |finding: &Finding| finding.kind == kind && finding.text.contains(text);
        assert!(found.iter().any(is_it), "no {text:?} in {found:#?}");
    }

    /// Where a process wrote that for the `nth` time, counted from 0.
    fn at(&self, run: usize, what: What, nth: usize) -> usize {
        let entries = self.runs[run].entries.iter().enumerate();
        let mut found = entries.filter(|(_, entry)| entry.what == what);
        found.nth(nth).expect("it was written").0
    }

    fn entry(&mut self, run: usize, what: What, nth: usize) -> &mut Entry {
        let at = self.at(run, what, nth);
        &mut self.runs[run].entries[at]
    }

    fn without(mut self, run: usize, what: What, nth: usize) -> Self {
        let at = self.at(run, what, nth);
        self.runs[run].entries.remove(at);
        self
    }

    fn twice(mut self, run: usize, what: What, nth: usize) -> Self {
        let at = self.at(run, what, nth);
        let entry = self.runs[run].entries[at];
        self.runs[run].entries.insert(at, entry);
        self
    }

    /// This one and the next in each other's place, but for their times.
    fn swapped(mut self, run: usize, what: What, nth: usize) -> Self {
        let (one, other) = (self.at(run, what, nth), self.at(run, what, nth + 1));
        let entries = &mut self.runs[run].entries;
        entries.swap(one, other);
        let time = entries[one].at_ns;
        entries[one].at_ns = entries[other].at_ns;
        entries[other].at_ns = time;
        self
    }

    fn torn(mut self, run: usize, nth: usize) -> Self {
        self.entry(run, What::Got, nth).what = What::Torn;
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// Who reads, and who writes.
const OWNER: usize = 0;
const READER: usize = 1;

/// Five records, read, and a close.
fn stream(pattern: Pattern) -> Forged {
    let mut round = Forged::new(pattern);
    let (owner, reader) = (round.run(0), round.run(1));
    round.open(owner, false, 0);
    let first = u64::from(pattern != Pattern::Ring);
    round.note(reader, Entry::new(What::Attached).count(1).of(0, first));
    for sequence in 1..=5 {
        round.ack(owner, sequence);
        round.got(reader, owner, sequence);
    }
    round.note(owner, Entry::new(What::Closing).of(0, 5));
    round.end(reader, Ending::Closed);
    round.note(reader, Entry::new(What::Leaving));
    round.note(reader, Entry::new(What::Left));
    round
}

const STREAMS: [Pattern; 3] = [Pattern::Ring, Pattern::Broadcast, Pattern::Frames];

#[test]
fn a_stream_that_is_as_it_should_be() {
    for pattern in STREAMS {
        stream(pattern).finds_nothing();
    }
}

#[test]
fn what_a_stream_breaks_is_found() {
    for pattern in STREAMS {
        let round = || stream(pattern);
        let lost = round().without(READER, What::Got, 2);
        lost.finds(Kind::Lost, "got record 4 after 2");
        let tail = round().without(READER, What::Got, 4);
        tail.finds(Kind::Lost, "told of the end after record 4");
        let repeated = round().twice(READER, What::Got, 2);
        repeated.finds(Kind::Problem, "again");
        let disordered = round().swapped(READER, What::Got, 2);
        disordered.finds(Kind::Lost, "got record 4 after 2");
        disordered.finds(Kind::Problem, "got record 3 again");
        round().torn(READER, 2).finds(Kind::Torn, "wrong bytes");
        let nobodys = round().with(|round| round.entry(READER, What::Got, 1).source = 77);
        nobodys.finds(Kind::Torn, "of nobody");
        let more = round().with(|round| {
            let at = round.at(READER, What::Ended, 0);
            let entry = round.runs[READER].entries[at - 1];
            let sequence = entry.sequence + 1;
            round.runs[READER]
                .entries
                .insert(at, Entry { sequence, ..entry });
        });
        more.finds(Kind::Problem, "cannot have committed");
        // The second look begins behind the record.
        let none = round().with(|round| {
            round.entry(READER, What::Got, 4).what = What::Nothing;
        });
        let none = none.twice(READER, What::Nothing, 0);
        none.finds(Kind::Lost, "told that there is nothing");
    }
}

#[test]
fn what_is_said_of_the_end_is_held_against_it() {
    for pattern in STREAMS {
        let deleted = stream(pattern).with(|round| {
            round.entry(READER, What::Ended, 0).flag = Ending::Deleted as u16;
        });
        deleted.finds(Kind::Problem, "Deleted");
        deleted
            .with(|round| round.removals.push((1500, 1600)))
            .finds_nothing();
        let died = stream(pattern)
            .without(OWNER, What::Closing, 0)
            .with(|round| round.kill(OWNER));
        died.finds(Kind::Problem, "told of a close, and it was Killed");
        for ending in [Ending::Evicted, Ending::Superseded, Ending::Schema] {
            let wrong = stream(pattern).with(|round| {
                round.entry(READER, What::Ended, 0).flag = ending as u16;
            });
            wrong.finds(Kind::Problem, "nobody did that");
        }
    }
}

/// An owner that is killed, and one that goes on.
fn succession(pattern: Pattern, found: u64) -> Forged {
    let mut round = Forged::new(pattern);
    let (first, reader) = (round.run(0), round.run(1));
    round.open(first, false, 0);
    round.note(reader, Entry::new(What::Attached).count(1).of(0, 0));
    for sequence in 1..=3 {
        round.ack(first, sequence);
        round.got(reader, first, sequence);
    }
    round.kill(first);
    let second = round.run(0);
    round.open(second, true, found);
    round.ack(second, found + 1);
    round.got(reader, second, found + 1);
    round.note(second, Entry::new(What::Closing).of(0, found + 1));
    round.end(reader, Ending::Closed);
    round
}

#[test]
fn a_successor_goes_on_where_the_dead_one_was() {
    for pattern in STREAMS {
        succession(pattern, 3).finds_nothing();
        let less = succession(pattern, 2);
        less.finds(Kind::Lost, "found 2 records where");
        let anew = succession(pattern, 3).with(|round| round.entry(2, What::Opened, 0).flag = 0);
        anew.finds(Kind::Lost, "did not find what");
        let both = succession(pattern, 3).with(|round| {
            let at_ns = round.now;
            round.runs[OWNER].entries.push(Entry {
                at_ns,
                ..Entry::new(What::Growing)
            });
        });
        both.finds(Kind::Problem, "owned the channel while");
    }
}

#[test]
fn an_owner_may_be_killed_before_it_comes_to_close() {
    let closes = |killed: bool| {
        succession(Pattern::Ring, 3).with(|round| {
            let last = round.runs[OWNER].entries.last().expect("it acknowledged");
            let at_ns = last.at_ns + 100;
            let closing = Entry::new(What::Closing).of(0, 3);
            round.runs[OWNER].entries.push(Entry { at_ns, ..closing });
            if !killed {
                round.runs[OWNER].killed = None;
            }
        })
    };
    closes(true).finds_nothing();
    closes(false).finds(Kind::Problem, "of another stream");
}

#[test]
fn a_loss_that_must_not_be_is_found() {
    let overrun = |round: &mut Forged| {
        let lost = round.entry(READER, What::Got, 1);
        (lost.what, lost.sequence) = (What::Overrun, 1);
    };
    for pattern in [Pattern::Ring, Pattern::Frames] {
        let round = stream(pattern).with(overrun);
        round.finds(Kind::Lost, "which must not be");
    }
    // Where losses may be, only for want of room; and as many as there are.
    let mut round = stream(Pattern::Broadcast).with(overrun);
    round.plan.options.slots = 100;
    round.finds(Kind::Lost, "told that record 2 is lost");
    let mut round = stream(Pattern::Broadcast).with(overrun);
    round.finds_nothing();
    round.entry(READER, What::Overrun, 0).sequence = 2;
    round.finds(Kind::Problem, "got record 3 again");
}

/// A broadcast grows twice behind the back of a receiver that has read what was before.
fn grown() -> Forged {
    let mut round = Forged::new(Pattern::Broadcast);
    round.plan.options.slots = 100;
    let (owner, reader) = (round.run(0), round.run(1));
    round.open(owner, false, 0);
    round.note(reader, Entry::new(What::Attached).count(1).of(0, 1));
    round.ack(owner, 1);
    round.got(reader, owner, 1);
    for (generation, sequence) in [(2, 1), (3, 4)] {
        round.note(owner, Entry::new(What::Growing).of(0, sequence));
        let grown = Entry::new(What::Grown).count(generation);
        round.note(owner, grown.of(0, sequence));
        (sequence + 1..=sequence + 3).for_each(|sequence| round.ack(owner, sequence));
    }
    round.note(reader, Entry::new(What::Overrun).of(0, 3));
    (5..=7).for_each(|sequence| round.got(reader, owner, sequence));
    round.note(owner, Entry::new(What::Closing).of(0, 7));
    round.end(reader, Ending::Closed);
    round
}

#[test]
fn what_went_with_a_generation_may_be_lost_and_nothing_else() {
    grown().finds_nothing();
    let one_more = grown().without(READER, What::Got, 1);
    one_more.finds(Kind::Lost, "got record 6 after 4");
    let not_told = grown().without(READER, What::Overrun, 0);
    not_told.finds(Kind::Lost, "got record 5 after 1");
    let in_the_middle = grown().with(|round| {
        let at = round.at(READER, What::Got, 1);
        round.runs[READER].entries.swap(at - 1, at);
        round.entry(READER, What::Got, 1).sequence = 2;
        round.entry(READER, What::Overrun, 0).sequence = 2;
        round.entry(READER, What::Got, 2).sequence = 5;
    });
    in_the_middle.finds(Kind::Lost, "told that record 3 is lost");
}

#[test]
fn another_schema_is_told_of_where_it_begins() {
    let reschemed = |after: u64| {
        stream(Pattern::Ring)
            .with(|round| {
                let at = round.at(OWNER, What::Acked, 4);
                let at_ns = round.runs[OWNER].entries[at].at_ns;
                let begins = Entry {
                    at_ns,
                    ..Entry::new(What::Rescheming).of(0, after)
                };
                round.runs[OWNER].entries.insert(at, begins);
                round.entry(READER, What::Ended, 0).flag = Ending::Schema as u16;
            })
            .without(READER, What::Got, 4)
    };
    reschemed(4).finds_nothing();
    reschemed(3).finds(Kind::Problem, "told of another schema after record 4");
    let mut raw = reschemed(4);
    raw.plan.slots[1].raw = true;
    raw.finds(Kind::Problem, "nobody did that");
}

/// A durable consumer that comes twice.
fn durable(at_most_once: bool) -> Forged {
    let mut round = Forged::new(Pattern::Ring);
    round.plan.slots[1].durable = Some("name".to_owned());
    round.plan.slots[1].at_most_once = at_most_once;
    let owner = round.run(0);
    round.open(owner, false, 0);
    for _ in 0..2 {
        let reader = round.run(1);
        round.note(reader, Entry::new(What::Attached).count(1));
    }
    for sequence in 1..=3 {
        round.ack(owner, sequence);
        round.got(1, owner, sequence);
    }
    round.note(1, Entry::new(What::Acknowledged).of(0, 2));
    round.kill(1);
    round.ack(owner, 4);
    for sequence in 4..=5 {
        round.got(2, owner, sequence);
    }
    round
}

#[test]
fn a_durable_consumer_goes_on_where_it_stood() {
    let resumes_at = |round: Forged, sequence| {
        round.with(|round| {
            round.entry(2, What::Got, 0).sequence = sequence;
            round.entry(2, What::Got, 1).sequence = sequence + 1;
        })
    };
    durable(false).finds_nothing();
    // What was not said to be processed comes again, and no more.
    resumes_at(durable(false), 3).finds_nothing();
    resumes_at(durable(false), 2).finds(Kind::Problem, "which was processed");
    resumes_at(durable(false), 5).finds(Kind::Lost, "resumed at 5");
    // The one that it had in hand may be gone.
    resumes_at(durable(true), 5).finds_nothing();
    resumes_at(durable(true), 3).finds(Kind::Problem, "which was processed");
    resumes_at(durable(true), 6).finds(Kind::Lost, "resumed at 6");
}

mod counts;
mod latest;
mod mpsc;
