//! The works that are contests between processes.

use super::rivals::Rival;
use super::{Entry, Group, Work};
use crate::conductor::Run;
use crate::limits::{HUGE, READ_ONLY, TWO_LINES};
use crate::os;
use std::time::Duration;

const TURN: Duration = Duration::from_millis(1);

/// A 1080p frame of three bytes a pixel.
const FRAME: usize = 1920 * 1080 * 3;

/// The contests of a work.
pub(super) fn groups(work: Work, run: &Run<'_>) -> Vec<Group> {
    let quick = run.quick();
    match work {
        Work::W1 => vec![latency(run)],
        Work::W2 => streams(run, quick),
        Work::W3 => frames(run, quick),
        Work::W4 => snapshots(run, quick),
        Work::W5 => waking(run, quick),
        Work::W6 => senders(quick),
        Work::W7 => readers(quick),
        Work::W10 => large(quick),
        Work::W8 | Work::W9 => Vec::new(),
    }
}

fn group(work: Work, size: usize, unit: &'static str, limit: (&str, Entry)) -> Group {
    Group {
        work,
        size,
        unit,
        limit: limit.1,
        limit_name: limit.0.to_owned(),
        contenders: Vec::new(),
        turn: TURN,
        step: 1,
        weight: 1.0,
        sampled: false,
        kept_awake: false,
    }
}

const PING: &str = "a bare two-atomics ping-pong";

/// The rivals that do this.
fn rivals<'a>(
    run: &'a Run<'_>,
    what: &'a str,
    size: usize,
    followers: usize,
) -> impl Iterator<Item = Entry> + 'a {
    run.rivals()
        .iter()
        .filter(move |rival| rival.does(what, size))
        .map(move |rival: &Rival| rival.entry(what, followers))
}

fn latency(run: &Run<'_>) -> Group {
    let mut group = group(
        Work::W1,
        64,
        "ns one way",
        (PING, Entry::limit("latency", 1)),
    );
    for who in [
        "ring",
        "ring in place",
        "frames",
        "mpsc",
        READ_ONLY,
        TWO_LINES,
    ] {
        group.contenders.push(Entry::new(who, "latency", 1));
    }
    group.contenders.extend(rivals(run, "latency", 64, 1));
    Group {
        weight: 8.0,
        sampled: true,
        ..group
    }
}

fn streams(run: &Run<'_>, quick: bool) -> Vec<Group> {
    let sizes: &[usize] = if quick {
        &[64]
    } else {
        &[64, 8, 256, 1024, 4096, 16_384, 65_536]
    };
    let group = |&size: &usize| {
        let mut group = group(
            Work::W2,
            size,
            "ns per record",
            (PING, Entry::limit("latency", 1)),
        );
        for who in ["ring", "ring in place", "mpsc"] {
            group.contenders.push(Entry::new(who, "stream", 1));
            group
                .contenders
                .push(Entry::new(who, "batch", 1).labelled(format!("{who}, batches")));
        }
        group.contenders.extend(rivals(run, "stream", size, 1));
        for entry in rivals(run, "batch", size, 1) {
            let label = format!("{}, batches", entry.label);
            group.contenders.push(entry.labelled(label));
        }
        Group {
            weight: if size == 64 { 8.0 } else { 3.0 },
            step: 32,
            ..group
        }
    };
    sizes.iter().map(group).collect()
}

fn frames(run: &Run<'_>, quick: bool) -> Vec<Group> {
    let subscribers: &[usize] = if quick { &[1] } else { &[1, 3] };
    let group = |&subscribers: &usize| {
        let name = "a four-frame ring of bare counters";
        let mut group = group(
            Work::W3,
            FRAME,
            "ns per frame",
            (name, Entry::limit("frames", subscribers)),
        );
        let labelled = |entry: Entry| match subscribers {
            1 => entry,
            _ => {
                let label = format!("{}, {subscribers} subscribers", entry.label);
                entry.labelled(label)
            }
        };
        group
            .contenders
            .push(labelled(Entry::new("frames", "frames", subscribers)));
        group
            .contenders
            .push(labelled(Entry::new("ring in place", "frames", subscribers)));
        if subscribers == 1 {
            group.contenders.extend(rivals(run, "frames", FRAME, 1));
        } else {
            group
                .contenders
                .extend(rivals(run, "many frames", FRAME, subscribers).map(labelled));
        }
        Group {
            weight: 5.0,
            turn: Duration::from_millis(20),
            ..group
        }
    };
    subscribers.iter().map(group).collect()
}

