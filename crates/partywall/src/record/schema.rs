//! What records are made of, read from a channel or from a type.

use std::fmt;

use super::text;
use crate::layout::typed::{FieldLayout, MAX_NAME, RecordLayout, Scalar, TypeLayout};
use crate::memory::plain::Record;

/// What the records of a channel are made of.
///
/// ```
/// use partywall::record::{Record, Schema};
///
/// #[derive(Record)]
/// #[repr(C)]
/// struct Sample {
///     #[record(unit = "ns")]
///     time: u64,
///     #[record(unit = "mV")]
///     channels: [i16; 4],
/// }
///
/// let schema = Schema::of::<Sample>();
/// assert_eq!(schema.size(), 16);
/// assert_eq!(schema.to_text(), "\
/// partywall schema 1
/// record Sample 16
/// field time 0 u64 ns
/// field channels 8 i16[4] mV
/// ");
/// assert_eq!(Schema::parse(schema.to_text().as_bytes())?, schema);
/// # Ok::<(), partywall::record::SchemaError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// Nested ones before those that they are in; the last is the channel's. Never empty.
    pub(super) records: Vec<RecordSchema>,
}

/// A record: the channel's, or one nested in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordSchema {
    pub(super) name: String,
    pub(super) size: usize,
    /// The width of its widest number.
    pub(super) align: usize,
    /// Records nested in it, one in another, itself included.
    pub(super) depth: usize,
    pub(super) fields: Vec<FieldSchema>,
}

/// A field of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldSchema {
    pub(super) name: String,
    pub(super) offset: usize,
    pub(super) element: Element,
    pub(super) dimensions: Vec<usize>,
    pub(super) unit: Option<String>,
}

/// What a field consists of, or each element of its array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// A number.
    Scalar(Scalar),
    /// The record of this index in [`Schema::records`].
    Record(usize),
}

impl Schema {
    /// What a `T` is made of.
    #[must_use]
    pub fn of<T: Record>() -> Schema {
        let mut records = Vec::new();
        add(&mut records, &T::LAYOUT);
        Schema { records }
    }

    /// Reads the text of a schema, whoever wrote it.
    ///
    /// # Errors
    /// What is wrong with it, and in which line.
    pub fn parse(text: &[u8]) -> Result<Schema, super::SchemaError> {
        text::parse(text)
    }

    /// The schema as text, as it stands in the channel.
    #[must_use]
    pub fn to_text(&self) -> String {
        text::write(self)
    }

    /// 64-bit FNV-1a of the text, never 0.
    #[must_use]
    pub fn hash(&self) -> u64 {
        text::hash(self.to_text().as_bytes())
    }

    /// The channel's record.
    #[must_use]
    pub fn record(&self) -> &RecordSchema {
        self.records.last().expect("a schema has a record")
    }

    /// Every record: nested ones before those that they are in, the channel's last.
    #[must_use]
    pub fn records(&self) -> &[RecordSchema] {
        &self.records
    }

    /// The name of the channel's record.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.record().name
    }

    /// Bytes of the channel's record.
    #[must_use]
    pub fn size(&self) -> usize {
        self.record().size
    }

    /// Bytes of one element of a field: of all of it, if it is no array.
    #[must_use]
    pub fn element_size(&self, element: Element) -> usize {
        match element {
            Element::Scalar(scalar) => scalar.size(),
            Element::Record(index) => self.records[index].size,
        }
    }

    /// The name of an element's type.
    #[must_use]
    pub fn element_name(&self, element: Element) -> &str {
        match element {
            Element::Scalar(scalar) => scalar.name(),
            Element::Record(index) => &self.records[index].name,
        }
    }

    /// The type of a field as a schema's text has it, such as `f64` or `Level[2][5]`.
    pub(super) fn type_name(&self, field: &FieldSchema) -> String {
        let mut name = self.element_name(field.element).to_owned();
        for count in &field.dimensions {
            name.push_str(&format!("[{count}]"));
        }
        name
    }
}

/// The text of the schema.
impl fmt::Display for Schema {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.to_text())
    }
}

impl RecordSchema {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// What its place is a multiple of: the width of its widest number, 1 to 8.
    #[must_use]
    pub fn align(&self) -> usize {
        self.align
    }

    /// By ascending offset; padding too.
    #[must_use]
    pub fn fields(&self) -> &[FieldSchema] {
        &self.fields
    }
}

impl FieldSchema {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes from the start of the record that it is in.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// What it consists of.
    #[must_use]
    pub fn element(&self) -> Element {
        self.element
    }

    /// For an array the number of elements, the outermost dimension first: `[[u16; 4]; 3]` has 3 and 4. Empty for what is
    /// no array.
    #[must_use]
    pub fn dimensions(&self) -> &[usize] {
        &self.dimensions
    }

    /// Elements in all dimensions; 1 for what is no array.
    #[must_use]
    pub fn count(&self) -> usize {
        self.dimensions.iter().product()
    }

    /// What is counted, for people.
    #[must_use]
    pub fn unit(&self) -> Option<&str> {
        self.unit.as_deref()
    }

    /// Its name begins with `_`: its bytes mean nothing.
    #[must_use]
    pub fn is_padding(&self) -> bool {
        self.name.starts_with('_')
    }
}

/// Adds a record behind those that are nested in it; its index.
fn add(records: &mut Vec<RecordSchema>, layout: &RecordLayout) -> usize {
    let fields: Vec<FieldSchema> = layout
        .fields
        .iter()
        .map(|field| field_of(records, field))
        .collect();
    let nested = |field: &FieldSchema| match field.element {
        Element::Scalar(scalar) => (scalar.size(), 0),
        Element::Record(index) => (records[index].align, records[index].depth),
    };
    let mut record = RecordSchema {
        name: layout.name.to_owned(),
        size: layout.size,
        align: fields
            .iter()
            .map(|field| nested(field).0)
            .max()
            .unwrap_or(1),
        depth: 1 + fields
            .iter()
            .map(|field| nested(field).1)
            .max()
            .unwrap_or(0),
        fields,
    };
    // Types of one name in several modules: the first of them has it, the others are numbered.
    for number in 2.. {
        match records.iter().position(|one| one.name == record.name) {
            None => break,
            Some(index) if records[index].fields == record.fields => return index,
            Some(_) => {
                let suffix = format!("_{number}");
                let room = MAX_NAME - suffix.len();
                let base = &layout.name[..layout.name.len().min(room)];
                record.name = format!("{base}{suffix}");
            }
        }
    }
    records.push(record);
    records.len() - 1
}

fn field_of(records: &mut Vec<RecordSchema>, layout: &FieldLayout) -> FieldSchema {
    let mut dimensions = Vec::new();
    let mut ty = &layout.ty;
    let element = loop {
        match ty {
            TypeLayout::Array(count, element) => {
                dimensions.push(*count);
                ty = element;
            }
            TypeLayout::Scalar(scalar) => break Element::Scalar(*scalar),
            TypeLayout::Record(record) => break Element::Record(add(records, record)),
        }
    };
    FieldSchema {
        name: layout.name.to_owned(),
        offset: layout.offset,
        element,
        dimensions,
        unit: layout.unit.map(str::to_owned),
    }
}
