//! Who owned the channel when, and what they committed.

use super::super::journal::{Ending, Entry, What};
use super::super::plan::Part;
use super::super::worker::BATCH;
use super::{Evidence, Findings, Named, Run};

/// How an owner ended, as far as it wrote it down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It was about to close, with so many records.
    Closed(u64),
    Abandoned,
    Deleted,
    Killed,
}

/// One owner, from opening to the end.
#[derive(Debug)]
pub(super) struct Tenure {
    pub(super) source: u64,
    pub(super) opened_ns: u64,
    /// It still had the channel then.
    pub(super) last_ns: u64,
    pub(super) adopted: bool,
    pub(super) generation: u32,
    /// Records that it found.
    pub(super) base: u64,
    /// When it had how many.
    acks: Vec<(u64, u64)>,
    pub(super) end: End,
    /// No record after this one can be its; exact once a successor has counted.
    pub(super) upper: u64,
}

impl Tenure {
    pub(super) fn acked(&self) -> u64 {
        self.acks
            .last()
            .map_or(self.base, |&(_, sequence)| sequence)
    }

    fn acked_by(&self, time: u64) -> u64 {
        match self.acks.partition_point(|&(at, _)| at <= time) {
            0 => 0,
            upto => self.acks[upto - 1].1,
        }
    }
}

/// What owners wrote one after the other, each going on where the one before ended.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) tenures: Vec<Tenure>,
}

impl Stream {
    pub(super) fn last(&self) -> &Tenure {
        self.tenures.last().expect("a stream has an owner")
    }

    /// Records that were certainly committed by then.
    pub(super) fn acked_by(&self, time: u64) -> u64 {
        let acked = self.tenures.iter().map(|tenure| tenure.acked_by(time));
        acked.max().unwrap_or(0)
    }

    /// Whether this source can have committed this record.
    pub(super) fn has(&self, source: u64, sequence: u64) -> bool {
        self.tenures.iter().any(|tenure| {
            tenure.source == source && tenure.base < sequence && sequence <= tenure.upper
        })
    }

    pub(super) fn opened_ns(&self) -> u64 {
        self.tenures[0].opened_ns
    }
}

/// The stream of a source, by its place.
pub(super) fn stream_of(streams: &[Stream], source: u64) -> Option<usize> {
    streams
        .iter()
        .position(|stream| stream.tenures.iter().any(|tenure| tenure.source == source))
}

/// Every owner, in the order in which they opened the channel.
pub(super) fn tenures(evidence: &Evidence<'_>) -> Vec<Tenure> {
    let owners = evidence.of_part(Part::Owner);
    let mut tenures: Vec<Tenure> = owners.flat_map(of_run).collect();
    tenures.sort_by_key(|tenure| tenure.opened_ns);
    tenures
}

fn of_run(run: &Run) -> Vec<Tenure> {
    let mut tenures: Vec<Tenure> = Vec::new();
    for entry in &run.entries {
        let Entry {
            flag,
            count,
            sequence,
            at_ns,
            ..
        } = *entry;
        if entry.what == What::Opened {
            tenures.push(Tenure {
                source: entry.source,
                opened_ns: at_ns,
                last_ns: at_ns,
                adopted: flag == 1,
                generation: count,
                base: sequence,
                acks: Vec::new(),
                end: End::Killed,
                upper: 0,
            });
            continue;
        }
        let Some(tenure) = tenures.last_mut() else {
            continue;
        };
        tenure.last_ns = at_ns;
        match entry.what {
            What::Acked => tenure.acks.push((at_ns, sequence)),
            What::Closing => tenure.end = End::Closed(sequence),
            What::Abandoning => tenure.end = End::Abandoned,
            What::Ended if flag == Ending::Deleted as u16 => tenure.end = End::Deleted,
            _ => {}
        }
    }
    tenures
}

/// There is one owner at a time; who finds something goes on where the one before ended.
pub(super) fn streams(evidence: &Evidence<'_>, findings: &mut Findings) -> Vec<Stream> {
    let mut streams: Vec<Stream> = Vec::new();
    for mut tenure in tenures(evidence) {
        tenure.upper = match tenure.end {
            End::Closed(records) => records,
            _ => tenure.acked() + BATCH,
        };
        let Some(stream) = streams.last_mut() else {
            streams.push(Stream {
                tenures: vec![tenure],
            });
            continue;
        };
        let before = stream.tenures.last_mut().expect("a stream has an owner");
        let (name, old) = (Named(tenure.source), Named(before.source));
        let removed = evidence.removed_between(before.opened_ns, tenure.opened_ns);
        if before.last_ns > tenure.opened_ns && !removed {
            findings.problem(format!("{name} owned the channel while {old} did"));
        }
        let goes_on = tenure.adopted && !matches!(before.end, End::Closed(_) | End::Deleted);
        let plausible = (before.acked()..=before.upper).contains(&tenure.base);
        if goes_on && (plausible || !removed) {
            if !plausible {
                let (found, acked) = (tenure.base, before.acked());
                let text =
                    format!("{name} found {found} records where {old} had committed {acked}");
                findings.lost(acked.saturating_sub(found).max(1), text);
            }
            before.upper = tenure.base;
            stream.tenures.push(tenure);
            continue;
        }
        let may_begin = removed || matches!(before.end, End::Closed(_) | End::Deleted);
        if !may_begin {
            findings.lost(1, format!("{name} did not find what {old} left"));
        }
        streams.push(Stream {
            tenures: vec![tenure],
        });
    }
    streams
}
