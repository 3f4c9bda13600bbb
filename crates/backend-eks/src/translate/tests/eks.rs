//! What is different on EKS: the rules of Fargate and Auto Mode, roles, and load balancers.

use super::*;
use crate::{AwsIdentity, Compute};

fn on(compute: Compute) -> KubernetesConfig {
    KubernetesConfig {
        compute: Some(compute),
        ingress_class: Some("alb".to_owned()),
        ..KubernetesConfig::default()
    }
}

fn translated_on(compute: Compute, yaml: &str) -> Translation {
    translated_by(&format!("app: shop\n{yaml}"), &facts::assumed(), &on(compute))
}

/// The finding of a code: its kind, path, whether it names a way out, and what it says.
fn only(translation: &Translation, code: &str) -> (FindingKind, String, bool, String) {
    let all: Vec<_> = translation.findings.iter().filter(|finding| finding.code == code).collect();
    let [finding] = all.as_slice() else { panic!("{code}: {:#?}", translation.findings) };
    let path = finding.path.to_string().replace('"', "");
    (finding.kind, path, finding.fix.is_some(), finding.message.clone())
}

#[test]
fn what_fargate_cannot_do_is_blocked_at_its_field() {
    const WEB: &str = "services.web";
    // (what is written, the code, the field, what it says)
    let table = [
        ("image: a, mode: daemon", "daemon", "services.web.mode", "no daemons"),
        (
            "image: a, privileged: true",
            "privileged",
            "services.web.containers.web.privileged",
            "no privileged",
        ),
        ("image: a, gpu: 1", "gpu", "services.web.containers.web.gpu", "no GPUs"),
        (
            "image: a, platform: {architecture: arm64}",
            "platform",
            "services.web.platform.architecture",
            "x86_64",
        ),
        ("image: a, platform: {os: windows}", "platform", "services.web.platform.os", "Linux"),
        ("image: a, resources: {cpu: 16.5}", "size", "services.web.resources", "16 vCPU and 120Gi"),
        (
            "image: a, resources: {cpu: 16, memory: 120Gi}",
            "size",
            "services.web.resources",
            "256Mi come on top",
        ),
        ("image: a, cpu: {reservation: 32}", "size", "services.web.containers.web", "32 vCPU"),
        (
            "image: a, resources: {storage: 176Gi}",
            "storage",
            "services.web.resources.storage",
            "at most 175Gi",
        ),
        (
            "image: a, placement: {nodes: {disk: ssd}}",
            "node-label",
            "services.web.placement.nodes.disk",
            "nobody labels",
        ),
        (
            "image: a, sysctls: {net.core.somaxconn: \"1024\"}",
            "sysctl",
            "services.web.containers.web.sysctls[net.core.somaxconn]",
            "every kubelet",
        ),
        ("image: a, volumes: {/d: data}", "volume", "volumes.data", "nothing makes persistent volumes"),
        ("image: a, volumes: {/d: disk}", "volume", "volumes.disk.ebs.size", "no EBS"),
        ("image: a, volumes: {/d: host}", "volume", "volumes.host.host", "no directory of it"),
    ];
    let volumes = "volumes: {disk: {ebs: {size: 5Gi}}, host: {host: /srv}}";
    for (body, code, path, said) in table {
        let shop = translated_on(Compute::Fargate, &format!("services: {{web: {{{body}}}}}\n{volumes}"));
        let (kind, at, has_fix, message) = only(&shop, &format!("eks/fargate-{code}"));
        assert_eq!((kind, at.as_str(), has_fix), (FindingKind::Blocked, path, true), "{body}: {message}");
        assert!(message.contains(said), "{body}: {message}");
        // The same passes on nodes.
        let shop = translated_on(Compute::Nodes, &format!("services: {{web: {{{body}}}}}\n{volumes}"));
        assert!(!shop.findings.iter().any(|finding| finding.code.starts_with("eks/fargate")), "{body}");
        assert!(path.starts_with(WEB) || path.starts_with("volumes"));
    }
}

