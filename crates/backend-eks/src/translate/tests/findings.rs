//! Findings: what is refused, what becomes something else, and what is installed.

use super::*;

#[test]
fn what_kubernetes_cannot_do_is_blocked_with_a_way_out() {
    for (yaml, code) in [
        ("services: {web: {image: a, secrets: {PW: \"aws-ssm:/x\"}}}", "kubernetes/secret-source"),
        ("services: {web: {image: a, rollout: {strategy: blue_green}}}", "kubernetes/strategy"),
        ("services: {web: {image: a}, WEB: {image: a}}", "kubernetes/name-collision"),
        ("services: {web: {containers: {a: {image: a}, A: {image: a}}}}", "kubernetes/name-collision"),
        ("services: {web: {image: a, user: app}}", "kubernetes/user-name"),
        ("services: {1st: {image: a, ports: [80]}}", "kubernetes/service-name"),
        ("services: {web: {image: a, labels: {team: \"a b\"}}}", "kubernetes/label"),
        ("services: {web: {image: a, labels: {straddle.dev/app: b}}}", "kubernetes/reserved-label"),
        ("services: {web: {image: a, autoscale: {min: 1, max: 3, cpu: 60%}}}", "kubernetes/autoscale"),
        (
            "services: {web: {image: a, cpu: {reservation: 1}, autoscale: {min: 0, max: 3, cpu: 60%}}}",
            "kubernetes/autoscale",
        ),
        (
            "services: {web: {image: a, registry_credentials: \"env:TOKEN\"}}",
            "kubernetes/registry-credentials",
        ),
        (
            "services: {web: {image: a, ports: [{name: p, port: 80}], health: {http: /, status: 200-499}}}",
            "kubernetes/health-status",
        ),
        (
            "services: {web: {containers: {a: {image: a, depends_on: {b: complete}}, b: {image: b}}}}",
            "kubernetes/complete",
        ),
        (
            "tasks: {t: {containers: {a: {image: a, health: {exec: [x]}}, b: {image: b, essential: false, depends_on: {a: healthy}}}}}",
            "kubernetes/order",
        ),
        (
            "services: {web: {image: a, volumes: {/d: {name: d}}}}\nvolumes: {d: {ebs: {size: 1Gi, snapshot: snap-1}}}",
            "kubernetes/snapshot",
        ),
    ] {
        let translation = translated(&format!("app: shop\n{yaml}"));
        let finding = translation.findings.iter().find(|finding| finding.blocks());
        let finding = finding.unwrap_or_else(|| panic!("{yaml}: {:#?}", translation.findings));
        assert_eq!((finding.code.as_ref(), finding.fix.is_some()), (code, true), "{yaml}");
    }
}

#[test]
fn bounds_that_let_nothing_move_are_refused_by_the_numbers() {
    let yaml = "app: shop\nservices: {web: {image: a, autoscale: {min: 1, max: 9, cpu: 60%}, cpu: {reservation: 1}, \
        rollout: {max_running: 200%}}}";
    let live = |count: u32| facts::assumed().with(&facts::replicas("web"), count);
    let stuck = yaml.replace("min: 1", "min: 2").replace("200%", "150%");
    let stuck = translated_by(&stuck, &live(1), &KubernetesConfig::default());
    let bounds = (FindingKind::Blocked, "services.web.rollout.max_running".to_owned());
    assert_eq!(found(&stuck, "kubernetes/rollout-bounds"), [bounds]);
    let shop = translated_by(yaml, &live(4), &KubernetesConfig::default());
    let spec = &object(&shop, "Deployment", "web")["spec"];
    assert_eq!(spec["strategy"]["rollingUpdate"]["maxSurge"], 4);
    assert!(spec.get("replicas").is_none());
    let scaler = &object(&shop, "HorizontalPodAutoscaler", "web")["spec"];
    assert_eq!((&scaler["minReplicas"], &scaler["maxReplicas"]), (&json!(1), &json!(9)));
    assert_eq!(scaler["metrics"][0]["resource"]["target"]["averageUtilization"], 60);
}

