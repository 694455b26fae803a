//! `partywall put`, `get` and `watch`: the latest value of something.

use std::time::Duration;

use clap::Args;
use partywall::snapshot::{Reader, ReaderOptions, Writer, WriterOptions};
use partywall::{RecvError, inspect};

use crate::ended::{self, Ended};
use crate::exit::{Exit, Failure};
use crate::input::Input;
use crate::options::{Place, Protection, Stream, Wait, protected, seconds, size};
use crate::signals::Signals;
use crate::value::{Format, Values};

/// The largest value that is read from standard input.
const LARGEST: usize = 1 << 30;
/// What a new snapshot is made for, if nothing was said.
const USUAL: usize = 4096;

/// Options of `partywall put`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
    partywall put config '{\"exposure\": 12}'       (it stays: partywall get config)
    partywall put lut < table.bin
    sensors | partywall put temperature --lines    (each line replaces the one before)
    partywall --dir /dev/shm/plant put state --mode 0644 ok     (everybody may read it:
    partywall --dir /dev/shm/plant --owner 1000 get state)")]
pub(crate) struct PutArguments {
    /// The snapshot; created, or taken over from a writer that has gone
    #[arg(value_name = "NAME")]
    channel: String,

    /// The value; without it, all of standard input
    #[arg(conflicts_with = "lines")]
    value: Option<String>,

    /// Each line of standard input is a value
    #[arg(long)]
    lines: bool,

    /// Bytes of the largest value [default: 4K, or this one]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    size: Option<u64>,

    /// A number of your own that readers get with the value
    #[arg(long, value_name = "N", default_value_t = 0)]
    kind: u16,

    /// Give each value a checksum, which readers verify
    #[arg(long)]
    checksums: bool,

    #[command(flatten)]
    protection: Protection,
}

/// Options of `partywall get`.
#[derive(Args, Debug)]
pub(crate) struct GetArguments {
    /// The snapshot
    #[arg(value_name = "NAME")]
    channel: String,

    #[command(flatten)]
    format: Format,

    /// Wait so long for the snapshot and its first value
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
}

/// Options of `partywall watch`.
#[derive(Args, Debug)]
pub(crate) struct WatchArguments {
    /// The snapshot; waited for if it does not exist yet
    #[arg(value_name = "NAME")]
    channel: String,

    #[command(flatten)]
    format: Format,

    /// End after so many values
    #[arg(long, value_name = "N")]
    count: Option<u64>,

    #[command(flatten)]
    stream: Stream,
}

/// Puts a value, or one for each line. The channel is left as it is, so that the value stays.
pub(crate) fn put(arguments: &PutArguments, place: &Place) -> Result<Exit, Failure> {
    let signals = Signals::install()?;
    let outcome = put_all(arguments, place, &signals);
    ended::exit(outcome, &signals)
}

fn put_all(arguments: &PutArguments, place: &Place, signals: &Signals) -> Result<(), Ended> {
    let input = Input { signals };
    let value = match &arguments.value {
        _ if arguments.lines => None,
        Some(value) => Some(value.clone().into_bytes()),
        None => Some(input.read_to_end(LARGEST)?),
    };
    let needed = value.as_ref().map_or(0, Vec::len);
    let mut writer = open(arguments, place, needed)?;
    if needed > writer.max_value() {
        // Whoever reads it comes over.
        let size = u32::try_from(needed).unwrap_or(u32::MAX);
        writer.grow(size, 0).map_err(Failure::from)?;
    }
    let mut put = |bytes: &[u8]| -> Result<(), Ended> {
        writer.put_kind(arguments.kind, bytes)?;
        Ok(())
    };
    let outcome = match value {
        Some(value) => put(&value),
        None => input.lines(arguments.size.map_or(USUAL, |size| size as usize), put),
    };
    writer.abandon();
    outcome
}