#[test]
fn what_fargate_makes_of_a_pod_is_said() {
    use FindingKind::Adapted;
    let table = [
        ("image: a", "size", "services.web.resources", "gets 0.25 vCPU and 512Mi"),
        (
            "image: a, resources: {cpu: 1, memory: 8Gi}",
            "size",
            "services.web.resources",
            "becomes 2 vCPU and 9Gi",
        ),
        (
            "image: a, cpu: {reservation: 300m}",
            "size",
            "services.web.containers.web",
            "becomes 0.5 vCPU and 1Gi",
        ),
        (
            "image: a, cpu: {reservation: 250m, limit: 1}, memory: {limit: 256Mi}",
            "guaranteed",
            "services.web.containers.web.cpu.limit",
            "whatever the limit",
        ),
        (
            "image: a, memory: {reservation: 256Mi, limit: 512Mi}",
            "guaranteed",
            "services.web.containers.web.memory.limit",
            "whatever the limit",
        ),
        ("image: a, placement: {spot: 50%}", "spot", "services.web.placement.spot", "on demand"),
        ("image: a, volumes: {/d: old}", "volume", "volumes.old.existing", "bound to an EFS"),
    ];
    for (body, code, path, said) in table {
        let shop = translated_on(
            Compute::Fargate,
            &format!("services: {{web: {{{body}}}}}\nvolumes: {{old: {{existing: old}}}}"),
        );
        let (kind, at, _, message) = only(&shop, &format!("eks/fargate-{code}"));
        assert_eq!((kind, at.as_str()), (Adapted, path), "{body}: {message}");
        assert!(message.contains(said), "{body}: {message}");
        assert!(!shop.is_blocked(), "{body}: {:#?}", shop.findings);
    }
    // What fits is not mentioned, and neither is what Fargate has.
    let fits = translated_on(
        Compute::Fargate,
        "services: {web: {image: a, resources: {cpu: 250m, memory: 256Mi, storage: 175Gi}, platform: {architecture: x86_64, os: linux}, \
         volumes: {/f: files, /t: tmp}, sysctls: {net.ipv4.tcp_syncookies: \"1\"}}}\n\
         volumes: {files: {efs: {file_system: fs-1}}, tmp: {ephemeral: {}}}",
    );
    assert!(!fits.findings.iter().any(|finding| finding.code.starts_with("eks/")), "{:#?}", fits.findings);
    let pod = pod(&fits, "Deployment", "web");
    assert!(pod.get("nodeSelector").is_none() && pod.get("affinity").is_none());
    assert!(
        fits.notes
            .iter()
            .any(|note| note.code == "eks/fargate-profile" && note.message.contains("namespace shop"))
    );
}

#[test]
fn fargate_counts_containers() {
    let yaml = |first: &str, rest: &str| {
        format!(
            "services: {{web: {{containers: {{web: {{image: a, depends_on: {{proxy: start, first: success}}}}, \
             proxy: {{image: b, cpu: {{reservation: 200m}}, memory: {{limit: 100Mi}}}}, \
             first: {{image: c, cpu: {{reservation: {first}}}}}}}{rest}}}}}"
        )
    };
    let shop = translated_on(Compute::Fargate, &yaml("100m", ", resources: {cpu: 500m, memory: 800Mi}"));
    let spec = pod(&shop, "Deployment", "web");
    assert!(spec.get("resources").is_none());
    assert_eq!(spec["containers"][0]["resources"], json!({"requests": {"cpu": "300m", "memory": "700Mi"}}));
    let kept = (FindingKind::Adapted, "services.web.resources.cpu".to_owned());
    assert!(found(&shop, "eks/fargate-task-resources").contains(&kept));
    assert!(only(&shop, "eks/fargate-size").3.contains("becomes 0.5 vCPU and 2Gi"));
    assert!(found(&shop, "kubernetes/task-cpu").is_empty());
    // The largest container that runs before the others counts, too.
    let shop = translated_on(Compute::Fargate, &yaml("2", ""));
    assert!(only(&shop, "eks/fargate-size").3.contains("becomes 2 vCPU and 4Gi"));
    let full = yaml("1m", ", resources: {memory: 100Mi}");
    let shop = translated_on(Compute::Fargate, &full);
    assert!(pod(&shop, "Deployment", "web")["containers"][0].get("resources").is_none());
    assert!(only(&shop, "eks/fargate-task-resources").3.contains("what they ask for holds"));
}

