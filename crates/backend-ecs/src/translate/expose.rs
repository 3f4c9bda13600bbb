//! Ports that are reached from outside: by a rule on a listener that is there already, or by a target group of one's own.

use serde_json::{Value, json};
use straddle_core::{
    finding::{Finding, FindingKind},
    model::{Expose, Probe, Scheme, Service},
    path::FieldPath,
    platform::{Output, Place, Resource, ResourceKey},
};

use super::{Around, LISTENER_RULE, SERVICE, TARGET_GROUP, resource, task::Task};
use crate::{
    document::{AdvancedConfiguration, LoadBalancer},
    facts, names, tags,
};

const CODE: &str = "ecs/expose";

/// The most target groups of a service.
const MAX_TARGET_GROUPS: usize = 5;

/// What stands in front of a service.
#[derive(Debug, Default)]
pub(super) struct Exposed {
    pub(super) load_balancers: Vec<LoadBalancer>,
    pub(super) resources: Vec<Resource>,
    /// Where it is reached.
    pub(super) address: Option<String>,
    /// Whether ECS can move its traffic by weight.
    pub(super) shifts: bool,
}

/// Returns whether requests come through a rule of ours.
pub(crate) fn is_behind_a_rule(expose: &Expose) -> bool {
    let Expose { port: _, publish: _, host, prefix, public, scheme, certificate, target_group } = expose;
    target_group.is_none()
        && (host.is_some() || prefix.is_some() || *public || scheme.is_some() || certificate.is_some())
}

/// Translates what a service exposes.
pub(super) fn expose(
    out: &mut Output,
    around: &Around<'_>,
    task: &Task<'_>,
    service: &Service,
    model: &[Expose],
) -> Exposed {
    let mut exposed = Exposed::default();
    let moves = service.rollout.strategy != straddle_core::model::RolloutStrategy::Rolling;
    for (at, one) in model.iter().enumerate() {
        let Some((container, port)) = service.template.port(one.port.as_str()) else { continue };
        let field = task.field.child("expose").index(at);
        let Expose {
            port: _,
            publish,
            host: _,
            prefix: _,
            public: _,
            scheme: _,
            certificate: _,
            target_group,
        } = one;
        let is_ruled = is_behind_a_rule(one);
        if publish.is_some() {
            if is_ruled || target_group.is_some() {
                out.elsewhere("ecs/publish", field.child("publish"), "it is for a local engine");
            } else {
                let finding = Finding::new(
                    FindingKind::Adapted,
                    "ecs/publish",
                    field.child("publish"),
                    "no port of a machine is published: it is reached inside the network only",
                );
                out.push(finding.with_fix("add `host: shop.example.com`, and `listener` to the target"));
            }
        }
        let place = Place::root(ResourceKey::new(SERVICE, names::workload(around.scope, task.name)))
            .child("loadBalancers")
            .index(exposed.load_balancers.len());
        if task.compute.is_external() && (is_ruled || target_group.is_some()) {
            outside(out, &field, one);
            continue;
        }
        let (arn, advanced) = if let Some(arn) = target_group {
            out.map(field.child("target_group"), &[&place.child("targetGroupArn")]);
            of_others(out, &field, one);
            (arn.to_string(), None)
        } else if is_ruled {
            let Some(made) =
                ruled(out, around, task, (&field, at), one, (container.as_str(), port.port.number()), moves)
            else {
                out.map(field.child("port"), &[]);
                continue;
            };
            exposed.shifts = true;
            exposed.address.get_or_insert(address(one));
            exposed.resources.extend(made.resources);
            (format!("@{TARGET_GROUP}/{}", made.first), made.advanced)
        } else {
            inside(out, &field, publish.is_some());
            continue;
        };
        out.map(field.child("port"), &[&place.child("containerPort"), &place.child("containerName")]);
        exposed.load_balancers.push(LoadBalancer {
            target_group_arn: arn,
            container_name: container.to_string(),
            container_port: port.port.number(),
            advanced_configuration: advanced,
        });
    }
    if exposed.load_balancers.len() > MAX_TARGET_GROUPS {
        let message = format!("a service has at most {MAX_TARGET_GROUPS} target groups");
        out.blocked(CODE, task.field.child("expose"), message, "expose less, or make two services of it");
    }
    if service.template.stop.drain != straddle_core::model::Stop::default().drain
        && exposed.resources.is_empty()
    {
        let message = "what stands in front of the service decides how long open connections are kept";
        out.ignored("ecs/drain", task.field.child("stop").child("drain"), message);
    }
    exposed
}

