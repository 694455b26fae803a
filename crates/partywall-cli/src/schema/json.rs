//! A schema as JSON.

use partywall::record::{FieldSchema, RecordSchema, Schema};
use serde::Serialize;

#[derive(Serialize)]
struct Whole<'a> {
    name: &'a str,
    size: usize,
    /// In hexadecimal: JSON's numbers have 53 bits for many.
    hash: String,
    /// Nested ones first, the channel's last.
    records: Vec<Record<'a>>,
}

#[derive(Serialize)]
struct Record<'a> {
    name: &'a str,
    size: usize,
    align: usize,
    fields: Vec<Field<'a>>,
}

#[derive(Serialize)]
struct Field<'a> {
    name: &'a str,
    offset: usize,
    /// Bytes of all of it.
    size: usize,
    #[serde(rename = "type")]
    ty: &'a str,
    dimensions: &'a [usize],
    unit: Option<&'a str>,
    padding: bool,
}

pub(super) fn write(schema: &Schema) -> String {
    let whole = Whole {
        name: schema.name(),
        size: schema.size(),
        hash: format!("{:#018x}", schema.hash()),
        records: schema
            .records()
            .iter()
            .map(|one| record(schema, one))
            .collect(),
    };
    let mut text = serde_json::to_string_pretty(&whole).expect("numbers and text are JSON");
    text.push('\n');
    text
}

fn record<'a>(schema: &'a Schema, record: &'a RecordSchema) -> Record<'a> {
    let field = |field: &'a FieldSchema| Field {
        name: field.name(),
        offset: field.offset(),
        size: field.count() * schema.element_size(field.element()),
        ty: schema.element_name(field.element()),
        dimensions: field.dimensions(),
        unit: field.unit(),
        padding: field.is_padding(),
    };
    Record {
        name: record.name(),
        size: record.size(),
        align: record.align(),
        fields: record.fields().iter().map(field).collect(),
    }
}
