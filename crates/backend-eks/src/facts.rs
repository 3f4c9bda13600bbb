//! What is read from a cluster before anything is decided, and what is taken for granted offline.
//!
//! | fact | meaning |
//! |---|---|
//! | `kubernetes.version` | the version of the API server, such as `1.35` |
//! | `kubernetes.crds` | the kinds that the cluster knows beyond Kubernetes' own, as `group/Kind` (`keda.sh/ScaledObject`) |
//! | `image:<reference>` | the digest of the image that a reference stands for, where the target says `images = "digest"` |
//! | `replicas:<service>` | how many replicas a service has now, where an autoscaler decides about it |

use std::collections::BTreeSet;

use straddle_core::platform::Facts;

pub(crate) const VERSION: &str = "kubernetes.version";
pub(crate) const CRDS: &str = "kubernetes.crds";

/// The kind that reads secrets of a cloud into the cluster.
pub(crate) const EXTERNAL_SECRET: &str = "external-secrets.io/ExternalSecret";
/// The kind that scales by queues, the clock and down to nothing.
pub(crate) const SCALED_OBJECT: &str = "keda.sh/ScaledObject";
/// The kind that routes requests from a Gateway.
pub(crate) const HTTP_ROUTE: &str = "gateway.networking.k8s.io/HTTPRoute";
/// The kind that puts pods behind a target group of AWS.
pub(crate) const TARGET_GROUP_BINDING: &str = "elbv2.k8s.aws/TargetGroupBinding";

/// The name of the fact that tells what a reference to an image stands for.
pub(crate) fn image(reference: &str) -> String {
    format!("image:{reference}")
}

/// The name of the fact that tells how many replicas a service has now.
pub(crate) fn replicas(service: &str) -> String {
    format!("replicas:{service}")
}

/// The cluster that is taken for granted where none was asked: a current one, with nothing installed.
pub(crate) fn assumed() -> Facts {
    Facts::assumed().with(VERSION, "1.35").with(CRDS, Vec::<String>::new())
}

/// The cluster, as translation sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cluster {
    /// Its version.
    pub(crate) version: (u32, u32),
    /// The kinds that somebody installed.
    crds: BTreeSet<String>,
    /// Whether nobody was asked.
    assumed: bool,
}

impl Cluster {
    pub(crate) fn of(facts: &Facts) -> Self {
        let crds = facts.values.get(CRDS).and_then(|crds| crds.as_array());
        Self {
            version: version(facts.text(VERSION).unwrap_or_default()),
            crds: crds.into_iter().flatten().filter_map(|crd| crd.as_str()).map(str::to_owned).collect(),
            assumed: facts.assumed,
        }
    }

    /// Returns whether a kind is known to be installed.
    pub(crate) fn has(&self, kind: &str) -> bool {
        self.crds.contains(kind)
    }

    /// Returns whether a kind may be installed: it is, or nobody was asked.
    pub(crate) fn may_have(&self, kind: &str) -> bool {
        self.assumed || self.has(kind)
    }
}

/// Reads `1.35`, or `1.35+` as some clouds write it; what is not a version counts as the oldest that is supported.
pub(crate) fn version(text: &str) -> (u32, u32) {
    let parts = text.split_once('.').and_then(|(major, minor)| {
        let end = minor.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(minor.len());
        Some((major.parse().ok()?, minor[..end].parse().ok()?))
    });
    parts.unwrap_or((1, 33))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_as_clusters_write_them() {
        assert_eq!(version("1.35"), (1, 35));
        assert_eq!(version("1.31+"), (1, 31));
        assert_eq!(version("1.36.2"), (1, 36));
        assert_eq!(version("new"), (1, 33));
        let cluster = Cluster::of(&assumed());
        assert!(!cluster.has(SCALED_OBJECT) && cluster.may_have(SCALED_OBJECT));
    }
}