/// A port that nothing stands in front of.
fn inside(out: &mut Output, field: &FieldPath, is_published: bool) {
    let field = field.child("port");
    if is_published {
        out.map(field.clone(), &[]);
        out.elsewhere("ecs/publish", field, "it is for a local engine");
    } else {
        let finding = Finding::new(
            FindingKind::Adapted,
            "ecs/not-exposed",
            field,
            "it is reached inside the network only: no host of requests is named",
        );
        out.push(finding.with_fix("add `host: shop.example.com`, and `listener` to the target"));
    }
}

/// Nothing of AWS stands in front of tasks outside it.
fn outside(out: &mut Output, field: &FieldPath, expose: &Expose) {
    let Expose { port: _, publish: _, host, prefix, public, scheme, certificate, target_group } = expose;
    for (given, key) in [
        (host.is_some(), "host"),
        (prefix.is_some(), "prefix"),
        (*public, "public"),
        (scheme.is_some(), "scheme"),
        (certificate.is_some(), "certificate"),
        (target_group.is_some(), "target_group"),
    ] {
        if given {
            out.blocked(CODE, field.child(key), "ECS Anywhere has no load balancers", "leave it out");
        }
    }
}

/// What a target group of others decides.
fn of_others(out: &mut Output, field: &FieldPath, expose: &Expose) {
    let Expose { port: _, publish: _, host, prefix, public, scheme, certificate, target_group: _ } = expose;
    out.map(field.child("public"), &[]);
    for (given, key) in [
        (host.is_some(), "host"),
        (prefix.is_some(), "prefix"),
        (*public, "public"),
        (scheme.is_some(), "scheme"),
        (certificate.is_some(), "certificate"),
    ] {
        if given {
            out.ignored(CODE, field.child(key), "the load balancer of the target group decides about it");
        }
    }
}

/// A target group, or two, with their rule.
struct Ruled {
    resources: Vec<Resource>,
    /// The name of the target group that has all traffic at first.
    first: String,
    advanced: Option<AdvancedConfiguration>,
}

