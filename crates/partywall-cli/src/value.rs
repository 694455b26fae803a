//! Values of snapshots and broadcasts, as people and programs see them.

use clap::Args;
use partywall::snapshot::Meta;
use serde::Serialize;

use crate::ended::Ended;
use crate::output::Output;
use crate::signals::Signals;

/// How to write values.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Format {
    /// Write bytes as they are, with nothing between two values
    #[arg(long, conflicts_with = "json")]
    raw: bool,

    /// Write one JSON object a line: sequence, kind, age_ns, len, and text or hex
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Row<'a> {
    sequence: u64,
    kind: u16,
    age_ns: Option<u64>,
    len: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    /// Of bytes that are not text.
    #[serde(skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
}

/// Writes values one after the other.
#[derive(Debug)]
pub(crate) struct Values<'a> {
    output: Output,
    signals: &'a Signals,
    format: Format,
    line: Vec<u8>,
}

impl<'a> Values<'a> {
    pub(crate) fn new(format: Format, signals: &'a Signals) -> Self {
        Values {
            output: Output::standard(),
            signals,
            format,
            line: Vec::new(),
        }
    }

    pub(crate) fn write(&mut self, meta: &Meta, bytes: &[u8]) -> Result<(), Ended> {
        self.line.clear();
        if self.format.json {
            let text = std::str::from_utf8(bytes).ok();
            let row = Row {
                sequence: meta.sequence,
                kind: meta.kind,
                age_ns: meta
                    .age()
                    .map(|age| u64::try_from(age.as_nanos()).unwrap_or(u64::MAX)),
                len: bytes.len(),
                hex: text.is_none().then(|| hex(bytes)),
                text,
            };
            serde_json::to_writer(&mut self.line, &row).expect("numbers and text are JSON");
            self.line.push(b'\n');
        } else {
            self.line.extend_from_slice(bytes);
            if !self.format.raw {
                self.line.push(b'\n');
            }
        }
        self.output.write_all(&self.line, self.signals)?;
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
