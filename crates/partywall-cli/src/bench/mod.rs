//! `partywall bench`: how far from the limit of the machine.
//!
//! Two processes, bound to two cores, take turns of about a millisecond at a bare ping-pong of two
//! atomics (the limit) and at each contender. They take turns because on a shared machine the way
//! between two cores changes several times a second: what counts is a contender's time by that of
//! the limit just before and just after it, and of those ratios the median.

mod contender;
mod cores;
mod limit;
mod report;

use crate::demo::scratch::Scratch;
use crate::os;
use clap::{Args, ValueEnum};
use contender::{Contender, Driver, Follower, ROUND_TRIPS};
use limit::Limit;
use partywall::Namespace;
use report::Sample;
use serde::Serialize;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Options of `partywall bench`.
#[derive(Args, Debug, Clone)]
pub(crate) struct BenchArgs {
    /// About ten seconds, instead of about a minute
    #[arg(long)]
    pub(crate) quick: bool,

    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,

    /// What to measure, such as W1,W2; without it, everything
    #[arg(long, value_enum, value_delimiter = ',', value_name = "WORKS")]
    pub(crate) work: Vec<Work>,

    /// How many rounds, instead of as many as the time allows
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) rounds: Option<u64>,

    // How the driver tells its child what it is.
    #[arg(long, hide = true)]
    follow: Option<PathBuf>,
    #[arg(long, hide = true, default_value_t = 0)]
    core: usize,
}

/// What is measured.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Work {
    /// One-way latency of a 64-byte record
    #[value(name = "W1")]
    W1,
    /// Time per 64-byte record of a stream
    #[value(name = "W2")]
    W2,
}

/// A quick run, and any run, must come to an end even where everything takes far longer.
const QUICK: Duration = Duration::from_secs(10);
const LONG: Duration = Duration::from_secs(60);
const ROUNDS_AT_MOST: Duration = Duration::from_secs(35);

/// The command that calls for the limit. Those of contenders are their numbers and one.
const LIMIT: u64 = 0;
/// The command's serial number stands above what is to be done.
const SERIAL: u64 = 1 << 8;

pub(crate) fn run(args: &BenchArgs) -> Result<ExitCode, String> {
    let contenders: Vec<Contender> = Contender::ALL
        .into_iter()
        .filter(|contender| args.work.is_empty() || args.work.contains(&contender.work()))
        .collect();
    match &args.follow {
        Some(place) => follow(place, args.core, &contenders).map_err(|error| error.to_string()),
        None => lead(args, &contenders).map_err(|error| error.to_string()),
    }
}

/// The parent: drives, and takes the time.
fn lead(args: &BenchArgs, contenders: &[Contender]) -> Result<ExitCode, Box<dyn Error>> {
    let cores = cores::two()?;
    let scratch = Scratch::create("bench")?;
    let namespace = Namespace::open(scratch.path())?;
    let mut limit = Limit::open(&scratch.path().join(WORDS))?;
    let mut drivers = Vec::new();
    for &contender in contenders {
        drivers.push(Driver::open(contender, &namespace)?);
    }
    end_on_signals(scratch.path().to_owned())?;
    let mut child = start_follower(args, scratch.path(), cores[1])?;
    // Open for as long as this process: where nothing else takes the follower along, the end of its input does.
    let _input = child.stdin.take();
    let finished = Arc::new(AtomicBool::new(false));
    watch(child, Arc::clone(&finished), scratch.path().to_owned());
    cores::bind(cores[0])?;
    for driver in &mut drivers {
        driver.meet(&namespace)?;
    }
    let began = Instant::now();
    let (rounds, time) = match (args.rounds, args.quick) {
        (Some(rounds), _) => (rounds, ROUNDS_AT_MOST),
        (None, true) => (u64::MAX, QUICK),
        (None, false) => (u64::MAX, LONG),
    };
    let mut clock = Clock {
        limit: &mut limit,
        serial: 0,
    };
    let mut samples = vec![Sample::default(); contenders.len()];
    // The first round warms everything up and is not counted.
    for round in 0..=rounds {
        if round > 1 && began.elapsed() >= time {
            break;
        }
        let mut before = clock.limit()?;
        for (index, driver) in drivers.iter_mut().enumerate() {
            let taken = clock.contender(contenders[index], driver)?;
            let after = clock.limit()?;
            if round > 0 {
                samples[index].push(taken, before, after);
            }
            before = after;
        }
    }
    finished.store(true, Ordering::Relaxed);
    let rows: Vec<report::Row> = contenders
        .iter()
        .zip(&samples)
        .map(|(contender, sample)| sample.row(contender.work(), contender.name(), cores))
        .collect();
    Ok(report::print(&rows, args.json, began.elapsed()))
}

