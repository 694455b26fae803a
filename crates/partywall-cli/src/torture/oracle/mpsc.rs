//! Mpsc: everything of each sender comes, in order, and its end is told after its last record. A receiver's successor may
//! get again what the one before had not acknowledged.

use std::collections::BTreeMap;

use super::super::journal::{Entry, What};
use super::super::plan::Part;
use super::super::worker::BATCH;
use super::owners::{End, Tenure, entries_of, replaces, tenures};
use super::{Evidence, Findings, Kind, Named, Run, tallies, visits};

/// A sender, as it says itself.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) source: u64,
    /// It was not there yet.
    looked_ns: u64,
    attached_ns: u64,
    pub(super) seat: u32,
    epoch: u64,
    /// Records that it says were refused.
    pub(super) dropped: u64,
    acked: u64,
    /// With so many records, if it left in an orderly way.
    closing: Option<u64>,
    /// It was told that the channel is closed or removed.
    ended: bool,
    pub(super) killed: bool,
}

/// What receivers were told of it.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Heard {
    pub(super) latest: u64,
    /// Acknowledged: not to come again.
    processed: u64,
    /// In which stream.
    pub(super) stream: Option<usize>,
    ended: Option<What>,
}

pub(super) fn check(evidence: &Evidence<'_>, findings: &mut Findings) {
    let sent: Vec<Sent> = evidence.of_part(Part::Peer).flat_map(senders).collect();
    let by_source: BTreeMap<u64, &Sent> = sent.iter().map(|sent| (sent.source, sent)).collect();
    let mut heard: BTreeMap<u64, Heard> = BTreeMap::new();
    let mut stream = Place::default();
    let mut before: Option<Tenure> = None;
    let mut drained = None;
    let reschemed = evidence.reschemed_before(u64::MAX);
    for tenure in tenures(evidence) {
        let entries = entries_of(&tenure, evidence);
        if let Some(before) = &before {
            let known = goes_on(before, &tenure, evidence, findings);
            let is_of_it = |entry: &Entry| {
                let heard = heard.get(&entry.source);
                entry.what == What::Got
                    && heard.is_some_and(|heard| heard.stream == Some(stream.number))
            };
            if !known.unwrap_or_else(|| entries.iter().any(is_of_it)) {
                stream = Place {
                    number: stream.number + 1,
                    opened_ns: tenure.opened_ns,
                };
            }
        }
        receive(
            &tenure, entries, stream, reschemed, &sent, &by_source, &mut heard, findings,
        );
        let is_drained = |entry: &Entry| entry.what == What::Closing && entry.flag == 1;
        if entries.iter().any(is_drained) {
            drained = Some(stream.number);
            tallies::lanes(entries, stream.number, &sent, &heard, findings);
        }
        before = Some(tenure);
    }
    let Some(stream) = drained else {
        return findings.problem("no receiver came to the end".to_owned());
    };
    // Whoever was in the last stream was heard to the end.
    for sender in &sent {
        let heard = heard.get(&sender.source).copied().unwrap_or_default();
        if heard.stream == Some(stream) {
            end(sender, heard, findings);
        } else if heard.stream.is_none() && sender.acked > 0 && sender.is_of_the_last(evidence) {
            let text = format!("nothing came of {}", Named(sender.source));
            findings.lost(sender.acked, text);
        }
    }
}

fn senders(run: &Run) -> Vec<Sent> {
    let of_visit = |visit: super::Visit<'_>| {
        let attached = *visit.attached();
        let mut acks = visit
            .entries
            .iter()
            .filter(|entry| entry.what == What::Acked);
        let closing = visit
            .entries
            .iter()
            .find(|entry| entry.what == What::Closing);
        Sent {
            source: attached.source,
            looked_ns: visit.before.unwrap_or(0),
            attached_ns: attached.at_ns,
            seat: attached.count,
            epoch: attached.sequence,
            dropped: visit.count(What::Dropped),
            acked: acks.next_back().map_or(0, |entry| entry.sequence),
            closing: closing.map(|entry| entry.sequence),
            ended: visit.entries.iter().any(|entry| entry.what == What::Ended),
            killed: visit.killed,
        }
    };
    visits(run).map(of_visit).collect()
}

