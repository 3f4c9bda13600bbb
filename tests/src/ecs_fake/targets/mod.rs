//! Elastic Load Balancing: load balancers, listeners, rules, target groups, and what is registered there.

mod actions;
mod groups;
mod health;
mod listeners;
mod plane;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::time::Instant;

pub(super) use self::health::check;
use super::{
    Shared,
    state::{Names, Tags, World, hex},
    value::{Doc, Done, Fail},
};

#[derive(Debug)]
pub(super) struct Balancing {
    pub(super) names: Names,
    balancers: BTreeMap<String, Value>,
    listeners: BTreeMap<String, Listener>,
    /// By ARN; the default rule of a listener is part of it.
    rules: BTreeMap<String, Rule>,
    pub(super) groups: BTreeMap<String, Group>,
    /// Tags of anything, by ARN.
    tags: BTreeMap<String, Tags>,
    registered: Vec<Registered>,
}

#[derive(Debug)]
struct Listener {
    document: Value,
    address: SocketAddr,
    /// Ends its data plane.
    serving: tokio::task::AbortHandle,
}

#[derive(Debug)]
struct Rule {
    listener: String,
    document: Value,
}

#[derive(Debug)]
pub(super) struct Group {
    pub(super) document: Value,
    attributes: BTreeMap<String, String>,
}