fn snapshots(run: &Run<'_>, quick: bool) -> Vec<Group> {
    let mut groups = Vec::new();
    let sizes: &[usize] = if quick { &[64] } else { &[64, 1024, 65_536] };
    for &size in sizes {
        let readers: &[usize] = if quick || size != 64 {
            &[1]
        } else {
            &[1, 4, 16]
        };
        for &readers in readers {
            for what in ["read idle", "read busy", "write busy"] {
                // The leader reads, one follower writes, the others read; or the leader writes, and all others read.
                let followers = readers;
                if what == "read idle" && readers > 1 {
                    continue;
                }
                let limit = match what {
                    "read idle" => "a copy and one line",
                    _ => "a bare four-slot seqlock",
                };
                let unit = match what {
                    "write busy" => "ns per put",
                    _ => "ns per get",
                };
                let mut group = group(Work::W4, size, unit, (limit, Entry::limit(what, followers)));
                let labelled = |entry: Entry| {
                    let label = match readers {
                        1 => format!("{}, {what}", entry.label),
                        _ => format!("{}, {what}, {readers} readers", entry.label),
                    };
                    entry.labelled(label)
                };
                group
                    .contenders
                    .push(labelled(Entry::new("snapshot", what, followers)));
                group
                    .contenders
                    .extend(rivals(run, what, size, followers).map(labelled));
                group.weight = 2.0;
                groups.push(group);
            }
        }
    }
    groups
}

fn waking(run: &Run<'_>, quick: bool) -> Vec<Group> {
    if !os::HAS_FUTEXES {
        return Vec::new();
    }
    let cores: &[bool] = if quick { &[true] } else { &[true, false] };
    let group = |&kept_awake: &bool| {
        let mut group = group(
            Work::W5,
            64,
            "ns one way",
            ("a futex ping-pong", Entry::limit("wake", 1)),
        );
        let labelled = |entry: Entry| match kept_awake {
            true => entry,
            false => {
                let label = format!("{}, idle cores", entry.label);
                entry.labelled(label)
            }
        };
        for who in ["ring", "snapshot", "broadcast", "frames", "mpsc", "guarded"] {
            group.contenders.push(labelled(Entry::new(who, "wake", 1)));
        }
        group
            .contenders
            .extend(rivals(run, "wake", 64, 1).map(labelled));
        Group {
            weight: 3.0,
            sampled: true,
            kept_awake,
            ..group
        }
    };
    cores.iter().map(group).collect()
}

fn senders(quick: bool) -> Vec<Group> {
    let counts: &[usize] = if quick { &[4] } else { &[2, 4, 8, 16] };
    let mut group = group(
        Work::W6,
        64,
        "ns per record",
        ("one sender", Entry::new("mpsc", "gather", 1)),
    );
    for &senders in counts {
        let entry = Entry::new("mpsc", "gather", senders);
        group
            .contenders
            .push(entry.labelled(format!("mpsc, {senders} senders")));
    }
    // Senders that share a core take turns at it; a turn of ours must be long against theirs.
    vec![Group {
        weight: 3.0,
        turn: Duration::from_millis(20),
        step: 16,
        ..group
    }]
}

fn readers(quick: bool) -> Vec<Group> {
    let counts: &[usize] = if quick { &[8] } else { &[4, 16, 64] };
    let mut group = group(
        Work::W7,
        64,
        "ns per record",
        ("one reader", Entry::new("broadcast", "cast", 1)),
    );
    for &readers in counts {
        let entry = Entry::new("broadcast", "cast", readers);
        group
            .contenders
            .push(entry.labelled(format!("broadcast, {readers} readers")));
    }
    vec![Group {
        weight: 3.0,
        turn: Duration::from_millis(5),
        ..group
    }]
}

fn large(quick: bool) -> Vec<Group> {
    if quick {
        return Vec::new();
    }
    const SIZE: usize = 64 << 20;
    let name = "a four-frame ring of bare counters, small pages";
    let mut group = group(
        Work::W10,
        SIZE,
        "ns per frame",
        (name, Entry::limit("frames", 1)),
    );
    if os::HAS_HUGE_PAGES {
        let huge = Entry::new(HUGE, "frames", 1);
        group
            .contenders
            .push(huge.labelled("bare ring, huge pages asked for"));
    }
    group.contenders.push(Entry::new("frames", "frames", 1));
    vec![Group {
        weight: 6.0,
        turn: Duration::from_millis(100),
        ..group
    }]
}
