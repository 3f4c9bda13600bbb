//! One container.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use straddle_core::{
    model::{
        Capabilities, Condition, ConfigFile, Container, ContainerPort, CpuAmount, LogMode, Logging,
        MemoryAmount, PullPolicy, Restart, RestartMode, TaskTemplate,
    },
    path::FieldPath,
    platform::{Output, Place},
    spec::Template,
    units::{EnvName, SecretRef, Timespan},
};

use super::{
    Around, health,
    mount::{self, Group},
    secret,
};
use crate::{
    client::body,
    document::{
        ConditionDocument, ContainerDocument, FileDocument, ImageSource, LoggingDocument, Pull,
        RestartDocument, UlimitDocument,
    },
    facts,
};

/// The shares of a whole CPU, as the kernel weighs them.
const SHARES: u64 = 1024;

/// The least memory that the engine limits a container to, in bytes: its runtime needs as much to start one.
const LEAST_MEMORY: u64 = 6 << 20;

/// Log drivers that stand for a service of a cloud, which a laptop has no business with.
const CLOUD_DRIVERS: [&str; 2] = ["awsfirelens", "awslogs"];

/// The places of a container: in the template, and beside it for what is no part of a revision.
pub(super) struct Places {
    pub(super) own: Place,
    pub(super) image: Place,
    pub(super) port_names: Place,
}

