//! What there is of an application, as ECS tells it.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream, try_join};
use jiff::Timestamp;
use serde_json::{Value, json};
use straddle_core::{error::Result, plan::Fingerprint, revision::content_hash, scope::Scope};

use crate::{
    client::{Client, family_of, number_of},
    execute::started_by,
    names, objects, tags,
};

/// How many task definitions are described side by side.
const PARALLEL: usize = 5;

/// What there is of an application.
#[derive(Debug, Default)]
pub(crate) struct Live {
    /// Its services, by the names of the spec.
    pub(crate) services: BTreeMap<String, Value>,
    /// The latest task definitions of its tasks, by the names of the spec.
    pub(crate) tasks: BTreeMap<String, Value>,
    /// Families of its services that have no service: left by somebody who was interrupted.
    pub(crate) left: BTreeMap<String, Value>,
    /// Services of others that have a name which this application would give, by that name.
    pub(crate) strangers: BTreeMap<String, Value>,
    /// Task definitions of services that had to be looked at, by their ARNs.
    pub(crate) definitions: BTreeMap<String, Value>,
    /// What stands around services and tasks.
    pub(crate) around: objects::Found,
}

impl Live {
    /// Reads it.
    pub(crate) async fn read(client: &Client, scope: &Scope) -> Result<Self> {
        let (listed, around) = try_join!(listed(client, scope), objects::Found::read(client, scope))?;
        let (services, families) = listed;
        let mut live = Self { around, ..Self::default() };
        for service in services {
            match tags::of(&service, tags::SERVICE).filter(|_| tags::is_ours(&service, scope)) {
                Some(name) => drop(live.services.insert(name.to_owned(), service)),
                None => {
                    let name = service["serviceName"].as_str().unwrap_or_default().to_owned();
                    live.strangers.insert(name, service);
                }
            }
        }
        // What a service runs is known from its tags.
        let of_services: Vec<&str> =
            live.services.values().filter_map(|service| service["serviceName"].as_str()).collect();
        let asked = families.iter().filter(|family| !of_services.contains(&family.as_str()));
        let calls: Vec<_> = asked.map(|family| client.definition(family)).collect();
        let found: Vec<Option<Value>> = stream::iter(calls).buffer_unordered(PARALLEL).try_collect().await?;
        for definition in found.into_iter().flatten() {
            if !tags::is_ours(&definition, scope) || definition["status"] == "INACTIVE" {
                continue;
            }
            if let Some(task) = tags::of(&definition, tags::TASK) {
                live.tasks.insert(task.to_owned(), definition);
            } else if let Some(service) = tags::of(&definition, tags::SERVICE) {
                live.left.insert(service.to_owned(), definition);
            }
        }
        live.around.settle(client, scope, &live.services, &live.tasks).await?;
        Ok(live)
    }

    /// Reads the task definitions of services whose tags do not tell that they run what they should: `hashes` by the names of the spec.
    pub(crate) async fn look_at(&mut self, client: &Client, hashes: &BTreeMap<String, String>) -> Result<()> {
        let differs = |name: &&String| {
            let Some((service, hash)) = self.services.get(*name).zip(hashes.get(*name)) else { return false };
            let is_told = tags::of(service, tags::TASK_DEFINITION) == service["taskDefinition"].as_str();
            !is_told || tags::of(service, tags::HASH).map(short) != Some(short(hash))
        };
        let arns: Vec<String> = self
            .services
            .keys()
            .filter(differs)
            .filter_map(|name| self.services[name]["taskDefinition"].as_str().map(str::to_owned))
            .collect();
        let calls: Vec<_> = arns.iter().map(|arn| client.definition(arn)).collect();
        let found: Vec<Option<Value>> = stream::iter(calls).buffered(PARALLEL).try_collect().await?;
        self.definitions = arns.into_iter().zip(found).filter_map(|(arn, one)| Some((arn, one?))).collect();
        Ok(())
    }

    /// Returns a hash of what decisions rest on: what we own, and never counts or what ECS moves by itself.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let services: BTreeMap<&String, Value> = self
            .services
            .iter()
            .map(|(name, service)| {
                let mut plain = json!({});
                for key in SETTINGS {
                    plain[key] = service[key].clone();
                }
                plain["tags"] = sorted_tags(service);
                (name, plain)
            })
            .collect();
        let tasks: BTreeMap<&String, Value> = self
            .tasks
            .iter()
            .map(|(name, definition)| {
                (name, json!([definition["taskDefinitionArn"], sorted_tags(definition)]))
            })
            .collect();
        let strangers: Vec<&String> = self.strangers.keys().collect();
        let whole = json!({
            "services": services, "tasks": tasks, "strangers": strangers, "around": self.around.plain(),
        });
        Fingerprint(content_hash(&whole))
    }
}

