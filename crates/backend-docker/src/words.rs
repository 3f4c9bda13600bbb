//! Documents in the words and units of the spec, for people who read a plan; pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use straddle_core::{
    plan::{FieldChange, changes},
    units::{Cpu, Memory, Timespan},
};

use crate::document::{
    AfterDocument, ContainerDocument, DoorDocument, DoorPort, EphemeralDocument, FileDocument,
    HealthDocument, LoggingDocument, MountDocument, MountKind, PublishDocument, RestartDocument,
    TemplateDocument, to_value,
};

/// How much of the id of an image is shown, as the engine's own tools do.
const SHORT_ID: usize = 12;

/// Returns what is different between two revisions of a workload.
///
/// No difference is left out: what the spec has no words for is shown as the engine has it.
pub(crate) fn template_changes(
    workload: &str,
    from: &TemplateDocument,
    to: &TemplateDocument,
) -> Vec<FieldChange> {
    let mut found = changes(&template(from), &template(to));
    for (name, one) in &to.after {
        if from.after.get(name).is_some_and(|other| other.condition == one.condition && other != one) {
            found.push(FieldChange {
                path: format!("after.{name}"),
                from: Some(json!("as it was")),
                to: Some(json!("changed")),
            });
        }
    }
    for (name, one) in &to.containers {
        let Some(other) = from.containers.get(name) else { continue };
        if one.image == other.image && one.image_id != other.image_id {
            found.push(FieldChange {
                path: format!("containers.{name}.image"),
                from: Some(json!(with_id(other))),
                to: Some(json!(with_id(one))),
            });
        }
    }
    if found.is_empty() && from != to {
        found = changes(&to_value(from), &to_value(to));
    }
    if is_short(workload, from) && is_short(workload, to) {
        let prefix = format!("containers.{workload}.");
        for change in &mut found {
            if let Some(rest) = change.path.strip_prefix(&prefix) {
                change.path = rest.to_owned();
            }
        }
    }
    found
}

/// Returns what is different between two doors.
pub(crate) fn door_changes(from: &DoorDocument, to: &DoorDocument) -> Vec<FieldChange> {
    let found = changes(&door(from), &door(to));
    if found.is_empty() { changes(&to_value(from), &to_value(to)) } else { found }
}

/// Returns whether a workload may be written without naming its only container.
fn is_short(workload: &str, template: &TemplateDocument) -> bool {
    template.containers.len() == 1 && template.containers.contains_key(workload)
}

/// The same name can stand for another image than before.
fn with_id(container: &ContainerDocument) -> String {
    match &container.image_id {
        Some(id) => {
            let id: String = id.trim_start_matches("sha256:").chars().take(SHORT_ID).collect();
            format!("{} ({id})", container.image)
        }
        None => format!("{} (not here)", container.image),
    }
}

/// Fields with their values; what is not set is left out.
#[derive(Default)]
struct Words(Map<String, Value>);

impl Words {
    fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.to_owned(), value.into());
    }

    fn maybe(&mut self, key: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.set(key, value);
        }
    }

    fn flag(&mut self, key: &str, value: bool) {
        self.maybe(key, value.then_some(true));
    }

    fn list(&mut self, key: &str, values: &[String]) {
        self.maybe(key, (!values.is_empty()).then(|| json!(values)));
    }

    fn texts(&mut self, key: &str, values: &BTreeMap<String, String>) {
        self.maybe(key, (!values.is_empty()).then(|| json!(values)));
    }

    fn each<T>(&mut self, key: &str, values: &BTreeMap<String, T>, spoken: impl Fn(&T) -> Value) {
        let values: Map<String, Value> =
            values.iter().map(|(name, value)| (name.clone(), spoken(value))).collect();
        self.maybe(key, (!values.is_empty()).then_some(values));
    }

    fn group(&mut self, key: &str, group: Self) {
        self.maybe(key, (!group.0.is_empty()).then_some(group.0));
    }
}

