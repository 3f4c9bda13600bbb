//! Where an engine may be: what the environment says, docker contexts, and the sockets that engines are known to have.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use straddle_core::error::{Error, ErrorKind, Result};
use straddle_registry::docker_folder;

use crate::config::DockerConfig;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ConfigFile {
    current_context: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Meta {
    name: String,
    #[serde(default)]
    endpoints: std::collections::BTreeMap<String, Endpoint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Endpoint {
    #[serde(default)]
    host: String,
}

/// Returns the address of the engine that a target means.
pub(crate) fn host(config: &DockerConfig) -> Result<String> {
    match (&config.host, &config.context) {
        (Some(_), Some(_)) => {
            let error =
                Error::new(ErrorKind::Invalid, "`host` and `context` of a Docker target exclude each other");
            return Err(error.with_help("keep one of the two"));
        }
        (Some(host), None) => return Ok(host.clone()),
        (None, Some(context)) => return of_context(docker_folder().as_deref(), context),
        (None, None) => {}
    }
    if let Some(host) = variable("DOCKER_HOST") {
        if variable("DOCKER_TLS_VERIFY").is_some() {
            let error = Error::new(
                ErrorKind::Unsupported,
                "an engine behind TLS (DOCKER_TLS_VERIFY) is not reached directly",
            );
            return Err(error.with_help("forward its socket: ssh -L ./docker.sock:/var/run/docker.sock HOST"));
        }
        return Ok(host);
    }
    let folder = docker_folder();
    if let Some(context) = variable("DOCKER_CONTEXT").or_else(|| current(folder.as_deref()?))
        && context != "default"
    {
        return of_context(folder.as_deref(), &context);
    }
    Ok(known_socket())
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn current(folder: &Path) -> Option<String> {
    let text = fs::read_to_string(folder.join("config.json")).ok()?;
    serde_json::from_str::<ConfigFile>(&text).ok()?.current_context.filter(|name| !name.is_empty())
}

/// Reads the address that a docker context names.
fn of_context(folder: Option<&Path>, name: &str) -> Result<String> {
    if name == "default" {
        return Ok(known_socket());
    }
    let missing = || {
        Error::new(ErrorKind::NotFound, format!("there is no docker context `{name}`"))
            .with_help("see docker context ls")
    };
    let folders =
        fs::read_dir(folder.ok_or_else(missing)?.join("contexts").join("meta")).map_err(|_| missing())?;
    let metas = folders.flatten().filter_map(|entry| {
        let text = fs::read_to_string(entry.path().join("meta.json")).ok()?;
        serde_json::from_str::<Meta>(&text).ok()
    });
    let meta = metas.into_iter().find(|meta| meta.name == name).ok_or_else(missing)?;
    let host = meta.endpoints.get("docker").map(|endpoint| endpoint.host.clone()).unwrap_or_default();
    if host.is_empty() { Ok(known_socket()) } else { Ok(host) }
}

/// Returns the first socket that is there: Docker, rootless Docker, Docker Desktop, Podman.
fn known_socket() -> String {
    if cfg!(windows) {
        return "npipe:////./pipe/docker_engine".to_owned();
    }
    let runtime = || env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let candidates = [
        Some(PathBuf::from("/var/run/docker.sock")),
        runtime().map(|folder| folder.join("docker.sock")),
        env::home_dir().map(|home| home.join(".docker/run/docker.sock")),
        env::home_dir().map(|home| home.join(".docker/desktop/docker.sock")),
        runtime().map(|folder| folder.join("podman/podman.sock")),
        Some(PathBuf::from("/run/podman/podman.sock")),
    ];
    let found = candidates.into_iter().flatten().find(|path| path.exists());
    format!("unix://{}", found.unwrap_or_else(|| PathBuf::from("/var/run/docker.sock")).display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_names_one_place() {
        let both = DockerConfig::default().with_host("unix:///a").with_context("b");
        assert_eq!(host(&both).unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(host(&DockerConfig::default().with_host("tcp://x:1")).unwrap(), "tcp://x:1");
        assert_eq!(
            of_context(Some(Path::new("/nowhere")), "remote").unwrap_err().kind(),
            ErrorKind::NotFound
        );
    }
}
