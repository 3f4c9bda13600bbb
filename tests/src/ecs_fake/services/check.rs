//! What makes a service.

use serde_json::{Map, Value};

use crate::ecs_fake::{
    state::Ecs,
    targets::Balancing,
    value::{Doc, Done, Fail},
};

/// Demands something of a service.
macro_rules! demand {
    ($condition:expr, $($why:tt)+) => {
        if !$condition {
            return Err(Fail::parameter(format!($($why)+)));
        }
    };
}

pub(super) fn name(name: &str) -> Done<()> {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
    demand!((1..=255).contains(&name.len()) && name.chars().all(is_letter), "Invalid service name: {name}");
    Ok(())
}

pub(super) fn service(
    ecs: &Ecs,
    balancing: &Balancing,
    request: &Map<String, Value>,
    definition: &Value,
    is_new: bool,
) -> Done<()> {
    let request = Value::Object(request.clone());
    let controller = request.get("deploymentController").and_then(|one| one.text("type")).unwrap_or("ECS");
    if controller != "ECS" {
        return Err(Fail::gap(&format!("the deployment controller {controller}")));
    }
    let kind = compute(&request, definition)?;
    network(&request, definition)?;
    deployment(&request)?;
    let is_daemon = request.text("schedulingStrategy") == Some("DAEMON");
    demand!(!is_daemon || kind != "FARGATE", "The daemon scheduling strategy is not supported on Fargate.");
    let has_balancer = !request.list("loadBalancers").is_empty();
    let has_registry = !request.list("serviceRegistries").is_empty();
    let has_connect = request.get("serviceConnectConfiguration").is_some_and(|one| one.flag("enabled"));
    demand!(
        kind != "EXTERNAL" || !(has_balancer || has_registry || has_connect),
        "Services on external instances support neither load balancers nor service discovery."
    );
    demand!(request.list("serviceRegistries").len() <= 1, "A service has at most one service registry.");
    demand!(request.list("loadBalancers").len() <= 5, "A service has at most five target groups.");
    for balancer in request.list("loadBalancers") {
        load_balancer(balancing, balancer, definition, is_new)?;
    }
    connect(ecs, &request, definition)?;
    let grace = request.number("healthCheckGracePeriodSeconds");
    demand!(
        grace.is_none_or(|grace| (0..=2_147_483_647).contains(&grace)),
        "Invalid healthCheckGracePeriodSeconds."
    );
    demand!(
        !(request.flag("enableExecuteCommand") && definition.given("taskRoleArn").is_none()),
        "The service couldn't be created because a valid taskRoleArn is not being used. Specify a valid task role in your task definition and try again."
    );
    Ok(())
}

fn compute(request: &Value, definition: &Value) -> Done<&'static str> {
    let strategy = request.list("capacityProviderStrategy");
    let launch = request.text("launchType");
    demand!(
        launch.is_none() || strategy.is_empty(),
        "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again."
    );
    let bases = strategy.iter().filter(|one| one.number("base").unwrap_or(0) > 0).count();
    demand!(bases <= 1, "A base may be given for one capacity provider only.");
    let kind = match (launch, strategy.first().and_then(|one| one.text("capacityProvider"))) {
        (Some("FARGATE"), _) | (None, Some("FARGATE" | "FARGATE_SPOT")) => "FARGATE",
        (Some("EXTERNAL"), _) => "EXTERNAL",
        (Some("EC2"), _) | (None, _) => "EC2",
        (Some(other), _) => return Err(Fail::parameter(format!("Invalid launchType: {other}"))),
    };
    let fits = definition.list("compatibilities").iter().any(|one| one == kind);
    demand!(fits, "Task definition does not support launch_type {kind}.");
    Ok(kind)
}

fn network(request: &Value, definition: &Value) -> Done<()> {
    let given = request.get("networkConfiguration").and_then(|one| one.given("awsvpcConfiguration"));
    let is_needed = definition.text("networkMode") == Some("awsvpc");
    let Some(given) = given else {
        demand!(!is_needed, "Network Configuration must be provided when networkMode 'awsvpc' is specified.");
        return Ok(());
    };
    demand!(
        is_needed,
        "Network Configuration is not valid for the given networkMode of this task definition."
    );
    let subnets = given.list("subnets").len();
    demand!((1..=16).contains(&subnets), "subnets can have between 1 and 16 items.");
    demand!(given.list("securityGroups").len() <= 5, "securityGroups can have at most 5 items.");
    let public = given.text("assignPublicIp").unwrap_or("DISABLED");
    demand!(["ENABLED", "DISABLED"].contains(&public), "Invalid assignPublicIp: {public}");
    Ok(())
}

