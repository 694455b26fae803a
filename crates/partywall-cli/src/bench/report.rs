//! Medians of pairs, for people and for programs.

use super::Work;
use super::contender::SIZE;
use serde::Serialize;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

/// All turns of one contender, each with the limit around it. Nanoseconds.
#[derive(Debug, Default, Clone)]
pub(super) struct Sample {
    contender: Vec<f64>,
    limit: Vec<f64>,
    /// Ratios of the turns during which the machine stayed as it was.
    calm: Vec<f64>,
}

/// By how much the limit before a turn may differ from the one after it. Beyond that, the cores moved
/// apart or another process came between, and nobody knows what the turn is to be divided by.
const CALM: f64 = 1.25;

#[derive(Debug, Clone, Copy, Serialize, PartialEq)]
pub(super) struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

#[derive(Debug, Serialize)]
pub(super) struct Row {
    work: Work,
    contender: &'static str,
    /// The median of contender / limit over the pairs of calm rounds.
    ratio_to_limit: f64,
    /// Half of the pairs lie between these.
    ratio_quartiles: [f64; 2],
    contender_ns: Spread,
    limit_ns: Spread,
    rounds: usize,
    /// Rounds in which the limit did not change; the ratio is theirs, unless there are too few.
    calm_rounds: usize,
    size: usize,
    unit: &'static str,
    cores: [usize; 2],
}

impl Sample {
    pub(super) fn push(&mut self, contender: f64, before: f64, after: f64) {
        let limit = (before + after) / 2.0;
        self.contender.push(contender);
        self.limit.push(limit);
        if before.max(after) <= CALM * before.min(after) {
            self.calm.push(contender / limit);
        }
    }

    pub(super) fn row(&self, work: Work, contender: &'static str, cores: [usize; 2]) -> Row {
        // On a machine that is never calm, better all turns than a handful.
        let mut ratios = if 4 * self.calm.len() >= self.contender.len() {
            self.calm.clone()
        } else {
            let pairs = self.contender.iter().zip(&self.limit);
            pairs.map(|(contender, limit)| contender / limit).collect()
        };
        ratios.sort_by(f64::total_cmp);
        Row {
            work,
            contender,
            ratio_to_limit: at(&ratios, 0.5),
            ratio_quartiles: [at(&ratios, 0.25), at(&ratios, 0.75)],
            contender_ns: Spread::of(&self.contender),
            limit_ns: Spread::of(&self.limit),
            rounds: self.contender.len(),
            calm_rounds: self.calm.len(),
            size: SIZE,
            unit: match work {
                Work::W1 => "ns one way",
                Work::W2 => "ns per record",
            },
            cores,
        }
    }
}

impl Spread {
    fn of(values: &[f64]) -> Spread {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        Spread {
            median: at(&sorted, 0.5),
            min: at(&sorted, 0.0),
            max: at(&sorted, 1.0),
        }
    }
}

/// The value at a place between the smallest (0) and the largest (1).
fn at(sorted: &[f64], place: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted
        .get((last as f64 * place).round() as usize)
        .copied()
        .unwrap_or(0.0)
}

pub(super) fn print(rows: &[Row], json: bool, taken: Duration) -> ExitCode {
    let text = if json {
        lines(rows)
    } else {
        table(rows, taken)
    };
    ExitCode::from(u8::from(
        std::io::stdout().lock().write_all(text.as_bytes()).is_err(),
    ))
}

fn lines(rows: &[Row]) -> String {
    rows.iter()
        .flat_map(serde_json::to_string)
        .map(|row| row + "\n")
        .collect()
}

fn table(rows: &[Row], taken: Duration) -> String {
    let mut out = String::new();
    if let Some(row) = rows.first() {
        let Spread { median, min, max } = row.limit_ns;
        let _ = writeln!(
            out,
            "Two processes on cores {} and {}, records of {SIZE} bytes, {} rounds in {:.1} s.\n\
             The limit: a bare atomic crosses in {median:.0} ns ({min:.0} to {max:.0}). Ratios are medians over\n\
             adjacent turns; between brackets, where half of them lie.\n",
            row.cores[0],
            row.cores[1],
            row.rounds,
            taken.as_secs_f64(),
        );
    }
    let _ = writeln!(
        out,
        "{:<24}{:<14}{:>10}  {:>14}",
        "work", "contender", "median", "by the limit"
    );
    for row in rows {
        let work = match row.work {
            Work::W1 => "W1 one-way latency",
            Work::W2 => "W2 time per record",
        };
        let _ = writeln!(
            out,
            "{work:<24}{:<14}{:>7.1} ns  {:>14.3}  [{:.3} - {:.3}]",
            row.contender,
            row.contender_ns.median,
            row.ratio_to_limit,
            row.ratio_quartiles[0],
            row.ratio_quartiles[1],
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_the_median_of_pairs_not_the_ratio_of_medians() {
        let mut sample = Sample::default();
        for (contender, limit) in [(10.0, 10.0), (20.0, 20.0), (300.0, 100.0)] {
            sample.push(contender, limit, limit);
        }
        let row = sample.row(Work::W1, "ring", [0, 1]);
        assert_eq!(row.ratio_to_limit, 1.0);
        assert_eq!(
            row.contender_ns,
            Spread {
                median: 20.0,
                min: 10.0,
                max: 300.0
            }
        );
        assert_eq!(row.rounds, 3);
    }

    #[test]
    fn turns_between_two_different_limits_are_left_out() {
        let mut sample = Sample::default();
        sample.push(10.0, 10.0, 10.0);
        sample.push(500.0, 10.0, 40.0);
        sample.push(500.0, 40.0, 10.0);
        assert_eq!(sample.row(Work::W1, "ring", [0, 1]).ratio_to_limit, 1.0);
    }

    #[test]
    fn a_line_of_json_a_row() {
        let mut sample = Sample::default();
        sample.push(1.0, 2.0, 2.0);
        let rows = [
            sample.row(Work::W1, "ring", [0, 1]),
            sample.row(Work::W2, "ring", [0, 1]),
        ];
        let text = lines(&rows);
        assert_eq!(text.lines().count(), 2);
        for line in text.lines() {
            let row: serde_json::Value = serde_json::from_str(line).expect("JSON");
            assert_eq!(row["ratio_to_limit"], 0.5);
        }
    }
}