impl Sent {
    /// Whether it came when nobody would close or remove the channel any more.
    fn is_of_the_last(&self, evidence: &Evidence<'_>) -> bool {
        let owners = tenures(evidence);
        let ends = owners
            .iter()
            .filter(|tenure| matches!(tenure.end, End::Closed(_) | End::Deleted));
        // The last of all closes is the one after everything was received.
        let mut closes: Vec<u64> = ends.map(|tenure| tenure.last_ns).collect();
        closes.sort_unstable();
        closes.pop();
        let closed = closes
            .last()
            .is_none_or(|&closed| closed < self.attached_ns);
        let began = owners.iter().rev().find(|tenure| !tenure.adopted);
        let begun = began.is_some_and(|tenure| tenure.opened_ns < self.attached_ns);
        closed
            && begun
            && !self.ended
            && evidence
                .removals
                .iter()
                .all(|&(_, at)| at < self.attached_ns)
    }
}

/// Whether a receiver goes on with what the one before left; `None` if that was being removed when it came. Then it is what
/// it gets that tells: a removal by force is patient, and until it is through the channel can be taken over.
fn goes_on(
    before: &Tenure,
    tenure: &Tenure,
    evidence: &Evidence<'_>,
    findings: &mut Findings,
) -> Option<bool> {
    let (name, old) = (Named(tenure.source), Named(before.source));
    let removed = evidence.removed_between(before.opened_ns, tenure.opened_ns);
    if before.last_ns > tenure.opened_ns && !removed {
        findings.problem(format!("{name} owned the channel while {old} did"));
    }
    let over = before.is_over_for(tenure);
    if !tenure.adopted && !over && !removed && !replaces(before, tenure) {
        findings.lost(1, format!("{name} did not find what {old} left"));
    }
    let goes_on = tenure.adopted && !over;
    (!goes_on || !removed).then_some(goes_on)
}

/// Which stream, and since when: whoever came later is in this one, or in one after it.
#[derive(Debug, Default, Clone, Copy)]
struct Place {
    number: usize,
    opened_ns: u64,
}

/// Everything that one receiver was told.
#[expect(
    clippy::too_many_arguments,
    reason = "one caller, and each says one thing"
)]
fn receive(
    tenure: &Tenure,
    entries: &[Entry],
    stream: Place,
    reschemed: bool,
    sent: &[Sent],
    by_source: &BTreeMap<u64, &Sent>,
    heard: &mut BTreeMap<u64, Heard>,
    findings: &mut Findings,
) {
    let name = Named(tenure.source);
    // What this receiver got last of each.
    let mut here: BTreeMap<u64, u64> = BTreeMap::new();
    for entry in entries {
        let sequence = entry.sequence;
        match entry.what {
            What::Got => {
                let Some(sender) = by_source.get(&entry.source) else {
                    // Killed before it could say that it is there.
                    unheard_of(entry, &name, findings);
                    continue;
                };
                let all = heard.entry(entry.source).or_default();
                let from = Named(entry.source);
                if sender.seat != entry.count {
                    findings.problem(format!("{name} got {sequence} of {from} from another seat"));
                }
                if sequence > sender.acked + BATCH {
                    findings.problem(format!(
                        "{name} got {sequence} of {from}, who did not send it"
                    ));
                }
                if all.stream.is_some_and(|old| old != stream.number) {
                    findings.problem(format!("{name} got {sequence} of {from} in another stream"));
                }
                let due = here
                    .get(&entry.source)
                    .map_or(all.latest + 1, |latest| latest + 1);
                if sequence > due {
                    let text = format!("{name} got {sequence} of {from}, and {due} was due");
                    findings.lost(sequence - due, text);
                }
                // Only the first that a successor gets may be one that came before.
                if sequence < due && here.contains_key(&entry.source) {
                    findings.problem(format!("{name} got {sequence} of {from} twice"));
                }
                if sequence <= all.processed {
                    findings.problem(format!(
                        "{name} got {sequence} of {from} again, which was acknowledged"
                    ));
                }
                if all.ended.is_some() && sequence > all.latest {
                    findings.problem(format!("{name} got {sequence} of {from} after its end"));
                }
                here.insert(entry.source, sequence);
                all.latest = all.latest.max(sequence);
                all.stream = Some(stream.number);
            }
            What::Acknowledged => {
                for (source, &latest) in &here {
                    heard.entry(*source).or_default().processed = latest;
                }
            }
            What::SenderClosed | What::SenderDied => {
                let Some(sender) = whose(entry, stream, sent, heard) else {
                    continue;
                };
                let all = heard.entry(sender.source).or_default();
                all.ended = Some(entry.what);
                all.stream = Some(stream.number);
                told_of_end(sender, all.latest, entry.what, reschemed, &name, findings);
            }
            _ => {}
        }
    }
}