fn deployment(request: &Value) -> Done<()> {
    let configuration = request.get("deploymentConfiguration").cloned().unwrap_or_default();
    let maximum = configuration.number("maximumPercent").unwrap_or(200);
    let minimum = configuration.number("minimumHealthyPercent").unwrap_or(100);
    demand!(maximum > 0 && minimum >= 0, "Invalid deployment configuration.");
    let is_daemon = request.text("schedulingStrategy") == Some("DAEMON");
    demand!(is_daemon || maximum >= 100, "maximumPercent must be at least 100.");
    demand!(minimum <= 100 || minimum <= maximum, "minimumHealthyPercent is above maximumPercent.");
    demand!(
        !(maximum == 100 && minimum == 100),
        "The minimum healthy percent and the maximum percent cannot both be 100."
    );
    let is_balanced = request.text("availabilityZoneRebalancing") == Some("ENABLED");
    demand!(
        !is_balanced || maximum > 100,
        "availabilityZoneRebalancing requires a maximumPercent greater than 100."
    );
    demand!(
        !(is_balanced && is_daemon),
        "availabilityZoneRebalancing is not supported for the daemon scheduling strategy."
    );
    let strategy = configuration.text("strategy").unwrap_or("ROLLING");
    let part = |key: &str, number: &str| {
        configuration.get(key).and_then(|one| one.get(number)).and_then(Value::as_f64)
    };
    match strategy {
        "ROLLING" => return Ok(()),
        "BLUE_GREEN" => {}
        "LINEAR" => {
            let step = part("linearConfiguration", "stepPercent").unwrap_or(10.0);
            demand!((3.0..=100.0).contains(&step), "stepPercent must be between 3.0 and 100.0.");
        }
        "CANARY" => {
            let step = part("canaryConfiguration", "canaryPercent").unwrap_or(5.0);
            demand!((0.1..=100.0).contains(&step), "canaryPercent must be between 0.1 and 100.0.");
        }
        other => return Err(Fail::parameter(format!("Invalid deployment strategy: {other}"))),
    }
    let wired = request.list("loadBalancers").iter().any(|one| one.given("advancedConfiguration").is_some());
    let connected = request.get("serviceConnectConfiguration").is_some_and(|one| one.flag("enabled"));
    demand!(
        wired || connected,
        "The deployment strategy {strategy} needs a load balancer with an advancedConfiguration, or Service Connect."
    );
    Ok(())
}

fn load_balancer(balancing: &Balancing, balancer: &Value, definition: &Value, is_new: bool) -> Done<()> {
    let (name, port) = (balancer.text("containerName").unwrap_or_default(), balancer.number("containerPort"));
    let containers = definition.list("containerDefinitions");
    let Some(container) = containers.iter().find(|one| one.text("name") == Some(name)) else {
        return Err(Fail::parameter(format!("The container {name} does not exist in the task definition.")));
    };
    let has_port = container.list("portMappings").iter().any(|one| one.number("containerPort") == port);
    demand!(
        has_port,
        "The container {name} did not have a container port {} defined.",
        port.unwrap_or_default()
    );
    let arn = balancer.text("targetGroupArn").unwrap_or_default();
    let Some(group) = balancing.groups.get(arn) else {
        return Err(Fail::parameter(format!(
            "Unable to assume role and validate the specified targetGroupArn: {arn}"
        )));
    };
    let kind = group.document.text("TargetType").unwrap_or("instance");
    let is_own = definition.text("networkMode") == Some("awsvpc");
    demand!(
        !is_own || kind == "ip",
        "The provided target group {arn} has target type {kind}, which is incompatible with the awsvpc network mode specified in the task definition."
    );
    demand!(
        !is_new || balancing.is_attached(arn),
        "The target group with targetGroupArn {arn} does not have an associated load balancer."
    );
    if let Some(advanced) = balancer.given("advancedConfiguration") {
        let other = advanced.need("alternateTargetGroupArn")?;
        demand!(balancing.groups.contains_key(other), "The alternate target group {other} does not exist.");
        let rule = advanced.need("productionListenerRule")?;
        demand!(balancing.has_rule(rule), "The listener rule {rule} does not exist.");
        advanced.need("roleArn")?;
    }
    Ok(())
}

fn connect(ecs: &Ecs, request: &Value, definition: &Value) -> Done<()> {
    let Some(connect) = request.get("serviceConnectConfiguration").filter(|one| one.flag("enabled")) else {
        return Ok(());
    };
    let _ = ecs;
    let mappings = || definition.list("containerDefinitions").iter().flat_map(|one| one.list("portMappings"));
    for service in connect.list("services") {
        let port = service.text("portName").unwrap_or_default();
        demand!(
            mappings().any(|mapping| mapping.text("name") == Some(port)),
            "The Service Connect port name {port} does not match a named port mapping of the task definition."
        );
        demand!(
            service.list("clientAliases").len() <= 1,
            "A Service Connect service has at most one client alias."
        );
        for alias in service.list("clientAliases") {
            demand!(
                alias.number("port").is_some_and(|port| (1..=65535).contains(&port)),
                "A client alias needs a port."
            );
        }
    }
    Ok(())
}
