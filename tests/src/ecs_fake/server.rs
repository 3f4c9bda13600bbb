//! One port for all services: who is meant is read from a request as the services themselves read it.

use std::{io, sync::Arc};

use serde_json::{Value, json};
use tokio::{
    io::BufReader,
    net::{TcpListener, TcpStream},
};

use super::{
    Shared,
    faults::{Fault, throttled},
    state::uuid,
    value::{Done, Fail},
    wire::{Answer, Request},
};

/// How a service talks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Json,
    Query,
    Rest,
}

/// What a request asks for.
struct Asked {
    protocol: Protocol,
    /// As a permission names it: `ecs:CreateService`.
    operation: String,
    body: Value,
}

/// Services of the JSON protocol, by the beginning of their targets.
const TARGETS: [(&str, &str); 6] = [
    ("AmazonEC2ContainerServiceV20141113", "ecs"),
    ("Logs_20140328", "logs"),
    ("secretsmanager", "secretsmanager"),
    ("AmazonSSM", "ssm"),
    ("AnyScaleFrontendService", "application-autoscaling"),
    ("Route53AutoNaming_v20170314", "servicediscovery"),
];

pub(super) async fn serve(shared: Arc<Shared>, listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        // A connection that ends is what clients and faults make of it.
        tokio::spawn(async move { drop(converse(&shared, stream).await) });
    }
}

async fn converse(shared: &Arc<Shared>, stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some(request) = Request::read(&mut stream).await? {
        let Some(answer) = answer(shared, &request).await else { return Ok(()) };
        answer.write(&mut stream, &uuid()).await?;
        if request.header("connection").eq_ignore_ascii_case("close") {
            break;
        }
    }
    Ok(())
}

/// Answers a request; `None` where the connection is cut.
async fn answer(shared: &Arc<Shared>, request: &Request) -> Option<Answer> {
    let asked = match understood(request) {
        Ok(asked) => asked,
        Err(fail) => return Some(refusal(Protocol::Json, &fail)),
    };
    let (fault, is_admitted) = {
        let mut record = shared.record();
        let fault = record.note(&asked.operation, &asked.body);
        (fault, !shared.options.throttle || record.admit(&asked.operation, shared.options.speed))
    };
    if !is_admitted {
        return Some(refusal(asked.protocol, &throttled()));
    }
    match fault.as_ref().and_then(Fault::before) {
        Some(Ok(fail)) => return Some(refusal(asked.protocol, &fail)),
        Some(Err(answer)) => return answer,
        None => {}
    }
    if let Some(Fault::Delay(time)) = &fault {
        tokio::time::sleep(*time).await;
    }
    let result = carry_out(shared, &asked.operation, &asked.body, fault.as_ref());
    // What was not started is in the answer already.
    let fault =
        fault.filter(|fault| !(matches!(fault, Fault::Failures(..)) && asked.operation == "ecs:RunTask"));
    let result = match (result, fault) {
        (Ok(value), Some(fault)) => match fault.after(value) {
            Ok(value) => Ok(value),
            Err(Some(fail)) => Err(fail),
            Err(None) => return None,
        },
        (Err(_), Some(Fault::CutAfter)) => return None,
        (result, _) => result,
    };
    Some(match result {
        Ok(value) => success(&asked, &value),
        Err(fail) => refusal(asked.protocol, &fail),
    })
}

