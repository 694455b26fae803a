//! The targets are named after the entries of `partywall::fuzz`.

/// The entry of a name.
#[must_use]
pub fn entry(name: &str) -> fn(&[u8]) {
    let found = partywall::fuzz::ENTRIES.iter().find(|entry| entry.0 == name);
    found.expect("every target has an entry").1
}
