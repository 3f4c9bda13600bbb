use std::{fmt, str::FromStr};

use crate::spec::{Accepts, Scalar, ScalarError, spec_scalar};

/// A reference to a container image: `shop/web:1.4.2`, with an optional registry, tag and digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageRef {
    text: String,
    name_end: usize,
    tag: Option<(usize, usize)>,
    digest: Option<usize>,
}

impl ImageRef {
    /// Returns the reference as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the registry host, where one is written.
    #[must_use]
    pub fn registry(&self) -> Option<&str> {
        let (first, _) = self.name().split_once('/')?;
        (first.contains(['.', ':']) || first == "localhost").then_some(first)
    }

    /// Returns the name with its registry, without tag and digest.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.text[..self.name_end]
    }

    /// Returns the tag, where one is written.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.map(|(start, end)| &self.text[start..end])
    }

    /// Returns the digest (`sha256:...`), where one is written.
    #[must_use]
    pub fn digest(&self) -> Option<&str> {
        self.digest.map(|start| &self.text[start..])
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for ImageRef {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let bad = |why: &str| {
            ScalarError::new(format!("`{}` is not an image: {why}", text.escape_debug()))
                .with_help("write `name:tag`, `registry.example.com/name:tag` or `name@sha256:...`")
        };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                let hex = digest
                    .strip_prefix("sha256:")
                    .ok_or_else(|| bad("the digest does not start with `sha256:`"))?;
                if hex.len() != 64
                    || !hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
                {
                    return Err(bad("the digest is not 64 hexadecimal digits"));
                }
                (rest, Some(rest.len() + 1))
            }
            None => (text, None),
        };
        let last_slash = rest.rfind('/').map_or(0, |at| at + 1);
        let (name_end, tag) = match rest[last_slash..].find(':') {
            Some(at) => (last_slash + at, Some((last_slash + at + 1, rest.len()))),
            None => (rest.len(), None),
        };
        if let Some((start, end)) = tag {
            let tag = &rest[start..end];
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
            if tag.is_empty() || tag.len() > 128 || !tag.bytes().all(fits) || tag.starts_with(['.', '-']) {
                return Err(bad("the tag has 1 to 128 letters, digits, `_`, `.` and `-`"));
            }
        }
        let name = &rest[..name_end];
        let (host, path) = match name.split_once('/') {
            Some((first, path)) if first.contains(['.', ':']) || first == "localhost" => (Some(first), path),
            _ => (None, name),
        };
        if let Some(host) = host {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
            if host.is_empty() || !host.bytes().all(fits) {
                return Err(bad("the registry is not a host"));
            }
        }
        let part = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.-".contains(&byte))
                && part.as_bytes()[0].is_ascii_alphanumeric()
                && part.as_bytes()[part.len() - 1].is_ascii_alphanumeric()
        };
        if name.len() > 255 || !path.split('/').all(part) {
            let upper = path.bytes().any(|byte| byte.is_ascii_uppercase());
            return Err(bad(if upper { "names of images are lower case" } else { "the name is malformed" }));
        }
        Ok(Self { text: text.to_owned(), name_end, tag, digest })
    }
}

impl Scalar for ImageRef {
    const NAME: &'static str = "ImageRef";
    const DESCRIPTION: &'static str =
        "A container image: `name:tag`, `registry.example.com/name:tag` or `name@sha256:...`.";
    const PATTERN: Option<&'static str> = Some(r"^[^\s@]+(@sha256:[0-9a-f]{64})?$");
    const EXAMPLES: &'static [&'static str] = &["shop/web:1.4.2", "shop/web:1.5.0"];
    const ACCEPTS: Accepts = Accepts::STRING;
}
spec_scalar!(ImageRef);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        let image: ImageRef = "registry.example.com:5000/shop/web:1.4.2".parse().unwrap();
        assert_eq!(image.registry(), Some("registry.example.com:5000"));
        assert_eq!(image.name(), "registry.example.com:5000/shop/web");
        assert_eq!(image.tag(), Some("1.4.2"));
        let pinned: ImageRef = format!("shop/web:1@sha256:{}", "a".repeat(64)).parse().unwrap();
        assert_eq!((pinned.name(), pinned.tag()), ("shop/web", Some("1")));
        assert!(pinned.digest().unwrap().starts_with("sha256:"));
        for bad in ["", ":1", "a:", "A/b", "a//b", "a@sha256:1", "a b", "a:b:c/", "-a", "a/", "localhost/"] {
            assert!(bad.parse::<ImageRef>().is_err(), "{bad}");
        }
    }
}
