//! The Kubernetes backend.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use straddle_core::{error::Result, orchestrator::Orchestrator, platform::Platform, secret::LocalSecrets};
use straddle_eks::{KubernetesConfig, KubernetesOrchestrator, KubernetesPlatform};

use super::{Backend, Setting, Settings};

const SETTINGS: &[Setting] = &[
    Setting { key: "context", about: "the context of the kubeconfig" },
    Setting { key: "gateway", about: "the Gateway (namespace/name) that HTTP routes are attached to" },
    Setting { key: "ingress_class", about: "the class of Ingress objects" },
    Setting { key: "kubeconfig", about: "the kubeconfig file" },
    Setting { key: "namespace", about: "a namespace that is there already" },
    Setting { key: "secret_store", about: "the External Secrets store (kind/name) for secrets of a cloud" },
    Setting { key: "storage_class", about: "the storage class of persistent volumes" },
];

const PINS: &[Setting] = &[Setting { key: "context", about: "the context that must be in use" }];

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

    fn platform(&self, settings: &Settings) -> Result<Box<dyn Platform>> {
        Ok(Box::new(KubernetesPlatform::new(config(settings))))
    }

    async fn connect(&self, settings: &Settings) -> Result<Arc<dyn Orchestrator>> {
        let orchestrator = KubernetesOrchestrator::connect(config(settings)).await?;
        Ok(Arc::new(orchestrator.with_secrets(Arc::new(LocalSecrets::new(&settings.folder)))))
    }

    async fn pinned(&self, orchestrator: &dyn Orchestrator, _: &Settings, _: &str) -> Result<Vec<String>> {
        // The context is known without a call: it stands before the address.
        let place = orchestrator.place();
        Ok(place.split_once(", ").map(|(context, _)| context.to_owned()).into_iter().collect())
    }
}

fn config(settings: &Settings) -> KubernetesConfig {
    let text = |key| settings.get(key).map(str::to_owned);
    KubernetesConfig {
        kubeconfig: settings.get("kubeconfig").map(PathBuf::from),
        context: text("context"),
        namespace: text("namespace"),
        ingress_class: text("ingress_class"),
        gateway: text("gateway"),
        storage_class: text("storage_class"),
        secret_store: text("secret_store"),
    }
}
