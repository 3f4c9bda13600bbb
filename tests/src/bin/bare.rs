//! The least that brings services up on Docker: what `up` is measured against.
//!
//! It makes a network and containers with the same bodies, starts them, and waits for their health by the engine's events. It plans
//! nothing, explains nothing, and finds nothing that is there already.

use std::{
    collections::{BTreeSet, HashMap},
    error::Error,
};

use bollard::{
    Docker,
    models::{
        ContainerCreateBody, HealthConfig, HostConfig, NetworkCreateRequest, RestartPolicy,
        RestartPolicyNameEnum,
    },
    query_parameters::{
        CreateContainerOptionsBuilder, EventsOptionsBuilder, RemoveContainerOptionsBuilder,
        StartContainerOptions,
    },
};
use clap::{Parser, Subcommand};
use futures_util::{StreamExt, TryStreamExt, stream};

/// The network, and the beginning of the containers' names.
const NAME: &str = "bare";

/// How many calls are made at once.
const PARALLEL: usize = 16;

/// Bring containers up, or down
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make containers, and wait until all are healthy
    Up {
        /// How many
        number: u32,
        /// Of which image
        image: String,
        /// The command that checks their health, once a second
        #[arg(required = true, trailing_var_arg = true)]
        check: Vec<String>,
    },
    /// Remove them
    Down {
        /// How many
        number: u32,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let docker = Docker::connect_with_defaults()?;
    match Arguments::parse().command {
        Command::Up { number, image, check } => up(&docker, number, &image, &check).await,
        Command::Down { number } => down(&docker, number).await,
    }
}

async fn up(docker: &Docker, number: u32, image: &str, check: &[String]) -> Result<(), Box<dyn Error>> {
    let request = NetworkCreateRequest { name: NAME.to_owned(), ..NetworkCreateRequest::default() };
    docker.create_network(request).await?;
    let filters = HashMap::from([
        ("type".to_owned(), vec!["container".to_owned()]),
        ("label".to_owned(), vec![format!("bench={NAME}")]),
    ]);
    let options = EventsOptionsBuilder::default().filters(&filters).build();
    let mut events = docker.events(Some(options));
    let healthy = async {
        let mut waiting: BTreeSet<String> = (0..number).map(|at| format!("{NAME}-{at}")).collect();
        while !waiting.is_empty() {
            let event = events.next().await.ok_or("the engine ended its events")??;
            if event.action.is_some_and(|action| action.replace(' ', "") == "health_status:healthy") {
                let attributes = event.actor.and_then(|actor| actor.attributes).unwrap_or_default();
                waiting.remove(attributes.get("name").map(String::as_str).unwrap_or_default());
            }
        }
        Ok::<_, Box<dyn Error>>(())
    };
    let made = async {
        let containers = (0..number).map(|at| start(docker, at, image, check));
        stream::iter(containers).buffer_unordered(PARALLEL).try_collect::<Vec<()>>().await.map_err(Into::into)
    };
    futures_util::try_join!(made, healthy).map(drop)
}

async fn start(
    docker: &Docker,
    at: u32,
    image: &str,
    check: &[String],
) -> Result<(), bollard::errors::Error> {
    let second = Some(1_000_000_000);
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        labels: Some(HashMap::from([("bench".to_owned(), NAME.to_owned())])),
        healthcheck: Some(HealthConfig {
            test: Some(["CMD".to_owned()].into_iter().chain(check.iter().cloned()).collect()),
            interval: second,
            timeout: second,
            retries: Some(3),
            ..HealthConfig::default()
        }),
        host_config: Some(HostConfig {
            network_mode: Some(NAME.to_owned()),
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::UNLESS_STOPPED),
                maximum_retry_count: None,
            }),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    let options = CreateContainerOptionsBuilder::default().name(&format!("{NAME}-{at}")).build();
    let made = docker.create_container(Some(options), body).await?;
    docker.start_container(&made.id, None::<StartContainerOptions>).await
}

async fn down(docker: &Docker, number: u32) -> Result<(), Box<dyn Error>> {
    let removed = (0..number).map(|at| async move {
        let options = RemoveContainerOptionsBuilder::default().force(true).build();
        docker.remove_container(&format!("{NAME}-{at}"), Some(options)).await
    });
    stream::iter(removed).buffer_unordered(PARALLEL).try_collect::<Vec<()>>().await?;
    docker.remove_network(NAME).await?;
    Ok(())
}
