use std::collections::{BTreeMap, BTreeSet};

use super::{
    Found,
    order::{MAX_LISTED, cycle, list},
};
use crate::{
    model::{
        AppSpec, Condition, Container, Health, Probe, ProbeKind, RestartMode, TaskTemplate, Volume, Workload,
    },
    path::FieldPath,
    spec::{Address, Part, Template},
    units::{Cpu, Memory, Name, Port, PortName},
};

/// The ports of the services that texts refer to; looked up once for each service.
#[derive(Default)]
pub(super) struct KnownPorts<'a>(BTreeMap<&'a str, (usize, BTreeSet<&'a str>)>);

impl<'a> KnownPorts<'a> {
    /// Returns how many ports a service has, and their names.
    fn of(&mut self, name: &'a Name, template: &'a TaskTemplate) -> &(usize, BTreeSet<&'a str>) {
        self.0.entry(name.as_str()).or_insert_with(|| {
            let names = template.ports().filter_map(|(_, port)| port.name.as_ref()).map(PortName::as_str);
            (template.ports().count(), names.collect())
        })
    }
}

/// Checks what services and tasks share.
pub(super) fn template<'a>(
    found: &mut Found,
    path: &FieldPath,
    app: &'a AppSpec,
    known: &mut KnownPorts<'a>,
    workload: Workload<'_>,
) {
    let template = workload.template;
    if template.containers.is_empty() {
        found
            .add("container-missing", path.clone(), "there is no container")
            .only_by([path.child("containers")])
            .help("add `image: name:tag`, or `containers:`");
        return;
    }
    if !template.has_essential() {
        found
            .add(
                "container-essential",
                path.child("containers"),
                "no container is essential, so the task would never be seen to end",
            )
            .only_by(essential(path, template))
            .by_keys(path.child("containers"))
            .help("leave `essential` out of one of them");
    }
    for (value, key) in [(template.stop.grace, "grace"), (template.stop.drain, "drain")] {
        if value.seconds() > 86_400 {
            found
                .add("stop-time", path.child("stop").child(key), format!("{value} is more than a day"))
                .help("write `30s`");
        }
    }
    dependencies(found, path, template);
    ports(found, path, template);
    resources(found, path, template);
    for (name, container) in &template.containers {
        self::container(found, &path.child("containers").child(name.as_str()), container);
        templates(container, &path.child("containers").child(name.as_str()), |template, path| {
            references(found, app, known, template, &path);
        });
    }
}

fn dependencies(found: &mut Found, path: &FieldPath, template: &TaskTemplate) {
    let mut edges: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let containers = path.child("containers");
    for (name, container) in &template.containers {
        for (target, condition) in &container.depends_on {
            let path = containers.child(name.as_str()).child("depends_on").child(target.as_str());
            edges.entry(name.as_str()).or_default().push(target.as_str());
            let Some(other) = template.containers.get(target) else {
                let known: Vec<&str> =
                    template.containers.keys().filter(|other| *other != name).map(Name::as_str).collect();
                found
                    .add("depends-target", path, format!("there is no container `{target}` in this task"))
                    .by([containers.child(target.as_str())])
                    .help(if known.is_empty() {
                        "services are awaited with `after`".to_owned()
                    } else {
                        list(&known)
                    });
                continue;
            };
            match condition {
                Condition::Healthy if other.health.is_none() => found
                    .add(
                        "depends-health",
                        path,
                        format!("`{target}` has no health check, so it would never be healthy"),
                    )
                    .by([containers.child(target.as_str()).child("health")])
                    .help(format!("add `health:` to `{target}`, or write `start`")),
                Condition::Complete | Condition::Success if template.is_essential(target.as_str()) => found
                    .add(
                        "depends-essential",
                        path,
                        format!(
                            "`{target}` is essential: the task ends with it, before anything could follow"
                        ),
                    )
                    .by([containers.child(target.as_str()).child("essential")])
                    .help(format!("write `essential: false` for `{target}`")),
                _ => {}
            }
        }
    }
    for name in cycle(&edges) {
        found
            .add(
                "depends-cycle",
                containers.child(name).child("depends_on"),
                format!("`{name}` waits for itself, by way of what it waits for"),
            )
            // What could be read goes round already.
            .only_by([])
            .help("remove one `depends_on` of the circle");
    }
}

