//! What a Kubernetes target is told.

use std::{fmt, path::PathBuf, str::FromStr};

use serde::Deserialize;
use straddle_core::error::{Error, ErrorKind, Result};

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
    /// The name of an EKS cluster, in place of a kubeconfig: its address is asked for, and tokens are made with the credentials of AWS.
    pub cluster: Option<String>,
    /// The region of that cluster; `AWS_REGION`, then that of the profile where nothing is said.
    pub region: Option<String>,
    /// The profile of AWS that signs for that cluster; `AWS_PROFILE`, then `default` where nothing is said.
    pub profile: Option<String>,
    /// What runs the pods of an EKS cluster; where nothing is said, nothing about it is taken for granted.
    pub compute: Option<Compute>,
    /// How a pod gets its role of AWS; by its service account where nothing is said.
    pub aws_identity: AwsIdentity,
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
    /// What pods are told about their images; the tag where nothing is said.
    pub images: Images,
}

impl KubernetesConfig {
    /// Refuses settings that contradict each other.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) for a `cluster` beside a `kubeconfig` or `context`, and for a `region` or `profile` without a `cluster`.
    pub fn check(&self) -> Result<()> {
        let has_cluster = self.cluster.is_some();
        let kubeconfig = [("kubeconfig", self.kubeconfig.is_some()), ("context", self.context.is_some())];
        let aws = [("region", self.region.is_some()), ("profile", self.profile.is_some())];
        let (wrong, what, fix) = if has_cluster {
            (
                kubeconfig,
                "stands beside `cluster`",
                "name the cluster of EKS, or a kubeconfig and its context, not both",
            )
        } else {
            (
                aws,
                "is for a cluster of EKS, and none is named",
                "name it by `cluster`; a kubeconfig has its own way to log in",
            )
        };
        match wrong.iter().find(|(_, is_set)| *is_set) {
            Some((key, _)) => Err(Error::new(ErrorKind::Invalid, format!("`{key}` {what}")).with_help(fix)),
            None => Ok(()),
        }
    }
}

/// What runs the pods of an EKS cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compute {
    /// [Auto Mode](https://docs.aws.amazon.com/eks/latest/userguide/automode.html): nodes, storage and load balancers that EKS runs.
    Auto,
    /// [Fargate](https://docs.aws.amazon.com/eks/latest/userguide/fargate.html), through a Fargate profile.
    Fargate,
    /// Node groups, nodes of your own, or Karpenter.
    Nodes,
}

impl Compute {
    const ALL: [(&str, Self); 3] = [("auto", Self::Auto), ("fargate", Self::Fargate), ("nodes", Self::Nodes)];
}

impl FromStr for Compute {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        one_of("compute", text, &Self::ALL)
    }
}

impl fmt::Display for Compute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Fargate => "fargate",
            Self::Nodes => "nodes",
        })
    }
}

/// How a pod gets its role of AWS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AwsIdentity {
    /// By an annotation of its service account, and the identity provider of the cluster
    /// ([IRSA](https://docs.aws.amazon.com/eks/latest/userguide/iam-roles-for-service-accounts.html)).
    #[default]
    Irsa,
    /// By an association of EKS with its service account
    /// ([Pod Identity](https://docs.aws.amazon.com/eks/latest/userguide/pod-identities.html)), which has to be made beside.
    PodIdentity,
}

impl AwsIdentity {
    const ALL: [(&str, Self); 2] = [("irsa", Self::Irsa), ("pod_identity", Self::PodIdentity)];
}

impl FromStr for AwsIdentity {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        one_of("aws_identity", text, &Self::ALL)
    }
}

/// What pods are told about their images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Images {
    /// The reference as it is written. Each node takes what it stands for when it pulls it; an image that is pushed anew under the same tag
    /// is [no change for Kubernetes](https://kubernetes.io/docs/concepts/containers/images/#image-pull-policy).
    #[default]
    Tag,
    /// What the reference stands for when a plan is made, as the registry says: `shop/web:1.4.2@sha256:...`. Every pod of a revision runs
    /// the same image, and one that is pushed anew is a new revision. The registry is asked from this machine, with the login of the
    /// docker command line; a plan fails where it does not answer. Names without a registry are left as they are.
    Digest,
}

impl Images {
    const ALL: [(&str, Self); 2] = [("digest", Self::Digest), ("tag", Self::Tag)];
}

impl FromStr for Images {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        one_of("images", text, &Self::ALL)
    }
}

fn one_of<T: Copy>(key: &str, text: &str, all: &[(&str, T)]) -> Result<T> {
    let found = all.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
    found.ok_or_else(|| {
        let known: Vec<String> = all.iter().map(|(name, _)| format!("`{name}`")).collect();
        Error::new(ErrorKind::Invalid, format!("`{key}` cannot be `{}`", text.escape_debug()))
            .with_help(format!("write one of {}", known.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_contradict_each_other_are_refused() {
        let text = |text: &str| Some(text.to_owned());
        let plain = KubernetesConfig::default;
        for (config, said) in [
            (
                KubernetesConfig { cluster: text("shop"), context: text("a"), ..plain() },
                "`context` stands beside",
            ),
            (
                KubernetesConfig { cluster: text("shop"), kubeconfig: Some("k".into()), ..plain() },
                "`kubeconfig` stands beside",
            ),
            (KubernetesConfig { region: text("eu-west-1"), ..plain() }, "`region` is for a cluster of EKS"),
            (KubernetesConfig { profile: text("prod"), context: text("a"), ..plain() }, "`profile` is for"),
        ] {
            let error = config.check().unwrap_err();
            assert!(error.message().starts_with(said) && error.help().is_some(), "{error}");
        }
        for config in [
            plain(),
            KubernetesConfig { context: text("a"), compute: Some(Compute::Auto), ..plain() },
            KubernetesConfig {
                cluster: text("shop"),
                region: text("eu-west-1"),
                profile: text("p"),
                ..plain()
            },
        ] {
            config.check().unwrap();
        }
    }

    #[test]
    fn names_of_values() {
        for (name, compute) in Compute::ALL {
            assert_eq!((name.parse::<Compute>().unwrap(), compute.to_string().as_str()), (compute, name));
        }
        assert_eq!("pod_identity".parse::<AwsIdentity>().unwrap(), AwsIdentity::PodIdentity);
        assert_eq!("digest".parse::<Images>().unwrap(), Images::Digest);
        let error = "ec2".parse::<Compute>().unwrap_err();
        assert_eq!(error.help(), Some("write one of `auto`, `fargate`, `nodes`"));
    }
}
