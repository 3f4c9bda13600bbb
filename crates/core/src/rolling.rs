//! The arithmetic of a rolling update, as ECS does it: the lower bound is rounded up, the upper bound down.

use crate::{model::Rollout, units::Percent};

/// Between how many replicas a rolling update stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollingBounds {
    /// How many stay healthy at least.
    pub min_healthy: u32,
    /// How many run at most.
    pub max_running: u32,
}

/// What a rolling update does next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RollingStep {
    /// How many new replicas to start.
    pub start: u32,
    /// How many old replicas to stop.
    pub stop: u32,
}

impl RollingBounds {
    /// Returns the bounds for a number of replicas.
    ///
    /// With `desired` at 0 there is nothing to bound.
    #[must_use]
    pub fn new(desired: u32, min_healthy: Percent, max_running: Percent) -> Self {
        Self { min_healthy: min_healthy.ceil_of(desired), max_running: max_running.floor_of(desired) }
    }

    /// Returns the bounds of a rollout policy.
    #[must_use]
    pub fn of(rollout: &Rollout, desired: u32) -> Self {
        Self::new(desired, rollout.min_healthy, rollout.max_running)
    }

    /// Returns whether an update of this many replicas can never move: no room to start one, and none may stop.
    #[must_use]
    pub fn is_deadlocked(self, desired: u32) -> bool {
        desired > 0 && self.max_running <= desired && self.min_healthy >= desired
    }

    /// Returns what may be done now.
    ///
    /// `old_healthy` and `old_other` count the replicas of other revisions, `new_healthy` and `new_other` those of the wanted one; the
    /// unhealthy old ones stop first, since stopping them costs no service.
    #[must_use]
    pub fn next(
        self,
        desired: u32,
        old_healthy: u32,
        old_other: u32,
        new_healthy: u32,
        new_other: u32,
    ) -> RollingStep {
        let (old, new) = (old_healthy + old_other, new_healthy + new_other);
        let wanted = desired.saturating_sub(new);
        let start = wanted.min(self.max_running.max(desired.min(1)).saturating_sub(old + new));
        let spare = (old_healthy + new_healthy).saturating_sub(self.min_healthy);
        let stop = old_other + old_healthy.min(spare);
        RollingStep { start, stop: stop.min(old) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bounds(desired: u32, min: u16, max: u16) -> RollingBounds {
        RollingBounds::new(desired, Percent::new(min), Percent::new(max))
    }

    #[test]
    fn bounds_round_as_ecs_rounds() {
        assert_eq!(bounds(3, 50, 150), RollingBounds { min_healthy: 2, max_running: 4 });
        assert_eq!(bounds(4, 100, 200), RollingBounds { min_healthy: 4, max_running: 8 });
        assert_eq!(bounds(10, 75, 125), RollingBounds { min_healthy: 8, max_running: 12 });
        assert!(bounds(1, 100, 150).is_deadlocked(1));
        assert!(!bounds(0, 100, 100).is_deadlocked(0));
    }

    proptest! {
        /// Whatever the bounds, an update that is not deadlocked comes to its end and stays between them all the way.
        #[test]
        fn converges_within_bounds(desired in 1_u32..20, min in 0_u16..=100, max in 100_u16..=300) {
            let bounds = bounds(desired, min, max);
            prop_assume!(!bounds.is_deadlocked(desired));
            let (mut old, mut new) = (desired, 0);
            for _ in 0..100 {
                let step = bounds.next(desired, old, 0, new, 0);
                prop_assert!(old + new + step.start <= bounds.max_running.max(desired));
                old -= step.stop;
                prop_assert!(old + new >= bounds.min_healthy);
                // What was started becomes healthy before the next look.
                new += step.start;
                if old == 0 && new == desired {
                    return Ok(());
                }
            }
            prop_assert!(false, "did not end: {old} old, {new} new of {desired}");
        }
    }
}
