//! What goes wrong between Straddle and ECS: whatever call it is, the same command comes to the same end, and nothing is there twice.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test program, whose helpers fail as its tests do, and which prints its figures"
)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider, future},
};
use aws_types::{SdkConfig, region::Region};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use straddle_core::{
    clock::SystemClock,
    engine::{Engine, EngineOptions},
    error::{Error, ErrorKind, Result, Retry},
    model::App,
    orchestrator::{Context, Holder, Orchestrator, RunRequest},
    plan::{Intent, Plan},
    scope::Scope,
    spec,
};
use straddle_ecs::{EcsConfig, EcsOrchestrator};
use straddle_tests::{
    aws::Api,
    ecs_fake::{Fake, FakeOptions, Fault},
};

/// How often a command is given before it must have come to its end.
const TRIES: usize = 3;

const FIRST: &str = "\
app: shop
services:
  web: {image: 'shop/web:1', replicas: 2, after: {migrate: success}}
  cart: {image: 'shop/cart:1'}
tasks:
  migrate: {image: 'exit:0'}
";

const SECOND: &str = "\
app: shop
services:
  web: {image: 'shop/web:2', replicas: 3, after: {migrate: success}}
tasks:
  migrate: {image: 'exit:0', env: {TO: two}}
";

fn app(text: &str) -> App {
    spec::from_yaml(text).unwrap()
}

/// Gives other keys each time that it is asked, as a session does that is renewed.
#[derive(Debug, Default)]
struct Renewed(AtomicUsize);

impl ProvideCredentials for Renewed {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let token = self.0.fetch_add(1, Ordering::Relaxed).to_string();
        let keys = Credentials::new("test", "test", Some(token), None, "tests");
        future::ProvideCredentials::ready(Ok(keys))
    }
}

struct Stage {
    fake: Fake,
    api: Api,
    orchestrator: Arc<dyn Orchestrator>,
    scope: Scope,
}

impl Stage {
    fn new() -> Self {
        Self::with(FakeOptions::default())
    }

    fn with(options: FakeOptions) -> Self {
        let fake = Fake::start(FakeOptions {
            settle: Duration::from_millis(30),
            step: Duration::from_millis(2),
            ..options
        })
        .unwrap();
        let sdk = SdkConfig::builder()
            .region(Region::new("eu-central-1"))
            .endpoint_url(fake.url())
            .credentials_provider(SharedCredentialsProvider::new(Renewed::default()))
            .build();
        let config = EcsConfig {
            execution_role: Some("arn:aws:iam::111122223333:role/execution".to_owned()),
            subnets: vec!["subnet-00000001".to_owned()],
            ..EcsConfig::default()
        };
        let orchestrator = Arc::new(EcsOrchestrator::from_sdk_config(sdk, config).unwrap());
        let (api, scope) = (Api::at(&fake.url()).unwrap(), Scope::new(&"shop".parse().unwrap()));
        Self { fake, api, orchestrator, scope }
    }

    async fn plan(&self, intent: &Intent) -> Result<Plan> {
        self.orchestrator.plan(&self.scope, intent).await
    }

    async fn once(&self, intent: &Intent) -> Result<()> {
        let plan = self.plan(intent).await?;
        let holder = Holder::of_this_process("a test", &SystemClock::new());
        let engine = Engine::new(EngineOptions::default());
        engine.run(&*self.orchestrator, &plan, &holder, &Context::new()).await.map(drop).map_err(Error::from)
    }

    /// Gives a command until it is done.
    async fn to_its_end(&self, intent: &Intent) -> Result<()> {
        let mut last = Ok(());
        for _ in 0..TRIES {
            last = self.once(intent).await;
            if last.is_ok() {
                break;
            }
        }
        last
    }

    /// Returns what there is: services with what they run, tasks that run, and the revisions of each family.
    async fn state(&self) -> Value {
        let all = |answer: &Value, key: &str| answer[key].as_array().cloned().unwrap_or_default();
        let ask = async |operation: &str, body: Value| self.api.call("ecs", operation, &body).await.unwrap();
        let arns = all(&ask("ListServices", json!({})).await, "serviceArns");
        let mut services = Vec::new();
        if !arns.is_empty() {
            for service in all(&ask("DescribeServices", json!({"services": arns})).await, "services") {
                let definition = service["taskDefinition"].as_str().unwrap().to_owned();
                let definition = definition.rsplit('/').next().unwrap().to_owned();
                services.push(json!([
                    service["serviceName"],
                    service["status"],
                    definition,
                    service["desiredCount"]
                ]));
            }
        }
        services.sort_by_key(ToString::to_string);
        let running = all(&ask("ListTasks", json!({})).await, "taskArns").len();
        let mut definitions: Vec<String> =
            all(&ask("ListTaskDefinitions", json!({})).await, "taskDefinitionArns")
                .iter()
                .map(|arn| arn.as_str().unwrap().rsplit('/').next().unwrap().to_owned())
                .collect();
        definitions.sort();
        json!({"services": services, "running": running, "definitions": definitions})
    }
}

