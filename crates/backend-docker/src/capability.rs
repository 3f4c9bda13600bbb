//! What a Docker engine can do with Straddle.

use straddle_core::capability::{Capability, Feature, Provider};

/// Returns what is possible, and who sees to it.
pub(crate) fn capability() -> Capability {
    use Provider::{Engine, WhileWatching};
    Capability::default()
        .with(Feature::ConfigFiles, Engine)
        .with_note(Feature::CrashRestart, Engine, "in place, with a delay that grows to a minute")
        .with_note(Feature::Daemon, Engine, "there is one machine, so that there is one replica")
        .with(Feature::DependsOn, WhileWatching)
        .with_note(
            Feature::Discovery,
            Engine,
            "services that have ports; who is healthy is decided while a command watches",
        )
        .with(Feature::Events, Engine)
        .with(Feature::Exec, Engine)
        .with(Feature::ExecExitCode, Engine)
        .with(Feature::ExecStreams, Engine)
        .with(Feature::ExecTerminal, Engine)
        .with(Feature::HealthChecks, Engine)
        .with_note(Feature::HealthReplacement, WhileWatching, "during a rollout, and by the next up")
        .with_note(Feature::History, Engine, "ten revisions, as stopped containers")
        .with(Feature::Lease, Engine)
        .with(Feature::Logs, Engine)
        .with(Feature::PersistentVolumes, Engine)
        .with(Feature::PortForward, Engine)
        .with(Feature::Publish, Engine)
        .with(Feature::Restart, WhileWatching)
        .with(Feature::Rollback, WhileWatching)
        .with(Feature::Rolling, WhileWatching)
        .with(Feature::Run, Engine)
        .with(Feature::Scale, Engine)
        .with_note(Feature::SecretEnvironment, Engine, "whoever may inspect containers sees them")
        .with(Feature::SecretFiles, Engine)
        .with(Feature::SharedNetwork, Engine)
        .with(Feature::SplitOutput, Engine)
        .with(Feature::TaskTimeout, WhileWatching)
}
