//! What there is of an application: its objects, found by their labels.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use jiff::Timestamp;
use serde_json::{Value, json};
use straddle_core::{
    error::{ErrorKind, Result},
    plan::Fingerprint,
    revision::content_hash,
    scope::Scope,
};

use crate::{
    client::{
        self, Client,
        fields::applied,
        kinds::{
            self, DAEMON_SET, DEPLOYMENT, EXTERNAL_SECRET, Kind, NAMESPACE, REPLICA_SET, REVISION,
            SCALED_OBJECT, STATEFUL_SET,
        },
    },
    labels::{self, STRADDLE},
    names,
};

/// Which kinds of objects run a service.
pub(crate) const MAIN: [Kind; 3] = [DEPLOYMENT, DAEMON_SET, STATEFUL_SET];

/// Everything that there is of an application.
#[derive(Clone, Debug, Default)]
pub(crate) struct Live {
    /// The namespace, whoever made it.
    pub(crate) namespace: Option<Value>,
    /// What we made, by kind and name.
    pub(crate) objects: BTreeMap<(Kind, String), Value>,
    /// What remembers the pod templates of Deployments.
    pub(crate) replica_sets: Vec<Value>,
    /// What remembers those of DaemonSets and StatefulSets.
    pub(crate) revisions: Vec<Value>,
}

/// One pod template that a service has or had.
#[derive(Clone, Debug)]
pub(crate) struct Kept<'a> {
    pub(crate) number: u64,
    pub(crate) hash: &'a str,
    pub(crate) template: &'a Value,
    /// The object that remembers it.
    pub(crate) object: &'a Value,
}

/// Lists the objects of a kind that we made. What stands outside of namespaces is made for few applications, and few may look at it.
pub(crate) async fn list(client: &Client, kind: Kind, namespace: &str, selector: &str) -> Result<Vec<Value>> {
    match client.list(kind, namespace, selector).await {
        // Whoever removed the kind has removed its objects.
        Err(error) if error.kind() == ErrorKind::NotFound && !kind.is_builtin() => Ok(Vec::new()),
        Ok(mut found) => {
            found.retain(|object| !is_made_by_other(object));
            Ok(found)
        }
        Err(error) if error.kind() == ErrorKind::Denied && !kind.is_namespaced => {
            tracing::debug!(%error, "objects of the cluster are not looked at");
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}

/// Returns whether an object was made for one of ours by what serves that: KEDA and External Secrets give it all labels of ours, and let it go
/// when ours goes.
pub(crate) fn is_made_by_other(object: &Value) -> bool {
    let owners = object["metadata"]["ownerReferences"].as_array();
    owners.into_iter().flatten().any(|owner| {
        owner["controller"] == true
            && [EXTERNAL_SECRET, SCALED_OBJECT].iter().any(|kind| owner["kind"] == kind.name)
    })
}

/// Finds a namespace. Who may not look at it may still look into it: it is taken to be there then, and nothing more is known of it.
async fn find_namespace(client: &Client, name: &str) -> Result<Option<Value>> {
    match client.get(NAMESPACE, "", name).await {
        Err(error) if error.kind() == ErrorKind::Denied => {
            tracing::debug!(%error, "the namespace is not looked at");
            Ok(Some(json!({"metadata": {"name": name}})))
        }
        found => found,
    }
}

impl Live {
    /// Reads everything: one call for the namespace, and one for each kind that the cluster serves.
    pub(crate) async fn read(
        client: &Client,
        scope: &Scope,
        namespace: &str,
        installed: &[Kind],
    ) -> Result<Self> {
        let is_served = |kind: &&Kind| kind.is_builtin() || installed.contains(kind);
        let mut kinds: Vec<Kind> = kinds::KINDS
            .iter()
            .filter(|kind| kind.is_made && **kind != NAMESPACE)
            .filter(is_served)
            .copied()
            .collect();
        kinds.extend([REPLICA_SET, REVISION]);
        Self::read_kinds(client, scope, namespace, &kinds).await
    }

    /// Reads objects of some kinds: one call for the namespace, and one for each kind.
    pub(crate) async fn read_kinds(
        client: &Client,
        scope: &Scope,
        namespace: &str,
        kinds: &[Kind],
    ) -> Result<Self> {
        let space = find_namespace(client, namespace).await?;
        if space.is_none() {
            return Ok(Self::default());
        }
        let found = Self::read_part(client, &labels::selector(scope), namespace, kinds).await?;
        Ok(Self { namespace: space, ..found })
    }

    /// Reads objects of some kinds that a selector finds: one call for each kind.
    pub(crate) async fn read_part(
        client: &Client,
        selector: &str,
        namespace: &str,
        kinds: &[Kind],
    ) -> Result<Self> {
        let mut live = Self::default();
        let lists = kinds.iter().map(|kind| list(client, *kind, namespace, selector));
        for (kind, found) in kinds.iter().zip(try_join_all(lists).await?) {
            match *kind {
                REPLICA_SET => live.replica_sets = found,
                REVISION => live.revisions = found,
                _ => {
                    let named =
                        found.into_iter().map(|object| ((*kind, client::name(&object).to_owned()), object));
                    live.objects.extend(named);
                }
            }
        }
        Ok(live)
    }

    /// Returns one object by its name.
    pub(crate) fn get(&self, kind: Kind, name: &str) -> Option<&Value> {
        self.objects.get(&(kind, name.to_owned()))
    }

    /// Returns the objects of a service or task, by the label that says so.
    pub(crate) fn of<'a>(
        &'a self,
        key: &'a str,
        workload: &str,
    ) -> impl Iterator<Item = (&'a (Kind, String), &'a Value)> {
        let label = names::label(workload);
        self.objects.iter().filter(move |(_, object)| label_of(object, key) == Some(label.as_str()))
    }

    /// Returns the object that runs a service.
    pub(crate) fn main(&self, service: &str) -> Option<(Kind, &Value)> {
        let mut found = self.of(labels::SERVICE, service).filter(|((kind, _), _)| MAIN.contains(kind));
        found.next().map(|((kind, _), object)| (*kind, object))
    }

    /// Returns the pod templates that a service has or had, the youngest first.
    pub(crate) fn kept<'a>(&'a self, service: &str) -> Vec<Kept<'a>> {
        let label = names::label(service);
        let is_of = move |object: &&Value| label_of(object, labels::SERVICE) == Some(label.as_str());
        let sets = self
            .replica_sets
            .iter()
            .filter(is_of.clone())
            .filter_map(|set| kept(set, &set["spec"]["template"]));
        // A revision object holds a patch that has the whole template in it.
        let others = self
            .revisions
            .iter()
            .filter(is_of)
            .filter_map(|revision| kept(revision, &revision["data"]["spec"]["template"]));
        let mut found: Vec<Kept<'_>> = sets.chain(others).collect();
        found.sort_by_key(|kept| std::cmp::Reverse(kept.number));
        found
    }

    /// Returns a hash of the fields that we own; never of status, or of what others move.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let owned: Vec<Value> = self
            .objects
            .iter()
            .map(|((kind, name), object)| json!([kind.name, name, applied(object, STRADDLE)]))
            .collect();
        Fingerprint(content_hash(&json!(owned)))
    }
}

