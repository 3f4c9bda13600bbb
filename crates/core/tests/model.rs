//! The model as a whole: what is written, what is refused, and what its schema says.

use straddle_core::{
    model::{App, AppSpec, rules::RULES},
    spec::{self, Spec, from_yaml},
};

#[test]
fn every_field_is_described_with_examples() {
    let faults = spec::check(&AppSpec::shape());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let leaves = spec::leaves(&AppSpec::shape());
    assert!(leaves.len() > 250, "{}", leaves.len());
}

#[test]
fn the_spec_of_the_design_is_read() {
    let app: App = from_yaml(DESIGN).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(app.services.len(), 2);
    assert!(app.workload("store").is_some_and(|store| store.template.containers.contains_key("store")));
    assert_eq!(app.services["web"].desired(), 3);
    // What is printed is read back as the same.
    let printed = serde_json::to_string(&app).unwrap();
    assert_eq!(from_yaml::<App>(&printed).unwrap_or_else(|problems| panic!("{problems}")), app);
}

const DESIGN: &str = r#"
app: shop
services:
  web:
    containers:
      web:
        image: shop/web:1.4.2
        ports: [{name: http, port: 8080}]
        env: {LOG: info, STORE_URL: "http://${service.store.host}:${service.store.port}", PORT: 8080}
        secrets: {DB_PASSWORD: "aws-secretsmanager:shop/db#password"}
        health: {http: /healthz, port: http, exec: [/web, --check], interval: 10s, timeout: 2s, failures: 3, start_period: 20s}
        depends_on: {proxy: healthy}
      proxy: {image: "shop/proxy:2", health: {exec: [/proxy, --check]}}
    resources: {cpu: 500m, memory: 1Gi}
    replicas: 3
    expose: [{port: http, host: shop.example.com, prefix: /}]
    after: {migrate: success, store: healthy}
    identity: {aws_role: "arn:aws:iam::111122223333:role/shop-web"}
    rollout: {strategy: rolling, min_healthy: 100%, max_running: 200%, rollback: on_failure}
    stop: {grace: 30s}
    ecs: {launch: fargate}
  store: {image: "shop/store:2", ports: [{name: tcp, port: 9000}], volumes: {/data: {name: store-data}}, health: {tcp: tcp}}
tasks:
  migrate: {image: "shop/web:1.4.2", command: [migrate], timeout: 10m, attempts: 3}
  report:  {image: "shop/report:3", schedule: {cron: "0 3 * * *", timezone: Europe/Berlin, overlap: forbid}}
"#;

