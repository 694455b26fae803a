//! `partywall frames recv`: frames to standard output, or as a file each.

use std::path::PathBuf;

use clap::Args;
use partywall::RecvError;
use partywall::frames::{InPlaceFrame, InPlaceSubscriber, Subscriber, SubscriberOptions};
use serde::Serialize;

use super::files::Files;
use super::image::{ContentName, FormatName, extension};
use crate::ended::{self, Ended, complain};
use crate::exit::{Exit, Failure};
use crate::fields::{Content, Known};
use crate::in_place;
use crate::options::{Place, Stream};
use crate::output::Output;
use crate::signals::Signals;

/// Options of `partywall frames recv`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
    partywall frames recv cam1 | ffplay -f rawvideo -pixel_format rgb24 -video_size 1920x1080 -
    partywall frames recv cam1 --lossy --output shots --count 100
    partywall frames recv cam1 --json | jq .age_ns")]
pub(crate) struct RecvArguments {
    /// The channel; waited for if it does not exist yet
    #[arg(value_name = "NAME")]
    channel: String,

    /// Never hold the publisher up: miss frames instead, and say how many
    #[arg(long)]
    lossy: bool,

    /// Begin so many frames back, as far as they are kept
    #[arg(long, value_name = "N", default_value_t = 0)]
    history: u32,

    /// End after so many frames
    #[arg(long, value_name = "N")]
    count: Option<u64>,

    /// Write each frame to a file of its own here, NAME-SEQUENCE; none is ever overwritten
    #[arg(long, value_name = "DIRECTORY")]
    output: Option<PathBuf>,

    /// Write the fields of each frame on a line; the channel must have a schema
    #[arg(long, conflicts_with_all = ["json", "output"])]
    fields: bool,

    /// Write what is known of each frame, and not its bytes, as one JSON object a line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    stream: Stream,
}

/// Runs the command.
pub(crate) fn run(arguments: &RecvArguments, place: &Place) -> Result<Exit, Failure> {
    let signals = Signals::install()?;
    let files = arguments.output.as_deref().map(Files::into_directory);
    let mut receiver = Receiver {
        arguments,
        files: files.transpose()?,
        output: Output::standard(),
        signals: &signals,
        schema: Known::default(),
        copy: Vec::new(),
        line: Vec::new(),
        missed: 0,
        missed_in_all: 0,
    };
    let outcome = receiver.run(place);
    if receiver.missed_in_all > 0 {
        complain(&format!("{} frames missed in all", receiver.missed_in_all));
    }
    ended::exit(outcome, &signals)
}

struct Receiver<'a> {
    arguments: &'a RecvArguments,
    /// By `--output`.
    files: Option<Files>,
    output: Output,
    signals: &'a Signals,
    schema: Known,
    /// Of the frame: what is interpreted must not change meanwhile.
    copy: Vec<u8>,
    line: Vec<u8>,
    /// Since the last line of `--json`.
    missed: u64,
    missed_in_all: u64,
}

/// What `--json` writes of a frame.
#[derive(Serialize)]
struct Row<'a, F> {
    sequence: u64,
    time_ns: u64,
    age_ns: Option<u64>,
    kind: u16,
    content: ContentName,
    format: FormatName,
    width: u32,
    height: u32,
    stride: u32,
    len: usize,
    /// Frames missed since the one before.
    missed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<F>,
}

