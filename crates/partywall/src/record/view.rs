//! A record's bytes, looked at by its schema.

use std::fmt;

use super::schema::{Element, FieldSchema, RecordSchema, Schema};
use super::typed::WrongLength;
use crate::layout::typed::Scalar;

/// A number of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// `u8` to `u64`.
    Unsigned(u64),
    /// `i8` to `i64`.
    Signed(i64),
    /// `f32`.
    F32(f32),
    /// `f64`.
    F64(f64),
}

impl Number {
    /// `bytes` are as many as the scalar has.
    fn read(scalar: Scalar, bytes: &[u8]) -> Number {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        let unsigned = u64::from_le_bytes(word);
        let unused = 64 - 8 * scalar.size();
        match scalar {
            Scalar::U8 | Scalar::U16 | Scalar::U32 | Scalar::U64 => Number::Unsigned(unsigned),
            // The sign is brought to the top, and down again with what it stands for.
            Scalar::I8 | Scalar::I16 | Scalar::I32 | Scalar::I64 => {
                Number::Signed((unsigned << unused).cast_signed() >> unused)
            }
            Scalar::F32 => Number::F32(f32::from_bits(unsigned as u32)),
            Scalar::F64 => Number::F64(f64::from_bits(unsigned)),
        }
    }
}

/// As short as it can be without loss.
impl fmt::Display for Number {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number::Unsigned(value) => value.fmt(formatter),
            Number::Signed(value) => value.fmt(formatter),
            // Large and small ones with an exponent, which `Display` does not do.
            Number::F32(value) => write!(formatter, "{value:?}"),
            Number::F64(value) => write!(formatter, "{value:?}"),
        }
    }
}

/// The bytes of a record, and what they mean. Printed as `price=1.25 size=3`.
#[derive(Clone, Copy, Debug)]
pub struct RecordView<'a> {
    schema: &'a Schema,
    record: &'a RecordSchema,
    /// As many as the record has.
    bytes: &'a [u8],
}

/// A field of a record, and what is in it.
#[derive(Clone, Copy, Debug)]
pub struct FieldView<'a> {
    /// What is known of it.
    pub schema: &'a FieldSchema,
    /// What is in it.
    pub value: ValueView<'a>,
}

/// What is in a field.
#[derive(Clone, Copy, Debug)]
pub enum ValueView<'a> {
    /// A number. Printed as `3`.
    Number(Number),
    /// Several of the same. Printed as `[1 2 3]`.
    Array(ArrayView<'a>),
    /// A nested record. Printed as `{price=1.25 size=3}`.
    Record(RecordView<'a>),
}

/// The elements of an array.
#[derive(Clone, Copy, Debug)]
pub struct ArrayView<'a> {
    schema: &'a Schema,
    element: Element,
    /// Never empty.
    dimensions: &'a [usize],
    bytes: &'a [u8],
}

impl Schema {
    /// Looks at the bytes of a record.
    ///
    /// ```
    /// use partywall::record::Schema;
    /// let text = b"partywall schema 1\nrecord P 8\nfield x 0 f32 mm\nfield n 4 i16[2]\n";
    /// let schema = Schema::parse(text)?;
    /// let bytes = [0, 0, 0xa0, 0x3f, 7, 0, 0xff, 0xff];
    /// assert_eq!(schema.view(&bytes)?.to_string(), "x=1.25 n=[7 -1]");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// If there are more or fewer bytes than a record has.
    pub fn view<'a>(&'a self, bytes: &'a [u8]) -> Result<RecordView<'a>, WrongLength> {
        if bytes.len() != self.size() {
            return Err(WrongLength {
                expected: self.size(),
                found: bytes.len(),
            });
        }
        Ok(RecordView {
            schema: self,
            record: self.record(),
            bytes,
        })
    }
}

impl<'a> RecordView<'a> {
    /// What is known of it.
    #[must_use]
    pub fn schema(&self) -> &'a RecordSchema {
        self.record
    }

    /// Its fields, by ascending offset, without padding.
    pub fn fields(&self) -> impl Iterator<Item = FieldView<'a>> + use<'a> {
        let RecordView {
            schema,
            record,
            bytes,
        } = *self;
        let fields = record.fields.iter().filter(|field| !field.is_padding());
        fields.map(move |field| {
            let size = field.count() * schema.element_size(field.element);
            let bytes = &bytes[field.offset..field.offset + size];
            FieldView {
                schema: field,
                value: ValueView::new(schema, field.element, &field.dimensions, bytes),
            }
        })
    }
}

impl<'a> ValueView<'a> {
    fn new(
        schema: &'a Schema,
        element: Element,
        dimensions: &'a [usize],
        bytes: &'a [u8],
    ) -> ValueView<'a> {
        match element {
            _ if !dimensions.is_empty() => ValueView::Array(ArrayView {
                schema,
                element,
                dimensions,
                bytes,
            }),
            Element::Scalar(scalar) => ValueView::Number(Number::read(scalar, bytes)),
            Element::Record(index) => ValueView::Record(RecordView {
                schema,
                record: &schema.records[index],
                bytes,
            }),
        }
    }
}

impl<'a> ArrayView<'a> {
    /// How many there are, at least 1.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> usize {
        self.dimensions[0]
    }

    /// Its elements: arrays, if it has further dimensions.
    pub fn elements(&self) -> impl Iterator<Item = ValueView<'a>> + use<'a> {
        let array = *self;
        let each = array.bytes.len() / array.len();
        array.bytes.chunks_exact(each).map(move |bytes| {
            ValueView::new(array.schema, array.element, &array.dimensions[1..], bytes)
        })
    }
}

impl fmt::Display for RecordView<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, field) in self.fields().enumerate() {
            let space = if number == 0 { "" } else { " " };
            write!(formatter, "{space}{}={}", field.schema.name, field.value)?;
        }
        Ok(())
    }
}

impl fmt::Display for ValueView<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueView::Number(number) => number.fmt(formatter),
            ValueView::Array(array) => array.fmt(formatter),
            ValueView::Record(record) => write!(formatter, "{{{record}}}"),
        }
    }
}

impl fmt::Display for ArrayView<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[")?;
        for (number, element) in self.elements().enumerate() {
            let space = if number == 0 { "" } else { " " };
            write!(formatter, "{space}{element}")?;
        }
        formatter.write_str("]")
    }
}
