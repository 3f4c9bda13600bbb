//! What a Kubernetes target is told.

use std::path::PathBuf;

use serde::Deserialize;

/// Where a cluster is, and what it offers.
///
/// Every setting may be left out. Unknown keys are refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KubernetesConfig {
    /// The kubeconfig file; `KUBECONFIG`, then `~/.kube/config`, then the service account of a pod where nothing is said.
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig; the current one where nothing is said.
    pub context: Option<String>,
    /// The namespace, in place of one that is named after the application and environment. It is not made or removed then.
    pub namespace: Option<String>,
    /// The class of Ingress objects; the cluster's default where nothing is said.
    pub ingress_class: Option<String>,
    /// The Gateway (`namespace/name`) to which HTTP routes are attached, in place of an Ingress.
    pub gateway: Option<String>,
    /// The storage class of persistent volumes that name none.
    pub storage_class: Option<String>,
    /// The External Secrets store (`kind/name`, such as `ClusterSecretStore/aws`) that reads Secrets Manager and Parameter Store.
    pub secret_store: Option<String>,
}
