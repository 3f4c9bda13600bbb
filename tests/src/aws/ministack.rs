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

use super::{Api, MOTO, Moto, variable};
use crate::docker::Engine;

/// The variable that names the address of MiniStack.
pub const MINISTACK: &str = "STRADDLE_TEST_AWS_MINISTACK";

/// The family of task definitions of which planted services are made.
const PLANTED: &str = "planted";

/// Connects to the cluster under test as another process would.
pub type Connect = Arc<dyn Fn() -> BoxFuture<'static, Result<Arc<dyn Orchestrator>>> + Send + Sync>;

/// A cluster of MiniStack, looked at with calls of its own; images are put on the Docker engine that its tasks run on.
///
/// # What its ECS is not
///
/// - Tasks are containers on the engine's default bridge, which this machine reaches, each in a network of its own: those of one task do not
///   meet on `localhost`, and the address of the task is that of the first container that comes up. The address of the task metadata leads
///   nowhere.
/// - Of a container definition it honours `image`, `command`, `environment`, `secrets`, `awslogs`, `privileged`, added capabilities and
///   `host.sourcePath`; not `entryPoint`, `user`, `workingDirectory`, `healthCheck`, `dependsOn`, `dockerLabels`, `stopTimeout`, limits and
///   other volumes. Of overrides, `command` and `environment`.
/// - A `SecureString` of the Parameter Store comes to a container as it is stored, not as what it means.
/// - When an essential container ends, the others run on until MiniStack ends, and their exit codes are made up; those of a stopped task too.
/// - The first deployment of a service is `COMPLETED` from the start, and no circuit breaker watches it: it starts what ends at once again
///   without an end. Those that follow fail and roll back as on ECS. `DescribeServices` goes on showing a deployment that failed.
/// - A task of a service that was stopped by `StopTask` is not replaced until the service changes.
/// - `clientToken` is ignored, and tags are not propagated. `DescribeServices` shows tags without being asked, but then only those of the creation.
/// - Stopping a container takes five seconds where it does not heed the signal, and whoever asked for it waits, one container after the other.
/// - Schedules never run a task, services register nowhere in Cloud Map, and Application Auto Scaling is not there at all: see [`Moto`].
/// - A rule that forwards by `ForwardConfig` alone forwards nowhere: `TargetGroupArn` is looked at. Priorities may be taken twice.
#[derive(Clone)]
pub struct MiniStack {
    api: Api,
    moto: Option<Moto>,
    docker: Engine,
    cluster: String,
    connect: Option<Connect>,
}

/// An Application Load Balancer whose listener answers 404 to what no rule is for.
#[derive(Clone, Debug)]
pub struct LoadBalancer {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// The ARN of its listener on port 80.
    pub listener: String,
    /// The name under which the world finds it.
    pub host: String,
}

impl fmt::Debug for MiniStack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MiniStack").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

impl MiniStack {
    /// Finds the one that the environment names, and makes a cluster in it unless it is there; connects to the engine.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) where the environment names none, [`Unavailable`](ErrorKind::Unavailable) where it or the engine does
    /// not answer.
    pub async fn find(cluster: &str) -> Result<Self> {
        let api = Api::at(&variable(MINISTACK)?)?;
        let moto = variable(MOTO).is_ok().then(Moto::find).transpose()?;
        let docker = Engine::connect().await?;
        let found = Self { api, moto, docker, cluster: cluster.to_owned(), connect: None };
        found.create_cluster(cluster).await?;
        Ok(found)
    }

    /// Sets how [`begin_apply`](Witness::begin_apply) connects.
    #[must_use]
    pub fn with_backend(mut self, connect: Connect) -> Self {
        self.connect = Some(connect);
        self
    }

    /// Returns its API.
    #[must_use]
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// Returns the engine of its tasks.
    #[must_use]
    pub fn docker(&self) -> &Engine {
        &self.docker
    }

    /// Returns the name of the cluster.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Makes a cluster; one that is there stays as it is.
    ///
    /// # Errors
    ///
    /// Those of [`Api::call`].
    pub async fn create_cluster(&self, name: &str) -> Result<()> {
        self.ecs("CreateCluster", json!({"clusterName": name})).await.map(drop)
    }

