//! The Kubernetes backend.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use straddle_core::{error::Result, orchestrator::Orchestrator, platform::Platform, secret::LocalSecrets};
use straddle_eks::{KubernetesConfig, KubernetesOrchestrator, KubernetesPlatform};

use super::{Backend, BuiltIn, Setting, Settings};

const SETTINGS: &[Setting] = &[
    Setting::text("aws_identity", "how pods get roles of AWS: irsa or pod_identity"),
    Setting::text("cluster", "the EKS cluster, in place of a kubeconfig"),
    Setting::text("compute", "what runs the pods on EKS: nodes, fargate or auto"),
    Setting::text("context", "the context of the kubeconfig"),
    Setting::text("gateway", "the Gateway (namespace/name) that HTTP routes are attached to"),
    Setting::text("images", "what pods are told about their images: tag, or digest (asks the registry)"),
    Setting::text("ingress_class", "the class of Ingress objects"),
    Setting::text("kubeconfig", "the kubeconfig file"),
    Setting::text("namespace", "a namespace that is there already"),
    Setting::text("profile", "the profile of AWS that logs in to the EKS cluster"),
    Setting::text("region", "the region of the EKS cluster"),
    Setting::text("secret_store", "the External Secrets store (kind/name) for secrets of a cloud"),
    Setting::text("storage_class", "the storage class of persistent volumes"),
];

const PINS: &[Setting] = &[
    Setting::text("account", "the AWS account that the EKS cluster must be in"),
    Setting::text("context", "the context that must be in use, or the ARN of the EKS cluster"),
    Setting::text("region", "the region that the EKS cluster must be in"),
];

/// What can be asked without a cluster: what an application comes to on EKS, by what runs its pods.
const TARGETS: &[BuiltIn] = &[
    BuiltIn { name: "eks-auto", values: &[("compute", "auto"), ("ingress_class", "alb")] },
    BuiltIn { name: "eks-fargate", values: &[("compute", "fargate"), ("ingress_class", "alb")] },
    BuiltIn { name: "eks-nodes", values: &[("compute", "nodes"), ("ingress_class", "alb")] },
];

/// A Kubernetes cluster.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kubernetes;

#[async_trait]
impl Backend for Kubernetes {
    fn name(&self) -> &'static str {
        "kubernetes"
    }

    fn settings(&self) -> &'static [Setting] {
        SETTINGS
    }

    fn pins(&self) -> &'static [Setting] {
        PINS
    }

    fn targets(&self) -> &'static [BuiltIn] {
        TARGETS
    }

    fn platform(&self, settings: &Settings) -> Result<Box<dyn Platform>> {
        Ok(Box::new(KubernetesPlatform::new(config(settings)?)))
    }

    async fn connect(&self, settings: &Settings) -> Result<Arc<dyn Orchestrator>> {
        let orchestrator = KubernetesOrchestrator::connect(config(settings)?).await?;
        Ok(Arc::new(orchestrator.with_secrets(Arc::new(LocalSecrets::new(&settings.folder)))))
    }

    async fn pinned(&self, orchestrator: &dyn Orchestrator, _: &Settings, pin: &str) -> Result<Vec<String>> {
        Ok(pinned(&orchestrator.place(), pin).into_iter().map(str::to_owned).collect())
    }
}

/// Finds what a pin is compared with: the context is known without a call, and stands before the address. Those of EKS are ARNs.
fn pinned<'a>(place: &'a str, pin: &str) -> Option<&'a str> {
    let (context, _) = place.split_once(", ")?;
    let parts: Vec<&str> = context.splitn(6, ':').collect();
    match (pin, parts.as_slice()) {
        ("region", ["arn", _, "eks", region, _, _]) => Some(region),
        ("account", ["arn", _, "eks", _, account, _]) => Some(account),
        ("account" | "region", _) => Some("unknown"),
        _ => Some(context),
    }
}

fn config(settings: &Settings) -> Result<KubernetesConfig> {
    let text = |key| settings.get(key).map(str::to_owned);
    let config = KubernetesConfig {
        kubeconfig: settings.get("kubeconfig").map(PathBuf::from),
        context: text("context"),
        cluster: text("cluster"),
        region: text("region"),
        profile: text("profile"),
        compute: settings.get("compute").map(str::parse).transpose()?,
        aws_identity: settings.get("aws_identity").map(str::parse).transpose()?.unwrap_or_default(),
        namespace: text("namespace"),
        ingress_class: text("ingress_class"),
        gateway: text("gateway"),
        storage_class: text("storage_class"),
        secret_store: text("secret_store"),
        images: settings.get("images").map(str::parse).transpose()?.unwrap_or_default(),
    };
    config.check()?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_read_from_where_a_cluster_is() {
        const EKS: &str = "arn:aws:eks:eu-west-1:111122223333:cluster/shop, https://abc.eks.amazonaws.com";
        for (place, pin, expected) in [
            (EKS, "account", Some("111122223333")),
            (EKS, "region", Some("eu-west-1")),
            (EKS, "context", Some("arn:aws:eks:eu-west-1:111122223333:cluster/shop")),
            ("kind-local, https://127.0.0.1:6443", "context", Some("kind-local")),
            ("kind-local, https://127.0.0.1:6443", "account", Some("unknown")),
            ("https://10.0.0.1", "context", None),
        ] {
            assert_eq!(pinned(place, pin), expected, "{place} {pin}");
        }
    }

    #[test]
    fn built_in_targets_are_understood() {
        for target in TARGETS {
            let values = target.values.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            let settings = Settings { values: values.collect(), ..Settings::default() };
            assert!(settings.values.keys().all(|key| SETTINGS.iter().any(|setting| setting.key == key)));
            assert!(config(&settings).unwrap().compute.is_some(), "{}", target.name);
        }
    }

    #[test]
    fn settings_that_cannot_be_meant_are_refused() {
        let settings = |pairs: &[(&str, &str)]| Settings {
            values: pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            ..Settings::default()
        };
        assert!(config(&settings(&[("compute", "fargate"), ("aws_identity", "irsa")])).is_ok());
        for wrong in
            [[("compute", "ec2")].as_slice(), &[("region", "eu-west-1")], &[("aws_identity", "node")]]
        {
            assert!(config(&settings(wrong)).is_err(), "{wrong:?}");
        }
    }
}
