//! What stands around services and tasks: groups of logs, target groups and rules, scaling, schedules, names.
//!
//! Every kind is found by names and tags, made so that making it again changes nothing, and removed only where it carries our tags. What others have
//! under a name that we would give, or on the very conditions of a rule, is seen and never touched.
//!
//! Reading asks for whole listings, side by side, and never for one service at a time:
//!
//! | what | calls | asked where |
//! |---|---|---|
//! | logs | 1, and 1 for the tags of the group | always |
//! | rules, target groups | a page of each, and 1 for the tags of each 20 | the target has a `listener` |
//! | names in Cloud Map | 1, and a page of 100 in the namespace | the target has a `namespace` |
//! | group of schedules | 1 | always |
//! | schedules | 1 for the tags of the group, a page of 100, and 1 for each that somebody changed by hand | there is a group |
//! | scalable targets | a page of 50 in the account | always |
//! | policies, scheduled actions | 1 for each 12 services that scale, a page of 50 in the account | something scales |

mod balancing;
mod discovery;
mod logs;
mod scaling;
mod schedules;

pub(crate) use self::{
    discovery::{description, full_name},
    logs::is_missing,
    scaling::{action_name, policy_name},
    schedules::group_name,
};

use std::collections::BTreeMap;

use futures_util::try_join;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use straddle_aws::Refused;
use straddle_core::{
    error::{Error, ErrorKind, Result},
    scope::Scope,
};

use crate::{
    client::Client,
    translate::{
        LISTENER_RULE, LOG_GROUP, REGISTRY, SCALABLE_TARGET, SCALING_POLICY, SCHEDULE, SCHEDULE_GROUP,
        SCHEDULED_ACTION, TARGET_GROUP,
    },
};

/// An object to make, or one that goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Object {
    pub(crate) kind: String,
    pub(crate) name: String,
    /// What it should be, or what it was found as.
    pub(crate) document: Value,
}

impl Object {
    fn new(kind: &str, name: impl Into<String>, document: Value) -> Self {
        Self { kind: kind.to_owned(), name: name.into(), document }
    }

    /// Returns the placeholder by which documents name it: `@TargetGroup/shop-web`.
    pub(crate) fn placeholder(&self) -> String {
        format!("@{}/{}", self.kind, self.name)
    }
}

/// What there is of all kinds, by kind and name.
#[derive(Debug, Default)]
pub(crate) struct Found {
    own: BTreeMap<(String, String), Value>,
    /// What others have, by kind and name (of rules, by their conditions), and whose it is.
    strangers: BTreeMap<(String, String), String>,
    /// What may be ours, and has to be looked at together with our services.
    scaling: scaling::Candidates,
    schedules: schedules::Candidates,
}

impl Found {
    /// Reads what there is of an application. [`settle`](Self::settle) comes next.
    pub(crate) async fn read(client: &Client, scope: &Scope) -> Result<Self> {
        let mut found = Self::default();
        let (logs, balancing, discovery, scaling, (groups, schedules)) = try_join!(
            logs::find(client, scope),
            balancing::find(client, scope),
            discovery::find(client, scope),
            scaling::find(client, scope),
            schedules::find(client, scope),
        )?;
        for part in [logs, balancing, discovery, groups] {
            found.add(part);
        }
        (found.scaling, found.schedules) = (scaling, schedules);
        Ok(found)
    }

    /// Decides about what our services and the task definitions of our tasks tell more of; they come by the names of the spec.
    pub(crate) async fn settle(
        &mut self,
        client: &Client,
        scope: &Scope,
        services: &BTreeMap<String, Value>,
        tasks: &BTreeMap<String, Value>,
    ) -> Result<()> {
        let known: Vec<String> = self.all().filter_map(|object| arn(&object.document)).collect();
        let (scaling, schedules, names) = try_join!(
            std::mem::take(&mut self.scaling).settle(client, scope, services),
            std::mem::take(&mut self.schedules).settle(client, scope, tasks),
            discovery::elsewhere(client, scope, services, &known),
        )?;
        for part in [scaling, schedules, names] {
            self.add(part);
        }
        Ok(())
    }

