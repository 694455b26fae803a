//! Guarded records: every acknowledged commit is there for the next holder, and a death is told to the next.
//!
//! Commits of one record are told from those of another of the same name by their birth: the source of the first one.

use std::collections::BTreeMap;

use super::super::journal::{Entry, What};
use super::super::plan::Part;
use super::{Evidence, Findings, Kind, Run, visits};

/// Something that happened under the lock, or at its edge.
#[derive(Clone, Copy)]
struct Step<'a> {
    run: &'a Run,
    entry: &'a Entry,
    /// The entry before it.
    looked_ns: u64,
}

pub(super) fn check(evidence: &Evidence<'_>, findings: &mut Findings) {
    let mut steps: Vec<Step<'_>> = evidence.of_part(Part::Peer).flat_map(steps).collect();
    steps.sort_by_key(|step| step.entry.at_ns);
    commits(&steps, findings);
    values(evidence, &steps, findings);
    deaths(evidence, &steps, findings);
}

fn steps(run: &Run) -> impl Iterator<Item = Step<'_>> {
    let pairs = run.entries.windows(2);
    pairs.map(move |pair| Step {
        run,
        entry: &pair[1],
        looked_ns: pair[0].at_ns,
    })
}

/// The acknowledged commits of each record, in the order of time: one after the other, each by one holder.
fn acks<'a>(steps: &[Step<'a>]) -> BTreeMap<u64, Vec<Step<'a>>> {
    let mut acks: BTreeMap<u64, Vec<Step<'_>>> = BTreeMap::new();
    for step in steps.iter().filter(|step| step.entry.what == What::Acked) {
        acks.entry(step.entry.source).or_default().push(*step);
    }
    acks
}

fn commits(steps: &[Step<'_>], findings: &mut Findings) {
    for acks in acks(steps).values() {
        for pair in acks.windows(2) {
            let (before, after) = (pair[0].entry.sequence, pair[1].entry.sequence);
            // What a holder committed and could not acknowledge lies between.
            if after <= before {
                let (old, new) = (pair[0].run, pair[1].run);
                let text = format!("{new} committed {after} after {old} had committed {before}");
                findings.lost(before - after + 1, text);
            }
        }
    }
}

/// What holders found, and readers saw: nothing older than what was acknowledged before they looked.
fn values(evidence: &Evidence<'_>, steps: &[Step<'_>], findings: &mut Findings) {
    let acks = acks(steps);
    let acked_by = |birth: u64, time: u64| {
        let acks = acks.get(&birth)?;
        let upto = acks.partition_point(|step| step.entry.at_ns <= time);
        upto.checked_sub(1).map(|last| acks[last].entry.sequence)
    };
    for step in steps.iter().filter(|step| step.entry.what == What::Locked) {
        let Entry {
            source, sequence, ..
        } = *step.entry;
        // The lock was taken after the last entry of whoever had it before, and so is what is looked at.
        let there = acked_by(source, step.entry.at_ns).unwrap_or(0);
        if sequence < there {
            let text = format!("{} found value {sequence}, with {there} there", step.run);
            findings.lost(there - sequence, text);
        }
    }
    // The births of values are known from who committed them.
    let mut births: BTreeMap<u64, u64> = BTreeMap::new();
    for (&birth, acks) in &acks {
        for step in acks {
            births.insert(step.run.source, birth);
        }
    }
    for visit in evidence.of_part(Part::Reader).flat_map(visits) {
        let mut seen = 0;
        for (looked_ns, entry) in visit.steps() {
            let sequence = entry.sequence;
            match entry.what {
                What::Got => {
                    if sequence < seen {
                        let text = format!("{} got value {sequence} after {seen}", visit.run);
                        findings.add(Kind::Torn, 1, text);
                    }
                    seen = sequence;
                }
                What::Empty if seen > 0 => {
                    findings.lost(seen, format!("{} got no value after {seen}", visit.run));
                }
                _ => {}
            }
            // With one record of this name only there is no doubt whose value it is.
            if evidence.removals.is_empty()
                && matches!(entry.what, What::Got | What::Empty | What::Nothing)
                && let Some(there) = acks
                    .keys()
                    .next()
                    .and_then(|&birth| acked_by(birth, looked_ns))
                && seen < there
            {
                let text = format!("{} got value {seen}, with {there} there", visit.run);
                findings.lost(there - seen, text);
            }
        }
    }
}

/// Who was killed with the lock in hand, for certain or perhaps.
struct Death {
    at_ns: u64,
    /// When it wrote that it holds the lock of this record; `None`: it may have held it.
    held: Option<(u64, u64)>,
}

fn deaths(evidence: &Evidence<'_>, steps: &[Step<'_>], findings: &mut Findings) {
    let deaths: Vec<Death> = evidence.of_part(Part::Peer).filter_map(death).collect();
    let locked: Vec<&Step<'_>> = steps
        .iter()
        .filter(|step| step.entry.what == What::Locked)
        .collect();
    for death in &deaths {
        let Some((birth, held_ns)) = death.held else {
            continue;
        };
        // A value has no birth yet, or the record was taken away: nobody need be told.
        if birth == 0 || evidence.removed_between(held_ns, u64::MAX) {
            continue;
        }
        let next = locked
            .iter()
            .find(|step| step.entry.at_ns > held_ns && step.entry.source == birth);
        if let Some(step) = next
            && step.entry.flag == 0
        {
            findings.problem(format!(
                "{} was not told that the holder before it was killed",
                step.run
            ));
        }
    }
    for step in &locked {
        let killed = deaths.iter().any(|death| death.at_ns <= step.entry.at_ns);
        if step.entry.flag == 1 && !killed {
            findings.problem(format!("{} was told of a death that was none", step.run));
        }
    }
    let given_up = steps
        .iter()
        .find(|step| step.entry.what == What::Unlocking && step.entry.flag == 1);
    for step in steps
        .iter()
        .filter(|step| step.entry.what == What::NotRecoverable)
    {
        if given_up.is_none_or(|given| given.looked_ns > step.entry.at_ns) {
            findings.problem(format!(
                "{} was told that the record is given up, which nobody did",
                step.run
            ));
        }
    }
}

fn death(run: &Run) -> Option<Death> {
    let at_ns = run.killed?;
    let last = run.entries.iter().rev().find(|entry| {
        matches!(
            entry.what,
            What::Locking
                | What::Locked
                | What::Unlocking
                | What::Unlocked
                | What::Ended
                | What::Left
        )
    })?;
    match last.what {
        What::Locked => {
            // Its first commit may have given the record its birth.
            let acked = run
                .entries
                .iter()
                .rev()
                .find(|entry| entry.what == What::Acked);
            let birth = match acked {
                Some(acked) if acked.at_ns > last.at_ns => acked.source,
                _ => last.source,
            };
            Some(Death {
                at_ns,
                held: Some((birth, last.at_ns)),
            })
        }
        What::Locking | What::Unlocking => Some(Death { at_ns, held: None }),
        _ => None,
    }
}
