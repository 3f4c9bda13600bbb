//! The least that brings objects onto Kubernetes, and looks on: what `up` is measured against.
//!
//! It plans nothing, waits for nothing, explains nothing, and finds nothing that is there already.

use std::{
    error::Error,
    fs,
    io::{self, Write},
    time::Instant,
};

use clap::{Parser, Subcommand};
use futures_util::{StreamExt, TryStreamExt, stream};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, Patch, PatchParams, WatchEvent, WatchParams},
    core::GroupVersionKind,
};
use serde_json::Value;
use straddle_core::{model::AppSpec, orchestrator::Orchestrator, plan::Intent, scope::Scope, spec};
use straddle_eks::{KubernetesConfig, KubernetesOrchestrator};
use straddle_tests::kubernetes::Tap;
use tokio::process::Command as Process;

/// How many calls are made at once.
const PARALLEL: usize = 16;

/// Apply objects, or look on while somebody else does
#[derive(Debug, Parser)]
#[command(name = "bare-kubernetes")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Apply every object of a list (`kubectl create --dry-run=client -o json`), namespaces first
    Apply {
        /// The file of the list
        list: String,
    },
    /// Run a command that ends with a rollout, and print the milliseconds from its completion on the server to the command's end
    Settled {
        /// The namespace of the Deployment
        namespace: String,
        /// The Deployment
        name: String,
        /// The command
        #[arg(required = true, trailing_var_arg = true)]
        command: Vec<String>,
    },
    /// Print how many calls a plan of a spec makes
    Calls {
        /// The spec
        spec: String,
    },
}

type Done = Result<(), Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Done {
    let client = Client::try_default().await?;
    match Arguments::parse().command {
        Command::Apply { list } => apply(&client, &list).await,
        Command::Settled { namespace, name, command } => settled(&client, &namespace, &name, &command).await,
        Command::Calls { spec } => calls(client, &spec).await,
    }
}

async fn apply(client: &Client, list: &str) -> Done {
    let list: Value = serde_json::from_slice(&fs::read(list)?)?;
    let objects: Vec<DynamicObject> = serde_json::from_value(list["items"].clone())?;
    let (namespaces, others): (Vec<_>, Vec<_>) =
        objects.into_iter().partition(|object| object.metadata.namespace.is_none());
    for objects in [namespaces, others] {
        let calls = objects.into_iter().map(|object| apply_one(client, object));
        stream::iter(calls).buffer_unordered(PARALLEL).try_collect::<Vec<()>>().await?;
    }
    Ok(())
}

async fn apply_one(client: &Client, object: DynamicObject) -> Done {
    let types = object.types.clone().ok_or("an object says no kind")?;
    let resource = ApiResource::from_gvk(&GroupVersionKind::try_from(&types)?);
    let api: Api<DynamicObject> = match &object.metadata.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let name = object.metadata.name.clone().ok_or("an object has no name")?;
    api.patch(&name, &PatchParams::apply("bare"), &Patch::Apply(&object)).await?;
    Ok(())
}

async fn settled(client: &Client, namespace: &str, name: &str, command: &[String]) -> Done {
    let deployment = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", "Deployment"));
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &deployment);
    let first = api.get(name).await?;
    let version = first.metadata.resource_version.clone().unwrap_or_default();
    let mut events =
        api.watch(&WatchParams::default().fields(&format!("metadata.name={name}")), &version).await?.boxed();
    let mut was_complete = is_complete(&first);
    let mut completed = None;
    let (program, arguments) = command.split_first().ok_or("there is no command")?;
    let mut running = Process::new(program).args(arguments).spawn()?;
    let mut ended = None;
    // What comes in last may be the completion, where the command ends first.
    let (completed, ended) = loop {
        if let (Some(completed), Some(ended)) = (completed, ended) {
            break (completed, ended);
        }
        tokio::select! {
            event = events.next() => match event.ok_or("the watch ended")?? {
                WatchEvent::Modified(object) | WatchEvent::Added(object) => {
                    let complete = is_complete(&object);
                    if complete && !was_complete {
                        completed = Some(now());
                    } else if !complete {
                        completed = None;
                    }
                    was_complete = complete;
                }
                _ => {}
            },
            status = running.wait(), if ended.is_none() => {
                let status = status?;
                if !status.success() {
                    return Err(format!("the command failed: {status}").into());
                }
                ended = Some(now());
            }
        }
    };
    let late = ended.saturating_duration_since(completed).as_secs_f64();
    let early = completed.saturating_duration_since(ended).as_secs_f64();
    writeln!(io::stdout(), "{:.1}", (late - early) * 1000.0)?;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "this measures")]
fn now() -> Instant {
    Instant::now()
}

/// Returns what `kubectl rollout status` waits for.
fn is_complete(deployment: &DynamicObject) -> bool {
    let status = &deployment.data["status"];
    let number = |name: &str| status[name].as_i64().unwrap_or_default();
    let wanted = deployment.data["spec"]["replicas"].as_i64().unwrap_or(1);
    Some(number("observedGeneration")) >= deployment.metadata.generation
        && number("updatedReplicas") == wanted
        && number("replicas") == wanted
        && number("availableReplicas") == wanted
}

async fn calls(client: Client, file: &str) -> Done {
    let read: AppSpec =
        spec::from_yaml(&fs::read_to_string(file)?).map_err(|problems| problems.to_string())?;
    let app = read.check().map_err(|violations| violations.to_string())?;
    let tap = Tap::default();
    let backend =
        KubernetesOrchestrator::from_client(tap.before(client), "bench", KubernetesConfig::default());
    let scope = Scope::new(&app.app);
    backend.plan(&scope, &Intent::Apply { app: Box::new(app), only: Vec::new() }).await?;
    writeln!(io::stdout(), "{}", tap.take().len())?;
    Ok(())
}