    /// Makes a load balancer with a listener.
    ///
    /// # Errors
    ///
    /// Those of [`Api::call`].
    pub async fn create_load_balancer(&self, name: &str) -> Result<LoadBalancer> {
        let request =
            json!({"Name": name, "Type": "application", "Subnets": ["subnet-00000001", "subnet-00000002"]});
        let made = self.elb("CreateLoadBalancer", request).await?;
        let made = &made["LoadBalancers"][0];
        let (arn, host) = (text(&made["LoadBalancerArn"])?, text(&made["DNSName"])?);
        let nothing =
            json!({"StatusCode": "404", "ContentType": "text/plain", "MessageBody": "no rule is for this"});
        let listener = json!({
            "LoadBalancerArn": arn, "Protocol": "HTTP", "Port": 80,
            "DefaultActions": [{"Type": "fixed-response", "FixedResponseConfig": nothing}],
        });
        let listener = text(&self.elb("CreateListener", listener).await?["Listeners"][0]["ListenerArn"])?;
        Ok(LoadBalancer { name: name.to_owned(), arn, listener, host })
    }

    /// Removes a load balancer with its listener.
    ///
    /// # Errors
    ///
    /// Those of [`Api::call`].
    pub async fn delete_load_balancer(&self, balancer: &LoadBalancer) -> Result<()> {
        self.elb("DeleteListener", json!({"ListenerArn": balancer.listener})).await?;
        self.elb("DeleteLoadBalancer", json!({"LoadBalancerArn": balancer.arn})).await.map(drop)
    }

    /// Asks a load balancer for a path of a host, which may be any that its rules are for; returns the status and the body.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) where nobody answers.
    pub async fn fetch(&self, balancer: &LoadBalancer, host: &str, path: &str) -> Result<(u16, String)> {
        // By its own name it is found under any path; by another one it has to be named there.
        if host == balancer.host {
            self.api.fetch(host, path).await
        } else {
            self.api.fetch(host, &format!("/_alb/{}{path}", balancer.name)).await
        }
    }

    async fn ecs(&self, operation: &str, parameters: Value) -> Result<Value> {
        self.api.call("ecs", operation, &parameters).await
    }

    async fn elb(&self, operation: &str, parameters: Value) -> Result<Value> {
        self.api.call("elbv2", operation, &parameters).await
    }

    /// Calls an operation until its answer has no next page, and returns the items of all pages.
    async fn all(
        &self,
        service: &str,
        operation: &str,
        items: &str,
        mut parameters: Value,
    ) -> Result<Vec<Value>> {
        // Each service spells it in its way.
        const TOKENS: [(&str, &str); 3] =
            [("nextToken", "nextToken"), ("NextToken", "NextToken"), ("NextMarker", "Marker")];
        let mut all = Vec::new();
        loop {
            let mut page = self.api.call(service, operation, &parameters).await?;
            let next =
                TOKENS.iter().find_map(|(given, sent)| Some((*sent, page[*given].as_str()?.to_owned())));
            if let Some(items) = page[items].as_array_mut() {
                all.append(items);
            }
            let Some((sent, token)) = next else { return Ok(all) };
            parameters[sent] = token.into();
        }
    }

    async fn services(&self) -> Result<Vec<Value>> {
        let arns = self.all("ecs", "ListServices", "serviceArns", json!({"cluster": self.cluster})).await?;
        let mut services = Vec::new();
        for some in arns.chunks(10) {
            let request = json!({"cluster": self.cluster, "services": some, "include": ["TAGS"]});
            services.extend(self.all("ecs", "DescribeServices", "services", request).await?);
        }
        services.retain(|service| service["status"] != "INACTIVE");
        Ok(services)
    }

    async fn tasks(&self) -> Result<Vec<Value>> {
        let arns = self.all("ecs", "ListTasks", "taskArns", json!({"cluster": self.cluster})).await?;
        let mut tasks = Vec::new();
        for some in arns.chunks(100) {
            let request = json!({"cluster": self.cluster, "tasks": some, "include": ["TAGS"]});
            tasks.extend(self.all("ecs", "DescribeTasks", "tasks", request).await?);
        }
        tasks.retain(|task| task["lastStatus"] != "STOPPED");
        Ok(tasks)
    }

    async fn of_ecs(&self, found: &mut Found<'_>) -> Result<()> {
        for service in self.services().await? {
            found.see("service", &service["serviceName"], &service["tags"]);
        }
        for task in self.tasks().await? {
            let (arn, family) = (last(&task["taskArn"]), last(&task["taskDefinitionArn"]));
            let group = task["group"].as_str().unwrap_or_default().trim_start_matches("service:");
            if found.is_named(family) || found.is_named(group) || found.is_tagged(&task["tags"]) {
                found.add("task", arn);
            }
        }
        for arn in
            self.all("ecs", "ListTaskDefinitions", "taskDefinitionArns", json!({"status": "ACTIVE"})).await?
        {
            let tags = self.ecs("ListTagsForResource", json!({"resourceArn": arn})).await?;
            found.see("task definition", &last(&arn).into(), &tags["tags"]);
        }
        Ok(())
    }

