//! How things look: colours, signs and lengths of time.

use std::{fmt::Display, time::Duration};

use anstyle::{AnsiColor, Style};
use straddle_core::spec::is_acted_on;

const BOLD: Style = Style::new().bold();
const FAINT: Style = Style::new().dimmed();
const GREEN: Style = AnsiColor::Green.on_default();
const RED: Style = AnsiColor::Red.on_default();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const CYAN: Style = AnsiColor::Cyan.on_default();

/// The colours by which replicas are told apart.
const REPLICAS: [AnsiColor; 6] = [
    AnsiColor::Cyan,
    AnsiColor::Yellow,
    AnsiColor::Green,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::BrightCyan,
];

fn paint(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Makes a text stand out.
pub(crate) fn bold(text: impl Display) -> String {
    paint(BOLD, text)
}

/// Makes a text stand back.
pub(crate) fn faint(text: impl Display) -> String {
    paint(FAINT, text)
}

/// Marks what is good or new.
pub(crate) fn good(text: impl Display) -> String {
    paint(GREEN, text)
}

/// Marks what is wrong or goes away.
pub(crate) fn bad(text: impl Display) -> String {
    paint(RED, text)
}

/// Marks what changes or wants a look.
pub(crate) fn warn(text: impl Display) -> String {
    paint(YELLOW, text)
}

/// Marks a name or a value to copy.
pub(crate) fn name(text: impl Display) -> String {
    paint(CYAN, text)
}

/// Marks a text by the replica that it belongs to; the same one always looks the same.
pub(crate) fn replica(replica: &str, text: impl Display) -> String {
    let at = replica.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
    paint(REPLICAS[at % REPLICAS.len()].on_default(), text)
}

/// Writes the signs that we use with plain characters, for terminals that have no others.
pub(crate) fn ascii(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '✓' => plain.push_str("ok"),
            '✗' => plain.push_str("!!"),
            '→' => plain.push_str("->"),
            '×' => plain.push('x'),
            '–' | '—' => plain.push('-'),
            '…' => plain.push_str("..."),
            '·' => plain.push('|'),
            '≥' => plain.push_str(">="),
            '≤' => plain.push_str("<="),
            other => plain.push(other),
        }
    }
    plain
}

/// Writes a length of time: seconds with one decimal under a minute, then minutes and seconds.
pub(crate) fn seconds(duration: Duration) -> String {
    // What is shown as a full minute is one.
    if duration < Duration::from_millis(59_950) {
        return format!("{:.1}s", duration.as_secs_f64());
    }
    let seconds = duration.as_secs_f64().round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, minutes, seconds) => format!("{minutes}m{seconds:02}s"),
        (hours, minutes, _) => format!("{hours}h{minutes:02}m"),
    }
}

/// Writes a number with its noun.
pub(crate) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// Joins words as a sentence does: `a`, `a and b`, `a, b and c`.
pub(crate) fn list(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

/// Writes what a terminal would act on as its code.
pub(crate) fn harmless(text: &str) -> String {
    text.chars()
        .map(|c| if is_acted_on(c) { c.escape_unicode().to_string() } else { c.to_string() })
        .collect()
}

/// Cuts a text that is too long to be read at a glance.
pub(crate) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// Breaks a text into lines of at most so many characters, at spaces.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        let shown = |millis| seconds(Duration::from_millis(millis));
        assert_eq!([shown(0), shown(149), shown(4200), shown(59_949)], ["0.0s", "0.1s", "4.2s", "59.9s"]);
        assert_eq!([shown(59_960), shown(61_000), shown(3_660_000)], ["1m00s", "1m01s", "1h01m"]);
    }

    #[test]
    fn signs_have_plain_twins() {
        assert_eq!(ascii("✓ web ×3 → http://h"), "ok web x3 -> http://h");
        assert_eq!(ascii("ä"), "ä");
    }

    #[test]
    fn lists_read_like_sentences() {
        let words = |words: &[&str]| list(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(
            [words(&["a"]), words(&["a", "b"]), words(&["a", "b", "c"])],
            ["a", "a and b", "a, b and c"]
        );
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!((count(1, "step"), count(0, "step")), ("1 step".to_owned(), "0 steps".to_owned()));
    }
}
