//! Snapshots: whoever looks gets the latest value or a later one, whole, and never an earlier one than before.

use super::super::journal::{Ending, What};
use super::super::plan::Part;
use super::owners::{End, Stream, stream_of};
use super::{Evidence, Findings, Kind, Visit, visits};

pub(super) fn check(evidence: &Evidence<'_>, streams: &[Stream], findings: &mut Findings) {
    for run in evidence.of_part(Part::Peer) {
        for visit in visits(run) {
            look(&visit, evidence, streams, findings);
        }
    }
}

fn look(visit: &Visit<'_>, evidence: &Evidence<'_>, streams: &[Stream], findings: &mut Findings) {
    let run = visit.run;
    let follows = evidence.slot(run).follow;
    // A reader that follows may never see the end of its stream: it stood a generation behind, without a seat, when the stream
    // was closed. The last generation may have gone with its channel by then, and who follows is not told of the close but waits
    // for the next stream. Where the generation after its own began, if that is so.
    let misses_the_end = |stream: &Stream, seen: u64, told_ns: u64| {
        let last = stream.last();
        let closed = matches!(last.end, End::Closed(_)) && last.last_ns <= told_ns;
        stream.next_base(seen).filter(|_| follows && closed)
    };
    let mut seen: Option<(usize, u64)> = None;
    for (looked_ns, entry) in visit.steps() {
        let sequence = entry.sequence;
        match entry.what {
            What::Got => {
                let Some(at) = stream_of(streams, entry.source) else {
                    let text = format!("{run} got value {sequence} of nobody");
                    findings.add(Kind::Torn, 1, text);
                    continue;
                };
                if !streams[at].has(entry.source, sequence) {
                    findings.problem(format!(
                        "{run} got value {sequence}, which its writer cannot have committed"
                    ));
                }
                if let Some(before) = seen
                    && (at, sequence) < before
                {
                    let text = format!("{run} got value {sequence} after {}", before.1);
                    findings.add(Kind::Torn, 1, text);
                }
                let stream = &streams[at];
                let mut there = stream.acked_by(looked_ns);
                if let Some(base) = misses_the_end(stream, sequence, entry.at_ns) {
                    // All of its own generation it has.
                    there = there.min(base);
                }
                // The last one of its kind, for who wants no other.
                let last = stream.reschemas(entry.at_ns).any(|base| base == sequence);
                if sequence < there && !(last && evidence.wants_one_kind(run)) {
                    let text = format!("{run} got value {sequence}, with {there} there");
                    findings.lost(there - sequence, text);
                }
                seen = Some((at, sequence));
            }
            What::Empty => {
                if let Some(at) = the_stream(visit, looked_ns, entry.at_ns, evidence, streams) {
                    let there = streams[at].acked_by(looked_ns);
                    if there > streams[at].begun(entry.at_ns) {
                        let text = format!("{run} was told of no value, with {there} there");
                        findings.lost(1, text);
                    }
                }
            }
            What::Nothing | What::OwnerDied => {
                let Some((at, sequence)) = seen else {
                    continue;
                };
                let stream = &streams[at];
                let there = stream.acked_by(looked_ns);
                // None of the schema of before goes over.
                let had = sequence.max(stream.begun(entry.at_ns));
                if had < there && misses_the_end(stream, sequence, entry.at_ns).is_none() {
                    let text =
                        format!("{run} was told of nothing after {sequence}, with {there} there");
                    findings.lost(there - sequence, text);
                }
            }
            What::Ended if entry.flag == Ending::Closed as u16 => {
                if let Some((at, sequence)) = seen {
                    match streams[at].last().end {
                        End::Closed(last) if last <= sequence || followed(visit, streams, at) => {}
                        End::Deleted => {}
                        // It stood a generation behind, without a seat, and by then the channel was gone.
                        End::Closed(_) if streams[at].next_base(sequence).is_some() => {}
                        how => findings.problem(format!(
                            "{run} was told of a close after value {sequence}, and it was {how:?}"
                        )),
                    }
                }
            }
            _ => {}
        }
    }
}

/// A reader that follows may have come to a later stream, whose values it has not seen.
fn followed(visit: &Visit<'_>, streams: &[Stream], at: usize) -> bool {
    let attached = visit.attached();
    !streams[at].was_in(attached.count) || at + 1 < streams.len()
}

/// The stream that a reader that has seen nothing is at, if there is no doubt.
fn the_stream(
    visit: &Visit<'_>,
    looked_ns: u64,
    told_ns: u64,
    evidence: &Evidence<'_>,
    streams: &[Stream],
) -> Option<usize> {
    let attached = visit.attached();
    let mut candidates = (0..streams.len()).filter(|&at| streams[at].was_in(attached.count));
    let only = candidates.next()?;
    let closed = matches!(streams[only].last().end, End::Closed(_));
    let doubt = candidates.next().is_some()
        || evidence.removed_before(told_ns)
        || (closed && streams[only].last().last_ns <= told_ns)
        || streams[only].opened_ns() > looked_ns;
    (!doubt).then_some(only)
}
