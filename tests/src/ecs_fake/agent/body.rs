//! What the engine is asked for, for a container of a task.

use serde_json::{Map, Value, json};

use crate::ecs_fake::value::{Doc, without_nulls};

/// What a container is made of beside its definition.
pub(super) struct Surroundings<'a> {
    pub(super) definition: &'a Value,
    /// What the call that started the task changes of the container.
    pub(super) overrides: &'a Value,
    pub(super) image: &'a str,
    /// The container that holds the network.
    pub(super) pause: &'a str,
    /// The file that is `/etc/hosts`.
    pub(super) hosts: &'a str,
    pub(super) labels: Value,
    /// Names and values.
    pub(super) secrets: Vec<(String, String)>,
    /// Volumes by their names in the definition, as the engine knows them.
    pub(super) volumes: &'a Map<String, Value>,
    /// Ids of other containers by their names.
    pub(super) others: &'a std::collections::BTreeMap<String, String>,
    pub(super) region: &'a str,
    pub(super) is_fargate: bool,
    pub(super) pace: f64,
}

const MIB: i64 = 1024 * 1024;

pub(super) fn container(container: &Value, around: &Surroundings<'_>) -> Value {
    let overridden = |key: &str| around.overrides.given(key).or_else(|| container.given(key)).cloned();
    without_nulls(json!({
        "Image": around.image,
        "User": container.text("user"),
        "Env": environment(container, around),
        "Cmd": overridden("command"),
        "Entrypoint": container.given("entryPoint"),
        "WorkingDir": container.text("workingDirectory"),
        "Labels": labels(container, &around.labels),
        "Healthcheck": check(container, around.pace),
        "Tty": container.flag("pseudoTerminal"),
        "OpenStdin": container.flag("interactive"),
        "HostConfig": host(container, around),
    }))
}

fn labels(container: &Value, own: &Value) -> Value {
    let mut labels = container.get("dockerLabels").and_then(Value::as_object).cloned().unwrap_or_default();
    labels.extend(own.as_object().cloned().unwrap_or_default());
    Value::Object(labels)
}