/// Whose end a receiver was told of, if that is certain: a channel that is made anew gives the same seats and epochs again,
/// and whoever has one in the old channel may not know yet that it is over.
fn whose<'a>(
    entry: &Entry,
    stream: Place,
    sent: &'a [Sent],
    heard: &BTreeMap<u64, Heard>,
) -> Option<&'a Sent> {
    let heard_in = |sender: &Sent| heard.get(&sender.source).and_then(|heard| heard.stream);
    let of_seat = || {
        let id = (entry.count, entry.sequence);
        sent.iter()
            .filter(move |sender| (sender.seat, sender.epoch) == id)
    };
    // Records say who sent them.
    let known = of_seat().find(|sender| heard_in(sender) == Some(stream.number));
    let can_be = |sender: &&Sent| {
        let came = sender.looked_ns >= stream.opened_ns && sender.attached_ns <= entry.at_ns;
        came && heard_in(sender).is_none()
    };
    // Who found no room to say that he is there was never there for a receiver, and in a later generation another may have the
    // same seat and epoch.
    let ended_so = |sender: &&Sent| match entry.what {
        What::SenderDied => sender.killed,
        _ => sender.closing.is_some() || sender.ended,
    };
    known
        .or_else(|| of_seat().filter(can_be).find(ended_so))
        .or_else(|| of_seat().find(can_be))
}

fn unheard_of(entry: &Entry, name: &Named, findings: &mut Findings) {
    let text = format!("{name} got record {} of nobody", entry.sequence);
    findings.add(Kind::Torn, 1, text);
}

/// An end is told after the last record, and as it was.
fn told_of_end(
    sender: &Sent,
    latest: u64,
    what: What,
    reschemed: bool,
    name: &Named,
    findings: &mut Findings,
) {
    let from = Named(sender.source);
    let there = sender.closing.unwrap_or(sender.acked);
    if latest < there {
        let text = format!("{name} was told of the end of {from} after {latest} of {there}");
        findings.lost(there - latest, text);
    }
    if what == What::SenderDied && !sender.killed {
        findings.problem(format!("{name} was told that {from} died, which lived"));
    }
    // One that could not go over to records of another kind has closed before it could write that down.
    let left = sender.closing.is_some() || sender.ended || (reschemed && sender.killed);
    if what == What::SenderClosed && !left {
        findings.problem(format!(
            "{name} was told that {from} left, which it did not"
        ));
    }
}

/// At the end of all everything was told.
fn end(sender: &Sent, heard: Heard, findings: &mut Findings) {
    let from = Named(sender.source);
    let there = sender.closing.unwrap_or(sender.acked);
    if heard.latest < there {
        let text = format!("{there} records of {from} were sent, {} came", heard.latest);
        findings.lost(there - heard.latest, text);
    }
    if heard.ended.is_none() {
        findings.problem(format!("nobody was told of the end of {from}"));
    }
}
