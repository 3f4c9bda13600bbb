//! Whether a group of containers is well, from what is seen of each; pure.

use straddle_core::status::HealthState;

use crate::{client::State, document::TemplateDocument};

/// What is seen of one container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sight {
    pub(crate) state: State,
    pub(crate) health: Option<HealthState>,
}

/// How a group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Something of it is missing or has ended: it will not get well by itself.
    Broken,
    /// Everything runs, and every check passes.
    Healthy,
    /// Everything runs, and a check has not passed yet.
    Starting,
    /// A check fails.
    Unhealthy,
}

/// Judges a group; `hold` is the container that owns its network, where it has one.
pub(crate) fn condition<'a>(
    template: &'a TemplateDocument,
    hold: Option<Sight>,
    sight: impl Fn(&'a str) -> Option<Sight>,
) -> Condition {
    if template.needs_hold() && hold.is_none_or(|hold| hold.state != State::Running) {
        return Condition::Broken;
    }
    let mut whole = Condition::Healthy;
    for (name, container) in &template.containers {
        let Some(seen) = sight(name) else { return Condition::Broken };
        match seen.state {
            // Nobody lets a paused one go on but who paused it.
            State::Created | State::Paused | State::Restarting => return Condition::Broken,
            // What is not essential may have done its work.
            State::Exited if container.essential => return Condition::Broken,
            State::Exited => continue,
            State::Running => {}
        }
        if container.health.is_none() || !container.essential {
            continue;
        }
        match seen.health {
            Some(HealthState::Healthy) => {}
            Some(HealthState::Unhealthy) => whole = Condition::Unhealthy,
            Some(HealthState::Starting) | None if whole == Condition::Healthy => whole = Condition::Starting,
            Some(HealthState::Starting) | None => {}
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::document::{ContainerDocument, HealthDocument};

    fn template() -> TemplateDocument {
        let health = HealthDocument {
            test: Vec::new(),
            interval_ms: 1,
            timeout_ms: 1,
            retries: 1,
            start_period_ms: 0,
        };
        let web = ContainerDocument { essential: true, health: Some(health), ..ContainerDocument::default() };
        let init = ContainerDocument { essential: false, ..ContainerDocument::default() };
        let containers = BTreeMap::from([("web".to_owned(), web), ("init".to_owned(), init)]);
        TemplateDocument { containers, ..TemplateDocument::default() }
    }

    fn seen(state: State, health: Option<HealthState>) -> Option<Sight> {
        Some(Sight { state, health })
    }

    #[test]
    fn a_group_is_as_well_as_its_essential_containers() {
        let template = template();
        let hold = seen(State::Running, None);
        let judge = |web: Option<Sight>, init: Option<Sight>| {
            condition(&template, hold, |name| if name == "web" { web } else { init })
        };
        let done = seen(State::Exited, None);
        assert_eq!(judge(seen(State::Running, Some(HealthState::Healthy)), done), Condition::Healthy);
        assert_eq!(judge(seen(State::Running, None), done), Condition::Starting);
        assert_eq!(judge(seen(State::Running, Some(HealthState::Unhealthy)), done), Condition::Unhealthy);
        assert_eq!(judge(seen(State::Exited, None), done), Condition::Broken);
        assert_eq!(judge(seen(State::Restarting, None), done), Condition::Broken);
        assert_eq!(judge(seen(State::Paused, Some(HealthState::Healthy)), done), Condition::Broken);
        assert_eq!(judge(seen(State::Running, Some(HealthState::Healthy)), None), Condition::Broken);
        assert_eq!(condition(&template, None, |_| seen(State::Running, None)), Condition::Broken);
    }
}
