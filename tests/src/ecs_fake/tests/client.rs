//! A client that says what it is told to, and nothing more.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::{Value, json};

use crate::ecs_fake::{Fake, FakeOptions, value::Doc};

pub(super) fn fake() -> Fake {
    Fake::start(FakeOptions { settle: Duration::from_millis(200), ..FakeOptions::default() }).unwrap()
}

/// Sends a request and returns the status and the body; an error where the connection is cut.
pub(super) fn send(address: &str, head: &str, body: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address.trim_start_matches("http://"))?;
    let length = body.len();
    write!(stream, "{head}\r\nhost: fake\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let status = head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_default();
    Ok((status, body.to_owned()))
}

impl Fake {
    /// Calls an operation of a JSON service: `ecs:CreateService`.
    pub(super) fn say(&self, operation: &str, body: &Value) -> (u16, Value) {
        let (service, name) = operation.split_once(':').unwrap();
        let target = match service {
            "ecs" => "AmazonEC2ContainerServiceV20141113",
            "logs" => "Logs_20140328",
            "ssm" => "AmazonSSM",
            "application-autoscaling" => "AnyScaleFrontendService",
            "servicediscovery" => "Route53AutoNaming_v20170314",
            other => other,
        };
        let head = format!("POST / HTTP/1.1\r\nx-amz-target: {target}.{name}");
        let (status, body) = send(&self.url(), &head, &body.to_string()).unwrap();
        (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }

    /// Calls what is to work.
    #[expect(clippy::needless_pass_by_value, reason = "what is asked is written on the spot")]
    pub(super) fn ok(&self, operation: &str, body: Value) -> Value {
        let (status, answer) = self.say(operation, &body);
        assert_eq!(status, 200, "{operation} {body}: {answer}");
        answer
    }

    /// Calls what is to be refused, and returns how.
    #[expect(clippy::needless_pass_by_value, reason = "what is asked is written on the spot")]
    pub(super) fn refused(&self, operation: &str, body: Value) -> String {
        let (status, answer) = self.say(operation, &body);
        assert_ne!(status, 200, "{operation} {body}: {answer}");
        format!(
            "{}: {}",
            answer["__type"].as_str().unwrap_or_default(),
            answer["message"].as_str().unwrap_or_default()
        )
    }

    /// Registers a definition of one container.
    pub(super) fn define(&self, family: &str, image: &str) -> String {
        let answer = self.ok("ecs:RegisterTaskDefinition", definition(family, image));
        answer["taskDefinition"]["taskDefinitionArn"].as_str().unwrap().to_owned()
    }

    pub(super) fn service(&self, name: &str) -> Value {
        self.ok("ecs:DescribeServices", json!({ "services": [name] }))["services"][0].clone()
    }

    /// Returns the tasks of a service, in either desired state.
    pub(super) fn tasks_of(&self, service: &str, desired: &str) -> Vec<Value> {
        let arns =
            self.ok("ecs:ListTasks", json!({ "serviceName": service, "desiredStatus": desired }))["taskArns"]
                .clone();
        if arns.as_array().is_none_or(Vec::is_empty) {
            return Vec::new();
        }
        self.ok("ecs:DescribeTasks", json!({ "tasks": arns })).list("tasks").to_vec()
    }

    /// Returns what the messages of a service's events are, the newest first.
    pub(super) fn told(&self, service: &str) -> Vec<String> {
        self.service(service)
            .list("events")
            .iter()
            .filter_map(|event| event.text("message"))
            .map(str::to_owned)
            .collect()
    }
}

/// Waits until something comes.
pub(super) fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..600 {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    panic!("it does not come: {what}");
}

pub(super) fn definition(family: &str, image: &str) -> Value {
    json!({
        "family": family,
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": ".25 vCPU",
        "memory": "0.5 GB",
        "executionRoleArn": "arn:aws:iam::111122223333:role/execution",
        "taskRoleArn": "arn:aws:iam::111122223333:role/task",
        "containerDefinitions": [{ "name": "web", "image": image, "portMappings": [{ "name": "http", "containerPort": 8080 }] }],
    })
}

pub(super) fn network() -> Value {
    json!({ "awsvpcConfiguration": { "subnets": ["subnet-1"], "securityGroups": ["sg-1"] } })
}

/// Returns what a service is asked to be.
pub(super) fn asked(name: &str, definition: &str, desired: usize) -> Value {
    json!({
        "serviceName": name,
        "taskDefinition": definition,
        "desiredCount": desired,
        "launchType": "FARGATE",
        "networkConfiguration": network(),
    })
}

/// Returns a document with some fields of another one.
#[expect(clippy::needless_pass_by_value, reason = "what changes is written on the spot")]
pub(super) fn with(mut document: Value, more: Value) -> Value {
    for (key, value) in more.as_object().unwrap() {
        document[key] = value.clone();
    }
    document
}
