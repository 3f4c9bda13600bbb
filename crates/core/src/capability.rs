//! What a backend can do, as data: checked before the first call, printed by `capabilities`, and held against the conformance suite.

use std::fmt;

use serde::Serialize;

/// Something that a backend may be able to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Feature {
    /// The number of tasks follows the load.
    Autoscale,
    /// Traffic moves from all old replicas to all new ones at once.
    BlueGreen,
    /// A first share of traffic moves, then the rest.
    Canary,
    /// Configuration files reach containers.
    ConfigFiles,
    /// A crashed container comes back.
    CrashRestart,
    /// One task runs on every node.
    Daemon,
    /// Containers of a task start in the order of `depends_on`.
    DependsOn,
    /// Services find healthy replicas by name.
    Discovery,
    /// The whole task is replaced when an essential container exits.
    EssentialExit,
    /// What happens is reported as it happens.
    Events,
    /// Commands run inside containers.
    Exec,
    /// Their exit code is known.
    ExecExitCode,
    /// Whoever embeds Straddle has their streams; without, a program of the engine takes over the user's terminal.
    ExecStreams,
    /// They can have a terminal, which can be resized.
    ExecTerminal,
    /// Health is checked by a command, HTTP, TCP or gRPC.
    HealthChecks,
    /// An unhealthy replica of a finished rollout is replaced.
    HealthReplacement,
    /// Old revisions are listed and can come back.
    History,
    /// Native documents become a spec.
    Import,
    /// Only one `up` at a time changes an application.
    Lease,
    /// Traffic moves in equal steps.
    Linear,
    /// The output of containers is read and followed.
    Logs,
    /// Persistent volumes outlive tasks.
    PersistentVolumes,
    /// A port of a replica is reached from the machine of the user.
    PortForward,
    /// Ports are reached from outside.
    Publish,
    /// Services are restarted in a rolling way without a change.
    Restart,
    /// A failed rollout goes back by itself.
    Rollback,
    /// A few replicas at a time are replaced.
    Rolling,
    /// A one-off task runs to its exit code.
    Run,
    /// The number of replicas is changed by itself.
    Scale,
    /// Tasks run by the clock.
    Schedule,
    /// Secrets reach containers as environment variables.
    SecretEnvironment,
    /// Secrets reach containers as files.
    SecretFiles,
    /// Containers of a task reach each other on localhost.
    SharedNetwork,
    /// Standard output and standard error of containers are told apart.
    SplitOutput,
    /// Tasks are stopped when their time is over.
    TaskTimeout,
}

impl Feature {
    /// All features, in the order of their names.
    pub const ALL: [Self; 35] = [
        Self::Autoscale,
        Self::BlueGreen,
        Self::Canary,
        Self::ConfigFiles,
        Self::CrashRestart,
        Self::Daemon,
        Self::DependsOn,
        Self::Discovery,
        Self::EssentialExit,
        Self::Events,
        Self::Exec,
        Self::ExecExitCode,
        Self::ExecStreams,
        Self::ExecTerminal,
        Self::HealthChecks,
        Self::HealthReplacement,
        Self::History,
        Self::Import,
        Self::Lease,
        Self::Linear,
        Self::Logs,
        Self::PersistentVolumes,
        Self::PortForward,
        Self::Publish,
        Self::Restart,
        Self::Rollback,
        Self::Rolling,
        Self::Run,
        Self::Scale,
        Self::Schedule,
        Self::SecretEnvironment,
        Self::SecretFiles,
        Self::SharedNetwork,
        Self::SplitOutput,
        Self::TaskTimeout,
    ];