#[test]
fn auto_mode_has_its_own_disks_and_nodes() {
    use FindingKind::Adapted;
    let table = [
        ("image: a, platform: {architecture: arm64}", "node-pool", "services.web.platform.architecture"),
        ("image: a, platform: {os: windows}", "node-pool", "services.web.platform.os"),
        ("image: a, gpu: 1", "node-pool", "services.web.containers.web.gpu"),
        ("image: a, placement: {spot: 50%}", "node-pool", "services.web.placement.spot"),
        (
            "image: a, network: {security_groups: [sg-1]}",
            "security-groups",
            "services.web.network.security_groups[0]",
        ),
        ("image: a, volumes: {/d: host}", "host-volume", "volumes.host.host"),
        ("image: a, volumes: {/d: data}", "storage-class", "volumes.data.class"),
        (
            "image: a, ports: [{name: p, port: 80}], expose: [{port: p, target_group: \"arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/a/b\"}]",
            "target-group",
            "services.web.expose[0].target_group",
        ),
    ];
    for (body, code, path) in table {
        let shop = translated_on(
            Compute::Auto,
            &format!("services: {{web: {{{body}}}}}\nvolumes: {{host: {{host: /srv}}}}"),
        );
        let (kind, at, ..) = only(&shop, &format!("eks/auto-{code}"));
        assert_eq!((kind, at.as_str()), (Adapted, path), "{body}");
        assert!(!shop.is_blocked(), "{body}: {:#?}", shop.findings);
    }
    let yaml = "services: {web: {image: a, volumes: {/a: plain, /b: fast, /c: data}}}\n\
        volumes: {plain: {ebs: {size: 1Gi}}, fast: {ebs: {size: 1Gi, volume_type: io2}}}";
    let classes = |config: &KubernetesConfig| {
        let shop = translated_by(&format!("app: shop\n{yaml}"), &facts::assumed(), config);
        let classes = shop.desired.resources.iter().filter(|one| one.key.kind == "StorageClass");
        let classes: Vec<_> = classes
            .map(|class| (class.document["provisioner"].clone(), class.document.get("parameters").cloned()))
            .collect();
        shop.desired.resources.iter().for_each(|one| blanks(&one.document, &one.key.to_string()));
        (classes, found(&shop, "eks/auto-storage-class").len())
    };
    let (own, upstream) = (json!("ebs.csi.eks.amazonaws.com"), json!("ebs.csi.aws.com"));
    let fast = Some(json!({"type": "io2"}));
    assert_eq!(classes(&on(Compute::Auto)), (vec![(own.clone(), fast.clone()), (own.clone(), None)], 1));
    let named = KubernetesConfig { storage_class: Some("auto-ebs".to_owned()), ..on(Compute::Auto) };
    assert_eq!(classes(&named), (vec![(own, fast.clone())], 0));
    assert_eq!(classes(&on(Compute::Nodes)), (vec![(upstream, fast)], 0));
}

#[test]
fn a_role_comes_by_annotation_or_by_association() {
    const ROLE: &str = "arn:aws:iam::111122223333:role/web";
    let yaml = format!("app: shop\nservices: {{web: {{image: a, identity: {{aws_role: \"{ROLE}\"}}}}}}");
    let by = |aws_identity: AwsIdentity, compute: Compute| {
        let config = KubernetesConfig { aws_identity, cluster: Some("main".to_owned()), ..on(compute) };
        translated_by(&yaml, &facts::assumed(), &config)
    };
    let irsa = by(AwsIdentity::Irsa, Compute::Fargate);
    let annotations = &object(&irsa, "ServiceAccount", "web")["metadata"]["annotations"];
    assert_eq!(*annotations, json!({"eks.amazonaws.com/role-arn": ROLE}));
    assert!(found(&irsa, "eks/pod-identity").is_empty());
    for compute in [Compute::Nodes, Compute::Auto] {
        let associated = by(AwsIdentity::PodIdentity, compute);
        assert!(object(&associated, "ServiceAccount", "web")["metadata"].get("annotations").is_none());
        assert_eq!(pod(&associated, "Deployment", "web")["serviceAccountName"], "web");
        let finding = associated.findings.iter().find(|finding| finding.code == "eks/pod-identity").unwrap();
        assert_eq!(
            (finding.kind, finding.path.to_string(), finding.fix.as_deref()),
            (
                FindingKind::Adapted,
                "services.web.identity.aws_role".to_owned(),
                Some(
                    "aws eks create-pod-identity-association --cluster-name main --namespace shop --service-account web \
                     --role-arn arn:aws:iam::111122223333:role/web"
                )
            )
        );
        let trust = associated.notes.iter().find(|note| note.code == "kubernetes/role-trust").unwrap();
        assert!(trust.message.contains("pods.eks.amazonaws.com"));
    }
    let blocked = by(AwsIdentity::PodIdentity, Compute::Fargate);
    assert_eq!(only(&blocked, "eks/fargate-pod-identity").0, FindingKind::Blocked);
    // An account that is there already is associated, not annotated.
    let own = yaml.replace("aws_role:", "service_account: own, aws_role:");
    let config = KubernetesConfig { aws_identity: AwsIdentity::PodIdentity, ..on(Compute::Nodes) };
    let own = translated_by(&own, &facts::assumed(), &config);
    assert!(only(&own, "eks/pod-identity").3.contains("the account `own`"));
}

