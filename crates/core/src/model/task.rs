use serde::Serialize;

use super::{Container, TaskTemplate};
use crate::{
    spec::Spec,
    units::{Cron, TimeZone, Timespan},
};

/// What runs to its end: once when asked or awaited, or on a schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Spec)]
#[spec(inline(container = "containers", type = Container))]
pub struct Task {
    /// What one run is.
    #[spec(flatten)]
    #[serde(flatten)]
    pub template: TaskTemplate,
    /// When a run is stopped and counts as failed.
    #[spec(example = "10m", example = "1h")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Timespan>,
    /// How often a run that fails is tried in all.
    #[spec(default = 1, example = "3", example = "2")]
    pub attempts: u32,
    /// When it runs by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
}

impl Task {
    /// Makes a task that runs once.
    #[must_use]
    pub fn new(template: TaskTemplate) -> Self {
        Self { template, timeout: None, attempts: 1, schedule: None }
    }
}

/// When a task runs by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Spec)]
pub struct Schedule {
    /// The times, as five fields of cron.
    pub cron: Cron,
    /// The time zone in which they are read.
    #[spec(default = crate::model::rules::utc())]
    pub timezone: TimeZone,
    /// What happens when the last run has not ended.
    #[spec(default = Overlap::Allow)]
    pub overlap: Overlap,
}

/// What happens when a run is due and the last one has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Spec)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// Both run.
    Allow,
    /// The new one does not start.
    Forbid,
    /// The old one is stopped.
    Replace,
}
