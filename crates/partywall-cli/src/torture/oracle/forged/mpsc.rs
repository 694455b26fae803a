//! Forged rounds of mpsc channels.

use super::*;

const RECEIVER: usize = 0;
const SENDER: usize = 1;

fn about(what: What) -> Entry {
    Entry::new(what).count(0).of(0, 1)
}

/// A sender of three records that closes, and a receiver that hears it all.
pub(super) fn lanes() -> Forged {
    let mut round = Forged::new(Pattern::Mpsc);
    let (receiver, sender) = (round.run(0), round.run(1));
    round.open(receiver, false, 0);
    let from = round.source(sender);
    round.note(sender, Entry::new(What::Attached).count(0).of(from, 1));
    round.note(receiver, about(What::SenderCame));
    for sequence in 1..=3 {
        let acked = Entry::new(What::Acked).count(1);
        round.note(sender, acked.of(from, sequence));
        round.got(receiver, sender, sequence);
    }
    round.note(sender, Entry::new(What::Dropped));
    round.note(sender, Entry::new(What::Closing).of(from, 3));
    round.note(receiver, about(What::SenderClosed));
    round.note(sender, Entry::new(What::Left));
    round.note(receiver, Entry::counted(Tally::Received, 0, 1, 3));
    round.note(receiver, Entry::counted(Tally::Dropped, 0, 1, 1));
    round.note(receiver, Entry::new(What::Closing).flag(1));
    round
}

#[test]
fn what_a_lane_breaks_is_found() {
    lanes().finds_nothing();
    let lost = lanes().without(RECEIVER, What::Got, 1);
    lost.finds(Kind::Lost, "and 2 was due");
    let tail = lanes().without(RECEIVER, What::Got, 2);
    tail.finds(
        Kind::Lost,
        "told of the end of process 1.1 (opening 1) after 2 of 3",
    );
    let repeated = lanes().twice(RECEIVER, What::Got, 1);
    repeated.finds(Kind::Problem, "twice");
    let disordered = lanes().swapped(RECEIVER, What::Got, 1);
    disordered.finds(Kind::Lost, "and 2 was due");
    lanes().torn(RECEIVER, 1).finds(Kind::Torn, "wrong bytes");
    let nobodys = lanes().with(|round| round.entry(RECEIVER, What::Got, 1).source = 77);
    nobodys.finds(Kind::Torn, "of nobody");
    let late = lanes().with(|round| {
        let at = round.at(RECEIVER, What::SenderClosed, 0);
        let got = round.runs[RECEIVER].entries[at - 1];
        round.runs[RECEIVER]
            .entries
            .insert(at + 1, Entry { sequence: 4, ..got });
    });
    late.finds(Kind::Problem, "after its end");
    let elsewhere = lanes().with(|round| round.entry(RECEIVER, What::Got, 1).count = 3);
    elsewhere.finds(Kind::Problem, "from another seat");
    let more = lanes().with(|round| round.entry(RECEIVER, What::Got, 2).sequence = 30);
    more.finds(Kind::Problem, "who did not send it");
}

#[test]
fn the_end_of_a_sender_is_told_as_it_was() {
    let died = lanes().with(|round| {
        round.entry(RECEIVER, What::SenderClosed, 0).what = What::SenderDied;
    });
    died.finds(Kind::Problem, "which lived");
    let untold = lanes().without(RECEIVER, What::SenderClosed, 0);
    untold.finds(Kind::Problem, "nobody was told of the end");
    let killed = |round: &mut Forged| {
        let at = round.at(SENDER, What::Closing, 0);
        round.runs[SENDER].entries.truncate(at);
        round.runs[SENDER].killed = Some(round.runs[SENDER].entries[at - 1].at_ns + 1);
    };
    lanes()
        .with(killed)
        .finds(Kind::Problem, "left, which it did not");
    lanes()
        .with(killed)
        .with(|round| {
            round.entry(RECEIVER, What::SenderClosed, 0).what = What::SenderDied;
        })
        .finds_nothing();
    let nobody = lanes().with(|round| {
        round.runs[RECEIVER].entries.retain(|entry| {
            !matches!(
                entry.what,
                What::Got | What::SenderCame | What::SenderClosed
            )
        });
    });
    nobody.finds(Kind::Lost, "nothing came of");
}

#[test]
fn who_had_no_room_to_say_that_he_came_is_not_told_of_and_his_seat_may_be_anothers() {
    let told = |closes: bool| {
        let mut round = Forged::new(Pattern::Mpsc);
        let (receiver, silent, other) = (round.run(0), round.run(1), round.run(1));
        round.open(receiver, false, 0);
        for sender in [silent, other] {
            let from = round.source(sender);
            round.note(sender, Entry::new(What::Attached).count(0).of(from, 1));
            if sender == other && closes {
                round.note(sender, Entry::new(What::Closing).of(from, 0));
                round.note(sender, Entry::new(What::Left));
            } else {
                round.note(sender, Entry::new(What::NoRoom));
                round.kill(sender);
            }
        }
        round.note(receiver, about(What::SenderCame));
        round.note(receiver, about(What::SenderClosed));
        round.note(receiver, Entry::new(What::Closing).flag(1));
        round
    };
    told(true).finds_nothing();
    told(false).finds(Kind::Problem, "left, which it did not");
}

#[test]
fn a_successor_may_get_again_what_was_not_acknowledged() {
    let succeeds = |acknowledged: bool| {
        let mut round = lanes();
        let at = round.at(RECEIVER, What::SenderClosed, 0);
        let rest = round.runs[RECEIVER].entries.split_off(at);
        if acknowledged {
            round.note(RECEIVER, Entry::new(What::Acknowledged));
        }
        round.kill(RECEIVER);
        let heir = round.run(0);
        round.open(heir, true, 0);
        round.got(heir, SENDER, 3);
        for entry in rest {
            round.note(heir, entry);
        }
        round
    };
    succeeds(false).finds_nothing();
    succeeds(true).finds(Kind::Problem, "which was acknowledged");
    let anew = succeeds(false).with(|round| round.entry(2, What::Opened, 0).flag = 0);
    anew.finds(Kind::Lost, "did not find what");
    // Taken over while it was about to be removed: the same channel yet, by what comes of it, and to be held to that.
    let removing = |round: &mut Forged| {
        let opened = round.entry(2, What::Opened, 0).at_ns;
        round.removals.push((opened - 1, u64::MAX));
    };
    succeeds(false).with(removing).finds_nothing();
    let again = succeeds(true).with(removing);
    again.finds(Kind::Problem, "which was acknowledged");
    let other = succeeds(false).with(removing).with(|round| {
        round.entry(2, What::Opened, 0).flag = 0;
    });
    other.finds(Kind::Problem, "in another stream");
}