    fn add(&mut self, part: Seen) {
        for object in part.own {
            self.own.insert((object.kind, object.name), object.document);
        }
        for (kind, name, whose) in part.strangers {
            self.strangers.insert((kind.to_owned(), name), whose);
        }
    }

    pub(crate) fn get(&self, kind: &str, name: &str) -> Option<&Value> {
        self.own.get(&(kind.to_owned(), name.to_owned()))
    }

    /// Returns whether an object has to be made or changed.
    ///
    /// # Errors
    ///
    /// [`Conflict`](ErrorKind::Conflict) where somebody else has what it would be.
    pub(crate) fn differs(&self, wanted: &Object) -> Result<bool> {
        if let Some(found) = self.get(&wanted.kind, &wanted.name) {
            return Ok(!is_same(wanted, found));
        }
        let name = match wanted.kind.as_str() {
            LISTENER_RULE => balancing::conditions_of(&wanted.document),
            _ => wanted.name.clone(),
        };
        match self.strangers.get(&(wanted.kind.clone(), name)) {
            Some(whose) => Err(taken(wanted, whose)),
            None => Ok(true),
        }
    }

    /// Returns whether somebody else has what would have this name.
    pub(crate) fn is_of_others(&self, kind: &str, name: &str) -> bool {
        self.strangers.contains_key(&(kind.to_owned(), name.to_owned()))
    }

    /// Returns everything that was found.
    pub(crate) fn all(&self) -> impl Iterator<Item = Object> + '_ {
        self.own.iter().map(|((kind, name), document)| Object::new(kind, name, document.clone()))
    }

    /// Returns what of it decisions rest on: what others do meanwhile makes no plan stale, and is looked at again where something is made.
    pub(crate) fn plain(&self) -> Value {
        let all: BTreeMap<String, &Value> =
            self.own.iter().map(|((kind, name), document)| (format!("{kind}/{name}"), document)).collect();
        json!(all)
    }
}

