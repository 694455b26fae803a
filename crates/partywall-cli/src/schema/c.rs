//! A schema as C, for C++ too.

use std::fmt::Write;

use partywall::record::{Element, Scalar, Schema};

use super::{names, unit};

/// Those of C23 and C++23.
const KEYWORDS: &[&str] = &[
    "alignas",
    "alignof",
    "and",
    "and_eq",
    "asm",
    "auto",
    "bitand",
    "bitor",
    "bool",
    "break",
    "case",
    "catch",
    "char",
    "char16_t",
    "char32_t",
    "char8_t",
    "class",
    "co_await",
    "co_return",
    "co_yield",
    "compl",
    "concept",
    "const",
    "const_cast",
    "consteval",
    "constexpr",
    "constinit",
    "continue",
    "decltype",
    "default",
    "delete",
    "do",
    "double",
    "dynamic_cast",
    "else",
    "enum",
    "explicit",
    "export",
    "extern",
    "false",
    "float",
    "for",
    "friend",
    "goto",
    "if",
    "inline",
    "int",
    "long",
    "mutable",
    "namespace",
    "new",
    "noexcept",
    "not",
    "not_eq",
    "nullptr",
    "operator",
    "or",
    "or_eq",
    "private",
    "protected",
    "public",
    "register",
    "reinterpret_cast",
    "requires",
    "restrict",
    "return",
    "short",
    "signed",
    "sizeof",
    "static",
    "static_assert",
    "static_cast",
    "struct",
    "switch",
    "template",
    "this",
    "thread_local",
    "throw",
    "true",
    "try",
    "typedef",
    "typeid",
    "typename",
    "typeof",
    "typeof_unqual",
    "union",
    "unsigned",
    "using",
    "virtual",
    "void",
    "volatile",
    "wchar_t",
    "while",
    "xor",
    "xor_eq",
    "int8_t",
    "int16_t",
    "int32_t",
    "int64_t",
    "uint8_t",
    "uint16_t",
    "uint32_t",
    "uint64_t",
    "offsetof",
    "NULL",
    "linux",
    "unix",
];

pub(super) fn write(schema: &Schema, origin: &str) -> String {
    let hash = schema.hash();
    let mut text = format!(
        "\
// By `partywall schema {origin} --as c`. Little-endian machines only.
#ifndef PARTYWALL_SCHEMA_{hash:016X}
#define PARTYWALL_SCHEMA_{hash:016X}

#include <stddef.h>
#include <stdint.h>

#ifndef PARTYWALL_ASSERT
#ifdef __cplusplus
#define PARTYWALL_ASSERT(condition) static_assert(condition, #condition)
#else
#define PARTYWALL_ASSERT(condition) _Static_assert(condition, #condition)
#endif
#endif

PARTYWALL_ASSERT(sizeof(float) == 4);
PARTYWALL_ASSERT(sizeof(double) == 8);
"
    );
    let record_names = names::of_records(schema, KEYWORDS);
    for (record, name) in schema.records().iter().zip(&record_names) {
        let _ = writeln!(text, "\ntypedef struct {name} {{");
        let field_names = names::of_fields(record, KEYWORDS, &[]);
        for (field, name) in record.fields().iter().zip(&field_names) {
            let ty = match field.element() {
                Element::Scalar(scalar) => number(scalar),
                Element::Record(index) => &record_names[index],
            };
            let _ = write!(text, "    {ty} {name}");
            for count in field.dimensions() {
                let _ = write!(text, "[{count}]");
            }
            let _ = writeln!(text, ";{}", unit("//", field.unit()));
        }
        let _ = writeln!(text, "}} {name};\n");
        let size = record.size();
        let _ = writeln!(text, "PARTYWALL_ASSERT(sizeof({name}) == {size});");
        for (field, field_name) in record.fields().iter().zip(&field_names) {
            let offset = field.offset();
            let _ = writeln!(
                text,
                "PARTYWALL_ASSERT(offsetof({name}, {field_name}) == {offset});"
            );
        }
    }
    text.push_str("\n#endif\n");
    text
}

fn number(scalar: Scalar) -> &'static str {
    match scalar {
        Scalar::U8 => "uint8_t",
        Scalar::U16 => "uint16_t",
        Scalar::U32 => "uint32_t",
        Scalar::U64 => "uint64_t",
        Scalar::I8 => "int8_t",
        Scalar::I16 => "int16_t",
        Scalar::I32 => "int32_t",
        Scalar::I64 => "int64_t",
        Scalar::F32 => "float",
        Scalar::F64 => "double",
    }
}
