//! What the engine tells, in our own words: only what is used, and whole.

use std::collections::HashMap;

use bollard::models;
use straddle_core::status::{ContainerState, HealthState};

use crate::labels::Labels;

/// The engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EngineVersion {
    pub(crate) version: String,
    pub(crate) api: String,
    pub(crate) os: String,
    pub(crate) architecture: String,
}

/// A container as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) labels: Labels,
    pub(crate) created: i64,
    pub(crate) state: State,
    pub(crate) health: Option<HealthState>,
    pub(crate) exit_code: Option<i64>,
    /// The names of the networks that it is in by itself.
    pub(crate) networks: Vec<String>,
}

/// How a container is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It was never started.
    Created,
    /// It has ended, or cannot be used any more.
    Exited,
    /// It is stopped on the way, by somebody's wish.
    Paused,
    /// It has ended and the engine will start it again.
    Restarting,
    /// It runs.
    Running,
}

impl State {
    pub(crate) fn is_running(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }

    pub(crate) fn for_status(self) -> ContainerState {
        match self {
            Self::Created | Self::Restarting => ContainerState::Waiting,
            Self::Exited => ContainerState::Exited,
            Self::Paused | Self::Running => ContainerState::Running,
        }
    }
}

/// A container as the engine knows it in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inspected {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) image_id: String,
    pub(crate) labels: Labels,
    pub(crate) state: State,
    pub(crate) exit_code: i64,
    pub(crate) out_of_memory: bool,
    pub(crate) restarts: u32,
    pub(crate) started: Option<String>,
    pub(crate) finished: Option<String>,
    /// What the engine says about a start that failed.
    pub(crate) error: String,
    pub(crate) health: Option<HealthState>,
    /// What the last health check wrote.
    pub(crate) health_output: String,
    pub(crate) failing_streak: u32,
    pub(crate) memory_limit: i64,
    pub(crate) tty: bool,
    pub(crate) restart_policy: bool,
}

/// A network or volume with its owner's labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owned {
    /// The identity by which it is removed: the id of a network, the name of a volume.
    pub(crate) id: String,
    pub(crate) name: String,
    /// When it was made, in a form that sorts by time; empty where the engine does not tell.
    pub(crate) created: String,
    pub(crate) labels: Labels,
}

/// Something that happened to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Happened {
    pub(crate) container: String,
    pub(crate) name: String,
    pub(crate) action: Action,
    pub(crate) exit_code: Option<i64>,
    pub(crate) labels: Labels,
    /// In nanoseconds since 1970.
    pub(crate) time: i64,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Create,
    Destroy,
    Die,
    Healthy,
    Kill,
    Oom,
    Other,
    Pause,
    Start,
    Stop,
    Unhealthy,
    Unpause,
}

fn labels(map: Option<HashMap<String, String>>) -> Labels {
    map.unwrap_or_default().into_iter().collect()
}

impl From<models::ContainerSummary> for Listed {
    fn from(summary: models::ContainerSummary) -> Self {
        use models::ContainerSummaryStateEnum as Summary;
        let status = summary.status.unwrap_or_default();
        let state = match summary.state {
            Some(Summary::RUNNING | Summary::STOPPING) => State::Running,
            Some(Summary::CREATED) => State::Created,
            Some(Summary::RESTARTING) => State::Restarting,
            Some(Summary::PAUSED) => State::Paused,
            _ => State::Exited,
        };
        Self {
            id: summary.id.unwrap_or_default(),
            name: summary
                .names
                .unwrap_or_default()
                .first()
                .map(|name| name.trim_start_matches('/').to_owned())
                .unwrap_or_default(),
            image: summary.image.unwrap_or_default(),
            labels: labels(summary.labels),
            created: summary.created.unwrap_or_default(),
            state,
            health: health_of(&status).filter(|_| state.is_running()),
            exit_code: exit_code_of(&status),
            networks: summary
                .network_settings
                .and_then(|settings| settings.networks)
                .map(|networks| networks.into_keys().collect())
                .unwrap_or_default(),
        }
    }
}

/// Reads the health out of a status such as `Up 3 seconds (health: starting)`: older engines have no field for it in a list.
fn health_of(status: &str) -> Option<HealthState> {
    [
        ("(healthy)", HealthState::Healthy),
        ("(unhealthy)", HealthState::Unhealthy),
        ("(health: starting)", HealthState::Starting),
    ]
    .into_iter()
    .find_map(|(words, health)| status.contains(words).then_some(health))
}

/// Reads the exit code out of a status such as `Exited (137) 2 minutes ago`.
fn exit_code_of(status: &str) -> Option<i64> {
    let rest = status.strip_prefix("Exited (").or_else(|| status.strip_prefix("Restarting ("))?;
    rest.split(')').next()?.parse().ok()
}

