//! Reading specs: one derive gives the decoder, the JSON Schema and the list of all fields.
//!
//! A spec is read in steps: [`load`] parses its sources (YAML, TOML or JSON), merges them in order, fills in
//! variables, and decodes the result into a type that implements [`Spec`](trait@Spec). Every problem of every step is
//! collected in [`Problems`], with file, line, column, field and what to write instead.
//!
//! ```
//! use straddle_core::spec::{self, Spec};
//!
//! /// A greeting.
//! #[derive(Debug, PartialEq, Spec)]
//! struct Greeting {
//!     /// Whom to greet.
//!     name: String,
//!     /// How often.
//!     #[spec(default = 1)]
//!     times: u32,
//! }
//!
//! let greeting: Greeting = spec::from_yaml("name: Ada").unwrap();
//! assert_eq!(greeting, Greeting { name: "Ada".into(), times: 1 });
//!
//! let problems = spec::from_yaml::<Greeting>("name: no\ntimse: 2").unwrap_err();
//! assert_eq!(
//!     problems.to_string(),
//!     "-:1:7: `no` is a string in YAML 1.2 and a boolean in YAML 1.1 (name): write `\"no\"`\n\
//!      -:2:1: unknown key `timse` (timse): did you mean `times`?"
//! );
//! ```

mod builtin;
mod decode;
mod document;
mod files;
mod gaps;
mod hint;
mod interpolate;
mod json;
mod leaf;
mod merge;
mod node;
mod problem;
mod scalar;
mod schema;
mod shape;
mod source;
#[doc(hidden)]
pub mod support;
mod template;
#[cfg(test)]
mod tests;
mod text;
mod toml;
mod trap;
mod tree;
mod yaml;

pub use straddle_derive::Spec;

pub use self::{
    decode::{Decoder, Spec},
    document::{Document, Inputs, Loaded, from_yaml, load},
    files::{DiskFiles, Files, NoFiles},
    interpolate::{Layered, NoVariables, Variables},
    leaf::{Leaf, LeafSegment, check, leaves},
    node::{Entry, KeyNode, Map, Node, Style, Value},
    problem::{MAX_PROBLEMS, Problem, Problems, code, is_acted_on},
    scalar::{Accepts, Key, Scalar, ScalarError, decode_scalar, scalar_shape, serialize_scalar},
    schema::schema,
    shape::{ChoiceOption, ChoiceShape, Field, Inline, ScalarShape, Shape, StructShape, TaggedShape},
    source::{Format, MAX_SOURCE_BYTES, Place, Source, SourceId, Sources, Span},
    template::{Address, Part, Template},
    text::Text,
};
pub(crate) use self::{document::Steps, gaps::Basis, text::escaped};
pub use crate::spec_scalar;

/// Quotes what the user wrote, on one line and not too long.
pub(crate) fn show(text: &str) -> String {
    const MAX_CHARACTERS: usize = 60;
    let mut shown: String = text.chars().take(MAX_CHARACTERS).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    if shown.contains(char::is_control) {
        shown = shown.escape_debug().to_string();
    }
    // A backtick inside would end the quotation.
    if shown.contains('`') { format!("\"{shown}\"") } else { format!("`{shown}`") }
}
