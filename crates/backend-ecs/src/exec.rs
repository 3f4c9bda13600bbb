//! Commands inside containers: ECS opens a session of Systems Manager, and the session-manager-plugin of AWS talks in it.
//!
//! What the plugin is told is what `aws ecs execute-command` tells it, but that it gets the session by a variable where it knows how: the
//! arguments of a process are for everybody to see. ECS does not tell the exit code of the command.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use straddle_aws::Service;
use straddle_core::{
    error::{Error, ErrorKind, Result},
    orchestrator::{ExecProgram, ExecRequest},
    scope::Scope,
};

use crate::{
    backend::Shared,
    client::last_part,
    connect::find,
    explain::{containers, defined, is_essential},
    observe::Tasks,
};

const PLUGIN: &str = "session-manager-plugin";

/// The variable in which newer plugins read the session, and the last version that does not
/// ([AWS CLI, sessionmanager.py](https://github.com/aws/aws-cli/blob/develop/awscli/customizations/sessionmanager.py)).
const SESSION: &str = "AWS_SSM_START_SESSION_RESPONSE";
const WITHOUT_VARIABLE: [u32; 4] = [1, 2, 497, 0];

/// Opens a session, and says what talks in it.
pub(crate) async fn start(shared: &Shared, scope: &Scope, request: &ExecRequest) -> Result<ExecProgram> {
    let client = &shared.client;
    let tasks = Tasks::read(client, scope, false).await?;
    if !tasks.knows(&request.workload) {
        return Err(Error::not_found(format!("service or task `{}`", request.workload)));
    }
    let task = find(&tasks, &request.workload, request.replica.as_deref())?;
    let container = container(shared, task, request).await?;
    let name = container["name"].as_str().unwrap_or_default();
    ready(task, container)?;
    let plugin = plugin(env::var_os("PATH").as_deref())?;
    let command = shlex::try_join(request.command.iter().map(String::as_str))
        .map_err(|_| Error::new(ErrorKind::Invalid, "a command for ECS has no NUL bytes in it"))?;
    let task_arn = task["taskArn"].as_str().unwrap_or_default();
    let ask = json!({
        "cluster": client.cluster(),
        "task": task_arn,
        "container": name,
        // ECS knows no other way.
        "interactive": true,
        "command": command,
    });
    let answer = client.execute(&ask).await?;
    let cluster = last_part(task["clusterArn"].as_str().unwrap_or(client.cluster()));
    let runtime = container["runtimeId"].as_str().unwrap_or_default();
    let target = format!("ecs:{cluster}_{}_{runtime}", last_part(task_arn));
    let program = ExecProgram::new(&plugin);
    let session = answer["session"].to_string();
    let (program, first) = if takes_variable(&plugin) {
        (program.with_variable(SESSION, session), SESSION.to_owned())
    } else {
        (program, session)
    };
    let aws = client.session();
    Ok(program.with_arguments([
        first,
        aws.region().to_owned(),
        "StartSession".to_owned(),
        aws.profile().unwrap_or_default().to_owned(),
        json!({"Target": target}).to_string(),
        aws.endpoint(&Service::SSM),
    ]))
}

/// Chooses the container: the named one, else the only essential one, else the one that is called like the workload.
async fn container<'a>(shared: &Shared, task: &'a Value, request: &ExecRequest) -> Result<&'a Value> {
    let named = |wanted: &str| containers(task).find(|one| one["name"] == wanted);
    let all: Vec<&str> = containers(task).filter_map(|one| one["name"].as_str()).collect();
    let workload = request.workload.as_str();
    if let Some(wanted) = &request.container {
        return named(wanted).ok_or_else(|| {
            Error::not_found(format!("container `{wanted}` of `{workload}`"))
                .with_help(format!("there is {}", all.join(", ")))
        });
    }
    if let [only] = all.as_slice() {
        return named(only).ok_or_else(|| Error::not_found(format!("a container of `{workload}`")));
    }
    let arn = task["taskDefinitionArn"].as_str().unwrap_or_default();
    let definition = shared.client.definition(arn).await?.unwrap_or_default();
    let essential: Vec<&str> =
        defined(&definition).filter(|one| is_essential(one)).filter_map(|one| one["name"].as_str()).collect();
    let chosen = match essential.as_slice() {
        [only] => Some(*only),
        several => several.iter().copied().find(|name| *name == workload),
    };
    chosen.and_then(named).ok_or_else(|| {
        Error::new(ErrorKind::Invalid, format!("`{workload}` has several containers: {}", all.join(", ")))
            .with_help("name one with --container")
    })
}