/// Returns the services, and the families of task definitions, whose names begin as those of an application do.
async fn listed(client: &Client, scope: &Scope) -> Result<(Vec<Value>, Vec<String>)> {
    let prefix = names::prefix(scope);
    try_join!(
        async { client.services(&client.services_named(&prefix).await?).await },
        client.families(&prefix),
    )
}

/// What of a service somebody decides; the rest is what ECS makes of it.
const SETTINGS: [&str; 12] = [
    "serviceName",
    "taskDefinition",
    "desiredCount",
    "launchType",
    "capacityProviderStrategy",
    "deploymentConfiguration",
    "networkConfiguration",
    "loadBalancers",
    "serviceRegistries",
    "schedulingStrategy",
    "enableExecuteCommand",
    "healthCheckGracePeriodSeconds",
];

fn sorted_tags(resource: &Value) -> Value {
    let all = resource["tags"].as_array().into_iter().flatten();
    let pairs: BTreeMap<String, String> = all
        .filter_map(|tag| Some((tag["key"].as_str()?.to_owned(), tag["value"].as_str()?.to_owned())))
        .collect();
    json!(pairs)
}

/// The tasks of an application, with the services and tasks that they are of.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    found: Vec<(String, Value)>,
    known: BTreeSet<String>,
    /// Services, by the names of the spec.
    pub(crate) services: BTreeMap<String, Value>,
    /// Containers that are checked, by the ARNs of task definitions that had to be looked at.
    checked: BTreeMap<String, BTreeSet<String>>,
}

/// With up to so many services, the tasks of each are listed; with more, those of the cluster.
const LISTED_EACH: usize = 5;

impl Tasks {
    /// Reads tasks that run, and those that have stopped and that ECS still knows where `with_stopped` says so.
    pub(crate) async fn read(client: &Client, scope: &Scope, with_stopped: bool) -> Result<Self> {
        let prefix = names::prefix(scope);
        let (services, families) = listed(client, scope).await?;
        let mut tasks = Self::default();
        let mut natives: BTreeMap<String, String> = BTreeMap::new();
        for service in services {
            let Some(name) = tags::of(&service, tags::SERVICE).filter(|_| tags::is_ours(&service, scope))
            else {
                continue;
            };
            tasks.known.insert(name.to_owned());
            let native = service["serviceName"].as_str().unwrap_or_default();
            natives.insert(native.to_owned(), name.to_owned());
            tasks.services.insert(name.to_owned(), service);
        }
        // Families of ours that no service has are those of tasks.
        let of_tasks = families.iter().filter(|family| !natives.contains_key(*family));
        tasks.known.extend(of_tasks.map(|family| family[prefix.len()..].to_owned()));
        let states: &[&str] = if with_stopped { &["RUNNING", "STOPPED"] } else { &["RUNNING"] };
        let mut filters: Vec<Value> = vec![json!({"startedBy": started_by(scope)})];
        if natives.len() <= LISTED_EACH {
            filters.extend(natives.keys().map(|native| json!({"serviceName": native})));
        } else {
            filters = vec![json!({})];
        }
        let lists: Vec<_> = filters
            .iter()
            .flat_map(|filter| states.iter().map(move |state| client.tasks_of(filter.clone(), state)))
            .collect();
        let arns: Vec<Vec<String>> = stream::iter(lists).buffered(PARALLEL).try_collect().await?;
        let arns: BTreeSet<String> = arns.into_iter().flatten().collect();
        let arns: Vec<String> = arns.into_iter().collect();
        let own = started_by(scope);
        for task in client.tasks(&arns).await? {
            let group = task["group"].as_str().unwrap_or_default();
            let of_service = group.strip_prefix("service:").and_then(|native| natives.get(native));
            let of_task = (task["startedBy"] == own.as_str())
                .then(|| family_of(task["taskDefinitionArn"].as_str()?)?.strip_prefix(&prefix))
                .flatten();
            if let Some(name) = of_service.map(String::as_str).or(of_task) {
                tasks.found.push((name.to_owned(), task));
            }
        }
        tasks.look_at_checks(client).await?;
        Ok(tasks)
    }

