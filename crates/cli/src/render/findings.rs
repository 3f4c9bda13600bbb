//! What targets make of a spec: a line of summary each, then field by field.

use std::fmt::Write;

use straddle_core::{
    finding::{Finding, FindingKind, Note},
    platform::Facts,
    spec::Document,
};

use crate::style;

/// The longest path or value that its column is made for.
const COLUMN: usize = 48;

/// The width of the first column, with the space behind it.
const MARGIN: usize = 9;

/// What one target makes of a spec.
#[derive(Debug)]
pub(crate) struct Assessment<'a> {
    /// The application, with its environment where that matters.
    pub(crate) app: String,
    /// The target.
    pub(crate) target: &'a str,
    /// What does not pass exactly; what the spec accepts is marked.
    pub(crate) findings: &'a [Finding],
    /// Differences in behaviour.
    pub(crate) notes: &'a [Note],
    /// What was read or taken for granted.
    pub(crate) facts: &'a Facts,
    /// Where everything stands.
    pub(crate) document: &'a Document,
}

impl Assessment<'_> {
    fn of(&self, kind: FindingKind) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| finding.kind == kind)
    }

    fn summary(&self) -> String {
        let verdict = if self.of(FindingKind::Blocked).next().is_some() {
            style::bad("cannot run")
        } else {
            style::good("can run")
        };
        let mut words = vec![verdict];
        for kind in [FindingKind::Blocked, FindingKind::Adapted, FindingKind::Ignored] {
            let number = self.of(kind).count();
            if number > 0 {
                words.push(format!("{number} {kind}"));
            }
        }
        let accepted = self.findings.iter().filter(|finding| finding.accepted.is_some()).count();
        if accepted > 0 {
            words.push(format!("{accepted} of them accepted"));
        }
        if words.len() == 1 {
            words.push("exactly as written".to_owned());
        }
        words.join(", ")
    }
}

fn place(document: &Document, finding: &Finding) -> Option<String> {
    let place = document.place(document.locate(&finding.path)?)?;
    Some(format!("{}:{}", place.source, place.line))
}

/// Returns the summaries of all targets, and the findings of each.
///
/// `verbose` shows what is accepted, what is meant for others, and notes too.
pub(crate) fn assessments(assessments: &[Assessment<'_>], verbose: bool, width: usize) -> String {
    let heads: Vec<String> =
        assessments.iter().map(|one| format!("{} on {}:", one.app, one.target)).collect();
    let longest = heads.iter().map(|head| head.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (one, head) in assessments.iter().zip(&heads) {
        text.push_str(&format!("{head:longest$} {}\n", one.summary()));
    }
    let mut details = String::new();
    for one in assessments {
        let shown: Vec<&Finding> = one
            .findings
            .iter()
            .filter(|finding| {
                verbose || (finding.accepted.is_none() && finding.kind != FindingKind::Elsewhere)
            })
            .collect();
        let notes = if verbose { one.notes } else { &[] };
        if shown.is_empty() && notes.is_empty() {
            continue;
        }
        details.push_str(&format!("\n  {}\n", style::bold(one.target)));
        details.push_str(&rows(&shown, one.document, width));
        for note in notes {
            details.push_str(&self::note(note, width));
        }
    }
    text.push_str(&details);
    if verbose {
        for one in assessments.iter().filter(|one| one.facts.assumed && !one.facts.values.is_empty()) {
            let facts: Vec<String> =
                one.facts.values.iter().map(|(name, value)| format!("{name} {}", plain(value))).collect();
            text.push_str(&style::faint(format!(
                "\n  taken for granted on {}: {}",
                one.target,
                facts.join(", ")
            )));
            text.push('\n');
        }
    } else if assessments
        .iter()
        .any(|one| one.facts.assumed && !one.facts.values.is_empty() && !one.findings.is_empty())
    {
        let _ = writeln!(
            text,
            "\n  {}",
            style::faint("No engine was asked (--live asks); -v shows what was taken for granted.")
        );
    }
    text
}

/// Returns the findings that stop a target from running an application.
pub(crate) fn blocked(findings: &[Finding], document: &Document, width: usize) -> String {
    let blocked: Vec<&Finding> = findings.iter().filter(|finding| finding.blocks()).collect();
    rows(&blocked, document, width)
}

fn rows(findings: &[&Finding], document: &Document, width: usize) -> String {
    let mut sorted = findings.to_vec();
    sorted.sort_by_key(|finding| finding.kind);
    let rows: Vec<Row<'_>> = sorted.into_iter().map(|finding| Row::new(finding, document)).collect();
    let paths =
        rows.iter().map(|row| row.path.chars().count()).filter(|length| *length <= COLUMN).max().unwrap_or(0);
    let heads =
        rows.iter().map(|row| row.head.chars().count()).filter(|length| *length <= COLUMN).max().unwrap_or(0);
    let kinds =
        rows.iter().map(|row| row.finding.kind.to_string().len()).max().unwrap_or(0).max(MARGIN - 2) + 2;
    rows.iter().map(|row| row.render(kinds, paths, heads, width)).collect()
}

struct Row<'a> {
    finding: &'a Finding,
    path: String,
    /// What stands on the first line: the change, or a message that is short enough.
    head: String,
    /// The message, where it does not stand on the first line.
    message: Option<&'a str>,
    place: Option<String>,
}

impl<'a> Row<'a> {
    fn new(finding: &'a Finding, document: &Document) -> Self {
        let (head, message) = match &finding.change {
            Some((from, to)) => (format!("{from} → {to}"), Some(finding.message.as_str())),
            None if finding.message.chars().count() <= COLUMN => (finding.message.clone(), None),
            None => (String::new(), Some(finding.message.as_str())),
        };
        let path = document.written_path(&finding.path).to_string();
        Self { finding, path, head, message, place: place(document, finding) }
    }

    fn render(&self, kinds: usize, paths: usize, heads: usize, width: usize) -> String {
        let kind = format!("{:<kinds$}", self.finding.kind.to_string());
        let kind = match self.finding.kind {
            FindingKind::Blocked => style::bad(kind),
            FindingKind::Adapted | FindingKind::Ignored => style::warn(kind),
            FindingKind::Elsewhere => style::faint(kind),
        };
        let mut line = format!("    {kind}{:paths$}", self.path);
        if heads > 0 {
            line.push_str(&format!("   {:heads$}", self.head));
        }
        if let Some(place) = &self.place {
            line.push_str(&format!("   {}", style::faint(place)));
        }
        let mut text = format!("{}\n", line.trim_end());
        let mut below = |line: &str| {
            for line in style::wrap(line, width.saturating_sub(4 + kinds).max(40)) {
                text.push_str(&format!("    {:kinds$}{line}\n", ""));
            }
        };
        if let Some(message) = self.message {
            below(message);
        }
        if let Some(fix) = &self.finding.fix {
            below(&format!("fix: {fix}"));
        }
        if let Some(reason) = &self.finding.accepted {
            below(&format!("accepted: {reason}"));
        }
        text
    }
}

fn note(note: &Note, width: usize) -> String {
    let mut text = String::new();
    for (at, line) in style::wrap(&note.message, width.saturating_sub(4 + MARGIN).max(40)).iter().enumerate()
    {
        let margin = if at == 0 { "note" } else { "" };
        text.push_str(&format!("    {}{line}\n", style::faint(format!("{margin:<MARGIN$}"))));
    }
    text
}

fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
