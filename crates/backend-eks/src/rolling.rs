//! The numbers of a rolling update, as Kubernetes counts them.
//!
//! Kubernetes rounds `maxSurge` up and `maxUnavailable` down when they are shares; ECS rounds its bounds the other way round. Whole
//! numbers say the same on both.

use straddle_core::{rolling::RollingBounds, units::Percent};

/// `maxUnavailable` and `maxSurge` of a Deployment, as whole numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollingUpdate {
    /// How many pods fewer than wanted may be available.
    pub max_unavailable: u32,
    /// How many pods more than wanted may exist.
    pub max_surge: u32,
}

impl RollingUpdate {
    /// Returns the numbers that mean what the shares mean on ECS, for a number of replicas.
    ///
    /// With no replicas both would be 0, which the API refuses: then one pod may be surplus.
    #[must_use]
    pub fn new(desired: u32, min_healthy: Percent, max_running: Percent) -> Self {
        if desired == 0 {
            return Self { max_unavailable: 0, max_surge: 1 };
        }
        let bounds = RollingBounds::new(desired, min_healthy, max_running);
        Self {
            max_unavailable: desired.saturating_sub(bounds.min_healthy),
            max_surge: bounds.max_running.saturating_sub(desired),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_the_two_engines() {
        let numbers = |desired, min, max| {
            let update = RollingUpdate::new(desired, Percent::new(min), Percent::new(max));
            (update.max_unavailable, update.max_surge)
        };
        assert_eq!(numbers(3, 50, 150), (1, 1));
        assert_eq!(numbers(4, 100, 200), (0, 4));
        assert_eq!(numbers(10, 75, 125), (2, 2));
        assert_eq!(numbers(1, 100, 150), (0, 0));
        assert_eq!(numbers(0, 100, 200), (0, 1));
    }
}
