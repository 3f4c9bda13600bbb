//! One container.

use std::collections::BTreeMap;

use straddle_core::{
    model::{
        Capabilities, Condition, ConfigFile, Container, ContainerPort, Protocol, PullPolicy, Restart,
        RestartMode, Secret, Ulimit,
    },
    path::FieldPath,
    platform::{Output, Place},
    units::{AbsolutePath, FileMode, Name, Timespan},
};

use super::{Around, environment, health, logging, resources, secret, task::Task, volumes::Mounted};
use crate::document::{
    ContainerDefinition, Dependency, KernelCapabilities, LinuxParameters, PortMapping, RepositoryCredentials,
    RestartPolicy, SystemControl, Ulimit as NativeUlimit, list,
};
use crate::{config::Launch, names};

/// The most that ECS gives a container on Fargate to stop, in seconds.
const MAX_STOP: u64 = 120;

/// Translates a container.
pub(super) fn container(
    out: &mut Output,
    around: &Around<'_>,
    task: &Task<'_>,
    mounted: &mut Mounted,
    name: &Name,
    place: &Place,
) -> ContainerDefinition {
    let field = task.field.child("containers").child(name.as_str());
    let mut native = ContainerDefinition { name: name.to_string(), ..ContainerDefinition::default() };
    let Some(model) = task.template.containers.get(name) else { return native };
    let Container {
        image,
        command,
        entrypoint,
        user,
        workdir,
        env: _,
        env_files: _,
        files,
        secrets: _,
        secret_files,
        ports,
        health,
        essential,
        depends_on,
        start_timeout,
        cpu: _,
        memory: _,
        gpu: _,
        volumes,
        ulimits,
        capabilities,
        read_only_root,
        privileged,
        sysctls,
        init,
        tty,
        stop_signal,
        stop_grace,
        restart,
        pull,
        registry_credentials,
        logging: log,
    } = model;
    native.image = image.to_string();
    out.map(field.child("image"), &[&place.child("image")]);
    native.entry_point = environment::words(
        out,
        around,
        task,
        (&field.child("entrypoint"), &place.child("entryPoint")),
        entrypoint.as_deref(),
    );
    native.command = environment::words(
        out,
        around,
        task,
        (&field.child("command"), &place.child("command")),
        command.as_deref(),
    );
    native.user = user.as_ref().map(ToString::to_string);
    native.working_directory = workdir.as_ref().map(ToString::to_string);
    native.pseudo_terminal = tty.then_some(true);
    for (given, key, path) in [
        (user.is_some(), "user", "user"),
        (workdir.is_some(), "workdir", "workingDirectory"),
        (true, "tty", "pseudoTerminal"),
    ] {
        if given {
            out.map(field.child(key), &[&place.child(path)]);
        }
    }
    native.environment = list(environment::variables(out, around, task, (&field, place), model));
    native.secrets = list(secret::variables(out, around, task, (&field, place), model));
    refuse_files(out, &field, files, secret_files);
    native.port_mappings = list(port_mappings(out, task, (&field, place), ports));
    native.health_check = health::container(out, task, (&field, place), (name, model), health.as_ref());
    native.essential = task.template.is_essential(name.as_str());
    if essential.is_some() {
        out.map(field.child("essential"), &[&place.child("essential")]);
    }
    native.depends_on = list(dependencies(out, task, (&field, place), depends_on));
    if let Some(limit) = start_timeout {
        native.start_timeout = Some(seconds(out, task, &field.child("start_timeout"), *limit, 2));
        out.map(field.child("start_timeout"), &[&place.child("startTimeout")]);
    }
    resources::container(out, task, (&field, place), model, &mut native);
    native.mount_points =
        list(mounted.mounts(out, around, task, (&field, place), volumes, &mut native.linux_parameters));
    native.ulimits =
        list(limits(out, task, (&field, place), ulimits.iter().map(|(name, limit)| (name.as_str(), limit))));
    linux(out, task, (&field, place), (capabilities.as_ref(), *init), &mut native.linux_parameters);
    native.readonly_root_filesystem = read_only_root.then_some(true);
    native.privileged = privileged.then_some(true);
    out.map(field.child("read_only_root"), &[&place.child("readonlyRootFilesystem")]);
    out.map(field.child("privileged"), &[&place.child("privileged")]);
    if *privileged && task.compute.is_fargate() {
        let message = "Fargate allows no privileged container";
        out.blocked(
            "ecs/privileged",
            field.child("privileged"),
            message,
            "`ecs: {launch: ec2}` on this service",
        );
    }
    native.system_controls = list(controls(
        out,
        task,
        (&field, place),
        sysctls.iter().map(|(key, value)| (key.as_str(), value.as_str())),
    ));
    if stop_signal.is_some() {
        let message = "the signal of the image is used, SIGTERM if it has none: ECS sets no other";
        out.ignored("ecs/stop-signal", field.child("stop_signal"), message);
    }
    let grace = stop_grace.unwrap_or(task.template.stop.grace);
    let grace_field = if stop_grace.is_some() {
        field.child("stop_grace")
    } else {
        task.field.child("stop").child("grace")
    };
    native.stop_timeout = Some(seconds(out, task, &grace_field, grace, 2));
    if stop_grace.is_some() {
        out.map(field.child("stop_grace"), &[&place.child("stopTimeout")]);
    }
    native.restart_policy = restarting(out, &field, place, restart.as_ref());
    pulling(out, task, &field, *pull);
    if let Some(reference) = registry_credentials {
        let field = field.child("registry_credentials");
        if let Some(parameter) = secret::registry(out, around, &field, reference) {
            out.map(field, &[&place.child("repositoryCredentials").child("credentialsParameter")]);
            native.repository_credentials = Some(RepositoryCredentials { credentials_parameter: parameter });
        }
    }
    native.log_configuration = logging::container(out, around, task, (&field, place), log.as_ref());
    for (key, value) in &task.template.labels {
        let field = task.field.child("labels").child(key.as_str());
        out.map(field, &[&place.child("dockerLabels").child(key.as_str())]);
        native.docker_labels.insert(key.to_string(), value.clone());
    }
    native
}

