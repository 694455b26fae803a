//! What the channel itself counts, where that follows from what was done.

use std::collections::BTreeMap;

use super::super::journal::{Ending, Entry, Tally, What};
use super::super::plan::Part;
use super::super::worker::BATCH;
use super::mpsc::{Heard, Sent};
use super::owners::{End, Stream, entries_of, stream_of};
use super::{Evidence, Findings, Named, Visit, visits};

/// A number that the channel told, if this is such an entry.
fn told(entry: &Entry, tally: Tally) -> Option<u64> {
    let is_it = entry.what == What::Counted && entry.flag == tally as u16;
    is_it.then_some(entry.sequence)
}

/// What a ring counts.
pub(super) fn ring(evidence: &Evidence<'_>, streams: &[Stream], findings: &mut Findings) {
    refused(evidence, streams, findings);
    let mut seats: BTreeMap<u32, Vec<Seated<'_>>> = BTreeMap::new();
    for visit in evidence.of_part(Part::Peer).flat_map(visits) {
        let counts = counts(&visit);
        if let (Some(first), Some(last)) = (counts.first(), counts.last()) {
            // Nobody else has had the seat meanwhile; where it came over, it begins anew.
            let (came, left) = (first.sequence, last.sequence);
            if came != left && first.source == last.source {
                findings.problem(format!(
                    "{} lost {left} at its seat, and {came} before it came",
                    visit.run
                ));
            }
            let seated = Seated::new(visit, *first, *last, evidence, streams);
            seats.entry(first.count).or_default().push(seated);
        }
    }
    for seat in seats.values_mut() {
        seat.sort_by_key(|seated| seated.first.at_ns);
        for pair in seat.windows(2) {
            left_unread(&pair[0], &pair[1], evidence, streams, findings);
        }
    }
}

/// What the channel said of a seat while its holder was there.
fn counts(visit: &Visit<'_>) -> Vec<Entry> {
    let of_seat = |entry: &&Entry| told(entry, Tally::Losses).is_some();
    visit.entries.iter().filter(of_seat).copied().collect()
}

/// A holder of a seat.
struct Seated<'a> {
    visit: Visit<'a>,
    /// What the seat had lost when it came, and at the last look.
    first: Entry,
    last: Entry,
    /// What the seat had lost in generations before, as far as that was final, at the same looks.
    former: [Option<u64>; 2],
    /// It has certainly processed so many records of the channel, and certainly no more than that.
    low: u64,
    high: u64,
}

impl<'a> Seated<'a> {
    fn new(
        visit: Visit<'a>,
        first: Entry,
        last: Entry,
        evidence: &Evidence<'_>,
        streams: &[Stream],
    ) -> Self {
        let of = |what| visit.entries.iter().filter(move |entry| entry.what == what);
        let at_most_once = evidence.slot(visit.run).at_most_once;
        let (begin, got) = (of(What::Got).next(), of(What::Got).next_back());
        let acknowledged = of(What::Acknowledged).next_back();
        // It joined between the entry before and its own.
        let joined = committed(streams, visit.before.unwrap_or(0));
        let low = match (begin, got) {
            (_, Some(got)) if at_most_once || !visit.killed => got.sequence,
            (Some(begin), _) => begin.sequence - 1,
            _ => joined,
        };
        let high = match got {
            Some(got) => got.sequence,
            None => committed(streams, visit.attached().at_ns) + BATCH,
        };
        let former = |look: Entry| {
            let before = visit.entries.iter().rev();
            let mut before = before.skip_while(|entry| entry.at_ns >= look.at_ns);
            // Noted just before it, or not at all.
            before.next().and_then(|entry| told(entry, Tally::Former))
        };
        Seated {
            former: [former(first), former(last)],
            low: low.max(acknowledged.map_or(0, |entry| entry.sequence)),
            // What it got and could not write down.
            high: high + u64::from(visit.killed),
            visit,
            first,
            last,
        }
    }

    /// Records that were certainly there for it when it went.
    fn committed(&self, streams: &[Stream]) -> u64 {
        let got = |entry: &&Entry| entry.what == What::Got;
        let got = self.visit.entries.iter().rev().find(got);
        match got.and_then(|got| stream_of(streams, got.source)) {
            Some(stream) => streams[stream].acked_by(self.end()),
            None => 0,
        }
    }

    /// It was there until then, for certain.
    fn end(&self) -> u64 {
        let leaving = |entry: &&Entry| entry.what == What::Leaving;
        let leaving = self.visit.entries.iter().find(leaving);
        let killed = self.visit.run.killed.filter(|_| self.visit.killed);
        leaving.map(|entry| entry.at_ns).or(killed).unwrap_or(0)
    }
}

/// Records that were certainly committed by then, in the stream of that time.
fn committed(streams: &[Stream], time: u64) -> u64 {
    let begun = streams
        .iter()
        .take_while(|stream| stream.opened_ns() <= time);
    begun.last().map_or(0, |stream| {
        stream.acked_by(time).max(stream.tenures[0].base)
    })
}

