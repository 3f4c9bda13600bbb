//! The whole conformance suite on ECS, as a fake of its control plane has it, with real containers.

use std::{sync::Arc, time::Duration};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_types::{SdkConfig, region::Region};
use futures_util::FutureExt;
use straddle_conformance::{BEHAVIOURS, Bench, Outcome, Report, Suite};
use straddle_core::orchestrator::Orchestrator;
use straddle_ecs::{EcsConfig, EcsOrchestrator, Launch};
use straddle_tests::{
    ecs_fake::{Fake, FakeOptions, FakeWitness},
    report,
};

/// Behaviours whose specs have volumes that outlive a task: Fargate has none without EFS, so that they run on instances.
const ON_INSTANCES: [&str; 6] =
    ["remove", "remove-volumes", "two-apps", "two-environments", "volume-persistent", "volume-shared"];

/// How many behaviours run side by side: they wait most of their time.
const AT_ONCE: usize = 10;

/// How long a task that nothing checks runs before it counts as healthy, which is 40 s on AWS: longer than what the suite lets exit "later" lives.
const SETTLE: Duration = Duration::from_millis(2500);

/// How much of the time between two health checks passes.
const PACE: f64 = 0.2;

/// What ECS cannot do, or the backend cannot yet.
struct Exception {
    /// The behaviour.
    id: &'static str,
    /// What the suite says about it: any other failure is one.
    says: &'static [&'static str],
    /// Why it is so.
    why: &'static str,
}

const BY_COMMAND: &str =
    "ECS checks by a command inside the container, or by a load balancer, and the suite asks by HTTP";
const NAMED_ALIKE: &str =
    "volumes of Docker on an instance have the names of the spec, so that two applications share them there";

/// All exceptions. One that passes has to go.
const EXCEPTIONS: [Exception; 10] = [
    Exception {
        id: "update-image",
        says: &["another image under the same name makes no change"],
        why: "not yet: no registry is asked for the digest behind a tag",
    },
    Exception {
        id: "remove-volumes",
        says: &["services: [], tasks: [], volumes: []"],
        why: "no call of ECS tells which volumes of Docker are on an instance",
    },
    Exception { id: "two-apps", says: &["they share a volume"], why: NAMED_ALIKE },
    Exception { id: "two-environments", says: &["they share a volume"], why: NAMED_ALIKE },
    Exception { id: "health-gate", says: &["what is never healthy counts as done"], why: BY_COMMAND },
    Exception { id: "depends-healthy", says: &["Blocked", "by a command inside it only"], why: BY_COMMAND },
    Exception {
        id: "depends-healthy-failed",
        says: &["Blocked", "by a command inside it only"],
        why: BY_COMMAND,
    },
    Exception { id: "cause-never-healthy", says: &["what cannot work counts as done"], why: BY_COMMAND },
    Exception {
        id: "secrets-hidden",
        says: &["a logs shows the secret"],
        why: "ECS resolves secrets itself, so that nobody else knows what to mask in the output of a container",
    },
    Exception {
        id: "limits",
        says: &["the limit of CPU is"],
        why: "containers of a task share its CPU by weight: none has a limit of its own",
    },
];

/// What the suite's target is told.
fn config(cluster: &str, launch: Launch) -> EcsConfig {
    EcsConfig {
        cluster: Some(cluster.to_owned()),
        launch: Some(launch),
        execution_role: Some("arn:aws:iam::111122223333:role/execution".to_owned()),
        task_role: Some("arn:aws:iam::111122223333:role/task".to_owned()),
        subnets: vec!["subnet-00000001".to_owned()],
        ..EcsConfig::default()
    }
}

/// Who calls, and where: nobody looks at the keys.
fn sdk(url: &str) -> SdkConfig {
    let keys = Credentials::new("test", "test", None, None, "tests");
    SdkConfig::builder()
        .region(Region::new("eu-central-1"))
        .endpoint_url(url)
        .credentials_provider(SharedCredentialsProvider::new(keys))
        .build()
}

async fn bench(fake: &Arc<Fake>, launch: Launch) -> Bench {
    let kind = if launch == Launch::Fargate { 'f' } else { 'i' };
    let cluster = format!("{kind}{}", std::process::id());
    let (url, name) = (fake.url(), cluster.clone());
    let connect = move || {
        let backend = EcsOrchestrator::from_sdk_config(sdk(&url), config(&name, launch));
        async move { Ok(Arc::new(backend?) as Arc<dyn Orchestrator>) }.boxed()
    };
    let backend = connect().await.unwrap();
    let witness = FakeWitness::new(Arc::clone(fake), &cluster).await.unwrap().with_backend(Arc::new(connect));
    let image = witness.docker().load_probe().await.unwrap();
    Bench::new(backend, Arc::new(witness), image, cluster).unwrap()
}

/// Runs those behaviours that are asked for and wanted on a kind of compute.
async fn run(fake: &Arc<Fake>, launch: Launch, is_wanted: impl Fn(&str) -> bool) -> Report {
    let only = report::only();
    let is_asked = |id: &str| only.is_empty() || only.iter().any(|prefix| id.starts_with(prefix.as_str()));
    let ids = BEHAVIOURS.iter().map(|behaviour| behaviour.id).filter(|id| is_asked(id) && is_wanted(id));
    let ids: Vec<String> = ids.map(str::to_owned).collect();
    // Instances are shared by what runs on them.
    let at_once = if launch == Launch::Fargate { AT_ONCE } else { 1 };
    // Ids are taken for what others begin with, and none for all: what runs beside is not counted twice.
    let ids = if ids.is_empty() { vec!["none of them".to_owned()] } else { ids };
    let mut report =
        Suite::new().with_concurrency(at_once).with_only(ids).run(&bench(fake, launch).await).await;
    report.entries.retain(|entry| is_wanted(entry.id));
    report
}

/// Takes exceptions for what they are: known, with a reason, and no pass.
fn except(report: &mut Report) {
    for entry in &mut report.entries {
        let Some(exception) = EXCEPTIONS.iter().find(|exception| exception.id == entry.id) else { continue };
        entry.outcome = match &entry.outcome {
            Outcome::Failed(what) if exception.says.iter().all(|part| what.contains(part)) => {
                Outcome::Skipped(format!("an exception: {}", exception.why))
            }
            Outcome::Failed(what) => Outcome::Failed(what.clone()),
            other => Outcome::Failed(format!("it is an exception no more: {other:?}")),
        };
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ecs_on_the_fake_behaves_as_the_suite_demands() {
    let known = |id: &&str| BEHAVIOURS.iter().any(|behaviour| behaviour.id == *id);
    let named = ON_INSTANCES.iter().copied().chain(EXCEPTIONS.iter().map(|exception| exception.id));
    assert_eq!(named.filter(|id| !known(id)).collect::<Vec<_>>(), [""; 0], "no such behaviours");
    let options = FakeOptions { docker: true, check_pace: PACE, settle: SETTLE, ..FakeOptions::default() };
    let fake = Arc::new(Fake::start(options).unwrap());
    let (mut report, more) = futures_util::future::join(
        run(&fake, Launch::Fargate, |id| !ON_INSTANCES.contains(&id)),
        run(&fake, Launch::Ec2, |id| ON_INSTANCES.contains(&id)),
    )
    .await;
    report.entries.extend(more.entries);
    let place = |id: &str| BEHAVIOURS.iter().position(|behaviour| behaviour.id == id);
    report.entries.sort_by_key(|entry| place(entry.id));
    except(&mut report);
    println!("{report}");
    report::keep(&report).unwrap();
    assert!(report.is_good(), "{report}");
}
