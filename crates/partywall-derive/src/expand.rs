//! What is generated.

use proc_macro2::{Group, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::{Data, DeriveInput, Error, Fields, parse_quote};

use crate::{attributes, types};

/// The numbers of a schema.
const NUMBERS: [&str; 10] = [
    "u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64", "f32", "f64",
];

/// The implementation, or everything that is wrong.
pub(crate) fn record(input: &DeriveInput) -> Result<TokenStream, Error> {
    let struct_name = &input.ident;
    let fields = named_fields(input)?;
    let mut wrong = Wrong(None);
    let of_struct = wrong
        .note(attributes::of_struct(&input.attrs))
        .unwrap_or_default();
    wrong.note(attributes::check_repr(struct_name, &input.attrs));
    wrong.note(check_generics(input));
    let name = wrong
        .note(attributes::name(of_struct.name.as_ref(), struct_name))
        .unwrap_or_default();
    if NUMBERS.contains(&name.as_str()) {
        wrong.note::<()>(Err(Error::new(
            struct_name.span(),
            format!("a record cannot be called `{name}`, for that is a number; call it otherwise"),
        )));
    }

    let library = of_struct
        .library
        .unwrap_or_else(|| parse_quote!(::partywall));
    let hidden = quote!(#library::record::derive);
    let mut idents = Vec::new();
    let mut field_types = Vec::new();
    let mut layouts = Vec::new();
    let mut names: Vec<String> = Vec::new();
    for field in fields {
        let ident = field.ident.as_ref().expect("named");
        let ty = &field.ty;
        wrong.note(types::check(ty));
        let of_field = wrong
            .note(attributes::of_field(&field.attrs))
            .unwrap_or_default();
        let Some(name) = wrong.note(attributes::name(of_field.name.as_ref(), ident)) else {
            continue;
        };
        if names.contains(&name) {
            wrong.note::<()>(Err(Error::new(
                ident.span(),
                format!("two fields are called `{name}` in the schema"),
            )));
        }
        let unit = match &of_field.unit {
            Some(unit) => quote!(::core::option::Option::Some(#unit)),
            None => quote!(::core::option::Option::None),
        };
        layouts.push(quote! {
            #hidden::FieldLayout {
                name: #name,
                offset: ::core::mem::offset_of!(#struct_name, #ident),
                unit: #unit,
                ty: <#ty as #hidden::Field>::TYPE,
            }
        });
        idents.push(ident);
        field_types.push(ty);
        names.push(name);
    }
    wrong.into_result()?;

    // Each at the place that its message is about.
    let layout = quote!(&<#struct_name as #hidden::Record>::LAYOUT);
    let mut checks: Vec<TokenStream> = Vec::new();
    for (index, ident) in idents.iter().enumerate() {
        let check = quote!(const _: () = #hidden::check_field(#layout, #index););
        checks.push(placed(check, ident.span()));
    }
    let check = quote!(const _: () = #hidden::check(#layout););
    checks.push(placed(check, struct_name.span()));
    Ok(quote! {
        #[doc(hidden)]
        const _: () = {
            // SAFETY: as for `Record`.
            unsafe impl #hidden::Field for #struct_name {
                const TYPE: #hidden::TypeLayout =
                    #hidden::TypeLayout::Record(&<#struct_name as #hidden::Record>::LAYOUT);
            }

            // SAFETY: `LAYOUT` has every field of the struct, with the offset that the compiler gave it, and each of
            // them is a `Field`, of the type that it has here (see below). The checks, at compile time, find nothing between
            // them and nothing behind them; so every byte of the struct is data, any bytes are a value of it, and none
            // changes behind a shared reference.
            unsafe impl #hidden::Record for #struct_name {
                const LAYOUT: #hidden::RecordLayout = #hidden::RecordLayout {
                    name: #name,
                    size: ::core::mem::size_of::<#struct_name>(),
                    fields: &[#(#layouts),*],
                };
            }

            #(#checks)*

            // An attribute below the derive may have given the fields other types since.
            const _: fn(&#struct_name) = |value| {
                #(let _: *const #field_types = &raw const value.#idents;)*
            };
        };
    })
}

/// The same code, with messages that point elsewhere.
fn placed(code: TokenStream, place: Span) -> TokenStream {
    let token = |mut token: TokenTree| {
        if let TokenTree::Group(group) = &token {
            let inner = placed(group.stream(), place);
            token = Group::new(group.delimiter(), inner).into();
        }
        let span = place.resolved_at(token.span());
        token.set_span(span);
        token
    };
    code.into_iter().map(token).collect()
}

fn named_fields(input: &DeriveInput) -> Result<impl Iterator<Item = &syn::Field>, Error> {
    let why = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) if !fields.named.is_empty() => return Ok(fields.named.iter()),
            Fields::Named(_) | Fields::Unit => "a record without fields says nothing; give it some",
            Fields::Unnamed(_) => {
                "a record's fields need names, by which other programs find them; use a struct with named fields"
            }
        },
        Data::Enum(_) => {
            "an enum cannot be a record: a peer can write any number, and not every one is a variant; use a struct with a fixed-width integer, and constants"
        }
        Data::Union(_) => {
            "a union cannot be a record: which of its fields is valid is not in its bytes; use a struct"
        }
    };
    Err(Error::new_spanned(&input.ident, why))
}

fn check_generics(input: &DeriveInput) -> Result<(), Error> {
    if input.generics.params.is_empty() {
        return Ok(());
    }
    Err(Error::new_spanned(
        input.generics.params.to_token_stream(),
        "a record has one layout, so it has no parameters; write the struct for each type that you need",
    ))
}

/// Everything that is wrong, so that all of it is shown at once.
struct Wrong(Option<Error>);

impl Wrong {
    fn note<T>(&mut self, outcome: Result<T, Error>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(error) => {
                match &mut self.0 {
                    Some(errors) => errors.combine(error),
                    None => self.0 = Some(error),
                }
                None
            }
        }
    }

    fn into_result(self) -> Result<(), Error> {
        self.0.map_or(Ok(()), Err)
    }
}
