//! The text of a schema: `PROTOCOL.md`, section 22. It stands in shared memory, so it is read as anything is that
//! a stranger may have written: everything has a bound, and what is not as it must be is an error with its line.

use std::fmt::Write;

use super::schema::{Element, FieldSchema, RecordSchema, Schema};
use crate::layout::geometry::MAX_SCHEMA;
use crate::layout::typed::{MAX_DEPTH, MAX_DIMENSIONS, MAX_NAME, MAX_RECORD, MAX_UNIT, Scalar};

/// The first line, with the version of what follows.
const TITLE: &str = "partywall schema 1";

/// The text of a schema is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the schema: {problem}")]
#[non_exhaustive]
pub struct SchemaError {
    /// Counted from 1; 0 for the text as a whole.
    pub line: usize,
    /// What is wrong there.
    pub problem: &'static str,
}

/// 64-bit FNV-1a, with 1 for 0: 0 means that there is no schema.
pub(crate) fn hash(text: &[u8]) -> u64 {
    let hash = text.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash.max(1)
}

pub(super) fn write(schema: &Schema) -> String {
    let mut text = format!("{TITLE}\n");
    for record in &schema.records {
        let _ = writeln!(text, "record {} {}", record.name, record.size);
        for field in &record.fields {
            let ty = schema.type_name(field);
            let _ = write!(text, "field {} {} {ty}", field.name, field.offset);
            if let Some(unit) = &field.unit {
                let _ = write!(text, " {unit}");
            }
            text.push('\n');
        }
    }
    text
}

pub(super) fn parse(text: &[u8]) -> Result<Schema, SchemaError> {
    let whole = |problem| SchemaError { line: 0, problem };
    if text.len() > MAX_SCHEMA as usize {
        return Err(whole("longer than 64 KiB"));
    }
    let text = std::str::from_utf8(text).map_err(|_| whole("not UTF-8"))?;
    let Some(text) = text.strip_suffix('\n') else {
        return Err(whole("its last line does not end"));
    };
    let mut parser = Parser {
        records: Vec::new(),
        used: Vec::new(),
        open: None,
    };
    let mut last = 0;
    for (number, line) in (1..).zip(text.split('\n')) {
        last = number;
        let problem = match line.split_once(' ') {
            _ if number == 1 => {
                if line != TITLE {
                    let problem = "not \"partywall schema 1\", the one version that is known";
                    return Err(SchemaError {
                        line: number,
                        problem,
                    });
                }
                Ok(())
            }
            Some(("record", rest)) => parser.record(rest),
            Some(("field", rest)) => parser.field(rest),
            _ => Err("neither a record nor a field"),
        };
        problem.map_err(|problem| SchemaError {
            line: number,
            problem,
        })?;
    }
    parser.close().map_err(|problem| SchemaError {
        line: last,
        problem,
    })?;
    // Each record but the channel's is in another.
    parser.used.pop();
    if parser.records.is_empty() {
        return Err(whole("no record"));
    }
    if parser.used.contains(&false) {
        return Err(whole("a record that is in no other, and not the last"));
    }
    Ok(Schema {
        records: parser.records,
    })
}

struct Parser {
    records: Vec<RecordSchema>,
    /// Whether the record of this index is in another.
    used: Vec<bool>,
    /// The one whose fields are being read, with the end of the last of them.
    open: Option<(RecordSchema, usize)>,
}

type Problem = &'static str;

impl Parser {
    /// `NAME SIZE`
    fn record(&mut self, rest: &str) -> Result<(), Problem> {
        self.close()?;
        let (record_name, size) = rest
            .split_once(' ')
            .ok_or("a record has a name and a size")?;
        name(record_name)?;
        let taken = self.find(record_name).is_some() || scalar(record_name).is_some();
        if taken {
            return Err("the name of another type");
        }
        let record = RecordSchema {
            name: record_name.to_owned(),
            size: number(size)?,
            align: 1,
            depth: 1,
            fields: Vec::new(),
        };
        self.open = Some((record, 0));
        Ok(())
    }

