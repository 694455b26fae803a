//! A contest that is running: its processes, as the conductor holds them.

use crate::contest::{Ending, Faults, Seat};
use crate::statistics::{Percentiles, Row, Sample, distribution};
use crate::works::{Entry, Group};
use crate::{Outcome, conductor, os};
use partywall::{Namespace, inspect};
use std::io::{BufRead, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// Nobody takes so long; whoever does, hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A line of a process, or `None` when it has ended.
type Line = (usize, Option<String>, Instant);

#[derive(Debug)]
pub(super) struct Live {
    pub(super) entry: Entry,
    seat: Seat,
    processes: Vec<(Child, ChildStdin)>,
    lines: Receiver<Line>,
    /// When the leader was up.
    up: Option<Instant>,
    /// Of each turn.
    amount: u64,
    pub(super) sample: Sample,
    pub(super) failed: Option<String>,
}

impl Live {
    /// Starts the processes, and lets them meet.
    pub(super) fn start(entry: &Entry, seat: Seat) -> Outcome<Live> {
        let (sender, lines) = channel();
        let mut live = Live {
            entry: entry.clone(),
            seat,
            processes: Vec::new(),
            lines,
            up: None,
            amount: 1,
            sample: Sample::default(),
            failed: None,
        };
        live.spawn(0, &sender)?;
        live.answers(&[0], "up")?;
        for index in 1..=live.entry.followers {
            live.spawn(index, &sender)?;
        }
        let followers: Vec<usize> = (1..=live.entry.followers).collect();
        live.answers(&followers, "up")?;
        if live.entry.followers > 0 {
            for index in 0..=live.entry.followers {
                live.tell(index, "meet")?;
                live.answers(&[index], "met")?;
            }
        } else {
            live.tell(0, "meet")?;
            live.answers(&[0], "met")?;
        }
        Ok(live)
    }

    fn spawn(&mut self, index: usize, lines: &Sender<Line>) -> Outcome<()> {
        let mut command = match &self.entry.program {
            Some(program) => {
                let mut command = Command::new(program);
                command.arg("seat");
                command
            }
            None => {
                let mut command = os::this_program();
                command.arg(conductor::SEAT);
                command
            }
        };
        let seat = &self.seat;
        let cores: Vec<String> = seat.cores.iter().map(usize::to_string).collect();
        command
            .args([
                "--who",
                &seat.who,
                "--what",
                &seat.what,
                "--contest",
                &seat.contest,
            ])
            .arg("--place")
            .arg(&seat.place)
            .args(["--size", &seat.size.to_string()])
            .args(["--followers", &seat.followers.to_string()])
            .args(["--index", &index.to_string()])
            .args(["--cores", &cores.join(",")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command
            .spawn()
            .map_err(|error| format!("cannot start {:?}: {error}", command.get_program()))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("a process was started without pipes".into());
        };
        let lines = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = lines.send((index, Some(line), Instant::now()));
            }
            let _ = lines.send((index, None, Instant::now()));
        });
        self.processes.push((child, input));
        Ok(())
    }

    pub(super) fn up_after(&self, started: Instant) -> Outcome<Duration> {
        Ok(self.up.ok_or("it was never up")? - started)
    }

    fn tell(&mut self, index: usize, line: &str) -> Outcome<()> {
        let (_, input) = &mut self.processes[index];
        writeln!(input, "{line}")
            .map_err(|error| format!("process {index} does not listen: {error}").into())
    }

    /// An answer of each of these processes, that begins as expected; what follows, of the first of them.
    fn answers(&mut self, of: &[usize], expected: &str) -> Outcome<Vec<String>> {
        let until = Instant::now() + PATIENCE;
        let mut found = vec![None; of.len()];
        while found.iter().any(Option::is_none) {
            let left = until.saturating_duration_since(Instant::now());
            let (index, line, when) = match self.lines.recv_timeout(left) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => {
                    return Err(format!(
                        "it hangs: nobody said '{expected}' within {} s",
                        PATIENCE.as_secs()
                    )
                    .into());
                }
                Err(RecvTimeoutError::Disconnected) => return Err("its processes are gone".into()),
            };
            let Some(line) = line else {
                // Who has said its last word may go.
                if of
                    .iter()
                    .position(|&other| other == index)
                    .is_some_and(|place| found[place].is_some())
                {
                    continue;
                }
                let how = self.processes[index].0.wait();
                let how = how.map_or_else(|error| error.to_string(), |status| status.to_string());
                return Err(format!("process {index} ended before its time ({how})").into());
            };
            if let Some(words) = line.strip_prefix("failed ") {
                return Err(words.to_owned().into());
            }
            let (Some(rest), Some(place)) = (
                line.strip_prefix(expected),
                of.iter().position(|&other| other == index),
            ) else {
                return Err(format!("process {index} said '{line}', expected '{expected}'").into());
            };
            if index == 0 && expected == "up" {
                self.up = Some(when);
            }
            found[place] = Some(rest.trim().to_owned());
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// Tells all, the leader last, and hears all; what the leader said.
    fn all(&mut self, line: &str, expected: &str) -> Outcome<Vec<String>> {
        let everybody: Vec<usize> = (0..self.processes.len()).collect();
        for &index in everybody.iter().rev() {
            self.tell(index, line)?;
        }
        self.answers(&everybody, expected)
    }

    /// Time and parts of one turn.
    fn timed(&mut self, amount: u64, step: u64) -> Outcome<(f64, f64)> {
        let warm = (amount / 8).next_multiple_of(step).max(step);
        let said = self.all(&format!("turn {warm} {amount}"), "turn")?;
        let mut words = said[0].split_whitespace().map(str::parse::<u64>);
        match (words.next(), words.next()) {
            (Some(Ok(taken)), Some(Ok(parts))) if parts > 0 => Ok((taken as f64, parts as f64)),
            _ => Err(format!("the leader said 'turn {}'", said[0]).into()),
        }
    }

    /// Finds out how much takes as long as a turn should.
    pub(super) fn calibrate(&mut self, group: &Group) -> Outcome<()> {
        let wanted = group.turn.as_nanos() as f64;
        let mut amount = group.step;
        loop {
            let (taken, _) = self.timed(amount, group.step)?;
            // Twice, for the first is slow with everything that is done once.
            let (again, _) = self.timed(amount, group.step)?;
            let taken = taken.min(again).max(1.0);
            if taken >= wanted / 4.0 || amount > 1 << 40 {
                let scaled = (amount as f64 * wanted / taken) as u64;
                self.amount = scaled.next_multiple_of(group.step).max(group.step);
                return Ok(());
            }
            amount = (2 * amount).next_multiple_of(group.step);
        }
    }

    /// One turn, in nanoseconds a part.
    pub(super) fn turn(&mut self, group: &Group) -> Outcome<f64> {
        let watcher = if self.entry.watched {
            Some(Watcher::start(&self.seat)?)
        } else {
            None
        };
        let (taken, parts) = self.timed(self.amount, group.step)?;
        if let Some(watcher) = watcher {
            watcher.end()?;
        }
        Ok(taken / parts)
    }

    /// A turn in which the leader times each exchange.
    pub(super) fn sample_latencies(&mut self) -> Outcome<()> {
        let amount = self.amount.max(1);
        self.all(&format!("sample {amount}"), "turn").map(drop)
    }

    /// Ends the processes; what came of it.
    pub(super) fn end(&mut self, group: &Group) -> Outcome<Row> {
        if let Some(failed) = self.failed.take() {
            return Err(failed.into());
        }
        let endings = self.all("end", "end")?;
        let mut faults = Faults::default();
        let mut latencies = Vec::new();
        for (index, ending) in endings.iter().enumerate() {
            let ending: Ending = serde_json::from_str(ending)?;
            faults.add(ending.faults);
            if index == 0 {
                latencies = ending.latencies;
            }
        }
        if faults.any() && !self.entry.rival {
            return Err(format!("values were torn or went back: {faults:?}").into());
        }
        if self.sample.is_empty() {
            return Err("there was no turn".into());
        }
        let mut row = self
            .sample
            .row(group.work, &self.entry.label, &group.limit_name);
        row.size = group.size;
        group.unit.clone_into(&mut row.unit);
        row.rival = self.entry.rival;
        row.percentiles = Percentiles::of(&latencies);
        row.distribution = distribution(&latencies);
        row.faults = faults.any().then_some(faults);
        Ok(row)
    }
}

