//! Tasks that are real containers.

use std::{io::Read, time::Duration};

use serde_json::{Value, json};
use straddle_conformance::probe::image_name;

use super::client::{asked, definition, network, send, wait, with};
use crate::ecs_fake::{Fake, FakeOptions, value::Doc};

fn fake() -> Fake {
    let options = FakeOptions {
        docker: true,
        check_pace: 0.1,
        settle: Duration::from_millis(500),
        ..FakeOptions::default()
    };
    let fake = Fake::start(options).unwrap();
    fake.ok("logs:CreateLogGroup", json!({ "logGroupName": "tests" }));
    fake
}

/// Returns a container that runs the probe, and whose lines are kept.
fn probe(name: &str, command: &[&str]) -> Value {
    let options =
        json!({ "awslogs-group": "tests", "awslogs-region": "eu-central-1", "awslogs-stream-prefix": "p" });
    json!({
        "name": name, "image": image_name(), "command": command, "stopTimeout": 2,
        "logConfiguration": { "logDriver": "awslogs", "options": options },
    })
}

fn server(body: &str) -> Value {
    let ports = json!([{ "name": "http", "containerPort": 8080 }]);
    with(probe("web", &["serve", "8080", "--body", body]), json!({ "portMappings": ports }))
}

fn register(fake: &Fake, family: &str, more: Value) -> String {
    let answer = fake.ok("ecs:RegisterTaskDefinition", with(definition(family, "x"), more));
    answer["taskDefinition"]["taskDefinitionArn"].as_str().unwrap().to_owned()
}

/// Runs a task of some containers until it is in a state.
#[expect(clippy::needless_pass_by_value, reason = "what runs is written on the spot")]
fn run(fake: &Fake, containers: Value, more: Value, status: &str) -> Value {
    register(fake, "job", with(more, json!({ "containerDefinitions": containers })));
    let body = json!({ "taskDefinition": "job", "launchType": "FARGATE", "networkConfiguration": network() });
    let arn = fake.ok("ecs:RunTask", body)["tasks"][0]["taskArn"].clone();
    let task = || fake.ok("ecs:DescribeTasks", json!({ "tasks": [arn] }))["tasks"][0].clone();
    wait(status, || Some(task()).filter(|task| task["lastStatus"] == status))
}

/// Asks a task something.
fn get(task: &Value, path: &str) -> String {
    let address = task["containers"][0]["networkInterfaces"][0]["privateIpv4Address"].as_str().unwrap();
    wait(path, || send(&format!("{address}:8080"), &format!("GET {path} HTTP/1.1"), "").ok()).1
}

fn stop(fake: &Fake, task: &Value) -> Value {
    fake.ok("ecs:StopTask", json!({ "task": task["taskArn"] }));
    let task = || fake.ok("ecs:DescribeTasks", json!({ "tasks": [task["taskArn"]] }))["tasks"][0].clone();
    wait("its end", || Some(task()).filter(|task| task["lastStatus"] == "STOPPED"))
}

