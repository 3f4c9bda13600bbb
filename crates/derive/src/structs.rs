//! Structs: maps with fixed keys, and wrappers of one value.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{FieldsNamed, Ident, Type};

use crate::attributes::{Container, Default, Member, Short, plain};

/// One field with what its attributes say.
struct Field<'a> {
    name: &'a Ident,
    ty: &'a Type,
    key: String,
    member: Member,
}

pub(crate) fn named(name: &Ident, container: &Container, fields: &FieldsNamed) -> syn::Result<TokenStream> {
    let fields = fields.named.iter().map(field).collect::<syn::Result<Vec<_>>>()?;
    let keyed: Vec<_> = fields.iter().filter(|field| !field.member.flatten && !field.member.skip).collect();
    let flat: Vec<_> = fields.iter().filter(|field| field.member.flatten).map(|field| field.ty).collect();

    let names: Vec<_> = fields.iter().map(|field| field.name).collect();
    let reads = fields.iter().map(read);
    let keys: Vec<_> = keyed.iter().map(|field| &field.key).collect();
    let is_own = if keys.is_empty() { quote!(false) } else { quote!(::core::matches!(key, #(#keys)|*)) };
    let descriptions = fields.iter().filter(|field| !field.member.skip).map(description);
    let normalize_keyed = keyed.iter().map(|field| {
        let (ty, key) = (field.ty, &field.key);
        quote!(::straddle_core::spec::support::normalize::<#ty>(node, #key);)
    });
    let built = match &container.check {
        Some(check) => quote!(reader.checked(value, #check)),
        None => quote!(::core::option::Option::Some(value)),
    };

    let (doc, title) = (&container.doc, plain(name));
    let inline_shape = container.inline.as_ref().map_or_else(
        || quote!(::core::option::Option::None),
        |inline| {
            let (key, inner) = (&inline.container, &inline.inner);
            quote!(::core::option::Option::Some(::straddle_core::spec::Inline {
                key: #key,
                shape: <#inner as ::straddle_core::spec::Spec>::shape,
            }))
        },
    );
    let inline = container.inline.as_ref().map(|inline| {
        let (key, inner) = (&inline.container, &inline.inner);
        quote! {
            ::straddle_core::spec::support::inline(
                node,
                name,
                #key,
                <Self as ::straddle_core::spec::support::StructSpec>::is_key,
                <#inner as ::straddle_core::spec::support::StructSpec>::is_key,
            );
        }
    });
    let short_shape = short_shape(container.short.as_ref());
    let short_decode = container.short.as_ref().map(short_decode);
    let short_normalize = container.short.as_ref().map(short_normalize);

    Ok(quote! {
        #[automatically_derived]
        impl ::straddle_core::spec::Spec for #name {
            fn decode(
                node: &::straddle_core::spec::Node,
                path: &::straddle_core::path::FieldPath,
                decoder: &mut ::straddle_core::spec::Decoder<'_>,
            ) -> ::core::option::Option<Self> {
                #short_decode
                ::straddle_core::spec::support::read_struct::<Self>(node, path, decoder)
            }

            fn shape() -> ::straddle_core::spec::Shape {
                ::straddle_core::spec::Shape::Struct(::straddle_core::spec::StructShape {
                    name: #title,
                    id: ::core::concat!(::core::module_path!(), "::", #title),
                    doc: #doc,
                    fields: <Self as ::straddle_core::spec::support::StructSpec>::fields(),
                    inline: #inline_shape,
                    short: #short_shape,
                })
            }

            fn normalize(
                node: &mut ::straddle_core::spec::Node,
                name: ::core::option::Option<&::core::primitive::str>,
            ) {
                let _ = name;
                #short_normalize
                #inline
                <Self as ::straddle_core::spec::support::StructSpec>::normalize_fields(node);
            }
        }

        #[automatically_derived]
        impl ::straddle_core::spec::support::StructSpec for #name {
            fn is_key(key: &::core::primitive::str) -> ::core::primitive::bool {
                #is_own #(|| <#flat as ::straddle_core::spec::support::StructSpec>::is_key(key))*
            }

            fn read(
                reader: &mut ::straddle_core::spec::support::StructReader<'_, '_, '_>,
            ) -> ::core::option::Option<Self> {
                #(let #names = #reads;)*
                let value = Self { #(#names: #names?,)* };
                #built
            }

            fn fields() -> ::std::vec::Vec<::straddle_core::spec::Field> {
                let mut fields = ::std::vec::Vec::new();
                #(#descriptions)*
                fields
            }

            fn normalize_fields(node: &mut ::straddle_core::spec::Node) {
                #(#normalize_keyed)*
                #(<#flat as ::straddle_core::spec::support::StructSpec>::normalize_fields(node);)*
            }
        }
    })
}

fn field(field: &syn::Field) -> syn::Result<Field<'_>> {
    let Some(name) = &field.ident else {
        return Err(syn::Error::new_spanned(field, "Spec needs names for fields"));
    };
    let member = Member::parse(&field.attrs)?;
    let key = member.key.clone().unwrap_or_else(|| plain(name));
    Ok(Field { name, ty: &field.ty, key, member })
}

/// Writes how a field is read; all are read before any is asked for, so that all problems are reported.
fn read(field: &Field<'_>) -> TokenStream {
    let (ty, key) = (field.ty, &field.key);
    if field.member.skip {
        return quote!(::core::option::Option::Some(<#ty as ::core::default::Default>::default()));
    }
    if field.member.flatten {
        return quote!(<#ty as ::straddle_core::spec::support::StructSpec>::read(reader));
    }
    match default(field) {
        Some(default) => quote!(reader.field_or::<#ty>(#key, || #default)),
        None => quote!(reader.field::<#ty>(#key)),
    }
}

fn default(field: &Field<'_>) -> Option<TokenStream> {
    let ty = field.ty;
    field.member.default.as_ref().map(|default| match default {
        Default::OfType => quote!(<#ty as ::core::default::Default>::default()),
        Default::Written(expression) => quote!(#expression),
    })
}

fn description(field: &Field<'_>) -> TokenStream {
    let (ty, key, doc, examples) = (field.ty, &field.key, &field.member.doc, &field.member.examples);
    if field.member.flatten {
        return quote!(fields.extend(<#ty as ::straddle_core::spec::support::StructSpec>::fields()););
    }
    let (required, default) = match default(field) {
        Some(default) => (
            quote!(false),
            quote!({
                let value: #ty = #default;
                ::straddle_core::spec::support::default_value(&value)
            }),
        ),
        None => (
            quote!(<#ty as ::straddle_core::spec::Spec>::absent().is_none()),
            quote!(::core::option::Option::None),
        ),
    };
    quote! {
        fields.push(::straddle_core::spec::Field {
            key: #key,
            doc: #doc,
            required: #required,
            default: || #default,
            examples: &[#(#examples),*],
            shape: <#ty as ::straddle_core::spec::Spec>::shape,
        });
    }
}

/// Writes what happens to a value that is not a map.
pub(crate) fn short_decode(short: &Short) -> TokenStream {
    let from = &short.from;
    let convert = if short.fallible {
        quote! {
            ::straddle_core::spec::support::converted(
                <Self as ::core::convert::TryFrom<#from>>::try_from(short),
                node,
                path,
                decoder,
            )
        }
    } else {
        quote!(::core::option::Option::Some(<Self as ::core::convert::From<#from>>::from(short)))
    };
    quote! {
        if ::straddle_core::spec::support::is_short(node) {
            let short = <#from as ::straddle_core::spec::Spec>::decode(node, path, decoder)?;
            return #convert;
        }
    }
}

/// Writes the shape of what may stand in place of a map.
pub(crate) fn short_shape(short: Option<&Short>) -> TokenStream {
    match short {
        Some(Short { from, .. }) => {
            quote!(::core::option::Option::Some(<#from as ::straddle_core::spec::Spec>::shape))
        }
        None => quote!(::core::option::Option::None),
    }
}

/// Writes how a value that is not a map is normalized.
pub(crate) fn short_normalize(short: &Short) -> TokenStream {
    let from = &short.from;
    quote! {
        if ::straddle_core::spec::support::is_short(node) {
            <#from as ::straddle_core::spec::Spec>::normalize(node, name);
            return;
        }
    }
}

pub(crate) fn transparent(
    name: &Ident,
    container: &Container,
    field: &syn::Field,
) -> syn::Result<TokenStream> {
    if container.short.is_some() || container.inline.is_some() {
        return Err(syn::Error::new_spanned(name, "a struct with one unnamed field has no short form"));
    }
    let ty = &field.ty;
    let check = container.check.as_ref().map_or_else(
        || quote!(::core::option::Option::Some(value)),
        |check| quote!(::straddle_core::spec::support::checked(value, path, node, decoder, #check)),
    );
    Ok(quote! {
        #[automatically_derived]
        impl ::straddle_core::spec::Spec for #name {
            fn decode(
                node: &::straddle_core::spec::Node,
                path: &::straddle_core::path::FieldPath,
                decoder: &mut ::straddle_core::spec::Decoder<'_>,
            ) -> ::core::option::Option<Self> {
                let value = Self(<#ty as ::straddle_core::spec::Spec>::decode(node, path, decoder)?);
                #check
            }

            fn shape() -> ::straddle_core::spec::Shape {
                <#ty as ::straddle_core::spec::Spec>::shape()
            }

            fn normalize(
                node: &mut ::straddle_core::spec::Node,
                name: ::core::option::Option<&::core::primitive::str>,
            ) {
                <#ty as ::straddle_core::spec::Spec>::normalize(node, name);
            }

            fn absent() -> ::core::option::Option<Self> {
                <#ty as ::straddle_core::spec::Spec>::absent().map(Self)
            }
        }
    })
}