/// Refuses what cannot work, with the reason that ECS knows.
fn ready(task: &Value, container: &Value) -> Result<()> {
    let id = last_part(task["taskArn"].as_str().unwrap_or_default());
    if task["enableExecuteCommand"] == false {
        let message = format!("task {id} was started without commands inside its containers");
        return Err(Error::new(ErrorKind::Unsupported, message)
            .with_help("take `execute_command: false` out of the spec, and roll the service out"));
    }
    let mut agents = container["managedAgents"].as_array().into_iter().flatten();
    let Some(agent) = agents.find(|agent| agent["name"] == "ExecuteCommandAgent") else { return Ok(()) };
    if agent["lastStatus"] == "RUNNING" {
        return Ok(());
    }
    let why = agent["reason"].as_str().map(|reason| format!(": {reason}")).unwrap_or_default();
    let state = agent["lastStatus"].as_str().unwrap_or("UNKNOWN").to_lowercase();
    let message = format!("what runs commands in task {id} is {state}{why}");
    Err(Error::new(ErrorKind::Unavailable, message).with_help(
        "the task role needs ssmmessages:CreateControlChannel, CreateDataChannel, OpenControlChannel and OpenDataChannel, and the \
         task a way to Systems Manager; its root file system must be writable",
    ))
}

/// Finds the plugin where programs are looked for.
fn plugin(path: Option<&std::ffi::OsStr>) -> Result<PathBuf> {
    let name = format!("{PLUGIN}{}", env::consts::EXE_SUFFIX);
    let mut folders = path.into_iter().flat_map(env::split_paths);
    folders.find_map(|folder| Some(folder.join(&name)).filter(|file| file.is_file())).ok_or_else(|| {
        Error::new(
            ErrorKind::Unsupported,
            format!("{PLUGIN} is not installed: it talks to containers of ECS"),
        )
        .with_help(
            "install it: https://docs.aws.amazon.com/systems-manager/latest/userguide/\
                 session-manager-working-with-install-plugin.html",
        )
    })
}

/// Asks the plugin whether it reads the session in a variable.
fn takes_variable(plugin: &Path) -> bool {
    let Ok(output) = Command::new(plugin).arg("--version").output() else { return false };
    is_newer(&String::from_utf8_lossy(&output.stdout))
}

fn is_newer(version: &str) -> bool {
    let parts: Option<Vec<u32>> = version.trim().split('.').map(|part| part.parse().ok()).collect();
    parts.is_some_and(|parts| parts.as_slice() > WITHOUT_VARIABLE.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_plugins_read_a_variable() {
        for (version, expected) in [
            ("1.2.497.0\n", false),
            ("1.2.498.0", true),
            ("1.3.0.0", true),
            ("1.2.30.0", false),
            ("2", true),
            ("", false),
            ("unknown", false),
        ] {
            assert_eq!(is_newer(version), expected, "{version:?}");
        }
    }

    #[test]
    fn a_plugin_that_is_not_there_is_named_with_where_to_get_it() {
        let error = plugin(Some("/nowhere:/nowhere-else".as_ref())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.help().is_some_and(|help| help.contains("install")), "{error:?}");
        assert!(plugin(None).is_err());
    }

    #[test]
    fn why_no_command_can_run_is_said() {
        let task = json!({"taskArn": "arn:aws:ecs:r:1:task/c/abc", "enableExecuteCommand": true});
        let agent = |status: &str| json!({"managedAgents": [{"name": "ExecuteCommandAgent", "lastStatus": status, "reason": "no role"}]});
        assert!(ready(&task, &agent("RUNNING")).is_ok());
        assert!(ready(&task, &json!({})).is_ok());
        let stopped = ready(&task, &agent("STOPPED")).unwrap_err();
        assert_eq!(stopped.message(), "what runs commands in task abc is stopped: no role");
        let never = json!({"taskArn": "arn:aws:ecs:r:1:task/c/abc", "enableExecuteCommand": false});
        assert_eq!(ready(&never, &agent("RUNNING")).unwrap_err().kind(), ErrorKind::Unsupported);
    }
}
