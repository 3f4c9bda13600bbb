//! The mistakes of a spec, each with the line it stands in.

use straddle_core::spec::{self, MAX_PROBLEMS, Place, Problem, Problems, Span};

use crate::style;

/// How much of a long line is shown before its mistake.
const BEFORE: usize = 40;
/// How many problems are shown in full.
const MAX_SHOWN: usize = 100;

/// Returns the line above all problems: which files have how many.
pub(crate) fn problems_title(problems: &Problems) -> String {
    let files = files(problems);
    let who = if files.is_empty() { "the spec".to_owned() } else { style::list(&files) };
    let has = if files.len() > 1 { "have" } else { "has" };
    match problems.is_complete() {
        true => format!("{who} {has} {}", style::count(problems.len(), "problem")),
        false => format!("{who} {has} {MAX_PROBLEMS} problems or more"),
    }
}

/// Returns every problem with its excerpt.
pub(crate) fn problems(problems: &Problems, width: usize) -> String {
    let mut text = format!("{} {}\n", style::bad("error:"), problems_title(problems));
    let several = files(problems).len() > 1;
    for problem in problems.into_iter().take(MAX_SHOWN) {
        text.push('\n');
        text.push_str(&one(problems, problem, several, width));
    }
    let rest = problems.len().saturating_sub(MAX_SHOWN);
    if rest > 0 {
        let at_least = if problems.is_complete() { "" } else { "at least " };
        text.push_str(&format!("\nand {at_least}{rest} more: mend these first, or see -o json\n"));
    }
    text
}

fn files(problems: &Problems) -> Vec<String> {
    let mut files: Vec<String> = Vec::new();
    for place in problems.into_iter().filter_map(|problem| problems.place(problem.span?)) {
        let name = shown(&place.source);
        if !files.contains(&name) {
            files.push(name);
        }
    }
    files
}

fn shown(source: &str) -> String {
    if source == "-" { "standard input".to_owned() } else { style::harmless(source) }
}

fn one(problems: &Problems, problem: &Problem, several: bool, width: usize) -> String {
    let place = problem.span.and_then(|span| problems.place(span));
    let Some(place) = place else {
        let mut text = format!("  {}\n", problem.message);
        if let Some(help) = &problem.help {
            text.push_str(&format!("    {help}\n"));
        }
        return text;
    };
    let file = if several { format!("{}, ", shown(&place.source)) } else { String::new() };
    let mut text =
        format!("  {file}line {}, column {}: {}\n", place.line, place.column, style::bold(&problem.message));
    text.push_str(&excerpt(&place, problem.help.as_deref(), width));
    for (span, label) in &problem.related {
        text.push_str(&related(problems, *span, label, &place, width));
    }
    text
}

fn related(problems: &Problems, span: Span, label: &str, main: &Place, width: usize) -> String {
    let Some(place) = problems.place(span) else { return String::new() };
    let file =
        if place.source == main.source { String::new() } else { format!("  {}:\n", shown(&place.source)) };
    file + &excerpt(&place, Some(label), width)
}

/// Returns a line of a file with carets under what is meant, and a few words behind them.
fn excerpt(place: &Place, words: Option<&str>, width: usize) -> String {
    let number = format!("{:>4} | ", place.line);
    let margin = format!("{:>4} | ", "");
    let room = width.saturating_sub(margin.len()).max(20);
    // Of a very long line, the place has only a part.
    let column = place.column - place.text_column;
    let length = place.text.chars().count();
    // A long line is cut around the mistake.
    let from = if length > room && column > BEFORE { column - BEFORE } else { 0 };
    let line: String = place
        .text
        .chars()
        .skip(from)
        .take(room)
        .map(|c| if spec::is_acted_on(c) { ' ' } else { c })
        .collect();
    let carets =
        "^".repeat((place.end_column - place.column).max(1).min(room.saturating_sub(column - from).max(1)));
    let indent = " ".repeat(column - from);
    let mut text = format!("{}{}\n", style::faint(&number), line.trim_end());
    text.push_str(&format!("{}{indent}{}", style::faint(&margin), style::bad(&carets)));
    let Some(words) = words else { return text + "\n" };
    if column - from + carets.len() + 1 + words.chars().count() <= room {
        return text + &format!(" {words}\n");
    }
    text.push('\n');
    for line in style::wrap(words, room) {
        text.push_str(&format!("{}{line}\n", style::faint(&margin)));
    }
    text
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;
    use straddle_core::{model::AppSpec, spec};

    fn shown(text: &str, width: usize) -> String {
        let found = spec::from_yaml::<AppSpec>(text).unwrap_err();
        strip_str(&super::problems(&found, width)).to_string()
    }

    #[test]
    fn every_problem_has_its_line() {
        insta::assert_snapshot!(shown(
            "app: shop\nservices:\n  web:\n    image: shop/web:1\n    replica: 3\n    resources: {memory: 512M}\n",
            100
        ));
    }

    #[test]
    fn a_key_that_stands_twice_shows_both() {
        insta::assert_snapshot!(shown("app: shop\napp: shop\nservices: {web: {image: a}}\n", 100));
    }

    #[test]
    fn a_long_line_is_cut_around_the_mistake() {
        let line = format!(
            "services: {{web: {{image: a, env: {{LONG: {}}}, replica: 3, command: [{}]}}}}",
            "x".repeat(200),
            "y".repeat(200)
        );
        insta::assert_snapshot!(shown(&format!("app: shop\n{line}\n"), 80));
    }

    #[test]
    fn very_many_are_counted() {
        let items = |count: usize| "x, ".repeat(count);
        let text = |count| format!("app: shop\nservices: {{web: {{image: a, ports: [{}]}}}}\n", items(count));
        let few = shown(&text(103), 100);
        assert!(
            few.starts_with("error: - has 103 problems")
                || few.starts_with("error: standard input has 103 problems"),
            "{few}"
        );
        assert!(few.ends_with("\nand 3 more: mend these first, or see -o json\n"), "{few}");
        let many = shown(&text(5000), 100);
        assert!(many.contains("has 1000 problems or more"), "{many}");
        assert!(many.ends_with("\nand at least 900 more: mend these first, or see -o json\n"), "{many}");
    }
}
