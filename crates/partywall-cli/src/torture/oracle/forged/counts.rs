//! Forged counts: what a channel says that it refused, or that a seat lost, and that it did not.

use super::mpsc::lanes;
use super::*;

fn losses(seat: u32, generation: u64, number: u64) -> Entry {
    Entry::counted(Tally::Losses, seat, generation, number)
}

fn refused(number: u64) -> Entry {
    Entry::counted(Tally::Dropped, 0, 1, number)
}

/// A producer that refuses two records, is killed, and has a successor that refuses one more.
fn producers(found: u64, at_last: u64) -> Forged {
    let mut round = Forged::new(Pattern::Ring);
    let first = round.run(0);
    round.open(first, false, 0);
    round.note(first, refused(0));
    round.note(first, Entry::new(What::Dropped));
    round.note(first, Entry::new(What::Growing));
    round.note(first, Entry::new(What::Grown).count(2));
    round.note(first, Entry::new(What::Dropped));
    round.kill(first);
    let second = round.run(0);
    round.open(second, true, 0);
    round.note(second, refused(found));
    round.note(second, Entry::new(What::Dropped));
    round.note(second, refused(at_last));
    round.note(second, Entry::new(What::Closing));
    round
}

#[test]
fn a_wrong_count_of_refused_records_is_found() {
    producers(2, 3).finds_nothing();
    // One that it could not write down.
    producers(3, 4).finds_nothing();
    producers(1, 2).finds(Kind::Problem, "2 to 3 records were refused");
    producers(4, 5).finds(Kind::Problem, "2 to 3 records were refused");
    producers(2, 2).finds(Kind::Problem, "3 to 3 records were refused");
    producers(2, 4).finds(Kind::Problem, "3 to 3 records were refused");
}

/// Two consumers in one seat, the first of whom has got 2 records of 40 when it goes.
fn seats(killed: bool, generation: u64, counted: u64) -> Forged {
    seats_of(Forged::new(Pattern::Ring), killed, generation, counted)
}

/// The same in a round that has begun.
fn seats_of(mut round: Forged, killed: bool, generation: u64, counted: u64) -> Forged {
    let (owner, first) = (round.run(0), round.run(1));
    round.open(owner, false, 0);
    // It was somewhere else before.
    round.note(first, Entry::new(What::Left));
    round.note(first, Entry::new(What::Attached).count(1));
    round.note(first, losses(3, 1, 5));
    for sequence in 1..=40 {
        round.ack(owner, sequence);
        if sequence < 3 {
            round.got(first, owner, sequence);
        }
    }
    if killed {
        round.kill(first);
    } else {
        round.note(first, losses(3, 1, 5));
        round.note(first, Entry::new(What::Leaving));
        round.note(first, Entry::new(What::Left));
    }
    let second = round.run(2);
    round.note(second, Entry::new(What::Attached).count(1));
    round.note(second, losses(3, generation, 5 + counted));
    round
}

#[test]
fn a_wrong_count_of_what_was_left_unread_is_found() {
    // As many as were there, and a batch that may have come until the seat was taken.
    for counted in [38, 40, 38 + 16] {
        seats(false, 1, counted).finds_nothing();
    }
    for counted in [0, 37, 38 + 17] {
        seats(false, 1, counted).finds(Kind::Problem, "left 38 to 54 records unread");
    }
    // It may have got one more.
    seats(true, 1, 37).finds_nothing();
    seats(true, 1, 36).finds(Kind::Problem, "left 37 to 54 records unread");
    let mut at_least_once = seats(true, 1, 40);
    at_least_once.plan.slots[1].at_most_once = false;
    at_least_once.finds_nothing();
    // In a later generation a seat begins anew, and what was before is known when that is gone.
    let later = |losses: u64, former: Option<u64>| {
        seats(true, 2, losses).with(|round| {
            let second = round.runs.len() - 1;
            let losses = round.runs[second].entries.pop().expect("it counted");
            if let Some(former) = former {
                round.note(second, Entry::counted(Tally::Former, 3, 2, former));
            }
            round.note(
                second,
                Entry {
                    sequence: losses.sequence - 5,
                    ..losses
                },
            );
        })
    };
    later(0, None).finds_nothing();
    later(0, Some(5 + 38)).finds_nothing();
    later(0, Some(5)).finds(Kind::Problem, "records unread");
    later(0, Some(5 + 36)).finds(Kind::Problem, "records unread");
    // What a durable one left it still gets.
    let durable = |counted| {
        seats(true, 1, counted).with(|round| {
            round.plan.slots[1].durable = Some("name".to_owned());
        })
    };
    durable(0).finds_nothing();
    durable(38).finds(Kind::Problem, "left 0 to 0 records unread");
}

#[test]
fn after_a_removal_counts_begin_anew() {
    let removed = || {
        let mut round = Forged::new(Pattern::Ring);
        // Of whom the round's own owner and consumer are successors in name alone.
        let owner = round.run(0);
        round.open(owner, false, 0);
        (1..=100).for_each(|sequence| round.ack(owner, sequence));
        round.removals.push((round.now, round.now + 500));
        round.end(owner, Ending::Deleted);
        round
    };
    seats_of(removed(), false, 1, 38).finds_nothing();
    seats_of(removed(), false, 1, 37).finds(Kind::Problem, "left 38 to 54 records unread");
}

#[test]
fn a_loss_while_somebody_sits_there_is_found() {
    let round = seats(false, 1, 38).with(|round| round.entry(1, What::Counted, 1).sequence = 6);
    round.finds(Kind::Problem, "lost 6 at its seat, and 5 before it came");
}

#[test]
fn a_wrong_count_of_a_lane_is_found() {
    let received = lanes().with(|round| round.entry(0, What::Counted, 0).sequence = 2);
    received.finds(
        Kind::Problem,
        "3 records came through lane 0, and 2 are counted",
    );
    for dropped in [0, 2] {
        let dropped = lanes().with(|round| round.entry(0, What::Counted, 1).sequence = dropped);
        dropped.finds(Kind::Problem, "1 to 1 records were refused in lane 0");
    }
}
