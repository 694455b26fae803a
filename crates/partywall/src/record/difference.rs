//! In what two schemas differ, said so that a person can mend it.

use std::fmt;

use super::schema::{Element, FieldSchema, RecordSchema, Schema};

/// The first difference between the records that a program expects and those of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The record, or the field with all that it is in: `Book`, `Book.bids.price`.
    pub path: String,
    /// What is different there.
    pub change: Change,
}

/// What is different about a record or a field.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// The channel has bytes without a schema.
    Untyped,
    /// The record has another name.
    Name {
        /// In the channel.
        found: String,
    },
    /// The channel's record does not have this field.
    Missing {
        /// What it has at that place.
        instead: Option<String>,
    },
    /// The channel's record has this field, the expected one does not.
    Unexpected,
    /// This field and another stand in each other's place.
    Swapped {
        /// The other.
        with: String,
    },
    /// It lies elsewhere.
    Offset {
        /// Bytes from the start of its record.
        expected: usize,
        /// In the channel.
        found: usize,
    },
    /// It has another type.
    Type {
        /// As in a schema's text.
        expected: String,
        /// In the channel.
        found: String,
    },
    /// It counts something else.
    Unit {
        /// What the program takes it for.
        expected: Option<String>,
        /// In the channel.
        found: Option<String>,
    },
    /// The record is longer or shorter, by padding.
    Size {
        /// Bytes.
        expected: usize,
        /// In the channel.
        found: usize,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        let unit = |unit: &Option<String>| match unit {
            Some(unit) => format!("{unit:?}"),
            None => "none".to_owned(),
        };
        match &self.change {
            Change::Untyped => write!(
                formatter,
                "record `{path}` expected, it has bytes without a schema"
            ),
            Change::Name { found } => {
                write!(
                    formatter,
                    "record `{path}` expected, it has record `{found}`"
                )
            }
            Change::Missing { instead: None } => write!(formatter, "field `{path}` is missing"),
            Change::Missing {
                instead: Some(other),
            } => write!(
                formatter,
                "field `{path}` is missing, `{other}` is in its place"
            ),
            Change::Unexpected => write!(formatter, "field `{path}` is not expected"),
            Change::Swapped { with } => {
                write!(formatter, "fields `{path}` and `{with}` are swapped")
            }
            Change::Offset { expected, found } => write!(
                formatter,
                "field `{path}` expected at byte {expected}, it is at {found}"
            ),
            Change::Type { expected, found } => write!(
                formatter,
                "field `{path}` expected as {expected}, it is {found}"
            ),
            Change::Unit { expected, found } => write!(
                formatter,
                "field `{path}` expected in unit {}, it is in {}",
                unit(expected),
                unit(found)
            ),
            Change::Size { expected, found } => write!(
                formatter,
                "record `{path}` expected with {expected} bytes, it has {found}"
            ),
        }
    }
}

impl Schema {
    /// The first difference between this schema, which is expected, and another that was found. Padding does not count.
    ///
    /// ```
    /// use partywall::record::Schema;
    /// let schema = |text: &str| Schema::parse(text.as_bytes()).unwrap();
    /// let expected = schema("partywall schema 1\nrecord P 8\nfield x 0 f32\nfield y 4 f32\n");
    /// let found = schema("partywall schema 1\nrecord P 8\nfield y 0 f32\nfield x 4 f32\n");
    /// let difference = expected.difference(&found).unwrap();
    /// assert_eq!(difference.to_string(), "fields `P.x` and `y` are swapped");
    /// assert_eq!(expected.difference(&expected), None);
    /// ```
    #[must_use]
    pub fn difference(&self, found: &Schema) -> Option<Difference> {
        let both = Both {
            expected: self,
            found,
        };
        both.records(self.name(), self.record(), found.record())
    }
}

struct Both<'a> {
    expected: &'a Schema,
    found: &'a Schema,
}

impl Both<'_> {
    fn records(
        &self,
        path: &str,
        expected: &RecordSchema,
        found: &RecordSchema,
    ) -> Option<Difference> {
        let here = |change| {
            Some(Difference {
                path: path.to_owned(),
                change,
            })
        };
        if expected.name != found.name {
            return here(Change::Name {
                found: found.name.clone(),
            });
        }
        let (wanted, there) = (data(expected), data(found));
        for (index, field) in wanted.iter().enumerate() {
            let path = format!("{path}.{}", field.name);
            if let Some(difference) = self.field(path, index, &wanted, &there) {
                return Some(difference);
            }
        }
        let unexpected = there
            .iter()
            .find(|field| place_of(&wanted, &field.name).is_none());
        if let Some(field) = unexpected {
            return Some(Difference {
                path: format!("{path}.{}", field.name),
                change: Change::Unexpected,
            });
        }
        if expected.size != found.size {
            return here(Change::Size {
                expected: expected.size,
                found: found.size,
            });
        }
        None
    }

    fn field(
        &self,
        path: String,
        index: usize,
        wanted: &[&FieldSchema],
        there: &[&FieldSchema],
    ) -> Option<Difference> {
        let expected = wanted[index];
        let change = match place_of(there, &expected.name) {
            None => Change::Missing {
                instead: there
                    .iter()
                    .find(|field| field.offset == expected.offset)
                    .filter(|field| place_of(wanted, &field.name).is_none())
                    .map(|field| field.name.clone()),
            },
            Some(place) => {
                let found = there[place];
                // Where ours is there, does the one stand here that ought to be there?
                let other = wanted.get(place).filter(|_| place != index);
                let swapped = other.filter(|other| place_of(there, &other.name) == Some(index));
                let types = (
                    self.expected.type_name(expected),
                    self.found.type_name(found),
                );
                if let Some(other) = swapped {
                    Change::Swapped {
                        with: other.name.clone(),
                    }
                } else if !self.same_kind(expected, found) {
                    Change::Type {
                        expected: types.0,
                        found: types.1,
                    }
                } else if expected.offset != found.offset {
                    Change::Offset {
                        expected: expected.offset,
                        found: found.offset,
                    }
                } else if expected.unit != found.unit {
                    Change::Unit {
                        expected: expected.unit.clone(),
                        found: found.unit.clone(),
                    }
                } else {
                    return self.nested(&path, expected, found);
                }
            }
        };
        Some(Difference { path, change })
    }

    /// The same number or both records, and the same dimensions.
    fn same_kind(&self, expected: &FieldSchema, found: &FieldSchema) -> bool {
        let elements = match (expected.element, found.element) {
            (Element::Scalar(expected), Element::Scalar(found)) => expected == found,
            (Element::Record(_), Element::Record(_)) => {
                self.expected.element_name(expected.element)
                    == self.found.element_name(found.element)
            }
            _ => false,
        };
        elements && expected.dimensions == found.dimensions
    }

    fn nested(
        &self,
        path: &str,
        expected: &FieldSchema,
        found: &FieldSchema,
    ) -> Option<Difference> {
        match (expected.element, found.element) {
            (Element::Record(expected), Element::Record(found)) => self.records(
                path,
                &self.expected.records[expected],
                &self.found.records[found],
            ),
            _ => None,
        }
    }
}

/// The fields whose bytes mean something.
fn data(record: &RecordSchema) -> Vec<&FieldSchema> {
    let fields = record.fields.iter();
    fields.filter(|field| !field.is_padding()).collect()
}

fn place_of(fields: &[&FieldSchema], name: &str) -> Option<usize> {
    fields.iter().position(|field| field.name == name)
}