/// Carries out an operation.
pub(super) fn carry_out(shared: &Arc<Shared>, operation: &str, body: &Value, fault: Option<&Fault>) -> Done {
    let (service, operation) = operation.split_once(':').unwrap_or_default();
    let mut world = shared.world();
    let result = match service {
        "ecs" => {
            if let (Some(Fault::Failures(count, reason)), "RunTask") = (fault, operation) {
                world.failing = Some((*count, reason.clone()));
            }
            super::operations::ecs(shared, &mut world, operation, body)
        }
        "logs" => super::logs::answer(&mut world, operation, body),
        "secretsmanager" => super::secrets::manager(&mut world, operation, body),
        "ssm" => super::secrets::parameters(&mut world, operation, body),
        "elasticloadbalancing" => super::targets::answer(shared, &mut world, operation, body),
        "application-autoscaling" => super::scaling::answer(&mut world, operation, body),
        "scheduler" => super::schedules::answer(&mut world, operation, body),
        "servicediscovery" => super::discovery::answer(&mut world, operation, body),
        "sts" => super::identity::answer(&world, operation),
        _ => Err(Fail::gap(&format!("{service}:{operation}"))),
    };
    shared.bear(&mut world);
    drop(world);
    shared.wake.notify_one();
    result
}

fn understood(request: &Request) -> Done<Asked> {
    let target = request.header("x-amz-target");
    if let Some((service, operation)) = target.split_once('.') {
        let known = TARGETS.iter().find(|(prefix, _)| *prefix == service);
        let (_, name) = known.ok_or_else(|| Fail::gap(service))?;
        let body = if request.body.is_empty() {
            json!({})
        } else {
            serde_json::from_slice(&request.body)
                .map_err(|error| Fail::new("SerializationException", error.to_string()))?
        };
        return Ok(Asked { protocol: Protocol::Json, operation: format!("{name}:{operation}"), body });
    }
    let form = request.form();
    if let Some(operation) = form.get("Action") {
        let service = match form.get("Version").map(String::as_str) {
            Some("2011-06-15") => "sts",
            _ => "elasticloadbalancing",
        };
        let operation = format!("{service}:{operation}");
        return Ok(Asked { protocol: Protocol::Query, operation, body: super::xml::nested(&form) });
    }
    let (operation, body) = super::schedules::understood(request)
        .ok_or_else(|| Fail::gap(&format!("{} {}", request.method, request.path)))?;
    Ok(Asked { protocol: Protocol::Rest, operation: format!("scheduler:{operation}"), body })
}

fn success(asked: &Asked, value: &Value) -> Answer {
    let operation = asked.operation.split_once(':').map_or("", |(_, operation)| operation);
    match asked.protocol {
        Protocol::Json => Answer::new(200, "application/x-amz-json-1.1", value.to_string()),
        Protocol::Rest => Answer::new(200, "application/json", value.to_string()),
        Protocol::Query => Answer::new(200, "text/xml", super::xml::answer(operation, value)),
    }
}

fn refusal(protocol: Protocol, fail: &Fail) -> Answer {
    let message = &fail.message;
    match protocol {
        Protocol::Json => {
            let body = json!({ "__type": fail.code, "message": message });
            Answer::new(fail.status, "application/x-amz-json-1.1", body.to_string())
        }
        Protocol::Rest => Answer {
            error: Some(fail.code.clone()),
            ..Answer::new(fail.status, "application/json", json!({ "Message": message }).to_string())
        },
        Protocol::Query => Answer::new(fail.status, "text/xml", super::xml::refusal(&fail.code, message)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecs_fake::value::Doc;

    #[test]
    fn each_protocol_is_understood() {
        let mut request = Request { body: br#"{"cluster": "main"}"#.to_vec(), ..Request::default() };
        request
            .headers
            .insert("x-amz-target".to_owned(), "AmazonEC2ContainerServiceV20141113.ListServices".to_owned());
        let asked = understood(&request).unwrap();
        assert_eq!((&*asked.operation, asked.body.text("cluster")), ("ecs:ListServices", Some("main")));
        let body = b"Action=GetCallerIdentity&Version=2011-06-15".to_vec();
        let request = Request { body, ..Request::default() };
        assert_eq!(understood(&request).unwrap().operation, "sts:GetCallerIdentity");
        let request =
            Request { method: "GET".to_owned(), path: "/schedules/daily".to_owned(), ..Request::default() };
        assert_eq!(understood(&request).unwrap().operation, "scheduler:GetSchedule");
    }
}
