//! `partywall info`: one channel in full; `partywall abi`: the layout.

use std::fmt::Write;

use clap::Args;
use partywall::inspect::{self, ChannelInfo, GuardedInfo, OlderGeneration, SeatInfo};
use partywall::layout;

use crate::exit::{Exit, Failure};
use crate::format::{self, Colour};
use crate::ls::{self, paint};
use crate::options::Place;

/// Options of `partywall info`.
#[derive(Args, Debug)]
pub(crate) struct InfoArguments {
    /// The channel
    #[arg(value_name = "NAME")]
    channel: String,

    /// Print everything as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(arguments: &InfoArguments, place: &Place) -> Result<Exit, Failure> {
    let namespace = place.open()?;
    let info = inspect::inspect(&namespace, &arguments.channel)?;
    if arguments.json {
        return format::print_json(&info);
    }
    let records = match inspect::schema(&namespace, &arguments.channel) {
        Ok(Some(schema)) => format!("{}, {} bytes each", schema.name(), schema.size()),
        Ok(None) => "bytes".to_owned(),
        Err(error) => error.to_string(),
    };
    format::print(&describe(&info, records))
}

/// Who may read it, and what is kept from everybody.
fn protection(info: &ChannelInfo) -> String {
    let readers = match info.mode & 0o044 {
        0 => "its owner alone",
        0o040 => "its group",
        0o004 => "all but its group",
        _ => "everybody",
    };
    let confidential = if info.confidential {
        "; confidential: not in core dumps, overwritten before it is freed"
    } else {
        ""
    };
    format!("read by {readers} (mode {:04o}){confidential}", info.mode)
}

fn describe(info: &ChannelInfo, records: String) -> String {
    let counters = &info.counters;
    let none = || "none".to_owned();
    let pair = |name: &str, value: String| vec![name.to_owned(), value];
    let owner = ls::owner(info);
    let owner = ls::paint_owner(info).map_or(owner.clone(), |paint| format::colour(&owner, paint));
    let mut rows = vec![
        pair("channel", format!("{} ({})", info.name, info.pattern)),
        pair("state", info.state.to_owned()),
        match &info.guarded {
            Some(guarded) => pair("lock", lock(&owner, guarded)),
            None => pair(
                if info.pattern == "mpsc" {
                    "receiver"
                } else {
                    "producer"
                },
                format!(
                    "{owner}, process {}, owner number {}, last sign of life {}",
                    info.owner_pid,
                    info.owner_epoch,
                    format::age(info.heartbeat_age_ns)
                ),
            ),
        },
        pair(
            "generation",
            format!(
                "{} (oldest kept {})",
                info.generation, info.oldest_generation
            ),
        ),
        pair("older", older(info)),
        pair(
            "layout",
            format!(
                "abi {}, header {} bytes, payload {} at {}, total {}, schema {:#x}, flags {:#x}, instance {:#018x}",
                info.abi_version,
                info.header_size,
                info.payload_size,
                info.payload_offset,
                info.total_size,
                info.schema_hash,
                info.flags,
                info.instance
            ),
        ),
        pair("protection", protection(info)),
        pair("records", records),
        pair("memory", format::bytes(info.bytes_reserved)),
        pair("committed", committed(info)),
        pair(
            "not delivered",
            format!(
                "{} dropped, {} discarded without a consumer",
                counters.dropped, counters.discarded
            ),
        ),
        pair(
            "waited",
            format!(
                "{} times for room, {:.3} s",
                counters.blocked,
                counters.blocked_ns as f64 / 1e9
            ),
        ),
        pair(
            "recovered",
            format!(
                "{} adoptions, {} dead and {} lying consumers evicted",
                counters.adoptions, counters.evictions, counters.lies
            ),
        ),
        pair("wake-ups", counters.wakes.to_string()),
        pair(
            "last error",
            counters.last_error.map_or_else(none, str::to_owned),
        ),
    ];
    if let Some(guarded) = &info.guarded {
        // Nothing is dropped, and nobody is evicted.
        rows.retain(|row| !["not delivered", "waited", "recovered"].contains(&row[0].as_str()));
        rows.push(pair(
            "lock's history",
            format!(
                "locked {} times, {} holders died, {} gave up, {} repairs",
                guarded.locks, guarded.owner_deaths, guarded.given_up, guarded.repairs
            ),
        ));
    }
    rows.retain(|row| row[0] != "older" || !info.older.is_empty());
    if let Some(problem) = &info.problem {
        rows.push(pair("problem", problem.clone()));
    }
    let mut text = format::table(&rows, |_, column| (column == 0).then_some(Colour::Faint));
    let _ = writeln!(
        text,
        "\nseats: {} of {} claimed",
        ls::claimed(info),
        info.seat_count
    );
    if !info.seats.is_empty() {
        let header = [
            "SEAT",
            "STATE",
            "NAME",
            "HOLDER",
            "PID",
            "READ_SEQ",
            "BEHIND",
            "RECORDS",
            "HELD",
            "RECEIVED",
            "LOST",
            "SIGN OF LIFE",
            "LAST ERROR",
        ];
        let mut rows = vec![header.map(str::to_owned).to_vec()];
        rows.extend(info.seats.iter().map(|of| seat(of, info.generation)));
        text.push_str(&format::table(&rows, |row, column| match (row, column) {
            (0, _) => Some(Colour::Faint),
            (_, 3) => Some(paint(info.seats[row - 1].holder)),
            _ => None,
        }));
    }
    text
}