fn lines(fake: &Fake, task: &Value, container: &str) -> Vec<String> {
    let id = task["taskArn"].as_str().unwrap().rsplit('/').next().unwrap();
    let asked = json!({ "logGroupName": "tests", "logStreamName": format!("p/{container}/{id}"), "startFromHead": true });
    fake.ok("logs:GetLogEvents", asked)
        .list("events")
        .iter()
        .map(|event| event["message"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_container_is_what_its_definition_says() {
    let fake = fake();
    fake.ok("ssm:PutParameter", json!({ "Name": "token", "Value": "secret", "Type": "SecureString" }));
    let efs = json!({ "name": "data", "efsVolumeConfiguration": { "fileSystemId": "fs-1" } });
    let more = json!({ "volumes": [efs, { "name": "space" }] });
    let container = with(
        server("here"),
        json!({
            "environment": [{ "name": "A", "value": "b" }],
            "secrets": [{ "name": "TOKEN", "valueFrom": "token" }],
            "user": "1234:2345",
            "workingDirectory": "/srv/here",
            "ulimits": [{ "name": "nofile", "softLimit": 1000, "hardLimit": 2000 }],
            "mountPoints": [{ "sourceVolume": "data", "containerPath": "/data" }, { "sourceVolume": "space", "containerPath": "/space" }],
        }),
    );
    let root = with(container.clone(), json!({ "user": "0" }));
    let task = run(&fake, json!([container]), more.clone(), "RUNNING");
    for (path, wanted) in [
        ("/env/A", "b"),
        ("/env/TOKEN", "secret"),
        ("/uid", "1234"),
        ("/cwd", "/srv/here"),
        ("/ulimit?name=nofile", "1000 2000"),
    ] {
        assert_eq!(get(&task, path), wanted, "{path}");
    }
    assert!(task["containers"][0].text("imageDigest").unwrap().starts_with("sha256:"));
    stop(&fake, &task);
    // What is on a file system outlives its task, and the rest does not.
    let task = run(&fake, json!([root]), more.clone(), "RUNNING");
    get(&task, "/write?path=/data/note&text=kept");
    get(&task, "/write?path=/space/note&text=gone");
    get(&task, "/print?text=a%20line");
    wait("the line", || lines(&fake, &task, "web").contains(&"a line".to_owned()).then_some(()));
    let stopped = stop(&fake, &task);
    assert_eq!(stopped["containers"][0]["exitCode"], 137);
    let task = run(&fake, json!([root]), more, "RUNNING");
    assert_eq!(get(&task, "/file?path=/data/note"), "kept");
    assert_ne!(get(&task, "/file?path=/space/note"), "gone");
}

#[test]
fn containers_wait_for_each_other() {
    let fake = fake();
    let after =
        |condition: &str| json!({ "dependsOn": [{ "containerName": "first", "condition": condition }] });
    let first = |command: &[&str], more: Value| {
        with(with(probe("first", command), json!({ "essential": false })), more)
    };
    let mount = |container: Value| {
        with(container, json!({ "mountPoints": [{ "sourceVolume": "space", "containerPath": "/space" }] }))
    };
    let space = json!({ "volumes": [{ "name": "space" }] });
    let writer = mount(first(&["write", "/space/note", "done", "--after", "1s"], json!({})));
    let reader = mount(with(probe("job", &["read", "/space/note"]), after("SUCCESS")));
    let task = run(&fake, json!([reader, writer]), space, "STOPPED");
    assert_eq!(
        (&task["containers"][0]["exitCode"], &task["containers"][1]["exitCode"]),
        (&json!(0), &json!(0)),
        "{task}"
    );
    assert_eq!(lines(&fake, &task, "job"), ["done"]);

    let failing = first(&["exit", "7", "--print", "no schema"], json!({}));
    let task =
        run(&fake, json!([with(probe("job", &["sleep"]), after("SUCCESS")), failing]), json!({}), "STOPPED");
    assert_eq!(task["stopCode"], "TaskFailedToStart");
    assert_eq!(task["containers"][1]["exitCode"], 7);
    assert!(
        task["containers"][0]["reason"].as_str().unwrap().contains("did not exit successfully"),
        "{task}"
    );
    assert_eq!(lines(&fake, &task, "first"), ["no schema"]);

    let slow = first(&["sleep"], json!({ "startTimeout": 2 }));
    let task =
        run(&fake, json!([with(probe("job", &["sleep"]), after("COMPLETE")), slow]), json!({}), "STOPPED");
    assert!(task["containers"][0]["reason"].as_str().unwrap().contains("has timed out"), "{task}");

    // Both are in one network, and the check is that of the definition.
    let check = json!({ "healthCheck": { "command": ["CMD", "/probe", "fetch", "http://127.0.0.1:9090/healthz"], "interval": 5 } });
    let healthy = first(&["serve", "9090", "--ready-after", "1s"], check);
    let asks = with(probe("job", &["fetch", "http://127.0.0.1:9090/healthz"]), after("HEALTHY"));
    let task = run(&fake, json!([asks, healthy]), json!({}), "STOPPED");
    assert_eq!(task["containers"][0]["exitCode"], 0, "{task}");
    assert_eq!(task["stopCode"], "EssentialContainerExited");
}

#[test]
fn what_cannot_start_says_why() {
    let fake = fake();
    let task = run(
        &fake,
        json!([with(probe("job", &["sleep"]), json!({ "image": "nobody-made:this" }))]),
        json!({}),
        "STOPPED",
    );
    assert!(task["stoppedReason"].as_str().unwrap().starts_with("CannotPullContainerError"), "{task}");
    let task = run(
        &fake,
        json!([with(probe("job", &["sleep"]), json!({ "entryPoint": ["/no/such/program"] }))]),
        json!({}),
        "STOPPED",
    );
    assert_eq!(task["stopCode"], "TaskFailedToStart");
    let reason = task["containers"][0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("CannotStartContainerError") && reason.contains("/no/such/program"), "{task}");
    assert!(task["containers"][0].get("exitCode").is_none());
    let task = run(
        &fake,
        json!([with(probe("job", &["eat", "256Mi"]), json!({ "memory": 32 }))]),
        json!({}),
        "STOPPED",
    );
    assert_eq!(task["containers"][0]["exitCode"], 137);
    assert!(task["containers"][0]["reason"].as_str().unwrap().starts_with("OutOfMemoryError"), "{task}");
    let task =
        run(&fake, json!([probe("job", &["exit", "3"]), probe("other", &["sleep"])]), json!({}), "STOPPED");
    assert_eq!(
        (&task["containers"][0]["exitCode"], &task["containers"][1]["exitCode"]),
        (&json!(3), &json!(137))
    );
}

#[test]
fn the_agent_starts_again_what_its_policy_names() {
    let fake = fake();
    let policy = json!({ "restartPolicy": { "enabled": true, "restartAttemptPeriod": 60 } });
    let container = with(server("x"), policy);
    let task = run(&fake, json!([container]), json!({}), "RUNNING");
    std::thread::sleep(Duration::from_millis(1200));
    get(&task, "/print?text=before");
    let address = task["containers"][0]["networkInterfaces"][0]["privateIpv4Address"].as_str().unwrap();
    drop(send(&format!("{address}:8080"), "GET /exit/1 HTTP/1.1", ""));
    std::thread::sleep(Duration::from_millis(500));
    get(&task, "/print?text=after");
    wait("the lines", || {
        (lines(&fake, &task, "web").ends_with(&["before".to_owned(), "after".to_owned()])).then_some(())
    });
    let shown = fake.ok("ecs:DescribeTasks", json!({ "tasks": [task["taskArn"]] }));
    assert_eq!(shown["tasks"][0]["lastStatus"], "RUNNING");
}

fn completed(fake: &Fake, service: &str) -> Value {
    wait("its rollout", || {
        let shown = fake.service(service);
        let is_done =
            shown["deployments"][0]["rolloutState"] == "COMPLETED" && shown.list("deployments").len() == 1;
        is_done.then_some(shown)
    })
}

#[test]
fn services_find_each_other_by_name() {
    let fake = fake();
    fake.ok("servicediscovery:CreatePrivateDnsNamespace", json!({ "Name": "shop.local", "Vpc": "vpc-1" }));
    let namespace = fake.ok("servicediscovery:ListNamespaces", json!({}))["Namespaces"][0]["Id"].clone();
    let registry = fake.ok("servicediscovery:CreateService", json!({ "Name": "server", "NamespaceId": namespace, "DnsConfig": { "DnsRecords": [{ "Type": "A", "TTL": 5 }] } }));
    let checked = |body: &str| {
        with(
            server(body),
            json!({ "healthCheck": { "command": ["CMD", "/probe", "fetch", "http://127.0.0.1:8080/healthz"], "interval": 5 } }),
        )
    };
    register(&fake, "server", json!({ "containerDefinitions": [checked("first")] }));
    register(&fake, "client", json!({ "containerDefinitions": [server("client")] }));
    let alias = json!({ "enabled": true, "namespace": "shop.local", "services": [{ "portName": "http", "clientAliases": [{ "dnsName": "server", "port": 8080 }] }] });
    let registries = json!([{ "registryArn": registry["Service"]["Arn"] }]);
    fake.ok(
        "ecs:CreateService",
        with(
            asked("server", "server", 2),
            json!({ "serviceConnectConfiguration": alias, "serviceRegistries": registries }),
        ),
    );
    let client = json!({ "enabled": true, "namespace": "shop.local" });
    fake.ok(
        "ecs:CreateService",
        with(asked("client", "client", 1), json!({ "serviceConnectConfiguration": client })),
    );
    completed(&fake, "server");
    completed(&fake, "client");
    let client = fake.tasks_of("client", "RUNNING")[0].clone();
    let ask = |name: &str| get(&client, &format!("/fetch?url=http://{name}:8080/"));
    assert_eq!(ask("server"), "first");
    assert_eq!(ask("server.shop.local"), "first");
    register(&fake, "server", json!({ "containerDefinitions": [checked("second")] }));
    fake.ok("ecs:UpdateService", json!({ "service": "server", "taskDefinition": "server" }));
    wait("the end of the update", || {
        let body = ask("server");
        assert!(["first", "second"].contains(&&*body), "during the update: `{body}`");
        (fake.service("server").list("deployments").len() == 1).then_some(())
    });
    assert_eq!(ask("server"), "second");
}

/// Makes a load balancer with a group and a rule, and returns the group and where its listener listens.
pub(super) fn balanced(fake: &Fake, names: &[&str]) -> (Vec<String>, String, String) {
    let query = |form: &str| {
        let (status, body) =
            send(&fake.url(), "POST / HTTP/1.1", &format!("Version=2015-12-01&{form}")).unwrap();
        assert_eq!(status, 200, "{form}: {body}");
        body
    };
    let between = |text: &str, tag: &str| -> String {
        let start = text.find(&format!("<{tag}>")).unwrap() + tag.len() + 2;
        text[start..].split('<').next().unwrap().to_owned()
    };
    let balancer =
        between(&query("Action=CreateLoadBalancer&Name=main&Subnets.member.1=subnet-1"), "LoadBalancerArn");
    let listener = format!(
        "Action=CreateListener&LoadBalancerArn={balancer}&Port=80&Protocol=HTTP&DefaultActions.member.1.Type=fixed-response&DefaultActions.member.1.FixedResponseConfig.StatusCode=404&DefaultActions.member.1.FixedResponseConfig.MessageBody=nothing"
    );
    let listener = between(&query(&listener), "ListenerArn");
    let groups: Vec<String> = names
        .iter()
        .map(|name| {
            let group = format!("Action=CreateTargetGroup&Name={name}&Protocol=HTTP&Port=8080&VpcId=vpc-1&TargetType=ip&HealthCheckPath=/healthz&HealthCheckIntervalSeconds=5&HealthCheckTimeoutSeconds=2&HealthyThresholdCount=2");
            between(&query(&group), "TargetGroupArn")
        })
        .collect();
    let mut rule = format!(
        "Action=CreateRule&ListenerArn={listener}&Priority=10&Conditions.member.1.Field=path-pattern&Conditions.member.1.PathPatternConfig.Values.member.1=/*&Actions.member.1.Type=forward"
    );
    for (at, group) in groups.iter().enumerate() {
        let field = "Actions.member.1.ForwardConfig.TargetGroups.member";
        rule.push_str(&format!(
            "&{field}.{0}.TargetGroupArn={group}&{field}.{0}.Weight={1}",
            at + 1,
            if at == 0 { 100 } else { 0 }
        ));
    }
    let rule = between(&query(&rule), "RuleArn");
    (groups, rule, fake.listener(&listener).unwrap().to_string())
}

#[test]
fn a_load_balancer_sends_requests_to_what_is_healthy() {
    let fake = fake();
    let (groups, _, address) = balanced(&fake, &["web"]);
    register(&fake, "web", json!({ "containerDefinitions": [server("first")] }));
    let balancers = json!([{ "targetGroupArn": groups[0], "containerName": "web", "containerPort": 8080 }]);
    fake.ok("ecs:CreateService", with(asked("web", "web", 2), json!({ "loadBalancers": balancers })));
    completed(&fake, "web");
    let ask = || send(&address, "GET / HTTP/1.1", "").unwrap();
    assert_eq!(ask(), (200, "first".to_owned()));
    register(&fake, "web", json!({ "containerDefinitions": [server("second")] }));
    fake.ok("ecs:UpdateService", json!({ "service": "web", "taskDefinition": "web" }));
    wait("the end of the update", || {
        let answer = ask();
        assert_eq!(answer.0, 200, "during the update: {answer:?}");
        (fake.service("web").list("deployments").len() == 1).then_some(())
    });
    assert_eq!(ask().1, "second");
    // A target that fails its checks is replaced.
    let task = fake.tasks_of("web", "RUNNING")[0].clone();
    get(&task, "/unhealthy");
    let stopped = wait("its end", || {
        fake.tasks_of("web", "STOPPED").into_iter().find(|one| one["taskArn"] == task["taskArn"])
    });
    assert!(
        stopped["stoppedReason"]
            .as_str()
            .unwrap()
            .starts_with("Task failed ELB health checks in (target-group ")
    );
}

#[test]
fn nothing_is_left_of_a_fake() {
    let fake = fake();
    let instance = fake.shared.agent.as_ref().unwrap().instance().to_owned();
    run(&fake, json!([probe("job", &["sleep"])]), json!({ "volumes": [{ "name": "space" }] }), "RUNNING");
    let listed = || {
        let mut stream = std::os::unix::net::UnixStream::connect("/var/run/docker.sock").unwrap();
        let filters = format!("%7B%22label%22%3A%5B%22straddle-tests.ecs-fake%3D{instance}%22%5D%7D");
        let request = format!("GET /containers/json?all=true&filters={filters} HTTP/1.0\r\n\r\n");
        std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.matches("\"Id\"").count()
    };
    assert_eq!(listed(), 2);
    drop(fake);
    assert_eq!(listed(), 0);
}