const WORDS: &str = "words";

/// Times turns, in nanoseconds by crossing or record.
struct Clock<'a> {
    limit: &'a mut Limit,
    serial: u64,
}

impl Clock<'_> {
    fn limit(&mut self) -> Result<f64, Box<dyn Error>> {
        self.timed(LIMIT, |limit| {
            limit.ping(ROUND_TRIPS);
            Ok(2 * ROUND_TRIPS)
        })
    }

    fn contender(
        &mut self,
        contender: Contender,
        driver: &mut Driver,
    ) -> Result<f64, Box<dyn Error>> {
        self.timed(contender as u64 + 1, |_| driver.turn())
    }

    fn timed(
        &mut self,
        what: u64,
        turn: impl FnOnce(&mut Limit) -> Result<u64, Box<dyn Error>>,
    ) -> Result<f64, Box<dyn Error>> {
        self.serial += SERIAL;
        let command = self.serial + what;
        self.limit.command(command);
        let start = Instant::now();
        let parts = turn(self.limit)?;
        self.limit.await_done(command);
        Ok(start.elapsed().as_nanos() as f64 / parts as f64)
    }
}

fn start_follower(args: &BenchArgs, place: &Path, core: usize) -> Result<Child, String> {
    let mut command = os::this_program();
    command
        .args(["bench", "--core", &core.to_string(), "--follow"])
        .arg(place);
    for work in &args.work {
        command.arg("--work").arg(format!("{work:?}"));
    }
    // Ctrl-C is for the parent.
    os::set_apart(&mut command);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| format!("cannot start the second process: {error}"))
}

/// The driver's loops ask nobody whether they may go on: a thread ends the process on Ctrl-C and the
/// like, and the child ends with it.
fn end_on_signals(place: PathBuf) -> Result<(), Box<dyn Error>> {
    let signal = Arc::new(AtomicUsize::new(0));
    for number in os::ENDING {
        signal_hook::flag::register_usize(number, Arc::clone(&signal), number as usize)?;
    }
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(50));
            let number = signal.load(Ordering::Relaxed);
            if number != 0 {
                Scratch::remove_at(&place);
                std::process::exit(128 + number as i32);
            }
        }
    });
    Ok(())
}

/// The driver's loops have no way out but the follower's answer: if that cannot come any more, a
/// thread ends the process.
fn watch(mut child: Child, finished: Arc<AtomicBool>, place: PathBuf) {
    std::thread::spawn(move || {
        let ended = child.wait();
        if !finished.load(Ordering::Relaxed) {
            Scratch::remove_at(&place);
            let how = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
            eprintln!("partywall: the second process ended before its time ({how})");
            std::process::exit(1);
        }
    });
}

/// The child: does what the parent's commands say, until that kills it by ending.
fn follow(place: &Path, core: usize, contenders: &[Contender]) -> Result<ExitCode, Box<dyn Error>> {
    os::die_with_parent()?;
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    cores::bind(core)?;
    let namespace = Namespace::open(place)?;
    let mut limit = Limit::open(&place.join(WORDS))?;
    let mut followers = Vec::new();
    for &contender in contenders {
        followers.push((contender as u64 + 1, Follower::open(contender, &namespace)?));
    }
    let mut last = 0;
    loop {
        let command = limit.await_command(last);
        match command % SERIAL {
            LIMIT => limit.pong(ROUND_TRIPS),
            what => match followers.iter_mut().find(|(number, _)| *number == what) {
                Some((_, follower)) => follower.turn()?,
                None => return Err(format!("command {what} is for nobody").into()),
            },
        }
        limit.done(command);
        last = command;
    }
}
