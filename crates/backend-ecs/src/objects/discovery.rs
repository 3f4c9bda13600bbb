//! Names in Cloud Map by which tasks of the VPC find a service.
//!
//! Tags of services of Cloud Map are told for one at a time only, and descriptions in listings: so what our tags say stands in the description too,
//! and that is what they are known by.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use straddle_aws::Service;
use straddle_core::{
    error::{Error, ErrorKind, Result},
    scope::Scope,
};

use super::{Object, Seen, taken};
use crate::{
    client::{Client, last_part},
    document::Tag,
    names, tags,
    translate::REGISTRY,
};

const CLOUD_MAP: (&Service, &str) = (&Service::CLOUD_MAP, "Cloud Map");

/// How long and how often it is waited until the last task is not registered any more.
const FREED: (Duration, usize) = (Duration::from_secs(1), 60);
/// How many calls are made side by side.
const PARALLEL: usize = 5;

/// Writes tags as a description.
pub(crate) fn description(tags: &[Tag]) -> String {
    tags.iter().map(|tag| format!("{}={}", tag.key, tag.value)).collect::<Vec<_>>().join(" ")
}

/// Reads the tags of a description.
fn described(service: &Value) -> Value {
    let text = service["Description"].as_str().unwrap_or_default();
    let all = text.split(' ').filter_map(|part| part.split_once('='));
    let known = all.filter(|(key, _)| key.starts_with(tags::PREFIX));
    json!(known.map(|(key, value)| json!({"Key": key, "Value": value})).collect::<Vec<_>>())
}

/// Returns what a name is called here: what it is in DNS.
pub(crate) fn full_name(name: &str, namespace: &str) -> String {
    format!("{name}.{namespace}")
}

/// Finds the names of an application in the namespace of the target.
pub(super) async fn find(client: &Client, scope: &Scope) -> Result<Seen> {
    let Some(namespace) = client.config().namespace.as_deref() else { return Ok(Seen::default()) };
    let ask = json!({"Filters": [{"Name": "NAME", "Values": [namespace], "Condition": "EQ"}]});
    let token = ("NextToken", "NextToken");
    let all = client.paged(CLOUD_MAP, ("ListNamespaces", "Namespaces"), token, ask).await?;
    let found = all.iter().find(|one| one["Name"] == namespace);
    let Some(id) = found.and_then(|one| one["Id"].as_str()) else { return Ok(Seen::default()) };
    let mut seen = Seen::default();
    for service in services(client, id).await? {
        let name = service["Name"].as_str().unwrap_or_default();
        if names::may_be_of(scope, name, names::MAX_LABEL) {
            seen.see(scope, &service, (id, namespace));
        }
    }
    Ok(seen)
}

impl Seen {
    fn see(&mut self, scope: &Scope, service: &Value, (id, namespace): (&str, &str)) {
        let name = full_name(service["Name"].as_str().unwrap_or_default(), namespace);
        let tagged = json!({"Tags": described(service)});
        if tags::is_ours(&tagged, scope) {
            let document = json!({
                "Id": service["Id"], "Arn": service["Arn"], "NamespaceId": id, "DnsConfig": service["DnsConfig"],
                "Tags": tagged["Tags"],
            });
            self.own.push(Object::new(REGISTRY, name, document));
        } else {
            self.strangers.push((REGISTRY, name, tags::whose(&tagged)));
        }
    }
}

async fn services(client: &Client, namespace: &str) -> Result<Vec<Value>> {
    let ask = json!({"Filters": [{"Name": "NAMESPACE_ID", "Values": [namespace], "Condition": "EQ"}], "MaxResults": 100});
    client.paged(CLOUD_MAP, ("ListServices", "Services"), ("NextToken", "NextToken"), ask).await
}

/// Finds the names of our services in other namespaces than that of the target.
pub(super) async fn elsewhere(
    client: &Client,
    scope: &Scope,
    services: &BTreeMap<String, Value>,
    known: &[String],
) -> Result<Seen> {
    let all = services.values().flat_map(|one| one["serviceRegistries"].as_array().into_iter().flatten());
    let unknown: Vec<&str> = all
        .filter_map(|one| one["registryArn"].as_str())
        .filter(|arn| !known.iter().any(|other| other == arn))
        .collect();
    let calls: Vec<_> = unknown.into_iter().map(|arn| one_elsewhere(client, arn)).collect();
    let found: Vec<Option<(Value, Value)>> = stream::iter(calls).buffered(PARALLEL).try_collect().await?;
    let mut seen = Seen::default();
    for (service, namespace) in found.into_iter().flatten() {
        let text = |key: &str| namespace[key].as_str().unwrap_or_default();
        seen.see(scope, &service, (text("Id"), text("Name")));
    }
    // Those of others are theirs, and nobody asks for them by name.
    seen.strangers.clear();
    Ok(seen)
}

