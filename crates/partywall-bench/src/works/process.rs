//! W8: attaching, listing and watching; and who keeps the cores awake.

use super::{Entry, Group, Work};
use crate::conductor::Run;
use crate::contest::{Meeting, Party, Seat};
use crate::patterns;
use crate::statistics::Sample;
use crate::{Outcome, os};
use partywall::ring::ProducerOptions;
use partywall::{Namespace, inspect};
use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant};

pub(super) const WEIGHT: f64 = 5.0;

/// Who runs only where nobody else would, so that the core does not halt.
pub(crate) const SPINNER: &str = "spinner";

/// The party of a seat, if it is the spinner's.
pub(super) fn party(seat: &Seat) -> Option<Outcome<Box<dyn Party>>> {
    (seat.who == SPINNER).then(|| {
        // Whoever is told to end must not wait for the scheduler's favour: only this thread spins.
        std::thread::spawn(|| {
            if os::run_when_idle().is_ok() {
                loop {
                    std::hint::spin_loop();
                }
            }
        });
        Ok(Box::new(Spinner) as Box<dyn Party>)
    })
}

#[derive(Debug)]
struct Spinner;

impl Party for Spinner {
    fn turn(&mut self, amount: u64, _: &Meeting) -> Outcome<u64> {
        Ok(amount)
    }
}

pub(super) fn measure(run: &mut Run<'_>) -> Outcome<()> {
    attach(run)?;
    list(run)?;
    run.measure(&watching(run.quick()))
}

/// From the start of a process until it has attached; the limit is the same process without a channel.
fn attach(run: &mut Run<'_>) -> Outcome<()> {
    let namespace = Namespace::open(run.place())?;
    let channel = patterns::CHANNEL;
    let _producer = ProducerOptions::new()
        .namespace(namespace)
        .capacity(4096)
        .open(channel)?;
    let mut sample = Sample::default();
    let (limit, attach) = (
        Entry::new("start", "start", 0),
        Entry::new("attach", "attach", 0),
    );
    let until = run.until(1.0);
    // The first of each finds the program in memory no more than it must.
    let mut before = run.start(&limit)?;
    run.start(&attach)?;
    for round in 0.. {
        if run.enough(round, until) {
            break;
        }
        let taken = run.start(&attach)?;
        let after = run.start(&limit)?;
        sample.push(nanoseconds(taken), nanoseconds(before), nanoseconds(after));
        before = after;
    }
    let mut row = sample.row(
        Work::W8,
        "attach to a ring",
        "a process that starts and attaches to nothing",
    );
    "ns from the start of the process".clone_into(&mut row.unit);
    run.report(row);
    Ok(())
}

fn nanoseconds(time: Duration) -> f64 {
    time.as_nanos() as f64
}

/// All channels of a namespace, as `ls` asks for them; the limit is to open and read one file of each.
fn list(run: &mut Run<'_>) -> Outcome<()> {
    let count = if run.quick() { 500 } else { 10_000 };
    let place = run.place().join("many");
    let namespace = Namespace::open(&place)?;
    let options = ProducerOptions::new()
        .namespace(namespace.clone())
        .capacity(4096)
        .seats(1)
        .heartbeat(false)
        .keep_when_closed(true);
    for number in 0..count {
        if run.rounds() == Some(number) {
            break;
        }
        options.open(&format!("channel-{number}"))?.abandon();
    }
    let mut sample = Sample::default();
    let until = run.until(1.5);
    let timed = |act: &dyn Fn() -> Outcome<usize>| -> Outcome<(f64, usize)> {
        let started = Instant::now();
        let found = act()?;
        Ok((nanoseconds(started.elapsed()), found))
    };
    let list = || Ok(inspect::list(&namespace)?.len());
    let read = || roots(&place);
    let (mut before, there) = timed(&read)?;
    for round in 0.. {
        if run.enough(round, until) {
            break;
        }
        let (taken, found) = timed(&list)?;
        if found != there {
            return Err(format!("{found} channels are listed, and there are {there}").into());
        }
        let (after, _) = timed(&read)?;
        sample.push(taken, before, after);
        before = after;
    }
    std::fs::remove_dir_all(&place)?;
    let limit = "opening and reading one file of each";
    let mut row = sample.row(Work::W8, &format!("ls of {there} channels"), limit);
    "ns".clone_into(&mut row.unit);
    run.report(row);
    Ok(())
}

fn roots(place: &Path) -> Outcome<usize> {
    let mut found = 0;
    let mut page = [0; 4096];
    for entry in std::fs::read_dir(place)? {
        let entry = entry?;
        // No channel is called so: what waits to be deleted lies there, where the system has such a place.
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        std::fs::File::open(entry.path().join("root"))?.read_exact(&mut page[..64])?;
        found += 1;
    }
    Ok(found)
}

/// A stream that somebody watches ten times a second, by one that nobody watches.
fn watching(quick: bool) -> Group {
    let watched = Entry {
        watched: true,
        ..Entry::new("ring watched", "stream", 1)
    };
    Group {
        work: Work::W8,
        size: 64,
        unit: "ns per record",
        limit: Entry::new("ring", "stream", 1),
        limit_name: "the same, unwatched".to_owned(),
        contenders: vec![watched.labelled("ring, watched at 10 Hz")],
        turn: Duration::from_millis(if quick { 100 } else { 300 }),
        step: 32,
        weight: 2.5,
        sampled: false,
        kept_awake: false,
    }
}
