//! `partywall send`: standard input into a channel.

use std::time::Duration;

use clap::Args;
use partywall::SendError;
use partywall::mpsc::{self, SenderOptions};
use partywall::ring::{Alone, Producer, ProducerOptions, Sent};

use crate::ended::{self, Ended};
use crate::exit::{Exit, Failure};
use crate::input::{CHUNK, Input};
use crate::options::{Place, Protection, Wait, WhenAlone, WhenFull, protected, seconds, size};
use crate::signals::Signals;
use crate::sink::{Batch, Sink};
use crate::{in_place, kinds};

/// Options of `partywall send`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
    partywall send logs --lines < access.log
    ffmpeg -i clip.mp4 -f rawvideo - | partywall send cam0 --record-size 6220800
    tar c photos | partywall send backup        (and elsewhere: partywall recv backup | tar x)
    worker | partywall send log --to-collector  (many of them; elsewhere: partywall collect log)")]
pub(crate) struct SendArguments {
    /// The channel; created, or taken over from a dead sender
    #[arg(value_name = "NAME")]
    channel: String,

    /// A record is a line
    #[arg(long, conflicts_with = "record_size")]
    lines: bool,

    /// A record is so many bytes, such as one raw video frame; the last may be shorter
    #[arg(long, value_name = "BYTES", value_parser = size)]
    record_size: Option<u64>,

    /// Send to the channel of a `partywall collect`, as one of many; waits for it. Without --record-size a record is a
    /// line
    #[arg(long, conflicts_with_all = ["capacity", "seats", "no_consumer", "mode", "confidential", "page_file", "global"])]
    to_collector: bool,

    /// Leave at the end of input, without waiting until everything was taken
    #[arg(long)]
    detach: bool,

    /// Size of the ring, rounded up to a power of two [default: 16M, or four records]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    capacity: Option<u64>,

    /// How many consumers there can be, 1 to 64
    #[arg(long, value_name = "N", default_value_t = 8)]
    seats: u32,

    /// What to do when the consumers are behind
    #[arg(long, value_enum, default_value_t)]
    overflow: WhenFull,

    /// What to do while there is no consumer
    #[arg(long, value_enum, default_value_t)]
    no_consumer: WhenAlone,

    /// How to wait for room
    #[arg(long, value_enum, default_value_t)]
    wait: Wait,

    /// Give up when there is no room, or no consumer, for so long
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,

    #[command(flatten)]
    protection: Protection,
}

/// Runs the command.
pub(crate) fn run(arguments: &SendArguments, place: &Place) -> Result<Exit, Failure> {
    let signals = Signals::install()?;
    if arguments.to_collector {
        return match join(arguments, place, &signals) {
            Ok(sender) => send(arguments, sender, "have it collected with --lane", &signals),
            Err(ended) => ended::exit(Err(ended), &signals),
        };
    }
    let producer = in_place::write_in_place(open(arguments, place, &signals)?);
    send(arguments, producer, "give --capacity", &signals)
}

/// Sends all of the input, and waits until it was taken.
fn send(
    arguments: &SendArguments,
    sink: impl Sink,
    larger: &str,
    signals: &Signals,
) -> Result<Exit, Failure> {
    let record_size = arguments
        .record_size
        .map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    if let Some(len) = record_size
        && len > sink.max_record()
    {
        return Err(Failure::new(
            Exit::Failed,
            format!(
                "channel {}: a record of {len} bytes does not fit, at most {} do; {larger} {}",
                arguments.channel,
                sink.max_record(),
                4 * len as u64
            ),
        ));
    }
    let mut sender = Sender {
        sink,
        input: Input { signals },
        may_drop: matches!(arguments.overflow, WhenFull::Drop),
    };
    let sent = sender.start().and_then(|()| {
        if arguments.lines || arguments.to_collector && record_size.is_none() {
            sender.lines()
        } else {
            sender.chunks(record_size)
        }
    });
    let sent = sent.and_then(|()| {
        if arguments.detach {
            return Ok(());
        }
        match sender.sink.flush(arguments.timeout) {
            Err(SendError::NoConsumer { .. })
                if matches!(arguments.no_consumer, WhenAlone::Discard) =>
            {
                Ok(())
            }
            other => other.map_err(Ended::from),
        }
    });
    // Dropping the sink is the end of the stream to who receives it.
    ended::exit(sent, signals)
}

fn open(arguments: &SendArguments, place: &Place, signals: &Signals) -> Result<Producer, Failure> {
    let mut options = ProducerOptions::new()
        .namespace(place.open()?)
        .seats(arguments.seats)
        .overflow(arguments.overflow.into())
        .block_timeout(arguments.timeout)
        .alone(match arguments.no_consumer {
            WhenAlone::Wait => Alone::Wait,
            WhenAlone::Discard => Alone::Discard,
        })
        .wait(arguments.wait.into())
        .stop_token(signals.stop.clone());
    if let Some(bytes) = arguments.capacity {
        options = options.capacity(bytes);
    } else if let Some(bytes) = arguments.record_size {
        // Four records, so that the two sides need not go in step.
        options = options.capacity((16 << 20).max(bytes.saturating_add(8).saturating_mul(4)));
    }
    Ok(protected!(options, arguments.protection).open(&arguments.channel)?)
}

