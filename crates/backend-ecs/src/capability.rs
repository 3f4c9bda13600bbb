//! What Amazon ECS can do with Straddle.

use straddle_core::capability::{Capability, Feature, Provider};

use crate::EcsConfig;

/// Returns what is possible, and who sees to it.
///
/// What needs something of the target is there where the target says it.
pub(crate) fn capability(config: &EcsConfig) -> Capability {
    use Provider::{Engine, WhileWatching};
    const SHIFTS: &str = "in a load balancer, or through Service Connect";
    const NO_SHIFTS: &str = "set `listener` and `infrastructure_role` of the target, or `namespace`";
    let given = |is_given: bool, how: &'static str, fix: &'static str| {
        if is_given { (Engine, how) } else { (Provider::None, fix) }
    };
    let names = config.namespace.is_some();
    let shifts =
        given(names || config.listener.is_some() && config.infrastructure_role.is_some(), SHIFTS, NO_SHIFTS);
    let discovery = given(names, "Service Connect, and names in Cloud Map", "set `namespace` of the target");
    let schedule =
        given(config.schedule_role.is_some(), "EventBridge Scheduler", "set `schedule_role` of the target");
    let lease = given(
        config.lease,
        "a parameter in Parameter Store",
        "switched off; what a plan was made from is read again before each change",
    );
    Capability::default()
        .with_note(Feature::Autoscale, Engine, "Application Auto Scaling")
        .with_note(Feature::BlueGreen, shifts.0, shifts.1)
        .with_note(Feature::Canary, shifts.0, shifts.1)
        .with_note(Feature::Discovery, discovery.0, discovery.1)
        .with_note(Feature::Linear, shifts.0, shifts.1)
        .with_note(Feature::Schedule, schedule.0, schedule.1)
        .with_note(Feature::Lease, lease.0, lease.1)
        .with_note(Feature::ConfigFiles, Provider::None, "put them into the image")
        .with_note(Feature::CrashRestart, Engine, "a new task, or in place with `restart`")
        .with_note(Feature::Daemon, Engine, "on instances of your own")
        .with(Feature::DependsOn, Engine)
        .with(Feature::EssentialExit, Engine)
        .with(Feature::Events, Engine)
        .with_note(Feature::Exec, Engine, "through the session-manager-plugin of AWS, always in a terminal")
        .with(Feature::ExecTerminal, Engine)
        .with_note(Feature::HealthChecks, Engine, "commands, and HTTP behind a load balancer")
        .with(Feature::HealthReplacement, Engine)
        .with_note(Feature::History, Engine, "ten revisions")
        .with_note(Feature::Logs, Engine, "from CloudWatch Logs")
        .with_note(Feature::PersistentVolumes, Engine, "EFS, and volumes of Docker on instances of your own")
        .with_note(Feature::PortForward, Engine, "where this machine reaches the addresses of tasks")
        .with_note(Feature::Publish, Provider::None, "no port of a machine: a load balancer instead")
        .with(Feature::Restart, Engine)
        .with_note(Feature::Rollback, Engine, "the deployment circuit breaker")
        .with(Feature::Rolling, Engine)
        .with(Feature::Run, Engine)
        .with(Feature::Scale, Engine)
        .with_note(Feature::SecretEnvironment, Engine, "Secrets Manager and Parameter Store")
        .with_note(Feature::SecretFiles, Provider::None, "as variables only")
        .with_note(Feature::SharedNetwork, Engine, "but for the network modes `bridge` and `none`")
        .with_note(Feature::SplitOutput, Provider::None, "CloudWatch Logs takes both as one")
        .with_note(Feature::TaskTimeout, WhileWatching, "ECS ends no task for its time")
}
