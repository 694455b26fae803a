//! Names that a language lets one have.

use std::collections::HashSet;

use partywall::record::{RecordSchema, Schema};

/// The names of all records, by their index.
pub(super) fn of_records(schema: &Schema, keywords: &[&str]) -> Vec<String> {
    let names = schema.records().iter().map(RecordSchema::name);
    distinct(names, keywords, &[])
}

/// The names of a record's fields, by their index. None of `taken` will be among them.
pub(super) fn of_fields(record: &RecordSchema, keywords: &[&str], taken: &[&str]) -> Vec<String> {
    distinct(
        record.fields().iter().map(|field| field.name()),
        keywords,
        taken,
    )
}

/// What cannot be used as it is gets underscores behind it, until it is no other's name.
fn distinct<'a>(
    names: impl Iterator<Item = &'a str> + Clone,
    keywords: &[&str],
    taken: &[&str],
) -> Vec<String> {
    let usable = |name: &str| !keywords.contains(&name) && !taken.contains(&name);
    let mut used: HashSet<String> = names
        .clone()
        .filter(|name| usable(name))
        .map(str::to_owned)
        .collect();
    names
        .map(|name| {
            if usable(name) {
                return name.to_owned();
            }
            let mut other = format!("{name}_");
            while !usable(&other) || !used.insert(other.clone()) {
                other.push('_');
            }
            other
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyword_gets_a_name_that_nobody_has() {
        let names = ["int", "int_", "x", "for"];
        assert_eq!(
            distinct(names.into_iter(), &["int", "for"], &["for_"]),
            ["int__", "int_", "x", "for__"]
        );
    }
}
