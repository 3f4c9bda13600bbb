//! Connections to a port of a replica: straight to its address, where this machine reaches it.

use std::time::Duration;

use serde_json::Value;
use straddle_core::{
    error::{Error, ErrorKind, Result},
    orchestrator::{ConnectRequest, Connection},
    scope::Scope,
    status::ReplicaState,
};
use tokio::net::TcpStream;

use crate::{backend::Shared, client::last_part, explain::containers, observe::Tasks, status::replica};

/// How long an address may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens a connection.
pub(crate) async fn connect(
    shared: &Shared,
    scope: &Scope,
    request: &ConnectRequest,
) -> Result<Box<dyn Connection>> {
    let tasks = Tasks::read(&shared.client, scope, false).await?;
    if !tasks.services.contains_key(&request.service) {
        return Err(Error::not_found(format!("service `{}`", request.service)));
    }
    let task = find(&tasks, &request.service, request.replica.as_deref())?;
    let name = last_part(task["taskArn"].as_str().unwrap_or_default());
    let Some(address) = address(task) else {
        let message = format!("task {name} has no address of its own");
        return Err(Error::new(ErrorKind::Unsupported, message)
            .with_help("only tasks with `network_mode: awsvpc` have one"));
    };
    let help = "does this machine reach the subnets of the tasks, and do their security groups let it in?";
    let unreachable = |why: &str| {
        let message = format!("nothing answers at port {} of task {name} ({address}){why}", request.port);
        Error::new(ErrorKind::Unavailable, message).with_help(help)
    };
    match tokio::time::timeout(PATIENCE, TcpStream::connect((address.as_str(), request.port))).await {
        Ok(Ok(stream)) => Ok(Box::new(stream)),
        Ok(Err(error)) => Err(unreachable("").with_source(error)),
        Err(_) => Err(unreachable(&format!(" within {} s", PATIENCE.as_secs()))),
    }
}

/// Finds a replica: the named one, or of the healthy ones the one that was made last, since an update takes away the others.
pub(crate) fn find<'a>(tasks: &'a Tasks, service: &'a str, name: Option<&str>) -> Result<&'a Value> {
    let id = |task: &Value| last_part(task["taskArn"].as_str().unwrap_or_default()).to_owned();
    let made = |task: &Value| task["createdAt"].as_f64().unwrap_or_default();
    let mut own = tasks.of(service);
    match name {
        Some(name) => own
            .find(|task| id(task) == name)
            .ok_or_else(|| Error::not_found(format!("replica `{name}`")).with_help("see straddle status")),
        None => own
            .filter(|task| replica(tasks, task).state == ReplicaState::Healthy)
            .max_by(|one, other| made(one).total_cmp(&made(other)))
            .ok_or_else(|| {
                Error::new(ErrorKind::NotFound, format!("{service} has no healthy replica"))
                    .with_help("see straddle status")
            }),
    }
}

/// Returns the address of a task.
fn address(task: &Value) -> Option<String> {
    let attached = task["attachments"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|one| one["details"].as_array().into_iter().flatten());
    let mut named = attached.filter(|detail| detail["name"] == "privateIPv4Address");
    let own = || {
        containers(task)
            .flat_map(|one| one["networkInterfaces"].as_array().into_iter().flatten())
            .find_map(|one| one["privateIpv4Address"].as_str())
    };
    named.find_map(|detail| detail["value"].as_str()).or_else(own).map(str::to_owned)
}
