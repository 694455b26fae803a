//! `partywall pub` and `sub`: records for whoever listens.

use std::str::FromStr;

use clap::Args;
use partywall::RecvError;
use partywall::broadcast::{Receiver, ReceiverOptions, SenderOptions, Start};

use crate::ended::{self, Ended, complain};
use crate::exit::{Exit, Failure};
use crate::input::Input;
use crate::options::{Place, Protection, Stream, protected, size};
use crate::signals::Signals;
use crate::value::{Format, Values};

/// Options of `partywall pub`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
    tail -f sensor.log | partywall pub imu
    partywall pub samples --record-size 64 < samples.bin")]
pub(crate) struct PubArguments {
    /// The channel; created, or taken over from a dead sender
    #[arg(value_name = "NAME")]
    channel: String,

    /// A record is so many bytes of standard input; without it, a line
    #[arg(long, value_name = "BYTES", value_parser = size)]
    record_size: Option<u64>,

    /// Bytes of the longest line
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "4K", conflicts_with = "record_size")]
    size: u64,

    /// How many records are kept for receivers that are behind, rounded up to a power of two
    #[arg(long, value_name = "N", default_value_t = 1024)]
    slots: u64,

    /// A number of your own that receivers get with each record
    #[arg(long, value_name = "N", default_value_t = 0)]
    kind: u16,

    /// Give each record a checksum, which receivers verify
    #[arg(long)]
    checksums: bool,

    #[command(flatten)]
    protection: Protection,
}

/// Options of `partywall sub`.
#[derive(Args, Debug)]
pub(crate) struct SubArguments {
    /// The channel; waited for if it does not exist yet
    #[arg(value_name = "NAME")]
    channel: String,

    /// Where to begin: oldest, newest, next, or a sequence, counted from 1
    #[arg(long, value_name = "WHERE", default_value = "newest")]
    from: From,

    #[command(flatten)]
    format: Format,

    /// End after so many records
    #[arg(long, value_name = "N")]
    count: Option<u64>,

    #[command(flatten)]
    stream: Stream,
}

#[derive(Clone, Copy, Debug)]
struct From(Start);

impl FromStr for From {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(From(match text {
            "oldest" => Start::Oldest,
            "newest" => Start::Newest,
            "next" => Start::Next,
            number => match number.parse() {
                Ok(sequence) if sequence > 0 => Start::At(sequence),
                _ => return Err("oldest, newest, next, or a sequence from 1"),
            },
        }))
    }
}

/// Sends standard input; ends the channel with it.
pub(crate) fn publish(arguments: &PubArguments, place: &Place) -> Result<Exit, Failure> {
    let signals = Signals::install()?;
    let outcome = send_all(arguments, place, &signals);
    ended::exit(outcome, &signals)
}

fn send_all(arguments: &PubArguments, place: &Place, signals: &Signals) -> Result<(), Ended> {
    let bytes = arguments.record_size.unwrap_or(arguments.size);
    let options = SenderOptions::new()
        .namespace(place.open_for(&arguments.protection)?)
        .value_size(u32::try_from(bytes).unwrap_or(u32::MAX))
        .slots(arguments.slots)
        .checksums(arguments.checksums);
    let mut sender = protected!(options, arguments.protection).open(&arguments.channel)?;
    let input = Input { signals };
    let mut send = |record: &[u8]| -> Result<(), Ended> {
        sender.send_kind(arguments.kind, record)?;
        Ok(())
    };
    if arguments.record_size.is_none() {
        return input.lines(bytes as usize, send);
    }
    let mut record = vec![0; bytes as usize];
    loop {
        let (filled, last) = input.fill(&mut record, true)?;
        if filled > 0 {
            send(&record[..filled])?;
        }
        if last {
            return Ok(());
        }
    }
}

/// Writes what is sent, and says how much of it was lost.
pub(crate) fn subscribe(arguments: &SubArguments, place: &Place) -> Result<Exit, Failure> {
    let signals = Signals::install()?;
    let mut lost = 0;
    let outcome = receive_all(arguments, place, &signals, &mut lost);
    if lost > 0 {
        complain(&format!("{lost} records lost to overruns in all"));
    }
    ended::exit(outcome, &signals)
}

fn receive_all(
    arguments: &SubArguments,
    place: &Place,
    signals: &Signals,
    lost: &mut u64,
) -> Result<(), Ended> {
    let mut values = Values::new(arguments.format, signals);
    let mut payload = Vec::new();
    let mut left = arguments.count.unwrap_or(u64::MAX);
    let mut options = ReceiverOptions::new()
        .namespace(place.open()?)
        .start(arguments.from.0)
        .await_successor(true)
        .attach_timeout(arguments.stream.timeout)
        .wait(arguments.stream.wait.into())
        .stop_token(signals.stop.clone());
    while left > 0 {
        let mut receiver: Receiver = options.attach(&arguments.channel)?;
        // The next stream from its beginning.
        options = options.start(Start::Oldest);
        while left > 0 {
            match receiver.recv_into(&mut payload, arguments.stream.timeout) {
                Ok(meta) => {
                    values.know(receiver.generation(), || receiver.schema())?;
                    values.write(&meta, &payload)?;
                    left -= 1;
                }
                Err(RecvError::Overrun { lost: now, .. }) => {
                    *lost += now;
                    complain(&format!("{now} records lost: too slow"));
                }
                Err(RecvError::Closed { .. }) if arguments.stream.follow => break,
                Err(RecvError::Closed { .. }) => return Ok(()),
                Err(RecvError::Superseded { .. }) => break,
                Err(error) => return Err(error.into()),
            }
            // While records keep coming nothing waits, and only waits look for a stop.
            if signals.exit().is_some() {
                return Err(Ended::Signal);
            }
        }
    }
    Ok(())
}
