//! The one thing that the YAML parser knows no bounds of: lines that hold very much.

use crate::spec::{
    problem::{Problem, code},
    source::{SourceId, Span},
};

/// How many `,`, `:` and brackets one line may have: until its end the parser keeps all that it found in it, since a `:` behind a bracket
/// would make a key of everything before.
const MAX_MARKS: usize = 400_000;

/// Finds a line that holds more than is read. What stands in quotes or in a block of text does not count.
pub(super) fn crowded(text: &str, source: SourceId) -> Option<Problem> {
    let (mut start, mut block) = (0, None);
    for line in text.split_inclusive('\n') {
        let indent = line.len() - line.trim_start_matches(' ').len();
        let content = line.trim();
        if block.is_some_and(|outer| indent > outer || content.is_empty()) {
            start += line.len();
            continue;
        }
        block = begins_block(content).then_some(indent);
        if line.len() > MAX_MARKS
            && let Some(at) = too_far(line)
        {
            let span = Span::new(source, start + at, start + at + 1);
            return Some(
                Problem::new(code::LIMIT, "this line holds more values than are read of one line")
                    .at(span)
                    .with_help("break it into lines, or write the spec in JSON"),
            );
        }
        start += line.len();
    }
    None
}

/// Tells whether the lines below are a text: `key: |`.
fn begins_block(line: &str) -> bool {
    let last = line.rsplit(' ').next().unwrap_or_default();
    let head = last.trim_end_matches(|c: char| c.is_ascii_digit() || c == '+' || c == '-');
    head == "|" || head == ">"
}

/// Returns where a line has had enough.
fn too_far(line: &str) -> Option<usize> {
    let (mut marks, mut quote, mut may_begin, mut escaped) = (0, None, true, false);
    for (at, byte) in line.bytes().enumerate() {
        match (quote, byte) {
            _ if escaped => escaped = false,
            (Some(b'"'), b'\\') => escaped = true,
            (Some(open), byte) if open == byte => quote = None,
            (Some(_), _) | (None, b' ') => {}
            (None, b'"' | b'\'') if may_begin => quote = Some(byte),
            (None, b',' | b':' | b'[' | b']' | b'{' | b'}') => {
                marks += 1;
                if marks > MAX_MARKS {
                    return Some(at);
                }
                may_begin = true;
            }
            (None, byte) => may_begin = byte == b'-',
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_values_count() {
        let many = "a, ".repeat(MAX_MARKS + 1);
        let place =
            |text: &str| crowded(text, SourceId::default()).map(|problem| problem.span.unwrap().start());
        assert_eq!(place(&format!("a: 1\nb: [{many}]")), Some(5 + 4 + (MAX_MARKS - 2) * 3 + 1));
        for text in [
            format!("a: \"{many}\"\n"),
            format!("a: ['{many}', b]\n"),
            format!("a: |\n  {many}\n\n  {many}\n"),
            format!("- >-\n {many}\n"),
            format!("a: [{}]", many.replace(' ', "\n")),
        ] {
            assert_eq!(place(&text), None);
        }
        assert!(place(&format!("a: |\n  x\nb: [{many}]")).is_some());
    }
}
