//! Enums: one of some words, or a map with exactly one key.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DataEnum, Fields, Ident, Type, Variant};

use crate::{
    attributes::{Container, Member, plain, snake_case},
    structs::{short_decode, short_normalize, short_shape},
};

/// One variant with what its attributes say.
struct Case<'a> {
    name: &'a Ident,
    // `None` for a plain variant.
    ty: Option<&'a Type>,
    key: String,
    member: Member,
}

pub(crate) fn expand(name: &Ident, container: &Container, data: &DataEnum) -> syn::Result<TokenStream> {
    if container.inline.is_some() {
        return Err(syn::Error::new_spanned(name, "only a struct can have `inline`"));
    }
    let cases = data.variants.iter().map(case).collect::<syn::Result<Vec<_>>>()?;
    if cases.iter().all(|case| case.ty.is_none()) {
        return choice(name, container, &cases);
    }
    tagged(name, container, &cases)
}

fn case(variant: &Variant) -> syn::Result<Case<'_>> {
    let ty = match &variant.fields {
        Fields::Unit => None,
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => Some(&fields.unnamed[0].ty),
        other => {
            return Err(syn::Error::new_spanned(
                other,
                "a variant holds nothing or exactly one unnamed field",
            ));
        }
    };
    let member = Member::parse(&variant.attrs)?;
    if member.default.is_some() || member.flatten || member.skip {
        return Err(syn::Error::new_spanned(&variant.ident, "a variant takes only `key` and `example`"));
    }
    let key = member.key.clone().unwrap_or_else(|| snake_case(&plain(&variant.ident)));
    Ok(Case { name: &variant.ident, ty, key, member })
}

/// An enum of plain variants.
fn choice(name: &Ident, container: &Container, cases: &[Case<'_>]) -> syn::Result<TokenStream> {
    if container.short.is_some() || container.check.is_some() {
        return Err(syn::Error::new_spanned(name, "an enum of plain variants has no `short` and no `check`"));
    }
    let (doc, title) = (&container.doc, plain(name));
    let keys: Vec<_> = cases.iter().map(|case| &case.key).collect();
    let docs = cases.iter().map(|case| &case.member.doc);
    let variants: Vec<_> = cases.iter().map(|case| case.name).collect();
    let positions: Vec<_> = (0..cases.len()).collect();
    let from_position = quote! {
        |position| match position {
            #(#positions => ::core::option::Option::Some(Self::#variants),)*
            _ => ::core::option::Option::None,
        }
    };
    Ok(quote! {
        #[automatically_derived]
        impl ::straddle_core::spec::Spec for #name {
            fn decode(
                node: &::straddle_core::spec::Node,
                path: &::straddle_core::path::FieldPath,
                decoder: &mut ::straddle_core::spec::Decoder<'_>,
            ) -> ::core::option::Option<Self> {
                ::straddle_core::spec::support::choice(node, path, decoder, &[#(#keys),*]).and_then(#from_position)
            }

            fn shape() -> ::straddle_core::spec::Shape {
                ::straddle_core::spec::Shape::Choice(::straddle_core::spec::ChoiceShape {
                    name: #title,
                    id: ::core::concat!(::core::module_path!(), "::", #title),
                    doc: #doc,
                    options: ::straddle_core::spec::support::options(&[#((#keys, #docs)),*]),
                })
            }
        }

        #[automatically_derived]
        impl ::straddle_core::spec::Key for #name {
            fn parse_key(
                text: &::core::primitive::str,
            ) -> ::core::result::Result<Self, ::straddle_core::spec::ScalarError> {
                ::straddle_core::spec::support::choice_key(text, &[#(#keys),*], #from_position)
            }

            fn key_shape() -> ::straddle_core::spec::Shape {
                <Self as ::straddle_core::spec::Spec>::shape()
            }
        }
    })
}

/// An enum of which at least one variant holds a value.
fn tagged(name: &Ident, container: &Container, cases: &[Case<'_>]) -> syn::Result<TokenStream> {
    let words: Vec<_> = cases.iter().filter(|case| case.ty.is_none()).collect();
    if container.short.is_some() && !words.is_empty() {
        return Err(syn::Error::new_spanned(name, "an enum with plain variants cannot have `short`, too"));
    }
    let valued: Vec<_> = cases.iter().filter_map(|case| case.ty.map(|ty| (case, ty))).collect();
    let (doc, title) = (&container.doc, plain(name));

    let word_keys: Vec<_> = words.iter().map(|case| &case.key).collect();
    let word_docs = words.iter().map(|case| &case.member.doc);
    let word_names = words.iter().map(|case| case.name);
    let word_positions = 0..words.len();
    let keys: Vec<_> = valued.iter().map(|(case, _)| &case.key).collect();
    let types: Vec<_> = valued.iter().map(|(_, ty)| ty).collect();
    let names = valued.iter().map(|(case, _)| case.name);
    let positions = 0..valued.len();
    let docs = valued.iter().map(|(case, _)| &case.member.doc);
    let examples = valued.iter().map(|(case, _)| {
        let examples = &case.member.examples;
        quote!(&[#(#examples),*])
    });

    let check = container.check.as_ref().map_or_else(
        || quote!(value),
        |check| {
            quote!(value.and_then(|value| {
                ::straddle_core::spec::support::checked(value, path, node, decoder, #check)
            }))
        },
    );
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
                let written = ::straddle_core::spec::support::tagged(
                    node,
                    path,
                    decoder,
                    &[#(#word_keys),*],
                    &[#(#keys),*],
                )?;
                let value = match written {
                    #(::straddle_core::spec::support::Tagged::Word(#word_positions) => {
                        ::core::option::Option::Some(Self::#word_names)
                    })*
                    #(::straddle_core::spec::support::Tagged::Case(#positions, entry) => {
                        decoder.entry::<#types>(entry, &path.child(#keys)).map(Self::#names)
                    })*
                    _ => ::core::option::Option::None,
                };
                #check
            }

            fn shape() -> ::straddle_core::spec::Shape {
                ::straddle_core::spec::Shape::Tagged(::straddle_core::spec::TaggedShape {
                    name: #title,
                    id: ::core::concat!(::core::module_path!(), "::", #title),
                    doc: #doc,
                    words: ::straddle_core::spec::support::options(&[#((#word_keys, #word_docs)),*]),
                    cases: ::std::vec![#(::straddle_core::spec::Field {
                        key: #keys,
                        doc: #docs,
                        required: false,
                        default: || ::core::option::Option::None,
                        examples: #examples,
                        shape: <#types as ::straddle_core::spec::Spec>::shape,
                    }),*],
                    short: #short_shape,
                })
            }

            fn normalize(
                node: &mut ::straddle_core::spec::Node,
                name: ::core::option::Option<&::core::primitive::str>,
            ) {
                let _ = name;
                #short_normalize
                #(::straddle_core::spec::support::normalize::<#types>(node, #keys);)*
            }
        }
    })
}
