//! Streams in which every record counts: rings, broadcasts, frames. A reader gets an unbroken run in order, but for what
//! the channel says was lost, where it may lose.

use super::super::journal::{Ending, Entry, What};
use super::super::plan::Part;
use super::super::worker::BATCH;
use super::owners::{End, Stream, stream_of};
use super::{Evidence, Findings, Kind, Visit, visits};
use crate::demo::cast::Pattern;

pub(super) fn check(evidence: &Evidence<'_>, streams: &[Stream], findings: &mut Findings) {
    for run in evidence.of_part(Part::Peer) {
        for visit in visits(run) {
            let slot = evidence.slot(run);
            let options = &evidence.plan.options;
            let grace = match evidence.plan.pattern {
                Pattern::Broadcast => Some(options.slots),
                Pattern::Frames if slot.lossy => Some(options.history.into()),
                _ => None,
            };
            let attached = visit.attached();
            Reading {
                visit: &visit,
                streams,
                findings,
                stream: None,
                next: (attached.sequence > 0).then_some(attached.sequence),
                grace,
                resumes: slot.durable.is_some(),
                skips: evidence.plan.pattern == Pattern::Broadcast,
            }
            .check();
        }
    }
}

/// One handle of a reader, and how far it has come.
struct Reading<'a> {
    visit: &'a Visit<'a>,
    streams: &'a [Stream],
    findings: &'a mut Findings,
    stream: Option<usize>,
    /// The record that must come next, as soon as that is known.
    next: Option<u64>,
    /// How many newer records there are at least when one is lost; `None`: none may be.
    grace: Option<u64>,
    /// It may begin anywhere before what is written.
    resumes: bool,
    /// It goes from its generation to the current one, whatever lies between.
    skips: bool,
}

impl Reading<'_> {
    fn check(mut self) {
        for (looked_ns, entry) in self.visit.steps() {
            match entry.what {
                What::Got => self.got(entry),
                What::Overrun => self.overrun(entry),
                What::Nothing | What::OwnerDied => self.nothing(looked_ns, entry),
                What::Ended if entry.flag == Ending::Closed as u16 => self.closed(),
                What::Ended if entry.flag == Ending::Schema as u16 => self.others(),
                _ => {}
            }
        }
    }

    fn got(&mut self, entry: &Entry) {
        let (run, sequence) = (self.visit.run, entry.sequence);
        let Some(at) = stream_of(self.streams, entry.source) else {
            let text = format!("{run} got record {sequence} of nobody");
            return self.findings.add(Kind::Torn, 1, text);
        };
        let stream = &self.streams[at];
        if self.stream.is_some_and(|stream| stream != at) {
            self.findings
                .problem(format!("{run} got record {sequence} of another stream"));
        }
        if !stream.has(entry.source, sequence) {
            self.findings.problem(format!(
                "{run} got record {sequence}, which its writer cannot have committed"
            ));
        }
        match self.next {
            Some(next) if sequence > next => {
                let text = format!("{run} got record {sequence} after {}", next - 1);
                self.findings.lost(sequence - next, text);
            }
            Some(next) if sequence < next => {
                let text = format!("{run} got record {sequence} again, after {}", next - 1);
                self.findings.problem(text);
            }
            // Everything that is committed from now on: the first record is one that was not there at that time.
            None if !self.resumes => {
                let acked = stream.acked_by(self.visit.attached().at_ns);
                // The stream may go on counting where an earlier one ended.
                let there = acked.max(stream.tenures[0].base) + BATCH;
                if sequence > there + 1 {
                    let text = format!("{run} got record {sequence} first, with {there} there");
                    self.findings.lost(sequence - there - 1, text);
                }
            }
            _ => {}
        }
        self.stream = Some(at);
        self.next = Some(sequence + 1);
    }

    fn overrun(&mut self, entry: &Entry) {
        let (run, lost) = (self.visit.run, entry.sequence);
        let Some(next) = &mut self.next else {
            return;
        };
        match (self.grace, self.stream) {
            (None, _) => self.findings.lost(
                lost,
                format!("{run} was told that it lost {lost}, which must not be"),
            ),
            // It came to the end of its generation, and the ones after it are gone.
            (Some(_), Some(stream)) if self.skips && self.streams[stream].went_on_at(*next - 1) => {
            }
            (Some(grace), Some(stream)) => {
                let newest = self.streams[stream].acked_by(entry.at_ns) + BATCH;
                if newest + 1 < *next + grace {
                    self.findings.lost(
                        lost,
                        format!("{run} was told that record {next} is lost, with {newest} there"),
                    );
                }
            }
            (Some(_), None) => {}
        }
        *next += lost;
    }

    /// What was acknowledged before the reader looked is there for it.
    fn nothing(&mut self, looked_ns: u64, entry: &Entry) {
        let (Some(stream), Some(next)) = (self.stream, self.next) else {
            return;
        };
        let there = self.streams[stream].acked_by(looked_ns);
        if there >= next {
            let told = match entry.what {
                What::OwnerDied => "its writer is dead and all was read",
                _ => "there is nothing",
            };
            let text = format!(
                "{} was told that {told}, with {there} records there and {} read",
                self.visit.run,
                next - 1
            );
            self.findings.lost(there + 1 - next, text);
        }
    }

    fn closed(&mut self) {
        let (Some(stream), Some(next)) = (self.stream, self.next) else {
            return;
        };
        let run = self.visit.run;
        match self.streams[stream].last().end {
            End::Closed(records) if records + 1 == next => {}
            // Whose channel is taken away closes it all the same.
            End::Deleted => {}
            // What was lost up to a later end was told.
            End::Closed(_) if self.skips && self.ends_later(stream, next - 1) => {}
            End::Closed(records) => {
                let text = format!(
                    "{run} was told of the end after record {}, and there are {records}",
                    next - 1
                );
                self.findings.lost((records + 1).saturating_sub(next), text);
            }
            how => self
                .findings
                .problem(format!("{run} was told of a close, and it was {how:?}")),
        }
    }

    /// Whether a stream after this one was closed with so many records.
    fn ends_later(&self, stream: usize, records: u64) -> bool {
        let mut later = self.streams[stream + 1..].iter();
        later.any(|stream| stream.last().end == End::Closed(records))
    }

    /// It is told that what follows is of another schema: there, and not before.
    fn others(&mut self) {
        let (Some(stream), Some(next)) = (self.stream, self.next) else {
            return;
        };
        let stream = &self.streams[stream];
        let there = stream.reschemas(u64::MAX).any(|at| at == next - 1);
        if !(there || self.skips && stream.went_on_at(next - 1)) {
            self.findings.problem(format!(
                "{} was told of another schema after record {}, where there was none",
                self.visit.run,
                next - 1
            ));
        }
    }
}
