//! What the conformance suite asks of the environment of a fake.

use std::{collections::BTreeSet, fmt, sync::Arc};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use straddle_conformance::{Abandoned, Applying, Witness, cannot, probe::image_name};
use straddle_core::{
    error::{Error, ErrorKind, Result},
    orchestrator::Orchestrator,
    scope::Scope,
};

use super::{
    Fake, server,
    state::{Status, Tags, World},
    value::Doc,
};
use crate::docker::Engine;

/// The family of task definitions of which planted services are made.
const PLANTED: &str = "planted";

/// Connects to the cluster under test as another process would.
pub type Connect = Arc<dyn Fn() -> BoxFuture<'static, Result<Arc<dyn Orchestrator>>> + Send + Sync>;

/// A fake, looked at from inside; images are put on the Docker engine that its tasks run on.
#[derive(Clone)]
pub struct FakeWitness {
    fake: Arc<Fake>,
    docker: Engine,
    cluster: String,
    connect: Option<Connect>,
}

impl fmt::Debug for FakeWitness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeWitness").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

impl FakeWitness {
    /// Looks at a fake, in which the cluster is made unless it is there.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) where no Docker engine answers, [`Invalid`](ErrorKind::Invalid) for a name that no cluster has.
    pub async fn new(fake: Arc<Fake>, cluster: &str) -> Result<Self> {
        let witness =
            Self { fake, docker: Engine::connect().await?, cluster: cluster.to_owned(), connect: None };
        witness.ask("ecs:CreateCluster", &json!({ "clusterName": cluster }))?;
        Ok(witness)
    }

    /// Sets how [`begin_apply`](Witness::begin_apply) connects.
    #[must_use]
    pub fn with_backend(mut self, connect: Connect) -> Self {
        self.connect = Some(connect);
        self
    }

    /// Makes a namespace of Cloud Map.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) where it is there already.
    pub fn create_namespace(&self, name: &str) -> Result<()> {
        let asked = json!({ "Name": name, "Vpc": "vpc-00000001" });
        self.ask("servicediscovery:CreatePrivateDnsNamespace", &asked).map(drop)
    }

    /// Returns the engine of the tasks.
    #[must_use]
    pub fn docker(&self) -> &Engine {
        &self.docker
    }

    /// Calls an operation, which is neither counted nor disturbed.
    fn ask(&self, operation: &str, body: &Value) -> Result<Value> {
        server::carry_out(&self.fake.shared, operation, body, None).map_err(|fail| {
            Error::new(ErrorKind::Invalid, format!("{operation}: {}: {}", fail.code, fail.message))
        })
    }
}

#[async_trait]
impl Witness for FakeWitness {
    async fn plant(&self, scope: &Scope) -> Result<String> {
        let container = json!({ "name": PLANTED, "image": image_name(), "command": ["sleep"] });
        let definition = json!({
            "family": PLANTED, "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512",
            "containerDefinitions": [container],
        });
        let made = self.ask("ecs:RegisterTaskDefinition", &definition)?;
        let service = json!({
            "cluster": self.cluster,
            "serviceName": format!("{}-web", scope.prefix()),
            "taskDefinition": made["taskDefinition"]["taskDefinitionArn"],
            "launchType": "FARGATE",
            "networkConfiguration": { "awsvpcConfiguration": { "subnets": ["subnet-planted"] } },
            "desiredCount": 0,
        });
        let made = self.ask("ecs:CreateService", &service)?;
        Ok(made["service"]["serviceArn"].as_str().unwrap_or_default().to_owned())
    }

    async fn is_intact(&self, planted: &str) -> Result<bool> {
        let asked = json!({ "cluster": self.cluster, "services": [planted], "include": ["TAGS"] });
        let found = self.ask("ecs:DescribeServices", &asked)?;
        let service = &found["services"][0];
        let family = format!("task-definition/{PLANTED}:");
        Ok(service["status"] == "ACTIVE"
            && service["desiredCount"] == 0
            && service.text("taskDefinition").is_some_and(|arn| arn.contains(&family))
            && service["networkConfiguration"]["awsvpcConfiguration"]["subnets"] == json!(["subnet-planted"])
            && service.list("deployments").len() == 1
            && service.list("tags").is_empty())
    }

    async fn uproot(&self, planted: &str) -> Result<()> {
        let found =
            self.ask("ecs:DescribeServices", &json!({ "cluster": self.cluster, "services": [planted] }))?;
        self.ask(
            "ecs:DeleteService",
            &json!({ "cluster": self.cluster, "service": planted, "force": true }),
        )?;
        let definition = &found["services"][0]["taskDefinition"];
        self.ask("ecs:DeregisterTaskDefinition", &json!({ "taskDefinition": definition })).map(drop)
    }

