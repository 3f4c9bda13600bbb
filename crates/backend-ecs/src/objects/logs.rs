//! The group of CloudWatch Logs that the output of an application goes to.

use serde_json::{Value, json};
use straddle_aws::{Refused, Service};
use straddle_core::{error::Result, scope::Scope};

use super::{Object, Seen};
use crate::{client::Client, names, tags, translate::LOG_GROUP};

const LOGS: (&Service, &str) = (&Service::LOGS, "CloudWatch Logs");

/// Finds the group, where it is ours.
pub(super) async fn find(client: &Client, scope: &Scope) -> Result<Seen> {
    let name = names::log_group(scope);
    let answer = client.asked_of(LOGS, "DescribeLogGroups", &json!({"logGroupNamePrefix": name})).await?;
    let groups = answer["logGroups"].as_array().into_iter().flatten();
    let Some(group) = groups.into_iter().find(|group| group["logGroupName"] == name.as_str()) else {
        return Ok(Seen::default());
    };
    let arn = group["arn"].as_str().unwrap_or_default().trim_end_matches(":*");
    let answer = client.asked_of(LOGS, "ListTagsForResource", &json!({"resourceArn": arn})).await?;
    let tag = |key: &str| answer["tags"][key].as_str();
    let is_ours = tag(tags::MANAGED_BY) == Some(tags::STRADDLE)
        && tag(tags::APP) == Some(scope.app())
        && tag(tags::ENVIRONMENT) == Some(scope.environment());
    if !is_ours {
        return Ok(Seen::default());
    }
    let document = json!({"logGroupName": name, "retentionInDays": group["retentionInDays"]});
    Ok(Seen { own: vec![Object::new(LOG_GROUP, name, document)], strangers: Vec::new() })
}

pub(super) fn is_same(wanted: &Value, found: &Value) -> bool {
    wanted.get("retentionInDays").unwrap_or(&Value::Null) == &found["retentionInDays"]
}

/// Makes the group. One that is there already, also one of somebody else, is written to as it is.
pub(super) async fn make(client: &Client, document: &Value) -> Result<()> {
    let name = &document["logGroupName"];
    let ask = json!({"logGroupName": name, "tags": document["tags"]});
    match client.call(&Service::LOGS, "CreateLogGroup", &ask).await {
        Ok(_) => {}
        Err(refused) if refused.code() == Some("ResourceAlreadyExistsException") => {}
        Err(refused) => return Err(refused.into_error(LOGS.1, "logs:CreateLogGroup")),
    }
    match document.get("retentionInDays") {
        Some(days) => {
            let ask = json!({"logGroupName": name, "retentionInDays": days});
            client.asked_of(LOGS, "PutRetentionPolicy", &ask).await.map(drop)
        }
        None => {
            match client.call(&Service::LOGS, "DeleteRetentionPolicy", &json!({"logGroupName": name})).await {
                Err(refused) if !is_missing(&refused) => {
                    Err(refused.into_error(LOGS.1, "logs:DeleteRetentionPolicy"))
                }
                _ => Ok(()),
            }
        }
    }
}

pub(super) async fn remove(client: &Client, name: &str) -> Result<()> {
    match client.call(&Service::LOGS, "DeleteLogGroup", &json!({"logGroupName": name})).await {
        Err(refused) if !is_missing(&refused) => Err(refused.into_error(LOGS.1, "logs:DeleteLogGroup")),
        _ => Ok(()),
    }
}

/// Returns whether a refusal only says that there is nothing.
pub(crate) fn is_missing(refused: &Refused) -> bool {
    refused.code() == Some("ResourceNotFoundException")
}
