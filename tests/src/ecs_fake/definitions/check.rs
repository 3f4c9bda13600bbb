//! What makes a task definition, and on which compute.

use std::collections::BTreeSet;

use serde_json::Value;

use super::sizes;
use crate::ecs_fake::{
    state::doubles,
    value::{Doc, Done, Fail},
};

const LOG_DRIVERS: [&str; 8] =
    ["awsfirelens", "awslogs", "fluentd", "gelf", "journald", "json-file", "splunk", "syslog"];

/// Demands something of a definition.
macro_rules! demand {
    ($condition:expr, $($why:tt)+) => {
        if !$condition {
            return Err(Fail::client(format!($($why)+)));
        }
    };
}

pub(super) fn definition(definition: &Value) -> Done<()> {
    let family = definition.text("family").unwrap_or_default();
    demand!(!family.is_empty(), "Family must be provided.");
    demand!(is_name(family), "Family contains invalid characters: {family}");
    let containers = definition.list("containerDefinitions");
    demand!(!containers.is_empty(), "Container definitions should not be null or empty.");
    demand!(containers.len() <= 10, "Too many container definitions: at most 10 are allowed.");
    demand!(
        definition.to_string().len() <= 64 * 1024,
        "Actual length of the task definition exceeds the limit of 64 KB."
    );
    let network = definition.text("networkMode").unwrap_or("bridge");
    demand!(["awsvpc", "bridge", "host", "none"].contains(&network), "Invalid networkMode: {network}");
    let names = containers.iter().filter_map(|container| container.text("name"));
    let twice = doubles(names);
    demand!(twice.is_empty(), "Container names must be unique: {}", twice.join(", "));
    demand!(
        containers.iter().any(|container| container.given("essential").is_none_or(|value| value == true)),
        "At least one container must be marked as essential."
    );
    volumes(definition)?;
    for one in containers {
        container(definition, one, network)?;
    }
    ports(containers, network)?;
    dependencies(containers)?;
    sums(definition, containers)?;
    demand!(definition.list("placementConstraints").len() <= 10, "Too many placement constraints.");
    for compute in definition.list("requiresCompatibilities") {
        match compute.as_str() {
            Some("FARGATE") => fargate(definition)?,
            Some("EXTERNAL") => external(definition, network)?,
            Some("MANAGED_INSTANCES") => {
                demand!(
                    ["awsvpc", "host"].contains(&network),
                    "Managed instances support awsvpc and host, not {network}."
                );
            }
            Some("EC2") => {}
            other => return Err(Fail::client(format!("Invalid requiresCompatibilities: {other:?}"))),
        }
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
    (1..=255).contains(&name.len()) && name.chars().all(is_letter)
}

fn container(definition: &Value, container: &Value, network: &str) -> Done<()> {
    let name = container.text("name").unwrap_or_default();
    demand!(is_name(name), "Container.name contains invalid characters: `{name}`");
    demand!(
        !container.text("image").unwrap_or_default().is_empty(),
        "Container.image should not be null or empty."
    );
    let (memory, reservation) = (container.number("memory"), container.number("memoryReservation"));
    demand!(
        definition.given("memory").is_some() || memory.is_some() || reservation.is_some(),
        "Invalid setting for container '{name}'. At least one of 'memory' or 'memoryReservation' must be specified."
    );
    demand!(
        memory.is_none_or(|memory| memory >= 6),
        "Invalid setting for container '{name}': memory is at least 6 MiB."
    );
    if let (Some(memory), Some(reservation)) = (memory, reservation) {
        demand!(
            memory > reservation,
            "Invalid setting for container '{name}': memory must be greater than memoryReservation."
        );
    }
    if let Some(check) = container.given("healthCheck") {
        let command = check.texts("command");
        let kind = command.first().map(String::as_str).unwrap_or_default();
        demand!(
            ["CMD", "CMD-SHELL"].contains(&kind) && command.len() > 1,
            "healthCheck.command must begin with CMD or CMD-SHELL."
        );
        for (key, from, to) in
            [("interval", 5, 300), ("timeout", 2, 60), ("retries", 1, 10), ("startPeriod", 0, 300)]
        {
            let is_in = check.number(key).is_none_or(|value| (from..=to).contains(&value));
            demand!(is_in, "healthCheck.{key} must be between {from} and {to}.");
        }
    }
    if let Some(policy) = container.given("restartPolicy") {
        let period = policy.number("restartAttemptPeriod");
        demand!(
            period.is_none_or(|period| (60..=1800).contains(&period)),
            "restartAttemptPeriod must be between 60 and 1800."
        );
        demand!(policy.list("ignoredExitCodes").len() <= 50, "ignoredExitCodes has at most 50 elements.");
    }
    for (list, what) in [("environment", "environment"), ("secrets", "secret")] {
        let unnamed = container.list(list).iter().any(|one| one.text("name").unwrap_or_default().is_empty());
        demand!(!unnamed, "Each {what} of container '{name}' needs a name.");
    }
    let keys = |list: &'static str| container.list(list).iter().filter_map(|one| one.text("name"));
    let both: Vec<&str> =
        doubles(keys("environment").collect::<BTreeSet<_>>().into_iter().chain(keys("secrets")));
    demand!(
        both.is_empty(),
        "The secret name must be unique and not shared with any new or existing environment variables set on the container, such as '{}'.",
        both.join("', '")
    );
    demand!(
        container.list("secrets").iter().all(|one| one.text("valueFrom").is_some()),
        "Each secret needs valueFrom."
    );
    demand!(
        container.list("secrets").is_empty() || definition.given("executionRoleArn").is_some(),
        "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'."
    );
    demand!(container.list("environmentFiles").len() <= 10, "At most 10 environment files are allowed.");
    mounts(definition, container, name)?;
    logging(container, name)?;
    demand!(
        network != "awsvpc" || container.list("links").is_empty(),
        "Links are not supported when networkMode=awsvpc."
    );
    for key in ["hostname", "extraHosts"] {
        let given = container.given(key).is_some_and(|value| *value != Value::Array(Vec::new()));
        demand!(
            network != "awsvpc" || !given,
            "{key} is not supported on container when networkMode=awsvpc."
        );
    }
    for control in container.list("systemControls") {
        let namespace = control.text("namespace").unwrap_or_default();
        demand!(
            network != "host" || !namespace.starts_with("net."),
            "net.* system controls are not supported in host mode."
        );
    }
    Ok(())
}

fn mounts(definition: &Value, container: &Value, name: &str) -> Done<()> {
    for mount in container.list("mountPoints") {
        let volume = mount.text("sourceVolume").unwrap_or_default();
        let is_known = definition.list("volumes").iter().any(|one| one.text("name") == Some(volume));
        demand!(is_known, "Unknown volume '{volume}'.");
        demand!(mount.text("containerPath").is_some(), "Mount points of '{name}' need a containerPath.");
    }
    let paths = container.list("mountPoints").iter().filter_map(|mount| mount.text("containerPath"));
    let twice = doubles(paths);
    demand!(twice.is_empty(), "The container path is used twice: {}", twice.join(", "));
    Ok(())
}

fn logging(container: &Value, name: &str) -> Done<()> {
    let Some(logging) = container.given("logConfiguration") else { return Ok(()) };
    let driver = logging.text("logDriver").unwrap_or_default();
    demand!(LOG_DRIVERS.contains(&driver), "Invalid log driver '{driver}'.");
    if driver == "awslogs" {
        let option = |key: &str| logging.get("options").and_then(|options| options.text(key)).is_some();
        demand!(option("awslogs-group"), "Log driver awslogs of '{name}' requires option awslogs-group.");
    }
    Ok(())
}

fn volumes(definition: &Value) -> Done<()> {
    let all = definition.list("volumes");
    let names = all.iter().filter_map(|volume| volume.text("name"));
    demand!(names.clone().count() == all.len() && names.clone().all(is_name), "Each volume needs a name.");
    let twice = doubles(names);
    demand!(twice.is_empty(), "Volume names must be unique: {}", twice.join(", "));
    for volume in all {
        let Some(efs) = volume.given("efsVolumeConfiguration") else { continue };
        demand!(
            efs.text("fileSystemId").is_some_and(|id| id.starts_with("fs-")),
            "fileSystemId is required."
        );
        let authorization = efs.given("authorizationConfig");
        let is_encrypted = efs.text("transitEncryption") == Some("ENABLED");
        let has_point = authorization.is_some_and(|one| one.text("accessPointId").is_some());
        let has_iam = authorization.is_some_and(|one| one.text("iam") == Some("ENABLED"));
        let root = efs.text("rootDirectory").unwrap_or("/");
        demand!(
            !has_point || ["", "/"].contains(&root),
            "rootDirectory must be empty or '/' where an access point is given."
        );
        demand!(is_encrypted || !(has_point || has_iam), "transitEncryption must be ENABLED.");
    }
    let at_launch = all.iter().filter(|volume| volume.flag("configuredAtLaunch")).count();
    demand!(at_launch <= 1, "At most one volume may be configuredAtLaunch.");
    Ok(())
}

fn ports(containers: &[Value], network: &str) -> Done<()> {
    let (mut names, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for mapping in containers.iter().flat_map(|container| container.list("portMappings")) {
        let port = mapping.number("containerPort");
        if mapping.given("containerPortRange").is_some() {
            continue;
        }
        let Some(port) = port.filter(|port| (1..=65535).contains(port)) else {
            return Err(Fail::client("Invalid containerPort."));
        };
        let host = mapping.number("hostPort").unwrap_or(0);
        let is_own = ["awsvpc", "host"].contains(&network);
        demand!(
            !is_own || host == 0 || host == port,
            "When networkMode={network}, the host ports and container ports in port mappings must match."
        );
        let protocol = mapping.text("protocol").unwrap_or("tcp");
        demand!(["tcp", "udp"].contains(&protocol), "Invalid protocol '{protocol}'.");
        // One port of a task is one container's, whatever the protocol.
        demand!(!is_own || taken.insert(port), "The container port {port} is mapped more than once.");
        if let Some(name) = mapping.text("name") {
            let is_letter = |letter: char| {
                letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-_".contains(letter)
            };
            let is_good =
                (1..=64).contains(&name.len()) && name.chars().all(is_letter) && !name.starts_with('-');
            demand!(is_good, "Invalid port mapping name '{name}'.");
            demand!(names.insert(name.to_owned()), "The port mapping name '{name}' is used more than once.");
        }
    }
    Ok(())
}

fn dependencies(containers: &[Value]) -> Done<()> {
    let by_name = |name: &str| containers.iter().find(|container| container.text("name") == Some(name));
    for container in containers {
        let name = container.text("name").unwrap_or_default();
        for dependency in container.list("dependsOn") {
            let (target, condition) = (
                dependency.text("containerName").unwrap_or_default(),
                dependency.text("condition").unwrap_or_default(),
            );
            let Some(found) = by_name(target) else {
                return Err(Fail::client(format!(
                    "Container '{name}' depends on '{target}', which is not defined."
                )));
            };
            demand!(target != name, "Container '{name}' depends on itself.");
            let is_essential = found.given("essential").is_none_or(|value| value == true);
            match condition {
                "START" => {}
                "COMPLETE" | "SUCCESS" => demand!(
                    !is_essential,
                    "A container that others await by {condition} must not be essential: '{target}'."
                ),
                "HEALTHY" => demand!(
                    found.given("healthCheck").is_some(),
                    "A container that others await by HEALTHY needs a health check: '{target}'."
                ),
                other => return Err(Fail::client(format!("Invalid dependsOn condition '{other}'."))),
            }
        }
    }
    // Whatever has no open dependency goes, until nothing does.
    let mut left: Vec<&Value> = containers.iter().collect();
    loop {
        let names: Vec<&str> = left.iter().filter_map(|container| container.text("name")).collect();
        let before = left.len();
        left.retain(|container| {
            let mut awaited = container.list("dependsOn").iter().filter_map(|one| one.text("containerName"));
            let mut sources =
                container.list("volumesFrom").iter().filter_map(|one| one.text("sourceContainer"));
            awaited.any(|one| names.contains(&one)) || sources.any(|one| names.contains(&one))
        });
        if left.is_empty() {
            return Ok(());
        }
        demand!(left.len() < before, "There is a cycle in the dependencies of containers.");
    }
}

fn sums(definition: &Value, containers: &[Value]) -> Done<()> {
    let sum = |key: &str| containers.iter().filter_map(|container| container.number(key)).sum::<i64>();
    let task = |key: &str| definition.text(key).and_then(|text| text.parse::<i64>().ok());
    if let Some(cpu) = task("cpu") {
        demand!(
            sum("cpu") <= cpu,
            "Invalid 'cpu' setting for task: containers have more than the task's {cpu}."
        );
    }
    if let Some(memory) = task("memory") {
        let reserved = sum("memoryReservation");
        demand!(
            reserved <= memory,
            "Invalid 'memory' setting for task: containers reserve {reserved} of {memory}."
        );
        for container in containers {
            let limit = container.number("memory").unwrap_or(0);
            demand!(
                limit <= memory,
                "Invalid 'memory' setting for container '{}'.",
                container.text("name").unwrap_or_default()
            );
        }
        let limits = sum("memory");
        demand!(
            limits <= memory,
            "Invalid 'memory' setting for task: the sum of containers is {limits} of {memory}."
        );
    }
    Ok(())
}

/// Demands what Fargate demands.
pub(super) fn fargate(definition: &Value) -> Done<()> {
    let network = definition.text("networkMode").unwrap_or("bridge");
    demand!(network == "awsvpc", "Fargate only supports network mode 'awsvpc'.");
    let size = |key: &str| definition.text(key).and_then(|text| text.parse::<u64>().ok());
    let (Some(cpu), Some(memory)) = (size("cpu"), size("memory")) else {
        return Err(Fail::client("Fargate requires that 'cpu' and 'memory' be defined at the task level."));
    };
    sizes::fargate(cpu, memory)?;
    demand!(definition.given("ipcMode").is_none(), "Fargate does not support ipcMode.");
    demand!(
        definition.text("pidMode").is_none_or(|mode| mode == "task"),
        "Fargate supports only pidMode 'task'."
    );
    demand!(
        definition.list("placementConstraints").is_empty(),
        "Fargate does not support placement constraints."
    );
    if let Some(storage) = definition.given("ephemeralStorage") {
        let size = storage.number("sizeInGiB").unwrap_or(0);
        demand!((21..=200).contains(&size), "ephemeralStorage must be between 21 and 200 GiB.");
    }
    for volume in definition.list("volumes") {
        demand!(
            volume.given("dockerVolumeConfiguration").is_none(),
            "Fargate does not support docker volumes."
        );
        let source = volume.given("host").is_some_and(|host| host.given("sourcePath").is_some());
        demand!(!source, "Fargate does not support host source paths.");
    }
    for container in definition.list("containerDefinitions") {
        fargate_container(definition, container)?;
    }
    Ok(())
}

fn fargate_container(definition: &Value, container: &Value) -> Done<()> {
    demand!(!container.flag("privileged"), "Fargate does not support privileged containers.");
    for key in ["startTimeout", "stopTimeout"] {
        let is_in = container.number(key).is_none_or(|value| (2..=120).contains(&value));
        demand!(is_in, "Fargate has {key} between 2 and 120 seconds.");
    }
    for key in ["dnsServers", "dnsSearchDomains", "extraHosts", "links", "dockerSecurityOptions"] {
        demand!(container.list(key).is_empty(), "Fargate does not support {key}.");
    }
    for key in ["disableNetworking", "hostname"] {
        demand!(container.given(key).is_none(), "Fargate does not support {key}.");
    }
    demand!(container.list("resourceRequirements").is_empty(), "Fargate does not support GPUs.");
    if let Some(linux) = container.given("linuxParameters") {
        for key in ["devices", "tmpfs"] {
            demand!(linux.list(key).is_empty(), "Fargate does not support linuxParameters.{key}.");
        }
        for key in ["sharedMemorySize", "maxSwap", "swappiness"] {
            demand!(linux.given(key).is_none(), "Fargate does not support linuxParameters.{key}.");
        }
        let added = linux.get("capabilities").map(|one| one.texts("add")).unwrap_or_default();
        demand!(
            added.iter().all(|one| one == "SYS_PTRACE"),
            "Fargate allows only the capability SYS_PTRACE to be added."
        );
    }
    let Some(logging) = container.given("logConfiguration") else { return Ok(()) };
    let driver = logging.text("logDriver").unwrap_or_default();
    demand!(
        ["awslogs", "splunk", "awsfirelens"].contains(&driver),
        "Fargate does not support the log driver '{driver}'."
    );
    if driver == "awslogs" {
        let option = |key: &str| logging.get("options").and_then(|options| options.text(key)).is_some();
        demand!(option("awslogs-stream-prefix"), "Fargate requires the log option awslogs-stream-prefix.");
        demand!(option("awslogs-region"), "Log driver awslogs requires options: awslogs-region");
        demand!(
            definition.given("executionRoleArn").is_some(),
            "Fargate requires task definition to have execution role ARN to support log driver awslogs."
        );
    }
    Ok(())
}

fn external(definition: &Value, network: &str) -> Done<()> {
    demand!(network != "awsvpc", "External instances do not support network mode 'awsvpc'.");
    let has_efs =
        definition.list("volumes").iter().any(|volume| volume.given("efsVolumeConfiguration").is_some());
    demand!(!has_efs, "External instances do not support EFS volumes.");
    Ok(())
}