/// What is found of one family of kinds.
#[derive(Debug, Default)]
struct Seen {
    own: Vec<Object>,
    strangers: Vec<(&'static str, String, String)>,
}

/// Returns whether a service has nothing for whoever asks: who may not look at it makes nothing there either, and an emulator may not have it at
/// all, which it says in no words of AWS. Whoever needs it is told once something is to be made.
fn is_closed(refused: &Refused) -> bool {
    match refused {
        Refused::ByService(refusal) => {
            let is_closed =
                refusal.kind() == ErrorKind::Denied && !refusal.is_of_the_caller() || refusal.code.is_empty();
            if is_closed {
                tracing::debug!(%refusal, "a service is not asked any further");
            }
            is_closed
        }
        Refused::Otherwise(_) => false,
    }
}

/// Says that somebody else has what an object would be.
fn taken(wanted: &Object, whose: &str) -> Error {
    let (kind, name) = (words(&wanted.kind), &wanted.name);
    let (message, help) = if wanted.kind == LISTENER_RULE {
        let message = format!("a rule of {whose} has the conditions of {name} on the same listener");
        (message, "give `expose` another `host` or `prefix`, or remove that rule")
    } else {
        let message = format!("the {kind} {name} is there already, and belongs to {whose}");
        (message, "give the application or environment another name, or remove it")
    };
    Error::new(ErrorKind::Conflict, message).with_help(help)
}

/// Returns what users call a kind.
fn words(kind: &str) -> &str {
    match kind {
        LISTENER_RULE => "rule",
        LOG_GROUP => "group of logs",
        REGISTRY => "name in Cloud Map",
        SCALABLE_TARGET => "scalable target",
        SCALING_POLICY => "scaling policy",
        SCHEDULE => "schedule",
        SCHEDULED_ACTION => "scheduled action",
        SCHEDULE_GROUP => "group of schedules",
        TARGET_GROUP => "target group",
        other => other,
    }
}

/// Returns the ARN by which others name what was found.
pub(crate) fn arn(found: &Value) -> Option<String> {
    ["TargetGroupArn", "RuleArn", "Arn"].iter().find_map(|key| found[*key].as_str()).map(str::to_owned)
}

/// Returns whether an object goes before the service that it belongs to: what moves or begins tasks. The others go once no task uses them.
pub(crate) fn goes_first(kind: &str) -> bool {
    [SCALABLE_TARGET, SCALING_POLICY, SCHEDULE, SCHEDULED_ACTION].contains(&kind)
}

/// Sorts objects in the order in which they go: what names others before those.
pub(crate) fn in_removal_order(objects: &[Object]) -> Vec<&Object> {
    const ORDER: [&str; 8] = [
        SCALING_POLICY,
        SCHEDULED_ACTION,
        SCALABLE_TARGET,
        SCHEDULE,
        SCHEDULE_GROUP,
        LISTENER_RULE,
        TARGET_GROUP,
        REGISTRY,
    ];
    let mut all: Vec<&Object> = objects.iter().collect();
    all.sort_by_key(|object| ORDER.iter().position(|kind| *kind == object.kind).unwrap_or(ORDER.len()));
    all
}

/// Returns whether an object is what it should be.
pub(crate) fn is_same(wanted: &Object, found: &Value) -> bool {
    match wanted.kind.as_str() {
        LISTENER_RULE => balancing::is_same_rule(&wanted.document, found),
        LOG_GROUP => logs::is_same(&wanted.document, found),
        REGISTRY => discovery::is_same(&wanted.document, found),
        // It is there, and has nothing that could be different.
        SCHEDULE_GROUP => true,
        SCHEDULE => schedules::is_same(&wanted.document, found),
        SCALABLE_TARGET => scaling::is_same_target(&wanted.document, found),
        SCALING_POLICY => scaling::is_same_policy(&wanted.document, found),
        SCHEDULED_ACTION => scaling::is_same_action(&wanted.document, found),
        TARGET_GROUP => balancing::is_same_group(&wanted.document, found),
        _ => false,
    }
}

/// Makes an object, or changes it to what it should be. Returns what others name it by.
pub(crate) async fn make(client: &Client, object: &Object) -> Result<Option<String>> {
    match object.kind.as_str() {
        LISTENER_RULE => balancing::make_rule(client, object).await.map(Some),
        LOG_GROUP => logs::make(client, &object.document).await.map(|()| None),
        REGISTRY => discovery::make(client, object).await.map(Some),
        SCHEDULE => schedules::make(client, object).await.map(|()| None),
        SCHEDULE_GROUP => schedules::make_group(client, object).await.map(|()| None),
        SCALABLE_TARGET => scaling::make_target(client, object).await.map(|()| None),
        SCALING_POLICY => scaling::make_policy(client, object).await.map(|()| None),
        SCHEDULED_ACTION => scaling::make_action(client, object).await.map(|()| None),
        TARGET_GROUP => balancing::make_group(client, object).await.map(Some),
        kind => Err(unknown(kind)),
    }
}

/// Removes an object; one that is gone already is no error.
pub(crate) async fn remove(client: &Client, object: &Object) -> Result<()> {
    match object.kind.as_str() {
        LISTENER_RULE => balancing::remove_rule(client, &object.document).await,
        LOG_GROUP => logs::remove(client, &object.name).await,
        REGISTRY => discovery::remove(client, &object.document).await,
        SCHEDULE | SCHEDULE_GROUP => schedules::remove(client, object).await,
        SCALABLE_TARGET | SCALING_POLICY | SCHEDULED_ACTION => scaling::remove(client, object).await,
        TARGET_GROUP => balancing::remove_group(client, &object.document).await,
        kind => Err(unknown(kind)),
    }
}

fn unknown(kind: &str) -> Error {
    Error::new(ErrorKind::Invalid, format!("the plan has an object of a kind that is not known: {kind}"))
}
