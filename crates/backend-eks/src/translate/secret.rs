//! Secrets: which reference is kept by what.
//!
//! What the machine of the user resolves becomes a Secret of our own, named after its references and without values: they are filled in when
//! it is applied. What a cloud keeps is read by External Secrets. A Secret of the cluster is used as it is.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Secret as Native;
use serde_json::{Value, json};
use straddle_core::{
    model::{Secret, TaskTemplate},
    path::FieldPath,
    platform::{Output, Resource, ResourceKey},
    revision::content_hash,
    units::{SecretRef, SecretSource},
};

use super::{Around, object};
use crate::{facts, labels, labels::Labels, names};

const CODE: &str = "kubernetes/secret-source";

/// The secrets of a service or task.
#[derive(Clone, Debug, Default)]
pub(super) struct Secrets {
    own: Keys,
    external: Keys,
}

/// What becomes of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Use {
    File,
    /// A text without the line end of its file.
    Variable,
}

/// A generated object and its keys, by what they refer to and what becomes of that.
#[derive(Clone, Debug, Default)]
struct Keys {
    name: String,
    keys: BTreeMap<(SecretRef, Use), String>,
}

impl Keys {
    /// Gives a reference a key, by the name under which the container sees it.
    fn add(&mut self, reference: &SecretRef, how: Use, container: &str, wish: &str) {
        if self.keys.contains_key(&(reference.clone(), how)) {
            return;
        }
        let taken: BTreeSet<&str> = self.keys.values().map(String::as_str).collect();
        let plain = key(wish);
        let mut chosen = plain.clone();
        if taken.contains(chosen.as_str()) {
            chosen = format!("{container}.{plain}");
        }
        let mut count = 2;
        while taken.contains(chosen.as_str()) {
            chosen = format!("{container}.{plain}-{count}");
            count += 1;
        }
        self.keys.insert((reference.clone(), how), chosen);
    }

    fn find(&self, reference: &SecretRef, how: Use) -> Option<(String, String)> {
        let key = self.keys.get(&(reference.clone(), how))?;
        Some((self.name.clone(), key.clone()))
    }

    /// Returns the annotations that say where values come from, of those uses that there are.
    fn annotations(&self) -> BTreeMap<String, String> {
        let of = |wanted: Use| -> BTreeMap<&str, String> {
            let own = self.keys.iter().filter(|((_, how), _)| *how == wanted);
            own.map(|((reference, _), key)| (key.as_str(), reference.to_string())).collect()
        };
        [(labels::REFERENCES, Use::File), (labels::VARIABLES, Use::Variable)]
            .into_iter()
            .map(|(annotation, how)| (annotation, of(how)))
            .filter(|(_, references)| !references.is_empty())
            .map(|(annotation, references)| (annotation.to_owned(), json!(references).to_string()))
            .collect()
    }

    fn named(mut self, workload: &str, what: &str) -> Self {
        if !self.keys.is_empty() {
            self.name = names::versioned(workload, what, &content_hash(&json!(self.annotations())));
        }
        self
    }
}

/// Returns a text as the key of a Secret or ConfigMap.
pub(super) fn key(text: &str) -> String {
    const MAX: usize = 200;
    let fits =
        |letter: char| if letter.is_ascii_alphanumeric() || "-_.".contains(letter) { letter } else { '-' };
    let key: String = text.trim_start_matches('/').chars().map(fits).collect();
    if key.len() > MAX || key.is_empty() || key == "." || key.starts_with("..") {
        return content_hash(&text.into());
    }
    key
}

impl Secrets {
    /// Finds every secret of a template and gives it a key.
    pub(super) fn of(around: &Around<'_>, workload: &str, template: &TaskTemplate) -> Self {
        let (mut own, mut external) = (Keys::default(), Keys::default());
        let mut add = |container: &str, wish: &str, reference: &SecretRef, how| match reference.source() {
            SecretSource::Env | SecretSource::File => own.add(reference, how, container, wish),
            // What a cloud keeps is taken as it is.
            SecretSource::AwsSecretsManager | SecretSource::AwsSsm if around.reads_clouds() => {
                external.add(reference, Use::File, container, wish);
            }
            _ => {}
        };
        for (name, container) in &template.containers {
            for (variable, secret) in &container.secrets {
                add(name.as_str(), variable.as_str(), &secret.from, Use::Variable);
            }
            for (path, secret) in &container.secret_files {
                add(name.as_str(), path.as_str(), &secret.from, Use::File);
            }
        }
        Self { own: own.named(workload, "secrets"), external: external.named(workload, "external") }
    }