#[test]
fn what_is_installed_is_used() {
    let yaml = "app: shop\nservices: {web: {image: a, ports: [{name: http, port: 80}], expose: [{port: http, host: a.example.com}], \
        secrets: {PW: \"aws-secretsmanager:shop/db#password\"}, \
        autoscale: {min: 0, max: 3, queue: {url: \"https://sqs.eu-west-1.amazonaws.com/1/q\", messages_per_task: 5}}}}";
    let config = KubernetesConfig {
        gateway: Some("edge/main".to_owned()),
        secret_store: Some("ClusterSecretStore/aws".to_owned()),
        namespace: Some("team".to_owned()),
        ..KubernetesConfig::default()
    };
    let crds = [facts::EXTERNAL_SECRET, facts::SCALED_OBJECT, facts::HTTP_ROUTE].map(str::to_owned).to_vec();
    let known = Facts::observed().with(facts::VERSION, "1.35").with(facts::CRDS, crds);
    let shop = translated_by(yaml, &known, &config);
    assert!(!shop.is_blocked(), "{:#?}", shop.findings);
    let external = shop.desired.resources.iter().find(|one| one.key.kind == "ExternalSecret").unwrap();
    assert_eq!(external.document["metadata"]["namespace"], "team");
    assert_eq!(
        external.document["spec"]["data"],
        json!([{"secretKey": "PW", "remoteRef": {"key": "shop/db", "property": "password"}}])
    );
    let scaled = object(&shop, "ScaledObject", "web");
    assert_eq!(scaled["spec"]["triggers"][0]["metadata"]["awsRegion"], "eu-west-1");
    let route = object(&shop, "HTTPRoute", "web");
    assert_eq!(route["spec"]["parentRefs"], json!([{"namespace": "edge", "name": "main"}]));
    assert!(!keys(&shop).contains(&"Namespace/team".to_owned()));
    // Without them, each is refused with what to do.
    let bare = translated_by(yaml, &Facts::observed().with(facts::VERSION, "1.35"), &config);
    for code in ["kubernetes/secret-source", "kubernetes/autoscale", "kubernetes/gateway"] {
        assert_eq!(found(&bare, code)[0].0, FindingKind::Blocked, "{code}");
    }
}

/// What the [validating webhook of KEDA](https://github.com/kedacore/keda/blob/v2.21.0/apis/keda/v1alpha1/scaledobject_webhook.go) and its
/// [scaler of times](https://github.com/kedacore/keda/blob/v2.21.0/pkg/scalers/cron_scaler.go) refuse.
#[test]
fn keda_is_asked_for_nothing_that_it_refuses() {
    let known = Facts::observed()
        .with(facts::VERSION, "1.35")
        .with(facts::CRDS, vec![facts::SCALED_OBJECT.to_owned()]);
    let scaled = |name: &str, scale: &str| {
        let yaml = format!(
            "app: shop\nservices: {{{name}: {{image: a, resources: {{cpu: 1, memory: 1Gi}}, autoscale: {{max: 3, {scale}}}}}}}"
        );
        translated_by(&yaml, &known, &KubernetesConfig::default())
    };
    let load_only = scaled("web", "min: 0, cpu: 50%");
    assert_eq!(found(&load_only, "kubernetes/autoscale")[0].0, FindingKind::Blocked);
    let times = "schedules: [{cron: \"0 8 * * *\", min: 2}, {cron: \"0 20 * * *\", min: 0}]";
    let by_the_clock = scaled("web", &format!("min: 0, cpu: 50%, {times}"));
    assert!(!by_the_clock.is_blocked(), "{:#?}", by_the_clock.findings);
    let spec = object(&by_the_clock, "ScaledObject", "web")["spec"].clone();
    let wanted: Vec<_> =
        spec["triggers"].as_array().unwrap().iter().map(|one| &one["metadata"]["desiredReplicas"]).collect();
    assert_eq!(wanted, [&json!(null), &json!("2")]);
    assert!(spec.get("advanced").is_none());
    let long = "a".repeat(60);
    let spec = object(&scaled(&long, &format!("min: 0, {times}")), "ScaledObject", &long)["spec"].clone();
    assert_eq!(spec["advanced"]["horizontalPodAutoscalerConfig"]["name"], long.as_str());
}

#[test]
fn the_example_passes_with_what_is_said_about_it() {
    let shop = translated(include_str!("../../../../../examples/shop/straddle.yaml"));
    let mut said: Vec<String> = shop
        .findings
        .iter()
        .map(|finding| format!("{} {} {}", finding.kind, finding.code, finding.path))
        .collect();
    said.sort_unstable();
    assert_eq!(
        said,
        [
            "adapted kubernetes/publish services.web.expose[0].publish",
            "adapted kubernetes/sidecar services.web.containers.proxy.essential",
            "adapted kubernetes/task-cpu services.web.resources.cpu",
            "adapted kubernetes/timeout tasks.migrate.timeout",
            "adapted kubernetes/volume-size volumes.store-data.size",
        ]
    );
}

