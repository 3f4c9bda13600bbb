//! The kinds of objects that are made, read or watched, and where the API serves them.

use kube::core::{
    ApiResource, GroupVersionKind,
    discovery::v2::{APIGroupDiscovery, APIGroupDiscoveryList},
};
use straddle_core::error::{Error, ErrorKind, Result};

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) group: &'static str,
    version: &'static str,
    plural: &'static str,
    pub(crate) is_namespaced: bool,
    /// Whether we make such objects, so that they are looked for.
    pub(crate) is_made: bool,
}

const fn kind(name: &'static str, group: &'static str, version: &'static str, plural: &'static str) -> Kind {
    Kind { name, group, version, plural, is_namespaced: true, is_made: true }
}

impl Kind {
    const fn of_cluster(mut self) -> Self {
        self.is_namespaced = false;
        self
    }

    const fn only_read(mut self) -> Self {
        self.is_made = false;
        self
    }

    /// Returns the kind as the API's own client takes it.
    pub(crate) fn resource(&self) -> ApiResource {
        let gvk = GroupVersionKind::gvk(self.group, self.version, self.name);
        ApiResource::from_gvk_with_plural(&gvk, self.plural)
    }

    /// Returns the name of its definition on a cluster, where it has one: `scaledobjects.keda.sh`.
    pub(crate) fn definition(&self) -> String {
        format!("{}.{}", self.plural, self.group)
    }

    /// Returns whether an answer about what a cluster serves has it, in the version that is used here.
    pub(crate) fn is_among(&self, served: &APIGroupDiscoveryList) -> bool {
        let is_group = |group: &&APIGroupDiscovery| {
            group.metadata.as_ref().and_then(|metadata| metadata.name.as_deref()) == Some(self.group)
        };
        let groups = served.items.iter().filter(is_group);
        let versions = groups
            .flat_map(|group| &group.versions)
            .filter(|version| version.version.as_deref() == Some(self.version));
        let mut resources = versions.flat_map(|version| &version.resources);
        resources.any(|resource| resource.resource.as_deref() == Some(self.plural))
    }

    /// Returns whether every cluster serves it.
    pub(crate) fn is_builtin(&self) -> bool {
        !self.group.contains('.') || self.group.ends_with("k8s.io") && !self.group.starts_with("gateway")
    }
}

pub(crate) const NAMESPACE: Kind = kind("Namespace", "", "v1", "namespaces").of_cluster();
pub(crate) const CONFIG_MAP: Kind = kind("ConfigMap", "", "v1", "configmaps");
pub(crate) const SECRET: Kind = kind("Secret", "", "v1", "secrets");
pub(crate) const CLAIM: Kind = kind("PersistentVolumeClaim", "", "v1", "persistentvolumeclaims");
pub(crate) const SERVICE: Kind = kind("Service", "", "v1", "services");
pub(crate) const DEPLOYMENT: Kind = kind("Deployment", "apps", "v1", "deployments");
pub(crate) const DAEMON_SET: Kind = kind("DaemonSet", "apps", "v1", "daemonsets");
pub(crate) const STATEFUL_SET: Kind = kind("StatefulSet", "apps", "v1", "statefulsets");
pub(crate) const JOB: Kind = kind("Job", "batch", "v1", "jobs");
pub(crate) const CRON_JOB: Kind = kind("CronJob", "batch", "v1", "cronjobs");
pub(crate) const INGRESS: Kind = kind("Ingress", "networking.k8s.io", "v1", "ingresses");
pub(crate) const AUTOSCALER: Kind =
    kind("HorizontalPodAutoscaler", "autoscaling", "v2", "horizontalpodautoscalers");
pub(crate) const SCALED_OBJECT: Kind = kind("ScaledObject", "keda.sh", "v1alpha1", "scaledobjects");
pub(crate) const EXTERNAL_SECRET: Kind =
    kind("ExternalSecret", "external-secrets.io", "v1", "externalsecrets");
pub(crate) const ROUTE: Kind = kind("HTTPRoute", "gateway.networking.k8s.io", "v1", "httproutes");
pub(crate) const REPLICA_SET: Kind = kind("ReplicaSet", "apps", "v1", "replicasets").only_read();
pub(crate) const REVISION: Kind = kind("ControllerRevision", "apps", "v1", "controllerrevisions").only_read();
pub(crate) const POD: Kind = kind("Pod", "", "v1", "pods").only_read();
pub(crate) const EVENT: Kind = kind("Event", "", "v1", "events").only_read();
pub(crate) const LEASE: Kind = kind("Lease", "coordination.k8s.io", "v1", "leases").only_read();

/// Every kind, in the order in which objects are made.
pub(crate) const KINDS: &[Kind] = &[
    NAMESPACE,
    kind("ServiceAccount", "", "v1", "serviceaccounts"),
    CONFIG_MAP,
    SECRET,
    kind("StorageClass", "storage.k8s.io", "v1", "storageclasses").of_cluster(),
    EXTERNAL_SECRET,
    kind("PersistentVolume", "", "v1", "persistentvolumes").of_cluster(),
    CLAIM,
    SERVICE,
    kind("PodDisruptionBudget", "policy", "v1", "poddisruptionbudgets"),
    kind("NetworkPolicy", "networking.k8s.io", "v1", "networkpolicies"),
    DEPLOYMENT,
    DAEMON_SET,
    STATEFUL_SET,
    CRON_JOB,
    JOB,
    AUTOSCALER,
    SCALED_OBJECT,
    INGRESS,
    ROUTE,
    kind("TargetGroupBinding", "elbv2.k8s.aws", "v1beta1", "targetgroupbindings"),
    REPLICA_SET,
    REVISION,
    POD,
    EVENT,
    LEASE,
];

/// Finds a kind by its name.
pub(crate) fn named(name: &str) -> Result<Kind> {
    KINDS.iter().find(|kind| kind.name == name).copied().ok_or_else(|| {
        Error::new(ErrorKind::Invalid, format!("this version of Straddle knows no objects of kind {name}"))
    })
}