    /// Returns the Secret and the key in it that hold a secret, or says why there is none.
    pub(super) fn find(
        &self,
        out: &mut Output,
        around: &Around<'_>,
        field: &FieldPath,
        secret: &Secret,
        how: Use,
    ) -> Option<(String, String)> {
        let Secret { from, local } = secret;
        if local.is_some() {
            out.elsewhere(CODE, field.child("local"), "it is for a local engine: `from` is used");
        }
        let field = field.child("from");
        match from.source() {
            SecretSource::Env | SecretSource::File => self.own.find(from, how),
            SecretSource::Kubernetes => {
                if !object::is_object_name(from.name()) {
                    let fix = "write the name of a Secret as `kubectl get secrets` shows it";
                    out.blocked(CODE, field, "no Secret of a cluster can have this name", fix);
                    return None;
                }
                Some((from.name().to_owned(), from.key()?.to_owned()))
            }
            SecretSource::AwsSecretsManager | SecretSource::AwsSsm => {
                if let Some(message) = around.no_clouds() {
                    let fix = "set `secret_store` of the target to a store of External Secrets, or write `kubernetes:name#key`";
                    out.blocked(CODE, field, message, fix);
                    return None;
                }
                if from.source() == SecretSource::AwsSsm && around.has_both_clouds {
                    let message =
                        "a store of External Secrets reads Secrets Manager or Parameter Store, not both";
                    out.blocked(
                        CODE,
                        field,
                        message,
                        "keep all secrets in one of them, or write `kubernetes:name#key`",
                    );
                }
                self.external.find(from, Use::File)
            }
        }
    }

    /// Returns the keys of the generated objects that hold secrets.
    pub(super) fn object(&self, name: &str) -> Option<ResourceKey> {
        let is = |keys: &Keys| !keys.name.is_empty() && keys.name == name;
        if is(&self.own) {
            return Some(ResourceKey::new("Secret", name));
        }
        is(&self.external).then(|| ResourceKey::new("ExternalSecret", name))
    }

    /// Makes the generated objects.
    pub(super) fn resources(&self, around: &Around<'_>, labels: &Labels) -> Vec<Resource> {
        let mut resources = Vec::new();
        if !self.own.keys.is_empty() {
            let mut metadata = around.metadata(&self.own.name, labels);
            metadata.annotations = Some(self.own.annotations());
            let secret = Native { metadata, immutable: Some(true), ..Native::default() };
            resources.push(object::resource("Secret", &self.own.name, &secret));
        }
        let store = around.config.secret_store.as_deref().unwrap_or_default();
        if !self.external.keys.is_empty() {
            let (kind, store) = store.split_once('/').unwrap_or(("SecretStore", store));
            let data: Vec<Value> = self
                .external
                .keys
                .iter()
                .map(|((reference, _), key)| {
                    let mut remote = json!({"key": reference.name()});
                    if let Some(property) = reference.key() {
                        remote["property"] = property.into();
                    }
                    json!({"secretKey": key, "remoteRef": remote})
                })
                .collect();
            let document = json!({
                "apiVersion": "external-secrets.io/v1",
                "kind": "ExternalSecret",
                "metadata": object::value(&around.metadata(&self.external.name, labels)),
                "spec": {
                    "secretStoreRef": {"kind": kind, "name": store},
                    "target": {"name": self.external.name, "creationPolicy": "Owner"},
                    "data": data,
                },
            });
            resources.push(object::resource("ExternalSecret", &self.external.name, &document));
        }
        resources
    }
}

impl Around<'_> {
    /// Returns whether External Secrets reads what a cloud keeps.
    fn reads_clouds(&self) -> bool {
        self.no_clouds().is_none()
    }

    fn no_clouds(&self) -> Option<&'static str> {
        if self.config.secret_store.is_none() {
            return Some("it is kept in AWS, and the target names nothing that reads it from there");
        }
        if !self.cluster.may_have(facts::EXTERNAL_SECRET) {
            return Some("it is kept in AWS, and External Secrets, which would read it, is not installed");
        }
        None
    }
}

/// Returns the Secret of the cluster with which an image is pulled.
pub(super) fn pull(out: &mut Output, field: &FieldPath, reference: &SecretRef) -> Option<String> {
    if reference.source() == SecretSource::Kubernetes && object::is_object_name(reference.name()) {
        return Some(reference.name().to_owned());
    }
    let message = "nodes pull with a Secret of the cluster, or with what they are logged in with";
    let fix =
        "write `kubernetes:NAME#.dockerconfigjson`, or leave it out where nodes may pull by themselves (ECR)";
    out.blocked("kubernetes/registry-credentials", field.clone(), message, fix);
    None
}