/// Returns variables: of the engine's own, of the definition, secrets, and what the call says.
fn environment(container: &Value, around: &Surroundings<'_>) -> Vec<String> {
    let mut all: Vec<(String, String)> = [
        ("AWS_EXECUTION_ENV", if around.is_fargate { "AWS_ECS_FARGATE" } else { "AWS_ECS_EC2" }),
        ("AWS_REGION", around.region),
        ("AWS_DEFAULT_REGION", around.region),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .to_vec();
    let pairs = |from: &Value| -> Vec<(String, String)> {
        let pair = |one: &Value| {
            Some((one.text("name")?.to_owned(), one.text("value").unwrap_or_default().to_owned()))
        };
        from.list("environment").iter().filter_map(pair).collect()
    };
    for (key, value) in
        pairs(container).into_iter().chain(around.secrets.clone()).chain(pairs(around.overrides))
    {
        all.retain(|(other, _)| *other != key);
        all.push((key, value));
    }
    all.into_iter().map(|(key, value)| format!("{key}={value}")).collect()
}

/// Returns the health check: that of the image does not count.
fn check(container: &Value, pace: f64) -> Value {
    let Some(check) = container.given("healthCheck") else { return json!({ "Test": ["NONE"] }) };
    let nanos = |key: &str, pace: f64| {
        let seconds = check.number(key).and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(0);
        let nanos = std::time::Duration::from_secs(1).mul_f64(f64::from(seconds) * pace).as_nanos();
        i64::try_from(nanos).unwrap_or(i64::MAX)
    };
    json!({
        "Test": check["command"],
        "Interval": nanos("interval", pace),
        "Timeout": nanos("timeout", 1.0),
        "Retries": check["retries"],
        "StartPeriod": nanos("startPeriod", 1.0),
    })
}

fn host(container: &Value, around: &Surroundings<'_>) -> Value {
    let overridden = |key: &str| around.overrides.number(key).or_else(|| container.number(key));
    let of_task = |key: &str| around.definition.text(key).and_then(|text| text.parse::<i64>().ok());
    let linux = container.get("linuxParameters").cloned().unwrap_or_default();
    let capabilities = linux.get("capabilities").cloned().unwrap_or_default();
    let memory = overridden("memory").or_else(|| of_task("memory")).map(|memory| memory * MIB);
    let pid = around.definition.text("pidMode").map(|mode| match mode {
        "task" => format!("container:{}", around.pause),
        other => other.to_owned(),
    });
    without_nulls(json!({
        "NetworkMode": format!("container:{}", around.pause),
        "PidMode": pid,
        "Memory": memory,
        // There is no swapping.
        "MemorySwap": memory,
        "MemoryReservation": overridden("memoryReservation").map(|memory| memory * MIB),
        "NanoCpus": of_task("cpu").map(|units| units * 1_000_000_000 / 1024),
        "CpuShares": container.number("cpu").filter(|shares| *shares > 0).map(|shares| shares.max(2)),
        "Ulimits": ulimits(container),
        "ReadonlyRootfs": container.flag("readonlyRootFilesystem"),
        "Privileged": container.flag("privileged"),
        "CapAdd": capabilities.list("add"),
        "CapDrop": capabilities.list("drop"),
        "Init": linux.flag("initProcessEnabled"),
        "ShmSize": linux.number("sharedMemorySize").map(|size| size * MIB),
        "Tmpfs": tmpfs(&linux),
        "Sysctls": sysctls(container.list("systemControls"), false),
        "Binds": binds(container, around),
        "VolumesFrom": volumes_from(container, around),
        "LogConfig": { "Type": "json-file" },
    }))
}

/// Returns limits of the kernel. Those that Fargate sets by itself may be more than this machine allows.
fn ulimits(container: &Value) -> Value {
    let all = container.list("ulimits").iter();
    all.map(|one| json!({ "Name": one["name"], "Soft": one["softLimit"], "Hard": one["hardLimit"] }))
        .collect()
}

fn tmpfs(linux: &Value) -> Value {
    let one = |mount: &Value| {
        let mut options = vec![format!("size={}m", mount.number("size").unwrap_or(1))];
        options.extend(mount.texts("mountOptions"));
        Some((mount.text("containerPath")?.to_owned(), json!(options.join(","))))
    };
    Value::Object(linux.list("tmpfs").iter().filter_map(one).collect())
}

/// Returns settings of the kernel: those of the network, or all others.
pub(super) fn sysctls(controls: &[Value], of_network: bool) -> Value {
    let pair = |one: &Value| Some((one.text("namespace")?.to_owned(), one.get("value")?.clone()));
    let all = controls.iter().filter_map(pair).filter(|(name, _)| name.starts_with("net.") == of_network);
    Value::Object(all.collect())
}

fn binds(container: &Value, around: &Surroundings<'_>) -> Value {
    let mut all = vec![format!("{}:/etc/hosts", around.hosts)];
    for mount in container.list("mountPoints") {
        let source =
            around.volumes.get(mount.text("sourceVolume").unwrap_or_default()).and_then(Value::as_str);
        let (Some(source), Some(path)) = (source, mount.text("containerPath")) else { continue };
        let suffix = if mount.flag("readOnly") { ":ro" } else { "" };
        all.push(format!("{source}:{path}{suffix}"));
    }
    json!(all)
}

fn volumes_from(container: &Value, around: &Surroundings<'_>) -> Value {
    let one = |from: &Value| {
        let id = around.others.get(from.text("sourceContainer")?)?;
        Some(format!("{id}:{}", if from.flag("readOnly") { "ro" } else { "rw" }))
    };
    container.list("volumesFrom").iter().filter_map(one).collect()
}

/// Returns the name of a volume on the engine, or the folder that it is, and whether it ends with its task.
pub(super) fn volume(volume: &Value, instance: &str, task: &str) -> (String, bool) {
    let name = volume.text("name").unwrap_or_default();
    if let Some(path) = volume.get("host").and_then(|host| host.text("sourcePath")) {
        return (path.to_owned(), false);
    }
    if let Some(efs) = volume.given("efsVolumeConfiguration") {
        let point = efs.get("authorizationConfig").and_then(|one| one.text("accessPointId"));
        let place = point.or_else(|| efs.text("rootDirectory")).unwrap_or("/");
        let plain: String =
            place.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect();
        return (
            format!("ecs-fake-{instance}-{}-{plain}", efs.text("fileSystemId").unwrap_or_default()),
            false,
        );
    }
    let scope = volume.get("dockerVolumeConfiguration").and_then(|one| one.text("scope"));
    if scope == Some("shared") {
        return (format!("ecs-fake-{instance}-shared-{name}"), false);
    }
    (format!("ecs-fake-{instance}-{}-{name}", &task[..12]), true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_of_a_file_system_are_everybodys() {
        let own = json!({ "name": "space" });
        assert_ne!(volume(&own, "1", "aaaaaaaaaaaa-"), volume(&own, "1", "bbbbbbbbbbbb-"));
        let efs = json!({ "name": "data", "efsVolumeConfiguration": { "fileSystemId": "fs-1", "rootDirectory": "/a/b" } });
        assert_eq!(volume(&efs, "1", "aaaaaaaaaaaa-"), ("ecs-fake-1-fs-1-_a_b".to_owned(), false));
    }
}
