//! How the fields of a record may lie: fixed widths, each at a multiple of its own width, nothing between them.
//!
//! The table is Partywall's, not the compiler's: a 32-bit x86 compiler aligns 8-byte numbers to 4. What passes
//! [`check`] lies in the same way everywhere, since no compiler aligns a number to more than its width.

/// A number of fixed width, little-endian in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "their names say it")]
pub enum Scalar {
    U8,
    U16,
    U32,
    U64,
    I8,
    I16,
    I32,
    I64,
    F32,
    F64,
}

impl Scalar {
    /// All of them.
    pub const ALL: [Scalar; 10] = [
        Scalar::U8,
        Scalar::U16,
        Scalar::U32,
        Scalar::U64,
        Scalar::I8,
        Scalar::I16,
        Scalar::I32,
        Scalar::I64,
        Scalar::F32,
        Scalar::F64,
    ];

    /// Bytes; also what its offset is a multiple of.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Scalar::U8 | Scalar::I8 => 1,
            Scalar::U16 | Scalar::I16 => 2,
            Scalar::U32 | Scalar::I32 | Scalar::F32 => 4,
            Scalar::U64 | Scalar::I64 | Scalar::F64 => 8,
        }
    }

    /// As in a schema's text, which is as in Rust.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Scalar::U8 => "u8",
            Scalar::U16 => "u16",
            Scalar::U32 => "u32",
            Scalar::U64 => "u64",
            Scalar::I8 => "i8",
            Scalar::I16 => "i16",
            Scalar::I32 => "i32",
            Scalar::I64 => "i64",
            Scalar::F32 => "f32",
            Scalar::F64 => "f64",
        }
    }
}