fn template(document: &TemplateDocument) -> Value {
    let TemplateDocument {
        containers,
        after,
        hostname,
        extra_hosts,
        dns,
        networks,
        sysctls,
        labels,
        volumes,
    } = document;
    let mut words = Words::default();
    words.each("containers", containers, |one| Value::Object(container(one).0));
    words.each("after", after, |AfterDocument { condition, hash: _ }| json!(condition));
    let mut network = Words::default();
    network.maybe("hostname", hostname.clone());
    network.texts("extra_hosts", extra_hosts);
    network.list("dns", dns);
    words.group("network", network);
    let mut docker = Words::default();
    docker.list("networks", networks);
    words.group("docker", docker);
    words.texts("sysctls", sysctls);
    words.texts("labels", labels);
    words.each("volumes", volumes, |EphemeralDocument { in_memory, size }| {
        let medium = if *in_memory { "memory" } else { "disk" };
        let size = size.map(|size| format!(", {}", Memory::from_bytes(size))).unwrap_or_default();
        json!(format!("{medium}{size}"))
    });
    Value::Object(words.0)
}

fn container(document: &ContainerDocument) -> Words {
    let ContainerDocument {
        image,
        image_id: _,
        platform,
        command,
        entrypoint,
        user,
        workdir,
        env,
        secrets,
        files,
        secret_files,
        ports,
        health: check,
        essential,
        depends_on,
        start_timeout_ms,
        cpu_shares,
        nano_cpus,
        memory_reservation,
        memory: memory_limit,
        gpu,
        volumes,
        ulimits,
        cap_add,
        cap_drop,
        read_only_root,
        privileged,
        sysctls,
        init,
        tty,
        stop_signal,
        stop_grace_ms,
        restart,
        logging: log,
        devices,
        security_options,
        shm_size,
        cgroup_parent,
        runtime,
    } = document;
    let mut words = Words::default();
    words.set("image", image.as_str());
    words.maybe("platform", platform.clone());
    words.maybe("command", command.clone());
    words.maybe("entrypoint", entrypoint.clone());
    words.maybe("user", user.clone());
    words.maybe("workdir", workdir.clone());
    words.texts("env", env);
    words.texts("secrets", secrets);
    words.each("files", files, file);
    words.texts("secret_files", secret_files);
    words.list("ports", ports);
    if let Some(check) = check {
        words.group("health", health(check));
    }
    words.set("essential", *essential);
    words.each("depends_on", depends_on, to_value);
    words.maybe("start_timeout", start_timeout_ms.map(time));
    let mut cpu = Words::default();
    // The engine weighs shares; a whole processor has 1024 of them.
    cpu.maybe(
        "reservation",
        cpu_shares.map(|shares| processors(shares.saturating_mul(1_000_000_000) / 1024)),
    );
    cpu.maybe("limit", nano_cpus.map(processors));
    words.group("cpu", cpu);
    let mut memory = Words::default();
    memory.maybe("reservation", memory_reservation.map(bytes));
    memory.maybe("limit", memory_limit.map(bytes));
    words.group("memory", memory);
    words.maybe("gpu", *gpu);
    words.each("volumes", volumes, |mount| json!(mounted(mount)));
    words.each("ulimits", ulimits, |limit| {
        if limit.soft == limit.hard { json!(limit.soft) } else { to_value(limit) }
    });
    let mut capabilities = Words::default();
    capabilities.list("add", cap_add);
    capabilities.list("drop", cap_drop);
    words.group("capabilities", capabilities);
    words.flag("read_only_root", *read_only_root);
    words.flag("privileged", *privileged);
    words.texts("sysctls", sysctls);
    words.flag("init", *init);
    words.flag("tty", *tty);
    words.maybe("stop_signal", stop_signal.clone());
    words.set("stop_grace", time(*stop_grace_ms));
    words.set(
        "restart",
        match restart {
            RestartDocument::No => "never",
            RestartDocument::OnFailure => "on_failure",
            RestartDocument::UnlessStopped => "always",
        },
    );
    if let Some(log) = log {
        words.group("logging", logging(log));
    }
    let mut docker = Words::default();
    docker.list("devices", devices);
    docker.list("security_options", security_options);
    docker.maybe("shm_size", shm_size.map(bytes));
    docker.maybe("cgroup_parent", cgroup_parent.clone());
    docker.maybe("runtime", runtime.clone());
    words.group("docker", docker);
    words
}