    /// Reads which containers are checked of those whose health is not known: ECS tells of what is checked for the first time and of what
    /// never is the same. Outside a rollout nobody waits for a first check, and nothing is read.
    async fn look_at_checks(&mut self, client: &Client) -> Result<()> {
        let is_rolling = |name: &str| {
            let all = self.services.get(name).and_then(|service| service["deployments"].as_array());
            all.into_iter().flatten().any(|one| one["rolloutState"] == "IN_PROGRESS")
        };
        let is_open = |task: &Value| {
            task["lastStatus"] == "RUNNING"
                && !matches!(task["healthStatus"].as_str(), Some("HEALTHY" | "UNHEALTHY"))
        };
        let arns: BTreeSet<&str> = self
            .all()
            .filter(|(name, task)| is_open(task) && is_rolling(name))
            .filter_map(|(_, task)| task["taskDefinitionArn"].as_str())
            .collect();
        let calls: Vec<_> = arns.iter().map(|arn| client.definition(arn)).collect();
        let found: Vec<Option<Value>> = stream::iter(calls).buffered(PARALLEL).try_collect().await?;
        let checked = |definition: &Value| {
            let all = crate::explain::defined(definition);
            let all = all.filter(|one| one["healthCheck"].is_object());
            all.filter_map(|one| one["name"].as_str().map(str::to_owned)).collect()
        };
        let checked = arns
            .iter()
            .zip(&found)
            .filter_map(|(arn, one)| Some(((*arn).to_owned(), checked(one.as_ref()?))));
        self.checked = checked.collect();
        Ok(())
    }

    /// Returns whether a container is known to be checked.
    pub(crate) fn is_checked(&self, task: &Value, container: &str) -> bool {
        let definition = task["taskDefinitionArn"].as_str().and_then(|arn| self.checked.get(arn));
        definition.is_some_and(|names| names.contains(container))
    }

    /// Returns every task with the name of its service or task.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.found.iter().map(|(name, task)| (name.as_str(), task))
    }

    /// Returns the tasks of one service or task.
    pub(crate) fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Value> {
        self.all().filter(move |(own, _)| *own == name).map(|(_, task)| task)
    }

    /// Returns whether there is a service or task of a name.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.known.contains(name)
    }

    /// Returns the names of tasks that are known.
    pub(crate) fn tasks(&self) -> impl Iterator<Item = &str> {
        self.known.iter().map(String::as_str).filter(|name| !self.services.contains_key(*name))
    }
}

/// A revision that is kept, as the tag of a service tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) number: u64,
    /// The first letters of its hash.
    pub(crate) hash: String,
    pub(crate) failed: bool,
}

/// How much of a hash the tag holds.
pub(crate) const SHORT_HASH: usize = 12;

/// Reads the kept revisions of a service, newest first.
pub(crate) fn kept(service: &Value) -> Vec<Kept> {
    let text = tags::of(service, tags::REVISIONS).unwrap_or_default();
    let one = |text: &str| {
        let mut parts = text.split(':');
        let number = parts.next()?.parse().ok()?;
        let hash = parts.next()?.to_owned();
        Some(Kept { number, hash, failed: parts.next() == Some("failed") })
    };
    text.split(' ').filter_map(one).collect()
}

/// Writes the kept revisions of a service for its tag.
pub(crate) fn kept_tag(kept: &[Kept]) -> String {
    let one = |kept: &Kept| {
        let failed = if kept.failed { ":failed" } else { "" };
        format!("{}:{}{failed}", kept.number, kept.hash)
    };
    kept.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// Returns the beginning of a hash, as tags hold it.
pub(crate) fn short(hash: &str) -> &str {
    hash.get(..SHORT_HASH).unwrap_or(hash)
}

/// Returns the number of the revision that a service runs.
pub(crate) fn revision_of(service: &Value) -> Option<u64> {
    service["taskDefinition"].as_str().and_then(number_of)
}

/// Reads a moment: seconds, as AWS JSON has them, or a text.
pub(crate) fn moment(value: &Value) -> Option<Timestamp> {
    if let Some(text) = value.as_str() {
        return text.parse().ok();
    }
    let seconds = value.as_f64()?;
    #[expect(clippy::cast_possible_truncation, reason = "milliseconds of any moment fit")]
    let millis = (seconds * 1000.0) as i64;
    Timestamp::from_millisecond(millis).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_revisions_fit_into_a_tag() {
        let all: Vec<Kept> = (0..10)
            .map(|at| Kept { number: 999_999 - at, hash: "0123456789ab".to_owned(), failed: at % 3 == 0 })
            .collect();
        let text = kept_tag(&all);
        assert!(text.len() <= 256, "{}", text.len());
        let service = json!({"tags": [{"key": tags::REVISIONS, "value": text}]});
        assert_eq!(kept(&service), all);
        assert!(kept(&json!({})).is_empty());
    }
}
