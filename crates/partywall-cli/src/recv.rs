//! `partywall recv`: a channel to standard output.

use clap::Args;
use partywall::RecvError;
use partywall::record::Schema;
use partywall::ring::{Consumer, ConsumerOptions, Delivery, InPlaceConsumer, RecordRef};
use serde::Serialize;

use crate::ended::{self, Ended};
use crate::exit::{Exit, Failure};
use crate::fields::Content;
use crate::options::{Place, Stream};
use crate::output::Output;
use crate::signals::Signals;
use crate::{in_place, kinds};

/// Small records are gathered up to so many bytes before they are written.
const GATHER: usize = 256 << 10;

/// A line in pieces may take so much memory before this end gives up on it.
const LONGEST_LINE: usize = 1 << 30;

/// Options of `partywall recv`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
    partywall recv logs --lines | grep error
    partywall recv cam0 | ffplay -f rawvideo -pixel_format rgb24 -video_size 1920x1080 -
    partywall recv quotes --json | jq .fields.price
    partywall recv orders --name archive >> orders.log      (goes on where it stood)")]
pub(crate) struct RecvArguments {
    /// The channel; waited for if it does not exist yet
    #[arg(value_name = "NAME")]
    channel: String,

    /// Write whole lines only, each as soon as nothing more is there
    #[arg(long)]
    lines: bool,

    /// Write the fields of each record on a line; the channel must have a schema
    #[arg(long, conflicts_with_all = ["lines", "json"])]
    fields: bool,

    /// Write one JSON object a line: position, kind, len, and fields, text or hex
    #[arg(long, conflicts_with = "lines")]
    json: bool,

    /// Receive under a name, and go on next time where this one stood
    #[arg(long, value_name = "CONSUMER")]
    name: Option<String>,

    /// With --name: after being killed, rather miss records than write some again
    #[arg(long, requires = "name")]
    at_most_once: bool,

    #[command(flatten)]
    stream: Stream,
}

/// Runs the command.
pub(crate) fn run(arguments: &RecvArguments, place: &Place) -> Result<Exit, Failure> {
    let signals = Signals::install()?;
    let namespace = place.open()?;
    let mut options = ConsumerOptions::new()
        .namespace(namespace)
        .await_successor(true)
        .attach_timeout(arguments.stream.timeout)
        .wait(arguments.stream.wait.into())
        .stop_token(signals.stop.clone());
    if let Some(name) = &arguments.name {
        options = options.durable(name);
    }
    if arguments.at_most_once {
        options = options.delivery(Delivery::AtMostOnce);
    }
    loop {
        let consumer = match options.attach(&arguments.channel) {
            Ok(consumer) => consumer,
            Err(error) => return ended::exit(Err(error.into()), &signals),
        };
        let outcome = Receiver::new(consumer, arguments, &signals).and_then(Receiver::run);
        match outcome {
            Ok(()) if arguments.stream.follow => {}
            outcome => return ended::exit(outcome, &signals),
        }
    }
}

struct Receiver<'a> {
    consumer: InPlaceConsumer,
    arguments: &'a RecvArguments,
    records: Records<'a>,
}

impl<'a> Receiver<'a> {
    fn new(
        consumer: Consumer,
        arguments: &'a RecvArguments,
        signals: &'a Signals,
    ) -> Result<Self, Ended> {
        let mut schema = None;
        if arguments.fields || arguments.json {
            schema = consumer.schema()?;
        }
        if arguments.fields && schema.is_none() {
            let channel = &arguments.channel;
            let message = format!("channel {channel}: no schema, its records are bytes");
            return Err(Failure::new(Exit::Failed, message).into());
        }
        Ok(Receiver {
            consumer: in_place::read_in_place(consumer),
            arguments,
            records: Records {
                output: Output::standard(),
                signals,
                gathered: Vec::new(),
                whole_lines: arguments.lines,
                line: None,
                shown: Shown {
                    json: arguments.json,
                    fields: arguments.fields,
                    schema,
                    copy: Vec::new(),
                    line: Vec::new(),
                },
            },
        })
    }

