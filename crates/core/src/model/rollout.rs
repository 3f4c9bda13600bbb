use serde::Serialize;

use crate::{
    spec::{Spec, escaped},
    units::{Percent, Timespan},
};

/// How a new revision of a service replaces the old one.
#[derive(Clone, Debug, PartialEq, Serialize, Spec)]
pub struct Rollout {
    /// The way in which traffic moves over.
    #[spec(default = RolloutStrategy::Rolling)]
    pub strategy: RolloutStrategy,
    /// The share of replicas that stays healthy, rounded up.
    #[spec(default = Percent::new(100), example = "50%", example = "100%")]
    pub min_healthy: Percent,
    /// The share of replicas that may run at once, rounded down.
    #[spec(default = Percent::new(200), example = "200%", example = "300%")]
    pub max_running: Percent,
    /// What happens when the new revision does not become healthy.
    #[spec(default = Rollback::OnFailure)]
    pub rollback: Rollback,
    /// How long a container without a health check must have run to count as healthy (0 s on Docker and Kubernetes, 40 s on ECS).
    #[spec(example = "2s", example = "1s")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settle: Option<Timespan>,
    /// When a rollout that makes no progress has failed.
    #[spec(default = Timespan::from_secs(600), example = "5m", example = "20m")]
    pub deadline: Timespan,
    /// How long the old revision is kept ready after all traffic has moved (blue/green, linear, canary).
    #[spec(example = "10m", example = "5m")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bake: Option<Timespan>,
    /// The share of traffic that moves in one step (linear), or first (canary).
    #[spec(example = "10%", example = "20%")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<Percent>,
    /// How long each step is watched (linear, canary).
    #[spec(example = "6m", example = "3m")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_bake: Option<Timespan>,
    /// Alarms that fail a rollout (CloudWatch alarm names on ECS).
    #[spec(default, example = "[shop-5xx]", example = "[shop-latency]")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[serde(serialize_with = "escaped")]
    pub alarms: Vec<String>,
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            strategy: RolloutStrategy::Rolling,
            min_healthy: Percent::new(100),
            max_running: Percent::new(200),
            rollback: Rollback::OnFailure,
            settle: None,
            deadline: Timespan::from_secs(600),
            bake: None,
            step: None,
            step_bake: None,
            alarms: Vec::new(),
        }
    }
}

/// The way in which traffic moves to a new revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Spec)]
#[serde(rename_all = "snake_case")]
pub enum RolloutStrategy {
    /// All replicas of the new revision start beside the old ones, then all traffic moves at once.
    BlueGreen,
    /// A first share of traffic moves, then the rest.
    Canary,
    /// Traffic moves in equal steps.
    Linear,
    /// Replicas are replaced a few at a time.
    Rolling,
}

/// What happens when a new revision does not become healthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Spec)]
#[serde(rename_all = "snake_case")]
pub enum Rollback {
    /// It is left as it is, to be looked at.
    Never,
    /// The revision before it comes back.
    OnFailure,
}
