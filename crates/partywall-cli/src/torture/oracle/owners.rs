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
    /// Which of the two schemas it opened the channel with.
    wanted: bool,
    /// Which one it made records of last.
    schema: bool,
    /// Which they can have had at the end.
    schemas: Vec<bool>,
    pub(super) generation: u32,
    /// The last one that it can have come to by growing.
    pub(super) grown: u32,
    /// Records that it found.
    pub(super) base: u64,
    /// When it had how many.
    acks: Vec<(u64, u64)>,
    /// Where generations began that it made, or was about to make when it was killed.
    bases: Vec<u64>,
    /// When, and where, records began to be of another schema, or may have.
    reschemas: Vec<(u64, u64)>,
    pub(super) end: End,
    /// It was killed when it was about to close, and may not have come to it.
    unfinished: bool,
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

    /// Whether one of its generations ended after so many records, and another one followed, or may have.
    pub(super) fn went_on_at(&self, records: u64) -> bool {
        self.bases().any(|base| base == records)
    }

    /// Where the first generation began, or may have, that began with so many records, or more.
    pub(super) fn next_base(&self, records: u64) -> Option<u64> {
        self.bases().filter(|&base| base >= records).min()
    }

    fn bases(&self) -> impl Iterator<Item = u64> {
        self.tenures
            .iter()
            .flat_map(|tenure| tenure.bases.iter().copied())
    }

    /// Where records began to be of another schema, or may have, up to a time.
    pub(super) fn reschemas(&self, until: u64) -> impl Iterator<Item = u64> {
        let all = self.tenures.iter().flat_map(|tenure| &tenure.reschemas);
        all.filter(move |(at, _)| *at <= until).map(|&(_, at)| at)
    }

    /// Behind how many records began what somebody who comes at a time can have: the others are of another schema, or of
    /// another stream.
    pub(super) fn begun(&self, at_ns: u64) -> u64 {
        self.reschemas(at_ns)
            .max()
            .unwrap_or(0)
            .max(self.tenures[0].base)
    }

    /// Whether it can have been in this generation.
    pub(super) fn was_in(&self, generation: u32) -> bool {
        (self.tenures[0].generation..=self.last().grown).contains(&generation)
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
                adopted: flag & 1 != 0,
                wanted: flag & 2 != 0,
                schema: flag & 2 != 0,
                schemas: vec![flag & 2 != 0],
                generation: count,
                grown: count,
                base: sequence,
                acks: Vec::new(),
                bases: Vec::new(),
                reschemas: Vec::new(),
                end: End::Killed,
                unfinished: false,
                upper: 0,
            });
            continue;
        }
        let Some(tenure) = tenures.last_mut() else {
            continue;
        };
        tenure.last_ns = at_ns;
        match entry.what {
            // It may have grown when it was killed.
            What::Growing | What::Rescheming => {
                tenure.grown += 1;
                tenure.bases.push(sequence);
                if entry.what == What::Rescheming {
                    tenure.reschemas.push((at_ns, sequence));
                    tenure.schemas = vec![false, true];
                }
            }
            What::Grown => tenure.grown = count,
            What::Reschemed => {
                tenure.grown = count;
                tenure.schema = !tenure.schema;
                tenure.schemas = vec![tenure.schema];
            }
            What::Acked => tenure.acks.push((at_ns, sequence)),
            What::Closing => tenure.end = End::Closed(sequence),
            What::Abandoning => tenure.end = End::Abandoned,
            What::Ended if flag == Ending::Deleted as u16 => tenure.end = End::Deleted,
            _ => {}
        }
    }
    if let (Some(tenure), Some(last)) = (tenures.last_mut(), run.entries.last()) {
        tenure.unfinished = run.killed.is_some() && last.what == What::Closing;
    }
    tenures
}

impl Tenure {
    /// Whether whoever comes after it finds that the stream is over. One that adopts what is there finds that it is not,
    /// and then this one has not come to close it.
    pub(super) fn is_over_for(&self, next: &Tenure) -> bool {
        match self.end {
            End::Deleted => true,
            // A later generation is one of somebody who was killed before he could write down that he made it.
            End::Closed(_) => !(next.adopted && self.unfinished && next.generation <= self.grown),
            End::Abandoned | End::Killed => false,
        }
    }
}

/// Whether an owner found records of another schema than it wanted, and nobody there: then it goes on in a generation of
/// its own. That happens when the schema changes while it waits.
pub(super) fn replaces(before: &Tenure, tenure: &Tenure) -> bool {
    let wanted = tenure.wanted;
    !tenure.adopted && before.schemas.iter().any(|&schema| schema != wanted)
}

/// What an owner wrote from opening the channel to opening it again.
pub(super) fn entries_of<'a>(tenure: &Tenure, evidence: &'a Evidence<'_>) -> &'a [Entry] {
    let base = tenure.source & !0xffff;
    let run = evidence.runs.iter().find(|run| run.source == base);
    let entries = run.map_or(&[][..], |run| &run.entries[..]);
    let is_it = |entry: &Entry| entry.what == What::Opened && entry.source == tenure.source;
    let Some(begin) = entries.iter().position(is_it) else {
        return &[];
    };
    let rest = &entries[begin + 1..];
    let len = rest.iter().position(|entry| entry.what == What::Opened);
    &rest[..len.unwrap_or(rest.len())]
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
        let over = before.is_over_for(&tenure);
        let replaces = !over && replaces(before, &tenure);
        let goes_on = replaces || tenure.adopted && !over;
        let plausible = (before.acked()..=before.upper).contains(&tenure.base);
        if goes_on && (plausible || !removed) {
            if !plausible {
                let (found, acked) = (tenure.base, before.acked());
                let text =
                    format!("{name} found {found} records where {old} had committed {acked}");
                findings.lost(acked.saturating_sub(found).max(1), text);
            }
            before.upper = tenure.base;
            if replaces {
                tenure.bases.push(tenure.base);
                tenure.reschemas.push((before.last_ns, tenure.base));
            }
            stream.tenures.push(tenure);
            continue;
        }
        if !removed && !over {
            findings.lost(1, format!("{name} did not find what {old} left"));
        }
        streams.push(Stream {
            tenures: vec![tenure],
        });
    }
    streams
}
