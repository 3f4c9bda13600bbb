//! How each feature is asked for, and what the refusal of one that is not claimed looks like.

use std::time::Duration;

use straddle_core::{
    capability::Feature,
    error::{ErrorKind, Result as CoreResult},
    finding::{Finding, FindingKind},
    orchestrator::{
        ConnectRequest, Context, EventOptions, ExecRequest, LogOptions, RunRequest, TerminalSize,
    },
    path::Segment,
    plan::Intent,
    platform::Translation,
};

use crate::bench::{Bench, Mismatch};

type Done = Result<(), Mismatch>;

/// Demands that a feature which a backend does not claim is refused before anything is changed, or that the target says what becomes of it.
pub(crate) async fn check(bench: &Bench, feature: Feature) -> Done {
    match asked(feature) {
        Asked::Field(field, spec) => at_field(bench, field, spec).await,
        Asked::Operation => unsupported(feature, operation(bench, feature).await?),
        Asked::Silently => told(bench, feature).await,
        Asked::ByLease => granted_twice(bench).await,
        Asked::ByImport => match bench.orchestrator().platform().importer() {
            None => Ok(()),
            Some(_) => {
                Err(Mismatch::new("import is not claimed by the capability data, and there all the same"))
            }
        },
        Asked::Unknown => Err(Mismatch::new(format!("the suite does not know how to ask for {feature:?}"))),
    }?;
    let left = bench.belongings().await?;
    if left.is_empty() {
        return Ok(());
    }
    Err(Mismatch::new(format!("refused after something was changed: {}", left.join(", "))))
}

/// What a finding at one of some fields says about a spec: `None` where the target does as it says.
///
/// What is blocked must be refused when a plan is asked for; a hint that is ignored has nothing to show.
pub(crate) async fn by_finding(
    bench: &Bench,
    spec: &str,
    fields: &[&str],
) -> Result<Option<String>, Mismatch> {
    let translation = translate(bench, spec).await?;
    let finding = translation.findings.iter().find(|finding| {
        let stops = matches!(finding.kind, FindingKind::Blocked | FindingKind::Ignored);
        stops && fields.iter().any(|field| is_at(finding, field))
    });
    let Some(finding) = finding else { return Ok(None) };
    if finding.blocks() {
        planned_as_blocked(bench, spec).await?;
    }
    Ok(Some(format!("{}: {}", finding.code, finding.message)))
}

enum Asked {
    ByImport,
    ByLease,
    /// By a field of the spec, which gets a finding.
    Field(&'static str, &'static str),
    /// By an operation, which answers that it is not supported.
    Operation,
    /// By no field: every application has it, and the target's notes say where it does not.
    Silently,
    Unknown,
}

fn asked(feature: Feature) -> Asked {
    match feature {
        Feature::Autoscale => Asked::Field(
            "autoscale",
            "app: APP\nservices: {web: {image: IMAGE, autoscale: {min: 1, max: 3, cpu: 60%}}}",
        ),
        Feature::BlueGreen => {
            Asked::Field("strategy", "app: APP\nservices: {web: {image: IMAGE, rollout: {strategy: blue_green}}}")
        }
        Feature::Canary => {
            Asked::Field("strategy", "app: APP\nservices: {web: {image: IMAGE, rollout: {strategy: canary}}}")
        }
        Feature::Linear => {
            Asked::Field("strategy", "app: APP\nservices: {web: {image: IMAGE, rollout: {strategy: linear}}}")
        }
        Feature::ConfigFiles => {
            Asked::Field("files", "app: APP\nservices: {web: {image: IMAGE, files: {/etc/app.conf: text}}}")
        }
        Feature::Daemon => Asked::Field("mode", "app: APP\nservices: {web: {image: IMAGE, mode: daemon}}"),
        Feature::DependsOn => Asked::Field(
            "depends_on",
            "app: APP\nservices: {web: {containers: {web: {image: IMAGE, depends_on: {side: start}}, side: {image: IMAGE}}}}",
        ),
        Feature::HealthChecks => {
            Asked::Field("health", "app: APP\nservices: {web: {image: IMAGE, ports: [80], health: {http: /healthz}}}")
        }
        Feature::PersistentVolumes => {
            Asked::Field("volumes", "app: APP\nservices: {web: {image: IMAGE, volumes: {/data: kept}}}")
        }
        Feature::Publish => Asked::Field(
            "publish",
            "app: APP\nservices: {web: {image: IMAGE, ports: [{name: http, port: 80}], expose: [{port: http, publish: 8080}]}}",
        ),
        Feature::Schedule => {
            Asked::Field("schedule", "app: APP\ntasks: {job: {image: IMAGE, schedule: {cron: \"0 3 * * *\"}}}")
        }
        Feature::SecretEnvironment => {
            Asked::Field("secrets", "app: APP\nservices: {web: {image: IMAGE, secrets: {TOKEN: \"env:TOKEN\"}}}")
        }
        Feature::SecretFiles => Asked::Field(
            "secret_files",
            "app: APP\nservices: {web: {image: IMAGE, secret_files: {/run/token: \"env:TOKEN\"}}}",
        ),
        Feature::SharedNetwork => Asked::Field(
            "containers",
            "app: APP\nservices: {web: {containers: {web: {image: IMAGE}, side: {image: IMAGE}}}}",
        ),
        Feature::Events
        | Feature::Exec
        | Feature::ExecTerminal
        | Feature::History
        | Feature::Logs
        | Feature::PortForward
        | Feature::Restart
        | Feature::Run
        | Feature::Scale
        | Feature::TaskTimeout => Asked::Operation,
        Feature::CrashRestart
        | Feature::Discovery
        | Feature::EssentialExit
        // Commands run without it, and their code is `None`: the behaviours of `exec` look at that.
        | Feature::ExecExitCode
        // A program is handed over in their place.
        | Feature::ExecStreams
        | Feature::HealthReplacement
        | Feature::Rollback
        | Feature::Rolling
        | Feature::SplitOutput => Asked::Silently,
        Feature::Import => Asked::ByImport,
        Feature::Lease => Asked::ByLease,
        _ => Asked::Unknown,
    }
}

