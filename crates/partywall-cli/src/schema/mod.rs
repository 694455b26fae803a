//! `partywall schema`: what a channel's records are made of, as a declaration in the language at hand.

mod c;
mod csharp;
mod json;
mod names;
mod python;
mod rust;

use clap::{Args, ValueEnum};
use partywall::inspect;
use partywall::record::{Element, Schema};

use crate::exit::{Exit, Failure};
use crate::format;
use crate::options::Place;

/// Options of `partywall schema`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
    partywall schema quotes                          (as it stands in the channel)
    partywall schema quotes --as rust > quotes.rs
    partywall schema quotes --as json | jq .size")]
pub(crate) struct SchemaArguments {
    /// The channel
    #[arg(value_name = "NAME")]
    channel: String,

    /// In which language
    #[arg(long = "as", value_enum, default_value_t, value_name = "LANGUAGE")]
    language: Language,
}

/// What a declaration is written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// The schema's own text
    #[default]
    Text,
    /// Structs with the derive
    Rust,
    /// C11 and C++ structs, with assertions
    C,
    /// Structs with explicit offsets
    Csharp,
    /// A module: ctypes, struct, and a numpy dtype
    Python,
    /// Names, types and offsets as data
    Json,
}

/// Runs the command.
pub(crate) fn run(arguments: &SchemaArguments, place: &Place) -> Result<Exit, Failure> {
    let channel = &arguments.channel;
    let Some(schema) = inspect::schema(&place.open()?, channel)? else {
        let message = format!("channel {channel}: no schema, its records are bytes");
        return Err(Failure::new(Exit::Failed, message));
    };
    format::print(&declaration(&schema, arguments.language, channel))
}

/// The schema in a language. `origin` is told in a comment.
pub(crate) fn declaration(schema: &Schema, language: Language, origin: &str) -> String {
    match language {
        Language::Text => schema.to_text(),
        Language::Rust => rust::write(schema, origin),
        Language::C => c::write(schema, origin),
        Language::Csharp => csharp::write(schema, origin),
        Language::Python => python::write(schema, origin),
        Language::Json => json::write(schema),
    }
}

/// The name of an element's type, where numbers are called as in the schema.
fn element(schema: &Schema, record_names: &[String], element: Element) -> String {
    match element {
        Element::Scalar(_) => schema.element_name(element).to_owned(),
        Element::Record(index) => record_names[index].clone(),
    }
}

/// A unit as a comment that nothing in it can end.
fn unit(prefix: &str, unit: Option<&str>) -> String {
    unit.map_or_else(String::new, |unit| format!("  {prefix} {unit:?}"))
}