/// They are told to end; those that do not listen end when their standard input does, or are ended.
impl Drop for Live {
    fn drop(&mut self) {
        for (_, input) in &mut self.processes {
            let _ = writeln!(input, "end");
        }
        for (mut child, input) in self.processes.drain(..) {
            let mut input = Some(input);
            let started = Instant::now();
            let until = started + Duration::from_secs(2);
            loop {
                if started.elapsed() > Duration::from_millis(200) {
                    input.take();
                }
                match child.try_wait() {
                    Ok(None) if Instant::now() < until => {
                        std::thread::sleep(Duration::from_micros(200))
                    }
                    Ok(None) => {
                        let _ = child.kill();
                        let _ = child.wait();
                        break;
                    }
                    _ => break,
                }
            }
        }
    }
}

/// Looks at a contest's channel ten times a second, as `partywall info` does.
#[derive(Debug)]
struct Watcher {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Outcome<()>>,
}

impl Watcher {
    fn start(seat: &Seat) -> Outcome<Watcher> {
        let namespace = Namespace::open(&seat.place)?;
        let channel = seat.name("there");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Relaxed) {
                inspect::inspect(&namespace, &channel)?;
                // Nobody is waited for: it is the rate that is wanted.
                std::thread::park_timeout(Duration::from_millis(100));
            }
            Ok(())
        });
        Ok(Watcher { stop, thread })
    }

    fn end(self) -> Outcome<()> {
        self.stop.store(true, Relaxed);
        self.thread.thread().unpark();
        self.thread
            .join()
            .unwrap_or_else(|_| Err("the watcher panicked".into()))
    }
}