/// A command, and what is there before it.
#[derive(Clone, Copy, Debug)]
struct Operation {
    name: &'static str,
    before: Option<&'static str>,
    intent: fn() -> Intent,
}

fn apply(text: &str) -> Intent {
    Intent::Apply { app: Box::new(app(text)), only: Vec::new() }
}

const OPERATIONS: [Operation; 6] = [
    Operation { name: "create", before: None, intent: || apply(FIRST) },
    Operation { name: "update", before: Some(FIRST), intent: || apply(SECOND) },
    Operation {
        name: "scale",
        before: Some(FIRST),
        intent: || Intent::Scale { replicas: vec![("web".to_owned(), 4)] },
    },
    Operation {
        name: "restart",
        before: Some(FIRST),
        intent: || Intent::Restart { services: vec!["web".to_owned()] },
    },
    Operation {
        name: "rollback",
        before: Some(SECOND),
        intent: || Intent::Rollback { service: "web".to_owned(), to: None },
    },
    Operation {
        name: "remove",
        before: Some(FIRST),
        intent: || Intent::Remove { volumes: false, only: Vec::new() },
    },
];

/// What may happen to any call.
const FAULTS: [Fault; 6] = [
    Fault::CutAfter,
    Fault::CutBefore,
    Fault::Html,
    Fault::ServerAfter,
    Fault::ServerBefore,
    Fault::Throttled,
];

impl Operation {
    async fn prepared(self) -> Stage {
        let stage = Stage::new();
        if let Some(before) = self.before {
            if self.name == "rollback" {
                stage.to_its_end(&apply(FIRST)).await.unwrap();
            }
            stage.to_its_end(&apply(before)).await.unwrap();
        }
        stage.fake.forget();
        stage
    }
}

