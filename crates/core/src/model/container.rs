use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::Serialize;

use super::{ConfigFile, CpuAmount, EnvFile, Health, Logging, MemoryAmount, Mount};
use crate::{
    spec::{Accepts, Scalar, ScalarError, Spec, Template, escaped, spec_scalar},
    units::{
        AbsolutePath, Capability, EnvName, ImageRef, Name, Port, PortName, SecretRef, Signal, Sysctl,
        Timespan, User,
    },
};

/// One container of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Spec)]
pub struct Container {
    /// The image.
    pub image: ImageRef,
    /// The command, in place of the image's.
    #[spec(example = "[migrate, --all]", example = "[serve]")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<Template>>,
    /// The entry point, in place of the image's.
    #[spec(example = "[/web]", example = "[/sbin/tini, --]")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<Template>>,
    /// The user that it runs as, in place of the image's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    /// The working directory, in place of the image's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workdir: Option<AbsolutePath>,
    /// Environment variables.
    #[spec(default, example = "{LOG_LEVEL: info}", example = "{LOG_LEVEL: debug}")]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<EnvName, Template>,
    /// Files of `NAME=value` lines beside the spec; `env` wins, later files win over earlier ones.
    #[spec(default)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env_files: Vec<EnvFile>,
    /// Configuration files, by the path at which the container sees them.
    #[spec(default)]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<AbsolutePath, ConfigFile>,
    /// Secrets as environment variables, by reference.
    #[spec(default)]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<EnvName, Secret>,
    /// Secrets as files, by the path at which the container sees them.
    #[spec(default)]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub secret_files: BTreeMap<AbsolutePath, Secret>,
    /// The ports on which it listens.
    #[spec(default)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<ContainerPort>,
    /// How it is known to be healthy. A check that the image brings itself is not used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// Whether the whole task ends with it; true unless another container awaits its exit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub essential: Option<bool>,
    /// What other containers of the task must have reached before it starts.
    #[spec(default)]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub depends_on: BTreeMap<Name, Condition>,
    /// How long others wait for it at most, from its start, before the task is given up.
    #[spec(example = "2m", example = "30s")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_timeout: Option<Timespan>,
    /// CPU that is kept for it, and the most that it may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<CpuAmount>,
    /// Memory that is kept for it, and the most that it may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryAmount>,
    /// How many GPUs it gets.
    #[spec(example = "1", example = "2")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu: Option<u32>,
    /// Volumes, by the path at which the container sees them.
    #[spec(default)]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub volumes: BTreeMap<AbsolutePath, Mount>,
    /// Limits of the kernel for its processes.
    #[spec(default)]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ulimits: BTreeMap<UlimitName, Ulimit>,
    /// Linux capabilities beyond or below the default set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,
    /// Whether its root file system is read-only.
    #[spec(default)]
    pub read_only_root: bool,
    /// Whether it has the rights of the host's root.
    #[spec(default)]
    pub privileged: bool,
    /// Kernel parameters of its namespaces.
    #[spec(default, example = "{net.core.somaxconn: \"1024\"}", example = "{net.core.somaxconn: \"2048\"}")]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[serde(serialize_with = "escaped")]
    pub sysctls: BTreeMap<Sysctl, String>,
    /// Whether a small init process runs first, which passes on signals and reaps zombies.
    #[spec(default)]
    pub init: bool,
    /// Whether it has a terminal.
    #[spec(default)]
    pub tty: bool,
    /// The signal that asks it to stop, in place of the image's (SIGTERM if that has none).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<Signal>,
    /// How long it has between its stop signal and SIGKILL, in place of the task's `stop.grace`.
    #[spec(example = "10s", example = "1m")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_grace: Option<Timespan>,
    /// Whether it is restarted in place when it exits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart: Option<Restart>,
    /// When the image is pulled.
    #[spec(default = PullPolicy::IfMissing)]
    pub pull: PullPolicy,
    /// The registry's user and password, by reference; without it, what the machine is logged in with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registry_credentials: Option<SecretRef>,
    /// Where its output goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logging: Option<Logging>,
}

impl Container {
    /// Makes a container that runs an image as it is.
    #[must_use]
    pub fn new(image: ImageRef) -> Self {
        Self {
            image,
            command: None,
            entrypoint: None,
            user: None,
            workdir: None,
            env: BTreeMap::new(),
            env_files: Vec::new(),
            files: BTreeMap::new(),
            secrets: BTreeMap::new(),
            secret_files: BTreeMap::new(),
            ports: Vec::new(),
            health: None,
            essential: None,
            depends_on: BTreeMap::new(),
            start_timeout: None,
            cpu: None,
            memory: None,
            gpu: None,
            volumes: BTreeMap::new(),
            ulimits: BTreeMap::new(),
            capabilities: None,
            read_only_root: false,
            privileged: false,
            sysctls: BTreeMap::new(),
            init: false,
            tty: false,
            stop_signal: None,
            stop_grace: None,
            restart: None,
            pull: PullPolicy::IfMissing,
            registry_credentials: None,
            logging: None,
        }
    }
}