    /// Returns what it means, as a short phrase.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Autoscale => "number of tasks follows the load",
            Self::BlueGreen => "blue/green deployment",
            Self::Canary => "canary deployment",
            Self::ConfigFiles => "configuration files",
            Self::CrashRestart => "a crashed container comes back",
            Self::Daemon => "one task on every node",
            Self::DependsOn => "start order inside a task",
            Self::Discovery => "services find healthy replicas by name",
            Self::EssentialExit => "task replaced when an essential container exits",
            Self::Events => "events as they happen",
            Self::Exec => "commands inside containers",
            Self::ExecExitCode => "exit code of such a command",
            Self::ExecStreams => "streams of such a command, for programs",
            Self::ExecTerminal => "terminal for such a command",
            Self::HealthChecks => "exec, http, tcp and grpc health checks",
            Self::HealthReplacement => "unhealthy replica replaced",
            Self::History => "history and rollback to any kept revision",
            Self::Import => "import of native documents",
            Self::Lease => "one up at a time",
            Self::Linear => "linear deployment",
            Self::Logs => "logs, followed over restarts",
            Self::PersistentVolumes => "persistent volumes",
            Self::PortForward => "port forwarding",
            Self::Publish => "ports reached from outside",
            Self::Restart => "rolling restart",
            Self::Rollback => "failed rollout rolled back",
            Self::Rolling => "rolling deployment",
            Self::Run => "one-off tasks",
            Self::Scale => "scale by hand",
            Self::Schedule => "tasks by the clock",
            Self::SecretEnvironment => "secrets as environment",
            Self::SecretFiles => "secrets as files",
            Self::SharedNetwork => "containers of a task share localhost",
            Self::SplitOutput => "standard output and error told apart",
            Self::TaskTimeout => "task stopped when its time is over",
        }
    }
}

/// Who sees to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provider {
    /// The engine, with nobody watching.
    Engine,
    /// Nobody: it is not possible.
    #[default]
    None,
    /// Straddle, as long as a command of it runs.
    WhileWatching,
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Engine => "engine",
            Self::None => "none",
            Self::WhileWatching => "while-watching",
        })
    }
}

/// What a backend can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    providers: [Provider; Feature::ALL.len()],
    notes: [Option<&'static str>; Feature::ALL.len()],
}

impl Default for Capability {
    fn default() -> Self {
        Self { providers: [Provider::None; Feature::ALL.len()], notes: [None; Feature::ALL.len()] }
    }
}

impl Capability {
    /// Sets who sees to a feature.
    #[must_use]
    pub fn with(mut self, feature: Feature, provider: Provider) -> Self {
        self.providers[feature as usize] = provider;
        self
    }

    /// Sets who sees to a feature, with the limit that a user should know.
    #[must_use]
    pub fn with_note(mut self, feature: Feature, provider: Provider, note: &'static str) -> Self {
        self.notes[feature as usize] = Some(note);
        self.with(feature, provider)
    }

    /// Returns who sees to a feature.
    #[must_use]
    pub fn provider(&self, feature: Feature) -> Provider {
        self.providers[feature as usize]
    }

    /// Returns the limit of a feature that a user should know.
    #[must_use]
    pub fn note(&self, feature: Feature) -> Option<&'static str> {
        self.notes[feature as usize]
    }

    /// Returns whether somebody sees to a feature.
    #[must_use]
    pub fn has(&self, feature: Feature) -> bool {
        self.provider(feature) != Provider::None
    }

    /// Returns every feature with who sees to it.
    pub fn rows(&self) -> impl Iterator<Item = CapabilityRow> + '_ {
        Feature::ALL.into_iter().map(|feature| CapabilityRow {
            feature,
            provider: self.provider(feature),
            description: feature.describe(),
            note: self.note(feature),
        })
    }
}

/// One line of a capability table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CapabilityRow {
    /// The feature.
    pub feature: Feature,
    /// Who sees to it.
    pub provider: Provider,
    /// What it means.
    pub description: &'static str,
    /// The limit that a user should know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'static str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_has_its_own_place() {
        for (at, feature) in Feature::ALL.into_iter().enumerate() {
            assert_eq!(feature as usize, at, "{feature:?}");
        }
        let capability = Capability::default().with(Feature::Run, Provider::Engine);
        assert!(capability.has(Feature::Run) && !capability.has(Feature::Scale));
    }
}
