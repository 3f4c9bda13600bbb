//! One container.

use k8s_openapi::api::core::v1::{
    Capabilities as NativeCapabilities, Container as Native, ContainerPort as NativePort, Lifecycle,
    LifecycleHandler, SecurityContext, SleepAction,
};
use straddle_core::{
    model::{
        Capabilities, Container, ContainerPort, Logging, Protocol, PullPolicy, Restart, RestartMode,
        TaskTemplate, Ulimit,
    },
    path::FieldPath,
    platform::{Output, Place},
    units::{Timespan, User},
};

use super::{
    Around,
    depends::{Role, Spot},
    environment, health, object,
    pod::Pod,
    ports, resources,
    secret::{self, Use},
};
use crate::{facts, names};

/// Translates a container of a pod.
pub(super) fn container(
    out: &mut Output,
    around: &Around<'_>,
    pod: &mut Pod,
    (template, spot): (&TaskTemplate, &Spot<'_>),
    field: &FieldPath,
) -> Native {
    let place = &spot.place;
    let mut native = Native { name: names::object(spot.name), ..Native::default() };
    let Some(model) = template.containers.get(spot.name) else { return native };
    let Container {
        image,
        command,
        entrypoint,
        user,
        workdir,
        env: _,
        env_files: _,
        files: _,
        secrets: _,
        secret_files,
        ports,
        health,
        essential: _,
        depends_on: _,
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
        stop_grace: _,
        restart,
        pull,
        registry_credentials,
        logging,
    } = model;
    native.image = Some(match around.facts.text(&facts::image(image.as_str())) {
        Some(digest) if image.digest().is_none() => format!("{image}@{digest}"),
        _ => image.to_string(),
    });
    out.map(field.child("image"), &[&place.child("image")]);
    native.command = environment::words(
        out,
        around,
        &field.child("entrypoint"),
        &place.child("command"),
        entrypoint.as_deref(),
    );
    native.args =
        environment::words(out, around, &field.child("command"), &place.child("args"), command.as_deref());
    if spot.role == Role::Init && !spot.demand.success {
        forget_exit_code(&mut native);
    }
    if spot.role == Role::Sidecar {
        native.restart_policy = Some("Always".to_owned());
    }
    native.working_dir = workdir.as_ref().map(ToString::to_string);
    native.tty = tty.then_some(true);
    native.env = object::list(environment::variables(out, around, &pod.secrets, (field, place), model));
    native.ports = ports_of(out, pod, (field, place), ports);
    native.resources = resources::container(out, field, place, model);
    for (given, key, path) in [(workdir.is_some(), "workdir", "workingDir"), (true, "tty", "tty")] {
        if given {
            out.map(field.child(key), &[&place.child(path)]);
        }
    }
    let mut mounts = Vec::new();
    for (target, mount) in volumes {
        let field = field.child("volumes").child(target.as_str());
        let places = (&field, &place.child("volumeMounts"), &pod.spec.child("volumes"));
        mounts.push(pod.volumes.mount(out, around, places, target.as_str(), mount));
    }
    mounts.extend(pod.files.mounts(spot.name));
    for (at, model) in secret_files {
        let field = field.child("secret_files").child(at.as_str());
        let Some((name, key)) = pod.secrets.find(out, around, &field, model, Use::File) else { continue };
        let mut places = vec![place.child("volumeMounts"), pod.spec.child("volumes")];
        places.extend(pod.secrets.object(&name).map(Place::root));
        out.map(field.child("from"), &places.iter().collect::<Vec<_>>());
        mounts.push(pod.secret_volumes.mount(at.as_str(), &name, &key));
    }
    for key in model.files.keys() {
        out.map(field.child("files").child(key.as_str()), &[&place.child("volumeMounts")]);
    }
    native.volume_mounts = object::list(mounts);
    if let Some(model_health) = health {
        let checked = health::Checked {
            container: model,
            role: spot.role,
            demand: spot.demand,
            is_service: pod.is_service,
            place,
        };
        let probes = health::health(out, &field.child("health"), &checked, model_health);
        (native.startup_probe, native.readiness_probe, native.liveness_probe) =
            (probes.startup, probes.readiness, probes.liveness);
    }
    if let Some(limit) = start_timeout {
        started_within(out, &field.child("start_timeout"), *limit, spot, &mut native);
    }
    native.security_context =
        security(out, field, place, (user.as_ref(), capabilities.as_ref()), (*read_only_root, *privileged));
    for (name, value) in sysctls {
        pod.sysctl(out, &field.child("sysctls").child(name.as_str()), name.as_str(), value);
    }
    if *init {
        let message =
            "no init process is added: an image that starts processes and leaves them needs its own";
        out.adapted("kubernetes/init", field.child("init"), message);
    }
    if stop_signal.is_some() {
        let message = "the signal of the image is used, SIGTERM if it has none: only an alpha feature of Kubernetes sets another";
        out.ignored("kubernetes/stop-signal", field.child("stop_signal"), message);
    }
    let drains = pod.is_service && !ports.is_empty() && spot.role != Role::Init;
    native.lifecycle = drains.then(|| draining(template.stop.drain)).flatten();
    for (name, Ulimit { soft: _, hard: _ }) in ulimits {
        for key in ["soft", "hard"] {
            let field = field.child("ulimits").child(name.as_str()).child(key);
            out.ignored("kubernetes/ulimits", field, "the limits of the node hold: Kubernetes sets none");
        }
    }
    let is_essential = template.is_essential(spot.name);
    restarted(out, &field.child("restart"), restart.as_ref(), spot.role, (pod.is_service, is_essential));
    native.image_pull_policy = Some(
        match pull {
            PullPolicy::Always => "Always",
            PullPolicy::IfMissing => "IfNotPresent",
            PullPolicy::Never => "Never",
        }
        .to_owned(),
    );
    out.map(field.child("pull"), &[&place.child("imagePullPolicy")]);
    if let Some(reference) = registry_credentials {
        let field = field.child("registry_credentials");
        if let Some(name) = secret::pull(out, &field, reference) {
            out.map(field, &[&pod.spec.child("imagePullSecrets")]);
            pod.pull_secrets.insert(name);
        }
    }
    if let Some(model) = logging {
        logged(out, &field.child("logging"), model);
    }
    native
}

/// Runs the command in a shell that succeeds whatever the command does.
fn forget_exit_code(native: &mut Native) {
    let Some(entrypoint) = native.command.take() else { return };
    let mut command = ["/bin/sh", "-c", "\"$@\" || true", "sh"].map(str::to_owned).to_vec();
    command.extend(entrypoint);
    native.command = Some(command);
}

fn ports_of(
    out: &mut Output,
    pod: &Pod,
    (field, place): (&FieldPath, &Place),
    model: &[ContainerPort],
) -> Option<Vec<NativePort>> {
    let mut native = Vec::new();
    for (at, ContainerPort { name, port, protocol }) in model.iter().enumerate() {
        let field = field.child("ports").index(at);
        let place = place.child("ports").index(at);
        out.map(field.child("port"), &[&place.child("containerPort")]);
        out.map(field.child("protocol"), &[&place.child("protocol")]);
        if name.is_some() {
            out.map(field.child("name"), &[&place.child("name")]);
        }
        native.push(NativePort {
            name: pod.port_names.get(&(port.number(), *protocol == Protocol::Udp)).cloned(),
            container_port: i32::from(port.number()),
            protocol: Some(ports::protocol(*protocol).to_owned()),
            ..NativePort::default()
        });
    }
    object::list(native)
}

/// A replica keeps its open connections while others learn that it goes.
fn draining(drain: Timespan) -> Option<Lifecycle> {
    let seconds = i64::try_from(drain.seconds()).ok().filter(|seconds| *seconds > 0)?;
    Some(Lifecycle {
        pre_stop: Some(LifecycleHandler {
            sleep: Some(SleepAction { seconds }),
            ..LifecycleHandler::default()
        }),
        ..Lifecycle::default()
    })
}

fn security(
    out: &mut Output,
    field: &FieldPath,
    place: &Place,
    (user, capabilities): (Option<&User>, Option<&Capabilities>),
    (read_only_root, privileged): (bool, bool),
) -> Option<SecurityContext> {
    let place = place.child("securityContext");
    let mut security = SecurityContext {
        read_only_root_filesystem: read_only_root.then_some(true),
        privileged: privileged.then_some(true),
        ..SecurityContext::default()
    };
    for (key, native) in [("read_only_root", "readOnlyRootFilesystem"), ("privileged", "privileged")] {
        out.map(field.child(key), &[&place.child(native)]);
    }
    if let Some(user) = user {
        out.map(field.child("user"), &[&place.child("runAsUser"), &place.child("runAsGroup")]);
        match user.ids() {
            Some((user, group)) => {
                security.run_as_user = Some(user.into());
                security.run_as_group = group.map(Into::into);
            }
            None => {
                let message = "Kubernetes knows users by their numbers only";
                out.blocked(
                    "kubernetes/user-name",
                    field.child("user"),
                    message,
                    "write the numbers: `1000:1000`",
                );
            }
        }
    }
    if let Some(Capabilities { add, drop }) = capabilities {
        let (field, place) = (field.child("capabilities"), place.child("capabilities"));
        out.map_items(&field.child("add"), add.len(), &place.child("add"));
        out.map_items(&field.child("drop"), drop.len(), &place.child("drop"));
        let words = |list: &[straddle_core::units::Capability]| {
            object::list(list.iter().map(ToString::to_string).collect())
        };
        let native = NativeCapabilities { add: words(add), drop: words(drop) };
        security.capabilities = (native != NativeCapabilities::default()).then_some(native);
    }
    (security != SecurityContext::default()).then_some(security)
}

/// A container that is not healthy in its time is started anew, where others wait for its health; their waiting itself has no end.
fn started_within(
    out: &mut Output,
    field: &FieldPath,
    limit: Timespan,
    spot: &Spot<'_>,
    native: &mut Native,
) {
    const CODE: &str = "kubernetes/start-timeout";
    match &mut native.startup_probe {
        Some(probe) if spot.role == Role::Sidecar && spot.demand.healthy => {
            let period = u64::try_from(probe.period_seconds.unwrap_or(10)).unwrap_or(1).max(1);
            let checks = object::number(limit.millis().div_ceil(period * 1000).max(1));
            probe.failure_threshold = Some(probe.failure_threshold.map_or(checks, |own| own.min(checks)));
            out.map(field.clone(), &[&spot.place.child("startupProbe").child("failureThreshold")]);
            let message =
                "it is started anew when it is not healthy by then; a rollout gives up the third time";
            out.adapted(CODE, field.clone(), message);
        }
        _ => {
            let message =
                "others wait as long as it takes: the rollout's deadline or the task's timeout ends it";
            out.adapted(CODE, field.clone(), message);
        }
    }
}

/// A pod of a service restarts its containers after every exit, a run of a task none.
fn restarted(
    out: &mut Output,
    field: &FieldPath,
    restart: Option<&Restart>,
    role: Role,
    (is_service, is_essential): (bool, bool),
) {
    let Some(Restart { on, ignored_exit_codes, after_running }) = restart else { return };
    const CODE: &str = "kubernetes/restart";
    let always = role == Role::Sidecar || (role == Role::Main && is_service);
    let path = field.child("on");
    out.map(path.clone(), &[]);
    match (on, always) {
        (RestartMode::Always, true) => {}
        (RestartMode::Never, false) if !is_service => {}
        (RestartMode::OnFailure, false) if is_service => {}
        // A pod counts as ready only while each of its containers runs, sidecars included.
        (RestartMode::Never, true) if is_service && !is_essential => {
            let message =
                "it is restarted after every exit, and its pod gets no traffic while it does not run";
            let fix = "leave `restart` out where it only ends by accident, or let another container wait for its success, before which nothing else starts";
            out.blocked("kubernetes/ending-container", path, message, fix);
        }
        (_, true) => out.adapted(CODE, path, "it is restarted after every exit"),
        (_, false) if is_service => out.adapted(CODE, path, "it is restarted until it succeeds"),
        (_, false) => out.adapted(CODE, path, "a run that fails is tried anew as a whole: see `attempts`"),
    }
    for at in 0..ignored_exit_codes.len() {
        let message = "Kubernetes restarts whatever the exit code is";
        out.adapted("kubernetes/restart-exit-codes", field.child("ignored_exit_codes").index(at), message);
    }
    if after_running.is_some() {
        let message = "Kubernetes restarts at once, then waits longer each time, up to five minutes";
        out.adapted("kubernetes/restart-delay", field.child("after_running"), message);
    }
}

/// Output of containers is read from the node, by whatever the cluster has for it.
fn logged(out: &mut Output, field: &FieldPath, logging: &Logging) {
    const CODE: &str = "kubernetes/log-driver";
    let Logging { driver, mode, buffer, options, secret_options } = logging;
    if driver.is_some() {
        let message = "the node keeps the output, and what the cluster has for it takes it from there";
        out.adapted(CODE, field.child("driver"), message);
    }
    let leaves =
        [(mode.is_some(), "mode"), (buffer.is_some(), "buffer")].into_iter().filter(|(given, _)| *given);
    let mut fields: Vec<FieldPath> = leaves.map(|(_, key)| field.child(key)).collect();
    fields.extend(options.keys().map(|key| field.child("options").child(key.as_str())));
    fields.extend(secret_options.keys().map(|key| field.child("secret_options").child(key.as_str())));
    for field in fields {
        out.ignored(CODE, field, "it belongs to a driver, and containers have none here");
    }
}