/// Translates a container; how its image is got comes second.
pub(super) fn container(
    out: &mut Output,
    around: &mut Around<'_>,
    group: &mut Group,
    (template, name): (&TaskTemplate, &str),
    (field, places): (&FieldPath, &Places),
) -> (ContainerDocument, ImageSource) {
    let mut document = ContainerDocument::default();
    let mut source = ImageSource::default();
    let Some(model) = template.containers.get(name) else { return (document, source) };
    let Container {
        image,
        command,
        entrypoint,
        user,
        workdir,
        env,
        env_files,
        files,
        secrets,
        secret_files,
        ports,
        health,
        essential,
        depends_on,
        start_timeout,
        cpu,
        memory,
        gpu,
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
        logging,
    } = model;
    let own = &places.own;

    document.image = image.to_string();
    document.image_id = around.facts.text(&facts::image(image.as_str())).map(str::to_owned);
    out.map(field.child("image"), &[&own.child("image")]);
    document.command = words(out, around, &field.child("command"), &own.child("command"), command.as_deref());
    document.entrypoint =
        words(out, around, &field.child("entrypoint"), &own.child("entrypoint"), entrypoint.as_deref());
    document.user = user.as_ref().map(ToString::to_string);
    document.workdir = workdir.as_ref().map(ToString::to_string);
    document.gpu = gpu.map(i64::from);
    document.start_timeout_ms = start_timeout.map(Timespan::millis);
    document.stop_signal = stop_signal.as_ref().map(ToString::to_string);
    for (given, key, native) in [
        (user.is_some(), "user", "user"),
        (workdir.is_some(), "workdir", "workdir"),
        (gpu.is_some(), "gpu", "gpu"),
        (start_timeout.is_some(), "start_timeout", "start_timeout_ms"),
        (stop_signal.is_some(), "stop_signal", "stop_signal"),
        (stop_grace.is_some(), "stop_grace", "stop_grace_ms"),
        (essential.is_some(), "essential", "essential"),
        (true, "read_only_root", "read_only_root"),
        (true, "privileged", "privileged"),
        (true, "init", "init"),
        (true, "tty", "tty"),
    ] {
        if given {
            out.map(field.child(key), &[&own.child(native)]);
        }
    }
    document.essential = template.is_essential(name);
    (document.read_only_root, document.privileged, document.init, document.tty) =
        (*read_only_root, *privileged, *init, *tty);
    document.stop_grace_ms = stop_grace.unwrap_or(template.stop.grace).millis();

    for (at, file) in env_files.iter().enumerate() {
        out.map(field.child("env_files").index(at), &[&own.child("env")]);
        document.env.extend(file.entries().iter().cloned());
    }
    environment(out, around, field, own, env, &mut document);
    for (name, secret) in secrets {
        let path = field.child("secrets").child(name.as_str());
        if let Some(reference) =
            secret::secret(out, &path, &own.child("secrets").child(name.as_str()), secret)
        {
            document.env.remove(name.as_str());
            document.secrets.insert(name.to_string(), reference);
            out.adapted(
                "docker/secret-in-environment",
                path,
                "whoever may inspect containers on this engine sees its value",
            );
        }
    }
    for (at, file) in files {
        let (field, place) = (field.child("files").child(at.as_str()), own.child("files").child(at.as_str()));
        writable(out, &field, at.as_str(), *read_only_root);
        let file = config_file(out, around, &field, &place, file);
        document.files.insert(at.to_string(), file);
    }
    for (at, secret) in secret_files {
        let field = field.child("secret_files").child(at.as_str());
        writable(out, &field, at.as_str(), *read_only_root);
        if let Some(reference) =
            secret::secret(out, &field, &own.child("secret_files").child(at.as_str()), secret)
        {
            document.secret_files.insert(at.to_string(), reference);
        }
    }
    for (at, ContainerPort { name, port, protocol }) in ports.iter().enumerate() {
        let (field, place) = (field.child("ports").index(at), own.child("ports").index(at));
        out.map(field.child("port"), &[&place]);
        out.map(field.child("protocol"), &[&place]);
        if name.is_some() {
            out.map(field.child("name"), &[&places.port_names]);
        }
        document.ports.push(format!("{protocol}/{port}"));
    }
    if let Some(model_health) = health {
        document.health =
            health::health(out, &field.child("health"), &own.child("health"), model, model_health);
    }
    for (name, condition) in depends_on {
        out.map(
            field.child("depends_on").child(name.as_str()),
            &[&own.child("depends_on").child(name.as_str())],
        );
        document.depends_on.insert(name.to_string(), condition_of(*condition));
    }
    if let Some(CpuAmount { reservation, limit }) = cpu {
        let field = field.child("cpu");
        document.cpu_shares =
            reservation.and_then(|cpu| i64::try_from((cpu.nanos() * SHARES).div_ceil(1_000_000_000)).ok());
        document.nano_cpus = limit.and_then(|cpu| i64::try_from(cpu.nanos()).ok());
        out.map(field.child("reservation"), &[&own.child("cpu_shares")]);
        out.map(field.child("limit"), &[&own.child("nano_cpus")]);
    }
    if let Some(MemoryAmount { reservation, limit }) = memory {
        let field = field.child("memory");
        document.memory_reservation = reservation.and_then(|memory| i64::try_from(memory.bytes()).ok());
        document.memory = limit.and_then(|memory| i64::try_from(memory.bytes()).ok());
        out.map(field.child("reservation"), &[&own.child("memory_reservation")]);
        out.map(field.child("limit"), &[&own.child("memory")]);
        if limit.is_some_and(|limit| limit.bytes() < LEAST_MEMORY) {
            let message = "Docker starts no container with less than 6Mi";
            out.blocked("docker/least-memory", field.child("limit"), message, "write at least 6Mi");
        }
    }
    for (target, one) in volumes {
        let (field, place) =
            (field.child("volumes").child(target.as_str()), own.child("volumes").child(target.as_str()));
        if let Some(mounted) = mount::mount(out, around, group, &field, &place, one) {
            document.volumes.insert(target.to_string(), mounted);
        }
    }
    for (name, limit) in ulimits {
        let (field, place) =
            (field.child("ulimits").child(name.as_str()), own.child("ulimits").child(name.as_str()));
        out.map(field.child("soft"), &[&place.child("soft")]);
        out.map(field.child("hard"), &[&place.child("hard")]);
        let number = |limit: u64| i64::try_from(limit).unwrap_or(-1);
        document
            .ulimits
            .insert(name.to_string(), UlimitDocument { soft: number(limit.soft), hard: number(limit.hard) });
    }
    if let Some(Capabilities { add, drop }) = capabilities {
        let field = field.child("capabilities");
        document.cap_add = add.iter().map(ToString::to_string).collect();
        document.cap_drop = drop.iter().map(ToString::to_string).collect();
        out.map_items(&field.child("add"), add.len(), &own.child("cap_add"));
        out.map_items(&field.child("drop"), drop.len(), &own.child("cap_drop"));
    }
    for (name, value) in sysctls {
        let field = field.child("sysctls").child(name.as_str());
        // Those of the network belong to the container that owns it.
        if name.as_str().starts_with("net.") && !group.is_alone {
            out.map(field, &[&group.place.child("sysctls").child(name.as_str())]);
            group.sysctls.insert(name.to_string(), value.clone());
        } else {
            out.map(field, &[&own.child("sysctls").child(name.as_str())]);
            document.sysctls.insert(name.to_string(), value.clone());
        }
    }
    document.restart =
        restart_of(out, &field.child("restart"), &own.child("restart"), restart.as_ref(), document.essential);
    source.pull = match pull {
        PullPolicy::Always => Pull::Always,
        PullPolicy::IfMissing => Pull::IfMissing,
        PullPolicy::Never => Pull::Never,
    };
    out.map(field.child("pull"), &[&places.image.child("pull")]);
    if let Some(reference) = registry_credentials {
        let place = places.image.child("credentials");
        source.credentials = secret::reference(out, &field.child("registry_credentials"), &place, reference);
    }
    if let Some(model) = logging {
        document.logging = logging_of(out, &field.child("logging"), &own.child("logging"), model);
    }
    (document, source)
}

