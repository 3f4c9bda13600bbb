//! Calls that go wrong on request, and what was called.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    value::{Doc, Fail, change},
    wire::Answer,
};

/// What goes wrong with a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// The call is carried out, and the connection ends in place of the answer.
    CutAfter,
    /// The connection ends, and nothing was done.
    CutBefore,
    /// The call is carried out after this time.
    Delay(Duration),
    /// Of what was asked for, this many come back in `failures`, with this reason; `RunTask` does not start them.
    Failures(usize, String),
    /// Nothing is done, and the answer is a page, as of a proxy: 500.
    Html,
    /// Nothing is done, for there is a quota.
    LimitExceeded,
    /// The call is carried out, and a field is not in the answer: keys and places, with `*` for every member (`services.*.status`).
    Missing(String),
    /// Nothing is done, and this error is answered: status, code, message.
    Refused(u16, String, String),
    /// The call is carried out, and the answer is a `ServerException`: 500.
    ServerAfter,
    /// Nothing is done, and the answer is a `ServerException`: 500.
    ServerBefore,
    /// Nothing is done: there were too many calls.
    Throttled,
    /// The call is carried out, and a field of the answer has another value: path as for [`Missing`](Self::Missing).
    Value(String, Value),
}

/// A call that came.
#[derive(Clone, Debug)]
pub struct Call {
    /// The operation, named as a permission to it: `ecs:CreateService`.
    pub operation: String,
    /// What was asked, as a document: of services that take forms, their parameters.
    pub body: Value,
}

/// Calls, and those that are to go wrong.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) calls: Vec<Call>,
    pub(super) counts: BTreeMap<String, usize>,
    /// How many calls found no token.
    pub(super) throttled: usize,
    plan: Vec<Planned>,
    buckets: BTreeMap<&'static str, (f64, Instant)>,
}

#[derive(Debug)]
struct Planned {
    operation: String,
    /// How many calls are to go well before; `None` for no end of faults.
    before: Option<usize>,
    fault: Fault,
}

impl Record {
    pub(super) fn disturb(&mut self, operation: &str, nth: Option<usize>, fault: Fault) {
        self.plan.push(Planned { operation: operation.to_owned(), before: nth, fault });
    }

    pub(super) fn calm(&mut self) {
        self.plan.clear();
    }

    /// Notes a call, and returns what is to go wrong with it.
    pub(super) fn note(&mut self, operation: &str, body: &Value) -> Option<Fault> {
        *self.counts.entry(operation.to_owned()).or_default() += 1;
        self.calls.push(Call { operation: operation.to_owned(), body: body.clone() });
        let mut struck = None;
        let mut kept = Vec::new();
        for mut planned in std::mem::take(&mut self.plan) {
            let is_meant = planned.operation == operation || planned.operation == "*";
            match (&mut planned.before, is_meant) {
                (Some(0), true) if struck.is_none() => {
                    struck = Some(planned.fault);
                    continue;
                }
                (Some(before), true) => *before = before.saturating_sub(1),
                (None, true) if struck.is_none() => struck = Some(planned.fault.clone()),
                _ => {}
            }
            kept.push(planned);
        }
        self.plan = kept;
        struck
    }

    /// Takes a token for a call out of the bucket that the service publishes for it; `false` where there is none.
    pub(super) fn admit(&mut self, operation: &str, speed: f64) -> bool {
        let Some((bucket, burst, rate)) = bucket(operation) else { return true };
        let now = Instant::now();
        let (tokens, last) = self.buckets.entry(bucket).or_insert((burst, now));
        *tokens = (*tokens + now.duration_since(*last).as_secs_f64() * rate * speed).min(burst);
        *last = now;
        let is_there = *tokens >= 1.0;
        if is_there {
            *tokens -= 1.0;
        } else {
            self.throttled += 1;
        }
        is_there
    }
}

impl Fault {
    /// Returns what is answered in place of carrying the call out; `Ok(None)` where the connection is cut.
    pub(super) fn before(&self) -> Option<Result<Fail, Option<Answer>>> {
        Some(match self {
            Self::CutBefore => Err(None),
            Self::Html => Err(Some(html())),
            Self::LimitExceeded => {
                Ok(Fail::new("LimitExceededException", "The limit for the resource has been exceeded."))
            }
            Self::Refused(status, code, message) => {
                Ok(Fail { status: *status, ..Fail::new(code, message.clone()) })
            }
            Self::ServerBefore => Ok(server()),
            Self::Throttled => Ok(throttled()),
            _ => return None,
        })
    }

