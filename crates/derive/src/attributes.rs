//! What stands in `#[spec(...)]` and in doc comments.

use syn::{
    Attribute, Expr, ExprLit, Ident, Lit, LitStr, Meta, Path, Type, ext::IdentExt, meta::ParseNestedMeta,
};

/// The attributes of a type.
pub(crate) struct Container {
    pub(crate) doc: String,
    pub(crate) short: Option<Short>,
    pub(crate) inline: Option<Inline>,
    pub(crate) check: Option<Path>,
}

/// What may be written instead of a map.
pub(crate) struct Short {
    pub(crate) from: Type,
    pub(crate) fallible: bool,
}

/// The map whose only value may be written without its key.
pub(crate) struct Inline {
    pub(crate) container: LitStr,
    pub(crate) inner: Type,
}

impl Container {
    pub(crate) fn parse(attributes: &[Attribute]) -> syn::Result<Self> {
        let mut parsed = Self { doc: doc(attributes), short: None, inline: None, check: None };
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("spec")) {
            attribute.parse_nested_meta(|meta| parsed.one(&meta))?;
        }
        Ok(parsed)
    }

    fn one(&mut self, meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
        if meta.path.is_ident("short") {
            self.short = Some(Short { from: meta.value()?.parse()?, fallible: false });
        } else if meta.path.is_ident("short_try") {
            self.short = Some(Short { from: meta.value()?.parse()?, fallible: true });
        } else if meta.path.is_ident("check") {
            self.check = Some(meta.value()?.parse()?);
        } else if meta.path.is_ident("inline") {
            let (mut container, mut inner) = (None, None);
            meta.parse_nested_meta(|meta| {
                if meta.path.is_ident("container") {
                    container = Some(meta.value()?.parse()?);
                } else if meta.path.is_ident("type") {
                    inner = Some(meta.value()?.parse()?);
                } else {
                    return Err(meta.error("expected `container` or `type`"));
                }
                Ok(())
            })?;
            let (Some(container), Some(inner)) = (container, inner) else {
                return Err(meta.error("inline needs `container = \"...\"` and `type = ...`"));
            };
            self.inline = Some(Inline { container, inner });
        } else {
            return Err(meta.error("expected `short`, `short_try`, `inline` or `check`"));
        }
        Ok(())
    }
}

/// The attributes of a field or variant.
pub(crate) struct Member {
    pub(crate) doc: String,
    pub(crate) key: Option<String>,
    pub(crate) examples: Vec<LitStr>,
    pub(crate) default: Option<Default>,
    pub(crate) flatten: bool,
    pub(crate) skip: bool,
}

/// The value of an absent key.
pub(crate) enum Default {
    OfType,
    Written(Box<Expr>),
}

impl Member {
    pub(crate) fn parse(attributes: &[Attribute]) -> syn::Result<Self> {
        let mut parsed = Self {
            doc: doc(attributes),
            key: None,
            examples: Vec::new(),
            default: None,
            flatten: false,
            skip: false,
        };
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("spec")) {
            attribute.parse_nested_meta(|meta| parsed.one(&meta))?;
        }
        Ok(parsed)
    }

    fn one(&mut self, meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
        if meta.path.is_ident("key") {
            self.key = Some(meta.value()?.parse::<LitStr>()?.value());
        } else if meta.path.is_ident("example") {
            self.examples.push(meta.value()?.parse()?);
        } else if meta.path.is_ident("default") {
            self.default = Some(match meta.value() {
                Ok(value) => Default::Written(Box::new(value.parse()?)),
                Err(_) => Default::OfType,
            });
        } else if meta.path.is_ident("flatten") {
            self.flatten = true;
        } else if meta.path.is_ident("skip") {
            self.skip = true;
        } else {
            return Err(meta.error("expected `key`, `example`, `default`, `flatten` or `skip`"));
        }
        Ok(())
    }
}

/// Returns the name without the `r#` of a raw identifier.
pub(crate) fn plain(name: &Ident) -> String {
    name.unraw().to_string()
}

/// Writes the name of a variant in snake case, as serde does.
pub(crate) fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for (position, c) in name.char_indices() {
        if position > 0 && c.is_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

/// Joins the lines of doc comments; blank lines separate paragraphs.
fn doc(attributes: &[Attribute]) -> String {
    let mut text = String::new();
    for attribute in attributes {
        let Meta::NameValue(pair) = &attribute.meta else { continue };
        let Expr::Lit(ExprLit { lit: Lit::Str(line), .. }) = &pair.value else { continue };
        if !pair.path.is_ident("doc") {
            continue;
        }
        let line = line.value();
        let line = line.trim();
        match (line.is_empty(), text.is_empty() || text.ends_with('\n')) {
            (true, true) => {}
            (true, false) => text.push_str("\n\n"),
            (false, true) => text.push_str(line),
            (false, false) => {
                text.push(' ');
                text.push_str(line);
            }
        }
    }
    text.trim_end().to_owned()
}
