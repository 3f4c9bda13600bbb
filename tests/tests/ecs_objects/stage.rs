//! A fake of AWS, an application on it, and what both are asked.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::{Value, json};
use straddle_core::{
    clock::SystemClock,
    engine::{Engine, EngineOptions},
    error::Result,
    model::{App, AppSpec},
    orchestrator::{Context, Holder, Orchestrator},
    plan::{Intent, Plan},
    scope::Scope,
    spec,
};
use straddle_ecs::{EcsConfig, EcsOrchestrator, Launch};
use straddle_tests::{
    aws::{Api, Model, sdk},
    ecs_fake::{Call, Fake, FakeOptions},
};

/// What calls do not change anything begin with.
const READS: [&str; 3] = ["Describe", "Get", "List"];

/// The services whose requests are held to their models, as permissions name them and as models are called.
const MODELS: [(&str, &str); 8] = [
    ("application-autoscaling", "application-autoscaling"),
    ("ecs", "ecs"),
    ("elasticloadbalancing", "elbv2"),
    ("logs", "logs"),
    ("scheduler", "scheduler"),
    ("secretsmanager", "secretsmanager"),
    ("servicediscovery", "servicediscovery"),
    ("ssm", "ssm"),
];

pub(crate) struct Stage {
    pub(crate) fake: Fake,
    pub(crate) api: Api,
    pub(crate) orchestrator: Arc<dyn Orchestrator>,
    pub(crate) scope: Scope,
    pub(crate) listener: String,
}

pub(crate) fn role(name: &str) -> Option<String> {
    Some(format!("arn:aws:iam::111122223333:role/{name}"))
}

impl Stage {
    /// Starts a fake with a cluster, a listener and a namespace.
    pub(crate) async fn new() -> Self {
        Self::with(|config| config).await
    }

    /// The same, for a target that is told something else.
    pub(crate) async fn with(change: impl FnOnce(EcsConfig) -> EcsConfig) -> Self {
        let options = FakeOptions {
            settle: Duration::from_millis(100),
            step: Duration::from_millis(5),
            check_pace: 0.01,
            minute: Duration::from_millis(200),
            ..FakeOptions::default()
        };
        let fake = Fake::start(options).unwrap();
        let api = Api::at(&fake.url()).unwrap();
        api.call("ecs", "CreateCluster", &json!({"clusterName": "main"})).await.unwrap();
        let balancer = json!({"Name": "main", "Subnets": ["subnet-1"]});
        let balancer = api.call("elbv2", "CreateLoadBalancer", &balancer).await.unwrap();
        let balancer = balancer["LoadBalancers"][0]["LoadBalancerArn"].clone();
        let nobody = json!([{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}]);
        let listener =
            json!({"LoadBalancerArn": balancer, "Protocol": "HTTP", "Port": 80, "DefaultActions": nobody});
        let listener = api.call("elbv2", "CreateListener", &listener).await.unwrap();
        let listener = listener["Listeners"][0]["ListenerArn"].as_str().unwrap().to_owned();
        let namespace = json!({"Name": "shop.internal", "Vpc": "vpc-0fake"});
        api.call("servicediscovery", "CreatePrivateDnsNamespace", &namespace).await.unwrap();
        let config = change(EcsConfig {
            cluster: Some("main".to_owned()),
            launch: Some(Launch::Fargate),
            execution_role: role("execution"),
            task_role: role("task"),
            infrastructure_role: role("infrastructure"),
            schedule_role: role("schedule"),
            subnets: vec!["subnet-1".to_owned()],
            listener: Some(listener.clone()),
            ..EcsConfig::default()
        });
        let orchestrator =
            EcsOrchestrator::from_sdk_config(sdk(&fake.url(), "eu-central-1"), config).unwrap();
        fake.forget();
        let scope = Scope::new(&"shop".parse().unwrap());
        Self { fake, api, orchestrator: Arc::new(orchestrator), scope, listener }
    }

    pub(crate) async fn plan(&self, spec: &str) -> Result<Plan> {
        let app = Box::new(app(spec));
        self.orchestrator.plan(&self.scope, &Intent::Apply { app, only: Vec::new() }).await
    }

    pub(crate) async fn carry_out(&self, plan: &Plan) -> Result<()> {
        let holder = Holder::of_this_process("a test", &SystemClock::new());
        let engine = Engine::new(EngineOptions::default());
        engine.run(&*self.orchestrator, plan, &holder, &Context::new()).await.map(drop).map_err(Into::into)
    }

