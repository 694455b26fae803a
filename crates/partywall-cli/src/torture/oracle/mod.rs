//! Who judges a round: it knows what was done from the journals of those who did it, and what each pattern promises.
//!
//! The oracles know nothing of shared memory. An entry of a journal is written after what it tells; so a record was
//! committed before the time of its acknowledgement, and whatever a reader was told came from a look after the time of
//! the reader's entry before.

mod durable;
#[cfg(test)]
mod forged;
mod guarded;
mod latest;
mod mpsc;
mod owners;
mod stream;
mod tallies;

use serde::Serialize;

use super::journal::{Ending, Entry, What};
use super::plan::{Part, Plan, Slot};
use crate::demo::cast::Pattern;

/// One process of a round, and what it did.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) slot: usize,
    /// Its name, and the sources of what it made: this one and those after it.
    pub(super) source: u64,
    pub(super) killed: Option<u64>,
    pub(super) entries: Vec<Entry>,
}

/// Everything that is known of a round.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    pub(super) plan: &'a Plan,
    pub(super) runs: Vec<Run>,
    /// Between which times somebody removed the channel.
    pub(super) removals: Vec<(u64, u64)>,
}

#[derive(Serialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// A record that was acknowledged did not come, or a loss was not counted.
    Lost,
    /// Bytes that nobody wrote so.
    Torn,
    /// Anything else that a promise rules out.
    Problem,
}

#[derive(Serialize, Debug, Clone, PartialEq)]
pub(super) struct Finding {
    pub(super) kind: Kind,
    /// How many records, where they can be counted.
    pub(super) count: u64,
    pub(super) text: String,
}

/// Collects what is found.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, kind: Kind, count: u64, text: String) {
        self.0.push(Finding { kind, count, text });
    }

    fn problem(&mut self, text: String) {
        self.add(Kind::Problem, 1, text);
    }

    fn lost(&mut self, count: u64, text: String) {
        self.add(Kind::Lost, count, text);
    }
}

/// Judges a round.
pub(super) fn judge(evidence: &Evidence<'_>) -> Vec<Finding> {
    let mut findings = Findings::default();
    for run in &evidence.runs {
        torn(run, &mut findings);
        endings(run, evidence, &mut findings);
    }
    match evidence.plan.pattern {
        Pattern::Ring => {
            let streams = owners::streams(evidence, &mut findings);
            stream::check(evidence, &streams, &mut findings);
            durable::check(evidence, &streams, &mut findings);
            tallies::ring(evidence, &streams, &mut findings);
        }
        Pattern::Broadcast | Pattern::Frames => {
            let streams = owners::streams(evidence, &mut findings);
            stream::check(evidence, &streams, &mut findings);
        }
        Pattern::Snapshot => {
            let streams = owners::streams(evidence, &mut findings);
            latest::check(evidence, &streams, &mut findings);
        }
        Pattern::Mpsc => mpsc::check(evidence, &mut findings),
        Pattern::Guarded => guarded::check(evidence, &mut findings),
    }
    findings.0
}

fn torn(run: &Run, findings: &mut Findings) {
    for entry in run.entries.iter().filter(|entry| entry.what == What::Torn) {
        let how = match entry.flag {
            0 => "wrong bytes",
            1 => "another sequence than the channel says",
            _ => "bytes that changed while it was held",
        };
        let text = format!("{run} got record {} with {how}", entry.sequence);
        findings.add(Kind::Torn, 1, text);
    }
}

/// Handles end in the ways that are planned, and in no others.
fn endings(run: &Run, evidence: &Evidence<'_>, findings: &mut Findings) {
    for entry in run.entries.iter().filter(|entry| entry.what == What::Ended) {
        match Ending::of(entry.flag) {
            Some(Ending::Closed) => {}
            Some(Ending::Deleted) if evidence.removed_before(entry.at_ns) => {}
            Some(Ending::Schema)
                if !evidence.slot(run).raw && evidence.reschemed_before(entry.at_ns) => {}
            how => findings.problem(format!("{run} was told {how:?}, and nobody did that")),
        }
    }
}

impl Run {
    /// How often it wrote this.
    pub(super) fn count(&self, what: What) -> u64 {
        let found = self.entries.iter().filter(|entry| entry.what == what);
        found.count() as u64
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", Named(self.source))
    }
}

/// A source as people read it: slot, process of that slot, times that it opened the channel.
struct Named(u64);

impl std::fmt::Display for Named {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (slot, run, opened) = (self.0 >> 32, (self.0 >> 16) & 0xffff, self.0 & 0xffff);
        write!(formatter, "process {slot}.{run}")?;
        if opened > 0 {
            write!(formatter, " (opening {opened})")?;
        }
        Ok(())
    }
}

/// The source of a process that opens nothing yet.
pub(super) fn source(slot: usize, run: u32) -> u64 {
    (slot as u64) << 32 | u64::from(run) << 16
}

impl Evidence<'_> {
    fn slot(&self, run: &Run) -> &Slot {
        &self.plan.slots[run.slot]
    }

    fn of_part(&self, part: Part) -> impl Iterator<Item = &Run> {
        self.runs
            .iter()
            .filter(move |run| self.slot(run).part == part)
    }

    /// Whether it takes records of one schema only.
    fn wants_one_kind(&self, run: &Run) -> bool {
        self.plan.options.schema && !self.slot(run).raw
    }

    fn removed_before(&self, time: u64) -> bool {
        self.removals.iter().any(|&(began, _)| began <= time)
    }

    fn reschemed_before(&self, time: u64) -> bool {
        let owners = self.of_part(Part::Owner).flat_map(|run| &run.entries);
        owners
            .filter(|entry| entry.what == What::Rescheming)
            .any(|entry| entry.at_ns <= time)
    }

    fn removed_between(&self, from: u64, to: u64) -> bool {
        self.removals
            .iter()
            .any(|&(began, ended)| began <= to && from <= ended)
    }
}

/// What one handle of a reader did: from its [`What::Attached`] to the next one's.
struct Visit<'a> {
    run: &'a Run,
    entries: &'a [Entry],
    /// When the run wrote the entry before these.
    before: Option<u64>,
    /// Whether the next handle, or a kill, came after it.
    killed: bool,
}

fn visits<'a>(run: &'a Run) -> impl Iterator<Item = Visit<'a>> {
    let begins: Vec<usize> = (0..run.entries.len())
        .filter(|&at| run.entries[at].what == What::Attached)
        .collect();
    let ends: Vec<usize> = begins
        .iter()
        .skip(1)
        .copied()
        .chain([run.entries.len()])
        .collect();
    begins.into_iter().zip(ends).map(move |(begin, end)| Visit {
        run,
        entries: &run.entries[begin..end],
        before: begin.checked_sub(1).map(|at| run.entries[at].at_ns),
        killed: end == run.entries.len() && run.killed.is_some(),
    })
}

impl Visit<'_> {
    /// How often this was written.
    fn count(&self, what: What) -> u64 {
        let found = self.entries.iter().filter(|entry| entry.what == what);
        found.count() as u64
    }

    fn attached(&self) -> &Entry {
        &self.entries[0]
    }

    /// Each entry, with the time after which everything was looked at that led to it.
    fn steps(&self) -> impl Iterator<Item = (u64, &Entry)> {
        self.entries
            .windows(2)
            .map(|pair| (pair[0].at_ns, &pair[1]))
    }
}
