//! Where a value stands in a spec: `services.web.containers.web.env.LOG`.

use std::{fmt, str::FromStr, sync::Arc};

use crate::spec::{Accepts, Scalar, ScalarError, spec_scalar};

/// More segments than any spec can hold; keeps a path that somebody wrote small.
const MAX_SEGMENTS: usize = 256;

/// One step of a [`FieldPath`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// A key of a map.
    Key(Arc<str>),
    /// A position in a list, counted from zero.
    Index(usize),
}

/// The way from the root of a spec to one of its values.
///
/// Shown as `services.web.expose[0].host`; a key with other characters than letters, digits, `_` and `-` is shown as `["a.b"]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath(Vec<Segment>);

impl FieldPath {
    /// Returns the path of the root itself.
    #[must_use]
    pub const fn root() -> Self {
        Self(Vec::new())
    }

    /// Returns the path of a key below this one.
    #[must_use]
    pub fn child(&self, key: impl Into<Arc<str>>) -> Self {
        self.with(Segment::Key(key.into()))
    }

    /// Returns the path of a list item below this one.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.with(Segment::Index(index))
    }

    /// Returns the path one step below this one.
    #[must_use]
    pub fn with(&self, segment: Segment) -> Self {
        let mut segments = Vec::with_capacity(self.0.len() + 1);
        segments.extend_from_slice(&self.0);
        segments.push(segment);
        Self(segments)
    }

    /// Returns the steps from the root.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Returns the last step, `None` at the root.
    #[must_use]
    pub fn last(&self) -> Option<&Segment> {
        self.0.last()
    }

    /// Returns the last key, skipping list positions.
    #[must_use]
    pub fn last_key(&self) -> Option<&str> {
        self.0.iter().rev().find_map(|segment| match segment {
            Segment::Key(key) => Some(&**key),
            Segment::Index(_) => None,
        })
    }

    /// Returns the path one step above, `None` at the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0.split_last().map(|(_, rest)| Self(rest.to_vec()))
    }

    /// Tells whether this is the root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Tells whether `other` is this path or one above it.
    #[must_use]
    pub fn starts_with(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }
}

impl FromIterator<Segment> for FieldPath {
    fn from_iter<I: IntoIterator<Item = Segment>>(segments: I) -> Self {
        Self(segments.into_iter().collect())
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Key(key) => write_key(f, position, key)?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl FromStr for FieldPath {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let step = |step| match step {
            Step::Segment(segment) => Ok(segment),
            Step::Any | Step::AnyIndex => {
                Err(ScalarError::new(format!("`{text}` names many fields, where one is expected")))
            }
        };
        parse(text)?.into_iter().map(step).collect::<Result<_, _>>().map(Self)
    }
}

impl Scalar for FieldPath {
    const NAME: &'static str = "FieldPath";
    const DESCRIPTION: &'static str = "The path of a field, such as `services.web.expose[0].host`.";
    const PATTERN: Option<&'static str> = None;
    const EXAMPLES: &'static [&'static str] = &["services.web.replicas", "services.web.expose[0].host"];
    const ACCEPTS: Accepts = Accepts::STRING;
}
spec_scalar!(FieldPath);

/// A path with gaps: `*` stands for any one step and `[*]` for any list position, as in `services.*.expose[*]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathPattern(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Step {
    Segment(Segment),
    Any,
    AnyIndex,
}

impl PathPattern {
    /// Tells whether the pattern describes this very path (not one above or below it).
    #[must_use]
    pub fn matches(&self, path: &FieldPath) -> bool {
        self.0.len() == path.0.len() && self.begins(path)
    }

    /// Tells whether the pattern describes this path or one above it.
    #[must_use]
    pub fn covers(&self, path: &FieldPath) -> bool {
        self.0.len() <= path.0.len() && self.begins(path)
    }

    /// Returns the one path that a pattern without gaps describes.
    #[must_use]
    pub fn as_path(&self) -> Option<FieldPath> {
        let segment = |step: &Step| match step {
            Step::Segment(segment) => Some(segment.clone()),
            Step::Any | Step::AnyIndex => None,
        };
        self.0.iter().map(segment).collect()
    }

    fn begins(&self, path: &FieldPath) -> bool {
        self.0.iter().zip(&path.0).all(|(step, segment)| match step {
            Step::Segment(expected) => expected == segment,
            Step::Any => true,
            Step::AnyIndex => matches!(segment, Segment::Index(_)),
        })
    }
}

impl From<FieldPath> for PathPattern {
    fn from(path: FieldPath) -> Self {
        Self(path.0.into_iter().map(Step::Segment).collect())
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Segment(Segment::Key(key)) => write_key(f, position, key)?,
                Step::Segment(Segment::Index(index)) => write!(f, "[{index}]")?,
                Step::Any if position == 0 => f.write_str("*")?,
                Step::Any => f.write_str(".*")?,
                Step::AnyIndex => f.write_str("[*]")?,
            }
        }
        Ok(())
    }
}

impl FromStr for PathPattern {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        parse(text).map(Self)
    }
}

impl Scalar for PathPattern {
    const NAME: &'static str = "PathPattern";
    const DESCRIPTION: &'static str =
        "The path of a field; `*` stands for any one step and `[*]` for any list position.";
    const PATTERN: Option<&'static str> = None;
    const EXAMPLES: &'static [&'static str] = &["services.web.resources", "services.*.expose[*]"];
    const ACCEPTS: Accepts = Accepts::STRING;
}
spec_scalar!(PathPattern);

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

