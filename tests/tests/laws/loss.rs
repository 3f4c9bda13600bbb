//! Law 1. Every leaf field of the model ends up in the native output or in a finding.

use straddle_conformance::silent_losses;
use straddle_core::{
    memory::MemoryPlatform,
    platform::{Facts, Platform},
};
use straddle_docker::DockerPlatform;
use straddle_eks::{AwsIdentity, Compute, KubernetesConfig, KubernetesPlatform};

#[test]
fn law_1_no_silent_loss() {
    let bare = KubernetesPlatform::new(KubernetesConfig::default());
    let full = KubernetesPlatform::new(KubernetesConfig {
        gateway: Some("edge/main".to_owned()),
        secret_store: Some("ClusterSecretStore/aws".to_owned()),
        ..KubernetesConfig::default()
    });
    let installed = bare.assumptions().with("kubernetes.crds", vec!["keda.sh/ScaledObject"]);
    let [auto, fargate, nodes] = [Compute::Auto, Compute::Fargate, Compute::Nodes].map(|compute| {
        KubernetesPlatform::new(KubernetesConfig {
            compute: Some(compute),
            aws_identity: AwsIdentity::PodIdentity,
            ingress_class: Some("alb".to_owned()),
            ..KubernetesConfig::default()
        })
    });
    let platforms: [(&dyn Platform, Facts); 7] = [
        (&MemoryPlatform::new(), MemoryPlatform::new().assumptions()),
        (&DockerPlatform::new(None), DockerPlatform::new(None).assumptions()),
        (&bare, bare.assumptions()),
        (&full, installed),
        (&auto, auto.assumptions()),
        (&fargate, fargate.assumptions()),
        (&nodes, nodes.assumptions()),
    ];
    for (platform, facts) in platforms {
        let (losses, fields) = silent_losses(platform, &facts);
        let text: Vec<String> = losses.iter().map(ToString::to_string).collect();
        assert!(
            losses.is_empty(),
            "{} of {fields} fields vanish on {}:\n{}",
            losses.len(),
            platform.name(),
            text.join("\n")
        );
        assert!(fields > 250, "only {fields} fields were looked at");
    }
}
