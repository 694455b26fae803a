//! Text for people: sizes, ages, colours, tables.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::exit::{Exit, Failure};

/// Writes to standard output; that nobody reads it (any more) is no failure.
pub(crate) fn print(text: &str) -> Result<Exit, Failure> {
    let mut output = io::stdout().lock();
    match output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
    {
        Ok(()) => Ok(Exit::Done),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Done),
        Err(error) => Err(Failure::stream("write to standard output", &error)),
    }
}

/// Writes a value as indented JSON.
pub(crate) fn print_json(value: &impl Serialize) -> Result<Exit, Failure> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot write JSON: {error}")))?;
    text.push('\n');
    print(&text)
}

/// Bytes, in powers of 1024.
pub(crate) fn bytes(count: u64) -> String {
    let mut size = count as f64;
    for unit in ["B", "KiB", "MiB", "GiB", "TiB"] {
        if size < 1024.0 || unit == "TiB" {
            return if unit == "B" {
                format!("{count} B")
            } else {
                format!("{size:.1} {unit}")
            };
        }
        size /= 1024.0;
    }
    unreachable!("the last unit ends the loop")
}

/// Nanoseconds as an age.
pub(crate) fn age(nanoseconds: Option<u64>) -> String {
    let Some(nanoseconds) = nanoseconds else {
        return "never".to_owned();
    };
    let seconds = nanoseconds as f64 / 1e9;
    match seconds {
        s if s < 120.0 => format!("{s:.1} s ago"),
        s if s < 7200.0 => format!("{:.0} min ago", s / 60.0),
        s if s < 172_800.0 => format!("{:.0} h ago", s / 3600.0),
        s => format!("{:.0} days ago", s / 86_400.0),
    }
}

/// A colour of the terminal.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Colour {
    Good,
    Doubtful,
    Bad,
    Faint,
}

/// Colours a word, on terminals only and never with `NO_COLOR` (no-color.org).
pub(crate) fn colour(text: &str, colour: Colour) -> String {
    let wanted = io::stdout().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if !wanted {
        return text.to_owned();
    }
    let code = match colour {
        Colour::Good => 32,
        Colour::Doubtful => 33,
        Colour::Bad => 31,
        Colour::Faint => 2,
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// Columns as wide as their widest cell; colours are put on afterwards, by row and column.
pub(crate) fn table(
    rows: &[Vec<String>],
    paint: impl Fn(usize, usize) -> Option<Colour>,
) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        for (column, cell) in row.iter().enumerate() {
            let last = column + 1 == row.len();
            let width = if last { 0 } else { widths[column] };
            let padded = format!("{cell:width$}");
            text.push_str(&match paint(number, column) {
                Some(wanted) => colour(&padded, wanted),
                None => padded,
            });
            text.push_str(if last { "\n" } else { "  " });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_ages_read_well() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(16 << 20), "16.0 MiB");
        assert_eq!(bytes(u64::MAX), "16777216.0 TiB");
        assert_eq!(age(None), "never");
        assert_eq!(age(Some(1_500_000_000)), "1.5 s ago");
    }
}
