//! `partywall send`: standard input into a channel.

use std::time::Duration;

use clap::{Args, ValueEnum};
use partywall::SendError;
use partywall::ring::{Alone, InPlaceProducer, Overflow, Producer, ProducerOptions, Sent};

use crate::ended::{self, Ended};
use crate::exit::{Exit, Failure};
use crate::input::{CHUNK, Input};
use crate::options::{Place, Wait, seconds, size};
use crate::signals::Signals;
use crate::{in_place, kinds};

/// Options of `partywall send`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
    partywall send logs --lines < access.log
    ffmpeg -i clip.mp4 -f rawvideo - | partywall send cam0 --record-size 6220800
    tar c photos | partywall send backup        (and elsewhere: partywall recv backup | tar x)")]
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
}

/// See [`Overflow`].
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum WhenFull {
    /// Wait
    #[default]
    Block,
    /// End with an error
    Fail,
    /// Drop what was to be sent, and count it
    Drop,
}

/// See [`Alone`].
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum WhenAlone {
    /// Wait for one
    #[default]
    Wait,
    /// Go on; what nobody reads is gone
    Discard,
}

/// Runs the command.
pub(crate) fn run(arguments: &SendArguments, place: &Place) -> Result<Exit, Failure> {
    let record_size = arguments
        .record_size
        .map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    let signals = Signals::install()?;
    let producer = open(arguments, place, &signals)?;
    if let Some(len) = record_size
        && len > producer.max_record()
    {
        return Err(Failure::new(
            Exit::Failed,
            format!(
                "channel {}: a record of {len} bytes does not fit, at most {} do; give --capacity {}",
                arguments.channel,
                producer.max_record(),
                4 * len as u64
            ),
        ));
    }
    let mut sender = Sender {
        producer: in_place::write_in_place(producer),
        input: Input { signals: &signals },
        may_drop: matches!(arguments.overflow, WhenFull::Drop),
    };
    let sent = sender.start().and_then(|()| {
        if arguments.lines {
            sender.lines()
        } else {
            sender.chunks(record_size)
        }
    });
    let sent = sent.and_then(|()| {
        if arguments.detach {
            return Ok(());
        }
        match sender.producer.flush(arguments.timeout) {
            Err(SendError::NoConsumer { .. })
                if matches!(arguments.no_consumer, WhenAlone::Discard) =>
            {
                Ok(())
            }
            other => other.map_err(Ended::from),
        }
    });
    // Dropping the producer closes the channel: consumers get the end of the stream.
    ended::exit(sent, &signals)
}

fn open(arguments: &SendArguments, place: &Place, signals: &Signals) -> Result<Producer, Failure> {
    let mut options = ProducerOptions::new()
        .namespace(place.open()?)
        .seats(arguments.seats)
        .overflow(match arguments.overflow {
            WhenFull::Block => Overflow::Block,
            WhenFull::Fail => Overflow::Fail,
            WhenFull::Drop => Overflow::DropNewest,
        })
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
    Ok(options.open(&arguments.channel)?)
}

struct Sender<'a> {
    producer: InPlaceProducer,
    input: Input<'a>,
    /// By `--overflow drop`.
    may_drop: bool,
}

impl Sender<'_> {
    /// Tells receivers that whatever an earlier sender left unfinished stays so. Also waits for a consumer,
    /// if that was chosen, before any input is read.
    fn start(&mut self) -> Result<(), Ended> {
        self.producer.send_kind(kinds::START, &[])?;
        Ok(())
    }

    /// Sends bytes as they come, or in records of one size.
    fn chunks(&mut self, record_size: Option<usize>) -> Result<(), Ended> {
        let whole = record_size.is_some();
        let len = record_size.unwrap_or_else(|| CHUNK.min(self.producer.max_record() / 2).max(1));
        // What may be dropped has to be read all the same, so it needs a place of its own.
        let mut aside = vec![0; if self.may_drop { len } else { 0 }];
        loop {
            let ended = if self.may_drop {
                let (filled, ended) = self.input.fill(&mut aside, whole)?;
                if filled > 0 {
                    self.producer.send_kind(kinds::DATA, &aside[..filled])?;
                }
                ended
            } else {
                // Straight from the input into the channel.
                let mut record = self.producer.reserve_mut(len)?;
                let (filled, ended) = self.input.fill(&mut record, whole)?;
                if filled > 0 {
                    record.commit_len(filled);
                }
                ended
            };
            if ended {
                return Ok(());
            }
        }
    }

    /// Sends lines: all that are complete together, so that none waits for input to come.
    fn lines(&mut self) -> Result<(), Ended> {
        let max = self.producer.max_record();
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
            let mut batch = self.producer.batch();
            // Nothing before `kept` is a newline: it was looked at before.
            for newline in memchr::memchr_iter(b'\n', &buffer[kept..filled]) {
                let line = &buffer[from..kept + newline];
                if pieces.none() && line.len() <= max {
                    batch.push_kind(kinds::LINE, line)?;
                } else {
                    batch.commit();
                    pieces.send(&mut self.producer, line)?;
                    pieces.end(&mut self.producer, kinds::END)?;
                    batch = self.producer.batch();
                }
                from = kept + newline + 1;
            }
            batch.commit();
            buffer.copy_within(from..filled, 0);
            kept = filled - from;
            if kept == buffer.len() {
                // A line longer than the buffer goes out in pieces as it comes.
                pieces.send(&mut self.producer, &buffer[..kept])?;
                kept = 0;
            }
        }
    }

    fn last_line(&mut self, line: &[u8], mut pieces: Pieces) -> Result<(), Ended> {
        if pieces.none() && line.len() <= self.producer.max_record() {
            if !line.is_empty() {
                self.producer.send_kind(kinds::LINE_BARE, line)?;
            }
            return Ok(());
        }
        pieces.send(&mut self.producer, line)?;
        pieces.end(&mut self.producer, kinds::END_BARE)
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

    fn send(&mut self, producer: &mut InPlaceProducer, bytes: &[u8]) -> Result<(), Ended> {
        let len = CHUNK.min(producer.max_record());
        for piece in bytes.chunks(len) {
            let kind = if self.sent == 0 {
                kinds::FIRST
            } else {
                kinds::MORE
            };
            self.put(producer, kind, piece)?;
        }
        Ok(())
    }

    /// Ends the line; the next one begins anew.
    fn end(&mut self, producer: &mut InPlaceProducer, kind: u16) -> Result<(), Ended> {
        self.put(producer, kind, &[])?;
        *self = Pieces::default();
        Ok(())
    }

    fn put(
        &mut self,
        producer: &mut InPlaceProducer,
        kind: u16,
        piece: &[u8],
    ) -> Result<(), Ended> {
        if self.dropped {
            return Ok(());
        }
        match producer.send_kind(kind, piece)? {
            Sent::Committed => self.sent += 1,
            Sent::Dropped => self.dropped = true,
        }
        Ok(())
    }
}