/// Whoever had a seat left something unread, and it was counted there once: between as much as was certainly there when it
/// went, and as much as can have been there when the next one came. If that is in a later generation, once those before
/// it are gone.
fn left_unread(
    before: &Seated<'_>,
    after: &Seated<'_>,
    evidence: &Evidence<'_>,
    streams: &[Stream],
    findings: &mut Findings,
) {
    // From before it sat down: after a removal records are counted from 1 again.
    let (from, to) = (before.visit.before.unwrap_or(0), after.first.at_ns);
    // Nor is a channel that went with its end the one that was made after it.
    let anew = streams.windows(2).any(|pair| {
        let (old, new) = (pair[0].last(), &pair[1].tenures[0]);
        new.generation == 1 && !new.adopted && old.last_ns <= to && from < new.opened_ns
    });
    if anew || evidence.removed_between(from, to) {
        return;
    }
    let (last, first) = (before.last.sequence, after.first.sequence);
    // Of which what was lost earlier may not have been added yet.
    let (counted, is_all) = if before.last.source == after.first.source {
        (first.wrapping_sub(last), true)
    } else {
        let [former, _] = after.former;
        let Some(former) = former else {
            return;
        };
        let [_, earlier] = before.former;
        let all = first + former;
        (
            all.wrapping_sub(last + earlier.unwrap_or(0)),
            earlier.is_some(),
        )
    };
    // Who was killed before it could write where it sat may have left something too.
    let unknown = evidence.of_part(Part::Peer).any(|run| {
        let seated = visits(run)
            .last()
            .is_some_and(|visit| visit.count(What::Left) == 0 && !counts(&visit).is_empty());
        run.killed.is_some_and(|at| from <= at && at <= to) && !seated
    });
    let durable = |seated: &Seated<'_>| evidence.slot(seated.visit.run).durable.is_some();
    // Told of records that it does not want, it gave its seat up, and left nothing that it would have read.
    let gave_up = before
        .visit
        .entries
        .iter()
        .any(|entry| entry.what == What::Ended && entry.flag == Ending::Schema as u16);
    let (low, high) = if durable(before) || gave_up {
        (0, 0)
    } else {
        let there = before.committed(streams);
        let most = committed(streams, to) + BATCH;
        (
            there.saturating_sub(before.high),
            most.saturating_sub(before.low),
        )
    };
    let high = if is_all && !unknown {
        high
    } else {
        u64::MAX / 2
    };
    if !(low..=high).contains(&counted) {
        let (run, old) = (after.visit.run, before.visit.run);
        findings.problem(format!(
            "{old} left {low} to {high} records unread, and {run} finds {counted} counted at its seat"
        ));
    }
}

/// From the beginning of a stream to its end, through all owners and generations, it is counted what they refused.
fn refused(evidence: &Evidence<'_>, streams: &[Stream], findings: &mut Findings) {
    for stream in streams {
        // As the channel said it last, and what came after.
        let mut due = (!stream.tenures[0].adopted).then_some((0, 0));
        for (number, tenure) in stream.tenures.iter().enumerate() {
            for entry in entries_of(tenure, evidence) {
                if entry.what == What::Dropped {
                    due = due.map(|(low, high)| (low + 1, high + 1));
                }
                let Some(count) = told(entry, Tally::Dropped) else {
                    continue;
                };
                if let Some((low, high)) = due
                    && !(low..=high).contains(&count)
                {
                    let name = Named(tenure.source);
                    findings.problem(format!(
                        "{low} to {high} records were refused, and {name} finds {count} counted"
                    ));
                }
                due = Some((count, count));
            }
            // One more that it refused and could not write down.
            let more = u64::from(tenure.end == End::Killed && number + 1 < stream.tenures.len());
            due = due.map(|(low, high)| (low, high + more));
        }
    }
}

/// What the lanes counted of an mpsc channel from which everything is received, in these entries of its last receiver.
pub(super) fn lanes(
    entries: &[Entry],
    stream: usize,
    sent: &[Sent],
    heard: &BTreeMap<u64, Heard>,
    findings: &mut Findings,
) {
    let of_seat = |seat: u32| {
        sent.iter().filter_map(move |sender| {
            let heard = heard.get(&sender.source).copied().unwrap_or_default();
            (sender.seat == seat).then_some((sender, heard))
        })
    };
    for entry in entries {
        let seat = entry.count;
        if let Some(count) = told(entry, Tally::Received) {
            let here = of_seat(seat).filter(|(_, heard)| heard.stream == Some(stream));
            let due: u64 = here.map(|(_, heard)| heard.latest).sum();
            if count != due {
                findings.problem(format!(
                    "{due} records came through lane {seat}, and {count} are counted"
                ));
            }
        }
        if let Some(count) = told(entry, Tally::Dropped) {
            let (mut low, mut high) = (0, 0);
            for (sender, heard) in of_seat(seat) {
                // Of whom nothing came may have been in another stream; who was killed may have refused one more.
                let (surely, perhaps) = match heard.stream {
                    Some(there) if there == stream => (sender.dropped, sender.dropped),
                    Some(_) => (0, 0),
                    None => (0, sender.dropped),
                };
                low += surely;
                high += perhaps + u64::from(sender.killed);
            }
            if !(low..=high).contains(&count) {
                findings.problem(format!(
                    "{low} to {high} records were refused in lane {seat}, and {count} are counted"
                ));
            }
        }
    }
}
