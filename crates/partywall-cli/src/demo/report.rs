//! Telling people, and programs, how it goes and how it went.

use super::event::Watched;
use super::{DemoArgs, LONGEST_NS, Source, WATCHERS};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// After a kill: how long until each consumer had a frame of the successor.
#[derive(Debug, Clone)]
pub(super) struct Recovery {
    pub(super) ns: [u64; WATCHERS.len()],
}

/// All that was measured.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Committed, as the channel itself counted them.
    pub(super) frames: u64,
    pub(super) frame_size: usize,
    pub(super) recoveries: Vec<Recovery>,
    pub(super) watched: [Watched; WATCHERS.len()],
}

#[derive(Debug, Serialize)]
struct Summary {
    frames: u64,
    frame_size: usize,
    /// Of content, as sent; each consumer read them all.
    bytes: u64,
    seconds: f64,
    frames_per_s: f64,
    gb_per_s: f64,
    p50_ns: u64,
    p99_ns: u64,
    max_ns: u64,
    lost: u64,
    torn: u64,
    repeated: u64,
    kills: usize,
    /// Of the slowest consumer after the slowest kill.
    recovery_ms: f64,
    consumers: Vec<Row>,
    ok: bool,
}

#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    received: u64,
    lost: u64,
    torn: u64,
    repeated: u64,
    p50_ns: u64,
    p99_ns: u64,
    recovery_ms: Vec<f64>,
}

impl Outcome {
    /// Prints the result and says how the process should end.
    pub(super) fn tell(&self, json: bool) -> ExitCode {
        let summary = self.summary();
        let text = if json {
            serde_json::to_string(&summary).unwrap_or_default() + "\n"
        } else {
            summary.text()
        };
        let printed = std::io::stdout().lock().write_all(text.as_bytes());
        ExitCode::from(u8::from(!summary.ok || printed.is_err()))
    }

    fn summary(&self) -> Summary {
        let rows: Vec<Row> = self
            .watched
            .iter()
            .enumerate()
            .map(|(index, watched)| self.row(index, watched))
            .collect();
        let all = histogram(&self.watched);
        let began = self
            .watched
            .iter()
            .map(|watched| watched.first_stamp_ns)
            .min()
            .unwrap_or(0);
        let ended = self
            .watched
            .iter()
            .map(|watched| watched.last_ns)
            .max()
            .unwrap_or(0);
        let seconds = ended.saturating_sub(began) as f64 / 1e9;
        let bytes = self.frames * self.frame_size as u64;
        let per_second = |what: f64| if seconds > 0.0 { what / seconds } else { 0.0 };
        let sum = |of: fn(&Row) -> u64| rows.iter().map(of).sum::<u64>();
        let (lost, torn, repeated) = (
            sum(|row| row.lost),
            sum(|row| row.torn),
            sum(|row| row.repeated),
        );
        let recovery_ms = rows
            .iter()
            .flat_map(|row| &row.recovery_ms)
            .copied()
            .fold(0.0, f64::max);
        let kills = self.recoveries.len();
        Summary {
            frames: self.frames,
            frame_size: self.frame_size,
            bytes,
            seconds,
            frames_per_s: per_second(self.frames as f64),
            gb_per_s: per_second(bytes as f64 / 1e9),
            p50_ns: quantile(&all, 0.5),
            p99_ns: quantile(&all, 0.99),
            max_ns: quantile(&all, 1.0),
            lost,
            torn,
            repeated,
            kills,
            recovery_ms,
            ok: lost == 0 && torn == 0 && repeated == 0 && self.frames > 0 && kills > 0,
            consumers: rows,
        }
    }

    fn row(&self, index: usize, watched: &Watched) -> Row {
        let latency = histogram(std::slice::from_ref(watched));
        Row {
            name: WATCHERS[index],
            received: watched.received,
            // Gaps in what came, and what should have come after the last that did.
            lost: watched.missing + self.frames.saturating_sub(watched.next),
            torn: watched.torn,
            repeated: watched.repeated,
            p50_ns: quantile(&latency, 0.5),
            p99_ns: quantile(&latency, 0.99),
            recovery_ms: self
                .recoveries
                .iter()
                .map(|recovery| recovery.ns[index] as f64 / 1e6)
                .collect(),
        }
    }
}

fn histogram(watched: &[Watched]) -> Option<Histogram<u64>> {
    let mut all = Histogram::new_with_bounds(1, LONGEST_NS, 2).ok()?;
    for &(value, count) in watched.iter().flat_map(|watched| &watched.latency) {
        all.saturating_record_n(value, count);
    }
    Some(all)
}

fn quantile(latency: &Option<Histogram<u64>>, quantile: f64) -> u64 {
    latency
        .as_ref()
        .map_or(0, |latency| latency.value_at_quantile(quantile))
}

