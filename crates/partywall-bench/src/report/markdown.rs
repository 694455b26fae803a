//! Tables in Markdown, for BENCHMARKS.md.

use super::value;
use crate::statistics::Row;
use std::fmt::Write as _;

/// Between these two lines of a document its figures stand.
pub(super) const BEGIN: &str = "<!-- figures: made by `partywall bench --markdown` -->";
pub(super) const END: &str = "<!-- end of figures -->";

/// A document with other figures.
pub(super) fn replace(document: &str, tables: &str) -> Option<String> {
    let begin = document.find(BEGIN)? + BEGIN.len();
    let end = begin + document[begin..].find(END)?;
    Some(format!(
        "{}\n\n{}\n\n{}",
        &document[..begin],
        tables.trim(),
        &document[end..]
    ))
}

/// The rows of a run.
pub(super) fn of(rows: &[Row]) -> String {
    let mut out = String::new();
    let mut under = None;
    for row in rows {
        let heading = (row.work, row.size, row.unit.clone(), row.limit.name.clone());
        if under.as_ref() != Some(&heading) {
            let _ = write!(
                out,
                "\n### {}: {}, {}\n\nLimit: {}, {} ({} to {}).\n\n\
                 | {} | by the limit | half of the pairs | median | min | max | p50 | p99 | p99.9 | remarks |\n\
                 |---|---|---|---|---|---|---|---|---|---|\n",
                row.work,
                row.work.title(),
                size(row.size),
                row.limit.name,
                value(row, row.limit.spread.median),
                value(row, row.limit.spread.min),
                value(row, row.limit.spread.max),
                row.unit,
            );
            under = Some(heading);
        }
        let percentile = |pick: fn(&crate::statistics::Percentiles) -> u64| {
            row.percentiles
                .as_ref()
                .map_or(String::new(), |all| pick(all).to_string())
        };
        let mut remarks = String::new();
        if let Some(faults) = row.faults {
            let _ = write!(
                remarks,
                "**{} lost, {} torn, {} reordered**",
                faults.lost, faults.torn, faults.reordered
            );
        }
        // Who is measured stands out from whom it is measured against.
        let name = if row.rival {
            row.contender.clone()
        } else {
            format!("**{}**", row.contender)
        };
        let _ = writeln!(
            out,
            "| {name} | {:.2} | {:.2} – {:.2} | {} | {} | {} | {} | {} | {} | {remarks} |",
            row.ratio_to_limit,
            row.ratio_quartiles[0],
            row.ratio_quartiles[1],
            value(row, row.median),
            value(row, row.min),
            value(row, row.max),
            percentile(|all| all.p50),
            percentile(|all| all.p99),
            percentile(|all| all.p99_9),
        );
    }
    out.trim_start().to_owned()
}

fn size(bytes: usize) -> String {
    if bytes < 1024 {
        format!("{bytes} bytes")
    } else {
        super::bytes(bytes as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contest::Faults;
    use crate::statistics::Sample;
    use crate::works::Work;

    #[test]
    fn figures_are_put_between_their_comments_and_nothing_else_changes() {
        let document = format!("before\n{BEGIN}\nold\n{END}\nbehind\n");
        let new = replace(&document, "new\n").expect("a place for them");
        assert_eq!(new, format!("before\n{BEGIN}\n\nnew\n\n{END}\nbehind\n"));
        assert_eq!(replace(&new, "new"), Some(new.clone()));
        assert_eq!(replace("nothing", "new"), None);
    }

    #[test]
    fn a_table_a_limit_and_a_line_a_row() {
        let mut sample = Sample::default();
        sample.push(30.0, 20.0, 20.0);
        let mut ours = sample.row(Work::W1, "ring", "a bare ping-pong");
        ours.size = 64;
        "ns one way".clone_into(&mut ours.unit);
        let mut rival = ours.clone();
        "other".clone_into(&mut rival.contender);
        rival.rival = true;
        rival.faults = Some(Faults {
            torn: 3,
            ..Faults::default()
        });
        let text = of(&[ours, rival]);
        assert_eq!(text.matches("###").count(), 1, "{text}");
        assert!(
            text.contains("| **ring** | 1.50 |") && text.contains("| other | 1.50 |"),
            "{text}"
        );
        assert!(text.contains("0 lost, 3 torn, 0 reordered"), "{text}");
    }
}