/// Returns the containers of a task one by one; all of them together, where they are more than any task has.
fn each_container<'t>(
    path: &FieldPath,
    template: &'t TaskTemplate,
) -> impl Iterator<Item = (FieldPath, bool)> + use<'t> {
    const MANY: usize = 50;
    let containers = path.child("containers");
    let is_few = template.containers.len() <= MANY;
    let together = if is_few { None } else { Some((containers.clone(), false)) };
    let each = template.containers.keys().take(if is_few { MANY } else { 0 });
    each.map(move |name| (containers.child(name.as_str()), true)).chain(together)
}

/// Returns what decides which containers are essential.
fn essential<'t>(path: &FieldPath, template: &'t TaskTemplate) -> impl Iterator<Item = FieldPath> + use<'t> {
    each_container(path, template).flat_map(|(container, is_one)| {
        let keys = if is_one { ["essential", "depends_on"].as_slice() } else { &[] };
        let whole = if is_one { None } else { Some(container.clone()) };
        keys.iter().map(move |key| container.child(*key)).chain(whole)
    })
}

/// Returns where the ports of a task stand.
pub(super) fn ports_of<'t>(
    path: &FieldPath,
    template: &'t TaskTemplate,
) -> impl Iterator<Item = FieldPath> + use<'t> {
    each_container(path, template)
        .map(|(container, is_one)| if is_one { container.child("ports") } else { container })
}

fn ports(found: &mut Found, path: &FieldPath, template: &TaskTemplate) {
    let (mut numbers, mut names) = (BTreeMap::new(), BTreeMap::new());
    for (container, value) in &template.containers {
        for (at, port) in value.ports.iter().enumerate() {
            let path = path.child("containers").child(container.as_str()).child("ports").index(at);
            let here = (container, path.clone());
            if let Some((other, there)) = numbers.insert((port.port, port.protocol), here.clone()) {
                found
                    .add(
                        "port-twice",
                        path.child("port"),
                        format!("port {}/{} is taken by container `{other}`", port.port, port.protocol),
                    )
                    .by([path.child("protocol"), there.child("port"), there.child("protocol")])
                    .help("containers of a task share one network: each port is one container's");
            }
            if let Some(name) = &port.name
                && let Some((other, there)) = names.insert(name, here)
            {
                found
                    .add(
                        "port-twice",
                        path.child("name"),
                        format!("a port of container `{other}` has the name `{name}` already"),
                    )
                    .by([there.child("name")])
                    .help("names of ports are unique in a task");
            }
        }
    }
}

fn resources(found: &mut Found, path: &FieldPath, template: &TaskTemplate) {
    let (mut cpu, mut memory): (Option<Cpu>, Option<Memory>) = (None, None);
    for (name, container) in &template.containers {
        let path = path.child("containers").child(name.as_str());
        if let Some(amount) = &container.cpu {
            cpu = amount.reservation.map(|own| cpu.map_or(own, |sum| sum.saturating_add(own))).or(cpu);
            if amount.reservation > amount.limit && amount.limit.is_some() {
                found
                    .add(
                        "resources-sum",
                        path.child("cpu").child("reservation"),
                        "the reservation is above the limit",
                    )
                    .only_by([path.child("cpu")])
                    .help("raise the limit");
            }
        }
        if let Some(amount) = &container.memory {
            memory =
                amount.reservation.map(|own| memory.map_or(own, |sum| sum.saturating_add(own))).or(memory);
            if amount.reservation > amount.limit && amount.limit.is_some() {
                found
                    .add(
                        "resources-sum",
                        path.child("memory").child("reservation"),
                        "the reservation is above the limit",
                    )
                    .only_by([path.child("memory")])
                    .help("raise the limit");
            }
        }
    }
    let Some(task) = &template.resources else { return };
    let around = path;
    let each = |key: &'static str| {
        each_container(around, template)
            .map(move |(container, is_one)| if is_one { container.child(key) } else { container })
    };
    let path = path.child("resources");
    if let (Some(sum), Some(own)) = (cpu, task.cpu)
        && sum > own
    {
        found
            .add(
                "resources-sum",
                path.child("cpu"),
                format!("the containers reserve {sum} of the task's {own}"),
            )
            .by(each("cpu"))
            .help("raise it, or lower theirs");
    }
    if let (Some(sum), Some(own)) = (memory, task.memory)
        && sum > own
    {
        found
            .add(
                "resources-sum",
                path.child("memory"),
                format!("the containers reserve {sum} of the task's {own}"),
            )
            .by(each("memory"))
            .help("raise it, or lower theirs");
    }
}

