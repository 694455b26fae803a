//! The process that starts all others, tells them what to do, and puts together what they measured.

mod group;

use crate::arguments::Arguments;
use crate::cores::Cores;
use crate::report;
use crate::statistics::Row;
use crate::works::rivals::{self, Rival};
use crate::works::{self, Entry, Group, Work};
use crate::{Outcome, contest, os, works::party};
use group::Live;
use std::io::{IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The time that a run spends measuring. Starting processes and making channels comes on top.
const QUICK: Duration = Duration::from_secs(26);
const LONG: Duration = Duration::from_secs(240);
/// A quick run begins nothing new after this, even where everything takes far longer.
const QUICK_AT_MOST: Duration = Duration::from_secs(40);

/// The name of the command that serves a [`Seat`](contest::Seat).
pub const SEAT: &str = "bench-seat";

/// Measures as asked, in a directory of its own in memory. Children are this program with the command [`SEAT`].
///
/// # Errors
/// If there is nothing to measure with, in words.
pub fn conduct(arguments: &Arguments, place: &Path) -> Result<ExitCode, String> {
    if let Some(file) = &arguments.markdown {
        return report::markdown_of(file, arguments.into.as_deref());
    }
    let recorded = match arguments.check {
        true => Some(report::Recorded::read(&arguments.recorded)?),
        false => None,
    };
    os::ask_for_priority();
    let cores = Cores::choose(arguments.placement)?;
    let rivals = rivals::chosen(arguments)?;
    let mut run = Run {
        arguments,
        place: place.to_owned(),
        cores,
        rivals,
        began: Instant::now(),
        unit: Duration::ZERO,
        serial: 0,
        rows: Vec::new(),
        failures: Vec::new(),
        progress: std::io::stderr().is_terminal(),
    };
    let works: Vec<Work> = Work::ALL
        .into_iter()
        .filter(|work| arguments.work.is_empty() || arguments.work.contains(work))
        .collect();
    let weight: f64 = works.iter().map(|&work| works::weight(work, &run)).sum();
    let budget = if arguments.quick { QUICK } else { LONG };
    run.unit = budget.div_f64(weight.max(1.0));
    for work in works {
        if run.is_late() {
            run.note(&format!(
                "{work} is left out: the time of a quick run is over"
            ));
            continue;
        }
        works::measure(work, &mut run).map_err(|error| format!("{work}: {error}"))?;
    }
    run.clear_progress();
    let taken = run.began.elapsed();
    let Run {
        rows,
        failures,
        cores,
        ..
    } = run;
    if arguments.json {
        report::print_lines(&rows)?;
    } else {
        report::print_table(&rows, &cores, taken)?;
    }
    if let Some(file) = &arguments.report {
        report::write_html(file, &rows)?;
    }
    let mut good = true;
    for (own, failure) in &failures {
        eprintln!("partywall: {failure}");
        good &= !own;
    }
    if let Some(recorded) = recorded {
        good &= recorded.compare(&rows, arguments.rounds.is_some())?;
    }
    Ok(ExitCode::from(u8::from(!good)))
}

/// A run of the harness.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    arguments: &'a Arguments,
    place: PathBuf,
    cores: Cores,
    rivals: Vec<Rival>,
    began: Instant,
    /// The time of a weight of one.
    unit: Duration,
    serial: u64,
    rows: Vec<Row>,
    /// And whether it was a contender of our own.
    failures: Vec<(bool, String)>,
    progress: bool,
}

