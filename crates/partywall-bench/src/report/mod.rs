//! What is made of the rows: lines of JSON, a table for people, Markdown, plots, and a comparison with an earlier run.

mod compare;
mod html;
mod markdown;
mod table;

pub(crate) use compare::Recorded;
pub(crate) use html::write_html;
pub(crate) use table::print_table;

use crate::statistics::Row;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

fn put(text: &str) -> Result<(), String> {
    let written = std::io::stdout().lock().write_all(text.as_bytes());
    written.map_err(|error| format!("cannot write to standard output: {error}"))
}

/// A line of JSON a row.
pub(crate) fn print_lines(rows: &[Row]) -> Result<(), String> {
    put(&lines(rows))
}

fn lines(rows: &[Row]) -> String {
    rows.iter()
        .flat_map(serde_json::to_string)
        .map(|row| row + "\n")
        .collect()
}

/// The rows of an earlier run.
fn read(file: &Path) -> Result<Vec<Row>, String> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    text.lines()
        .enumerate()
        .map(|(number, line)| {
            serde_json::from_str(line)
                .map_err(|error| format!("{}, line {}: {error}", file.display(), number + 1))
        })
        .collect()
}

/// Prints an earlier run as Markdown, or puts it into a document.
pub(crate) fn markdown_of(file: &Path, into: Option<&Path>) -> Result<ExitCode, String> {
    let tables = markdown::of(&read(file)?);
    let Some(document) = into else {
        put(&tables)?;
        return Ok(ExitCode::SUCCESS);
    };
    let of = |error| format!("{}: {error}", document.display());
    let text = std::fs::read_to_string(document).map_err(of)?;
    let text = markdown::replace(&text, &tables).ok_or_else(|| {
        format!(
            "{} has no place for figures: between {} and {}",
            document.display(),
            markdown::BEGIN,
            markdown::END
        )
    })?;
    std::fs::write(document, text).map_err(of)?;
    Ok(ExitCode::SUCCESS)
}

/// Nanoseconds as a person likes them.
fn time(nanoseconds: f64) -> String {
    match nanoseconds {
        ns if ns < 1e3 => format!("{ns:.1} ns"),
        ns if ns < 1e6 => format!("{:.2} us", ns / 1e3),
        ns if ns < 1e9 => format!("{:.2} ms", ns / 1e6),
        ns => format!("{:.2} s", ns / 1e9),
    }
}

/// Bytes as a person likes them.
fn bytes(bytes: f64) -> String {
    match bytes {
        small if small < 1024.0 => format!("{small:.0} B"),
        kib if kib < 1048576.0 => format!("{:.1} KiB", kib / 1024.0),
        mib => format!("{:.2} MiB", mib / 1048576.0),
    }
}

/// A row's value in its unit.
fn value(row: &Row, value: f64) -> String {
    if row.unit.starts_with("bytes") {
        bytes(value)
    } else {
        time(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::Sample;
    use crate::works::Work;

    #[test]
    fn a_line_of_json_a_row_and_back() {
        let mut sample = Sample::default();
        sample.push(1.0, 2.0, 2.0);
        let rows = [
            sample.row(Work::W1, "ring", "limit"),
            sample.row(Work::W10, "frames", "limit"),
        ];
        let text = lines(&rows);
        assert_eq!(text.lines().count(), 2);
        for line in text.lines() {
            let row: serde_json::Value = serde_json::from_str(line).expect("JSON");
            for field in ["work", "contender", "unit"] {
                assert!(row[field].is_string(), "{line}");
            }
            for field in ["size", "median", "min", "max", "ratio_to_limit"] {
                assert!(row[field].is_number(), "{line}");
            }
            assert_eq!(row["ratio_to_limit"], 0.5);
            let back: Row = serde_json::from_str(line).expect("a row");
            assert_eq!((back.median, back.ratio_to_limit), (1.0, 0.5));
        }
    }

    #[test]
    fn times_and_sizes_have_units() {
        assert_eq!(time(12.34), "12.3 ns");
        assert_eq!(time(12_340.0), "12.34 us");
        assert_eq!(time(12_340_000.0), "12.34 ms");
        assert_eq!(bytes(4096.0), "4.0 KiB");
        assert_eq!(bytes(3.0 * 1048576.0), "3.00 MiB");
    }
}
