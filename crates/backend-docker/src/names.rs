//! Names of what Straddle makes on an engine, and how they are read back.

use straddle_core::scope::Scope;

/// Makes and reads the names of one application in one environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    prefix: String,
}

/// What the name of the first container of a group says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// A replica that should run; ordinal 0 is the stopped record of a service that is scaled to zero.
    Live { revision: u64, ordinal: u32 },
    /// A revision that was replaced and is kept, so that it can come back.
    Kept { revision: u64 },
    /// A revision whose rollout failed.
    Failed { revision: u64 },
}

impl Names {
    pub(crate) fn new(scope: &Scope) -> Self {
        Self { prefix: scope.prefix() }
    }

    /// The network of the application.
    pub(crate) fn network(&self) -> &str {
        &self.prefix
    }

    pub(crate) fn volume(&self, volume: &str) -> String {
        format!("{}-{volume}", self.prefix)
    }

    /// The container that stands in front of the replicas of a service.
    pub(crate) fn door(&self, service: &str) -> String {
        format!("{}-{service}", self.prefix)
    }

    pub(crate) fn group(&self, service: &str, place: Place) -> String {
        match place {
            Place::Live { revision, ordinal } => format!("{}-{service}-{revision}-{ordinal}", self.prefix),
            Place::Kept { revision } => format!("{}-{service}-r{revision}", self.prefix),
            Place::Failed { revision } => format!("{}-{service}-r{revision}-failed", self.prefix),
        }
    }

    /// The record of how many replicas of a revision there should be. No workload can have a name of this form.
    pub(crate) fn scale(&self, service: &str, revision: u64, replicas: u32) -> String {
        format!("{}-{service}-{revision}-scale-{replicas}", self.prefix)
    }

    /// Reads a revision and its number of replicas back from the name of a record.
    pub(crate) fn scaled(&self, service: &str, name: &str) -> Option<(u64, u32)> {
        let (revision, replicas) =
            name.strip_prefix(&format!("{}-{service}-", self.prefix))?.split_once("-scale-")?;
        Some((revision.parse().ok()?, replicas.parse().ok()?))
    }

    pub(crate) fn run(&self, task: &str, number: u32) -> String {
        format!("{}-{task}-run-{number}", self.prefix)
    }

    /// Reads the number of a run back from its name.
    pub(crate) fn run_number(&self, task: &str, name: &str) -> Option<u32> {
        name.strip_prefix(&format!("{}-{task}-run-", self.prefix))?.parse().ok()
    }

    pub(crate) fn lease(&self) -> String {
        format!("{}-lease", self.prefix)
    }

    /// Reads the place of a group back from its name; `None` for a name that Straddle did not give.
    pub(crate) fn place(&self, service: &str, name: &str) -> Option<Place> {
        let rest = name.strip_prefix(&format!("{}-{service}-", self.prefix))?;
        if let Some(kept) = rest.strip_prefix('r') {
            return match kept.strip_suffix("-failed") {
                Some(number) => number.parse().ok().map(|revision| Place::Failed { revision }),
                None => kept.parse().ok().map(|revision| Place::Kept { revision }),
            };
        }
        let (revision, ordinal) = rest.split_once('-')?;
        Some(Place::Live { revision: revision.parse().ok()?, ordinal: ordinal.parse().ok()? })
    }
}

/// The name of a further container of a group.
pub(crate) fn member(group: &str, container: &str) -> String {
    format!("{group}-{container}")
}

/// Returns whether the containers of one workload could get the name of another one's.
///
/// `web-1-1` is a replica of `web`, so no service beside `web` may be called `web-1`: its door would be `shop-web-1`, which leaves no room.
pub(crate) fn collide(one: &str, other: &str) -> bool {
    let (short, long) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    let Some(rest) = long.strip_prefix(short).and_then(|rest| rest.strip_prefix('-')) else { return false };
    let first = rest.split('-').next().unwrap_or_default();
    let number = first.strip_prefix('r').unwrap_or(first);
    first == "run" || (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Returns whether a workload would get the name of something that every application has.
pub(crate) fn is_reserved(name: &str) -> bool {
    name == "lease" || name.starts_with("lease-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names::new(&Scope::new(&"shop".parse().unwrap()))
    }

    #[test]
    fn places_are_read_back_from_names() {
        for place in [
            Place::Live { revision: 7, ordinal: 2 },
            Place::Live { revision: 1, ordinal: 0 },
            Place::Kept { revision: 12 },
            Place::Failed { revision: 3 },
        ] {
            assert_eq!(names().place("web", &names().group("web", place)), Some(place));
        }
        for other in ["shop-web", "shop-web-x-1", "shop-web-1", "shop-store-1-1", "shop-web-1-1-proxy"] {
            assert_eq!(names().place("web", other), None, "{other}");
        }
        assert_eq!(names().scaled("web", &names().scale("web", 7, 3)), Some((7, 3)));
        assert_eq!(names().place("web", &names().scale("web", 7, 3)), None);
        assert_eq!(names().run_number("migrate", &names().run("migrate", 4)), Some(4));
    }

    #[test]
    fn names_that_could_meet_are_known() {
        for (one, other) in [("web", "web-1"), ("web-r2", "web"), ("web", "web-run-1"), ("web", "web-1-1")] {
            assert!(collide(one, other), "{one} {other}");
        }
        for (one, other) in [("web", "web-api"), ("web", "store"), ("web", "web2"), ("web", "web-red")] {
            assert!(!collide(one, other), "{one} {other}");
        }
        assert!(is_reserved("lease") && !is_reserved("leases"));
    }
}