/// ECS has no files for containers.
fn refuse_files(
    out: &mut Output,
    field: &FieldPath,
    files: &BTreeMap<AbsolutePath, ConfigFile>,
    secret_files: &BTreeMap<AbsolutePath, Secret>,
) {
    for (path, ConfigFile { content, source, mode }) in files {
        let field = field.child("files").child(path.as_str());
        for (given, key) in [(content.is_some(), "content"), (source.is_some(), "source")] {
            if given {
                let fix = "put it into the image, or hand its content over as a variable (`env`)";
                out.blocked("ecs/config-files", field.child(key), "ECS shows no files to containers", fix);
            }
        }
        if *mode != FileMode::DEFAULT {
            out.ignored("ecs/config-files", field.child("mode"), "there is no file");
        }
    }
    for (path, Secret { from: _, local }) in secret_files {
        let field = field.child("secret_files").child(path.as_str());
        let fix = "use `secrets`, and let the program read the variable";
        out.blocked("ecs/secret-files", field.child("from"), "ECS hands secrets over as variables only", fix);
        if local.is_some() {
            out.elsewhere("ecs/secret-files", field.child("local"), "it is for a local engine");
        }
    }
}

fn port_mappings(
    out: &mut Output,
    task: &Task<'_>,
    (field, place): (&FieldPath, &Place),
    ports: &[ContainerPort],
) -> Vec<PortMapping> {
    let mut native: Vec<PortMapping> = Vec::new();
    for (at, ContainerPort { name, port, protocol }) in ports.iter().enumerate() {
        let field = field.child("ports").index(at);
        let place = place.child("portMappings").index(at);
        out.map(field.child("port"), &[&place.child("containerPort")]);
        out.map(field.child("protocol"), &[&place.child("protocol")]);
        if name.is_some() {
            out.map(field.child("name"), &[&place.child("name")]);
        }
        let protocol = match protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        if native.iter().any(|other| other.container_port == port.number() && other.protocol != protocol) {
            let message = format!("ECS takes port {port} once in a container, not for both protocols");
            out.blocked("ecs/ports", field.child("port"), message, "give one of them another number");
        }
        native.push(PortMapping {
            container_port: port.number(),
            protocol: protocol.to_owned(),
            name: Some(
                name.as_ref().map_or_else(
                    || format!("{protocol}-{}", port.number()),
                    |name| names::port(name.as_str()),
                ),
            ),
        });
    }
    if task.compute.network == super::launch::NetworkMode::None && !native.is_empty() {
        let message = "a task without a network has no ports";
        out.blocked(
            "ecs/ports",
            field.child("ports"),
            message,
            "leave them out, or choose another `network_mode`",
        );
    }
    native
}