fn words(
    out: &mut Output,
    around: &Around<'_>,
    field: &FieldPath,
    place: &Place,
    words: Option<&[Template]>,
) -> Option<Vec<String>> {
    let words = words?;
    out.map_items(field, words.len(), place);
    Some(words.iter().enumerate().map(|(at, word)| around.fill(out, &field.index(at), word)).collect())
}

fn environment(
    out: &mut Output,
    around: &Around<'_>,
    field: &FieldPath,
    own: &Place,
    env: &std::collections::BTreeMap<EnvName, Template>,
    document: &mut ContainerDocument,
) {
    for (name, value) in env {
        let path = field.child("env").child(name.as_str());
        out.map(path.clone(), &[&own.child("env").child(name.as_str())]);
        let text = around.fill(out, &path, value);
        if let Some(service) = unreachable_name(around, &text) {
            let message = format!("`{service}` has no ports, so that its name does not resolve");
            out.adapted("docker/unresolvable-name", path, message);
        }
        document.env.insert(name.to_string(), text);
    }
}

/// Returns a service without ports that a URL names as its host.
fn unreachable_name<'a>(around: &'a Around<'_>, text: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?.split(':').next()?;
    let (name, service) = around.app.services.get_key_value(host)?;
    service.template.ports().next().is_none().then_some(name.as_str())
}

/// The engine cannot write into a root that is read-only, and a volume cannot stand in place of the root.
fn writable(out: &mut Output, field: &FieldPath, path: &str, read_only_root: bool) {
    if !read_only_root {
        return;
    }
    match body::parent(path) {
        None => {
            let message = "a file right under the root cannot be written where the root is read-only";
            out.blocked("docker/file-in-root", field.clone(), message, "put it into a folder");
        }
        Some(parent) => {
            let message = format!(
                "the container can write to {parent}: the file needs a volume there, as the root is read-only"
            );
            out.adapted("docker/writable-folder", field.clone(), message);
        }
    }
}

fn config_file(
    out: &mut Output,
    around: &Around<'_>,
    field: &FieldPath,
    place: &Place,
    file: &ConfigFile,
) -> FileDocument {
    let ConfigFile { content, source, mode } = file;
    let mut document = FileDocument { content: None, base64: None, mode: mode.to_string() };
    out.map(field.child("mode"), &[&place.child("mode")]);
    if let Some(text) = content {
        let path = field.child("content");
        out.map(path.clone(), &[&place.child("content")]);
        document.content = Some(around.fill(out, &path, text));
    }
    if let Some(file) = source {
        out.map(field.child("source"), &[&place.child("content"), &place.child("base64")]);
        match std::str::from_utf8(file.bytes()) {
            Ok(text) => document.content = Some(text.to_owned()),
            Err(_) => document.base64 = Some(BASE64_STANDARD.encode(file.bytes())),
        }
    }
    document
}

