//! Commands inside containers.

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt};
use straddle_core::{
    error::{Error, ErrorKind, Result},
    orchestrator::{ExecControl, ExecRequest, ExecSession, Output, TerminalSize},
    scope::Scope,
};

use crate::{
    client::{Chunk, Client, ExecCommand},
    document::TemplateDocument,
    group::Condition,
    observe::{Group, Live},
};

/// Finds the replica, or the running run, that is meant: the named one, else a healthy one, else one that runs; of several the one
/// that was made last, since an update takes away the others.
pub(crate) fn find<'a>(live: &'a Live, workload: &str, replica: Option<&str>) -> Result<&'a Group> {
    let services = live.services.get(workload).map(|service| service.replicas().collect::<Vec<_>>());
    let runs = || live.tasks.get(workload).map(|runs| runs.iter().map(|run| &run.group).collect::<Vec<_>>());
    let groups =
        services.or_else(runs).ok_or_else(|| Error::not_found(format!("service or task `{workload}`")))?;
    if let Some(wanted) = replica {
        let found = groups.iter().find(|group| group.name() == wanted);
        return found.copied().ok_or_else(|| {
            Error::not_found(format!("replica `{wanted}` of `{workload}`")).with_help("see straddle status")
        });
    }
    let newest = |fits: &dyn Fn(&Group) -> bool| {
        groups.iter().copied().filter(|group| fits(group)).max_by_key(|group| group.lead.created)
    };
    newest(&|group| group.condition() == Condition::Healthy)
        .or_else(|| newest(&|group| group.containers.values().any(|container| container.state.is_running())))
        .ok_or_else(|| Error::not_found(format!("a running replica of `{workload}`")))
}

/// Chooses the container: the named one, else the only essential one, else the one that is called like the workload.
pub(crate) fn choose<'a>(
    template: &'a TemplateDocument,
    workload: &str,
    wanted: Option<&str>,
) -> Result<&'a str> {
    if let Some(wanted) = wanted {
        let found = template.containers.keys().find(|name| *name == wanted);
        return found.map(String::as_str).ok_or_else(|| {
            let known: Vec<&str> = template.containers.keys().map(String::as_str).collect();
            Error::not_found(format!("container `{wanted}` of `{workload}`"))
                .with_help(format!("there is {}", known.join(", ")))
        });
    }
    let essential: Vec<&str> = template
        .containers
        .iter()
        .filter(|(_, container)| container.essential)
        .map(|(name, _)| name.as_str())
        .collect();
    match essential.as_slice() {
        [only] => Ok(only),
        several => several.iter().find(|name| **name == workload).copied().ok_or_else(|| {
            Error::new(
                ErrorKind::Invalid,
                format!("`{workload}` has several containers: {}", several.join(", ")),
            )
            .with_help("name one with --container")
        }),
    }
}

/// Starts a command.
pub(crate) async fn start(client: &Client, scope: &Scope, request: ExecRequest) -> Result<ExecSession> {
    let live = Live::read_containers(client, scope).await?;
    let group = find(&live, &request.workload, request.replica.as_deref())?;
    let name = choose(&group.template, &request.workload, request.container.as_deref())?;
    let container = group.containers.get(name).filter(|container| container.state.is_running());
    let container = container
        .ok_or_else(|| Error::not_found(format!("running container `{name}` of {}", group.name())))?;
    let command = ExecCommand {
        command: request.command.clone(),
        stdin: request.stdin,
        tty: request.terminal.is_some(),
    };
    let started =
        client.exec(&container.id, command).await.map_err(|error| not_executable(error, &request.command))?;
    let control = Control { client: client.clone(), exec: started.id };
    if let Some(size) = request.terminal {
        // A command that has ended already has no terminal any more.
        if let Err(error) = control.resize(size).await {
            tracing::debug!(%error, "the terminal kept its size");
        }
    }
    let output = started.output.map_ok(
        |Chunk { is_stderr, bytes }| if is_stderr { Output::Stderr(bytes) } else { Output::Stdout(bytes) },
    );
    let input =
        request.stdin.then(|| Box::new(started.input) as Box<dyn tokio::io::AsyncWrite + Send + Unpin>);
    Ok(ExecSession { input, output: output.boxed(), control: Box::new(control) })
}

fn not_executable(error: Error, command: &[String]) -> Error {
    if [
        "executable file not found",
        "no such file or directory",
        "permission denied",
        "OCI runtime exec failed",
    ]
    .iter()
    .any(|words| error.message().contains(words))
    {
        let program = command.first().map(String::as_str).unwrap_or_default();
        return Error::new(ErrorKind::Invalid, format!("`{program}` cannot be executed in the container"))
            .with_source(error);
    }
    error
}

#[derive(Debug)]
struct Control {
    client: Client,
    exec: String,
}

#[async_trait]
impl ExecControl for Control {
    async fn resize(&self, size: TerminalSize) -> Result<()> {
        match self.client.resize_exec(&self.exec, size.columns, size.rows).await {
            // A command that has ended has no terminal any more.
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Conflict | ErrorKind::Invalid) =>
            {
                Ok(())
            }
            Err(error)
                if error.message().contains("stopped container")
                    || error.message().contains("not running") =>
            {
                Ok(())
            }
            other => other,
        }
    }

    async fn exit_code(&self) -> Result<Option<i64>> {
        self.client.exec_exit_code(&self.exec).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::ContainerDocument;

    #[test]
    fn the_container_is_named_or_plain() {
        let of = |names: &[(&str, bool)]| TemplateDocument {
            containers: names
                .iter()
                .map(|(name, essential)| {
                    (
                        (*name).to_owned(),
                        ContainerDocument { essential: *essential, ..ContainerDocument::default() },
                    )
                })
                .collect(),
            ..TemplateDocument::default()
        };
        assert_eq!(choose(&of(&[("a", true), ("b", false)]), "web", None).unwrap(), "a");
        assert_eq!(choose(&of(&[("proxy", true), ("web", true)]), "web", None).unwrap(), "web");
        assert_eq!(
            choose(&of(&[("a", true), ("b", true)]), "web", None).unwrap_err().kind(),
            ErrorKind::Invalid
        );
        assert_eq!(choose(&of(&[("a", true)]), "web", Some("x")).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
