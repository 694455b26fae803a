//! A schema as a Python module: structures of ctypes, a format of struct, and a numpy dtype for who has numpy.

use std::fmt::Write;

use partywall::record::{Element, FieldSchema, RecordSchema, Scalar, Schema};

use super::{names, unit};

const KEYWORDS: &[&str] = &[
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue",
    "def", "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import",
    "in", "is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while",
    "with", "yield", "ctypes", "struct", "sys", "dtype", "HASH", "STRUCT", "NAMES",
];

/// With more of them, `STRUCT` is left out: a format of a million letters helps nobody.
const MOST_NUMBERS: usize = 1024;

pub(super) fn write(schema: &Schema, origin: &str) -> String {
    let record_names = names::of_records(schema, KEYWORDS);
    let last = record_names.last().expect("a schema has a record");
    let mut text = format!(
        "\
\"\"\"By `partywall schema {origin} --as python`.

{last}.from_buffer_copy(payload) is a record with its fields as attributes;
dict(zip(NAMES, STRUCT.unpack(payload))) has its numbers, elements of arrays one by one, u8[N] as bytes
(left out where there are more than 1024); numpy.frombuffer(payloads, dtype()) is an array of records.
\"\"\"

import ctypes
import struct
import sys

assert sys.byteorder == \"little\"

HASH = {:#018x}
",
        schema.hash()
    );
    for (record, name) in schema.records().iter().zip(&record_names) {
        let _ = writeln!(
            text,
            "\n\nclass {name}(ctypes.Structure):\n    _fields_ = ["
        );
        for field in record.fields() {
            let element = match field.element() {
                Element::Scalar(scalar) => format!("ctypes.c_{}", number(scalar).0),
                Element::Record(index) => record_names[index].clone(),
            };
            let dimensions = field.dimensions().iter().rev();
            let ty = dimensions.fold(element, |inner, count| format!("({inner} * {count})"));
            let ty = ty
                .strip_prefix('(')
                .and_then(|ty| ty.strip_suffix(')'))
                .unwrap_or(&ty);
            let _ = writeln!(
                text,
                "        ({:?}, {ty}),{}",
                field.name(),
                unit("#", field.unit())
            );
        }
        let size = record.size();
        let _ = writeln!(text, "    ]\n\n\nassert ctypes.sizeof({name}) == {size}");
        for field in record.fields() {
            let (field, offset) = (field.name(), field.offset());
            let _ = writeln!(text, "assert {name}.__dict__[{field:?}].offset == {offset}");
        }
    }
    if numbers(schema) <= MOST_NUMBERS {
        let mut flat = Flat {
            schema,
            format: String::new(),
            names: Vec::new(),
        };
        flat.record("", schema.record());
        let _ = writeln!(text, "\n\nSTRUCT = struct.Struct(\"<{}\")", flat.format);
        text.push_str("NAMES = (\n");
        for name in &flat.names {
            let _ = writeln!(text, "    {name:?},");
        }
        let _ = writeln!(text, ")\n\nassert STRUCT.size == {}", schema.size());
    }
    text.push_str(&dtype(schema));
    text
}

/// Numbers in a record, with runs of bytes as one.
fn numbers(schema: &Schema) -> usize {
    // Bottom up: a record may be in others in many ways.
    let mut counts: Vec<usize> = Vec::new();
    for record in schema.records() {
        let of_field = |field: &FieldSchema| match field.element() {
            _ if field.is_padding() || is_bytes(field) => 1,
            Element::Scalar(_) => field.count(),
            Element::Record(index) => field.count() * counts[index],
        };
        counts.push(record.fields().iter().map(of_field).sum());
    }
    counts[counts.len() - 1]
}

/// Python has a type for these.
fn is_bytes(field: &FieldSchema) -> bool {
    field.element() == Element::Scalar(Scalar::U8) && field.dimensions().len() == 1
}

/// A function, for numpy need not be there.
fn dtype(schema: &Schema) -> String {
    let mut text = "\n\ndef dtype():\n    import numpy\n\n    records = []\n".to_owned();
    for record in schema.records() {
        text.push_str("    records.append(numpy.dtype({\n");
        let all = |text: &mut String, key: &str, each: &dyn Fn(&FieldSchema) -> String| {
            let fields = record.fields().iter().filter(|field| !field.is_padding());
            let each: Vec<String> = fields.map(each).collect();
            let _ = writeln!(text, "        \"{key}\": [{}],", each.join(", "));
        };
        all(&mut text, "names", &|field| format!("{:?}", field.name()));
        all(&mut text, "formats", &|field| {
            let element = match field.element() {
                Element::Scalar(scalar) => format!("\"<{}\"", number(scalar).2),
                Element::Record(index) => format!("records[{index}]"),
            };
            if field.dimensions().is_empty() {
                return element;
            }
            let shape: String = field
                .dimensions()
                .iter()
                .map(|count| format!("{count},"))
                .collect();
            format!("({element}, ({shape}))")
        });
        all(&mut text, "offsets", &|field| field.offset().to_string());
        let _ = writeln!(text, "        \"itemsize\": {},\n    }}))", record.size());
    }
    text.push_str("    return records[-1]\n");
    text
}

/// A record's numbers, one after the other; bytes in a row as one.
struct Flat<'a> {
    schema: &'a Schema,
    format: String,
    names: Vec<String>,
}

impl Flat<'_> {
    fn record(&mut self, path: &str, record: &RecordSchema) {
        for field in record.fields() {
            if field.is_padding() {
                let bytes = field.count() * self.schema.element_size(field.element());
                let _ = write!(self.format, "{bytes}x");
                continue;
            }
            let path = format!("{path}{}", field.name());
            if is_bytes(field) {
                let _ = write!(self.format, "{}s", field.count());
                self.names.push(path);
                continue;
            }
            self.elements(&path, field.element(), field.dimensions());
        }
    }

    fn elements(&mut self, path: &str, element: Element, dimensions: &[usize]) {
        if let Some((&count, inner)) = dimensions.split_first() {
            for index in 0..count {
                self.elements(&format!("{path}[{index}]"), element, inner);
            }
            return;
        }
        match element {
            Element::Scalar(scalar) => {
                self.format.push(number(scalar).1);
                self.names.push(path.to_owned());
            }
            Element::Record(index) => {
                self.record(&format!("{path}."), &self.schema.records()[index]);
            }
        }
    }
}

/// A number in ctypes, in struct, in numpy.
fn number(scalar: Scalar) -> (&'static str, char, &'static str) {
    match scalar {
        Scalar::U8 => ("uint8", 'B', "u1"),
        Scalar::U16 => ("uint16", 'H', "u2"),
        Scalar::U32 => ("uint32", 'I', "u4"),
        Scalar::U64 => ("uint64", 'Q', "u8"),
        Scalar::I8 => ("int8", 'b', "i1"),
        Scalar::I16 => ("int16", 'h', "i2"),
        Scalar::I32 => ("int32", 'i', "i4"),
        Scalar::I64 => ("int64", 'q', "i8"),
        Scalar::F32 => ("float", 'f', "f4"),
        Scalar::F64 => ("double", 'd', "f8"),
    }
}
