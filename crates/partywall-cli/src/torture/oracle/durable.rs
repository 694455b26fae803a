//! Durable consumers: whoever takes the name goes on where the one before stood.

use super::super::journal::What;
use super::super::plan::Part;
use super::owners::{Stream, stream_of};
use super::{Evidence, Findings, Visit, visits};

/// How far the holders of a name have come.
#[derive(Debug, Default, Clone, Copy)]
struct Stand {
    stream: usize,
    /// Everything before and with this one is processed, and will not come again.
    processed: u64,
    /// The last one that was written down.
    got: u64,
    /// It left in an orderly way, so that nothing comes again.
    left: bool,
}

pub(super) fn check(evidence: &Evidence<'_>, streams: &[Stream], findings: &mut Findings) {
    for (number, slot) in evidence.plan.slots.iter().enumerate() {
        if slot.durable.is_none() {
            continue;
        }
        let runs = evidence
            .of_part(Part::Peer)
            .filter(|run| run.slot == number);
        let mut stand: Option<Stand> = None;
        for visit in runs.flat_map(visits) {
            follow(
                &visit,
                slot.at_most_once,
                evidence,
                streams,
                &mut stand,
                findings,
            );
        }
    }
}

/// Compares where a holder begins with where the one before stood.
fn follow(
    visit: &Visit<'_>,
    at_most_once: bool,
    evidence: &Evidence<'_>,
    streams: &[Stream],
    stand: &mut Option<Stand>,
    findings: &mut Findings,
) {
    let mut first = true;
    for (_, entry) in visit.steps() {
        let sequence = entry.sequence;
        match entry.what {
            What::Got => {
                let Some(stream) = stream_of(streams, entry.source) else {
                    continue;
                };
                let before = stand.filter(|before| before.stream == stream);
                match *stand {
                    Some(stand) if first && before.is_some() => {
                        resumed(visit, stand, at_most_once, sequence, findings);
                    }
                    Some(stand) if first && stream > stand.stream => {
                        skipped(visit, stand, stream, sequence, evidence, streams, findings);
                    }
                    _ => {}
                }
                first = false;
                let processed = if at_most_once { sequence } else { 0 };
                *stand = Some(Stand {
                    stream,
                    processed: processed.max(before.map_or(0, |before| before.processed)),
                    got: sequence,
                    left: false,
                });
            }
            What::Acknowledged => {
                if let Some(stand) = stand {
                    stand.processed = sequence;
                }
            }
            What::Left if !first => {
                if let Some(stand) = stand {
                    stand.processed = stand.got;
                    stand.left = true;
                }
            }
            _ => {}
        }
    }
}

/// In the same stream: nothing is left out, and nothing comes again that was processed.
fn resumed(
    visit: &Visit<'_>,
    before: Stand,
    at_most_once: bool,
    sequence: u64,
    findings: &mut Findings,
) {
    let run = visit.run;
    let (low, high) = match (before.left, at_most_once) {
        (true, _) => (before.got + 1, before.got + 1),
        // The record that was handed out when it died.
        (false, true) => (before.got + 1, before.got + 2),
        (false, false) => (before.processed + 1, before.got + 1),
    };
    if sequence > high {
        let text = format!("{run} resumed at {sequence}, and {high} was due");
        findings.lost(sequence - high, text);
    } else if sequence < low {
        let processed = low - 1;
        findings.problem(format!(
            "{run} got {sequence} again, which was processed up to {processed}"
        ));
    }
}

/// It goes from one stream to a later one: it has read the first to its end, and the later one from its beginning.
fn skipped(
    visit: &Visit<'_>,
    before: Stand,
    stream: usize,
    sequence: u64,
    evidence: &Evidence<'_>,
    streams: &[Stream],
    findings: &mut Findings,
) {
    let since = streams[before.stream].opened_ns();
    if evidence.removed_between(since, streams[stream].opened_ns()) {
        return;
    }
    // The record that was handed out when it died.
    let due = before.got + 1 + u64::from(evidence.slot(visit.run).at_most_once);
    let written = streams[before.stream].last().upper;
    if written > due {
        let text = format!(
            "{} went on at {sequence} of a new stream, and records up to {written} of the old one were due",
            visit.run
        );
        findings.lost(written - due + 1, text);
    }
}