/// One spec for each rule, which breaks this rule only: the rule, the line and column of the problem, and its text.
const BROKEN: &[(&str, &str, &str)] = &[
    ("accept-path", "accept: [{code: a, path: 'a..b', reason: r}]", "accept[0].path"),
    (
        "after-condition",
        "services: {a: {image: i, after: {b: success}}, b: {image: i}}",
        "services.a.after.b",
    ),
    (
        "after-cycle",
        "services: {a: {image: i, after: {b: healthy}}, b: {image: i, after: {a: healthy}}}",
        "services.a.after",
    ),
    (
        "after-scheduled",
        "services: {a: {image: i, after: {b: success}}}\ntasks: {b: {image: i, schedule: {cron: '0 3 * * *'}}}",
        "services.a.after.b",
    ),
    ("after-target", "services: {a: {image: i, after: {b: success}}}", "services.a.after.b"),
    (
        "autoscale-bounds",
        "services: {a: {image: i, autoscale: {min: 3, max: 2, cpu: 60%}}}",
        "services.a.autoscale.max",
    ),
    ("container-essential", "services: {a: {image: i, essential: false}}", "services.a"),
    ("container-missing", "services: {a: {containers: {}}}", "services.a"),
    (
        "depends-cycle",
        "services: {a: {containers: {x: {image: i, depends_on: {y: start}}, y: {image: i, depends_on: {x: start}}}}}",
        "services.a.containers.x.depends_on",
    ),
    (
        "depends-essential",
        "services: {a: {containers: {x: {image: i, depends_on: {y: success}}, y: {image: i, essential: true}}}}",
        "services.a.containers.x.depends_on.y",
    ),
    (
        "depends-health",
        "services: {a: {containers: {x: {image: i, depends_on: {y: healthy}}, y: {image: i}}}}",
        "services.a.containers.x.depends_on.y",
    ),
    ("depends-target", "services: {a: {image: i, depends_on: {b: start}}}", "services.a.depends_on.b"),
    ("empty-app", "services: {}", ""),
    ("env-twice", "services: {a: {image: i, env: {A: b}, secrets: {A: 'env:A'}}}", "services.a.secrets.A"),
    (
        "expose-host",
        "services: {a: {image: i, ports: [{name: p, port: 1}], expose: [{port: p, host: a.b, scheme: tcp}]}}",
        "services.a.expose[0].host",
    ),
    ("expose-port", "services: {a: {image: i, expose: [{port: p}]}}", "services.a.expose[0].port"),
    ("file-source", "services: {a: {image: i, files: {/a: {mode: '0644'}}}}", "services.a.files[\"/a\"]"),
    ("health-kind", "services: {a: {image: i, health: {interval: 5s}}}", "services.a.health"),
    ("health-port", "services: {a: {image: i, health: {tcp: p}}}", "services.a.health.tcp"),
    (
        "health-time",
        "services: {a: {image: i, health: {exec: [a], interval: 0s}}}",
        "services.a.health.interval",
    ),
    (
        "mount-twice",
        "services: {a: {image: i, files: {/a: {content: a}}, volumes: {/a: v}}}",
        "services.a.files[\"/a\"]",
    ),
    ("name-twice", "services: {a: {image: i}}\ntasks: {a: {image: i}}", "tasks.a"),
    ("port-twice", "services: {a: {image: i, ports: [80, 80]}}", "services.a.ports[1].port"),
    ("replicas-mode", "services: {a: {image: i, mode: daemon, replicas: 2}}", "services.a.replicas"),
    (
        "resources-sum",
        "services: {a: {image: i, memory: {reservation: 2Gi}, resources: {memory: 1Gi}}}",
        "services.a.resources.memory",
    ),
    (
        "restart-policy",
        "services: {a: {image: i, restart: {on: never, ignored_exit_codes: [1]}}}",
        "services.a.restart",
    ),
    ("rollout-bounds", "services: {a: {image: i, rollout: {max_running: 100%}}}", "services.a.rollout"),
    ("rollout-strategy", "services: {a: {image: i, rollout: {bake: 5m}}}", "services.a.rollout.bake"),
    ("service-reference", "services: {a: {image: i, env: {A: '${service.b.host}'}}}", "services.a.env.A"),
    ("stop-time", "services: {a: {image: i, stop: {grace: 2d}}}", "services.a.stop.grace"),
    ("task-attempts", "tasks: {a: {image: i, attempts: 0}}", "tasks.a.attempts"),
    (
        "ulimit-order",
        "services: {a: {image: i, ulimits: {nofile: {soft: 2, hard: 1}}}}",
        "services.a.ulimits.nofile",
    ),
    ("volume-kind", "services: {a: {image: i}}\nvolumes: {v: {host: /a, existing: b}}", "volumes.v.existing"),
];

#[test]
fn every_rule_is_broken_by_one_spec_and_points_at_its_field() {
    // That one takes a long text.
    for (rule, _) in RULES.iter().filter(|(rule, _)| *rule != "too-many") {
        assert!(BROKEN.iter().any(|(own, ..)| own == rule), "no spec breaks `{rule}`");
    }
    for (rule, text, path) in BROKEN {
        let mut text = format!("app: shop\n{text}\n");
        if !text.contains("services:") && !text.contains("tasks:") {
            text.push_str("services: {a: {image: i}}\n");
        }
        let problems = from_yaml::<App>(&text).expect_err(&text);
        let found: Vec<String> = problems.as_slice().iter().map(|problem| problem.path.to_string()).collect();
        assert_eq!(found, [*path], "{rule}: {problems}");
        assert!(problems.as_slice()[0].span.is_some(), "{rule}");
        assert!(problems.as_slice()[0].help.is_some() || *rule == "accept-path", "{rule}: {problems}");
    }
}

#[test]
fn more_than_can_be_meant_is_refused() {
    let many = |count: usize, item: fn(usize) -> String| (0..count).map(item).collect::<Vec<_>>().join(", ");
    for (text, path) in [
        (format!("services: {{{}}}", many(10_001, |at| format!("s{at}: {{image: i}}"))), "services"),
        (format!("tasks: {{{}}}", many(10_001, |at| format!("s{at}: {{image: i}}"))), "tasks"),
        (
            format!(
                "services: {{a: {{containers: {{{}}}}}}}",
                many(201, |at| format!("c{at}: {{image: i}}"))
            ),
            "services.a.containers",
        ),
        (
            format!("services: {{a: {{image: i, ports: [{}]}}}}", many(1001, |at| (at + 1).to_string())),
            "services.a",
        ),
        (
            format!("services: {{a: {{image: i, expose: [{}]}}}}", many(1001, |_| "{port: a}".to_owned())),
            "services.a.expose",
        ),
    ] {
        let problems = from_yaml::<App>(&format!("app: shop\n{text}\n")).unwrap_err();
        let found: Vec<String> = problems.as_slice().iter().map(|problem| problem.path.to_string()).collect();
        assert_eq!(found, [path], "{problems}");
        assert!(problems.as_slice()[0].span.is_some());
    }
}
