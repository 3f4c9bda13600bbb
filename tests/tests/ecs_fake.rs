//! The whole conformance suite on ECS, as a fake of its control plane has it, with real containers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test program, whose helpers fail as its tests do"
)]

#[path = "ecs_fake/checks.rs"]
mod checks;

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use straddle_conformance::{BEHAVIOURS, Bench, Outcome, Report, Suite};
use straddle_core::orchestrator::Orchestrator;
use straddle_ecs::{EcsConfig, EcsOrchestrator, Launch};
use straddle_tests::{
    aws::sdk,
    ecs_fake::{Fake, FakeOptions, FakeWitness},
    report,
};
use tokio::sync::Mutex;

/// Behaviours whose specs have volumes that outlive a task: Fargate has none without EFS, so that they run on instances.
const ON_INSTANCES: [&str; 6] =
    ["remove", "remove-volumes", "two-apps", "two-environments", "volume-persistent", "volume-shared"];

/// Into how many parts what runs on Fargate is divided, each with a cluster and a client of its own: the backend keeps the rates at which ECS
/// may be called, and one client for all would wait most of its time for its next call.
const SHARDS: usize = 4;

/// How many behaviours of a shard run side by side.
const AT_ONCE: usize = 4;

/// How long a task that nothing checks runs before it counts as healthy, which is 40 s on AWS: longer than what the suite lets exit "later" lives.
const SETTLE: Duration = Duration::from_millis(2500);

/// How much of the time between two health checks passes.
const PACE: f64 = 0.2;

/// Whose turn it is: on a machine that is busy with all of the suite, a check that passes may come too late.
static TURN: Mutex<()> = Mutex::const_new(());

/// What ECS cannot do, or the backend cannot yet.
struct Exception {
    /// The behaviour.
    id: &'static str,
    /// One of these is part of what the suite says about it: any other failure is one.
    says: &'static [&'static str],
    /// Why it is so.
    why: &'static str,
}

const BY_COMMAND: &str =
    "ECS checks by a command inside the container, or by a load balancer, and the suite asks by HTTP";

const NAMED_FOR_APP: &str = "applications share a namespace, so that a name begins with that of its application, and the suite asks for `web`";

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
    Exception { id: "two-apps", says: &["GET /fetch?url=http://web:8080/ of web"], why: NAMED_FOR_APP },
    Exception {
        id: "two-environments",
        says: &["GET /fetch?url=http://web:8080/ of web"],
        why: NAMED_FOR_APP,
    },
    Exception { id: "health-gate", says: &["what is never healthy counts as done"], why: BY_COMMAND },
    Exception { id: "depends-healthy", says: &["by a command inside it only"], why: BY_COMMAND },
    Exception { id: "depends-healthy-failed", says: &["by a command inside it only"], why: BY_COMMAND },
    Exception { id: "cause-never-healthy", says: &["what cannot work counts as done"], why: BY_COMMAND },
    Exception {
        id: "secrets-hidden",
        // Output reaches CloudWatch Logs a moment after it was written, and the suite looks at once.
        says: &["a logs shows the secret", "the line is not there"],
        why: "ECS resolves secrets itself, so that nobody else knows what to mask in the output of a container",
    },
    Exception {
        id: "limits",
        says: &["the limit of CPU is"],
        why: "containers of a task share its CPU by weight: none has a limit of its own",
    },
];

/// In which services of a cluster find each other.
fn namespace(cluster: &str) -> String {
    format!("{cluster}.internal")
}

/// What the suite's target is told.
fn config(cluster: &str, launch: Launch) -> EcsConfig {
    EcsConfig {
        cluster: Some(cluster.to_owned()),
        launch: Some(launch),
        execution_role: Some("arn:aws:iam::111122223333:role/execution".to_owned()),
        task_role: Some("arn:aws:iam::111122223333:role/task".to_owned()),
        subnets: vec!["subnet-00000001".to_owned()],
        namespace: Some(namespace(cluster)),
        ..EcsConfig::default()
    }
}