fn write_key(f: &mut fmt::Formatter<'_>, position: usize, key: &str) -> fmt::Result {
    if key.is_empty() || !key.chars().all(is_plain) {
        let quoted = serde_json::to_string(key).map_err(|_| fmt::Error)?;
        write!(f, "[{quoted}]")
    } else if position == 0 {
        f.write_str(key)
    } else {
        write!(f, ".{key}")
    }
}

fn parse(text: &str) -> Result<Vec<Step>, ScalarError> {
    let bad = |why: &str| {
        ScalarError::new(format!("`{}` is not a field path: {why}", text.escape_debug()))
            .with_help("write it like `services.web.expose[0].host`, and a key with dots as `[\"a.b\"]`")
    };
    let mut steps = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if steps.len() == MAX_SEGMENTS {
            return Err(bad("it has too many steps"));
        }
        if let Some(inner) = rest.strip_prefix('[') {
            let (step, after) =
                bracket(inner).ok_or_else(|| bad("a `[` needs a number, `*` or a quoted key, and a `]`"))?;
            steps.push(step);
            rest = after;
            continue;
        }
        let key = match rest.strip_prefix('.') {
            Some(key) if !steps.is_empty() => key,
            None if steps.is_empty() => rest,
            Some(_) => return Err(bad("it begins with a dot")),
            None => return Err(bad("after `]` comes a dot or another `[`")),
        };
        if let Some(after) = key.strip_prefix('*') {
            steps.push(Step::Any);
            rest = after;
            continue;
        }
        let end = key.find(|c| !is_plain(c)).unwrap_or(key.len());
        let (name, after) = key.split_at(end);
        if name.is_empty() {
            return Err(bad("a key is missing or holds a character that needs quotes"));
        }
        steps.push(Step::Segment(Segment::Key(name.into())));
        rest = after;
    }
    Ok(steps)
}

/// Reads what follows a `[`; returns the step and what follows its `]`.
fn bracket(inner: &str) -> Option<(Step, &str)> {
    if let Some(after) = inner.strip_prefix("*]") {
        return Some((Step::AnyIndex, after));
    }
    if inner.starts_with('"') {
        let end = closing_quote(inner)?;
        let key: String = serde_json::from_str(&inner[..=end]).ok()?;
        return Some((Step::Segment(Segment::Key(key.into())), inner[end + 1..].strip_prefix(']')?));
    }
    let (digits, after) = inner.split_once(']')?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((Step::Segment(Segment::Index(digits.parse().ok()?)), after))
}

/// Finds the quote that ends the JSON string at the start of `text`.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().enumerate().skip(1).find_map(|(position, byte)| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends.then_some(position)
    })
}

impl<'de> serde::Deserialize<'de> for FieldPath {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text: std::borrow::Cow<'de, str> = serde::Deserialize::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> FieldPath {
        text.parse().unwrap()
    }

    #[test]
    fn paths_show_as_they_are_read() {
        for text in
            ["", "app", "services.web.expose[0].host", r#"services.web.labels["a.b"]"#, r#"["a\"]"][2][3].x"#]
        {
            assert_eq!(path(text).to_string(), text);
        }
        assert_eq!(path("a.b").child("c d").index(1).to_string(), r#"a.b["c d"][1]"#);
        assert_eq!(path(r#"["app"]"#), path("app"));
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in [".a", "a.", "a..b", "a b", "a[", "a[x]", "a[0", "a[0]b", r#"a["b]"#, "a[-1]", "a.*", "ä"]
        {
            assert!(text.parse::<FieldPath>().is_err(), "{text}");
        }
        let long = "a.".repeat(1000) + "a";
        assert!(long.parse::<FieldPath>().is_err());
    }

    #[test]
    fn prefixes() {
        assert!(path("a.b[0]").starts_with(&path("a.b")));
        assert!(!path("a.bc").starts_with(&path("a.b")));
        assert_eq!(path("a.b[0]").last_key(), Some("b"));
        assert_eq!(path("a[0]").parent(), Some(path("a")));
    }

    #[test]
    fn patterns() {
        let pattern: PathPattern = "services.*.expose[*]".parse().unwrap();
        assert!(pattern.matches(&path("services.web.expose[0]")));
        assert!(!pattern.matches(&path("services.web.expose[0].host")));
        assert!(pattern.covers(&path("services.web.expose[0].host")));
        assert!(!pattern.matches(&path("services.web.expose.x")));
        assert_eq!(pattern.to_string(), "services.*.expose[*]");
        assert_eq!(pattern.as_path(), None);
        assert!("*.b".parse::<PathPattern>().unwrap().matches(&path("a.b")));
        assert_eq!(PathPattern::from(path("a[0]")).as_path(), Some(path("a[0]")));
        assert!(!r#"["*"]"#.parse::<PathPattern>().unwrap().matches(&path("a")));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_keys_survive(keys in prop::collection::vec(".{0,6}", 0..5)) {
            let path = keys.iter().fold(FieldPath::root(), |path, key| path.child(key.as_str()).index(key.len()));
            prop_assert_eq!(path.to_string().parse::<FieldPath>().unwrap(), path);
        }

        #[test]
        fn any_text_is_read_or_refused(text in r#"[a-c.\[\]"\\*0-9 ]{0,12}"#) {
            if let Ok(pattern) = text.parse::<PathPattern>() {
                prop_assert_eq!(pattern.to_string().parse::<PathPattern>().unwrap(), pattern);
            }
        }
    }
}