#[test]
fn load_balancers_check_what_the_spec_says() {
    let alb = |body: &str| {
        let yaml = format!(
            "services: {{web: {{image: a, ports: [{{name: http, port: 8080}}, {{name: admin, port: 9090}}], \
             expose: [{{port: http, host: a.example.com, public: true}}], stop: {{drain: 15s}}{body}}}}}"
        );
        let shop = translated_on(Compute::Nodes, &yaml);
        let annotations =
            object(&shop, "Ingress", "web")["metadata"]["annotations"].as_object().unwrap().clone();
        let plain = annotations.iter().map(|(key, value)| {
            (key.strip_prefix("alb.ingress.kubernetes.io/").unwrap().to_owned(), value.clone())
        });
        let plain: serde_json::Map<String, Value> = plain.collect();
        (Value::Object(plain), found(&shop, "kubernetes/load-balancer-health").len())
    };
    let (annotations, said) =
        alb(", health: {http: /healthz, port: admin, status: 204, interval: 10s, timeout: 5s}");
    assert_eq!(
        (annotations, said),
        (
            json!({
                "healthcheck-interval-seconds": "10", "healthcheck-path": "/healthz", "healthcheck-port": "9090",
                "healthcheck-timeout-seconds": "5", "healthy-threshold-count": "2", "scheme": "internet-facing", "success-codes": "204",
                "target-group-attributes": "deregistration_delay.timeout_seconds=15", "target-type": "ip", "unhealthy-threshold-count": "3",
            }),
            0
        )
    );
    // Within the bounds of a target group, and said where that is something else.
    let (annotations, said) = alb(", health: {http: /, port: http, interval: 2s, timeout: 1s, failures: 20}");
    assert_eq!(said, 3);
    assert_eq!(annotations["success-codes"], "200-399");
    assert_eq!(
        ["healthcheck-interval-seconds", "healthcheck-timeout-seconds", "unhealthy-threshold-count"]
            .map(|key| annotations[key].as_str().unwrap().to_owned()),
        ["5", "2", "10"]
    );
    // Without a request that answers, any answer will do.
    let (annotations, _) = alb(", health: {exec: [/check]}");
    assert_eq!(
        (&annotations["success-codes"], annotations.get("healthcheck-path")),
        (&json!("200-499"), None)
    );
}

#[test]
fn a_rollout_waits_for_load_balancers() {
    const YAML: &str = "services: {web: {image: a, ports: [{name: p, port: 80}], \
        expose: [{port: p, host: a.example.com}, {port: p, scheme: tcp}], stop: {drain: 9s}}}";
    for (compute, label, class) in [
        (Compute::Auto, "eks.amazonaws.com/pod-readiness-gate-inject", "eks.amazonaws.com/nlb"),
        (Compute::Fargate, "elbv2.k8s.aws/pod-readiness-gate-inject", "service.k8s.aws/nlb"),
        (Compute::Nodes, "elbv2.k8s.aws/pod-readiness-gate-inject", "service.k8s.aws/nlb"),
    ] {
        let shop = translated_on(compute, YAML);
        assert_eq!(object(&shop, "Namespace", "shop")["metadata"]["labels"][label], "enabled");
        let balancer = object(&shop, "Service", "web-internal");
        assert_eq!(balancer["spec"]["loadBalancerClass"], class);
        let prefix = "service.beta.kubernetes.io/aws-load-balancer-";
        let annotations = &balancer["metadata"]["annotations"];
        assert_eq!(
            annotations[format!("{prefix}target-group-attributes")],
            "deregistration_delay.timeout_seconds=9"
        );
        assert_eq!(annotations[format!("{prefix}nlb-target-type")], "ip");
        // Gates are put into pods that come after what stands in front of them.
        let main = shop.desired.get(&ResourceKey::new("Deployment", "web")).unwrap();
        for before in ["Ingress/web", "Service/web-internal"] {
            assert!(main.depends_on.iter().any(|key| key.to_string() == before), "{before}");
        }
        let given = KubernetesConfig { namespace: Some("team".to_owned()), ..on(compute) };
        let given = translated_by(&format!("app: shop\n{YAML}"), &facts::assumed(), &given);
        assert!(
            given.notes.iter().any(|note| note.code == "eks/readiness-gate" && note.message.contains(label))
        );
    }
    let plain = translated(&format!("app: shop\n{YAML}"));
    assert_eq!(object(&plain, "Namespace", "shop")["metadata"]["labels"].as_object().unwrap().len(), 3);
    assert!(object(&plain, "Service", "web-internal")["spec"].get("loadBalancerClass").is_none());
}
