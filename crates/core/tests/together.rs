//! Every problem of a file in one run: the rules between fields are checked over what can be read, and keep silent where
//! what they look at cannot be.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use straddle_core::{model::AppSpec, spec::from_yaml};

fn problems(text: &str) -> Vec<String> {
    let text = format!("app: shop\n{text}\n");
    let found = from_yaml::<AppSpec>(&text).unwrap_err();
    for problem in &found {
        assert!(problem.span.is_some_and(|span| found.place(span).is_some()), "{problem:?}");
    }
    found.as_slice().iter().map(|problem| problem.path.to_string()).collect()
}

/// Each spec with the fields of all its problems: what cannot be read, and the rules that are broken elsewhere.
#[test]
fn rules_are_told_together_with_what_cannot_be_read() {
    for (text, expected) in [
        // Far from each other.
        (
            "services: {a: {image: i, replicas: x}, b: {image: i, rollout: {bake: 5m}}}",
            &["services.a.replicas", "services.b.rollout.bake"][..],
        ),
        // In one container, in one map, in one list.
        (
            "services: {a: {image: 5, env: {A: b}, secrets: {A: 'env:A'}}}",
            &["services.a.image", "services.a.secrets.A"],
        ),
        (
            "services: {a: {env: {A: b}, secrets: {A: 'env:A'}}}",
            &["services.a.image", "services.a.secrets.A"],
        ),
        (
            "services: {a: {image: i, ports: [{port: x}, 80, 80]}}",
            &["services.a.ports[0].port", "services.a.ports[2].port"],
        ),
        (
            "services: {a: {image: i, rollout: {bake: 5m, step: x}}}",
            &["services.a.rollout.bake", "services.a.rollout.step"],
        ),
        (
            "services: {a: {image: i, nonsense: 1, stop: {grace: 2d}}}",
            &["services.a.nonsense", "services.a.stop.grace"],
        ),
        // A variable that is not set, a key that stands twice, a tag.
        (
            "services: {a: {image: \"${NO}\", stop: {grace: 2d}}}",
            &["services.a.image", "services.a.stop.grace"],
        ),
        ("services: {a: {image: i, image: i, stop: {grace: 2d}}}", &["", "services.a.stop.grace"]),
        ("services: {a: {image: !x i, stop: {grace: 2d}}}", &["", "services.a.stop.grace"]),
        // A whole service cannot be read, and another one is wrong.
        ("services: {a: 5, b: {image: i, stop: {grace: 2d}}}", &["services.a", "services.b.stop.grace"]),
        (
            "services: {-a: {image: i}, b: {image: i, stop: {grace: 2d}}}",
            &["services.-a", "services.b.stop.grace"],
        ),
        // The name of the application.
        ("app2: x\nservices: {b: {image: i, stop: {grace: 2d}}}", &["app2", "services.b.stop.grace"]),
        // What is certain although its neighbour cannot be read.
        ("services: {a: {image: i, after: {c: healthy}}, b: 5}", &["services.a.after.c", "services.b"]),
        (
            "services: {a: {image: i, replicas: x, after: {b: healthy}}, b: {image: i, after: {a: healthy}}}",
            &["services.a.replicas", "services.a.after"],
        ),
        (
            "services: {a: {image: i, health: {interval: x}}}",
            &["services.a.health", "services.a.health.interval"],
        ),
    ] {
        let mut found = problems(text);
        let mut expected: Vec<String> = expected.iter().map(|path| (*path).to_owned()).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{text}");
    }
}

/// What is only missing because it was written wrong is not missed a second time.
#[test]
fn no_rule_follows_from_what_cannot_be_read() {
    for (text, expected) in [
        ("servces: {a: {image: i}}", "servces"),
        ("services: 5", "services"),
        ("services: {a: 5}", "services.a"),
        ("services: {a: {containers: 5}}", "services.a.containers"),
        ("services: {a: {containers: {x: 5}}}", "services.a.containers.x"),
        ("services: {a: {image: i, after: {b: healthy}}, b: 5}", "services.b"),
        ("services: {a: {image: i, after: {-b: healthy}}, b: {image: i}}", "services.a.after.-b"),
        ("services: {a: {image: i, after: {b: healthy}}, -b: {image: i}}", "services.-b"),
        ("services: {a: {image: i, after: {b: success}}}\ntask: {b: {image: i}}", "task"),
        (
            "services: {a: {image: i, ports: [{name: http, port: x}], health: {http: /, port: http}}}",
            "services.a.ports[0].port",
        ),
        (
            "services: {a: {image: i, ports: [{nam: http, port: 80}], expose: [{port: http}]}}",
            "services.a.ports[0].nam",
        ),
        (
            "services: {a: {image: i, port: [{name: http, port: 80}], expose: [{port: http}]}}",
            "services.a.port",
        ),
        ("services: {a: {image: i, ports: 80, health: {http: /}}}", "services.a.ports"),
        (
            "services: {a: {image: i, env: {A: '${service.b.port}'}}, b: {image: i, ports: [x]}}",
            "services.b.ports[0]",
        ),
        (
            "services: {a: {image: i, env: {A: '${service.b.port}'}}, b: {image: i, prots: [80]}}",
            "services.b.prots",
        ),
        ("services: {a: {image: i, health: {htp: /}}}", "services.a.health.htp"),
        ("services: {a: {image: i, health: {http: 5}}}", "services.a.health.http"),
        (
            "services: {a: {containers: {x: {image: i, depends_on: {y: healthy}}, y: {image: i, health: 5}}}}",
            "services.a.containers.y.health",
        ),
        (
            "services: {a: {containers: {x: {image: i, depends_on: {y: healthy}}, y: {image: i, healthh: {}}}}}",
            "services.a.containers.y.healthh",
        ),
        (
            "services: {a: {containers: {x: {image: i, depends_on: {y: healthy}}, -y: {image: i}}}}",
            "services.a.containers.-y",
        ),
        ("services: {a: {image: i, autoscale: {min: 1, max: 2, cpu: x}}}", "services.a.autoscale.cpu"),
        ("services: {a: {image: i, autoscale: {min: x, max: 0, cpu: 60%}}}", "services.a.autoscale.min"),
        (
            "services: {a: {image: i, rollout: {strategy: bluegreen, bake: 5m}}}",
            "services.a.rollout.strategy",
        ),
        (
            "services: {a: {image: i, rollout: {max_running: 100%, min_healthy: x}}}",
            "services.a.rollout.min_healthy",
        ),
        ("services: {a: {image: i, essential: nope}}", "services.a.essential"),
        ("services: {a: {image: i, files: {/a: {contnt: x}}}}", "services.a.files[\"/a\"].contnt"),
    ] {
        assert_eq!(problems(text), [expected], "{text}");
    }
}
