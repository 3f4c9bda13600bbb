//! One replica, while its service is changed.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{making::Made, stopping::Order};
use crate::{
    client::State,
    document::{RestartDocument, TemplateDocument},
    group::{self, Condition},
    observe::Group,
    watch::{Exit, Seen, Watch},
};

/// How long a container without a health check has to run at least to count as healthy: a program that cannot start ends sooner.
const BREATH: Duration = Duration::from_millis(500);

/// How long it has to run once it has ended before.
const SECOND_BREATH: Duration = Duration::from_secs(3);

/// How long the engine may take to start a container again that has ended; its first delays are well below a second.
const COMEBACK: Duration = Duration::from_secs(5);

/// Where a replica is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its containers are made.
    Making,
    /// Its containers are started, in their order.
    Launching,
    /// All of them were started.
    Up,
    /// It is stopped.
    Retiring,
}

/// One replica.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) name: String,
    /// The name under which it was made.
    pub(super) group: String,
    pub(super) revision: u64,
    pub(super) ordinal: u32,
    pub(super) template: Arc<TemplateDocument>,
    pub(super) phase: Phase,
    /// Whether it is one of those that are wanted.
    pub(super) is_new: bool,
    pub(super) is_admitted: bool,
    lead: Option<String>,
    containers: BTreeMap<String, String>,
    /// How many ends, and turns to bad health, of each container were counted.
    counted: BTreeMap<String, (usize, u32)>,
}

/// Something that went wrong in a replica.
#[derive(Clone, Debug)]
pub(super) enum Trouble {
    Exited {
        container: String,
        exit: Exit,
        is_over: bool,
    },
    /// Somebody stopped it.
    Stopped,
    Unhealthy {
        container: String,
    },
}

impl Replica {
    /// Names a replica that is about to be made.
    pub(super) fn planned(
        name: String,
        revision: u64,
        ordinal: u32,
        template: Arc<TemplateDocument>,
    ) -> Self {
        Self {
            group: name.clone(),
            name,
            revision,
            ordinal,
            template,
            phase: Phase::Making,
            is_new: true,
            is_admitted: false,
            lead: None,
            containers: BTreeMap::new(),
            counted: BTreeMap::new(),
        }
    }

    /// Takes over a replica that is there.
    pub(super) fn found(group: &Group, ordinal: u32, is_admitted: bool) -> Self {
        Self {
            name: group.name().to_owned(),
            group: group.group.clone(),
            revision: group.revision(),
            ordinal,
            template: Arc::new(group.template.clone()),
            phase: Phase::Up,
            is_new: false,
            is_admitted,
            lead: Some(group.lead.id.clone()),
            containers: group
                .containers
                .iter()
                .map(|(name, container)| (name.clone(), container.id.clone()))
                .collect(),
            counted: BTreeMap::new(),
        }
    }

    pub(super) fn made(&mut self, made: &Made) {
        self.lead = Some(made.lead.clone());
        self.containers = made.containers.clone();
        self.phase = Phase::Launching;
    }

    /// Returns whether all its containers exist.
    pub(super) fn is_made(&self) -> bool {
        self.lead.is_some()
    }

    pub(super) fn container(&self, name: &str) -> Option<&str> {
        self.containers.get(name).map(String::as_str)
    }

    /// Returns the containers in the order in which they are stopped.
    pub(super) fn order<'a>(&self, template: &'a TemplateDocument) -> Order<'a> {
        let hold = self.lead.clone().filter(|_| template.needs_hold());
        Order { template, containers: self.containers.clone(), hold }
    }

    pub(super) fn condition(&self, watch: &Watch) -> Condition {
        let sight = |id: &String| watch.get(id).map(|seen| seen.sight());
        let hold = self.lead.as_ref().filter(|_| self.template.needs_hold()).and_then(sight);
        group::condition(&self.template, hold, |name| self.containers.get(name).and_then(sight))
    }

    /// Returns how long the replica has still to run to count as healthy; `None` where something else than time is missing.
    pub(super) fn remaining(&self, watch: &Watch, settle: Duration, now: Duration) -> Option<Duration> {
        if self.phase != Phase::Up || self.condition(watch) != Condition::Healthy {
            return None;
        }
        let unchecked = self
            .template
            .containers
            .iter()
            .filter(|(_, container)| container.essential && container.health.is_none());
        let waits = unchecked.filter_map(|(name, _)| watch.get(self.container(name)?)).map(|seen| {
            let least = if seen.exits.is_empty() { BREATH } else { SECOND_BREATH };
            let ran = seen.started.map(|started| now.saturating_sub(started));
            ran.map_or(Duration::ZERO, |ran| settle.max(least).saturating_sub(ran))
        });
        Some(waits.max().unwrap_or_default())
    }

    /// Returns how long the engine has still to bring back what has ended; nothing means that it does not, `None` that it need not.
    pub(super) fn comeback(&self, watch: &Watch, now: Duration) -> Option<Duration> {
        let essential = self.template.containers.iter().filter(|(_, container)| container.essential);
        let seen = essential.filter_map(|(name, _)| watch.get(self.container(name)?));
        let left = |seen: Seen| match seen.ended {
            Some(_) if seen.is_stopped => Some(Duration::ZERO),
            _ if seen.state == State::Paused => Some(Duration::ZERO),
            Some(ended) => Some(COMEBACK.saturating_sub(now.saturating_sub(ended))),
            None => None,
        };
        seen.filter_map(left).min()
    }

    pub(super) fn is_healthy(&self, watch: &Watch, settle: Duration, now: Duration) -> bool {
        self.remaining(watch, settle, now) == Some(Duration::ZERO)
    }

    /// Returns what went wrong since this was asked last.
    pub(super) fn troubles(&mut self, watch: &Watch) -> Vec<Trouble> {
        let mut troubles = Vec::new();
        for (name, document) in self.template.containers.iter().filter(|(_, document)| document.essential) {
            let Some(seen) = self.containers.get(name).and_then(|id| watch.get(id)) else { continue };
            let (exits, turns) = self.counted.entry(name.clone()).or_default();
            for exit in seen.exits.iter().skip(*exits) {
                if exit.by_hand {
                    troubles.push(Trouble::Stopped);
                    continue;
                }
                let is_over = match document.restart {
                    RestartDocument::No => true,
                    RestartDocument::OnFailure => exit.code == 0,
                    RestartDocument::UnlessStopped => false,
                };
                troubles.push(Trouble::Exited { container: name.clone(), exit: *exit, is_over });
            }
            if seen.unhealthy_turns > *turns {
                troubles.push(Trouble::Unhealthy { container: name.clone() });
            }
            (*exits, *turns) = (seen.exits.len(), seen.unhealthy_turns);
        }
        troubles
    }
}