impl Summary {
    fn text(&self) -> String {
        let each = |of: fn(&Row) -> u64| {
            let counts: Vec<String> = self
                .consumers
                .iter()
                .map(|row| format!("{} {}", row.name, grouped(of(row))))
                .collect();
            counts.join(", ")
        };
        let times = if self.kills == 1 {
            "once".to_owned()
        } else {
            format!("{} times", self.kills)
        };
        let verdict = if self.ok {
            "Every frame that was committed reached both consumers, whole and in order."
        } else if self.frames == 0 {
            "FAILED: nothing was sent."
        } else {
            "FAILED: see above."
        };
        format!(
            "sent      {} frames of {} bytes in {:.1} s: {:.0} frames/s, {:.2} GB/s, read in full by each consumer\n\
             latency   {} median, {} for 99 of 100 frames, {} at worst\n\
             killed    the producer {times} by SIGKILL; its successor's first frame came after {:.1} ms\n\
             lost      {} ({})\n\
             torn      {} ({})\n\
             {}{verdict}\n",
            grouped(self.frames),
            grouped(self.frame_size as u64),
            self.seconds,
            self.frames_per_s,
            self.gb_per_s,
            duration(self.p50_ns),
            duration(self.p99_ns),
            duration(self.max_ns),
            self.recovery_ms,
            grouped(self.lost),
            each(|row| row.lost),
            grouped(self.torn),
            each(|row| row.torn),
            if self.repeated == 0 {
                String::new()
            } else {
                format!(
                    "repeated  {} ({})\n",
                    grouped(self.repeated),
                    each(|row| row.repeated)
                )
            },
        )
    }
}

/// The line on a terminal that says how it goes. Silent anywhere else.
#[derive(Debug)]
pub(super) struct Progress {
    terminal: bool,
    quiet: bool,
    drawn: Instant,
    counted: (Instant, u64),
    received: [u64; WATCHERS.len()],
    frame_size: usize,
    pub(super) recoveries: usize,
}

impl Progress {
    pub(super) fn new(json: bool) -> Progress {
        let now = Instant::now();
        Progress {
            terminal: std::io::stderr().is_terminal(),
            quiet: json,
            drawn: now,
            counted: (now, 0),
            received: [0; WATCHERS.len()],
            frame_size: 0,
            recoveries: 0,
        }
    }

    pub(super) fn opening(&mut self, source: &Source, place: &Path, args: &DemoArgs) {
        self.frame_size = source.frame_size();
        if self.quiet {
            return;
        }
        let what = match source {
            Source::Made { .. } => "made frames".to_owned(),
            Source::File { path, frames, .. } => {
                format!("the {frames} frames of {}", path.display())
            }
        };
        println!(
            "One producer sends {what}, {} bytes each, to two consumers for {} s; meanwhile it is killed and restarted.\n\
             Look on from elsewhere: partywall ls --dir {}\n",
            grouped(self.frame_size as u64),
            args.seconds,
            place.display(),
        );
    }

    pub(super) fn heard(&mut self, who: usize, received: u64, p50_ns: u64, p99_ns: u64) {
        self.received[who] = received;
        let since = self.drawn.elapsed();
        if !self.terminal || since < Duration::from_millis(250) {
            return;
        }
        self.drawn = Instant::now();
        let slowest = self.received.iter().copied().min().unwrap_or(0);
        let (then, count) = std::mem::replace(&mut self.counted, (self.drawn, slowest));
        let rate = slowest.saturating_sub(count) as f64 / then.elapsed().as_secs_f64().max(1e-9);
        eprint!(
            "\r\x1b[2K{} frames  {rate:.0} frames/s  {:.2} GB/s  latency {} median, {} p99  kills {}",
            grouped(slowest),
            rate * self.frame_size as f64 / 1e9,
            duration(p50_ns),
            duration(p99_ns),
            self.recoveries,
        );
    }

    /// Leaves the line empty for what comes next.
    pub(super) fn clear(&self) {
        if self.terminal {
            eprint!("\r\x1b[2K");
        }
    }
}

fn duration(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{:.1} us", ns as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", ns as f64 / 1e6),
        _ => format!("{:.2} s", ns as f64 / 1e9),
    }
}

/// Thousands apart, for people.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(received: u64, missing: u64, next: u64) -> Watched {
        Watched {
            received,
            missing,
            next,
            last_ns: 1_000_000_000,
            ..Watched::default()
        }
    }

    fn outcome(watched: [Watched; 2]) -> Outcome {
        Outcome {
            frames: 10,
            frame_size: 100,
            recoveries: vec![Recovery { ns: [1, 2] }],
            watched,
        }
    }

    #[test]
    fn all_received_is_nothing_lost() {
        let summary = outcome([watched(10, 0, 10), watched(10, 0, 10)]).summary();
        assert_eq!((summary.lost, summary.ok), (0, true));
        assert_eq!(summary.bytes, 1000);
    }

    #[test]
    fn gaps_and_a_missing_tail_are_lost() {
        let summary = outcome([watched(9, 1, 10), watched(7, 0, 7)]).summary();
        assert_eq!((summary.lost, summary.ok), (4, false));
        assert_eq!(summary.consumers[0].lost, 1);
        assert_eq!(summary.consumers[1].lost, 3);
    }

    #[test]
    fn a_run_without_a_kill_or_without_frames_is_no_success() {
        let mut without = outcome([watched(10, 0, 10), watched(10, 0, 10)]);
        without.recoveries.clear();
        assert!(!without.summary().ok);
        let mut empty = outcome([watched(0, 0, 0), watched(0, 0, 0)]);
        empty.frames = 0;
        assert!(!empty.summary().ok);
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(6_220_800), "6,220,800");
    }
}
