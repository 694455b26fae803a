//! What is no record is refused with a message that says why, and what is one compiles.
//!
//! The messages are those of the pinned toolchain; `TRYBUILD=overwrite cargo test -p partywall-derive` writes them anew.

#[test]
fn bad_records_are_refused_with_their_reason() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/refused/*.rs");
    cases.pass("tests/ui/accepted/*.rs");
}
