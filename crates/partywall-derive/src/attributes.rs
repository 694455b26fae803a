//! `#[record(...)]` and `#[repr(C)]`.

use syn::spanned::Spanned;
use syn::{Attribute, Error, Ident, LitStr, Path};

/// The longest name, in bytes; `partywall` checks it again when it reads a schema.
const MAX_NAME: usize = 64;
/// The longest unit, in bytes; likewise.
const MAX_UNIT: usize = 64;

/// What `#[record(...)]` says of the struct.
#[derive(Default)]
pub(crate) struct OfStruct {
    pub(crate) name: Option<LitStr>,
    pub(crate) library: Option<Path>,
}

/// What `#[record(...)]` says of a field.
#[derive(Default)]
pub(crate) struct OfField {
    pub(crate) name: Option<LitStr>,
    pub(crate) unit: Option<LitStr>,
}

pub(crate) fn of_struct(attributes: &[Attribute]) -> Result<OfStruct, Error> {
    let mut found = OfStruct::default();
    for attribute in attributes
        .iter()
        .filter(|one| one.path().is_ident("record"))
    {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("name") {
                found.name = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("crate") {
                let path: LitStr = meta.value()?.parse()?;
                found.library = Some(path.parse()?);
            } else {
                return Err(meta.error("a struct has `name = \"...\"` and `crate = \"...\"`"));
            }
            Ok(())
        })?;
    }
    Ok(found)
}

pub(crate) fn of_field(attributes: &[Attribute]) -> Result<OfField, Error> {
    let mut found = OfField::default();
    for attribute in attributes
        .iter()
        .filter(|one| one.path().is_ident("record"))
    {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("name") {
                found.name = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("unit") {
                let unit: LitStr = meta.value()?.parse()?;
                check_unit(&unit)?;
                found.unit = Some(unit);
            } else {
                return Err(meta.error("a field has `name = \"...\"` and `unit = \"...\"`"));
            }
            Ok(())
        })?;
    }
    Ok(found)
}

/// The name in the schema: the one that was chosen, else the one in the program.
pub(crate) fn name(chosen: Option<&LitStr>, ident: &Ident) -> Result<String, Error> {
    let (name, span) = match chosen {
        Some(chosen) => (chosen.value(), chosen.span()),
        None => {
            let name = ident.to_string();
            // A raw identifier is a keyword only in Rust.
            (name.trim_start_matches("r#").to_owned(), ident.span())
        }
    };
    let fits = (1..=MAX_NAME).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.as_bytes()[0].is_ascii_digit();
    if fits {
        return Ok(name);
    }
    Err(Error::new(
        span,
        format!(
            "other languages cannot call it {name:?}; a name has 1 to {MAX_NAME} ASCII letters, digits or '_', and does not begin with a digit: choose one by #[record(name = \"...\")]"
        ),
    ))
}

fn check_unit(unit: &LitStr) -> Result<(), Error> {
    let text = unit.value();
    let fits = (1..=MAX_UNIT).contains(&text.len())
        && text.trim() == text
        && !text.chars().any(char::is_control);
    if fits {
        return Ok(());
    }
    Err(Error::new(
        unit.span(),
        format!(
            "a unit has 1 to {MAX_UNIT} bytes, no line breaks, and no spaces around it, such as \"mV\" or \"°C\""
        ),
    ))
}

/// `#[repr(C)]` and nothing else.
pub(crate) fn check_repr(struct_name: &Ident, attributes: &[Attribute]) -> Result<(), Error> {
    let mut is_c = false;
    for attribute in attributes.iter().filter(|one| one.path().is_ident("repr")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("C") {
                is_c = true;
                return Ok(());
            }
            let span = meta.path.span();
            // What stands in parentheses must be read, or it is the error.
            if meta.input.peek(syn::token::Paren) {
                let inner;
                syn::parenthesized!(inner in meta.input);
                inner.parse::<proc_macro2::TokenStream>()?;
            }
            Err(Error::new(
                span,
                "a record is laid out by #[repr(C)] alone: every field at a multiple of its own width, nothing between them",
            ))
        })?;
    }
    if is_c {
        return Ok(());
    }
    Err(Error::new(
        struct_name.span(),
        "a record needs #[repr(C)]: without it the compiler orders the fields as it likes",
    ))
}