impl From<models::ContainerInspectResponse> for Inspected {
    fn from(inspect: models::ContainerInspectResponse) -> Self {
        use models::{
            ContainerStateStatusEnum as Status, HealthStatusEnum as Health, RestartPolicyNameEnum as Policy,
        };
        let state = inspect.state.unwrap_or_default();
        let config = inspect.config.unwrap_or_default();
        let host = inspect.host_config.unwrap_or_default();
        let time = |text: Option<String>| text.filter(|text| !text.is_empty() && !text.starts_with("0001-"));
        let number =
            |number: Option<i64>| number.and_then(|number| u32::try_from(number).ok()).unwrap_or_default();
        let health = state.health.unwrap_or_default();
        let last = health.log.unwrap_or_default().pop();
        Self {
            id: inspect.id.unwrap_or_default(),
            name: inspect.name.unwrap_or_default().trim_start_matches('/').to_owned(),
            image_id: inspect.image.unwrap_or_default(),
            labels: labels(config.labels),
            state: match state.status {
                Some(Status::RUNNING | Status::STOPPING) => State::Running,
                Some(Status::CREATED) => State::Created,
                Some(Status::RESTARTING) => State::Restarting,
                Some(Status::PAUSED) => State::Paused,
                _ => State::Exited,
            },
            exit_code: state.exit_code.unwrap_or_default(),
            out_of_memory: state.oom_killed.unwrap_or_default(),
            restarts: number(inspect.restart_count),
            started: time(state.started_at),
            finished: time(state.finished_at),
            error: state.error.unwrap_or_default(),
            health: match health.status {
                Some(Health::HEALTHY) => Some(HealthState::Healthy),
                Some(Health::STARTING) => Some(HealthState::Starting),
                Some(Health::UNHEALTHY) => Some(HealthState::Unhealthy),
                _ => None,
            },
            health_output: last.and_then(|result| result.output).unwrap_or_default(),
            failing_streak: number(health.failing_streak),
            memory_limit: host.memory.unwrap_or_default(),
            tty: config.tty.unwrap_or_default(),
            restart_policy: host.restart_policy.and_then(|policy| policy.name).is_some_and(|name| {
                matches!(name, Policy::ALWAYS | Policy::ON_FAILURE | Policy::UNLESS_STOPPED)
            }),
        }
    }
}

impl From<models::Network> for Owned {
    fn from(network: models::Network) -> Self {
        Self {
            id: network.id.unwrap_or_default(),
            name: network.name.unwrap_or_default(),
            created: network.created.unwrap_or_default(),
            labels: labels(network.labels),
        }
    }
}

impl From<models::Volume> for Owned {
    fn from(volume: models::Volume) -> Self {
        Self {
            id: volume.name.clone(),
            name: volume.name,
            created: volume.created_at.unwrap_or_default(),
            labels: labels(Some(volume.labels)),
        }
    }
}

impl Happened {
    /// Reads an event; `None` for one of something else than a container.
    pub(crate) fn read(message: models::EventMessage) -> Option<Self> {
        if message.typ != Some(models::EventMessageTypeEnum::CONTAINER) {
            return None;
        }
        let actor = message.actor?;
        let mut attributes = labels(actor.attributes);
        // A health event carries its result in its name; some engines write a space after the colon and some do not.
        let action = message.action.unwrap_or_default();
        let action = match action.replace(' ', "").as_str() {
            "create" => Action::Create,
            "destroy" => Action::Destroy,
            "die" => Action::Die,
            "health_status:healthy" => Action::Healthy,
            "health_status:unhealthy" => Action::Unhealthy,
            "kill" => Action::Kill,
            "oom" => Action::Oom,
            "pause" => Action::Pause,
            "start" => Action::Start,
            "stop" => Action::Stop,
            "unpause" => Action::Unpause,
            _ => Action::Other,
        };
        Some(Self {
            container: actor.id?,
            name: attributes.remove("name").unwrap_or_default(),
            action,
            exit_code: attributes.remove("exitCode").and_then(|code| code.parse().ok()),
            labels: attributes,
            time: message.time_nano.unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_where_a_list_has_no_fields() {
        assert_eq!(health_of("Up 3 seconds (healthy)"), Some(HealthState::Healthy));
        assert_eq!(health_of("Up 3 seconds (unhealthy)"), Some(HealthState::Unhealthy));
        assert_eq!(health_of("Up Less than a second (health: starting)"), Some(HealthState::Starting));
        assert_eq!(health_of("Up 3 seconds"), None);
        assert_eq!(exit_code_of("Exited (137) 2 minutes ago"), Some(137));
        assert_eq!(exit_code_of("Restarting (1) Less than a second ago"), Some(1));
        assert_eq!(exit_code_of("Up 2 minutes"), None);
    }
}
