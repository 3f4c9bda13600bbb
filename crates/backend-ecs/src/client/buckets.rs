//! How fast ECS may be called: its published token buckets, shared by all steps that run side by side.
//!
//! Source: [request throttling](https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html), per account and region. Other
//! callers of the account share them, so that a call may be throttled all the same.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use straddle_core::clock::Clock;

/// The share of a burst that is left alone: calls reach ECS sooner or later after one another than they were sent.
const RESERVE: f64 = 0.1;

/// A kind of calls, with how many may come at once and how many in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Category {
    operations: &'static [&'static str],
    burst: u32,
    rate: u32,
}

const CATEGORIES: [Category; 9] = [
    Category { operations: &["DescribeClusters", "ListClusters"], burst: 50, rate: 20 },
    Category { operations: &["DeregisterTaskDefinition", "RegisterTaskDefinition"], burst: 20, rate: 1 },
    Category {
        operations: &["DescribeTaskDefinition", "ListTaskDefinitionFamilies", "ListTaskDefinitions"],
        burst: 50,
        rate: 20,
    },
    Category { operations: &["CreateService", "DeleteService", "UpdateService"], burst: 50, rate: 5 },
    Category { operations: &["DescribeServices", "ListServices"], burst: 100, rate: 20 },
    Category { operations: &["ExecuteCommand", "RunTask", "StopTask"], burst: 100, rate: 40 },
    Category { operations: &["DescribeTasks", "ListTasks"], burst: 100, rate: 20 },
    Category {
        operations: &["DescribeServiceDeployments", "ListServiceDeployments", "StopServiceDeployment"],
        burst: 50,
        rate: 20,
    },
    Category { operations: &["ListTagsForResource", "TagResource", "UntagResource"], burst: 20, rate: 10 },
];

/// The state of a bucket: how many calls are left, and since when.
#[derive(Clone, Copy, Debug)]
struct Level {
    tokens: f64,
    at: Duration,
}

/// All buckets of one client.
#[derive(Debug, Default)]
pub(crate) struct Buckets(Mutex<[Option<Level>; CATEGORIES.len()]>);

impl Buckets {
    /// Waits until an operation may be called.
    pub(crate) async fn take(&self, operation: &str, clock: &dyn Clock) {
        let wait = self.reserve(operation, clock.monotonic());
        if !wait.is_zero() {
            clock.sleep(wait).await;
        }
    }

    /// Takes a token, also one that is only there later; returns after how long.
    fn reserve(&self, operation: &str, now: Duration) -> Duration {
        let Some(at) = CATEGORIES.iter().position(|one| one.operations.contains(&operation)) else {
            return Duration::ZERO;
        };
        let Category { operations: _, burst, rate } = CATEGORIES[at];
        let (burst, rate) = (f64::from(burst) * (1.0 - RESERVE), f64::from(rate));
        let mut levels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let level = levels[at].get_or_insert(Level { tokens: burst, at: now });
        let passed = now.saturating_sub(level.at).as_secs_f64();
        level.tokens = (level.tokens + passed * rate).min(burst) - 1.0;
        level.at = now;
        if level.tokens >= 0.0 { Duration::ZERO } else { Duration::from_secs_f64(-level.tokens / rate) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_free_and_the_rest_comes_at_the_rate() {
        let buckets = Buckets::default();
        let now = Duration::from_secs(10);
        let waits: Vec<f64> =
            (0..20).map(|_| buckets.reserve("RegisterTaskDefinition", now).as_secs_f64()).collect();
        assert!(waits[..18].iter().all(|wait| *wait == 0.0), "{waits:?}");
        assert!((waits[18] - 1.0).abs() < 1e-6 && (waits[19] - 2.0).abs() < 1e-6, "{waits:?}");
        // Two seconds later those two are used up, and the next one waits again.
        let later = buckets.reserve("DeregisterTaskDefinition", Duration::from_secs(12));
        assert!((later.as_secs_f64() - 1.0).abs() < 1e-6, "one bucket for both: {later:?}");
        assert_eq!(buckets.reserve("NeverHeardOf", now), Duration::ZERO);
    }
}