/// A target in a group.
#[derive(Clone, Debug)]
struct Registered {
    group: String,
    task: String,
    address: String,
    port: u16,
    is_real: bool,
    /// What becomes of one that is not real.
    turns_healthy: bool,
    state: &'static str,
    good: i64,
    bad: i64,
    reason: Option<(&'static str, String)>,
    next_check: Instant,
    /// Requests that are not yet answered.
    open: usize,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Balancing {
    pub(super) fn new(names: Names) -> Self {
        Self {
            names,
            balancers: BTreeMap::new(),
            listeners: BTreeMap::new(),
            rules: BTreeMap::new(),
            groups: BTreeMap::new(),
            tags: BTreeMap::new(),
            registered: Vec::new(),
        }
    }

    pub(super) fn listener_address(&self, arn: &str) -> Option<SocketAddr> {
        self.listeners.get(arn).map(|listener| listener.address)
    }

    /// Returns the target groups with their names and tags.
    pub(super) fn group_names(&self) -> impl Iterator<Item = (&String, &str, Option<&Tags>)> {
        self.groups.iter().map(|(arn, group)| {
            (arn, group.document.text("TargetGroupName").unwrap_or_default(), self.tags.get(arn))
        })
    }

    /// Returns the ARNs of rules, with their tags.
    pub(super) fn rule_tags(&self) -> impl Iterator<Item = (&String, Option<&Tags>)> {
        self.rules.keys().map(|arn| (arn, self.tags.get(arn)))
    }

    /// Returns whether a listener sends something to a group.
    pub(super) fn is_attached(&self, group: &str) -> bool {
        let defaults = self.listeners.values().map(|listener| listener.document.list("DefaultActions"));
        let ruled = self.rules.values().map(|rule| rule.document.list("Actions"));
        defaults
            .chain(ruled)
            .flatten()
            .any(|action| actions::groups(action).iter().any(|(arn, _)| arn == group))
    }

    pub(super) fn has_rule(&self, arn: &str) -> bool {
        self.rules.contains_key(arn) || self.listeners.contains_key(arn) || self.is_default_rule(arn)
    }

    fn is_default_rule(&self, arn: &str) -> bool {
        self.listeners.keys().any(|listener| listeners::default_rule(listener) == arn)
    }

    /// Gives shares of the traffic of a rule, or of a listener, to target groups.
    pub(super) fn weigh(&mut self, rule: &str, weights: &[(&str, f64)]) {
        let groups = weights
            .iter()
            .map(|(group, weight)| json!({ "TargetGroupArn": group, "Weight": format!("{weight:.0}") }));
        let action =
            json!([{ "Type": "forward", "ForwardConfig": { "TargetGroups": groups.collect::<Vec<_>>() } }]);
        if let Some(rule) = self.rules.get_mut(rule) {
            rule.document["Actions"] = action;
            return;
        }
        let found =
            self.listeners.iter_mut().find(|(arn, _)| *arn == rule || listeners::default_rule(arn) == rule);
        if let Some((_, listener)) = found {
            listener.document["DefaultActions"] = action;
        }
    }

    pub(super) fn register(
        &mut self,
        group: &str,
        task: &str,
        address: Option<&str>,
        port: u16,
        is_real: bool,
        turns_healthy: bool,
    ) {
        self.registered.push(Registered {
            group: group.to_owned(),
            task: task.to_owned(),
            address: address.unwrap_or_default().to_owned(),
            port,
            is_real,
            turns_healthy,
            state: "initial",
            good: 0,
            bad: 0,
            reason: Some(("Elb.RegistrationInProgress", "Target registration is in progress".to_owned())),
            next_check: Instant::now(),
            open: 0,
        });
    }

    /// Sends nothing new to a task, and returns how long what is open may take.
    pub(super) fn deregister(&mut self, task: &str) -> Option<Duration> {
        let mut longest = None;
        for target in self.registered.iter_mut().filter(|target| target.task == task) {
            target.state = "draining";
            target.reason =
                Some(("Target.DeregistrationInProgress", "Target deregistration is in progress".to_owned()));
            let delay = self
                .groups
                .get(&target.group)
                .and_then(|group| group.attributes.get("deregistration_delay.timeout_seconds")?.parse().ok());
            longest = longest.max(Some(Duration::from_secs(delay.unwrap_or(300))));
        }
        longest
    }

    /// Returns whether nothing is open that was sent to a task.
    pub(super) fn is_drained(&self, task: &str) -> bool {
        self.registered.iter().all(|target| target.task != task || target.open == 0)
    }

    pub(super) fn forget(&mut self, task: &str) {
        self.registered.retain(|target| target.task != task);
    }

    /// Returns whether a task is healthy in each of its groups.
    pub(super) fn is_healthy(&self, task: &str) -> bool {
        let mut own = self.registered.iter().filter(|target| target.task == task).peekable();
        own.peek().is_some() && own.all(|target| target.state == "healthy")
    }

    /// Returns a group in which a task is not healthy.
    pub(super) fn unhealthy_in(&self, task: &str) -> Option<String> {
        let found = self.registered.iter().find(|target| target.task == task && target.state == "unhealthy");
        found.map(|target| target.group.clone())
    }

    fn arn(&self, rest: &str) -> String {
        self.names.of("elasticloadbalancing", rest)
    }

    fn remove_group(&mut self, arn: &str) {
        self.tags.remove(arn);
        self.groups.remove(arn);
    }
}

fn short() -> String {
    hex()[..16].to_owned()
}

fn missing(code: &str, what: &str) -> Fail {
    Fail::new(code, format!("One or more {what} not found"))
}

pub(super) fn answer(shared: &Arc<Shared>, world: &mut World, operation: &str, body: &Value) -> Done {
    let balancing = &mut world.balancing;
    match operation {
        "CreateLoadBalancer" => listeners::create_balancer(balancing, body),
        "DescribeLoadBalancers" => listeners::describe_balancers(balancing, body),
        "DeleteLoadBalancer" => listeners::delete_balancer(balancing, body),
        "CreateListener" => listeners::create(shared, balancing, body),
        "DescribeListeners" => listeners::describe(balancing, body),
        "ModifyListener" => listeners::modify(balancing, body),
        "DeleteListener" => listeners::delete(balancing, body),
        "CreateRule" => listeners::create_rule(balancing, body),
        "ModifyRule" => listeners::modify_rule(balancing, body),
        "DescribeRules" => listeners::describe_rules(balancing, body),
        "DeleteRule" => listeners::delete_rule(balancing, body),
        "SetRulePriorities" => listeners::set_priorities(balancing, body),
        "CreateTargetGroup" => groups::create(balancing, body),
        "ModifyTargetGroup" => groups::modify(balancing, body),
        "ModifyTargetGroupAttributes" => groups::modify_attributes(balancing, body),
        "DescribeTargetGroupAttributes" => groups::describe_attributes(balancing, body),
        "DescribeTargetGroups" => groups::describe(balancing, body),
        "DeleteTargetGroup" => groups::delete(balancing, body),
        "DescribeTargetHealth" => health::describe(balancing, body),
        "AddTags" | "RemoveTags" => {
            let arns = body.texts("ResourceArns");
            for arn in arns {
                let tags = balancing.tags.entry(arn).or_default();
                tags.extend(read_tags(body));
                tags.retain(|key, _| !body.texts("TagKeys").contains(key));
            }
            Ok(json!({}))
        }
        "DescribeTags" => {
            let asked = body.texts("ResourceArns");
            if asked.len() > 20 {
                return Err(Fail::new("ValidationError", "At most 20 resources may be described."));
            }
            let shown = asked.into_iter().map(|arn| {
                let tags = balancing.tags.get(&arn).into_iter().flatten();
                let tags: Vec<Value> =
                    tags.map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
                json!({ "ResourceArn": arn, "Tags": tags })
            });
            Ok(json!({ "TagDescriptions": shown.collect::<Vec<_>>() }))
        }
        other => Err(Fail::gap(&format!("elasticloadbalancing:{other}"))),
    }
}

fn read_tags(body: &Value) -> Tags {
    let pair =
        |tag: &Value| Some((tag.text("Key")?.to_owned(), tag.text("Value").unwrap_or_default().to_owned()));
    body.list("Tags").iter().filter_map(pair).collect()
}

/// Reads a number out of a form.
fn number(body: &Value, key: &str) -> Option<i64> {
    body.text(key)?.parse().ok()
}

/// Cuts a page out of a list: markers are places in it.
fn paged(all: &[Value], body: &Value, key: &str) -> Value {
    const MOST: usize = 400;
    let start = body.text("Marker").and_then(|marker| marker.parse().ok()).unwrap_or(0).min(all.len());
    let size = number(body, "PageSize").and_then(|size| usize::try_from(size).ok()).unwrap_or(MOST);
    let end = (start + size.clamp(1, MOST)).min(all.len());
    let next = (end < all.len()).then(|| end.to_string());
    json!({ (key): all[start..end].to_vec(), "NextMarker": next })
}