    async fn of_load_balancers(&self, found: &mut Found<'_>) -> Result<()> {
        for group in self.all("elbv2", "DescribeTargetGroups", "TargetGroups", json!({})).await? {
            let tags = self.elb("DescribeTags", json!({"ResourceArns": [group["TargetGroupArn"]]})).await?;
            found.see("target group", &group["TargetGroupName"], &tags["TagDescriptions"][0]["Tags"]);
        }
        for balancer in self.all("elbv2", "DescribeLoadBalancers", "LoadBalancers", json!({})).await? {
            let balancer = json!({"LoadBalancerArn": balancer["LoadBalancerArn"]});
            for listener in self.all("elbv2", "DescribeListeners", "Listeners", balancer).await? {
                let listener = json!({"ListenerArn": listener["ListenerArn"]});
                for rule in self.all("elbv2", "DescribeRules", "Rules", listener).await? {
                    let tags = self.elb("DescribeTags", json!({"ResourceArns": [rule["RuleArn"]]})).await?;
                    // A rule has no name.
                    found.see("rule", &rule["RuleArn"], &tags["TagDescriptions"][0]["Tags"]);
                }
            }
        }
        Ok(())
    }

    async fn of_names(&self, found: &mut Found<'_>) -> Result<()> {
        for (kind, operation, items) in
            [("namespace", "ListNamespaces", "Namespaces"), ("name", "ListServices", "Services")]
        {
            for one in self.all("servicediscovery", operation, items, json!({})).await? {
                let tags = json!({"ResourceARN": one["Arn"]});
                let tags = self.api.call("servicediscovery", "ListTagsForResource", &tags).await?;
                found.see(kind, &one["Name"], &tags["Tags"]);
            }
        }
        Ok(())
    }

    async fn of_schedules(&self, found: &mut Found<'_>) -> Result<()> {
        let mut ours = BTreeSet::new();
        for group in self.all("scheduler", "ListScheduleGroups", "ScheduleGroups", json!({})).await? {
            let tags = json!({"ResourceArn": group["Arn"]});
            let tags = self.api.call("scheduler", "ListTagsForResource", &tags).await?;
            if found.see("schedule group", &group["Name"], &tags["Tags"]) {
                ours.insert(group["Name"].to_string());
            }
        }
        for schedule in self.all("scheduler", "ListSchedules", "Schedules", json!({})).await? {
            if ours.contains(&schedule["GroupName"].to_string()) {
                found.add("schedule", schedule["Name"].as_str().unwrap_or_default());
            }
            // A schedule has no tags.
            found.see("schedule", &schedule["Name"], &Value::Null);
        }
        Ok(())
    }