fn open(arguments: &PutArguments, place: &Place, needed: usize) -> Result<Writer, Ended> {
    let namespace = place.open_for(&arguments.protection)?;
    // One that is there is taken as it is; if the value does not fit, it grows.
    let there =
        inspect::inspect(&namespace, &arguments.channel).is_ok_and(|info| info.generation > 0);
    let usual = if there && !arguments.lines { 1 } else { USUAL };
    let bytes = arguments
        .size
        .map_or(usual, |size| usize::try_from(size).unwrap_or(usize::MAX))
        .max(if there && !arguments.checksums {
            1
        } else {
            needed
        });
    let options = WriterOptions::new()
        .namespace(namespace)
        .value_size(u32::try_from(bytes).unwrap_or(u32::MAX))
        .checksums(arguments.checksums)
        .keep_when_closed(true);
    Ok(protected!(options, arguments.protection).open(&arguments.channel)?)
}

/// Writes the latest value.
pub(crate) fn get(arguments: &GetArguments, place: &Place) -> Result<Exit, Failure> {
    let signals = Signals::install()?;
    let outcome = get_one(arguments, place, &signals);
    ended::exit(outcome, &signals)
}

fn get_one(arguments: &GetArguments, place: &Place, signals: &Signals) -> Result<(), Ended> {
    let mut reader = attach(
        place,
        &arguments.channel,
        signals,
        Some(arguments.timeout.unwrap_or_default()),
        Wait::default(),
    )?;
    let mut payload = Vec::new();
    let meta = match (reader.get_into(&mut payload)?, arguments.timeout) {
        (Some(meta), _) => meta,
        (None, Some(_)) => reader.changed_into(&mut payload, arguments.timeout)?,
        (None, None) => {
            let message = format!(
                "channel {}: no value was put yet; wait for it with --timeout",
                arguments.channel
            );
            return Err(Failure::new(Exit::Missing, message).into());
        }
    };
    let mut values = Values::new(arguments.format, signals);
    values.know(reader.generation(), || reader.schema())?;
    values.write(&meta, &payload)
}

/// Writes each new value that it comes to see.
pub(crate) fn watch(arguments: &WatchArguments, place: &Place) -> Result<Exit, Failure> {
    let signals = Signals::install()?;
    let outcome = watch_all(arguments, place, &signals);
    ended::exit(outcome, &signals)
}

fn watch_all(arguments: &WatchArguments, place: &Place, signals: &Signals) -> Result<(), Ended> {
    let mut values = Values::new(arguments.format, signals);
    let mut payload = Vec::new();
    let mut left = arguments.count.unwrap_or(u64::MAX);
    let attach = || {
        attach(
            place,
            &arguments.channel,
            signals,
            arguments.stream.timeout,
            arguments.stream.wait,
        )
    };
    let mut reader = attach()?;
    while left > 0 {
        match reader.changed_into(&mut payload, arguments.stream.timeout) {
            Ok(meta) => {
                values.know(reader.generation(), || reader.schema())?;
                values.write(&meta, &payload)?;
                left -= 1;
            }
            // The next one may be slower.
            Err(RecvError::Contended { .. }) => {}
            Err(RecvError::Closed { .. }) if !arguments.stream.follow => return Ok(()),
            // Also when a writer of larger values made it anew.
            Err(RecvError::Closed { .. } | RecvError::Superseded { .. }) => reader = attach()?,
            Err(error) => return Err(error.into()),
        }
        // While values keep coming nothing waits, and only waits look for a stop.
        if signals.exit().is_some() {
            return Err(Ended::Signal);
        }
    }
    Ok(())
}

/// A reader that waits for the next writer when one has gone without closing the channel.
fn attach(
    place: &Place,
    channel: &str,
    signals: &Signals,
    timeout: Option<Duration>,
    wait: Wait,
) -> Result<Reader, Ended> {
    let reader = ReaderOptions::new()
        .namespace(place.open()?)
        .await_successor(true)
        .attach_timeout(timeout)
        .wait(wait.into())
        .stop_token(signals.stop.clone())
        .attach(channel)?;
    Ok(reader)
}
