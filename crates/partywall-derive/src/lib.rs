//! `#[derive(Record)]`: see `partywall::record`, which re-exports it.
//!
//! What is wrong in the text of the definition is refused here, at its place and with what to use instead, and then
//! nothing else is generated, so that no other message stands in the way. What only the compiler knows (sizes of
//! nested records, types behind an alias) is left to checks in the generated code.

mod attributes;
mod expand;
mod types;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a struct a record: see `partywall::record`.
///
/// For the struct: `#[record(name = "...")]` gives it another name in the schema; `#[record(crate = "...")]` says
/// where the library is, if not at `::partywall`. For a field: `#[record(unit = "...")]` says what is counted,
/// `#[record(name = "...")]` gives it another name in the schema.
#[proc_macro_derive(Record, attributes(record))]
pub fn derive_record(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::record(&input)
        .unwrap_or_else(|error| error.into_compile_error())
        .into()
}
