//! What a target makes of what was written: findings by field, and notes about the target itself.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, ErrorKind, Result},
    model::Acceptance,
    path::{FieldPath, PathPattern},
};

/// How a target treats a field. What it takes exactly has no finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// The target cannot run it as written: leaving it out would change results, security or durability.
    Blocked,
    /// It becomes something close to it.
    Adapted,
    /// It is a hint that has no effect there.
    Ignored,
    /// It is meant for another target; never counts.
    Elsewhere,
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Blocked => "blocked",
            Self::Adapted => "adapted",
            Self::Ignored => "ignored",
            Self::Elsewhere => "elsewhere",
        })
    }
}

/// What a target makes of one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The stable code, `<backend>/<what>`.
    pub code: Cow<'static, str>,
    /// How the target treats it.
    pub kind: FindingKind,
    /// The field.
    pub path: FieldPath,
    /// What happens, and why.
    pub message: String,
    /// What is written and what it becomes, where that is a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<(String, String)>,
    /// What to write instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// Why it is accepted, where the spec accepts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<String>,
}

impl Finding {
    /// Makes a finding.
    #[must_use]
    pub fn new(kind: FindingKind, code: &'static str, path: FieldPath, message: impl Into<String>) -> Self {
        Self {
            code: Cow::Borrowed(code),
            kind,
            path,
            message: message.into(),
            change: None,
            fix: None,
            accepted: None,
        }
    }

    /// Sets what is written and what it becomes.
    #[must_use]
    pub fn with_change(mut self, from: impl fmt::Display, to: impl fmt::Display) -> Self {
        self.change = Some((from.to_string(), to.to_string()));
        self
    }

    /// Sets what to write instead.
    #[must_use]
    pub fn with_fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// Returns whether it stops the target from running the application; what blocks cannot be accepted away.
    #[must_use]
    pub fn blocks(&self) -> bool {
        self.kind == FindingKind::Blocked
    }

    /// Returns the error of an operation that it stops.
    #[must_use]
    pub fn to_error(&self) -> Error {
        let error = Error::new(ErrorKind::Blocked, format!("{}: {}", self.path, self.message))
            .with_context("code", self.code.clone());
        match &self.fix {
            Some(fix) => error.with_help(fix.clone()),
            None => error,
        }
    }

    /// Returns whether `--strict` fails on it.
    #[must_use]
    pub fn counts(&self) -> bool {
        match self.kind {
            FindingKind::Blocked => true,
            FindingKind::Adapted | FindingKind::Ignored => self.accepted.is_none(),
            FindingKind::Elsewhere => false,
        }
    }
}

/// Lets an operation go on unless a finding stops it.
///
/// # Errors
///
/// [`Blocked`](ErrorKind::Blocked) with the field, the reason and the fix of the first finding that does.
pub fn refuse_blocked<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Result<()> {
    match findings.into_iter().find(|finding| finding.blocks()) {
        Some(finding) => Err(finding.to_error()),
        None => Ok(()),
    }
}

/// Marks the findings that the spec accepts, and returns the acceptances that met nothing.
///
/// A path is matched as it is kept inside; a path in short form is made long by whoever knows the document.
pub fn accept<'a>(findings: &mut [Finding], accepted: &'a [Acceptance]) -> Vec<&'a Acceptance> {
    let mut unused = Vec::new();
    for acceptance in accepted {
        let pattern = acceptance.path.as_deref().map(str::parse::<PathPattern>);
        let mut met = false;
        for finding in findings.iter_mut().filter(|finding| finding.code == acceptance.code) {
            let matches = match &pattern {
                None => true,
                Some(Ok(pattern)) => pattern.matches(&finding.path),
                Some(Err(_)) => false,
            };
            if matches && finding.kind != FindingKind::Blocked {
                finding.accepted = Some(acceptance.reason.clone());
                met = true;
            }
        }
        if !met {
            unused.push(acceptance);
        }
    }
    unused
}

/// A difference in behaviour that no field asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The stable code.
    pub code: Cow<'static, str>,
    /// What is different there.
    pub message: String,
}

impl Note {
    /// Makes a note.
    #[must_use]
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code: Cow::Borrowed(code), message: message.into() }
    }
}
