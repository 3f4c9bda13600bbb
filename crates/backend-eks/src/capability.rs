//! What a Kubernetes cluster can do with Straddle.

use straddle_core::capability::{Capability, Feature, Provider};

/// Returns what is possible, and who sees to it.
pub(crate) fn capability() -> Capability {
    use Provider::{Engine, WhileWatching};
    Capability::default()
        .with_note(
            Feature::Autoscale,
            Engine,
            "by CPU and memory; by queues and the clock where KEDA is installed",
        )
        .with_note(Feature::ConfigFiles, Engine, "1 MiB for all files of a service")
        .with_note(Feature::CrashRestart, Engine, "in place, with a delay that grows to five minutes")
        .with(Feature::Daemon, Engine)
        .with_note(
            Feature::DependsOn,
            Engine,
            "`complete` needs a shell in the image of the container that ends",
        )
        .with_note(Feature::Discovery, Engine, "services that have ports")
        .with_note(Feature::EssentialExit, Provider::None, "the container is restarted in place")
        .with(Feature::Events, Engine)
        .with(Feature::Exec, Engine)
        .with(Feature::ExecExitCode, Engine)
        .with(Feature::ExecStreams, Engine)
        .with(Feature::ExecTerminal, Engine)
        .with(Feature::HealthChecks, Engine)
        .with_note(Feature::HealthReplacement, Engine, "its container is restarted in place")
        .with_note(Feature::History, Engine, "ten revisions")
        .with(Feature::Lease, Engine)
        .with(Feature::Logs, Engine)
        .with_note(Feature::PersistentVolumes, Engine, "by what the storage class offers")
        .with(Feature::PortForward, Engine)
        .with_note(
            Feature::Publish,
            Provider::None,
            "no port of a machine: an ingress, a gateway or a load balancer instead",
        )
        .with(Feature::Restart, Engine)
        .with_note(
            Feature::Rollback,
            WhileWatching,
            "Kubernetes reports a failed rollout and leaves it half done",
        )
        .with(Feature::Rolling, Engine)
        .with(Feature::Run, Engine)
        .with(Feature::Scale, Engine)
        .with(Feature::Schedule, Engine)
        .with_note(Feature::SecretEnvironment, Engine, "whoever may read Secrets of the namespace sees them")
        .with_note(Feature::SecretFiles, Engine, "whoever may read Secrets of the namespace sees them")
        .with(Feature::SharedNetwork, Engine)
        .with_note(
            Feature::SplitOutput,
            Provider::None,
            "the API server hands on both as one, but for commands inside containers",
        )
        .with_note(Feature::TaskTimeout, Engine, "over all attempts together")
}
