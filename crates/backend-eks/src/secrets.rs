//! Values of secrets: resolved when a Secret is applied, and kept out of everything that is shown.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};
use straddle_core::{
    error::{Error, ErrorKind, Result},
    failure::Failure,
    scope::Scope,
    secret::{self, Mask, Resolver},
};

use crate::{
    client::{Client, kinds::SECRET},
    labels::{self, REFERENCES, VARIABLES},
    observe::annotation_of,
};

/// Returns whether an object is a Secret of ours, whose values come from the machine that applied it.
pub(crate) fn is_generated(object: &Value) -> bool {
    [REFERENCES, VARIABLES].iter().any(|annotation| annotation_of(object, annotation).is_some())
}

/// Returns the keys of a generated Secret under an annotation, with what each of them refers to.
pub(crate) fn references(object: &Value, annotation: &str) -> Result<Map<String, Value>> {
    match annotation_of(object, annotation) {
        Some(references) => serde_json::from_str(references).map_err(|error| {
            Error::new(ErrorKind::Invalid, "the plan holds something else than references to secrets")
                .with_source(error)
        }),
        None => Ok(Map::new()),
    }
}

/// Fills the values into a generated Secret; they are in nothing that is shown or kept here. `None` for any other object.
pub(crate) fn fill(resolver: &Resolver, workload: &str, object: &Value) -> Result<Option<Value>> {
    if !is_generated(object) {
        return Ok(None);
    }
    let mut data = Map::new();
    for annotation in [REFERENCES, VARIABLES] {
        for (key, reference) in references(object, annotation)? {
            let reference = reference.as_str().unwrap_or_default();
            let value = if annotation == VARIABLES {
                secret::text(resolver, reference).map(String::into_bytes)
            } else {
                secret::bytes(resolver, reference)
            };
            let value = value.map_err(|error| {
                Error::rollout(Failure::missing_secret(workload, &error)).with_source(error)
            })?;
            data.insert(key, json!(BASE64_STANDARD.encode(value)));
        }
    }
    let mut filled = object.clone();
    filled["data"] = Value::Object(data);
    Ok(Some(filled))
}

/// Makes a mask of the values that the application was given, as the cluster keeps them.
///
/// Who may read output but no Secrets sees what containers print.
pub(crate) async fn mask(client: &Client, scope: &Scope, namespace: &str) -> Mask {
    let secrets = match client.list(SECRET, namespace, &labels::selector(scope)).await {
        Ok(secrets) => secrets,
        Err(error) => {
            tracing::warn!(%error, "values of secrets are not hidden in output: they cannot be read");
            return Mask::default();
        }
    };
    let values = secrets.iter().flat_map(|secret| secret["data"].as_object().into_iter().flatten());
    let values = values.filter_map(|(_, value)| BASE64_STANDARD.decode(value.as_str()?).ok());
    values.filter_map(|value| String::from_utf8(value).ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use straddle_core::{failure::Cause, secret::SecretResolver, units::SecretRef};

    use super::*;

    #[derive(Debug)]
    struct Fixed;

    impl SecretResolver for Fixed {
        fn resolve(&self, reference: &SecretRef) -> Result<Vec<u8>> {
            match reference.name() {
                "GONE" => Err(Error::new(ErrorKind::NotFound, "it is not set")),
                name => Ok(format!("value-of-{name}\r\n").into_bytes()),
            }
        }
    }

    fn secret(annotation: &str, reference: &str) -> Value {
        let references = json!({"KEY": reference}).to_string();
        json!({"kind": "Secret", "metadata": {"name": "web", "annotations": {annotation: references}}})
    }

    #[test]
    fn a_variable_has_no_line_end_and_a_file_is_as_it_is() {
        let resolver: Resolver = Arc::new(Fixed);
        let value = |annotation: &str| {
            let filled = fill(&resolver, "web", &secret(annotation, "env:DB")).unwrap().unwrap();
            String::from_utf8(BASE64_STANDARD.decode(filled["data"]["KEY"].as_str().unwrap()).unwrap())
                .unwrap()
        };
        assert_eq!(
            (value(VARIABLES).as_str(), value(REFERENCES).as_str()),
            ("value-of-DB", "value-of-DB\r\n")
        );
        assert!(fill(&resolver, "web", &json!({"kind": "Secret"})).unwrap().is_none());
    }

    #[test]
    fn a_secret_that_is_missing_is_a_failure_with_its_cause() {
        let resolver: Resolver = Arc::new(Fixed);
        let error = fill(&resolver, "web", &secret(VARIABLES, "env:GONE")).unwrap_err();
        assert_eq!(error.failure().map(|failure| failure.cause), Some(Cause::SecretMissing));
    }
}