impl Receiver<'_> {
    fn run(&mut self, place: &Place) -> Result<(), Ended> {
        let mut left = self.arguments.count.unwrap_or(u64::MAX);
        let mut options = SubscriberOptions::new()
            .namespace(place.open()?)
            .lossy(self.arguments.lossy)
            .history(self.arguments.history)
            .await_successor(true)
            .attach_timeout(self.arguments.stream.timeout)
            .wait(self.arguments.stream.wait.into())
            .stop_token(self.signals.stop.clone());
        while left > 0 {
            let subscriber = options.attach(&self.arguments.channel)?;
            self.know(&subscriber)?;
            if !self.stream(in_place::hold_in_place(subscriber), &mut left)? {
                return Ok(());
            }
            // The next stream from its beginning, as far as it is kept.
            options = options.history(u32::MAX);
        }
        Ok(())
    }

    /// What this generation's frames are made of, if anybody asks.
    fn know(&mut self, subscriber: &Subscriber) -> Result<(), Ended> {
        if !self.arguments.fields && !self.arguments.json {
            return Ok(());
        }
        self.schema
            .of(subscriber.generation(), || subscriber.schema())?;
        if self.arguments.fields && self.schema.schema().is_none() {
            let channel = subscriber.channel();
            let message = format!("channel {channel}: no schema, its frames are bytes");
            return Err(Failure::new(Exit::Failed, message).into());
        }
        Ok(())
    }

    /// One stream up to its end; whether there may be another.
    fn stream(&mut self, mut subscriber: InPlaceSubscriber, left: &mut u64) -> Result<bool, Ended> {
        while *left > 0 {
            let next = match self.arguments.stream.timeout {
                Some(timeout) => subscriber.recv_timeout(timeout),
                None => subscriber.recv(),
            };
            match next {
                Ok(frame) => {
                    self.put(&frame)?;
                    *left -= 1;
                }
                Err(RecvError::Overrun { lost, .. }) => {
                    self.missed += lost;
                    self.missed_in_all += lost;
                    complain(&format!("{lost} frames missed: too slow"));
                }
                Err(RecvError::Closed { .. }) => return Ok(self.arguments.stream.follow),
                Err(RecvError::Superseded { .. }) => return Ok(true),
                Err(error) => return Err(error.into()),
            }
            // While frames keep coming nothing waits, and only waits look for a stop.
            if self.signals.exit().is_some() {
                return Err(Ended::Signal);
            }
        }
        Ok(false)
    }

    /// Writes a frame while it is held.
    fn put(&mut self, frame: &InPlaceFrame) -> Result<(), Ended> {
        let file = match &self.files {
            Some(files) => Some(files.put(&self.file_name(frame), frame)?),
            None => None,
        };
        self.line.clear();
        if self.arguments.json {
            self.describe(frame, file)?;
        } else if self.arguments.fields {
            frame.frame().copy_to(&mut self.copy);
            Content::new(self.schema.schema(), &self.copy)?.write_to(&mut self.line);
        } else if file.is_none() {
            return Ok(self.output.write_all(frame, self.signals)?);
        } else {
            return Ok(());
        }
        self.line.push(b'\n');
        Ok(self.output.write_all(&self.line, self.signals)?)
    }

    fn file_name(&self, frame: &InPlaceFrame) -> String {
        let frame = frame.frame();
        format!(
            "{}-{:08}.{}",
            self.arguments.channel,
            frame.sequence(),
            extension(frame.content(), frame.about().format)
        )
    }

    fn describe(&mut self, lent: &InPlaceFrame, file: Option<PathBuf>) -> Result<(), Ended> {
        let frame = lent.frame();
        let schema = self.schema.schema();
        if schema.is_some() {
            frame.copy_to(&mut self.copy);
        } else {
            self.copy.clear();
        }
        let about = frame.about();
        let row = Row {
            sequence: frame.sequence(),
            time_ns: frame.time_ns(),
            age_ns: frame
                .age()
                .map(|age| u64::try_from(age.as_nanos()).unwrap_or(u64::MAX)),
            kind: frame.kind(),
            content: ContentName(frame.content()),
            format: FormatName(about.format),
            width: about.width,
            height: about.height,
            stride: about.stride,
            len: frame.len(),
            missed: std::mem::take(&mut self.missed),
            file: file.as_deref().and_then(|path| path.to_str()),
            fields: Content::new(schema, &self.copy)?.fields(),
        };
        serde_json::to_writer(&mut self.line, &row).expect("numbers and text are JSON");
        Ok(())
    }
}