    async fn belongings(&self, scope: &Scope) -> Result<Vec<String>> {
        let mut found = Found { scope, names: BTreeSet::new() };
        let world = self.fake.shared.world();
        found.in_ecs(&world);
        found.in_others(&world);
        Ok(found.names.into_iter().collect())
    }

    async fn engine(&self) -> Result<String> {
        Ok("fake control plane".to_owned())
    }

    async fn put_image(&self, name: &str, content: &str) -> Result<String> {
        self.docker.put_image(name, content).await
    }

    async fn drop_image(&self, reference: &str) -> Result<()> {
        self.docker.drop_image(reference).await
    }

    async fn keep_secret(&self, name: &str, value: &str) -> Result<String> {
        let mut world = self.fake.shared.world();
        let (names, now) = (world.ecs.names.clone(), world.ecs.now());
        world.secrets.keep(&names, name, value, now);
        Ok(format!("aws-secretsmanager:{name}"))
    }

    async fn drop_secret(&self, reference: &str) -> Result<()> {
        self.fake.shared.world().secrets.remove(reference.trim_start_matches("aws-secretsmanager:"));
        Ok(())
    }

    async fn take_port(&self) -> Result<u16> {
        Err(cannot("no port of a machine is published on a cluster"))
    }

    /// What runs on the instances ends with their engine, as where an instance starts anew.
    async fn restart_engine(&self) -> Result<()> {
        let Some(agent) = &self.fake.shared.agent else { return Err(cannot("its tasks are no containers")) };
        let tasks: Vec<String> = {
            let world = self.fake.shared.world();
            let own = world.ecs.tasks.values().filter(|task| task.cluster == self.cluster);
            own.map(|task| task.id.clone()).collect()
        };
        agent.kill(&tasks).await;
        Ok(())
    }

    async fn begin_apply(&self, scope: &Scope, spec: &str) -> Result<Box<dyn Applying>> {
        let Some(connect) = &self.connect else {
            return Err(cannot("nobody said how to connect to the cluster anew"));
        };
        Ok(Box::new(Abandoned::apply(connect().await?, scope, spec)?))
    }
}

/// What belongs to an application.
struct Found<'a> {
    scope: &'a Scope,
    names: BTreeSet<String>,
}

impl Found<'_> {
    /// Takes a thing down where it is the application's, by name or tags.
    fn see(&mut self, kind: &str, name: &str, tags: Option<&Tags>) {
        let tag = |key: &str| tags.and_then(|tags| tags.get(key)).map(String::as_str);
        let is_tagged = tag("straddle:app") == Some(self.scope.app())
            && tag("straddle:environment") == Some(self.scope.environment());
        if is_tagged || self.is_named(name) {
            self.names.insert(format!("{kind} {name}"));
        }
    }

    /// Returns whether a name, or a part of one with slashes, is as the application's are.
    fn is_named(&self, name: &str) -> bool {
        let prefix = self.scope.prefix();
        name.split('/').any(|part| {
            let rest = part.strip_prefix(&prefix);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', ':', '.']))
        })
    }

    fn in_ecs(&mut self, world: &World) {
        for service in world.ecs.services.values().filter(|service| service.status != "INACTIVE") {
            self.see("service", &service.name, Some(&service.tags));
        }
        for task in world.ecs.tasks.values().filter(|task| task.status != Status::Stopped) {
            let family = super::state::last(&task.definition);
            let name = task.service.as_deref().unwrap_or(family);
            if self.is_named(name) || self.is_named(family) {
                self.names.insert(format!("task {}", task.id));
            }
            self.see("task", &task.id, Some(&task.tags));
        }
        for definition in world.ecs.definitions.values().flatten().flatten() {
            if definition.document.text("status") == Some("ACTIVE") {
                let arn = definition.document.text("taskDefinitionArn").unwrap_or_default();
                self.see("task definition", super::state::last(arn), Some(&definition.tags));
            }
        }
    }

    fn in_others(&mut self, world: &World) {
        for (name, tags) in world.logs.groups() {
            self.see("log group", name, Some(tags));
        }
        for (_, name, tags) in world.balancing.group_names() {
            self.see("target group", name, tags);
        }
        for (arn, tags) in world.balancing.rule_tags() {
            // A rule has no name.
            self.see("rule", arn, tags);
        }
        for (name, tags) in world.discovery.services() {
            self.see("name", name, tags);
        }
        for (name, tags) in world.schedules.groups() {
            self.see("schedule group", name, Some(&tags));
        }
        for (group, name) in world.schedules.names() {
            if self.is_named(group) {
                self.names.insert(format!("schedule {name}"));
            }
            self.see("schedule", name, None);
        }
        for (resource, tags) in world.scaling.resources() {
            self.see("scalable target", resource, Some(&tags));
        }
        for (name, tags) in world.secrets.parameters() {
            self.see("parameter", name, Some(tags));
        }
    }
}