fn dependencies(
    out: &mut Output,
    task: &Task<'_>,
    (field, place): (&FieldPath, &Place),
    model: &BTreeMap<Name, Condition>,
) -> Vec<Dependency> {
    let mut native = Vec::new();
    for (at, (name, condition)) in model.iter().enumerate() {
        let field = field.child("depends_on").child(name.as_str());
        out.map(field.clone(), &[&place.child("dependsOn").index(at).child("condition")]);
        let has_check = task
            .template
            .containers
            .get(name)
            .and_then(|other| other.health.as_ref())
            .is_some_and(|health| health.probe.exec.is_some());
        if *condition == Condition::Healthy && !has_check {
            let message = format!("ECS knows whether `{name}` is healthy by a command inside it only");
            out.blocked("ecs/health", field, message, "add `exec` to its `health`");
        }
        native.push(Dependency {
            container_name: name.to_string(),
            condition: match condition {
                Condition::Complete => "COMPLETE",
                Condition::Healthy => "HEALTHY",
                Condition::Start => "START",
                Condition::Success => "SUCCESS",
            }
            .to_owned(),
        });
    }
    native
}

/// Returns a time in whole seconds, within what ECS takes.
fn seconds(out: &mut Output, task: &Task<'_>, field: &FieldPath, time: Timespan, least: u64) -> u64 {
    let asked = time.millis().div_ceil(1000);
    let most = if task.compute.launch == Launch::Fargate { MAX_STOP } else { u64::MAX };
    let native = asked.clamp(if most == MAX_STOP { least } else { 1 }, most);
    if native * 1000 != time.millis() {
        let finding = straddle_core::finding::Finding::new(
            straddle_core::finding::FindingKind::Adapted,
            "ecs/seconds",
            field.clone(),
            if asked > most { "Fargate gives no more" } else { "ECS counts whole seconds" },
        );
        let finding = finding.with_change(time, format!("{native}s"));
        if !out.findings.contains(&finding) {
            out.push(finding);
        }
    }
    native
}

fn limits<'a>(
    out: &mut Output,
    task: &Task<'_>,
    (field, place): (&FieldPath, &Place),
    model: impl Iterator<Item = (&'a str, &'a Ulimit)>,
) -> Vec<NativeUlimit> {
    let mut native = Vec::new();
    for (at, (name, Ulimit { soft, hard })) in model.enumerate() {
        let field = field.child("ulimits").child(name);
        let place = place.child("ulimits").index(at);
        out.map(field.child("soft"), &[&place.child("softLimit")]);
        out.map(field.child("hard"), &[&place.child("hardLimit")]);
        if task.compute.is_fargate() && name != "nofile" {
            let message = "Fargate changes the limit of open files (`nofile`) only";
            out.blocked("ecs/ulimits", field.clone(), message, "leave it out, or use `ecs: {launch: ec2}`");
        }
        // The wire has 32 bits.
        let most = u64::try_from(i32::MAX).unwrap_or(u64::MAX);
        if *soft > most || *hard > most {
            out.blocked("ecs/ulimits", field, "ECS takes no limit this high", "write at most 2147483647");
        }
        native.push(NativeUlimit { name: name.to_owned(), soft_limit: *soft, hard_limit: *hard });
    }
    native
}

fn linux(
    out: &mut Output,
    task: &Task<'_>,
    (field, place): (&FieldPath, &Place),
    (capabilities, init): (Option<&Capabilities>, bool),
    native: &mut Option<LinuxParameters>,
) {
    let place = place.child("linuxParameters");
    out.map(field.child("init"), &[&place.child("initProcessEnabled")]);
    if init {
        native.get_or_insert_default().init_process_enabled = Some(true);
    }
    let Some(Capabilities { add, drop }) = capabilities else { return };
    let (field, place) = (field.child("capabilities"), place.child("capabilities"));
    out.map_items(&field.child("add"), add.len(), &place.child("add"));
    out.map_items(&field.child("drop"), drop.len(), &place.child("drop"));
    for (at, capability) in add.iter().enumerate() {
        if task.compute.is_fargate() && capability.to_string() != "SYS_PTRACE" {
            let message = format!("Fargate adds no capability but SYS_PTRACE, and not {capability}");
            out.blocked(
                "ecs/capabilities",
                field.child("add").index(at),
                message,
                "`ecs: {launch: ec2}` on this service",
            );
        }
    }
    let words =
        |all: &[straddle_core::units::Capability]| list(all.iter().map(ToString::to_string).collect());
    let made = KernelCapabilities { add: words(add), drop: words(drop) };
    if made != KernelCapabilities::default() {
        native.get_or_insert_default().capabilities = Some(made);
    }
}

