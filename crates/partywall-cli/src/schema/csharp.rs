//! A schema as C#. Arrays of numbers are fixed buffers, flat if they have several dimensions; arrays of records are
//! bytes with a function that gives a reference to an element.

use std::fmt::Write;

use partywall::record::{Element, Scalar, Schema};

use super::{names, unit};

const KEYWORDS: &[&str] = &[
    "abstract",
    "as",
    "base",
    "bool",
    "break",
    "byte",
    "case",
    "catch",
    "char",
    "checked",
    "class",
    "const",
    "continue",
    "decimal",
    "default",
    "delegate",
    "do",
    "double",
    "else",
    "enum",
    "event",
    "explicit",
    "extern",
    "false",
    "finally",
    "fixed",
    "float",
    "for",
    "foreach",
    "goto",
    "if",
    "implicit",
    "in",
    "int",
    "interface",
    "internal",
    "is",
    "lock",
    "long",
    "namespace",
    "new",
    "null",
    "object",
    "operator",
    "out",
    "override",
    "params",
    "private",
    "protected",
    "public",
    "readonly",
    "ref",
    "return",
    "sbyte",
    "sealed",
    "short",
    "sizeof",
    "stackalloc",
    "static",
    "string",
    "struct",
    "switch",
    "this",
    "throw",
    "true",
    "try",
    "typeof",
    "uint",
    "ulong",
    "unchecked",
    "unsafe",
    "ushort",
    "using",
    "virtual",
    "void",
    "volatile",
    "while",
];

/// What every object has already.
const MEMBERS: &[&str] = &[
    "Equals",
    "Finalize",
    "GetHashCode",
    "GetType",
    "MemberwiseClone",
    "ReferenceEquals",
    "ToString",
];

pub(super) fn write(schema: &Schema, origin: &str) -> String {
    let mut text = format!(
        "\
// By `partywall schema {origin} --as csharp`. Compile with unsafe code allowed; little-endian machines only.
using System.Runtime.InteropServices;
"
    );
    let record_names = names::of_records(schema, KEYWORDS);
    for (record, name) in schema.records().iter().zip(&record_names) {
        let _ = writeln!(
            text,
            "\n[StructLayout(LayoutKind.Explicit, Size = {}, Pack = {})]\npublic unsafe struct {name}\n{{",
            record.size(),
            record.align()
        );
        // A member cannot be called as its type is.
        let mut taken = MEMBERS.to_vec();
        taken.push(name);
        let field_names = names::of_fields(record, KEYWORDS, &taken);
        for (field, name) in record.fields().iter().zip(&field_names) {
            let offset = field.offset();
            let count = field.count();
            let comment = unit("//", field.unit());
            let _ = match (field.element(), field.dimensions().is_empty()) {
                (Element::Scalar(scalar), true) => writeln!(
                    text,
                    "    [FieldOffset({offset})] public {} {name};{comment}",
                    number(scalar)
                ),
                (Element::Scalar(scalar), false) => writeln!(
                    text,
                    "    [FieldOffset({offset})] public fixed {} {name}[{count}];{comment}",
                    number(scalar)
                ),
                (Element::Record(index), true) => writeln!(
                    text,
                    "    [FieldOffset({offset})] public {} {name};{comment}",
                    record_names[index]
                ),
                (Element::Record(index), false) => {
                    let nested = &record_names[index];
                    let bytes = count * schema.records()[index].size();
                    let mut storage = format!("{name}__bytes");
                    while field_names.contains(&storage) {
                        storage.push('_');
                    }
                    writeln!(
                        text,
                        "    \
    [FieldOffset({offset})] private fixed byte {storage}[{bytes}];{comment}
    public ref {nested} {name}(int index)
    {{
        if ((uint)index >= {count}) throw new System.IndexOutOfRangeException();
        fixed (byte* first = {storage}) return ref (({nested}*)first)[index];
    }}"
                    )
                }
            };
        }
        text.push_str("}\n");
    }
    text
}

fn number(scalar: Scalar) -> &'static str {
    match scalar {
        Scalar::U8 => "byte",
        Scalar::U16 => "ushort",
        Scalar::U32 => "uint",
        Scalar::U64 => "ulong",
        Scalar::I8 => "sbyte",
        Scalar::I16 => "short",
        Scalar::I32 => "int",
        Scalar::I64 => "long",
        Scalar::F32 => "float",
        Scalar::F64 => "double",
    }
}