/// Takes a seat of somebody's mpsc channel.
fn join(
    arguments: &SendArguments,
    place: &Place,
    signals: &Signals,
) -> Result<mpsc::Sender, Ended> {
    let options = SenderOptions::new()
        .namespace(place.open()?)
        .overflow(arguments.overflow.into())
        .block_timeout(arguments.timeout)
        .attach_timeout(arguments.timeout)
        .locked_in_memory(arguments.protection.lock_memory)
        .wait(arguments.wait.into())
        .stop_token(signals.stop.clone());
    Ok(options.attach(&arguments.channel)?)
}

struct Sender<'a, S> {
    sink: S,
    input: Input<'a>,
    /// By `--overflow drop`.
    may_drop: bool,
}

impl<S: Sink> Sender<'_, S> {
    /// Tells receivers that whatever an earlier sender left unfinished stays so. Also waits for a consumer,
    /// if that was chosen, before any input is read.
    fn start(&mut self) -> Result<(), Ended> {
        self.sink.send_kind(kinds::START, &[])?;
        Ok(())
    }

    /// Sends bytes as they come, or in records of one size.
    fn chunks(&mut self, record_size: Option<usize>) -> Result<(), Ended> {
        let whole = record_size.is_some();
        let len = record_size.unwrap_or_else(|| CHUNK.min(self.sink.max_record() / 2).max(1));
        // What may be dropped has to be read all the same, so it needs a place of its own.
        let mut aside = Vec::new();
        loop {
            let input = &self.input;
            let mut fill = |place: &mut [u8]| input.fill(place, whole);
            // Straight from the input into the channel, if that can be.
            let in_place = if self.may_drop {
                None
            } else {
                self.sink.fill_in_place(len, &mut fill)?
            };
            let ended = match in_place {
                Some(ended) => ended,
                None => {
                    aside.resize(len, 0);
                    let (filled, ended) = fill(&mut aside)?;
                    if filled > 0 {
                        self.sink.send_kind(kinds::DATA, &aside[..filled])?;
                    }
                    ended
                }
            };
            if ended {
                return Ok(());
            }
        }
    }

    /// Sends lines: all that are complete together, so that none waits for input to come.
    fn lines(&mut self) -> Result<(), Ended> {
        let max = self.sink.max_record();
        let mut buffer = vec![0; CHUNK];
        // Bytes of an unfinished line at the start of the buffer.
        let mut kept = 0;
        // What of the unfinished line was sent already.
        let mut pieces = Pieces::default();
        loop {
            let read = self.input.read(&mut buffer[kept..])?;
            if read == 0 {
                return self.last_line(&buffer[..kept], pieces);
            }
            let filled = kept + read;
            let mut from = 0;
            let mut batch = self.sink.batch();
            // Nothing before `kept` is a newline: it was looked at before.
            for newline in memchr::memchr_iter(b'\n', &buffer[kept..filled]) {
                let line = &buffer[from..kept + newline];
                if pieces.none() && line.len() <= max {
                    batch.push_kind(kinds::LINE, line)?;
                } else {
                    batch.commit();
                    pieces.send(&mut self.sink, line)?;
                    pieces.end(&mut self.sink, kinds::END)?;
                    batch = self.sink.batch();
                }
                from = kept + newline + 1;
            }
            batch.commit();
            buffer.copy_within(from..filled, 0);
            kept = filled - from;
            if kept == buffer.len() {
                // A line longer than the buffer goes out in pieces as it comes.
                pieces.send(&mut self.sink, &buffer[..kept])?;
                kept = 0;
            }
        }
    }

    fn last_line(&mut self, line: &[u8], mut pieces: Pieces) -> Result<(), Ended> {
        if pieces.none() && line.len() <= self.sink.max_record() {
            if !line.is_empty() {
                self.sink.send_kind(kinds::LINE_BARE, line)?;
            }
            return Ok(());
        }
        pieces.send(&mut self.sink, line)?;
        pieces.end(&mut self.sink, kinds::END_BARE)
    }
}

/// A line that is sent in pieces. Once one was dropped the others need not be sent: receivers give back whole
/// lines or nothing.
#[derive(Default)]
struct Pieces {
    sent: usize,
    dropped: bool,
}

impl Pieces {
    fn none(&self) -> bool {
        self.sent == 0 && !self.dropped
    }

    fn send(&mut self, sink: &mut impl Sink, bytes: &[u8]) -> Result<(), Ended> {
        let len = CHUNK.min(sink.max_record());
        for piece in bytes.chunks(len) {
            let kind = if self.sent == 0 {
                kinds::FIRST
            } else {
                kinds::MORE
            };
            self.put(sink, kind, piece)?;
        }
        Ok(())
    }

    /// Ends the line; the next one begins anew.
    fn end(&mut self, sink: &mut impl Sink, kind: u16) -> Result<(), Ended> {
        self.put(sink, kind, &[])?;
        *self = Pieces::default();
        Ok(())
    }

    fn put(&mut self, sink: &mut impl Sink, kind: u16, piece: &[u8]) -> Result<(), Ended> {
        if self.dropped {
            return Ok(());
        }
        match sink.send_kind(kind, piece)? {
            Sent::Committed => self.sent += 1,
            Sent::Dropped => self.dropped = true,
        }
        Ok(())
    }
}
