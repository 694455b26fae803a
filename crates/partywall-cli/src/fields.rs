//! What is in a record: its fields where its channel has a schema, else text or bytes.

use std::io::Write;

use partywall::OpenError;
use partywall::record::{ArrayView, Number, RecordView, Schema, ValueView, WrongLength};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use crate::ended::Ended;
use crate::exit::{Exit, Failure};

/// The schema of a channel's generation, if it has one.
#[derive(Debug, Default)]
pub(crate) struct Known {
    generation: u64,
    schema: Option<Schema>,
}

impl Known {
    /// Asks `read` once for each generation.
    pub(crate) fn of(
        &mut self,
        generation: u64,
        read: impl FnOnce() -> Result<Option<Schema>, OpenError>,
    ) -> Result<(), OpenError> {
        if self.generation != generation {
            self.schema = read()?;
            self.generation = generation;
        }
        Ok(())
    }

    pub(crate) fn schema(&self) -> Option<&Schema> {
        self.schema.as_ref()
    }
}

/// The bytes of a record, and what they mean.
pub(crate) struct Content<'a> {
    bytes: &'a [u8],
    record: Option<RecordView<'a>>,
}

impl<'a> Content<'a> {
    /// Bytes that are no record of the schema are a failure: their writer does not keep to it.
    pub(crate) fn new(schema: Option<&'a Schema>, bytes: &'a [u8]) -> Result<Self, Ended> {
        let record = schema.map(|schema| schema.view(bytes)).transpose();
        let record = record.map_err(|wrong: WrongLength| {
            let message =
                format!("no record of the channel's schema: {wrong}; --raw writes it as it is");
            Failure::new(Exit::Damaged, message)
        })?;
        Ok(Content { bytes, record })
    }

    /// Its fields, as an object, if its channel has a schema.
    pub(crate) fn fields(&self) -> Option<impl Serialize + use<'a>> {
        self.record.map(Fields)
    }

    /// For people: fields, or the bytes as they are.
    pub(crate) fn write_to(&self, line: &mut Vec<u8>) {
        match &self.record {
            Some(record) => write!(line, "{record}").expect("memory takes it"),
            None => line.extend_from_slice(self.bytes),
        }
    }
}

/// `len`, and one of `fields`, `text` and `hex`.
impl Serialize for Content<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("len", &self.bytes.len())?;
        match (self.record, std::str::from_utf8(self.bytes)) {
            (Some(record), _) => map.serialize_entry("fields", &Fields(record))?,
            (None, Ok(text)) => map.serialize_entry("text", text)?,
            (None, Err(_)) => map.serialize_entry("hex", &hex(self.bytes))?,
        }
        map.end()
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A record as an object, its fields in their order. What is no number to JSON (not a number, infinite) is null.
struct Fields<'a>(RecordView<'a>);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for field in self.0.fields() {
            map.serialize_entry(field.schema.name(), &Value(field.value))?;
        }
        map.end()
    }
}

struct Value<'a>(ValueView<'a>);

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            ValueView::Number(Number::Unsigned(value)) => serializer.serialize_u64(value),
            ValueView::Number(Number::Signed(value)) => serializer.serialize_i64(value),
            ValueView::Number(Number::F32(value)) => serializer.serialize_f32(value),
            ValueView::Number(Number::F64(value)) => serializer.serialize_f64(value),
            ValueView::Array(array) => elements(array, serializer),
            ValueView::Record(record) => Fields(record).serialize(serializer),
        }
    }
}

fn elements<S: Serializer>(array: ArrayView<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut sequence = serializer.serialize_seq(Some(array.len()))?;
    for element in array.elements() {
        sequence.serialize_element(&Value(element))?;
    }
    sequence.end()
}