    /// Until the end of the stream.
    fn run(mut self) -> Result<(), Ended> {
        // A durable consumer asks for the next record only when the last one is written out: asking says
        // that it is done with.
        let at_once = self.arguments.name.is_some();
        loop {
            let more = match self.consumer.try_recv_ref() {
                Ok(Some(record)) => {
                    self.records.put(&record)?;
                    true
                }
                Ok(None) => false,
                Err(error) => return self.records.end(error),
            };
            if !more {
                self.records.flush()?;
                match self.consumer.recv_ref(self.arguments.stream.timeout) {
                    Ok(record) => self.records.put(&record)?,
                    Err(error) => return self.records.end(error),
                }
            }
            if self.records.signals.exit().is_some() {
                // While records keep coming nothing waits, and only waits look for a stop.
                self.records.flush()?;
                return Err(Ended::Signal);
            }
            if at_once {
                self.records.flush()?;
            }
        }
    }
}

/// What records become: small ones gathered, lines put together.
struct Records<'a> {
    output: Output,
    signals: &'a Signals,
    gathered: Vec<u8>,
    /// By `--lines`.
    whole_lines: bool,
    /// With `--lines`: what has arrived of a line in pieces, if its first piece has.
    line: Option<Vec<u8>>,
    shown: Shown,
}

/// With `--fields` or `--json`: a line for each record.
struct Shown {
    json: bool,
    fields: bool,
    schema: Option<Schema>,
    /// Of the record: what is interpreted must not change meanwhile.
    copy: Vec<u8>,
    line: Vec<u8>,
}

#[derive(Serialize)]
struct Row<'a> {
    position: u64,
    kind: u16,
    #[serde(flatten)]
    content: Content<'a>,
}

impl Shown {
    /// Makes `line` the one of a record.
    fn show(&mut self, record: &RecordRef<'_>) -> Result<(), Ended> {
        self.copy.clear();
        self.copy.extend_from_slice(record);
        self.line.clear();
        // A sender begins: no record of the application's.
        if record.kind() == kinds::START && record.is_empty() {
            return Ok(());
        }
        let content = Content::new(self.schema.as_ref(), &self.copy)?;
        if self.json {
            let row = Row {
                position: record.position(),
                kind: record.kind(),
                content,
            };
            serde_json::to_writer(&mut self.line, &row).expect("numbers and text are JSON");
        } else {
            content.write_to(&mut self.line);
        }
        self.line.push(b'\n');
        Ok(())
    }
}

impl Records<'_> {
    fn put(&mut self, record: &RecordRef<'_>) -> Result<(), Ended> {
        if self.shown.json || self.shown.fields {
            self.shown.show(record)?;
            let line = std::mem::take(&mut self.shown.line);
            self.write(&line)?;
            self.shown.line = line;
            return Ok(());
        }
        let (kind, bytes): (u16, &[u8]) = (record.kind(), record);
        match kind {
            kinds::FIRST | kinds::MORE | kinds::END | kinds::END_BARE => self.piece(kind, bytes),
            kinds::START => {
                // A sender that died left a line unfinished: nobody will finish it.
                self.line = None;
                Ok(())
            }
            _ => {
                self.line = None;
                self.write(bytes)?;
                if kind == kinds::LINE {
                    self.write(b"\n")?;
                }
                Ok(())
            }
        }
    }

    fn piece(&mut self, kind: u16, bytes: &[u8]) -> Result<(), Ended> {
        let newline: &[u8] = if kind == kinds::END { b"\n" } else { b"" };
        if !self.whole_lines {
            self.write(bytes)?;
            return self.write(newline);
        }
        if kind == kinds::FIRST {
            self.line = Some(Vec::new());
        }
        // Whoever comes in the middle of a line gets nothing of it: a rest of a line is a torn line.
        let Some(line) = &mut self.line else {
            return Ok(());
        };
        if line.len() + bytes.len() > LONGEST_LINE {
            return Err(Ended::Failed(Failure::new(
                Exit::Failed,
                "a line of more than 1 GiB; receive without --lines",
            )));
        }
        line.extend_from_slice(bytes);
        if matches!(kind, kinds::END | kinds::END_BARE)
            && let Some(whole) = self.line.take()
        {
            self.write(&whole)?;
            self.write(newline)?;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        if self.gathered.len() + bytes.len() > GATHER {
            self.flush()?;
        }
        if bytes.len() >= GATHER {
            // Straight from the channel: gathering would copy it once more.
            self.output.write_all(bytes, self.signals)?;
        } else {
            self.gathered.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Ended> {
        if !self.gathered.is_empty() {
            self.output.write_all(&self.gathered, self.signals)?;
            self.gathered.clear();
        }
        Ok(())
    }

    /// Writes what is left, and says how receiving ended.
    fn end(&mut self, error: RecvError) -> Result<(), Ended> {
        self.flush()?;
        match error {
            RecvError::Closed { .. } => Ok(()),
            error => Err(error.into()),
        }
    }
}