#[test]
fn what_becomes_something_else_is_said_at_its_field() {
    use FindingKind::{Adapted, Elsewhere, Ignored};
    const WEB: &str = "services.web";
    for (body, kind, code, path) in [
        ("image: a, init: true", Adapted, "init", "containers.web.init"),
        ("image: a, stop_signal: SIGINT", Ignored, "stop-signal", "containers.web.stop_signal"),
        ("image: a, ulimits: {nofile: 1024}", Ignored, "ulimits", "containers.web.ulimits.nofile.soft"),
        (
            "image: a, sysctls: {net.core.somaxconn: \"1024\"}",
            Adapted,
            "sysctls",
            "containers.web.sysctls[net.core.somaxconn]",
        ),
        ("image: a, restart: never", Adapted, "restart", "containers.web.restart.on"),
        ("image: a, logging: {driver: awslogs}", Adapted, "log-driver", "containers.web.logging.driver"),
        ("image: a, logging: {mode: blocking}", Ignored, "log-driver", "containers.web.logging.mode"),
        ("image: a, entrypoint: []", Adapted, "empty-command", "containers.web.entrypoint"),
        ("image: a, env: {U: \"http://idle:80\"}", Adapted, "unresolvable-name", "containers.web.env.U"),
        ("image: a, network: {dns: [10.0.0.2]}", Adapted, "dns", "network.dns[0]"),
        (
            "image: a, network: {security_groups: [sg-1]}",
            Adapted,
            "aws-network",
            "network.security_groups[0]",
        ),
        ("image: a, tags: {\"a:b\": c}", Ignored, "tag", "tags[a:b]"),
        ("image: a, stop: {drain: 9s}", Ignored, "stop-drain", "stop.drain"),
        ("image: a, ecs: {launch: fargate}", Elsewhere, "other-target", "ecs"),
        (
            "image: a, secrets: {A: {from: \"env:A\", local: \"env:B\"}}",
            Elsewhere,
            "secret-source",
            "containers.web.secrets.A.local",
        ),
        (
            "image: a, health: {exec: [x], interval: 500ms}",
            Adapted,
            "whole-seconds",
            "containers.web.health.interval",
        ),
        (
            "image: a, ports: [{name: p, port: 80}], health: {http: /, exec: [x]}",
            Elsewhere,
            "health-kind",
            "containers.web.health.exec[0]",
        ),
        (
            "image: a, ports: [{name: p, port: 80}], health: {http: /, status: 204}",
            Adapted,
            "health-status",
            "containers.web.health.status",
        ),
        (
            "image: a, ports: [{name: p, port: 80}], expose: [{port: p}]",
            Adapted,
            "not-exposed",
            "expose[0].port",
        ),
        (
            "image: a, ports: [{name: p, port: 80}], expose: [{port: p, host: a.example.com, scheme: https}]",
            Adapted,
            "certificate",
            "expose[0].scheme",
        ),
        (
            "image: a, ports: [{name: p, port: 80}], expose: [{port: p, scheme: tcp}]",
            Adapted,
            "load-balancer",
            "expose[0].public",
        ),
        (
            "image: a, cpu: {reservation: 1}, autoscale: {min: 1, max: 2, cpu: 60%, requests_per_minute: 9}",
            Adapted,
            "autoscale",
            "autoscale.requests_per_minute",
        ),
        (
            "image: a, identity: {aws_role: \"arn:aws:iam::111122223333:role/web\", service_account: own}",
            Adapted,
            "aws-role",
            "identity.aws_role",
        ),
    ] {
        let shop = translated(&format!("app: shop\nservices: {{web: {{{body}}}, idle: {{image: b}}}}"));
        let code = format!("kubernetes/{code}");
        let expected = (kind, format!("{WEB}.{path}"));
        let paths = |(kind, path): (FindingKind, String)| (kind, path.replace('"', ""));
        let said: Vec<_> = found(&shop, &code).into_iter().map(paths).collect();
        assert!(said.contains(&expected), "{body}: {:#?}", shop.findings);
        assert!(!shop.is_blocked(), "{body}: {:#?}", shop.findings);
    }
}
