use clap::Args;
use straddle_core::status::{
    ContainerState, HealthState, ReplicaState, ReplicaStatus, RunState, ServiceStatus, Status,
};

use super::Outcome;
use crate::{
    args::AppArgs,
    exit,
    output::StatusOutput,
    render::Table,
    session::{Connected, Session},
    style,
};

/// Show services, replicas and tasks, and what is wrong with them
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) place: AppArgs,
}

pub(crate) async fn run(session: &Session) -> Outcome {
    let connected = session.connect_by_name().await?;
    let status = connected.orchestrator.status(&connected.scope).await?;
    show(session, &connected, &status)?;
    Ok(exit::DONE)
}

/// Prints what runs.
pub(super) fn show(
    session: &Session,
    connected: &Connected,
    status: &Status,
) -> Result<(), crate::error::Failure> {
    let shell = &session.shell;
    if shell.is_json() {
        return shell.json(&StatusOutput::new(status, connected.place()));
    }
    if status.is_empty() {
        return shell.data(&format!("{}: nothing is there.   Next: straddle up\n", connected.short()));
    }
    let mut text = format!("{}\n", connected.title());
    text.push_str(&services(status));
    text.push_str(&tasks(status));
    let troubles = troubles(status);
    if !troubles.is_empty() {
        text.push('\n');
        text.extend(troubles.iter().map(|line| format!("  {}\n", style::bad(line))));
    }
    if shell.verbose > 0 {
        text.push_str(&containers(status));
        if !status.volumes.is_empty() {
            text.push_str(&format!("\n  Volumes: {}\n", status.volumes.join(", ")));
        }
    }
    if !status.orphans.is_empty() {
        text.push_str(&format!("\n  Left over, and removed by the next up: {}\n", status.orphans.join(", ")));
    }
    shell.data(&text)
}

fn services(status: &Status) -> String {
    if status.services.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["SERVICE", "REVISION", "HEALTHY", "IMAGE", "REACHED AT"]);
    for service in &status.services {
        let revision = service.revision.map_or_else(|| "-".to_owned(), |revision| revision.to_string());
        let healthy = format!("{}/{}", service.healthy, service.desired);
        table.row([
            service.name.clone(),
            revision,
            healthy,
            service.image.clone(),
            service.endpoints.join(" "),
        ]);
        table.paint(2, if service.is_healthy() { |text| style::good(text) } else { |text| style::bad(text) });
    }
    table.render()
}

fn tasks(status: &Status) -> String {
    if status.tasks.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["TASK", "LAST RUN", "WHEN"]);
    for task in &status.tasks {
        let Some(run) = task.runs.first() else {
            table.row([task.name.as_str(), "never", ""]);
            continue;
        };
        let state = match (run.state, run.exit_code) {
            (RunState::Running, _) => "running".to_owned(),
            (RunState::Succeeded, _) => "exit 0".to_owned(),
            (RunState::Failed, Some(code)) => format!("exit {code}"),
            (RunState::Failed, None) => "failed".to_owned(),
        };
        let when = run.finished.or(run.started).map(super::since::shown).unwrap_or_default();
        table.row([task.name.clone(), state, when]);
        let paint: fn(&str) -> String = match run.state {
            RunState::Failed => |text| style::bad(text),
            RunState::Running => |text| style::warn(text),
            RunState::Succeeded => |text| style::good(text),
        };
        table.paint(1, paint);
    }
    let gap = if status.services.is_empty() { "" } else { "\n" };
    format!("{gap}{}", table.render())
}

/// Returns what is wrong, a line for each replica.
fn troubles(status: &Status) -> Vec<String> {
    status
        .services
        .iter()
        .flat_map(|service| service.replicas.iter().filter_map(|replica| trouble(service, replica)))
        .collect()
}

fn trouble(service: &ServiceStatus, replica: &ReplicaStatus) -> Option<String> {
    let old = service.revision.is_some_and(|revision| revision != replica.revision);
    if replica.state == ReplicaState::Healthy && !old {
        return None;
    }
    let mut reasons: Vec<String> = Vec::new();
    for container in &replica.containers {
        if container.out_of_memory {
            reasons.push(format!("{} was killed: out of memory", container.name));
        } else if let (ContainerState::Exited, Some(code)) = (container.state, container.exit_code) {
            reasons.push(format!("{} exited with {code}", container.name));
        } else if container.health == Some(HealthState::Unhealthy) {
            reasons.push(format!("the health check of {} fails", container.name));
        }
        if container.restarts > 0 {
            reasons.push(format!(
                "{} restarted {}",
                container.name,
                style::count(container.restarts as usize, "time")
            ));
        }
    }
    if old {
        reasons.push(format!("still revision {}", replica.revision));
    }
    let state = state(replica.state);
    Some(if reasons.is_empty() {
        format!("{}: {state}", replica.name)
    } else {
        format!("{}: {state}: {}", replica.name, reasons.join(", "))
    })
}

fn containers(status: &Status) -> String {
    let mut table = Table::new(&["REPLICA", "CONTAINER", "STATE", "HEALTH", "RESTARTS", "STARTED"]);
    for replica in status.services.iter().flat_map(|service| &service.replicas) {
        for container in &replica.containers {
            let state = match (container.state, container.exit_code) {
                (ContainerState::Exited, Some(code)) => format!("exit {code}"),
                (ContainerState::Exited, None) => "exited".to_owned(),
                (ContainerState::Running, _) => "running".to_owned(),
                (ContainerState::Waiting, _) => "waiting".to_owned(),
            };
            let health = match container.health {
                None => "-",
                Some(HealthState::Healthy) => "healthy",
                Some(HealthState::Starting) => "starting",
                Some(HealthState::Unhealthy) => "unhealthy",
            };
            let started = replica.started.map(super::since::shown).unwrap_or_default();
            table.row([
                replica.name.clone(),
                container.name.clone(),
                state,
                health.to_owned(),
                container.restarts.to_string(),
                started,
            ]);
        }
    }
    let text = table.render();
    if text.lines().count() > 1 { format!("\n{text}") } else { String::new() }
}

fn state(state: ReplicaState) -> &'static str {
    match state {
        ReplicaState::Failed => "failed",
        ReplicaState::Healthy => "healthy",
        ReplicaState::Starting => "starting",
        ReplicaState::Stopped => "stopped",
        ReplicaState::Unhealthy => "unhealthy",
    }
}