    /// `NAME OFFSET TYPE`, `NAME OFFSET TYPE UNIT`
    fn field(&mut self, rest: &str) -> Result<(), Problem> {
        const PARTS: Problem = "a field has a name, an offset, a type, and perhaps a unit";
        let Some((record, end)) = &mut self.open else {
            return Err("a field without a record");
        };
        let mut parts = rest.splitn(4, ' ');
        let mut part = || parts.next().ok_or(PARTS);
        let (field_name, offset, ty) = (part()?, part()?, part()?);
        let field_unit = parts.next().map(unit).transpose()?;
        name(field_name)?;
        // Names are looked up by a map in other languages: one each.
        if record.fields.iter().any(|field| field.name == field_name) {
            return Err("a field of this name is there already");
        }
        let offset = number(offset)?;
        if offset != *end {
            return Err("not where the field before ends");
        }
        let (element_name, dimensions) = dimensions(ty)?;
        let (element, size, align) = match scalar(element_name) {
            Some(scalar) => (Element::Scalar(scalar), scalar.size(), scalar.size()),
            None => {
                let index = find(&self.records, element_name).ok_or("an unknown type")?;
                let nested = &self.records[index];
                self.used[index] = true;
                record.depth = record.depth.max(nested.depth + 1);
                (Element::Record(index), nested.size, nested.align)
            }
        };
        if record.depth > MAX_DEPTH {
            return Err("records nested too deep");
        }
        if !offset.is_multiple_of(align) {
            return Err("its offset is no multiple of its width");
        }
        let bytes = dimensions
            .iter()
            .try_fold(size, |bytes, count| bytes.checked_mul(*count))
            .and_then(|bytes| bytes.checked_add(offset));
        *end = bytes
            .filter(|&end| end <= record.size)
            .ok_or("it leaves its record")?;
        record.align = record.align.max(align);
        record.fields.push(FieldSchema {
            name: field_name.to_owned(),
            offset,
            element,
            dimensions,
            unit: field_unit.map(str::to_owned),
        });
        Ok(())
    }

    /// The record is complete.
    fn close(&mut self) -> Result<(), Problem> {
        if let Some((record, end)) = self.open.take() {
            if record.fields.is_empty() {
                return Err("a record without fields");
            }
            if end != record.size {
                return Err("the record's last field does not end where the record does");
            }
            if !record.size.is_multiple_of(record.align) {
                return Err("the record's size is no multiple of its widest number");
            }
            self.records.push(record);
            self.used.push(false);
        }
        Ok(())
    }

    fn find(&self, name: &str) -> Option<usize> {
        find(&self.records, name)
    }
}

fn find(records: &[RecordSchema], name: &str) -> Option<usize> {
    records.iter().position(|record| record.name == name)
}

fn scalar(name: &str) -> Option<Scalar> {
    Scalar::ALL.into_iter().find(|scalar| scalar.name() == name)
}

/// `[A-Za-z_][A-Za-z0-9_]{0,63}`
fn name(text: &str) -> Result<(), Problem> {
    let fits = (1..=MAX_NAME).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !text.as_bytes()[0].is_ascii_digit();
    if fits {
        Ok(())
    } else {
        Err("a name has 1 to 64 letters, digits or '_', and does not begin with a digit")
    }
}

fn unit(text: &str) -> Result<&str, Problem> {
    let fits = (1..=MAX_UNIT).contains(&text.len())
        && text.trim() == text
        && !text.chars().any(char::is_control);
    if fits {
        Ok(text)
    } else {
        Err("a unit has 1 to 64 bytes, no control characters, and no spaces around it")
    }
}

/// Decimal, without leading zeros, at most the largest record.
fn number(text: &str) -> Result<usize, Problem> {
    let canonical =
        text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    let value = text.parse::<usize>().ok().filter(|_| canonical);
    value
        .filter(|&value| value <= MAX_RECORD)
        .ok_or("a number is decimal, without leading zeros, and at most 1 GiB")
}

/// `u16[3][4]`
fn dimensions(ty: &str) -> Result<(&str, Vec<usize>), Problem> {
    let Some((element, mut rest)) = ty.split_once('[') else {
        return Ok((ty, Vec::new()));
    };
    let mut dimensions = Vec::new();
    loop {
        let (count, behind) = rest.split_once(']').ok_or("an array without its ]")?;
        let count = number(count)?;
        if count == 0 {
            return Err("an array of no elements");
        }
        if dimensions.len() == MAX_DIMENSIONS {
            return Err("more than 8 dimensions");
        }
        dimensions.push(count);
        if behind.is_empty() {
            return Ok((element, dimensions));
        }
        rest = behind.strip_prefix('[').ok_or("something behind the ]")?;
    }
}