fn kept<'a>(object: &'a Value, template: &'a Value) -> Option<Kept<'a>> {
    let annotations = &template["metadata"]["annotations"];
    Some(Kept {
        number: annotations[labels::REVISION].as_str()?.parse().ok()?,
        hash: annotations[labels::HASH].as_str().unwrap_or_default(),
        template,
        object,
    })
}

/// Returns a label of an object.
pub(crate) fn label_of<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object["metadata"]["labels"][key].as_str()
}

/// Returns an annotation of an object.
pub(crate) fn annotation_of<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object["metadata"]["annotations"][key].as_str()
}

/// Returns the number of the revision of a pod template.
pub(crate) fn number_of(template: &Value) -> Option<u64> {
    annotation_of(template, labels::REVISION)?.parse().ok()
}

/// Returns whether an object is one of an application.
pub(crate) fn is_ours(scope: &Scope, object: &Value) -> bool {
    labels::owned(scope).iter().all(|(key, value)| label_of(object, key) == Some(value))
}

/// Reads a moment as the API writes it.
pub(crate) fn moment(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keda_and_external_secrets_make_is_theirs() {
        let owned = |kind: &str, controller: bool| json!({"metadata": {"ownerReferences": [{"kind": kind, "name": "web", "controller": controller}]}});
        assert!(is_made_by_other(&owned("ScaledObject", true)));
        assert!(is_made_by_other(&owned("ExternalSecret", true)));
        assert!(!is_made_by_other(&owned("ScaledObject", false)));
        assert!(!is_made_by_other(&owned("CronJob", true)));
        assert!(!is_made_by_other(&json!({"metadata": {}})));
    }
}