fn condition_of(condition: Condition) -> ConditionDocument {
    match condition {
        Condition::Complete => ConditionDocument::Complete,
        Condition::Healthy => ConditionDocument::Healthy,
        Condition::Start => ConditionDocument::Start,
        Condition::Success => ConditionDocument::Success,
    }
}

fn restart_of(
    out: &mut Output,
    field: &FieldPath,
    place: &Place,
    restart: Option<&Restart>,
    essential: bool,
) -> RestartDocument {
    let Some(Restart { on, ignored_exit_codes, after_running }) = restart else {
        // An essential container has to come back without anybody watching; what may end, ends.
        return if essential { RestartDocument::UnlessStopped } else { RestartDocument::No };
    };
    out.map(field.child("on"), &[place]);
    for at in 0..ignored_exit_codes.len() {
        let message = "Docker restarts whatever the exit code is, or never after 0";
        out.adapted("docker/restart-exit-codes", field.child("ignored_exit_codes").index(at), message);
    }
    if after_running.is_some() {
        let message = "Docker restarts at once, then waits longer each time, up to a minute";
        out.adapted("docker/restart-delay", field.child("after_running"), message);
    }
    match on {
        RestartMode::Always => RestartDocument::UnlessStopped,
        RestartMode::Never => RestartDocument::No,
        RestartMode::OnFailure => RestartDocument::OnFailure,
    }
}

fn logging_of(
    out: &mut Output,
    field: &FieldPath,
    place: &Place,
    logging: &Logging,
) -> Option<LoggingDocument> {
    let Logging { driver, mode, buffer, options, secret_options } = logging;
    let options_place = place.child("options");
    if let Some(cloud) = driver.as_deref().filter(|driver| CLOUD_DRIVERS.contains(driver)) {
        let message = format!("the engine's own driver is used: `{cloud}` needs the cloud");
        out.adapted("docker/log-driver", field.child("driver"), message);
        let leaves =
            [(mode.is_some(), "mode"), (buffer.is_some(), "buffer")].into_iter().filter(|(given, _)| *given);
        let mut fields: Vec<FieldPath> = leaves.map(|(_, key)| field.child(key)).collect();
        fields.extend(options.keys().map(|key| field.child("options").child(key.as_str())));
        fields.extend(secret_options.keys().map(|key| field.child("secret_options").child(key.as_str())));
        for field in fields {
            out.ignored("docker/log-driver", field, "it belongs to a driver that is not used here");
        }
        return None;
    }
    let mut document =
        LoggingDocument { driver: driver.clone(), options: options.clone(), ..LoggingDocument::default() };
    if driver.is_some() {
        out.map(field.child("driver"), &[&place.child("driver")]);
    }
    for key in options.keys() {
        out.map(field.child("options").child(key.as_str()), &[&options_place.child(key)]);
    }
    if let Some(mode) = mode {
        let mode = match mode {
            LogMode::Blocking => "blocking",
            LogMode::NonBlocking => "non-blocking",
        };
        out.map(field.child("mode"), &[&options_place.child("mode")]);
        document.options.insert("mode".to_owned(), mode.to_owned());
    }
    if let Some(buffer) = buffer {
        out.map(field.child("buffer"), &[&options_place.child("max-buffer-size")]);
        document.options.insert("max-buffer-size".to_owned(), buffer.bytes().to_string());
    }
    for (key, reference) in secret_options {
        let reference: &SecretRef = reference;
        let place = place.child("secret_options").child(key);
        if let Some(reference) =
            secret::reference(out, &field.child("secret_options").child(key.as_str()), &place, reference)
        {
            document.secret_options.insert(key.clone(), reference);
        }
    }
    Some(document)
}
