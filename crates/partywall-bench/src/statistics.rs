//! Medians of pairs.

use crate::contest::Faults;
use crate::cores::Placement;
use crate::works::Work;
use serde::{Deserialize, Serialize};

/// All turns of one contender, each with the limit around it.
#[derive(Debug, Default, Clone)]
pub(crate) struct Sample {
    contender: Vec<f64>,
    limit: Vec<f64>,
    /// Ratios of the turns during which the machine stayed as it was.
    calm: Vec<f64>,
}

/// By how much the limit before a turn may differ from the one after it. Beyond that, the cores moved apart or another
/// process came between, and nobody knows what the turn is to be divided by.
const CALM: f64 = 1.25;

/// The middle and the ends of some values.
#[derive(Debug, Default, Clone, Copy, Deserialize, Serialize, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

/// What a contender did in a work; a line of JSON.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct Row {
    pub(crate) work: Work,
    pub(crate) contender: String,
    /// Bytes of a record, a value or a frame.
    pub(crate) size: usize,
    /// What `median`, `min` and `max` are in.
    pub(crate) unit: String,
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// The median of contender / limit over the pairs of calm rounds.
    pub(crate) ratio_to_limit: f64,
    /// Half of the pairs lie between these.
    pub(crate) ratio_quartiles: [f64; 2],
    pub(crate) limit: Limit,
    pub(crate) rounds: usize,
    /// Rounds in which the limit did not change; the ratio is theirs, unless there are too few.
    pub(crate) calm_rounds: usize,
    /// Whether it is not Partywall.
    pub(crate) rival: bool,
    pub(crate) cores: Vec<usize>,
    pub(crate) placement: String,
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub(crate) percentiles: Option<Percentiles>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) faults: Option<Faults>,
    /// The latencies behind the percentiles, for a plot: nanoseconds, and the share that was no longer.
    #[serde(skip)]
    pub(crate) distribution: Vec<(u64, f64)>,
}

/// What a row's ratio is by.
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
pub(crate) struct Limit {
    pub(crate) name: String,
    #[serde(flatten)]
    pub(crate) spread: Spread,
}

/// Of latencies, in nanoseconds.
#[derive(Debug, Clone, Copy, Deserialize, PartialEq, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) p50: u64,
    pub(crate) p90: u64,
    pub(crate) p99: u64,
    #[serde(rename = "p99.9")]
    pub(crate) p99_9: u64,
    /// The longest of all.
    pub(crate) latency_max: u64,
    /// How many were timed.
    pub(crate) latencies: u64,
}

impl Percentiles {
    /// From upper bounds and how many lay below each.
    pub(crate) fn of(latencies: &[(u64, u64)]) -> Option<Percentiles> {
        let count: u64 = latencies.iter().map(|step| step.1).sum();
        let at = |share: f64| {
            let wanted = (count as f64 * share).ceil() as u64;
            let mut seen = 0;
            let reached = latencies.iter().find(|step| {
                seen += step.1;
                seen >= wanted.max(1)
            });
            reached.map(|step| step.0)
        };
        Some(Percentiles {
            p50: at(0.5)?,
            p90: at(0.9)?,
            p99: at(0.99)?,
            p99_9: at(0.999)?,
            latency_max: at(1.0)?,
            latencies: count,
        })
    }
}

/// Shares of latencies that were no longer than so many nanoseconds.
pub(crate) fn distribution(latencies: &[(u64, u64)]) -> Vec<(u64, f64)> {
    let count: u64 = latencies.iter().map(|step| step.1).sum();
    let mut seen = 0;
    latencies
        .iter()
        .map(|&(bound, more)| {
            seen += more;
            (bound, seen as f64 / count as f64)
        })
        .collect()
}

impl Sample {
    pub(crate) fn push(&mut self, contender: f64, before: f64, after: f64) {
        let limit = (before + after) / 2.0;
        self.contender.push(contender);
        self.limit.push(limit);
        if before.max(after) <= CALM * before.min(after) {
            self.calm.push(contender / limit);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.contender.is_empty()
    }

    /// The row of this sample; what it is about is filled in by the caller.
    pub(crate) fn row(&self, work: Work, contender: &str, limit: &str) -> Row {
        // On a machine that is never calm, better all turns than a handful.
        let mut ratios = if 4 * self.calm.len() >= self.contender.len() {
            self.calm.clone()
        } else {
            let pairs = self.contender.iter().zip(&self.limit);
            pairs.map(|(contender, limit)| contender / limit).collect()
        };
        ratios.sort_by(f64::total_cmp);
        let Spread { median, min, max } = Spread::of(&self.contender);
        Row {
            work,
            contender: contender.to_owned(),
            size: 0,
            unit: String::new(),
            median,
            min,
            max,
            ratio_to_limit: at(&ratios, 0.5),
            ratio_quartiles: [at(&ratios, 0.25), at(&ratios, 0.75)],
            limit: Limit {
                name: limit.to_owned(),
                spread: Spread::of(&self.limit),
            },
            rounds: self.contender.len(),
            calm_rounds: self.calm.len(),
            rival: false,
            cores: Vec::new(),
            placement: Placement::CrossCore.to_string(),
            percentiles: None,
            faults: None,
            distribution: Vec::new(),
        }
    }
}

impl Spread {
    pub(crate) fn of(values: &[f64]) -> Spread {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_the_median_of_pairs_not_the_ratio_of_medians() {
        let mut sample = Sample::default();
        for (contender, limit) in [(10.0, 10.0), (20.0, 20.0), (300.0, 100.0)] {
            sample.push(contender, limit, limit);
        }
        let row = sample.row(Work::W1, "ring", "limit");
        assert_eq!(row.ratio_to_limit, 1.0);
        assert_eq!((row.median, row.min, row.max), (20.0, 10.0, 300.0));
        assert_eq!(
            row.limit.spread,
            Spread {
                median: 20.0,
                min: 10.0,
                max: 100.0
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
        let row = sample.row(Work::W1, "ring", "limit");
        assert_eq!((row.ratio_to_limit, row.calm_rounds), (1.0, 1));
    }

    #[test]
    fn where_hardly_a_turn_is_calm_all_count() {
        let mut sample = Sample::default();
        sample.push(10.0, 10.0, 10.0);
        for _ in 0..9 {
            sample.push(50.0, 10.0, 40.0);
        }
        assert_eq!(sample.row(Work::W1, "ring", "limit").ratio_to_limit, 2.0);
    }

    #[test]
    fn percentiles_are_those_of_the_counts() {
        // A hundred of 10, nine hundred of 20, and one of a thousand.
        let found = Percentiles::of(&[(10, 100), (20, 900), (1000, 1)]).expect("there are some");
        assert_eq!(
            (found.p50, found.p90, found.p99, found.p99_9),
            (20, 20, 20, 20)
        );
        assert_eq!((found.latency_max, found.latencies), (1000, 1001));
        let ten = Percentiles::of(&[(10, 100), (20, 9), (1000, 1)]).expect("there are some");
        assert_eq!((ten.p50, ten.p99, ten.p99_9), (10, 20, 1000));
        assert_eq!(Percentiles::of(&[]), None);
        assert_eq!(distribution(&[(10, 1), (20, 3)]), [(10, 0.25), (20, 1.0)]);
    }
}
