//! Credentials of registries, found where the docker command line keeps them.

use std::{
    collections::BTreeMap,
    env, fmt,
    path::{Path, PathBuf},
    process::Stdio,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Deserialize;
use tokio::{io::AsyncWriteExt, process::Command};

/// What the registry that needs no host is called in the file.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// A user of a registry.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The registry, as the file of the docker command line calls it.
    pub server: String,
    /// The name of the user.
    pub username: String,
    /// The password.
    pub password: String,
    /// What a registry gave in place of both.
    pub identity_token: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("server", &self.server)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// Finds the credentials for a registry; `None` where the machine is not logged in. `registry` is `None` for the Docker Hub.
    pub async fn find(registry: Option<&str>) -> Option<Self> {
        let config = read(&docker_folder()?.join("config.json")).await?;
        let server = registry.unwrap_or(DOCKER_HUB);
        let helper = config.cred_helpers.get(server).or(config.creds_store.as_ref());
        if let Some(helper) = helper
            && let Some(found) = ask(helper, server).await
        {
            return Some(found);
        }
        entry(&config, server)
    }

    /// Reads credentials that a secret holds, `user:password`; `None` where it does not.
    #[must_use]
    pub fn parse(registry: Option<&str>, text: &str) -> Option<Self> {
        Self::of(registry.unwrap_or(DOCKER_HUB), text)
    }

    /// Takes `user:password` apart.
    fn of(server: &str, text: &str) -> Option<Self> {
        let (username, password) = text.split_once(':')?;
        Some(Self {
            server: server.to_owned(),
            username: username.to_owned(),
            password: password.to_owned(),
            identity_token: None,
        })
    }
}

/// Returns the folder of the docker command line: `DOCKER_CONFIG`, else `~/.docker`.
#[must_use]
pub fn docker_folder() -> Option<PathBuf> {
    let home = || env::home_dir().map(|home| home.join(".docker"));
    env::var_os("DOCKER_CONFIG").filter(|folder| !folder.is_empty()).map(PathBuf::from).or_else(home)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ConfigFile {
    auths: BTreeMap<String, Entry>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: String,
    identitytoken: Option<String>,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

async fn read(path: &Path) -> Option<ConfigFile> {
    let text = tokio::task::spawn_blocking({
        let path = path.to_owned();
        move || std::fs::read_to_string(path)
    });
    match serde_json::from_str(&text.await.ok()?.ok()?) {
        Ok(config) => Some(config),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "the docker configuration cannot be read");
            None
        }
    }
}

fn entry(config: &ConfigFile, server: &str) -> Option<Credentials> {
    let bare = |name: &str| {
        name.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/').to_owned()
    };
    let (_, entry) = config.auths.iter().find(|(name, _)| bare(name) == bare(server))?;
    if let Some(token) = entry.identitytoken.clone().filter(|token| !token.is_empty()) {
        return Some(Credentials {
            server: server.to_owned(),
            identity_token: Some(token),
            ..Credentials::default()
        });
    }
    let decoded = String::from_utf8(BASE64_STANDARD.decode(entry.auth.trim()).ok()?).ok()?;
    Credentials::of(server, decoded.trim_end_matches('\0'))
}

/// Asks a credential helper, as the docker command line does.
async fn ask(helper: &str, server: &str) -> Option<Credentials> {
    let mut child = Command::new(format!("docker-credential-{helper}"))
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take()?;
    stdin.write_all(server.as_bytes()).await.ok()?;
    drop(stdin);
    let output = child.wait_with_output().await.ok().filter(|output| output.status.success())?;
    let Answer { username, secret } = serde_json::from_slice(&output.stdout).ok()?;
    let server = server.to_owned();
    Some(if username == "<token>" {
        Credentials { server, identity_token: Some(secret), ..Credentials::default() }
    } else {
        Credentials { server, username, password: secret, identity_token: None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_the_file_are_read() {
        let text = format!(
            r#"{{"auths": {{"registry.example.com": {{"auth": "{}"}}, "https://index.docker.io/v1/": {{"identitytoken": "t"}}}}, "x": 1}}"#,
            BASE64_STANDARD.encode("ada:pa:ss")
        );
        let config: ConfigFile = serde_json::from_str(&text).unwrap();
        let found = entry(&config, "registry.example.com").unwrap();
        assert_eq!((found.username.as_str(), found.password.as_str()), ("ada", "pa:ss"));
        assert!(!format!("{found:?} {config:?}").contains("pa:ss"));
        assert_eq!(entry(&config, DOCKER_HUB).unwrap().identity_token.as_deref(), Some("t"));
        assert!(entry(&config, "other.example.com").is_none());
    }
}
