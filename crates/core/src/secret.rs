//! Values of secrets, on the machine that runs Straddle.

use std::{borrow::Cow, fmt, path::PathBuf, sync::Arc};

use bytes::Bytes;

use crate::{
    error::{Error, ErrorKind, Result},
    units::{SecretRef, SecretSource},
};

/// Turns references to secrets into their values, on the machine that runs Straddle.
pub trait SecretResolver: fmt::Debug + Send + Sync {
    /// Returns the value of a reference.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) for a secret that is not there, [`Denied`](ErrorKind::Denied) for one that may not be read; neither says a
    /// value.
    fn resolve(&self, reference: &SecretRef) -> Result<Vec<u8>>;
}

/// Resolves `env:` from the environment of the process and `file:` from files.
#[derive(Clone, Debug, Default)]
pub struct LocalSecrets {
    folder: PathBuf,
}

impl LocalSecrets {
    /// Makes a resolver whose relative paths count from a folder.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }
}

impl SecretResolver for LocalSecrets {
    fn resolve(&self, reference: &SecretRef) -> Result<Vec<u8>> {
        match reference.source() {
            SecretSource::Env => std::env::var(reference.name()).map(String::into_bytes).map_err(|_| {
                Error::new(
                    ErrorKind::NotFound,
                    format!("the environment variable {} of secret {reference} is not set", reference.name()),
                )
                .with_help(format!("set {} where you run straddle", reference.name()))
            }),
            SecretSource::File => std::fs::read(self.folder.join(reference.name())).map_err(|failed| {
                let kind = match failed.kind() {
                    std::io::ErrorKind::PermissionDenied => ErrorKind::Denied,
                    _ => ErrorKind::NotFound,
                };
                Error::new(kind, format!("the file of secret {reference} cannot be read")).with_source(failed)
            }),
            SecretSource::AwsSecretsManager | SecretSource::AwsSsm | SecretSource::Kubernetes => {
                Err(Error::new(
                    ErrorKind::Unsupported,
                    format!("secret {reference} is kept where this machine does not look"),
                )
                .with_help("add `local: env:NAME` or `local: file:PATH` to the secret"))
            }
        }
    }
}

/// How a secret resolver is shared.
pub type Resolver = Arc<dyn SecretResolver>;

/// Returns the value of a reference that a native document holds.
///
/// # Errors
///
/// [`Invalid`](ErrorKind::Invalid) for what is no reference, and those of [`SecretResolver::resolve`].
pub fn bytes(resolver: &Resolver, reference: &str) -> Result<Vec<u8>> {
    let parsed = reference.parse().map_err(|_| {
        Error::new(ErrorKind::Invalid, "the plan holds something else than a reference to a secret")
    })?;
    resolver.resolve(&parsed)
}

/// Returns the value of a reference as the text of a variable, without the line end that editors put at the end of a file.
///
/// # Errors
///
/// Those of [`bytes()`], and [`Invalid`](ErrorKind::Invalid) for a value that is not text.
pub fn text(resolver: &Resolver, reference: &str) -> Result<String> {
    let text = String::from_utf8(bytes(resolver, reference)?).map_err(|_| {
        // What is not text is in the error as well: it is no source.
        Error::new(ErrorKind::Invalid, format!("secret {reference} is not text"))
            .with_help("put it into a file with `secret_files`")
    })?;
    Ok(text
        .strip_suffix('\n')
        .map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text))
        .to_owned())
}

/// Shorter values are not hidden: what is left of the text would not be readable, and they are no secrets.
const SHORTEST: usize = 3;

/// Hides the values of secrets in what is shown: `***` stands in their place.
///
/// Output is shown line by line, so that a value of several lines is hidden line by line. Lines of less than three bytes are not hidden.
///
/// ```
/// # use straddle_core::secret::Mask;
/// let mask = Mask::from_iter(["hunter2"]);
/// assert_eq!(mask.hide("password=hunter2!"), "password=***!");
/// assert_eq!(format!("{mask:?}"), "Mask(1)");
/// ```
#[derive(Clone, Default)]
pub struct Mask(Vec<String>);

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Mask").field(&self.0.len()).finish()
    }
}

impl<T: AsRef<str>> FromIterator<T> for Mask {
    fn from_iter<I: IntoIterator<Item = T>>(secrets: I) -> Self {
        let mut values: Vec<String> = Vec::new();
        for secret in secrets {
            let lines = secret.as_ref().lines().map(str::trim).filter(|line| line.len() >= SHORTEST);
            values.extend(lines.map(str::to_owned));
        }
        // A value that holds another one goes first.
        values.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        values.dedup();
        Self(values)
    }
}

impl Mask {
    /// Returns a text without the values.
    #[must_use]
    pub fn hide<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut shown = Cow::Borrowed(text);
        for value in &self.0 {
            if shown.contains(value.as_str()) {
                shown = Cow::Owned(shown.replace(value.as_str(), "***"));
            }
        }
        shown
    }

    fn hide_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        let mut shown = Vec::with_capacity(bytes.len());
        let mut rest = bytes;
        while let Some((first, after)) = rest.split_first() {
            if let Some(value) = self.0.iter().find(|value| rest.starts_with(value.as_bytes())) {
                shown.extend_from_slice(b"***");
                rest = &rest[value.len()..];
            } else {
                shown.push(*first);
                rest = after;
            }
        }
        shown
    }
}

/// Hides values in output that comes in pieces, of which one may end in the middle of a value.
#[derive(Debug)]
pub struct StreamMask<'a> {
    mask: &'a Mask,
    held: Vec<u8>,
}

impl<'a> StreamMask<'a> {
    /// Begins a stream.
    #[must_use]
    pub fn new(mask: &'a Mask) -> Self {
        Self { mask, held: Vec::new() }
    }

    /// Takes a piece and returns what can be shown by now.
    pub fn take(&mut self, piece: Bytes) -> Bytes {
        if self.mask.0.is_empty() {
            return piece;
        }
        self.held.extend_from_slice(&piece);
        let hidden = self.mask.hide_bytes(&self.held);
        let begins = |rest: &[u8]| self.mask.0.iter().any(|value| value.as_bytes().starts_with(rest));
        let longest = self.mask.0.first().map_or(0, String::len).saturating_sub(1);
        let first = hidden.len().saturating_sub(longest);
        let keep = (first..hidden.len()).find(|at| begins(&hidden[*at..])).unwrap_or(hidden.len());
        self.held = hidden[keep..].to_vec();
        Bytes::copy_from_slice(&hidden[..keep])
    }

    /// Returns what was held back, once no more comes.
    pub fn rest(&mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut self.held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_is_missing_is_named_by_its_reference() {
        let error = LocalSecrets::new("/nowhere").resolve(&"file:db-password".parse().unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.message().contains("file:db-password"));
        assert!(LocalSecrets::default().resolve(&"aws-ssm:/x".parse().unwrap()).is_err());
    }

    #[test]
    fn a_value_in_pieces_is_hidden() {
        let mask = Mask::from_iter(["hunter2"]);
        let mut stream = StreamMask::new(&mask);
        let mut shown = Vec::new();
        for piece in ["password: hun", "ter", "2, hunt", "ing\nh"] {
            shown.extend_from_slice(&stream.take(Bytes::from_static(piece.as_bytes())));
        }
        shown.extend_from_slice(&stream.rest());
        assert_eq!(String::from_utf8(shown).unwrap(), "password: ***, hunting\nh");
    }
}
