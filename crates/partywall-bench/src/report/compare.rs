//! Whether ratios are still what they were.

use super::read;
use crate::statistics::Row;
use crate::works::Work;
use std::path::Path;

/// Beyond so many times the recorded ratio, something was lost that noise does not explain.
const BEYOND: f64 = 1.5;

/// Fewer rounds than this say nothing where somebody else takes a core.
const FEW: usize = 12;

/// Limits that are so many times each other are of different machines: what a record costs its producer in instructions
/// weighs more where lines cross faster. A file of recorded rows can hold several of the same, for different limits.
const ALIKE: f64 = 1.6;

/// The rows of a run that is compared with.
#[derive(Debug)]
pub(crate) struct Recorded(Vec<Row>);

/// What became of a ratio.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    Better,
    Same,
    /// Outside of what both runs' spread explains, and to be looked at.
    Worse,
    /// Beyond what is tolerated.
    Lost,
}

impl Recorded {
    pub(crate) fn read(file: &Path) -> Result<Recorded, String> {
        read(file).map(Recorded)
    }

    /// Says on standard error what has changed; whether nothing was lost. Rows of a machine that was too busy to say
    /// anything are left out, unless so many rounds were asked for.
    pub(crate) fn compare(&self, rows: &[Row], asked_for: bool) -> Result<bool, String> {
        let mut good = true;
        let (mut compared, mut elsewhere) = (0, 0);
        for row in rows.iter().filter(|row| !row.rival) {
            let busy =
                row.work != Work::W9 && (row.rounds < FEW || 4 * row.calm_rounds < row.rounds);
            let before = match self.like(row) {
                Some(_) if busy && !asked_for => {
                    elsewhere += 1;
                    continue;
                }
                Some((before, distance)) if distance <= ALIKE => before,
                Some(_) => {
                    elsewhere += 1;
                    continue;
                }
                None => continue,
            };
            compared += 1;
            let verdict = judge(before, row);
            if verdict != Verdict::Same {
                eprintln!(
                    "partywall: {} {}, {} bytes: {:.3} of the limit [{:.3} - {:.3}], recorded {:.3} [{:.3} - {:.3}]: {}",
                    row.work,
                    row.contender,
                    row.size,
                    row.ratio_to_limit,
                    row.ratio_quartiles[0],
                    row.ratio_quartiles[1],
                    before.ratio_to_limit,
                    before.ratio_quartiles[0],
                    before.ratio_quartiles[1],
                    match verdict {
                        Verdict::Better => "better",
                        Verdict::Same => "the same",
                        Verdict::Worse => "worse, within what is tolerated",
                        Verdict::Lost => "beyond what is tolerated",
                    }
                );
            }
            good &= verdict != Verdict::Lost;
        }
        if compared + elsewhere == 0 {
            return Err("nothing that was measured had been recorded".to_owned());
        }
        eprintln!(
            "partywall: {compared} ratios compared with those that were recorded, and {elsewhere} not, because the \
             machine was too busy, or their limits are far from those that were recorded"
        );
        Ok(good)
    }

    /// What was recorded of the same with the limit nearest to this one, and how many times the one limit is the other.
    fn like(&self, row: &Row) -> Option<(&Row, f64)> {
        let key = |row: &Row| (row.work, row.contender.clone(), row.size);
        let distance = |other: &Row| {
            let (one, other) = (row.limit.spread.median, other.limit.spread.median);
            (one / other).max(other / one)
        };
        self.0
            .iter()
            .filter(|other| key(other) == key(row))
            .map(|other| (other, distance(other)))
            .min_by(|one, other| one.1.total_cmp(&other.1))
    }
}

/// The spread of both runs' rounds says how far a ratio may lie from the other: where half of the pairs overlap, nothing has
/// changed. What was lost must lie beyond the tolerance, and with more than half of its pairs: a machine on which somebody
/// else takes a core widens the spread upwards, and hardly moves the lower quartile.
fn judge(before: &Row, now: &Row) -> Verdict {
    let [low, high] = now.ratio_quartiles;
    let [was_low, was_high] = before.ratio_quartiles;
    if now.ratio_to_limit > BEYOND * before.ratio_to_limit.max(was_high)
        && low > BEYOND * before.ratio_to_limit
    {
        Verdict::Lost
    } else if low > was_high {
        Verdict::Worse
    } else if high < was_low {
        Verdict::Better
    } else {
        Verdict::Same
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::Sample;

    fn row(low: f64, median: f64, high: f64) -> Row {
        let mut row = Sample::default().row(Work::W1, "ring", "limit");
        row.ratio_to_limit = median;
        row.ratio_quartiles = [low, high];
        row.limit.spread.median = 100.0;
        row
    }

    #[test]
    fn what_overlaps_is_the_same_and_what_is_far_beyond_is_lost() {
        let before = row(1.0, 1.1, 1.2);
        assert_eq!(judge(&before, &row(1.1, 1.3, 1.5)), Verdict::Same);
        assert_eq!(judge(&before, &row(1.3, 1.4, 1.5)), Verdict::Worse);
        assert_eq!(judge(&before, &row(0.7, 0.8, 0.9)), Verdict::Better);
        assert_eq!(judge(&before, &row(1.9, 2.0, 2.1)), Verdict::Lost);
        // A busy machine: slow on the whole, but a quarter of the pairs as ever.
        assert_eq!(judge(&before, &row(1.1, 3.0, 9.0)), Verdict::Same);
    }

    #[test]
    fn a_run_is_compared_row_by_row() {
        let recorded = Recorded(vec![row(1.0, 1.1, 1.2)]);
        assert_eq!(recorded.compare(&[row(1.0, 1.1, 1.2)], true), Ok(true));
        assert_eq!(recorded.compare(&[row(2.0, 2.1, 2.2)], true), Ok(false));
        let mut unknown = row(2.0, 2.1, 2.2);
        unknown.size = 1;
        assert!(recorded.compare(&[unknown], true).is_err());
    }

    #[test]
    fn only_what_was_measured_at_a_like_distance_is_compared() {
        let at = |limit: f64, ratio: f64| {
            let mut row = row(ratio, ratio, ratio);
            row.limit.spread.median = limit;
            row
        };
        let recorded = Recorded(vec![at(50.0, 1.8), at(200.0, 1.2)]);
        assert_eq!(recorded.compare(&[at(60.0, 2.0)], true), Ok(true));
        assert_eq!(recorded.compare(&[at(180.0, 2.0)], true), Ok(false));
        assert_eq!(recorded.compare(&[at(1000.0, 9.0)], true), Ok(true));
    }

    #[test]
    fn what_a_busy_machine_says_is_not_believed() {
        let recorded = Recorded(vec![row(1.0, 1.0, 1.0)]);
        let mut now = row(9.0, 9.0, 9.0);
        (now.rounds, now.calm_rounds) = (100, 90);
        assert_eq!(recorded.compare(&[now.clone()], false), Ok(false));
        now.calm_rounds = 20;
        assert_eq!(recorded.compare(&[now.clone()], false), Ok(true));
        assert_eq!(recorded.compare(&[now], true), Ok(false));
    }
}