/// The type of a field, as the compiler knows it.
#[derive(Clone, Copy, Debug)]
pub enum TypeLayout {
    /// A number.
    Scalar(Scalar),
    /// So many of another type.
    Array(usize, &'static TypeLayout),
    /// A nested record.
    Record(&'static RecordLayout),
}

/// A field, as the compiler knows it.
#[derive(Clone, Copy, Debug)]
pub struct FieldLayout {
    /// Its name in the schema.
    pub name: &'static str,
    /// Bytes from the start of the record.
    pub offset: usize,
    /// What is counted, for people.
    pub unit: Option<&'static str>,
    /// Its type.
    pub ty: TypeLayout,
}

/// A record, as the compiler knows it.
#[derive(Clone, Copy, Debug)]
pub struct RecordLayout {
    /// Its name in the schema.
    pub name: &'static str,
    /// Bytes.
    pub size: usize,
    /// By ascending offset.
    pub fields: &'static [FieldLayout],
}

/// The largest record, in bytes.
pub(crate) const MAX_RECORD: usize = super::slots::MAX_VALUE as usize;
/// Records in records in records: what reads them need not be afraid of its stack.
pub(crate) const MAX_DEPTH: usize = 16;
/// Arrays of arrays.
pub(crate) const MAX_DIMENSIONS: usize = 8;
/// The longest name of a record or a field, in bytes.
pub(crate) const MAX_NAME: usize = 64;
/// The longest unit, in bytes.
pub(crate) const MAX_UNIT: usize = 64;

impl TypeLayout {
    /// What its offset is a multiple of.
    const fn align(&self) -> usize {
        match self {
            TypeLayout::Scalar(scalar) => scalar.size(),
            TypeLayout::Array(_, element) => element.align(),
            TypeLayout::Record(record) => record.align(),
        }
    }

    const fn size(&self) -> usize {
        match self {
            TypeLayout::Scalar(scalar) => scalar.size(),
            TypeLayout::Array(count, element) => *count * element.size(),
            TypeLayout::Record(record) => record.size,
        }
    }

    /// Records in it, one in another; and arrays, one in another.
    const fn depths(&self) -> (usize, usize) {
        match self {
            TypeLayout::Scalar(_) => (0, 0),
            TypeLayout::Array(_, element) => {
                let (records, arrays) = element.depths();
                (records, arrays + 1)
            }
            TypeLayout::Record(record) => (record.depth(), 0),
        }
    }

    const fn has_empty_array(&self) -> bool {
        match self {
            TypeLayout::Scalar(_) | TypeLayout::Record(_) => false,
            TypeLayout::Array(count, element) => *count == 0 || element.has_empty_array(),
        }
    }
}

impl RecordLayout {
    /// What its offset, and its size, are a multiple of: the widest number in it.
    const fn align(&self) -> usize {
        let mut align = 1;
        let mut index = 0;
        while index < self.fields.len() {
            let of_field = self.fields[index].ty.align();
            if of_field > align {
                align = of_field;
            }
            index += 1;
        }
        align
    }

    /// Where the fields before this one end, each of them at a multiple of its own width.
    const fn end_of(&self, fields: usize) -> usize {
        let mut end = 0;
        let mut index = 0;
        while index < fields {
            let ty = &self.fields[index].ty;
            end += missing(end, ty.align()) + ty.size();
            index += 1;
        }
        end
    }

    const fn depth(&self) -> usize {
        let mut depth = 0;
        let mut index = 0;
        while index < self.fields.len() {
            let of_field = self.fields[index].ty.depths().0;
            if of_field > depth {
                depth = of_field;
            }
            index += 1;
        }
        depth + 1
    }
}

/// Refuses, at compile time, a field that bytes without a name would lie before, by our table. What is missing before
/// earlier fields is told there.
#[doc(hidden)]
#[track_caller]
pub const fn check_field(record: &RecordLayout, index: usize) {
    let field = &record.fields[index];
    if field.ty.has_empty_array() {
        refuse(
            record,
            &["`", field.name, "` is an array of no elements"],
            None,
        );
    }
    if field.ty.depths().1 > MAX_DIMENSIONS {
        refuse(
            record,
            &["`", field.name, "` has more than 8 dimensions"],
            None,
        );
    }
    let align = field.ty.align();
    let missing = missing(record.end_of(index), align);
    if missing > 0 {
        let before = record.fields[index - 1].name;
        let found = [
            "bytes are missing between `",
            before,
            "` and `",
            field.name,
            "`, whose place is a multiple of its width",
        ];
        refuse(record, &found, Some((missing, before)));
    }
}

/// The same for what lies behind the last field; and a record that this compiler lays out otherwise than others do,
/// which cannot be when [`check_field`] has nothing to say.
#[doc(hidden)]
#[track_caller]
pub const fn check(record: &RecordLayout) {
    let mut end = 0;
    let mut index = 0;
    while index < record.fields.len() {
        let field = &record.fields[index];
        if missing(end, field.ty.align()) > 0 {
            return; // Told by `check_field`.
        }
        if field.offset != end {
            let found = [
                "`",
                field.name,
                "` is laid out by this compiler as by no other",
            ];
            refuse(record, &found, None);
        }
        end += field.ty.size();
        index += 1;
    }
    let missing = missing(end, record.align());
    if missing > 0 {
        let last = record.fields[index - 1].name;
        let found = [
            "bytes are missing behind `",
            last,
            "`: the size of a record is a multiple of its widest number",
        ];
        refuse(record, &found, Some((missing, last)));
    }
    if record.size != end {
        refuse(
            record,
            &["it has a size by this compiler as by no other"],
            None,
        );
    }
    if end > MAX_RECORD {
        refuse(record, &["it is larger than 1 GiB"], None);
    }
    if record.depth() > MAX_DEPTH {
        refuse(record, &["records are nested more than 16 deep"], None);
    }
}

/// Bytes up to the next multiple of an alignment.
const fn missing(end: usize, align: usize) -> usize {
    (align - end % align) % align
}

/// Ends the compilation. What is missing comes first, and how to mend it last.
#[track_caller]
const fn refuse(record: &RecordLayout, found: &[&str], missing: Option<(usize, &str)>) -> ! {
    let mut message = Message::new();
    message.push("record `");
    message.push(record.name);
    message.push("`: ");
    if let Some((count, _)) = missing {
        message.push_number(count);
        message.push(" ");
    }
    let mut index = 0;
    while index < found.len() {
        message.push(found[index]);
        index += 1;
    }
    if let Some((count, behind)) = missing {
        message.push("; nothing may be left to the compiler: put `_padding: [u8; ");
        message.push_number(count);
        message.push("]` behind `");
        message.push(behind);
        message.push("`, or order the fields by width, the widest first");
    }
    panic!("{}", message.text())
}

/// A text that is put together while compiling.
struct Message {
    bytes: [u8; 1024],
    len: usize,
}

impl Message {
    const fn new() -> Self {
        Message {
            bytes: [0; 1024],
            len: 0,
        }
    }

    const fn push(&mut self, text: &str) {
        let text = text.as_bytes();
        let mut index = 0;
        while index < text.len() && self.len < self.bytes.len() {
            self.bytes[self.len] = text[index];
            self.len += 1;
            index += 1;
        }
    }

    const fn push_number(&mut self, number: usize) {
        if number >= 10 {
            self.push_number(number / 10);
        }
        self.bytes[self.len] = b'0' + (number % 10) as u8;
        self.len += 1;
    }

    const fn text(&self) -> &str {
        match std::str::from_utf8(self.bytes.split_at(self.len).0) {
            Ok(text) => text,
            Err(_) => "bytes are missing in a record",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    const fn field(name: &'static str, offset: usize, ty: TypeLayout) -> FieldLayout {
        FieldLayout {
            name,
            offset,
            unit: None,
            ty,
        }
    }

    const BYTE: TypeLayout = TypeLayout::Scalar(Scalar::U8);
    const SHORT: TypeLayout = TypeLayout::Scalar(Scalar::U16);
    const LONG: TypeLayout = TypeLayout::Scalar(Scalar::U64);

    fn message(fields: &'static [FieldLayout], size: usize) -> String {
        let record = RecordLayout {
            name: "R",
            size,
            fields,
        };
        let refused = std::panic::catch_unwind(|| {
            for index in 0..fields.len() {
                check_field(&record, index);
            }
            check(&record);
        });
        match refused.map_err(|panic| *panic.downcast::<String>().expect("a text")) {
            Ok(()) => String::new(),
            Err(message) => message,
        }
    }

    #[test]
    fn bytes_that_no_field_names_are_told_with_their_place() {
        const INSIDE: &[FieldLayout] = &[field("a", 0, BYTE), field("b", 1, LONG)];
        let told = message(INSIDE, 9);
        assert!(
            told.contains("7 bytes are missing between `a` and `b`"),
            "{told}"
        );
        assert!(told.contains("`_padding: [u8; 7]` behind `a`"), "{told}");
        const AT_END: &[FieldLayout] = &[field("a", 0, LONG), field("b", 8, BYTE)];
        let told = message(AT_END, 9);
        assert!(told.contains("7 bytes are missing behind `b`"), "{told}");
        const PADDED: &[FieldLayout] = &[
            field("a", 0, BYTE),
            field("_padding", 1, TypeLayout::Array(7, &BYTE)),
            field("b", 8, LONG),
        ];
        assert_eq!(message(PADDED, 16), "");
    }

    /// A compiler that aligns to 4 at most, as on 32-bit x86, lays out what passes in the same way: the struct is
    /// given such an alignment here.
    #[test]
    fn what_passes_lies_the_same_where_eight_bytes_are_aligned_to_four() {
        #[repr(C)]
        struct Here {
            a: u32,
            b: [u16; 2],
            c: u64,
            d: f64,
        }
        #[repr(C, packed(4))]
        struct There {
            a: u32,
            b: [u16; 2],
            c: u64,
            d: f64,
        }
        const PAIR: TypeLayout = TypeLayout::Array(2, &SHORT);
        macro_rules! check_layout_of {
            ($of:ty) => {
                const FIELDS: &[FieldLayout] = &[
                    field("a", offset_of!($of, a), TypeLayout::Scalar(Scalar::U32)),
                    field("b", offset_of!($of, b), PAIR),
                    field("c", offset_of!($of, c), LONG),
                    field("d", offset_of!($of, d), TypeLayout::Scalar(Scalar::F64)),
                ];
                assert_eq!(message(FIELDS, size_of::<$of>()), "");
            };
        }
        {
            check_layout_of!(Here);
        }
        {
            check_layout_of!(There);
        }
    }

    /// And what would not is refused everywhere, also where the compiler would be content.
    #[test]
    fn what_only_a_32_bit_compiler_would_accept_is_refused_everywhere() {
        const FIELDS: &[FieldLayout] = &[
            field("a", 0, TypeLayout::Scalar(Scalar::U32)),
            field("b", 4, LONG),
        ];
        let told = message(FIELDS, 12);
        assert!(
            told.contains("4 bytes are missing between `a` and `b`"),
            "{told}"
        );
    }
}