/// What is kept for those who have not come over yet.
fn older(info: &ChannelInfo) -> String {
    let of = |older: &OlderGeneration| {
        let size = format::bytes(older.total_size);
        format!("generation {} ({}, {size})", older.generation, older.state)
    };
    let kept: Vec<String> = info.older.iter().map(of).collect();
    kept.join(", ")
}

/// Who has the lock, and what the next one will be told.
fn lock(owner: &str, guarded: &GuardedInfo) -> String {
    let mut text = owner.to_owned();
    if guarded.locked {
        let _ = write!(text, " {}", format::age(guarded.held_ns));
        if let Some(pid) = guarded.holder_pid {
            let _ = write!(text, ", process {pid}");
        }
        if let Some(seat) = guarded.holder_seat {
            let _ = write!(text, ", seat {seat}");
        }
    }
    text
}

fn seat(seat: &SeatInfo, current: u64) -> Vec<String> {
    let state = match (seat.evicted, seat.parked) {
        (true, _) => "evicted".to_owned(),
        (false, true) => format!("{}, asleep", seat.state),
        (false, false) => seat.state.to_owned(),
    };
    let state = if seat.lossy {
        format!("{state}, lossy")
    } else {
        state
    };
    vec![
        if seat.generation == current {
            seat.index.to_string()
        } else {
            format!("{} in {}", seat.index, seat.generation)
        },
        state,
        seat.name.clone().unwrap_or_else(|| "-".to_owned()),
        seat.holder.to_string(),
        seat.pid.to_string(),
        seat.read_seq.to_string(),
        format::bytes(seat.depth_bytes),
        seat.depth_records.to_string(),
        seat.held.to_string(),
        seat.received.to_string(),
        // A seat's holder can write anything there.
        [
            seat.abandoned,
            seat.lost,
            seat.unread,
            seat.former,
            seat.missed,
            seat.dropped,
        ]
        .into_iter()
        .fold(0, u64::saturating_add)
        .to_string(),
        format::age(seat.heartbeat_age_ns),
        seat.last_error.unwrap_or("-").to_owned(),
    ]
}

/// Every field of the layout, one a line.
pub(crate) fn abi() -> String {
    let mut text = format!("abi {}\n", layout::ABI_VERSION);
    for block in layout::abi() {
        let _ = writeln!(text, "\n{} ({} bytes)", block.title, block.size);
        for field in block.fields {
            let _ = writeln!(
                text,
                "{:6} {:6}  {:5}  {}",
                field.offset,
                field.width,
                format!("{:?}", field.writer).to_lowercase(),
                field.name.to_lowercase()
            );
        }
    }
    text
}

/// How far the owner came, as its pattern counts.
fn committed(info: &ChannelInfo) -> String {
    let last = format::age(info.last_update_age_ns);
    let records = info.records;
    match info.pattern {
        "frames" => format!("{records} frames, last {last}"),
        "snapshot" | "guarded" => format!("{records} values, last {last}"),
        "broadcast" => format!("{records} records, last {last}"),
        "mpsc" => format!("{records} records were received"),
        _ => format!(
            "{records} records, {} (write_seq {}), last {last}",
            format::bytes(info.write_seq),
            info.write_seq,
        ),
    }
}
