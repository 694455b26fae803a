//! Values of snapshots and broadcasts, as people and programs see them.

use clap::Args;
use partywall::OpenError;
use partywall::record::Schema;
use partywall::snapshot::Meta;
use serde::Serialize;

use crate::ended::Ended;
use crate::fields::{Content, Known};
use crate::output::Output;
use crate::signals::Signals;

/// How to write values.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Format {
    /// Write bytes as they are, with nothing between two values
    #[arg(long, conflicts_with = "json")]
    raw: bool,

    /// Write one JSON object a line: sequence, kind, age_ns, len, and fields, text or hex
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Row<'a> {
    sequence: u64,
    kind: u16,
    age_ns: Option<u64>,
    #[serde(flatten)]
    content: Content<'a>,
}

/// Writes values one after the other.
#[derive(Debug)]
pub(crate) struct Values<'a> {
    output: Output,
    signals: &'a Signals,
    format: Format,
    schema: Known,
    line: Vec<u8>,
}

impl<'a> Values<'a> {
    pub(crate) fn new(format: Format, signals: &'a Signals) -> Self {
        Values {
            output: Output::standard(),
            signals,
            format,
            schema: Known::default(),
            line: Vec::new(),
        }
    }

    /// What values of this generation are made of; `read` is asked once for each.
    pub(crate) fn know(
        &mut self,
        generation: u64,
        read: impl FnOnce() -> Result<Option<Schema>, OpenError>,
    ) -> Result<(), Ended> {
        if !self.format.raw {
            self.schema.of(generation, read)?;
        }
        Ok(())
    }

    pub(crate) fn write(&mut self, meta: &Meta, bytes: &[u8]) -> Result<(), Ended> {
        self.line.clear();
        if self.format.raw {
            self.line.extend_from_slice(bytes);
        } else {
            let content = Content::new(self.schema.schema(), bytes)?;
            if self.format.json {
                let row = Row {
                    sequence: meta.sequence,
                    kind: meta.kind,
                    age_ns: meta
                        .age()
                        .map(|age| u64::try_from(age.as_nanos()).unwrap_or(u64::MAX)),
                    content,
                };
                serde_json::to_writer(&mut self.line, &row).expect("numbers and text are JSON");
            } else {
                content.write_to(&mut self.line);
            }
            self.line.push(b'\n');
        }
        self.output.write_all(&self.line, self.signals)?;
        Ok(())
    }
}
