//! Law 1. Every leaf field of the model ends up in the native output or in a finding.

use straddle_conformance::silent_losses;
use straddle_core::{memory::MemoryPlatform, platform::Platform};
use straddle_docker::DockerPlatform;
use straddle_eks::{KubernetesConfig, KubernetesPlatform};

#[test]
fn law_1_no_silent_loss() {
    let platforms: [&dyn Platform; 3] = [
        &MemoryPlatform::new(),
        &DockerPlatform::new(None),
        &KubernetesPlatform::new(KubernetesConfig::default()),
    ];
    for platform in platforms {
        let (losses, fields) = silent_losses(platform, &platform.assumptions());
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
