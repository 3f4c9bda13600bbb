use serde::Serialize;

use crate::{
    spec::{Spec, escaped},
    units::{Cron, Percent, TimeZone, Timespan},
};

/// A number of tasks that follows the load.
#[derive(Clone, Debug, PartialEq, Serialize, Spec)]
pub struct Autoscale {
    /// The fewest tasks.
    #[spec(example = "2", example = "1")]
    pub min: u32,
    /// The most tasks.
    #[spec(example = "10", example = "20")]
    pub max: u32,
    /// The average use of the reserved CPU that is kept.
    #[spec(example = "60%", example = "70%")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Percent>,
    /// The average use of the reserved memory that is kept.
    #[spec(example = "70%", example = "80%")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Percent>,
    /// Requests a minute that one task gets from the load balancer.
    #[spec(example = "1000", example = "500")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// Messages that wait in a queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueTarget>,
    /// Bounds that hold from certain times on.
    #[spec(default)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<ScheduledBounds>,
    /// How long after a step up no other is made.
    #[spec(example = "1m", example = "2m")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_out_cooldown: Option<Timespan>,
    /// How long after a step down no other is made.
    #[spec(example = "5m", example = "10m")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_in_cooldown: Option<Timespan>,
}

/// Messages that wait in a queue, for each task.
#[derive(Clone, Debug, PartialEq, Serialize, Spec)]
pub struct QueueTarget {
    /// The URL of the queue.
    #[spec(
        example = "https://sqs.eu-central-1.amazonaws.com/111122223333/orders",
        example = "https://sqs.eu-central-1.amazonaws.com/111122223333/mails"
    )]
    #[serde(serialize_with = "escaped")]
    pub url: String,
    /// How many messages a task has to itself.
    #[spec(example = "100", example = "50")]
    pub messages_per_task: u32,
}

/// Bounds that hold from certain times on.
#[derive(Clone, Debug, PartialEq, Serialize, Spec)]
pub struct ScheduledBounds {
    /// The times, as five fields of cron.
    pub cron: Cron,
    /// The time zone in which they are read.
    #[spec(default = crate::model::rules::utc())]
    pub timezone: TimeZone,
    /// The fewest tasks from then on.
    #[spec(example = "5", example = "4")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<u32>,
    /// The most tasks from then on.
    #[spec(example = "20", example = "30")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
}
