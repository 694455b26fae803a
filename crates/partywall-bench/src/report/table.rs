//! A table for people.

use super::{put, value};
use crate::cores::Cores;
use crate::statistics::Row;
use std::fmt::Write as _;
use std::time::Duration;

pub(crate) fn print_table(rows: &[Row], cores: &Cores, taken: Duration) -> Result<(), String> {
    let Cores {
        placement,
        leader,
        followers,
    } = cores;
    let followers: Vec<String> = followers.iter().map(usize::to_string).collect();
    let mut out = format!(
        "The leader runs on core {leader}, followers on {}: {placement}. {:.0} s. Ratios are medians over adjacent turns of the\n\
         contender and its limit, smaller is better; between brackets, where half of them lie.\n",
        followers.join(", "),
        taken.as_secs_f64(),
    );
    let mut under = None;
    for row in rows {
        let heading = (row.work, row.size, row.limit.name.clone());
        if under.as_ref() != Some(&heading) {
            let _ = writeln!(
                out,
                "\n{}: {}, {} bytes. Limit: {}, {}",
                row.work,
                row.work.title(),
                row.size,
                row.limit.name,
                value(row, row.limit.spread.median),
            );
            under = Some(heading);
        }
        let mut end = String::new();
        if let Some(percentiles) = row.percentiles {
            let _ = write!(
                end,
                "  p50 {} p99 {} p99.9 {} ns",
                percentiles.p50, percentiles.p99, percentiles.p99_9
            );
        }
        if let Some(faults) = row.faults {
            let _ = write!(
                end,
                "  {} lost, {} torn, {} reordered",
                faults.lost, faults.torn, faults.reordered
            );
        }
        let _ = writeln!(
            out,
            "  {:<34}{:>11} {:<14}{:>9.3}  [{:.3} - {:.3}]{end}",
            row.contender,
            value(row, row.median),
            row.unit.split_once(' ').map_or("", |unit| unit.1),
            row.ratio_to_limit,
            row.ratio_quartiles[0],
            row.ratio_quartiles[1],
        );
    }
    put(&out)
}
