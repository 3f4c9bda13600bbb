//! What is sent to AWS; nothing else sends.

mod buckets;

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use straddle_aws::{Outcome, Refused, Service, Session};
use straddle_core::{
    clock::{Clock, SystemClock},
    error::{Error, ErrorKind, Result, Retry},
};

use self::buckets::Buckets;
use crate::config::EcsConfig;

/// How many services one call describes.
const SERVICES_AT_ONCE: usize = 10;
/// How many tasks one call describes.
const TASKS_AT_ONCE: usize = 100;
/// How many reads are made side by side.
const PARALLEL: usize = 5;

/// Calls ECS and the services around it, for one cluster. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    aws: straddle_aws::Client,
    config: Arc<EcsConfig>,
    buckets: Arc<Buckets>,
    clock: Arc<dyn Clock>,
}

impl Client {
    pub(crate) fn new(session: Session, config: &EcsConfig) -> Self {
        Self {
            aws: straddle_aws::Client::new(session),
            config: Arc::new(config.clone()),
            buckets: Arc::default(),
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// Sets the clock by which the rates are kept.
    pub(crate) fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    pub(crate) fn region(&self) -> &str {
        self.aws.session().region()
    }

    /// Returns who calls.
    pub(crate) fn session(&self) -> &Session {
        self.aws.session()
    }

    pub(crate) fn cluster(&self) -> &str {
        self.config.cluster()
    }

    /// Returns what the target was told.
    pub(crate) fn config(&self) -> &EcsConfig {
        &self.config
    }

    /// Calls ECS and hands on what it says.
    pub(crate) async fn ecs(&self, operation: &'static str, document: &Value) -> Outcome {
        self.buckets.take(operation, &*self.clock).await;
        self.aws.call(&Service::ECS, operation, document).await
    }

    /// Calls ECS; refusals become errors.
    async fn asked(&self, operation: &'static str, document: &Value) -> Result<Value> {
        self.ecs(operation, document).await.map_err(|refused| self.error(refused, operation))
    }

    /// Calls another service, by its JSON or Query protocol.
    pub(crate) async fn call(&self, service: &Service, operation: &'static str, document: &Value) -> Outcome {
        self.aws.call(service, operation, document).await
    }

    /// Calls a service that speaks REST; `path` is escaped already.
    pub(crate) async fn rest(
        &self,
        service: &Service,
        operation: &'static str,
        way: (&'static str, &str),
        document: &Value,
    ) -> Outcome {
        self.aws.rest(service, operation, way, document).await
    }

    /// Reads all pages of a list of another service: `token` is what a page names the next one by, and what that is asked by.
    pub(crate) async fn pages(
        &self,
        service: &Service,
        (operation, key): (&'static str, &str),
        token: (&str, &str),
        ask: Value,
    ) -> std::result::Result<Vec<Value>, Refused> {
        let (mut all, mut ask) = (Vec::new(), ask);
        loop {
            let answer = self.call(service, operation, &ask).await?;
            all.extend(array(&answer[key]));
            match answer[token.0].as_str().filter(|next| !next.is_empty()) {
                Some(next) => ask[token.1] = json!(next),
                None => return Ok(all),
            }
        }
    }

    /// The same; refusals become errors in its name.
    pub(crate) async fn paged(
        &self,
        (service, name): (&Service, &str),
        (operation, key): (&'static str, &str),
        token: (&str, &str),
        ask: Value,
    ) -> Result<Vec<Value>> {
        let what = format!("{}:{operation}", service.host);
        let all = self.pages(service, (operation, key), token, ask).await;
        all.map_err(|refused| refused.into_error(name, &what))
    }

    /// Waits for what takes effect a moment after it was answered.
    pub(crate) async fn pause(&self, time: std::time::Duration) {
        self.clock.sleep(time).await;
    }

    /// Calls another service; refusals become errors in its name.
    pub(crate) async fn asked_of(
        &self,
        (service, name): (&Service, &str),
        operation: &'static str,
        document: &Value,
    ) -> Result<Value> {
        let what = format!("{}:{operation}", service.host);
        self.call(service, operation, document).await.map_err(|refused| refused.into_error(name, &what))
    }

    /// Makes an error of a refusal of ECS.
    pub(crate) fn error(&self, refused: Refused, operation: &str) -> Error {
        let what = format!("ecs:{operation}");
        let Refused::ByService(refusal) = refused else { return refused.into_error("ECS", &what) };
        let said = refusal.message.clone();
        match refusal.code.as_str() {
            "ClusterNotFoundException" => {
                let message = format!("cluster {} does not exist in {}", self.cluster(), self.region());
                Error::new(ErrorKind::NotFound, message).with_help(
                    "write `cluster` and `region` in the target, or make it: `aws ecs create-cluster`",
                )
            }
            "ServiceNotFoundException" | "ServiceNotActiveException" => Error::new(ErrorKind::NotFound, said),
            "ClientException" if said.contains("Unable to describe task definition") => {
                Error::new(ErrorKind::NotFound, said)
            }
            "TargetNotConnectedException" => Error::new(ErrorKind::Unavailable, said)
                .with_help("try again in a moment; else see what the task role may do"),
            // A role that was made a moment ago is not known everywhere yet.
            "ClientException" if said.contains("assume the service linked role") => {
                Error::new(ErrorKind::Unavailable, said)
            }
            "UpdateInProgressException" => Error::new(ErrorKind::Conflict, said).with_retry(Retry::Temporary),
            _ => refusal.into_error("ECS", &what),
        }
        .with_context("operation", what)
    }

    /// Returns the account that calls.
    pub(crate) async fn account(&self) -> Result<String> {
        let answer = self.asked_of((&Service::STS, "STS"), "GetCallerIdentity", &json!({})).await?;
        answer["Account"]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| Error::new(ErrorKind::Unavailable, "STS does not say which account this is"))
    }

    /// Reads all pages of a list of ECS.
    async fn listed(&self, operation: &'static str, ask: Value, key: &str) -> Result<Vec<String>> {
        let mut all = Vec::new();
        let mut ask = ask;
        loop {
            let answer = self.asked(operation, &ask).await?;
            let page = answer[key].as_array().into_iter().flatten();
            all.extend(page.filter_map(|one| one.as_str()).map(str::to_owned));
            match answer["nextToken"].as_str().filter(|token| !token.is_empty()) {
                Some(token) => ask["nextToken"] = json!(token),
                None => return Ok(all),
            }
        }
    }

    /// Returns the ARNs of services whose names begin with a text; those that are on their way out are not among them.
    pub(crate) async fn services_named(&self, prefix: &str) -> Result<Vec<String>> {
        let ask = json!({"cluster": self.cluster(), "maxResults": 100});
        let mut all = self.listed("ListServices", ask, "serviceArns").await?;
        all.retain(|arn| last_part(arn).starts_with(prefix));
        Ok(all)
    }

    /// Describes things by their names or ARNs, some in a call; what is not there is left out.
    async fn described(
        &self,
        operation: &'static str,
        (key, at_once): (&str, usize),
        names: &[String],
    ) -> Result<Vec<Value>> {
        let calls: Vec<_> = names
            .chunks(at_once)
            .map(|chunk| {
                let mut ask = json!({"cluster": self.cluster(), "include": ["TAGS"]});
                ask[key] = json!(chunk);
                async move {
                    let answer = self.asked(operation, &ask).await?;
                    failures(&answer, &format!("describe {key}"), &["MISSING"])?;
                    Ok::<_, Error>(array(&answer[key]))
                }
            })
            .collect();
        let pages: Vec<Vec<Value>> = stream::iter(calls).buffer_unordered(PARALLEL).try_collect().await?;
        Ok(pages.into_iter().flatten().collect())
    }

    /// Describes services, ten in a call; what is not there is left out.
    pub(crate) async fn services(&self, names: &[String]) -> Result<Vec<Value>> {
        let mut all = self.described("DescribeServices", ("services", SERVICES_AT_ONCE), names).await?;
        all.retain(|service| service["status"] != "INACTIVE");
        Ok(all)
    }

    /// Describes one service.
    pub(crate) async fn service(&self, name: &str) -> Result<Option<Value>> {
        Ok(self.services(&[name.to_owned()]).await?.pop())
    }

    /// Describes a task definition with its tags: the latest active one of a family, or a revision of it.
    pub(crate) async fn definition(&self, name: &str) -> Result<Option<Value>> {
        let ask = json!({"taskDefinition": name, "include": ["TAGS"]});
        match self.asked("DescribeTaskDefinition", &ask).await {
            Ok(mut answer) => {
                let mut definition = answer["taskDefinition"].take();
                definition["tags"] = answer["tags"].take();
                // A family whose revisions are all gone is described by its last one.
                Ok(Some(definition))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Lists the families of active task definitions whose names begin with a text.
    pub(crate) async fn families(&self, prefix: &str) -> Result<Vec<String>> {
        let ask = json!({"familyPrefix": prefix, "status": "ACTIVE", "maxResults": 100});
        let mut all = self.listed("ListTaskDefinitionFamilies", ask, "families").await?;
        all.retain(|family| family.starts_with(prefix));
        Ok(all)
    }

    /// Lists the active revisions of a family by their ARNs, newest first.
    pub(crate) async fn revisions(&self, family: &str) -> Result<Vec<String>> {
        let ask = json!({"familyPrefix": family, "status": "ACTIVE", "sort": "DESC", "maxResults": 100});
        let mut all = self.listed("ListTaskDefinitions", ask, "taskDefinitionArns").await?;
        let is_of = |arn: &String| family_of(arn) == Some(family);
        all.retain(is_of);
        all.sort_by_key(|arn| std::cmp::Reverse(number_of(arn)));
        Ok(all)
    }

    /// Registers a task definition and returns its ARN.
    pub(crate) async fn register(&self, document: &Value) -> Result<String> {
        let answer = self.asked("RegisterTaskDefinition", document).await?;
        let arn = answer.pointer("/taskDefinition/taskDefinitionArn").and_then(Value::as_str);
        arn.map(str::to_owned)
            .ok_or_else(|| Error::new(ErrorKind::Uncertain, "ECS does not say what it registered"))
    }

    /// Deregisters a revision; one that is gone already is no error.
    pub(crate) async fn deregister(&self, arn: &str) -> Result<()> {
        match self.asked("DeregisterTaskDefinition", &json!({"taskDefinition": arn})).await {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Invalid) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Sends a call about a service of this cluster, and returns what the service then is.
    pub(crate) async fn change(&self, operation: &'static str, document: &Value) -> Result<Value> {
        let mut document = document.clone();
        document["cluster"] = json!(self.cluster());
        let mut answer = self.asked(operation, &document).await?;
        Ok(answer["service"].take())
    }

    /// Sets tags of a resource of ECS.
    pub(crate) async fn tag(&self, arn: &str, tags: &[(&str, String)]) -> Result<()> {
        let tags: Vec<Value> = tags.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
        self.asked("TagResource", &json!({"resourceArn": arn, "tags": tags})).await.map(drop)
    }

    /// Takes tags from a resource of ECS.
    pub(crate) async fn untag(&self, arn: &str, keys: &[&str]) -> Result<()> {
        self.asked("UntagResource", &json!({"resourceArn": arn, "tagKeys": keys})).await.map(drop)
    }

    /// Lists tasks by their ARNs: those of a filter such as `{"serviceName": "web"}`.
    pub(crate) async fn tasks_of(&self, filter: Value, desired: &str) -> Result<Vec<String>> {
        let mut ask = filter;
        ask["cluster"] = json!(self.cluster());
        ask["desiredStatus"] = json!(desired);
        match self.listed("ListTasks", ask, "taskArns").await {
            // A service that is gone has none.
            Err(error) if error.kind() == ErrorKind::NotFound && error.message().contains("ervice") => {
                Ok(Vec::new())
            }
            other => other,
        }
    }

    /// Describes tasks, a hundred in a call; what is not known any more is left out.
    pub(crate) async fn tasks(&self, arns: &[String]) -> Result<Vec<Value>> {
        self.described("DescribeTasks", ("tasks", TASKS_AT_ONCE), arns).await
    }

    /// Runs one task.
    pub(crate) async fn run(&self, document: &Value) -> Result<Value> {
        let mut document = document.clone();
        document["cluster"] = json!(self.cluster());
        document["count"] = json!(1);
        let answer = self.asked("RunTask", &document).await?;
        match array(&answer["tasks"]).into_iter().next() {
            Some(task) => Ok(task),
            None => {
                failures(&answer, "run the task", &[])?;
                Err(Error::new(ErrorKind::Uncertain, "ECS does not say what it runs"))
            }
        }
    }

    /// Opens a session in a container.
    pub(crate) async fn execute(&self, document: &Value) -> Result<Value> {
        self.asked("ExecuteCommand", document).await
    }

    /// Stops a task; one that is gone already is no error.
    pub(crate) async fn stop(&self, arn: &str, reason: &str) -> Result<()> {
        let ask = json!({"cluster": self.cluster(), "task": arn, "reason": reason});
        match self.asked("StopTask", &ask).await {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Invalid) => Ok(()),
            other => other.map(drop),
        }
    }
}

/// Makes an error of what an answer says beside its results: ECS answers 200 for it.
fn failures(answer: &Value, what: &str, harmless: &[&str]) -> Result<()> {
    let all = answer["failures"].as_array().into_iter().flatten();
    let Some(first) = all.into_iter().find(|one| !harmless.iter().any(|reason| one["reason"] == *reason))
    else {
        return Ok(());
    };
    let reason = first["reason"].as_str().unwrap_or("no reason is given");
    let detail = first["detail"].as_str().map(|detail| format!(" ({detail})")).unwrap_or_default();
    let is_capacity = reason.starts_with("RESOURCE:")
        || reason.starts_with("Capacity is unavailable")
        || reason == "AGENT"
        || reason.starts_with("ATTRIBUTE");
    let message = format!("ECS could not {what}: {reason}{detail}");
    let error = Error::new(if is_capacity { ErrorKind::Unavailable } else { ErrorKind::Invalid }, message);
    Err(if is_capacity {
        error.with_help("is there room on the instances of the cluster, or a quota that is reached?")
    } else {
        error
    })
}

/// Returns the items of a list.
pub(crate) fn array(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

/// Returns the last part of an ARN or path: the name.
pub(crate) fn last_part(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// Returns the family of the ARN of a task definition: `web` of `...:task-definition/web:7`.
pub(crate) fn family_of(arn: &str) -> Option<&str> {
    last_part(arn).rsplit_once(':').map(|(family, _)| family)
}

/// Returns the number of the revision of the ARN of a task definition.
pub(crate) fn number_of(arn: &str) -> Option<u64> {
    last_part(arn).rsplit_once(':')?.1.parse().ok()
}
