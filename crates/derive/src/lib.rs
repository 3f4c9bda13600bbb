//! Derive macro that reads a model type from a spec and describes its shape.
//!
//! It is re-exported as `straddle_core::spec::Spec`, and what it writes needs that crate.

mod attributes;
mod enums;
mod structs;

use proc_macro::TokenStream;
use syn::{Data, DeriveInput, Fields, parse_macro_input};

use crate::attributes::Container;

/// Derives `straddle_core::spec::Spec`: the decoder, the rewriting of short forms and the shape of a type.
///
/// - A struct with named fields is a map. Doc comments become descriptions. An `Option` may be absent; every other field
///   must be there, unless it has a default.
/// - A struct with one unnamed field is read like that field.
/// - An enum of plain variants is one of some words, in `snake_case`; it can also be the key of a map.
/// - An enum with one-field variants is a map with exactly one key. Plain variants among them are words.
///
/// Attributes of the type, all in `#[spec(...)]`:
/// - `short = Type`: what is not a map is read as `Type` and converted with `From`; `short_try = Type` with `TryFrom`, whose
///   error converts to a `ScalarError`.
/// - `inline(container = "containers", type = Container)`: the keys of `Container` may stand directly in this struct, for the
///   only container, which then has the name of the struct's own key.
/// - `check = function`: a `fn(&Self, &FieldPath, &Node, &mut Decoder<'_>)` that is called after a successful read.
///
/// Attributes of fields and variants:
/// - `key = "..."`: the key or word, where it is not the name.
/// - `example = "..."`: a valid value as YAML; repeatable.
/// - `default` or `default = expression`: the value of an absent key.
/// - `flatten`: the keys of the field's struct stand among those of this one.
/// - `skip`: not part of the spec; made with `Default`.
#[proc_macro_derive(Spec, attributes(spec))]
pub fn derive_spec(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}

fn expand(input: &DeriveInput) -> syn::Result<proc_macro2::TokenStream> {
    if let Some(parameter) = input.generics.params.first() {
        return Err(syn::Error::new_spanned(parameter, "Spec cannot be derived for a generic type"));
    }
    let container = Container::parse(&input.attrs)?;
    match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => structs::named(&input.ident, &container, fields),
            Fields::Unnamed(fields) if fields.unnamed.len() == 1 => {
                structs::transparent(&input.ident, &container, &fields.unnamed[0])
            }
            other => {
                Err(syn::Error::new_spanned(other, "Spec needs named fields or exactly one unnamed field"))
            }
        },
        Data::Enum(data) => enums::expand(&input.ident, &container, data),
        Data::Union(data) => {
            Err(syn::Error::new(data.union_token.span, "Spec cannot be derived for a union"))
        }
    }
}
