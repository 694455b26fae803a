//! A schema as Rust.

use std::fmt::Write;

use partywall::record::{FieldSchema, Schema};

use super::names;

/// Strict and reserved keywords, and what is no name at all.
const KEYWORDS: &[&str] = &[
    "_", "abstract", "as", "async", "await", "become", "box", "break", "const", "continue",
    "crate", "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if",
    "impl", "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub",
    "ref", "return", "self", "Self", "static", "struct", "super", "trait", "true", "try", "type",
    "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

pub(super) fn write(schema: &Schema, origin: &str) -> String {
    let mut text = format!("// By `partywall schema {origin} --as rust`.\n");
    let record_names = names::of_records(schema, KEYWORDS);
    for (record, name) in schema.records().iter().zip(&record_names) {
        text.push_str(
            "\n#[derive(partywall::record::Record, Clone, Copy, Debug, PartialEq)]\n#[repr(C)]\n",
        );
        if name != record.name() {
            let _ = writeln!(text, "#[record(name = {:?})]", record.name());
        }
        let _ = writeln!(text, "pub struct {name} {{");
        let field_names = names::of_fields(record, KEYWORDS, &[]);
        for (field, name) in record.fields().iter().zip(&field_names) {
            let mut attributes = Vec::new();
            if name != field.name() {
                attributes.push(format!("name = {:?}", field.name()));
            }
            if let Some(unit) = field.unit() {
                attributes.push(format!("unit = {unit:?}"));
            }
            if !attributes.is_empty() {
                let _ = writeln!(text, "    #[record({})]", attributes.join(", "));
            }
            let _ = writeln!(
                text,
                "    pub {name}: {},",
                ty(schema, &record_names, field)
            );
        }
        text.push_str("}\n");
    }
    text
}

fn ty(schema: &Schema, record_names: &[String], field: &FieldSchema) -> String {
    let element = super::element(schema, record_names, field.element());
    let dimensions = field.dimensions().iter().rev();
    dimensions.fold(element, |inner, count| format!("[{inner}; {count}]"))
}