    /// Returns what becomes of an answer.
    pub(super) fn after(&self, mut answer: Value) -> Result<Value, Option<Fail>> {
        match self {
            Self::CutAfter => return Err(None),
            Self::ServerAfter => return Err(Some(server())),
            Self::Missing(path) => change(&mut answer, &path.split('.').collect::<Vec<_>>(), &None),
            Self::Value(path, value) => {
                change(&mut answer, &path.split('.').collect::<Vec<_>>(), &Some(value.clone()));
            }
            Self::Failures(count, reason) => fail_some(&mut answer, *count, reason),
            _ => {}
        }
        Ok(answer)
    }
}

/// Moves the last members of what was found to what was not.
fn fail_some(answer: &mut Value, count: usize, reason: &str) {
    let Some(object) = answer.as_object_mut() else { return };
    if !object.contains_key("failures") {
        return;
    }
    let mut failed = Vec::new();
    for (key, value) in object.iter_mut().filter(|(key, _)| *key != "failures") {
        let Some(list) = value.as_array_mut() else { continue };
        for one in list.split_off(list.len().saturating_sub(count)) {
            // The name of a field is that of its list: `services`, `serviceArn`.
            let arn = one.text(&format!("{}Arn", key.trim_end_matches('s'))).unwrap_or_default();
            failed.push(json!({ "arn": arn, "reason": reason }));
        }
    }
    if let Some(failures) = object.get_mut("failures").and_then(Value::as_array_mut) {
        failures.extend(failed);
    }
}

pub(super) fn server() -> Fail {
    Fail { status: 500, ..Fail::new("ServerException", "Service Unavailable. Please try again later.") }
}

pub(super) fn throttled() -> Fail {
    Fail::new("ThrottlingException", "Rate exceeded")
}

fn html() -> Answer {
    let page = "<html><head><title>500 Internal Server Error</title></head><body><h1>Internal Server Error</h1></body></html>";
    Answer::new(500, "text/html", page)
}

/// Returns the bucket that an operation draws from, with its burst and its rate in a second.
fn bucket(operation: &str) -> Option<(&'static str, f64, f64)> {
    let operation = operation.strip_prefix("ecs:")?;
    Some(match operation {
        "CreateCluster" | "DeleteCluster" | "UpdateCluster" | "PutClusterCapacityProviders" => {
            ("cluster modify", 20.0, 1.0)
        }
        "DescribeClusters" | "ListClusters" => ("cluster read", 50.0, 20.0),
        "RegisterTaskDefinition" | "DeregisterTaskDefinition" => ("task definition modify", 20.0, 1.0),
        "DescribeTaskDefinition" | "ListTaskDefinitions" | "ListTaskDefinitionFamilies" => {
            ("task definition read", 50.0, 20.0)
        }
        "DeleteTaskDefinitions" => ("task definition delete", 5.0, 1.0),
        "DescribeCapacityProviders" => ("capacity provider read", 50.0, 20.0),
        "CreateService" | "UpdateService" | "DeleteService" => ("service modify", 50.0, 5.0),
        "DescribeServices" | "ListServices" => ("service read", 100.0, 20.0),
        "RunTask" | "StopTask" | "ExecuteCommand" => ("cluster resource modify", 100.0, 40.0),
        "DescribeTasks" | "ListTasks" | "DescribeContainerInstances" | "ListContainerInstances" => {
            ("cluster resource read", 100.0, 20.0)
        }
        "ListServiceDeployments" | "DescribeServiceDeployments" | "StopServiceDeployment" => {
            ("service deployments", 50.0, 20.0)
        }
        "DescribeServiceRevisions" => ("service revisions", 50.0, 20.0),
        "TagResource" | "UntagResource" => ("tags modify", 20.0, 10.0),
        "ListTagsForResource" => ("tags read", 50.0, 20.0),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nth_call_goes_wrong() {
        let mut record = Record::default();
        record.disturb("ecs:RunTask", Some(1), Fault::Throttled);
        record.disturb("ecs:ListTasks", None, Fault::Html);
        let mut faults = |operation: &str| record.note(operation, &Value::Null);
        assert_eq!(faults("ecs:RunTask"), None);
        assert_eq!(faults("ecs:ListTasks"), Some(Fault::Html));
        assert_eq!(faults("ecs:RunTask"), Some(Fault::Throttled));
        assert_eq!(faults("ecs:RunTask"), None);
        assert_eq!(faults("ecs:ListTasks"), Some(Fault::Html));
        assert_eq!(record.counts["ecs:RunTask"], 3);
    }

    #[test]
    fn buckets_are_those_of_the_service() {
        let mut record = Record::default();
        let admitted = (0..30).filter(|_| record.admit("ecs:RegisterTaskDefinition", 1.0)).count();
        assert_eq!(admitted, 20);
        assert!(record.admit("ecs:DescribeTaskDefinition", 1.0));
    }
}