    /// Applies a spec, and demands that there is nothing to do then, that saying so changes nothing, and that all requests are as published.
    pub(crate) async fn up(&self, spec: &str) -> Plan {
        let plan = self.plan(spec).await.unwrap();
        self.carry_out(&plan).await.unwrap();
        self.demand_published();
        self.fake.forget();
        let again = self.plan(spec).await.unwrap();
        assert!(again.steps.is_empty(), "a second plan is empty: {:#?}", again.steps);
        let calls = self.writes();
        assert!(calls.is_empty(), "a plan writes nothing: {calls:?}");
        plan
    }

    /// Removes everything, and demands that nothing is left.
    pub(crate) async fn down(&self) {
        let intent = || Intent::Remove { volumes: false, only: Vec::new() };
        let plan = self.orchestrator.plan(&self.scope, &intent()).await.unwrap();
        self.carry_out(&plan).await.unwrap();
        self.demand_published();
        let again = self.orchestrator.plan(&self.scope, &intent()).await.unwrap();
        assert!(again.steps.is_empty(), "nothing is left: {:#?}", again.steps);
    }

    /// Returns the operations that were called and change something.
    pub(crate) fn writes(&self) -> BTreeMap<String, usize> {
        let mut calls = self.fake.calls();
        calls.retain(|operation, _| {
            let name = operation.split_once(':').map_or("", |(_, name)| name);
            !READS.iter().any(|read| name.starts_with(read))
        });
        calls
    }

    pub(crate) async fn call(&self, service: &str, operation: &str, body: Value) -> Value {
        self.api.call(service, operation, &body).await.unwrap()
    }

    /// Returns the rules of the listener but for its default one.
    pub(crate) async fn rules(&self) -> Vec<Value> {
        let all = self.call("elbv2", "DescribeRules", json!({"ListenerArn": self.listener})).await;
        let mut all = all["Rules"].as_array().cloned().unwrap_or_default();
        all.retain(|rule| rule["IsDefault"] != true);
        all
    }

    pub(crate) async fn groups(&self) -> Vec<Value> {
        let all = self.call("elbv2", "DescribeTargetGroups", json!({})).await;
        all["TargetGroups"].as_array().cloned().unwrap_or_default()
    }

    /// Demands that every request was one that the published models allow.
    pub(crate) fn demand_published(&self) {
        for call in self.fake.requests() {
            let problems = problems(&call);
            assert!(problems.is_empty(), "{} {}: {problems:?}", call.operation, call.body);
        }
    }
}

/// Returns what is wrong with a request. Forms hold nothing but texts, so that numbers in them are not looked at.
fn problems(call: &Call) -> Vec<String> {
    let (service, operation) = call.operation.split_once(':').unwrap();
    let Some((_, model)) = MODELS.iter().find(|(name, _)| *name == service) else { return Vec::new() };
    let mut body = call.body.clone();
    if service == "scheduler" {
        // What is in the query is called otherwise there.
        for (there, here) in
            [("ScheduleGroup", "GroupName"), ("groupName", "GroupName"), ("clientToken", "ClientToken")]
        {
            let fields = body.as_object_mut().unwrap();
            if let Some(value) = fields.shift_remove(there) {
                fields.insert(here.to_owned(), value);
            }
        }
        let fields = body.as_object_mut().unwrap();
        fields.retain(|_, value| !value.is_null());
        if let Some(count) = fields.get_mut("MaxResults") {
            *count = serde_json::from_str(count.as_str().unwrap()).unwrap();
        }
    }
    if service == "elasticloadbalancing" {
        for key in ["Action", "Version"] {
            body.as_object_mut().unwrap().shift_remove(key);
        }
    }
    let mut problems = Model::load(model).unwrap().check(operation, &body);
    if service == "elasticloadbalancing" {
        problems.retain(|problem| !problem.ends_with("and is a string"));
    }
    problems
}

/// Reads an application that is called `shop`.
pub(crate) fn app(text: &str) -> App {
    let spec: AppSpec = spec::from_yaml(&format!("app: shop\n{text}")).unwrap();
    spec.check().unwrap()
}

/// An application that has everything that stands around services and tasks.
pub(crate) const WHOLE: &str = r#"services:
  web:
    image: shop/web:1
    ports: [{name: http, port: 8080}]
    health: {http: /healthz, port: http}
    expose: [{port: http, host: shop.example.com, prefix: /api}]
    autoscale: {min: 1, max: 4, cpu: 60%, schedules: [{cron: "0 8 * * *", min: 2}]}
tasks:
  report: {image: shop/report:1, env: {WEB: "${service.web.host}"}, schedule: {cron: "0 3 * * *"}}
"#;