    async fn of_others(&self, found: &mut Found<'_>) -> Result<()> {
        for group in self.all("logs", "DescribeLogGroups", "logGroups", json!({})).await? {
            let tags = json!({"resourceArn": group["logGroupArn"]});
            let tags = self.api.call("logs", "ListTagsForResource", &tags).await?;
            found.see("log group", &group["logGroupName"], &tags["tags"]);
        }
        for parameter in self.all("ssm", "DescribeParameters", "Parameters", json!({})).await? {
            found.see("parameter", &parameter["Name"], &Value::Null);
        }
        if let Some(moto) = &self.moto {
            let targets = json!({"ServiceNamespace": "ecs"});
            let targets =
                moto.describe("application-autoscaling", "DescribeScalableTargets", &targets).await?;
            for target in targets["ScalableTargets"].as_array().into_iter().flatten() {
                found.see("scalable target", &target["ResourceId"], &Value::Null);
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Witness for MiniStack {
    async fn plant(&self, scope: &Scope) -> Result<String> {
        let image = image_name();
        let definition = json!({
            "family": PLANTED,
            "networkMode": "awsvpc",
            "containerDefinitions": [{"name": "planted", "image": image, "command": ["sleep"]}],
        });
        let definition = self.ecs("RegisterTaskDefinition", definition).await?;
        let service = json!({
            "cluster": self.cluster,
            "serviceName": format!("{}-web", scope.prefix()),
            "taskDefinition": definition["taskDefinition"]["taskDefinitionArn"],
            "desiredCount": 0,
        });
        text(&self.ecs("CreateService", service).await?["service"]["serviceArn"])
    }

    async fn is_intact(&self, planted: &str) -> Result<bool> {
        let services = self.services().await?;
        Ok(services.iter().any(|service| {
            service["serviceArn"] == planted
                && service["status"] == "ACTIVE"
                && service["desiredCount"] == 0
                && last(&service["taskDefinition"]).starts_with(&format!("{PLANTED}:"))
                && service["tags"].as_array().is_none_or(Vec::is_empty)
        }))
    }

    async fn uproot(&self, planted: &str) -> Result<()> {
        let services = self.services().await?;
        let definition = services.into_iter().find(|service| service["serviceArn"] == planted);
        self.ecs("DeleteService", json!({"cluster": self.cluster, "service": planted, "force": true}))
            .await?;
        if let Some(service) = definition {
            self.ecs("DeregisterTaskDefinition", json!({"taskDefinition": service["taskDefinition"]}))
                .await?;
        }
        Ok(())
    }

    async fn belongings(&self, scope: &Scope) -> Result<Vec<String>> {
        let mut found = Found { scope, names: BTreeSet::new() };
        self.of_ecs(&mut found).await?;
        self.of_load_balancers(&mut found).await?;
        self.of_names(&mut found).await?;
        self.of_schedules(&mut found).await?;
        self.of_others(&mut found).await?;
        Ok(found.names.into_iter().collect())
    }

    async fn engine(&self) -> Result<String> {
        let health = self.api.fetch("localhost", "/_ministack/health").await?.1;
        let health: Value = serde_json::from_str(&health).unwrap_or_default();
        let version = health["version"].as_str().unwrap_or("of unknown version");
        Ok(format!("MiniStack {version}, {}", Witness::engine(&self.docker).await?))
    }

    async fn put_image(&self, name: &str, content: &str) -> Result<String> {
        self.docker.put_image(name, content).await
    }

    async fn drop_image(&self, reference: &str) -> Result<()> {
        self.docker.drop_image(reference).await
    }

    async fn keep_secret(&self, name: &str, value: &str) -> Result<String> {
        let secret = json!({"Name": name, "SecretString": value});
        self.api.call("secretsmanager", "CreateSecret", &secret).await?;
        Ok(format!("aws-secretsmanager:{name}"))
    }

    async fn drop_secret(&self, reference: &str) -> Result<()> {
        let name = reference.trim_start_matches("aws-secretsmanager:");
        let secret = json!({"SecretId": name, "ForceDeleteWithoutRecovery": true});
        match self.api.call("secretsmanager", "DeleteSecret", &secret).await {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    async fn take_port(&self) -> Result<u16> {
        Err(cannot("no port of a machine is published on a cluster"))
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
    /// Takes a thing down where it is the application's by name or tags, and returns whether it is.
    fn see(&mut self, kind: &str, name: &Value, tags: &Value) -> bool {
        let name = name.as_str().unwrap_or_default();
        let is_ours = self.is_named(name) || self.is_tagged(tags);
        if is_ours {
            self.add(kind, name);
        }
        is_ours
    }

    fn add(&mut self, kind: &str, name: &str) {
        self.names.insert(format!("{kind} {name}"));
    }

    /// Whether a name, or a part of one with slashes, is as the application's are.
    fn is_named(&self, name: &str) -> bool {
        let prefix = self.scope.prefix();
        name.split('/').any(|part| {
            let rest = part.strip_prefix(&prefix);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', ':', '.']))
        })
    }

    fn is_tagged(&self, tags: &Value) -> bool {
        let tag = |wanted: &str| match tags {
            Value::Array(tags) => tags.iter().find_map(|tag| {
                let key = tag["key"].as_str().or(tag["Key"].as_str())?;
                let value = tag["value"].as_str().or(tag["Value"].as_str())?;
                (key == wanted).then(|| value.to_owned())
            }),
            tags => tags[wanted].as_str().map(str::to_owned),
        };
        tag("straddle:app").as_deref() == Some(self.scope.app())
            && tag("straddle:environment").as_deref() == Some(self.scope.environment())
    }
}

/// The last part of an ARN.
fn last(arn: &Value) -> &str {
    arn.as_str().and_then(|arn| arn.rsplit('/').next()).unwrap_or_default()
}

fn text(value: &Value) -> Result<String> {
    let missing = || Error::new(ErrorKind::Unavailable, "the answer lacks what was made");
    value.as_str().map(str::to_owned).ok_or_else(missing)
}
