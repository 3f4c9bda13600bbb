//! What the errors of the parser mean.

/// Puts an error of the parser in our words, where we have better ones.
pub(super) fn explain(info: &str) -> (String, Option<String>) {
    let known: &[(&str, &str, &str)] = &[
        (
            "mapping values are not allowed",
            "a `:` is not expected here",
            "check the indentation; quote a text that holds `: `",
        ),
        ("simple key expect", "a `:` is expected after this key", "write `key: value`"),
        ("simple key expected", "a key is expected here", "check the indentation of this line"),
        ("tab", "a tab is used as indentation", "indent with spaces"),
        (
            "unknown anchor",
            "this alias repeats nothing",
            "an anchor (`&name`) must stand before its alias (`*name`)",
        ),
        ("did not find expected key", "a key is expected here", "keys of one map begin in the same column"),
        (
            "did not find expected '-' indicator",
            "a `-` is expected here",
            "items of one list begin in the same column",
        ),
        ("expected ',' or ']'", "a `,` or `]` is expected here", "close the list that begins with `[`"),
        ("expected ',' or '}'", "a `,` or `}` is expected here", "close the map that begins with `{`"),
        ("unexpected end of stream", "the file ends inside a quoted text", "close the quotation"),
        (
            "unknown escape character",
            "this escape is not known",
            "write `\\\\` for a backslash, or use single quotes",
        ),
        (
            "invalid indentation",
            "the indentation does not fit",
            "indent further than the line that it belongs to",
        ),
        (
            "did not find expected node content",
            "a value is expected here",
            "quote a text that begins with a special character",
        ),
        ("unexpected character", "this character cannot begin a value", "quote the text"),
    ];
    match known.iter().find(|(part, ..)| info.contains(part)) {
        Some((_, message, help)) => ((*message).to_owned(), Some((*help).to_owned())),
        None => (info.to_owned(), None),
    }
}