/// Law 3 on ECS: each first and each last call of every kind that a command makes goes wrong in every way. The whole of it takes minutes:
/// `STRADDLE_TEST_ALL=1`; otherwise every twelfth case is tried.
#[tokio::test(flavor = "multi_thread")]
async fn law_3_whatever_goes_wrong_with_ecs_the_end_is_the_same() {
    let mut cells = Vec::new();
    for operation in OPERATIONS {
        let stage = operation.prepared().await;
        stage.to_its_end(&(operation.intent)()).await.unwrap();
        let calls = stage.fake.calls();
        let wanted = stage.state().await;
        for (call, times) in calls.into_iter().filter(|(call, _)| !call.starts_with("sts:")) {
            for fault in FAULTS {
                let mut places = vec![0, times - 1];
                places.dedup();
                cells.extend(
                    places.into_iter().map(|at| (operation, call.clone(), at, fault.clone(), wanted.clone())),
                );
            }
        }
    }
    // Each takes a while: a part of them in turn, all where that is asked for.
    if std::env::var_os("STRADDLE_TEST_ALL").is_none() {
        cells = cells.into_iter().step_by(12).collect();
    }
    let number = cells.len();
    let failed: Vec<String> = stream::iter(cells)
        .map(|(operation, call, at, fault, wanted)| async move {
            let stage = operation.prepared().await;
            stage.fake.disturb(&call, at, fault.clone());
            let place = format!("{} {fault:?} {call} {at}", operation.name);
            if let Err(error) = stage.to_its_end(&(operation.intent)()).await {
                return Some(format!("{place}: {error}"));
            }
            stage.fake.calm();
            // Restarting is never done: each time is another one.
            if operation.name != "restart" {
                let again = stage.plan(&(operation.intent)()).await;
                match again {
                    Ok(plan) if plan.steps.is_empty() || operation.name == "rollback" => {}
                    // There is nothing any more.
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    other => return Some(format!("{place}: a second plan is {other:?}")),
                }
            }
            // Tasks of a removed service are on their way out.
            for _ in 0..50 {
                if stage.state().await == wanted {
                    return None;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Some(format!("{place}: {} in place of {wanted}", stage.state().await))
        })
        .buffer_unordered(8)
        .filter_map(std::future::ready)
        .collect()
        .await;
    println!("{} of {number} cells hold", number - failed.len());
    assert!(number > 50, "only {number} cells");
    assert!(failed.is_empty(), "{} of {number}:\n{}", failed.len(), failed.join("\n"));
}

/// A quota that is reached is no throttling: it is said at once, and not tried again.
#[tokio::test(flavor = "multi_thread")]
async fn a_quota_is_said_at_once() {
    let stage = Stage::new();
    stage.fake.disturb_all("ecs:CreateService", Fault::LimitExceeded);
    let error = stage.once(&apply("app: shop\nservices: {web: {image: 'shop/web:1'}}\n")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Quota, "{error:?}");
    assert_eq!(stage.fake.calls()["ecs:CreateService"], 1);
}

/// What ECS says in words that are not known yet is handed on, and nothing breaks.
#[tokio::test(flavor = "multi_thread")]
async fn unknown_words_and_missing_fields_break_nothing() {
    let faults = [
        (
            "ecs:DescribeServices",
            Fault::Value("services.*.deployments.*.rolloutState".to_owned(), json!("PONDERING")),
        ),
        ("ecs:DescribeServices", Fault::Value("services.*.schedulingStrategy".to_owned(), json!("SWARM"))),
        ("ecs:DescribeServices", Fault::Missing("services.*.events".to_owned())),
        ("ecs:DescribeServices", Fault::Missing("services.*.deployments".to_owned())),
        ("ecs:DescribeServices", Fault::Missing("services.*.runningCount".to_owned())),
        ("ecs:DescribeTasks", Fault::Value("tasks.*.lastStatus".to_owned(), json!("HIBERNATING"))),
        ("ecs:DescribeTasks", Fault::Value("tasks.*.containers.*.healthStatus".to_owned(), json!("PERHAPS"))),
        ("ecs:DescribeTasks", Fault::Missing("tasks.*.containers".to_owned())),
        ("ecs:DescribeTasks", Fault::Missing("tasks.*.taskDefinitionArn".to_owned())),
    ];
    for (call, fault) in faults {
        let stage = Stage::new();
        stage.to_its_end(&apply(FIRST)).await.unwrap();
        stage.fake.disturb_all(call, fault.clone());
        let status = stage.orchestrator.status(&stage.scope).await;
        assert!(status.is_ok(), "{call} {fault:?}: {status:?}");
        let plan = stage.plan(&apply(SECOND)).await;
        assert!(plan.is_ok(), "{call} {fault:?}: {plan:?}");
        stage.fake.calm();
        stage.to_its_end(&apply(SECOND)).await.unwrap();
    }
}

/// What was written is read some time later only.
#[tokio::test(flavor = "multi_thread")]
async fn reads_that_lag_behind_change_nothing_twice() {
    let stage =
        Stage::with(FakeOptions { stale_reads: Duration::from_millis(700), ..FakeOptions::default() });
    stage.to_its_end(&apply(FIRST)).await.unwrap();
    stage.to_its_end(&apply(SECOND)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(stage.state().await["services"], json!([["shop-web", "ACTIVE", "shop-web:2", 3]]));
    assert!(stage.plan(&apply(SECOND)).await.unwrap().steps.is_empty());
}

/// RunTask may answer 200 and run nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_finds_no_place_says_so() {
    let stage = Stage::new();
    stage.fake.disturb_all("ecs:RunTask", Fault::Failures(1, "RESOURCE:MEMORY".to_owned()));
    let request = RunRequest::new(app(FIRST), "migrate");
    let error = stage.orchestrator.run(&stage.scope, request, &Context::new()).await.unwrap_err();
    assert!(error.to_string().contains("RESOURCE:MEMORY"), "{error:?}");
    assert!(error.help().is_some_and(|help| help.contains("room")), "{error:?}");
}

/// Keys that end while a rollout goes on are asked for anew, and the call is made again.
#[tokio::test(flavor = "multi_thread")]
async fn keys_that_end_in_mid_rollout_are_renewed() {
    let stage = Stage::new();
    stage.to_its_end(&apply(FIRST)).await.unwrap();
    stage.fake.forget();
    let expired = || {
        Fault::Refused(
            400,
            "ExpiredTokenException".to_owned(),
            "The security token included in the request is expired".to_owned(),
        )
    };
    stage.fake.disturb("ecs:UpdateService", 0, expired());
    stage.fake.disturb("ecs:DescribeServices", 3, expired());
    stage.once(&apply(SECOND)).await.unwrap();
    assert_eq!(stage.fake.calls()["ecs:UpdateService"], 2, "{:?}", stage.fake.calls());
    // Keys that nobody can renew end it, with what to do, and the same command finishes.
    stage.fake.disturb_all("ecs:DescribeServices", expired());
    let error = stage.once(&apply(FIRST)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    assert!(error.help().is_some() && error.retry() != Retry::Temporary, "{error:?}");
    stage.fake.calm();
    stage.to_its_end(&apply(FIRST)).await.unwrap();
}