async fn bench(fake: &Arc<Fake>, launch: Launch, shard: usize) -> Bench {
    let cluster = format!("s{shard}-{}", std::process::id());
    let (url, name) = (fake.url(), cluster.clone());
    let connect = move || {
        let backend = EcsOrchestrator::from_sdk_config(sdk(&url, "eu-central-1"), config(&name, launch));
        async move { Ok(Arc::new(backend?) as Arc<dyn Orchestrator>) }.boxed()
    };
    let backend = connect().await.unwrap();
    let witness = FakeWitness::new(Arc::clone(fake), &cluster).await.unwrap().with_backend(Arc::new(connect));
    witness.create_namespace(&namespace(&cluster)).unwrap();
    let image = witness.docker().load_probe().await.unwrap();
    Bench::new(backend, Arc::new(witness), image, cluster).unwrap()
}

/// Returns in which shard a behaviour runs. Those whose ids begin alike run in one, since the suite takes ids for what others begin with.
fn shard(id: &str) -> usize {
    if ON_INSTANCES.contains(&id) {
        return SHARDS;
    }
    let word = |id: &'static str| id.split('-').next().unwrap_or(id);
    let mut words: Vec<&str> = BEHAVIOURS.iter().map(|behaviour| word(behaviour.id)).collect();
    words.dedup();
    let place = words.iter().position(|word| id.split('-').next() == Some(word));
    place.unwrap_or_default() % SHARDS
}

/// Runs those behaviours of a shard that are asked for.
async fn run(fake: &Arc<Fake>, own: usize) -> Option<Report> {
    let only = report::only();
    let is_asked = |id: &str| only.is_empty() || only.iter().any(|prefix| id.starts_with(prefix.as_str()));
    let ids = BEHAVIOURS.iter().map(|behaviour| behaviour.id).filter(|id| is_asked(id) && shard(id) == own);
    let ids: Vec<String> = ids.map(str::to_owned).collect();
    if ids.is_empty() {
        return None;
    }
    // Instances are shared by what runs on them.
    let (launch, at_once) = if own == SHARDS { (Launch::Ec2, 1) } else { (Launch::Fargate, AT_ONCE) };
    let suite = Suite::new().with_concurrency(at_once).with_only(ids.clone());
    let mut report = suite.run(&bench(fake, launch, own).await).await;
    report.entries.retain(|entry| ids.iter().any(|id| id == entry.id));
    Some(report)
}

/// Takes exceptions for what they are: known, with a reason, and no pass.
fn except(report: &mut Report) {
    for entry in &mut report.entries {
        let Some(exception) = EXCEPTIONS.iter().find(|exception| exception.id == entry.id) else { continue };
        entry.outcome = match &entry.outcome {
            Outcome::Failed(what) if exception.says.iter().any(|part| what.contains(part)) => {
                Outcome::Skipped(format!("an exception: {}", exception.why))
            }
            Outcome::Failed(what) => Outcome::Failed(what.clone()),
            other => Outcome::Failed(format!("it is an exception no more: {other:?}")),
        };
    }
}

fn fake() -> Arc<Fake> {
    let options = FakeOptions { docker: true, check_pace: PACE, settle: SETTLE, ..FakeOptions::default() };
    Arc::new(Fake::start(options).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn ecs_on_the_fake_behaves_as_the_suite_demands() {
    let known = |id: &&str| BEHAVIOURS.iter().any(|behaviour| behaviour.id == *id);
    let named = ON_INSTANCES.iter().copied().chain(EXCEPTIONS.iter().map(|exception| exception.id));
    assert_eq!(named.filter(|id| !known(id)).collect::<Vec<_>>(), [""; 0], "no such behaviours");
    let _turn = TURN.lock().await;
    let fake = fake();
    let reports = futures_util::future::join_all((0..=SHARDS).map(|own| run(&fake, own))).await;
    let mut reports = reports.into_iter().flatten();
    let mut report = reports.next().expect("some behaviour is asked for");
    report.entries.extend(reports.flat_map(|one| one.entries));
    let place = |id: &str| BEHAVIOURS.iter().position(|behaviour| behaviour.id == id);
    report.entries.sort_by_key(|entry| place(entry.id));
    except(&mut report);
    println!("{report}");
    report::keep(&report).unwrap();
    assert!(report.is_good(), "{report}");
}
