//! What the channel itself counts, where that follows from what was done.

use std::collections::BTreeMap;

use super::super::journal::{Entry, Tally, What};
use super::super::plan::Part;
use super::mpsc::{Heard, Sent};
use super::{Evidence, Findings, Run, visits};

/// A number that the channel told, if this is such an entry.
fn told(entry: &Entry, tally: Tally) -> Option<u64> {
    let is_it = entry.what == What::Counted && entry.flag == tally as u16;
    is_it.then_some(entry.sequence)
}

/// What a ring counts.
pub(super) fn ring(evidence: &Evidence<'_>, findings: &mut Findings) {
    for run in evidence.of_part(Part::Owner) {
        refused(run, findings);
    }
    for visit in evidence.of_part(Part::Peer).flat_map(visits) {
        let losses = |entry: &Entry| told(entry, Tally::Losses);
        let mut counts = visit.entries.iter().filter_map(losses);
        let first = counts.next();
        // Nobody else has had the seat meanwhile.
        if let Some(other) = counts.find(|&count| Some(count) != first) {
            let first = first.unwrap_or(0);
            findings.problem(format!(
                "{} lost {other} at its seat, and {first} before it came",
                visit.run
            ));
        }
    }
}

/// From opening to closing a producer counts what it refused.
fn refused(run: &Run, findings: &mut Findings) {
    let (mut opened, mut dropped) = (None, 0);
    for entry in &run.entries {
        match entry.what {
            What::Opened => (opened, dropped) = (None, 0),
            What::Dropped => dropped += 1,
            _ => {}
        }
        let Some(count) = told(entry, Tally::Dropped) else {
            continue;
        };
        let due = opened.map_or(count, |opened| opened + dropped);
        if count != due {
            findings.problem(format!(
                "{run} refused records, and {due} are, but {count} are counted"
            ));
        }
        (opened, dropped) = (Some(count), 0);
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