impl Run<'_> {
    pub(crate) fn quick(&self) -> bool {
        self.arguments.quick
    }

    pub(crate) fn rounds(&self) -> Option<u64> {
        self.arguments.rounds
    }

    pub(crate) fn rivals(&self) -> &[Rival] {
        &self.rivals
    }

    pub(crate) fn place(&self) -> &Path {
        &self.place
    }

    /// When something of this weight is to end.
    pub(crate) fn until(&self, weight: f64) -> Instant {
        Instant::now() + self.unit.mul_f64(weight)
    }

    /// Whether so many rounds suffice.
    pub(crate) fn enough(&self, rounds: u64, until: Instant) -> bool {
        match self.arguments.rounds {
            Some(wanted) => rounds >= wanted,
            None => rounds > 0 && (Instant::now() >= until || rounds > 2 && self.is_late()),
        }
    }

    fn is_late(&self) -> bool {
        let arguments = self.arguments;
        arguments.quick && arguments.rounds.is_none() && self.began.elapsed() >= QUICK_AT_MOST
    }

    pub(crate) fn report(&mut self, mut row: Row) {
        row.cores = self.cores.all();
        row.placement = self.cores.placement.to_string();
        self.rows.push(row);
    }

    /// Starts the one process of a contest, and ends it; the time until it was up.
    pub(crate) fn start(&mut self, entry: &Entry) -> Outcome<Duration> {
        let started = Instant::now();
        let live = self.live(entry, 64)?;
        let taken = live.up_after(started)?;
        drop(live);
        Ok(taken)
    }

    fn live(&mut self, entry: &Entry, size: usize) -> Outcome<Live> {
        self.serial += 1;
        let seat = contest::Seat {
            who: entry.who.clone(),
            what: entry.what.clone(),
            contest: format!("bench-{}", self.serial),
            place: self.place.clone(),
            size,
            followers: entry.followers,
            index: 0,
            cores: self.cores.all(),
        };
        Live::start(entry, seat)
    }

    /// Lets limit and contenders take turns, and reports a row of each contender.
    pub(crate) fn measure(&mut self, group: &Group) -> Outcome<()> {
        if self.is_late() {
            return Ok(());
        }
        let spinners = if group.kept_awake {
            self.spinners()
        } else {
            Vec::new()
        };
        let name = format!("{}, {} bytes", group.work, group.size);
        self.show(&format!("{name}: starting"));
        let mut limit = self.live(&group.limit, group.size)?;
        let mut contenders = Vec::new();
        for entry in &group.contenders {
            match self.live(entry, group.size) {
                Ok(live) => contenders.push(live),
                Err(error) => self.fail(group, entry, &error.to_string()),
            }
        }
        limit
            .calibrate(group)
            .map_err(|error| format!("{}: {error}", group.limit_name))?;
        for live in &mut contenders {
            if let Err(error) = live.calibrate(group) {
                live.failed = Some(error.to_string());
            }
        }
        let until = self.until(group.weight);
        for round in 0.. {
            if self.enough(round, until) {
                break;
            }
            self.show(&format!("{name}: round {}", round + 1));
            let mut before = limit.turn(group)?;
            for live in contenders.iter_mut().filter(|live| live.failed.is_none()) {
                match live.turn(group) {
                    Ok(taken) => {
                        let after = limit.turn(group)?;
                        live.sample.push(taken, before, after);
                        before = after;
                    }
                    Err(error) => live.failed = Some(error.to_string()),
                }
            }
            if group.sampled && round % 8 == 0 {
                for live in contenders.iter_mut().filter(|live| live.failed.is_none()) {
                    if let Err(error) = live.sample_latencies() {
                        live.failed = Some(error.to_string());
                    }
                }
            }
        }
        for mut live in contenders {
            match live.end(group) {
                Ok(row) => self.report(row),
                Err(error) => self.fail(group, &live.entry, &error.to_string()),
            }
        }
        drop(spinners);
        Ok(())
    }

    /// A process on each core that runs only where nobody else would.
    fn spinners(&mut self) -> Vec<Live> {
        let cores = self.cores.all();
        let mut spinners = Vec::new();
        for core in cores {
            self.serial += 1;
            let seat = contest::Seat {
                who: works::SPINNER.to_owned(),
                what: String::new(),
                contest: format!("bench-{}", self.serial),
                place: self.place.clone(),
                size: 8,
                followers: 0,
                index: 0,
                cores: vec![core],
            };
            spinners.extend(Live::start(&Entry::new(works::SPINNER, "", 0), seat));
        }
        spinners
    }

    fn fail(&mut self, group: &Group, entry: &Entry, error: &str) {
        let failure = format!(
            "{} of {} bytes, {}: {error}",
            group.work, group.size, entry.label
        );
        self.failures.push((!entry.rival, failure));
    }

    fn note(&self, text: &str) {
        self.clear_progress();
        eprintln!("partywall: {text}");
    }

    fn show(&self, text: &str) {
        if self.progress {
            let mut out = std::io::stderr().lock();
            let _ = write!(out, "\r\x1b[K{text}, {} s", self.began.elapsed().as_secs());
            let _ = out.flush();
        }
    }

    fn clear_progress(&self) {
        if self.progress {
            eprint!("\r\x1b[K");
        }
    }
}

/// Serves a seat of this program.
///
/// # Errors
/// If it cannot answer any more.
pub fn serve(seat: &contest::Seat) -> Outcome<()> {
    contest::serve(seat, party)
}
