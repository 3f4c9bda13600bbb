//! Values of secrets: resolved at the last moment, and kept out of everything that is shown.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use bytes::Bytes;
use straddle_core::{
    error::{Error, ErrorKind, Result},
    failure::{Cause, Failure},
    secret::Resolver,
};

use crate::{
    client::body::Secrets,
    document::{ContainerDocument, TemplateDocument},
};

/// Shorter values are not hidden: what is left of the text would not be readable, and they are no secrets.
const SHORTEST: usize = 3;

/// Resolves every secret of a template, by container.
pub(crate) fn resolve(
    resolver: &Resolver,
    workload: &str,
    template: &TemplateDocument,
) -> Result<BTreeMap<String, Secrets>> {
    let one = |(name, container): (&String, &ContainerDocument)| {
        let secrets = container_secrets(resolver, container).map_err(|error| {
            let mut failure = Failure::new(workload, Cause::SecretMissing, error.message().to_owned());
            failure.container = Some(name.clone());
            failure.likely = error.help().map(str::to_owned);
            Error::rollout(failure).with_source(error)
        })?;
        Ok((name.clone(), secrets))
    };
    template.containers.iter().map(one).collect()
}

fn container_secrets(resolver: &Resolver, container: &ContainerDocument) -> Result<Secrets> {
    let ContainerDocument { secrets, secret_files, logging, .. } = container;
    let mut values = Secrets::default();
    for (name, reference) in secrets {
        values.env.insert(name.clone(), text(resolver, reference)?);
    }
    for (path, reference) in secret_files {
        values.files.insert(path.clone(), bytes(resolver, reference)?);
    }
    for (name, reference) in logging.iter().flat_map(|logging| &logging.secret_options) {
        values.log_options.insert(name.clone(), text(resolver, reference)?);
    }
    Ok(values)
}

pub(crate) fn bytes(resolver: &Resolver, reference: &str) -> Result<Vec<u8>> {
    let parsed = reference.parse().map_err(|_| {
        Error::new(ErrorKind::Invalid, "the plan holds something else than a reference to a secret")
    })?;
    resolver.resolve(&parsed)
}

/// Returns a value as text; the line end that editors put at the end of a file is not part of it.
pub(crate) fn text(resolver: &Resolver, reference: &str) -> Result<String> {
    let text = String::from_utf8(bytes(resolver, reference)?)
        .map_err(|_| Error::new(ErrorKind::Invalid, format!("secret {reference} is not text")))?;
    Ok(text
        .strip_suffix('\n')
        .map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text))
        .to_owned())
}

/// Hides the values of resolved secrets in what is shown.
#[derive(Clone, Default)]
pub(crate) struct Mask(Vec<String>);

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Mask").field(&self.0.len()).finish()
    }
}

impl Mask {
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a Secrets>) -> Self {
        let mut values: Vec<String> = Vec::new();
        for secrets in secrets {
            let files = secrets.files.values().filter_map(|bytes| std::str::from_utf8(bytes).ok());
            let texts =
                secrets.env.values().chain(secrets.log_options.values()).map(String::as_str).chain(files);
            // Output is shown line by line, so that a value of several lines is hidden line by line.
            values.extend(
                texts
                    .flat_map(str::lines)
                    .map(str::trim)
                    .filter(|line| line.len() >= SHORTEST)
                    .map(str::to_owned),
            );
        }
        // A value that holds another one goes first.
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        values.dedup();
        Self(values)
    }

    /// Makes a mask of what can be resolved; what cannot was never given to a container by this machine.
    pub(crate) fn of_templates<'a>(
        resolver: &Resolver,
        templates: impl IntoIterator<Item = &'a TemplateDocument>,
    ) -> Self {
        let containers = templates.into_iter().flat_map(|template| template.containers.values());
        let secrets: Vec<Secrets> = containers
            .map(|container| Secrets {
                env: container
                    .secrets
                    .iter()
                    .filter_map(|(name, one)| Some((name.clone(), text(resolver, one).ok()?)))
                    .collect(),
                files: container
                    .secret_files
                    .iter()
                    .filter_map(|(at, one)| Some((at.clone(), bytes(resolver, one).ok()?)))
                    .collect(),
                log_options: BTreeMap::new(),
            })
            .collect();
        Self::new(&secrets)
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

    pub(crate) fn hide<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut shown = Cow::Borrowed(text);
        for value in &self.0 {
            if shown.contains(value.as_str()) {
                shown = Cow::Owned(shown.replace(value.as_str(), "***"));
            }
        }
        shown
    }
}

/// Hides values in output that comes in pieces, of which one may end in the middle of a value.
#[derive(Debug)]
pub(crate) struct StreamMask<'a> {
    mask: &'a Mask,
    held: Vec<u8>,
}

impl<'a> StreamMask<'a> {
    pub(crate) fn new(mask: &'a Mask) -> Self {
        Self { mask, held: Vec::new() }
    }

    /// Takes a piece and returns what can be shown by now.
    pub(crate) fn take(&mut self, piece: Bytes) -> Bytes {
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
    pub(crate) fn rest(&mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut self.held))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use straddle_core::units::SecretRef;

    use super::*;
    use straddle_core::secret::SecretResolver;

    #[derive(Debug)]
    struct Fixed;

    impl SecretResolver for Fixed {
        fn resolve(&self, reference: &SecretRef) -> Result<Vec<u8>> {
            match reference.name() {
                "GONE" => Err(Error::new(ErrorKind::NotFound, "it is not set")),
                name => Ok(format!("value-of-{name}\n").into_bytes()),
            }
        }
    }

    fn template(reference: &str) -> TemplateDocument {
        let secrets = BTreeMap::from([("PW".to_owned(), reference.to_owned())]);
        let container = ContainerDocument { secrets, ..ContainerDocument::default() };
        TemplateDocument {
            containers: BTreeMap::from([("web".to_owned(), container)]),
            ..TemplateDocument::default()
        }
    }

    #[test]
    fn values_are_resolved_and_hidden() {
        let resolver: Resolver = Arc::new(Fixed);
        let secrets = resolve(&resolver, "web", &template("env:DB")).unwrap();
        assert_eq!(secrets["web"].env["PW"], "value-of-DB");
        let mask = Mask::new(secrets.values());
        assert_eq!(mask.hide("password=value-of-DB!"), "password=***!");
        assert!(!format!("{mask:?} {secrets:?}").contains("value-of"));
        let failure =
            resolve(&resolver, "web", &template("env:GONE")).unwrap_err().failure().cloned().unwrap();
        assert_eq!((failure.cause, failure.container.as_deref()), (Cause::SecretMissing, Some("web")));
    }

    #[test]
    fn a_value_in_pieces_is_hidden() {
        let secrets =
            Secrets { env: BTreeMap::from([("A".to_owned(), "hunter2".to_owned())]), ..Secrets::default() };
        let mask = Mask::new([&secrets]);
        let mut stream = StreamMask::new(&mask);
        let mut shown = Vec::new();
        for piece in ["password: hun", "ter", "2, hunt", "ing\nh"] {
            shown.extend_from_slice(&stream.take(Bytes::from_static(piece.as_bytes())));
        }
        shown.extend_from_slice(&stream.rest());
        assert_eq!(String::from_utf8(shown).unwrap(), "password: ***, hunting\nh");
    }
}