fn ruled(
    out: &mut Output,
    around: &Around<'_>,
    task: &Task<'_>,
    (field, at): (&FieldPath, usize),
    model: &Expose,
    (container, port): (&str, u16),
    moves: bool,
) -> Option<Ruled> {
    let Expose { port: _, publish: _, host, prefix, public, scheme, certificate, target_group: _ } = model;
    if matches!(scheme, Some(Scheme::Tcp | Scheme::Tls | Scheme::Udp)) {
        let message = "a listener for connections has no rules: it passes all of them to one target group";
        out.blocked(
            CODE,
            field.child("scheme"),
            message,
            "make a target group for it, and name it: `target_group: arn:...`",
        );
        return None;
    }
    if around.config.listener.is_none() {
        let message = "the target names no listener of a load balancer";
        out.blocked(
            "ecs/listener",
            field.clone(),
            message,
            "set `listener` of the target, or `target_group` here",
        );
    }
    if around.facts.text(facts::LISTENER_KIND) == Some("network") {
        let message = "the listener of the target is that of a Network Load Balancer, which has no rules";
        let fix = "name one of an Application Load Balancer, or `target_group` here";
        out.blocked("ecs/listener", field.clone(), message, fix);
    }
    let listener = around.config.listener.as_deref().unwrap_or_default();
    let suffix = if at == 0 { String::new() } else { format!("-{}", at + 1) };
    let service = names::workload(around.scope, task.name);
    // The kind of targets cannot be changed: each has names of its own.
    let kind = if task.compute.has_interface() { "" } else { "-i" };
    let name = |which: &str| names::fit(&format!("{service}{suffix}{kind}{which}"), names::MAX_TARGET_GROUP);
    let rule = format!("{service}{suffix}");
    let place = Place::root(ResourceKey::new(LISTENER_RULE, rule.as_str()));
    out.map(field.child("public"), &[]);
    if *public && host.is_none() && prefix.is_none() {
        let message = "the load balancer of the listener decides whether it is reached from the internet";
        out.adapted(CODE, field.child("public"), message);
    } else if *public {
        let message = "the load balancer of the listener decides whether it is reached from the internet";
        out.ignored(CODE, field.child("public"), message);
    }
    for (given, key) in [(scheme.is_some(), "scheme"), (certificate.is_some(), "certificate")] {
        if given {
            out.ignored(CODE, field.child(key), "the listener has its own");
        }
    }
    let mut conditions: Vec<Value> = Vec::new();
    if let Some(host) = host {
        out.map(field.child("host"), &[&place.child("Conditions").index(conditions.len())]);
        conditions.push(json!({"Field": "host-header", "HostHeaderConfig": {"Values": [host.as_str()]}}));
    }
    let path = prefix.as_ref().map_or("/", |prefix| prefix.as_str());
    let path = path.trim_end_matches('/');
    if prefix.is_some() {
        out.map(field.child("prefix"), &[&place.child("Conditions").index(conditions.len())]);
    }
    // The whole host is a prefix of nothing; a rule needs a condition all the same.
    if !path.is_empty() || conditions.is_empty() {
        let mut values = vec![format!("{path}/*")];
        if !path.is_empty() {
            values.insert(0, path.to_owned());
        }
        conditions.push(json!({"Field": "path-pattern", "PathPatternConfig": {"Values": values}}));
    }
    let check =
        task.template.containers.get(container).and_then(|one| one.health.as_ref()).map(|one| &one.probe);
    let mut resources = Vec::new();
    // The first one is the same however traffic moves, so that it stays where it is when that changes.
    let names = if moves { vec![name(""), name("-b")] } else { vec![name("")] };
    for name in &names {
        resources.push(target_group(out, around, task, (name, port), container, check));
    }
    let first = names[0].clone();
    let arn = |name: &String| format!("@{TARGET_GROUP}/{name}");
    let action = match names.as_slice() {
        [first, second] => json!({"Type": "forward", "ForwardConfig": {"TargetGroups": [
            {"TargetGroupArn": arn(first), "Weight": 100}, {"TargetGroupArn": arn(second), "Weight": 0},
        ]}}),
        _ => json!({"Type": "forward", "TargetGroupArn": arn(&first)}),
    };
    let mut tags = capital(around, task.name);
    tags.push(json!({"Key": tags::NAME, "Value": rule}));
    let document = json!({
        "ListenerArn": listener,
        "Conditions": conditions,
        "Actions": [action],
        "Tags": tags,
    });
    let mut made = resource(LISTENER_RULE, &rule, &document);
    made.depends_on = resources.iter().map(|one| one.key.clone()).collect();
    resources.push(made);
    let advanced = moves.then(|| {
        let role = around.config.infrastructure_role.clone();
        if role.is_none() {
            let message = "ECS has no role with which to move traffic";
            out.blocked(
                "ecs/infrastructure-role",
                field.clone(),
                message,
                "set `infrastructure_role` of the target",
            );
        }
        AdvancedConfiguration {
            alternate_target_group_arn: format!("@{TARGET_GROUP}/{}", names[1]),
            production_listener_rule: format!("@{LISTENER_RULE}/{rule}"),
            role_arn: role.unwrap_or_default(),
        }
    });
    Some(Ruled { resources, first, advanced })
}

