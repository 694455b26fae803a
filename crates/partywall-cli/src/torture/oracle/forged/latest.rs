//! Forged rounds of snapshots and of guarded records.

use super::*;

/// Three values, each looked at.
fn values() -> Forged {
    let mut round = Forged::new(Pattern::Snapshot);
    let (owner, reader) = (round.run(0), round.run(1));
    round.open(owner, false, 0);
    round.note(reader, Entry::new(What::Attached).count(1));
    for sequence in 1..=3 {
        round.ack(owner, sequence);
        round.note(reader, Entry::new(What::Nothing));
        round.got(reader, owner, sequence);
    }
    round.note(owner, Entry::new(What::Closing).of(0, 3));
    round.end(reader, Ending::Closed);
    round
}

#[test]
fn a_value_that_is_not_the_latest_is_found() {
    values().finds_nothing();
    // The second look begins behind the value.
    let blind = values().twice(READER, What::Nothing, 1);
    blind.finds(Kind::Lost, "told of nothing after 1, with 2 there");
    let old = values().with(|round| {
        round.note(READER, Entry::new(What::Nothing));
        round.got(READER, OWNER, 2);
    });
    old.finds(Kind::Lost, "got value 2, with 3 there");
    old.finds(Kind::Torn, "got value 2 after 3");
    values().torn(READER, 1).finds(Kind::Torn, "wrong bytes");
    let nobodys = values().with(|round| round.entry(READER, What::Got, 1).source = 77);
    nobodys.finds(Kind::Torn, "of nobody");
    let later = values().with(|round| round.entry(READER, What::Got, 2).sequence = 9);
    later.finds(Kind::Problem, "cannot have committed");
    let early = values().without(READER, What::Got, 2);
    early.finds(Kind::Problem, "told of a close after value 2");
    let none = values().with(|round| {
        let empty = round.entry(READER, What::Got, 1);
        (empty.what, empty.sequence) = (What::Empty, 0);
    });
    none.finds(Kind::Lost, "told of no value");
}

#[test]
fn who_stands_a_generation_behind_may_learn_of_the_close_alone() {
    let behind = |base| {
        let mut round = values().without(READER, What::Got, 2);
        let at = round.at(OWNER, What::Acked, 2);
        let grown = Entry::new(What::Growing).of(round.source(OWNER), base);
        round.runs[OWNER].entries.insert(at, grown);
        round
    };
    behind(2).finds_nothing();
    behind(1).finds(Kind::Problem, "told of a close after value 2");
}

#[test]
fn who_follows_from_a_generation_behind_may_miss_the_last_value() {
    // It was told of nothing behind the close, and then got what it had.
    let misses = |base, follow| {
        let mut round = values().without(READER, What::Got, 2);
        let at = round.at(OWNER, What::Acked, 2);
        let grown = Entry::new(What::Growing).of(round.source(OWNER), base);
        round.runs[OWNER].entries.insert(at, grown);
        round.runs[READER].entries.pop();
        round.note(READER, Entry::new(What::Nothing));
        round.note(READER, Entry::new(What::Nothing));
        round.got(READER, OWNER, 2);
        round.plan.slots[1].follow = follow;
        round
    };
    misses(2, true).finds_nothing();
    for (base, follow) in [(2, false), (1, true)] {
        misses(base, follow).finds(Kind::Lost, "told of nothing after 2, with 3 there");
        misses(base, follow).finds(Kind::Lost, "got value 2, with 3 there");
    }
    // What its own generation has yet it must be given.
    let own = misses(3, true);
    own.finds(Kind::Lost, "got value 2, with 3 there");
    let before =
        misses(2, true).with(|round| round.entry(OWNER, What::Closing, 0).at_ns = u64::MAX);
    before.finds(Kind::Lost, "told of nothing after 2, with 3 there");
}

/// Two values, records of another schema, and a reader that comes then.
fn reschemed(values: u64) -> Forged {
    let mut round = Forged::new(Pattern::Snapshot);
    let (owner, reader) = (round.run(0), round.run(1));
    round.open(owner, false, 0);
    (1..=2).for_each(|sequence| round.ack(owner, sequence));
    round.note(owner, Entry::new(What::Rescheming).of(0, 2));
    round.note(owner, Entry::new(What::Reschemed).count(2).of(0, 2));
    (3..3 + values).for_each(|sequence| round.ack(owner, sequence));
    round.note(reader, Entry::new(What::Attached).count(1));
    round
}

#[test]
fn no_value_goes_over_to_another_schema() {
    let empty =
        |values| reschemed(values).with(|round| round.note(READER, Entry::new(What::Empty)));
    empty(0).finds_nothing();
    empty(1).finds(Kind::Lost, "told of no value, with 3 there");
    let the_same = empty(0).without(OWNER, What::Rescheming, 0);
    the_same.finds(Kind::Lost, "told of no value, with 2 there");
}

