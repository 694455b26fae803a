//! `partywall ls`: the channels at a glance.

use clap::Args;
use partywall::inspect::{self, ChannelInfo, Liveness};

use crate::exit::{Exit, Failure};
use crate::format::{self, Colour};
use crate::options::Place;

/// Options of `partywall ls`.
#[derive(Args, Debug)]
pub(crate) struct LsArguments {
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(arguments: &LsArguments, place: &Place) -> Result<Exit, Failure> {
    let namespace = place.open()?;
    let channels = inspect::list(&namespace)?;
    if arguments.json {
        return format::print_json(&channels);
    }
    if channels.is_empty() {
        return format::print(&format!("no channels in {}\n", namespace.path().display()));
    }
    let header = [
        "NAME",
        "PATTERN",
        "STATE",
        "PRODUCER",
        "PID",
        "CONSUMERS",
        "RECORDS",
        "BEHIND",
        "MEMORY",
    ];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    rows.extend(channels.iter().map(row));
    format::print(&format::table(&rows, |row, column| match (row, column) {
        (0, _) => Some(Colour::Faint),
        (_, 3) => paint_owner(&channels[row - 1]),
        _ => None,
    }))
}

/// The colour of a liveness.
pub(crate) fn paint(liveness: Liveness) -> Colour {
    match liveness {
        Liveness::Alive => Colour::Good,
        Liveness::Stuck => Colour::Doubtful,
        Liveness::Dead => Colour::Bad,
    }
}

/// How its owner does. A record whose lock is free is at rest, and not dead.
pub(crate) fn owner(channel: &ChannelInfo) -> String {
    match &channel.guarded {
        Some(guarded) if guarded.condition != "consistent" => "not recoverable".to_owned(),
        Some(guarded) if guarded.locked => "locked".to_owned(),
        Some(guarded) if guarded.owner_died => "holder died".to_owned(),
        Some(_) => "unlocked".to_owned(),
        None => channel.owner.to_string(),
    }
}

/// The colour of that.
pub(crate) fn paint_owner(channel: &ChannelInfo) -> Option<Colour> {
    match &channel.guarded {
        Some(guarded) if guarded.condition != "consistent" => Some(Colour::Bad),
        Some(guarded) if guarded.owner_died => Some(Colour::Doubtful),
        Some(guarded) => guarded.locked.then_some(Colour::Good),
        None => Some(paint(channel.owner)),
    }
}

/// Seats that are claimed, in whichever generation: one number, one peer.
pub(crate) fn claimed(channel: &ChannelInfo) -> usize {
    let indexes = channel.seats.iter().map(|seat| seat.index);
    indexes.collect::<std::collections::BTreeSet<_>>().len()
}

fn row(channel: &ChannelInfo) -> Vec<String> {
    if let Some(problem) = &channel.problem {
        return vec![
            channel.name.clone(),
            "?".to_owned(),
            "unreadable".to_owned(),
            problem.clone(),
        ];
    }
    let counted = channel.seats.iter().filter(|seat| !seat.evicted);
    let furthest = if channel.pattern == "frames" {
        let frames = counted.map(|seat| seat.depth_records).max();
        frames.map(|frames| format!("{frames} frames"))
    } else {
        counted
            .map(|seat| seat.depth_bytes)
            .max()
            .map(format::bytes)
    };
    vec![
        channel.name.clone(),
        channel.pattern.to_owned(),
        channel.state.to_owned(),
        owner(channel),
        if channel.guarded.is_some_and(|guarded| !guarded.locked) {
            "-".to_owned()
        } else {
            channel.owner_pid.to_string()
        },
        format!("{}/{}", claimed(channel), channel.seat_count),
        channel.records.to_string(),
        furthest.unwrap_or_else(|| "-".to_owned()),
        format::bytes(channel.bytes_reserved),
    ]
}