/// Tries an operation on what is not there: whether the engine could do it is known before it looks.
async fn operation(bench: &Bench, feature: Feature) -> Result<CoreResult<()>, Mismatch> {
    let (orchestrator, scope) = (bench.orchestrator(), bench.scope());
    let command = || ExecRequest::new("web", ["/probe"]);
    Ok(match feature {
        Feature::Events => orchestrator.events(scope, EventOptions::default()).await.map(drop),
        Feature::Exec => orchestrator.exec(scope, command()).await.map(drop),
        Feature::ExecTerminal => {
            let size = TerminalSize { columns: 80, rows: 24 };
            orchestrator.exec(scope, command().with_terminal(size)).await.map(drop)
        }
        Feature::History => orchestrator.history(scope, "web").await.map(drop),
        Feature::Logs => orchestrator.logs(scope, LogOptions::of("web")).await.map(drop),
        Feature::PortForward => orchestrator.connect(scope, ConnectRequest::new("web", 80)).await.map(drop),
        Feature::Restart => {
            orchestrator.plan(scope, &Intent::Restart { services: vec!["web".to_owned()] }).await.map(drop)
        }
        Feature::Scale => {
            orchestrator.plan(scope, &Intent::Scale { replicas: vec![("web".to_owned(), 1)] }).await.map(drop)
        }
        Feature::Run | Feature::TaskTimeout => {
            let app = bench.app("app: APP\ntasks: {job: {image: IMAGE, command: [exit, \"0\"]}}")?;
            let request = RunRequest::new(app, "job").with_timeout(Duration::from_secs(60));
            orchestrator.run(scope, request, &Context::new()).await.map(drop)
        }
        other => return Err(Mismatch::new(format!("{other:?} is no operation"))),
    })
}

fn unsupported(feature: Feature, result: CoreResult<()>) -> Done {
    match result {
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(()),
        Err(error) => Err(Mismatch::new(format!("{feature:?} is refused as {:?}: {error}", error.kind()))),
        Ok(()) => Err(Mismatch::new(format!(
            "{feature:?} is not claimed by the capability data, and done all the same"
        ))),
    }
}

async fn at_field(bench: &Bench, field: &str, spec: &str) -> Done {
    let translation = translate(bench, spec).await?;
    let finding = translation
        .findings
        .iter()
        .find(|finding| finding.kind != FindingKind::Elsewhere && is_at(finding, field));
    match finding {
        Some(finding) if finding.blocks() => planned_as_blocked(bench, spec).await,
        Some(_) => Ok(()),
        None => Err(Mismatch::new(format!(
            "not claimed by the capability data, and no finding at `{field}` says so: {:?}",
            translation.findings
        ))),
    }
}

async fn planned_as_blocked(bench: &Bench, spec: &str) -> Done {
    let app = Box::new(bench.app(spec)?);
    match bench.orchestrator().plan(bench.scope(), &Intent::Apply { app, only: Vec::new() }).await {
        Err(error) if matches!(error.kind(), ErrorKind::Blocked | ErrorKind::Unsupported) => Ok(()),
        Err(error) => {
            Err(Mismatch::new(format!("refused as {:?} rather than blocked: {error}", error.kind())))
        }
        // A plan that holds a blocking finding is refused when it is to be carried out.
        Ok(plan) if plan.findings.iter().any(Finding::blocks) => Ok(()),
        Ok(_) => Err(Mismatch::new("a finding blocks it, and it is planned all the same")),
    }
}

/// Demands that the notes of a target speak of what it does not do.
async fn told(bench: &Bench, feature: Feature) -> Done {
    let translation =
        translate(bench, "app: APP\nservices: {web: {image: IMAGE, ports: [80], health: {http: /healthz}}}")
            .await?;
    if !translation.notes.is_empty() || bench.orchestrator().platform().capability().note(feature).is_some() {
        return Ok(());
    }
    Err(Mismatch::new(format!("{feature:?} is not claimed by the capability data, and no note says so")))
}

/// Demands that a lease which nobody holds is granted to everybody, so that nobody waits for it.
async fn granted_twice(bench: &Bench) -> Done {
    let one = bench.orchestrator().lock(bench.scope(), &bench.holder("one")).await?;
    let two = bench.orchestrator().lock(bench.scope(), &bench.holder("two")).await?;
    bench.orchestrator().unlock(one).await?;
    bench.orchestrator().unlock(two).await?;
    Ok(())
}

async fn translate(bench: &Bench, spec: &str) -> Result<Translation, Mismatch> {
    let app = bench.app(spec)?;
    let facts = bench.orchestrator().facts(bench.scope(), Some(&app)).await?;
    Ok(bench.orchestrator().platform().translate(&app, bench.scope(), &facts))
}

/// Returns whether a finding stands at a field, or somewhere below it.
fn is_at(finding: &Finding, field: &str) -> bool {
    finding.path.segments().iter().any(|segment| matches!(segment, Segment::Key(key) if **key == *field))
}
