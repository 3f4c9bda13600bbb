//! Values of secrets: resolved at the last moment, and kept out of everything that is shown.

use std::collections::BTreeMap;

use straddle_core::{
    error::{Error, Result},
    failure::Failure,
    secret::{Mask, Resolver, bytes, text},
};

use crate::{
    client::body::Secrets,
    document::{ContainerDocument, TemplateDocument},
};

/// Resolves every secret of a template, by container.
pub(crate) fn resolve(
    resolver: &Resolver,
    workload: &str,
    template: &TemplateDocument,
) -> Result<BTreeMap<String, Secrets>> {
    let one = |(name, container): (&String, &ContainerDocument)| {
        let secrets = container_secrets(resolver, container).map_err(|error| {
            let failure =
                Failure { container: Some(name.clone()), ..Failure::missing_secret(workload, &error) };
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

/// Hides resolved values of containers in what is shown.
pub(crate) fn mask<'a>(secrets: impl IntoIterator<Item = &'a Secrets>) -> Mask {
    let files =
        |secrets: &'a Secrets| secrets.files.values().filter_map(|bytes| std::str::from_utf8(bytes).ok());
    let texts =
        |secrets: &'a Secrets| secrets.env.values().chain(secrets.log_options.values()).map(String::as_str);
    secrets.into_iter().flat_map(|secrets| texts(secrets).chain(files(secrets))).collect()
}

/// Makes a mask of what can be resolved; what cannot was never given to a container by this machine.
pub(crate) fn mask_of_templates<'a>(
    resolver: &Resolver,
    templates: impl IntoIterator<Item = &'a TemplateDocument>,
) -> Mask {
    let containers = templates.into_iter().flat_map(|template| template.containers.values());
    let references =
        containers.flat_map(|container| container.secrets.values().chain(container.secret_files.values()));
    let values = references.filter_map(|reference| bytes(resolver, reference).ok());
    values.filter_map(|value| String::from_utf8(value).ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use straddle_core::{error::ErrorKind, failure::Cause, secret::SecretResolver, units::SecretRef};

    use super::*;

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
        let mask = super::mask(secrets.values());
        assert_eq!(mask.hide("password=value-of-DB!"), "password=***!");
        assert!(!format!("{mask:?} {secrets:?}").contains("value-of"));
        let failure =
            resolve(&resolver, "web", &template("env:GONE")).unwrap_err().failure().cloned().unwrap();
        assert_eq!((failure.cause, failure.container.as_deref()), (Cause::SecretMissing, Some("web")));
    }
}