fn file(document: &FileDocument) -> Value {
    let FileDocument { content, base64, mode } = document;
    let mut words = Words::default();
    words.maybe("content", content.clone());
    words.maybe("source", base64.as_ref().map(|text| format!("{} bytes", text.len() / 4 * 3)));
    words.set("mode", mode.as_str());
    Value::Object(words.0)
}

fn health(document: &HealthDocument) -> Words {
    let HealthDocument { test, interval_ms, timeout_ms, retries, start_period_ms } = document;
    let mut words = Words::default();
    match probe(test) {
        Some(probe) => words.0.extend(probe.0),
        None => words.list("exec", test.get(1..).unwrap_or_default()),
    }
    words.set("interval", time(*interval_ms));
    // The helper knows the time that was asked for; the engine gives it a little more.
    words.0.entry("timeout").or_insert_with(|| json!(time(*timeout_ms)));
    words.set("failures", *retries);
    words.set("start_period", time(*start_period_ms));
    words
}

/// Reads a check back that the helper makes: `probe http --port 80 --timeout 1s --path / --status 200`.
fn probe(test: &[String]) -> Option<Words> {
    let [_, program, probe, kind, options @ ..] = test else { return None };
    if program != straddle_helper::PROGRAM || probe != "probe" {
        return None;
    }
    let mut words = Words::default();
    let mut headers = Vec::new();
    for option in options.chunks(2) {
        let [option, value] = option else { return None };
        match option.as_str() {
            "--port" if kind == "http" => words.set("port", value.as_str()),
            "--port" => words.set(kind, value.as_str()),
            "--path" => words.set("http", value.as_str()),
            "--status" => words.set("status", value.as_str()),
            "--header" => headers.push(value.clone()),
            "--service" => words.set("grpc_service", value.as_str()),
            "--timeout" => words.set("timeout", timespan(value)),
            _ => return None,
        }
    }
    words.list("headers", &headers);
    Some(words)
}

fn logging(document: &LoggingDocument) -> Words {
    let LoggingDocument { driver, options, secret_options } = document;
    let mut words = Words::default();
    words.maybe("driver", driver.clone());
    words.texts("options", options);
    words.texts("secret_options", secret_options);
    words
}

fn mounted(document: &MountDocument) -> String {
    let MountDocument { kind, source, read_only, subpath, size } = document;
    let mut text = match kind {
        MountKind::Bind => format!("{source} of the host"),
        MountKind::Existing => format!("{source}, which is there already"),
        MountKind::Tmpfs => "memory".to_owned(),
        MountKind::Group | MountKind::Volume => source.clone(),
    };
    if let Some(subpath) = subpath {
        text.push_str(&format!(", {subpath} in it"));
    }
    if let Some(size) = size {
        text.push_str(&format!(", {}", bytes(*size)));
    }
    if *read_only {
        text.push_str(", read only");
    }
    text
}

fn door(document: &DoorDocument) -> Value {
    let DoorDocument { ports } = document;
    let mut words = Words::default();
    words.list("ports", &ports.keys().cloned().collect::<Vec<_>>());
    let published = |(port, DoorPort { publish }): (&String, &DoorPort)| -> Vec<String> {
        let one = |PublishDocument { port: host, public }: &PublishDocument| {
            format!("{host} → {port}{}", if *public { ", public" } else { "" })
        };
        publish.iter().map(one).collect()
    };
    words.list("expose", &ports.iter().flat_map(published).collect::<Vec<_>>());
    Value::Object(words.0)
}

fn time(milliseconds: u64) -> String {
    timespan(&format!("{milliseconds}ms"))
}

fn timespan(text: &str) -> String {
    text.parse::<Timespan>().map_or_else(|_| text.to_owned(), |time| time.to_string())
}

fn bytes(number: i64) -> String {
    Memory::from_bytes(number.unsigned_abs()).to_string()
}