/// Returns our tags as Elastic Load Balancing spells them.
fn capital(around: &Around<'_>, name: &str) -> Vec<Value> {
    let tags = around.tags(tags::SERVICE, name);
    tags.into_iter().map(|tag| json!({"Key": tag.key, "Value": tag.value})).collect()
}

fn target_group(
    out: &mut Output,
    around: &Around<'_>,
    task: &Task<'_>,
    (name, port): (&str, u16),
    container: &str,
    check: Option<&Probe>,
) -> Resource {
    let place = Place::root(ResourceKey::new(TARGET_GROUP, name));
    let drain = task.template.stop.drain.millis().div_ceil(1000).min(3600);
    out.map(task.field.child("stop").child("drain"), &[&place.child("Attributes")]);
    let mut document = json!({
        "Name": name,
        "Protocol": "HTTP",
        "Port": port,
        "VpcId": around.fact(facts::VPC),
        "TargetType": if task.compute.has_interface() { "ip" } else { "instance" },
        "HealthCheckProtocol": "HTTP",
        "Attributes": [{"Key": "deregistration_delay.timeout_seconds", "Value": drain.to_string()}],
        "Tags": capital(around, task.name),
    });
    let Some(Probe {
        exec: _,
        http,
        tcp: _,
        grpc: _,
        port: checked,
        status,
        headers,
        grpc_service: _,
        interval,
        timeout,
        failures,
        start_period: _,
    }) = check
    else {
        return resource(TARGET_GROUP, name, &document);
    };
    let field = task.field.child("containers").child(container).child("health");
    let Some(http) = http else { return resource(TARGET_GROUP, name, &document) };
    out.map(field.child("http"), &[&place.child("HealthCheckPath")]);
    document["HealthCheckPath"] = json!(http.as_str());
    if let Some(checked) = checked {
        out.map(field.child("port"), &[&place.child("HealthCheckPort")]);
        let number = task.template.port(checked.as_str()).map(|(_, port)| port.port.number());
        if let Some(number) = number.filter(|number| *number != port) {
            document["HealthCheckPort"] = json!(number.to_string());
        }
    }
    let seconds = |time: straddle_core::units::Timespan, least: u64, most: u64| {
        time.millis().div_ceil(1000).clamp(least, most)
    };
    let every = seconds(*interval, 5, 300);
    for (key, path) in [
        ("interval", "HealthCheckIntervalSeconds"),
        ("timeout", "HealthCheckTimeoutSeconds"),
        ("failures", "UnhealthyThresholdCount"),
    ] {
        out.map(field.child(key), &[&place.child(path)]);
    }
    document["HealthCheckIntervalSeconds"] = json!(every);
    document["HealthCheckTimeoutSeconds"] = json!(seconds(*timeout, 2, 120).min(every - 1));
    document["HealthyThresholdCount"] = json!(2);
    document["UnhealthyThresholdCount"] = json!((*failures).clamp(2, 10));
    let codes = match status {
        Some(status) => {
            out.map(field.child("status"), &[&place.child("Matcher")]);
            let (first, last) = (status.first().max(200), status.last().min(499));
            if first == last { first.to_string() } else { format!("{first}-{last}") }
        }
        None => "200-399".to_owned(),
    };
    document["Matcher"] = json!({"HttpCode": codes});
    for key in headers.keys() {
        let field = field.child("headers").child(key.as_str());
        let finding = Finding::new(
            FindingKind::Adapted,
            "ecs/health",
            field,
            "a load balancer sends no headers of one's own",
        );
        if !out.findings.contains(&finding) {
            out.push(finding);
        }
    }
    resource(TARGET_GROUP, name, &document)
}

fn address(model: &Expose) -> String {
    let tls = model.certificate.is_some() || model.scheme == Some(Scheme::Https);
    let host = model.host.as_ref().map_or("*", |host| host.as_str());
    let prefix = model.prefix.as_ref().map_or("", |prefix| prefix.as_str().trim_end_matches('/'));
    format!("{}://{host}{prefix}", if tls { "https" } else { "http" })
}