fn controls<'a>(
    out: &mut Output,
    task: &Task<'_>,
    (field, place): (&FieldPath, &Place),
    model: impl Iterator<Item = (&'a str, &'a str)>,
) -> Vec<SystemControl> {
    let mut native = Vec::new();
    for (at, (key, value)) in model.enumerate() {
        let field = field.child("sysctls").child(key);
        out.map(field.clone(), &[&place.child("systemControls").index(at).child("value")]);
        if task.compute.is_windows {
            out.blocked("ecs/windows", field, "Windows has no kernel parameters of Linux", "leave it out");
        } else if task.compute.network == super::launch::NetworkMode::Host && key.starts_with("net.") {
            let message = "a task in the network of its instance sets none of its parameters";
            out.blocked("ecs/sysctls", field, message, "set it on the instance");
        }
        native.push(SystemControl { namespace: key.to_owned(), value: value.to_owned() });
    }
    native
}

fn restarting(
    out: &mut Output,
    field: &FieldPath,
    place: &Place,
    restart: Option<&Restart>,
) -> Option<RestartPolicy> {
    let Restart { on, ignored_exit_codes, after_running } = restart?;
    let (field, place) = (field.child("restart"), place.child("restartPolicy"));
    out.map(field.child("on"), &[&place.child("enabled"), &place.child("ignoredExitCodes")]);
    out.map_items(
        &field.child("ignored_exit_codes"),
        ignored_exit_codes.len(),
        &place.child("ignoredExitCodes"),
    );
    if after_running.is_some() {
        out.map(field.child("after_running"), &[&place.child("restartAttemptPeriod")]);
    }
    let mut ignored = ignored_exit_codes.clone();
    if *on == RestartMode::OnFailure && !ignored.contains(&0) {
        ignored.insert(0, 0);
    }
    let period = after_running.map(|time| {
        let seconds = time.millis().div_ceil(1000).clamp(60, 1800);
        if seconds * 1000 != time.millis() {
            let finding = straddle_core::finding::Finding::new(
                straddle_core::finding::FindingKind::Adapted,
                "ecs/restart-period",
                field.child("after_running"),
                "ECS takes 60 s to 30 min",
            );
            out.push(finding.with_change(time, format!("{seconds}s")));
        }
        seconds
    });
    if *on == RestartMode::Never {
        for at in 0..ignored_exit_codes.len() {
            out.ignored(
                "ecs/restart",
                field.child("ignored_exit_codes").index(at),
                "it is never restarted in place",
            );
        }
        if after_running.is_some() {
            out.ignored("ecs/restart", field.child("after_running"), "it is never restarted in place");
        }
        return None;
    }
    Some(RestartPolicy { enabled: true, ignored_exit_codes: list(ignored), restart_attempt_period: period })
}

/// When an image is pulled is a setting of the agent.
fn pulling(out: &mut Output, task: &Task<'_>, field: &FieldPath, pull: PullPolicy) {
    let field = field.child("pull");
    out.map(field.clone(), &[]);
    match (pull, task.compute.has_instances()) {
        (PullPolicy::IfMissing, _) => {}
        (PullPolicy::Always, false) => {
            out.ignored("ecs/pull", field, "each task pulls its own images there anyway");
        }
        (PullPolicy::Always, true) => out.adapted(
            "ecs/pull",
            field,
            "the agent decides: ECS_IMAGE_PULL_BEHAVIOR of the instance is to be `always`, or left as it is",
        ),
        (PullPolicy::Never, true) => out.adapted(
            "ecs/pull",
            field,
            "the agent decides: ECS_IMAGE_PULL_BEHAVIOR of the instance is to be `prefer-cached`",
        ),
        (PullPolicy::Never, false) => out.blocked(
            "ecs/pull",
            field,
            format!("{} keeps no images: each task pulls its own", task.compute.launch),
            "leave `pull` out, or use `ecs: {launch: ec2}`",
        ),
    }
}