fn processors(nanos: i64) -> String {
    let text = format!("{}.{:09}", nanos / 1_000_000_000, nanos.unsigned_abs() % 1_000_000_000);
    let text = text.trim_end_matches('0').trim_end_matches('.').to_owned();
    text.parse::<Cpu>().map_or(text, |cpu| cpu.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web() -> TemplateDocument {
        let health = HealthDocument {
            test: ["CMD", straddle_helper::PROGRAM, "probe", "http", "--port", "80", "--timeout", "1000ms"]
                .into_iter()
                .chain(["--path", "/healthz", "--status", "200-399"])
                .map(str::to_owned)
                .collect(),
            interval_ms: 1500,
            timeout_ms: 2000,
            retries: 3,
            start_period_ms: 0,
        };
        let container = ContainerDocument {
            image: "shop/web:1".into(),
            image_id: Some("sha256:0123456789abcdef".into()),
            health: Some(health),
            stop_grace_ms: 30_000,
            ..ContainerDocument::default()
        };
        let after = AfterDocument { condition: "success".into(), hash: "a".into() };
        TemplateDocument {
            containers: BTreeMap::from([("web".to_owned(), container)]),
            after: BTreeMap::from([("migrate".to_owned(), after)]),
            ..TemplateDocument::default()
        }
    }

    fn said(change: impl FnOnce(&mut TemplateDocument, &mut ContainerDocument)) -> Vec<String> {
        let (from, mut to) = (web(), web());
        let mut container = to.containers.remove("web").unwrap();
        change(&mut to, &mut container);
        to.containers.insert("web".to_owned(), container);
        let shown = |value: Option<Value>| value.map_or("-".to_owned(), |value| value.to_string());
        let found = template_changes("web", &from, &to);
        found
            .into_iter()
            .map(|one| format!("{}: {} → {}", one.path, shown(one.from), shown(one.to)))
            .collect()
    }

    #[test]
    fn changes_are_said_in_the_words_of_the_spec() {
        let health = said(|_, web| {
            if let Some(health) = &mut web.health {
                (health.interval_ms, health.retries) = (60_000, 5);
                health.test[9] = "/ready".to_owned();
            }
        });
        assert_eq!(
            health,
            [
                "health.failures: 3 → 5",
                "health.http: \"/healthz\" → \"/ready\"",
                "health.interval: \"1s500ms\" → \"1m\"",
            ]
        );
        let limits = said(|_, web| {
            (web.nano_cpus, web.memory, web.stop_grace_ms) = (Some(500_000_000), Some(512 << 20), 5000);
        });
        assert_eq!(
            limits,
            ["cpu.limit: - → \"500m\"", "memory.limit: - → \"512Mi\"", "stop_grace: \"30s\" → \"5s\""]
        );
    }

    #[test]
    fn another_image_under_the_same_name_and_another_predecessor_are_seen() {
        let image = said(|_, web| web.image_id = Some("sha256:fedcba9876543210".into()));
        assert_eq!(image, ["image: \"shop/web:1 (0123456789ab)\" → \"shop/web:1 (fedcba987654)\""]);
        let after = said(|template, _| {
            if let Some(after) = template.after.get_mut("migrate") {
                after.hash = "b".into();
            }
        });
        assert_eq!(after, ["after.migrate: \"as it was\" → \"changed\""]);
    }

    #[test]
    fn a_check_of_another_kind_replaces_the_old_one() {
        let kind = said(|_, web| {
            if let Some(health) = &mut web.health {
                health.test = vec!["CMD".into(), "/web".into(), "--check".into()];
            }
        });
        assert_eq!(
            kind,
            [
                "health.exec: - → [\"/web\",\"--check\"]",
                "health.http: \"/healthz\" → -",
                "health.port: \"80\" → -",
                "health.status: \"200-399\" → -",
                "health.timeout: \"1s\" → \"2s\"",
            ]
        );
    }

    #[test]
    fn a_port_of_the_machine_is_said_with_where_it_leads() {
        let published = |port: u16| {
            let publish = vec![PublishDocument { port, public: false }];
            DoorDocument { ports: BTreeMap::from([("tcp/8080".to_owned(), DoorPort { publish })]) }
        };
        let found = door_changes(&published(80), &published(81));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, "expose");
        assert_eq!(found[0].to, Some(json!(["81 → tcp/8080"])));
    }
}
