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
        (_, 3) => Some(paint(channels[row - 1].owner)),
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
        channel.owner.to_string(),
        channel.owner_pid.to_string(),
        format!("{}/{}", channel.seats.len(), channel.seat_count),
        channel.records.to_string(),
        furthest.unwrap_or_else(|| "-".to_owned()),
        format::bytes(channel.bytes_reserved),
    ]
}
