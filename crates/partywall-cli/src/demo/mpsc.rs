//! Logs by mpsc: many services write, each in a lane of its own, and a collector is told who died and when.

use super::account::Ledger;
use super::cast::{Cast, Look, News, Pattern, Problem, Promise, Size, Watcher, Watches, Writes};
use super::event::now_ns;
use super::part::{OPENING, Role, Words, nothing};
use super::record::{HEADER, Header, mix};
use partywall::Namespace;
use partywall::mpsc::{Event, Receiver, ReceiverOptions, Sender, SenderId, SenderOptions};
use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;

/// Of each service.
const RATE: f64 = 2_000.0;
const LANE: u64 = 64 << 10;
/// The longest line, in bytes.
const LONGEST: usize = 512;

/// How grave a line is: its `kind` in the channel.
const INFO: u16 = 0;
const WARNING: u16 = 1;
const ERROR: u16 = 2;

const SERVICES: &[&str] = &["web", "database", "worker"];

pub(super) static CAST: Cast = Cast {
    pattern: Pattern::Mpsc,
    channel: "log",
    opening: "An mpsc channel brings what many processes have to say to one; each has a lane of its own, and cannot hold up another.\n\
              Here three services write 2,000 lines a second each (or --fps) to their log, and a collector takes them all.\n\
              It is told, after its last line, of each who dies or leaves.",
    verdict: "Every line that was committed was collected, whole and in its service's order; every end was told, after the last line.",
    one: "line",
    many: "lines",
    watchers: &[Watcher {
        name: "collector",
        nap: None,
    }],
    writers: SERVICES,
    victim: 2,
    promise: Promise::EveryOfEach,
    size: Size::UpTo(LONGEST),
    news: News::Ends,
    rate: Some(RATE),
    enter,
    attach,
};

struct Service {
    sender: Sender,
    words: Words,
    line: String,
    record: Vec<u8>,
}

fn enter(role: &Role) -> Result<Box<dyn Writes>, Problem> {
    let sender = SenderOptions::new()
        .namespace(Namespace::open_default()?)
        .attach_timeout(OPENING)
        .attach(&role.channel)?;
    Ok(Box::new(Service {
        sender,
        words: role.words(),
        line: String::new(),
        record: Vec::new(),
    }))
}

impl Writes for Service {
    /// Who comes anew has a lane anew.
    fn adopted(&self) -> bool {
        false
    }

    fn records(&self) -> u64 {
        self.sender.records()
    }