fn container(found: &mut Found, path: &FieldPath, container: &Container) {
    for name in container.secrets.keys().filter(|name| container.env.contains_key(*name)) {
        found
            .add(
                "env-twice",
                path.child("secrets").child(name.as_str()),
                format!("`{name}` is set in `env` too"),
            )
            // Both names stand there, whatever their values are.
            .only_by([])
            .help("keep one of the two");
    }
    let mut mounts = BTreeSet::new();
    let places = [
        ("volumes", container.volumes.keys().collect::<Vec<_>>()),
        ("files", container.files.keys().collect()),
        ("secret_files", container.secret_files.keys().collect()),
    ];
    for (key, paths) in places {
        for at in paths {
            if !mounts.insert(at.as_str().trim_end_matches('/')) {
                found
                    .add(
                        "mount-twice",
                        path.child(key).child(at.as_str()),
                        format!("something else stands at {at} already"),
                    )
                    .only_by([])
                    .help("choose another path");
            }
        }
    }
    for (at, file) in &container.files {
        if file.content.is_some() == file.source.is_some() {
            found
                .add(
                    "file-source",
                    path.child("files").child(at.as_str()),
                    "a file has `content` or `source`, one of the two",
                )
                .help("write `content:` with its text, or `source:` with a path beside the spec");
        }
    }
    for (name, limit) in &container.ulimits {
        if limit.soft > limit.hard {
            found
                .add(
                    "ulimit-order",
                    path.child("ulimits").child(name.as_str()),
                    format!("the soft limit {} is above the hard one {}", limit.soft, limit.hard),
                )
                .help("lower `soft`, or raise `hard`");
        }
    }
    if let Some(restart) = &container.restart
        && restart.on == RestartMode::Never
        && (!restart.ignored_exit_codes.is_empty() || restart.after_running.is_some())
    {
        found
            .add(
                "restart-policy",
                path.child("restart"),
                "a container that is never restarted needs nothing else here",
            )
            .help("write `restart: never`, or another policy");
    }
    if let Some(health) = &container.health {
        self::health(found, &path.child("health"), container, health);
    }
}

/// Calls back for every text in which addresses of services are filled in.
fn templates(container: &Container, path: &FieldPath, mut each: impl FnMut(&Template, FieldPath)) {
    for (name, template) in &container.env {
        each(template, path.child("env").child(name.as_str()));
    }
    for (list, key) in [(&container.command, "command"), (&container.entrypoint, "entrypoint")] {
        for (at, template) in list.iter().flatten().enumerate() {
            each(template, path.child(key).index(at));
        }
    }
    for (at, file) in &container.files {
        if let Some(template) = &file.content {
            each(template, path.child("files").child(at.as_str()).child("content"));
        }
    }
}

fn references<'a>(
    found: &mut Found,
    app: &'a AppSpec,
    known: &mut KnownPorts<'a>,
    template: &Template,
    path: &FieldPath,
) {
    let services = FieldPath::root().child("services");
    for part in template.parts() {
        let Part::Service { name, what } = part else { continue };
        let Some((name, service)) = app.services.get_key_value(name.as_str()) else {
            let known: Vec<&str> = app.services.keys().map(Name::as_str).take(MAX_LISTED + 1).collect();
            found
                .add("service-reference", path.clone(), format!("there is no service `{name}`"))
                .by([services.child(name.as_str())])
                .help(list(&known));
            continue;
        };
        let (count, names) = known.of(name, &service.template);
        if *count == 0 {
            found
                .add(
                    "service-reference",
                    path.clone(),
                    format!("service `{name}` has no port, so it cannot be reached"),
                )
                .by(ports_of(&services.child(name.as_str()), &service.template))
                .by_keys(services.child(name.as_str()).child("containers"))
                .help(format!("add `ports:` to `{name}`"));
            continue;
        }
        match what {
            Address::Host => {}
            Address::Port(None) if *count == 1 => {}
            Address::Port(None) => found
                .add("service-reference", path.clone(), format!("service `{name}` has {count} ports"))
                .by(ports_of(&services.child(name.as_str()), &service.template))
                .help(format!("write `${{service.{name}.port.NAME}}`")),
            Address::Port(Some(port)) => {
                if !names.contains(port.as_str()) {
                    let names: Vec<&str> = names.iter().copied().collect();
                    found
                        .add(
                            "service-reference",
                            path.clone(),
                            format!("service `{name}` has no port `{port}`"),
                        )
                        .by(ports_of(&services.child(name.as_str()), &service.template))
                        .by_keys(services.child(name.as_str()).child("containers"))
                        .help(list(&names));
                }
            }
        }
    }
}