/// A port on which a container listens.
#[derive(Clone, Debug, PartialEq, Serialize, Spec)]
#[spec(short = Port)]
pub struct ContainerPort {
    /// The name by which `expose`, `health` and `${service.NAME.port.PORT}` call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<PortName>,
    /// The number.
    pub port: Port,
    /// The transport protocol.
    #[spec(default = Protocol::Tcp)]
    pub protocol: Protocol,
}

impl From<Port> for ContainerPort {
    fn from(port: Port) -> Self {
        Self { name: None, port, protocol: Protocol::Tcp }
    }
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Spec)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// A secret by reference, with another source for engines that cannot reach the first.
#[derive(Clone, Debug, PartialEq, Serialize, Spec)]
#[spec(short = SecretRef)]
pub struct Secret {
    /// Where the secret is kept.
    pub from: SecretRef,
    /// Where it is taken from on the machine that runs Straddle, for a local engine.
    #[spec(example = "env:DB_PASSWORD", example = "file:./db-password")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<SecretRef>,
}

impl From<SecretRef> for Secret {
    fn from(from: SecretRef) -> Self {
        Self { from, local: None }
    }
}

/// What another container of the same task must have reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Spec)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// It has exited, with whatever code.
    Complete,
    /// Its health check has passed.
    Healthy,
    /// It runs, or has run.
    Start,
    /// It has exited with code 0.
    Success,
}

/// Linux capabilities beyond or below the default set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Spec)]
pub struct Capabilities {
    /// Capabilities that it gets.
    #[spec(default)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<Capability>,
    /// Capabilities that it loses.
    #[spec(default)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drop: Vec<Capability>,
}

/// A limit of the kernel for the processes of a container.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Spec)]
#[spec(short = u64)]
pub struct Ulimit {
    /// The limit that holds until the process raises it.
    #[spec(example = "1024", example = "4096")]
    pub soft: u64,
    /// The limit up to which it may be raised.
    #[spec(example = "65535", example = "8192")]
    pub hard: u64,
}

impl From<u64> for Ulimit {
    fn from(limit: u64) -> Self {
        Self { soft: limit, hard: limit }
    }
}

/// A kernel limit by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UlimitName(&'static str);

const ULIMITS: &[&str] = &[
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

impl UlimitName {
    /// Returns the name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for UlimitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl FromStr for UlimitName {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        ULIMITS.iter().find(|name| **name == text).map(|name| Self(name)).ok_or_else(|| {
            ScalarError::new(format!("`{}` is not a kernel limit", text.escape_debug()))
                .with_help(format!("one of {}", ULIMITS.join(", ")))
        })
    }
}

impl Scalar for UlimitName {
    const NAME: &'static str = "UlimitName";
    const DESCRIPTION: &'static str = "A kernel limit by its name, such as `nofile`.";
    const PATTERN: Option<&'static str> = Some(
        "^(core|cpu|data|fsize|locks|memlock|msgqueue|nice|nofile|nproc|rss|rtprio|rttime|sigpending|stack)$",
    );
    const EXAMPLES: &'static [&'static str] = &["nofile", "nproc"];
    const ACCEPTS: Accepts = Accepts::STRING;
}
spec_scalar!(UlimitName);

/// Whether a container is restarted in place.
#[derive(Clone, Debug, PartialEq, Serialize, Spec)]
#[spec(short = RestartMode)]
pub struct Restart {
    /// After which exits.
    pub on: RestartMode,
    /// Exit codes after which it is not restarted.
    #[spec(default, example = "[0, 3]", example = "[1]")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignored_exit_codes: Vec<u8>,
    /// How long it must have run before it is restarted (ECS: 60 s to 30 min).
    #[spec(example = "5m", example = "2m")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_running: Option<Timespan>,
}

impl From<RestartMode> for Restart {
    fn from(on: RestartMode) -> Self {
        Self { on, ignored_exit_codes: Vec::new(), after_running: None }
    }
}

/// After which exits a container is restarted in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Spec)]
#[serde(rename_all = "snake_case")]
pub enum RestartMode {
    /// After every exit.
    Always,
    /// After no exit.
    Never,
    /// After an exit with a code other than 0.
    OnFailure,
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Spec)]
#[serde(rename_all = "snake_case")]
pub enum PullPolicy {
    /// Before every start of a new revision.
    Always,
    /// When the engine does not have it.
    IfMissing,
    /// Never: it must be there.
    Never,
}
