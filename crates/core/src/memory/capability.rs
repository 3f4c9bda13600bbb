use crate::capability::{
    Capability, Feature,
    Provider::{Engine, WhileWatching},
};

/// Returns what the world in memory can do.
pub(super) fn capability() -> Capability {
    let mut capability = Capability::default();
    for feature in [
        Feature::ConfigFiles,
        Feature::CrashRestart,
        Feature::DependsOn,
        Feature::Discovery,
        Feature::EssentialExit,
        Feature::Events,
        Feature::Exec,
        Feature::ExecExitCode,
        Feature::ExecStreams,
        Feature::ExecTerminal,
        Feature::HealthChecks,
        Feature::History,
        Feature::Lease,
        Feature::Logs,
        Feature::PersistentVolumes,
        Feature::PortForward,
        Feature::Restart,
        Feature::Run,
        Feature::Scale,
        Feature::SecretEnvironment,
        Feature::SecretFiles,
        Feature::SharedNetwork,
        Feature::SplitOutput,
    ] {
        capability = capability.with(feature, Engine);
    }
    capability
        .with_note(Feature::Daemon, Engine, "there is one node")
        .with_note(Feature::Publish, Engine, "ports are kept for one service each; nothing listens on them")
        .with_note(Feature::Rollback, WhileWatching, "by the command that rolls out")
        .with_note(Feature::Rolling, WhileWatching, "by the command that rolls out")
        .with_note(Feature::TaskTimeout, WhileWatching, "by the command that runs the task")
}