#[test]
fn who_comes_over_to_another_schema_is_owed_its_values_alone() {
    let told_of_nothing = |values: u64| {
        let mut round = Forged::new(Pattern::Snapshot);
        let (owner, reader) = (round.run(0), round.run(1));
        round.open(owner, false, 0);
        round.ack(owner, 1);
        round.note(reader, Entry::new(What::Attached).count(1));
        round.got(reader, owner, 1);
        round.ack(owner, 2);
        round.note(owner, Entry::new(What::Rescheming).of(0, 2));
        round.note(owner, Entry::new(What::Reschemed).count(2).of(0, 2));
        (3..3 + values).for_each(|sequence| round.ack(owner, sequence));
        // The second look begins behind all of them.
        round.note(reader, Entry::new(What::Nothing));
        round.note(reader, Entry::new(What::Nothing));
        round
    };
    told_of_nothing(0).finds_nothing();
    told_of_nothing(1).finds(Kind::Lost, "told of nothing after 1, with 3 there");
    let the_same = told_of_nothing(0).without(OWNER, What::Rescheming, 0);
    the_same.finds(Kind::Lost, "told of nothing after 1, with 2 there");
}

#[test]
fn the_last_value_of_the_old_schema_is_had_by_who_wants_it() {
    let got = |sequence| reschemed(1).with(|round| round.got(READER, OWNER, sequence));
    got(3).finds_nothing();
    got(2).finds_nothing();
    got(1).finds(Kind::Lost, "got value 1, with 3 there");
    let mut raw = got(2);
    raw.plan.slots[1].raw = true;
    raw.finds(Kind::Lost, "got value 2, with 3 there");
}

const FIRST: usize = 0;
const SECOND: usize = 1;

/// Two holders, one after the other; the value of each is found by the next.
fn guarded() -> Forged {
    let mut round = Forged::new(Pattern::Guarded);
    round.run(1);
    round.run(2);
    let birth = round.source(FIRST);
    for (run, found) in [(FIRST, 0), (SECOND, 1), (FIRST, 2)] {
        if round.runs[run].entries.is_empty() {
            round.note(run, Entry::new(What::Attached).count(1));
        }
        round.note(run, Entry::new(What::Locking));
        let of = if found == 0 { 0 } else { birth };
        round.note(run, Entry::new(What::Locked).of(of, found));
        let acked = Entry::new(What::Acked).count(1);
        round.note(run, acked.of(birth, found + 1));
        round.note(run, Entry::new(What::Unlocking));
        round.note(run, Entry::new(What::Unlocked));
    }
    round
}

#[test]
fn what_a_guarded_record_breaks_is_found() {
    guarded().finds_nothing();
    let old = guarded().with(|round| round.entry(FIRST, What::Locked, 1).sequence = 1);
    old.finds(Kind::Lost, "found value 1, with 2 there");
    let again = guarded().with(|round| round.entry(FIRST, What::Acked, 1).sequence = 2);
    again.finds(Kind::Lost, "committed 2 after");
    let told = guarded().with(|round| round.entry(SECOND, What::Locked, 0).flag = 1);
    told.finds(Kind::Problem, "told of a death that was none");
    let given_up = guarded().with(|round| round.note(SECOND, Entry::new(What::NotRecoverable)));
    given_up.finds(Kind::Problem, "which nobody did");
    let torn = guarded().with(|round| round.note(SECOND, Entry::new(What::Torn)));
    torn.finds(Kind::Torn, "wrong bytes");
}

#[test]
fn a_holder_that_was_killed_is_told_of() {
    let dies = || {
        guarded().with(|round| {
            let at = round.at(SECOND, What::Unlocking, 0);
            round.runs[SECOND].entries.truncate(at);
            round.runs[SECOND].killed = Some(round.runs[SECOND].entries[at - 1].at_ns + 1);
        })
    };
    dies().finds(
        Kind::Problem,
        "not told that the holder before it was killed",
    );
    let told = dies().with(|round| round.entry(FIRST, What::Locked, 1).flag = 1);
    told.finds_nothing();
}

#[test]
fn a_guarded_records_reader_gets_the_latest_value() {
    let reads = |sequence| {
        guarded().with(|round| {
            let reader = round.run(0);
            round.note(reader, Entry::new(What::Attached).count(1));
            round.note(
                reader,
                Entry::new(What::Got).of(round.source(FIRST), sequence),
            );
        })
    };
    reads(3).finds_nothing();
    reads(2).finds(Kind::Lost, "got value 2, with 3 there");
    let back = reads(3).with(|round| {
        let got = Entry::new(What::Got).of(round.source(FIRST), 2);
        round.note(2, got);
    });
    back.finds(Kind::Torn, "got value 2 after 3");
}