    fn send(&mut self, last: bool) -> Result<(), Problem> {
        let sequence = self.sender.records();
        let kind = make_line(self.words.writer, self.words.run, sequence, &mut self.line);
        self.record.resize(HEADER + self.line.len(), 0);
        let line = self.line.as_bytes();
        self.words
            .compose(&mut self.record, sequence, last, |_, content| {
                content.copy_from_slice(line);
            });
        self.sender.send_kind(kind, &self.record)?;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<u64, Problem> {
        let records = self.sender.records();
        self.sender.close()?;
        Ok(records)
    }
}

/// What a service has to say; how grave it is.
fn make_line(writer: u32, run: u32, sequence: u64, line: &mut String) -> u16 {
    let service = SERVICES[writer as usize];
    let chance = mix(mix(sequence) ^ (u64::from(run) << 32) ^ u64::from(writer));
    let (took, steps) = (chance % 997, (chance >> 16) % 20);
    let (kind, grave) = match chance >> 56 {
        0..5 => (ERROR, "ERROR"),
        5..30 => (WARNING, "WARN "),
        _ => (INFO, "INFO "),
    };
    line.clear();
    // Writing to a string does not fail.
    let _ = write!(
        line,
        "{grave} {service}[{run}] request {sequence} ({chance:016x}) took {took} ms"
    );
    // An error comes with a trace of how it came about.
    for step in 0..if kind == ERROR { steps } else { 0 } {
        let _ = write!(
            line,
            "\n  at {:08x}",
            chance.rotate_left(step as u32) as u32
        );
    }
    kind
}

struct Collector {
    receiver: Receiver,
    record: Vec<u8>,
    expected: String,
    present: Present,
    closed: usize,
}

/// Who is there, and which writer and process it is once it said something.
#[derive(Debug, Default)]
struct Present(HashMap<SenderId, Option<(u32, u32)>>);

impl Present {
    /// Whether a record may come from there; and not from there if it says that it is another's.
    fn says(&mut self, sender: SenderId, header: &Header) -> bool {
        let who = (header.writer, header.run);
        self.0
            .get_mut(&sender)
            .is_some_and(|known| *known.get_or_insert(who) == who)
    }
}

fn attach(role: &Role) -> Result<Box<dyn Watches>, Problem> {
    let receiver = ReceiverOptions::new()
        .namespace(Namespace::open_default()?)
        .lane_capacity(LANE)
        // The conductor reads the channel's own count of records after the close.
        .keep_when_closed(true)
        .open(&role.channel)?;
    Ok(Box::new(Collector {
        receiver,
        record: Vec::new(),
        expected: String::new(),
        present: Present::default(),
        closed: 0,
    }))
}

impl Watches for Collector {
    fn look(&mut self, ledger: &mut Ledger, wait: Duration) -> Result<Look, Problem> {
        let event = match self
            .receiver
            .recv_into_timeout(&mut self.record, Some(wait))
        {
            Ok(event) => event,
            Err(error) => return nothing(error),
        };
        let in_order = match event {
            Event::Opened(sender) => self.present.0.insert(sender, None).is_none(),
            Event::Record(meta) => {
                let known = self.present.0.contains_key(&meta.sender);
                ledger.enter(&self.record, now_ns(), |header, line| {
                    let Header {
                        writer,
                        run,
                        sequence,
                        ..
                    } = *header;
                    let kind = make_line(writer, run, sequence, &mut self.expected);
                    self.present.says(meta.sender, header)
                        && (meta.kind, line) == (kind, self.expected.as_bytes())
                });
                known
            }
            Event::Closed(sender) | Event::Died(sender) => {
                let died = matches!(event, Event::Died(_));
                self.closed += usize::from(!died);
                ledger.ended(died);
                self.present.0.remove(&sender).is_some()
            }
            Event::Lied(sender, lie) => {
                return Err(format!("sender {sender} is damaged: {lie}").into());
            }
        };
        if !in_order {
            ledger.out_of_order();
        }
        // Each service leaves once; of who was killed before, the news may be still to come.
        if self.closed == SERVICES.len() && self.present.0.is_empty() {
            Ok(Look::End)
        } else {
            Ok(Look::More)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn lines_differ_in_content_length_and_gravity_and_fit() {
        let (mut lines, mut lengths, mut kinds) = (HashSet::new(), HashSet::new(), HashSet::new());
        let mut line = String::new();
        for writer in 0..3 {
            for run in 1..3 {
                for sequence in 0..2_000 {
                    kinds.insert(make_line(writer, run, sequence, &mut line));
                    assert!(line.len() <= LONGEST, "{line}");
                    lengths.insert(line.len());
                    assert!(lines.insert(line.clone()), "{line}");
                }
            }
        }
        assert_eq!(kinds.len(), 3);
        assert!(lengths.len() > 20, "{lengths:?}");
    }

    #[test]
    fn who_says_to_be_another_or_is_not_there_is_not_believed() {
        let header = |writer, run| Header {
            sequence: 0,
            stamp_ns: 0,
            length: 0,
            checksum: None,
            run,
            writer,
            last: false,
        };
        let sender = SenderId { seat: 1, epoch: 1 };
        let mut present = Present::default();
        assert!(!present.says(sender, &header(0, 1)));
        present.0.insert(sender, None);
        for (writer, run, believed) in [(0, 1, true), (0, 1, true), (0, 2, false), (1, 1, false)] {
            assert_eq!(present.says(sender, &header(writer, run)), believed);
        }
    }
}