async fn one_elsewhere(client: &Client, arn: &str) -> Result<Option<(Value, Value)>> {
    let answer = client.call(CLOUD_MAP.0, "GetService", &json!({"Id": last_part(arn)})).await;
    let mut service = match answer {
        Ok(answer) => answer["Service"].clone(),
        Err(refused) if refused.code() == Some("ServiceNotFound") => return Ok(None),
        Err(refused) => return Err(refused.into_error(CLOUD_MAP.1, "servicediscovery:GetService")),
    };
    let ask = json!({"Id": service["NamespaceId"]});
    let mut answer = client.asked_of(CLOUD_MAP, "GetNamespace", &ask).await?;
    Ok(Some((service.take(), answer["Namespace"].take())))
}

pub(super) fn is_same(wanted: &Value, found: &Value) -> bool {
    let records = |one: &Value| {
        let all = one["DnsConfig"]["DnsRecords"].as_array().into_iter().flatten();
        let mut all: Vec<String> =
            all.map(|record| format!("{} {}", record["Type"], record["TTL"])).collect();
        all.sort();
        all
    };
    wanted["NamespaceId"] == found["NamespaceId"]
        && records(wanted) == records(found)
        && tags::covers(found, wanted)
}

/// Makes a name, or changes it. Returns its ARN.
pub(super) async fn make(client: &Client, object: &Object) -> Result<String> {
    let wanted = &object.document;
    let namespace = wanted["NamespaceId"].as_str().unwrap_or_default();
    for _ in 0..2 {
        let all = services(client, namespace).await?;
        if let Some(found) = all.iter().find(|one| one["Name"] == wanted["Name"]) {
            let mut told = found.clone();
            told["NamespaceId"] = json!(namespace);
            told["Tags"] = described(found);
            if !tags::are_of_one(wanted, &told) {
                return Err(taken(object, &tags::whose(&told)));
            }
            if !is_same(wanted, &told) {
                let records = json!({"DnsRecords": wanted["DnsConfig"]["DnsRecords"]});
                let change = json!({"Description": wanted["Description"], "DnsConfig": records});
                let ask = json!({"Id": found["Id"], "Service": change});
                client.asked_of(CLOUD_MAP, "UpdateService", &ask).await?;
            }
            return Ok(found["Arn"].as_str().unwrap_or_default().to_owned());
        }
        match client.call(CLOUD_MAP.0, "CreateService", wanted).await {
            Ok(answer) => {
                let arn = answer.pointer("/Service/Arn").and_then(Value::as_str).map(str::to_owned);
                return arn
                    .ok_or_else(|| Error::new(ErrorKind::Uncertain, "Cloud Map does not say what it made"));
            }
            // Somebody was faster, or a call of ours whose answer was lost.
            Err(refused) if refused.code() == Some("ServiceAlreadyExists") => {}
            Err(refused) => return Err(refused.into_error(CLOUD_MAP.1, "servicediscovery:CreateService")),
        }
    }
    let message = format!("the name {} is taken, and is not told of", object.name);
    Err(Error::new(ErrorKind::Conflict, message).with_help("run the same command again in a moment"))
}

pub(super) async fn remove(client: &Client, found: &Value) -> Result<()> {
    let mut left = FREED.1;
    loop {
        match client.call(CLOUD_MAP.0, "DeleteService", &json!({"Id": found["Id"]})).await {
            Ok(_) => return Ok(()),
            Err(refused) if refused.code() == Some("ServiceNotFound") => return Ok(()),
            // ECS takes away the last tasks a moment after they are gone.
            Err(refused) if refused.code() == Some("ResourceInUse") && left > 0 => {
                left -= 1;
                client.pause(FREED.0).await;
            }
            Err(refused) => return Err(refused.into_error(CLOUD_MAP.1, "servicediscovery:DeleteService")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_by_its_description() {
        let scope = Scope::new(&"shop".parse().unwrap());
        let mut all = tags::owned(&scope);
        all.push(tags::tag(tags::SERVICE, "web"));
        let text = description(&all);
        let tagged = json!({"Tags": described(&json!({"Description": text}))});
        assert!(tags::is_ours(&tagged, &scope));
        assert_eq!(tags::of(&tagged, tags::SERVICE), Some("web"));
        assert!(!tags::is_ours(&json!({"Tags": described(&json!({"Description": "a = b"}))}), &scope));
    }

    #[test]
    fn what_cloud_map_fills_in_is_no_difference() {
        let wanted = json!({"NamespaceId": "ns-1", "DnsConfig": {"RoutingPolicy": "MULTIVALUE", "DnsRecords": [{"Type": "A", "TTL": 10}]},
            "Tags": [{"Key": "straddle:app", "Value": "shop"}]});
        let found = |time: u32| {
            json!({"Id": "srv-1", "NamespaceId": "ns-1", "DnsConfig": {"NamespaceId": "ns-1", "RoutingPolicy": "MULTIVALUE",
            "DnsRecords": [{"Type": "A", "TTL": time}]}, "Tags": [{"Key": "straddle:app", "Value": "shop"}]})
        };
        assert!(is_same(&wanted, &found(10)));
        assert!(!is_same(&wanted, &found(60)));
    }
}