fn health(found: &mut Found, path: &FieldPath, container: &Container, health: &Health) {
    let ports = path.parent().unwrap_or_default().child("ports");
    probe(found, path, &ports, container, &health.probe);
    for (special, key) in
        [(&health.startup, "startup"), (&health.readiness, "readiness"), (&health.liveness, "liveness")]
    {
        if let Some(special) = special {
            probe(found, &path.child(key), &ports, container, special);
        }
    }
}

fn probe(found: &mut Found, path: &FieldPath, ports: &FieldPath, container: &Container, probe: &Probe) {
    let kinds = probe.kinds();
    if kinds.is_empty() {
        found
            .add("health-kind", path.clone(), "nothing says how to check")
            .only_by(["exec", "http", "tcp", "grpc"].map(|kind| path.child(kind)))
            .help("add `exec: [command]`, `http: /path`, `tcp: port` or `grpc: port`");
    }
    if probe.exec.as_ref().is_some_and(Vec::is_empty) {
        found
            .add("health-kind", path.child("exec"), "the command is empty")
            .help("write `exec: [/bin/true]`");
    }
    let (http, grpc) = (kinds.contains(&ProbeKind::Http), kinds.contains(&ProbeKind::Grpc));
    for (given, key, kind, there) in [
        (probe.port.is_some(), "port", "http", http),
        (probe.status.is_some(), "status", "http", http),
        (!probe.headers.is_empty(), "headers", "http", http),
        (probe.grpc_service.is_some(), "grpc_service", "grpc", grpc),
    ] {
        if given && !there {
            found
                .add(
                    "health-kind",
                    path.child(key),
                    format!("`{key}` belongs to `{kind}`, which is not here"),
                )
                .by([path.child(kind)])
                .help(format!("add `{kind}:`, or remove `{key}`"));
        }
    }
    let names: Vec<&str> =
        container.ports.iter().filter_map(|port| port.name.as_ref()).map(PortName::as_str).collect();
    for (port, key) in [(&probe.port, "port"), (&probe.tcp, "tcp"), (&probe.grpc, "grpc")] {
        if let Some(port) = port.as_ref().filter(|port| !names.contains(&port.as_str())) {
            let help = if let Ok(number) = port.as_str().parse::<Port>() {
                format!("name the port: `ports: [{{name: http, port: {number}}}]`, and write `{key}: http`")
            } else if names.is_empty() {
                format!("name it: `ports: [{{name: {port}, port: 8080}}]`")
            } else {
                list(&names)
            };
            found
                .add("health-port", path.child(key), format!("the container has no port `{port}`"))
                .by([ports.clone()])
                .help(help);
        }
    }
    if http && probe.port.is_none() && container.ports.len() != 1 {
        found
            .add(
                "health-port",
                path.child("http"),
                format!(
                    "the container has {} ports, and nothing says which one answers",
                    container.ports.len()
                ),
            )
            .by([path.child("port"), ports.clone()])
            .help(if names.is_empty() {
                "name the port, and write `port: NAME`".to_owned()
            } else {
                format!("write `port: {}`", names[0])
            });
    }
    for (zero, key) in [
        (probe.interval.millis() == 0, "interval"),
        (probe.timeout.millis() == 0, "timeout"),
        (probe.failures == 0, "failures"),
    ] {
        if zero {
            found
                .add("health-time", path.child(key), format!("`{key}` is 0"))
                .help("write more than 0, or leave it out");
        }
    }
}

/// Checks that a volume is of one kind.
pub(super) fn volume(found: &mut Found, path: &FieldPath, volume: &Volume) {
    let kinds: Vec<&str> = [
        (volume.ephemeral.is_some(), "ephemeral"),
        (volume.host.is_some(), "host"),
        (volume.efs.is_some(), "efs"),
        (volume.ebs.is_some(), "ebs"),
        (volume.existing.is_some(), "existing"),
    ]
    .into_iter()
    .filter_map(|(given, key)| given.then_some(key))
    .collect();
    if let [first, second, ..] = kinds[..] {
        found
            .add("volume-kind", path.child(second), format!("a volume is `{first}` or `{second}`, not both"))
            .only_by([])
            .help("keep one of them");
    }
    for (given, key) in [(volume.size.is_some(), "size"), (volume.class.is_some(), "class")] {
        if let (true, Some(kind)) = (given, kinds.first()) {
            found
                .add(
                    "volume-kind",
                    path.child(key),
                    format!("`{key}` belongs to a persistent volume, and this one is `{kind}`"),
                )
                .by([path.child(*kind)])
                .help(format!("remove `{key}`"));
        }
    }
}
