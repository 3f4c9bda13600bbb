//! Health checks of targets.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};

use super::{Balancing, Registered, missing, number};
use crate::ecs_fake::{
    Shared,
    value::{Doc, Done, object},
};

const TICK: Duration = Duration::from_millis(50);

/// A check that is due.
struct Due {
    group: String,
    task: String,
    address: String,
    port: u16,
    path: Option<String>,
    codes: String,
    limit: Duration,
}

/// Looks after all targets, as long as the fake lives.
pub(in crate::ecs_fake) async fn check(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(TICK).await;
        for due in due(&shared) {
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                let found = probe(&due).await;
                note(&shared, &due, found);
            });
        }
    }
}

/// Returns the checks that are due, and lets those that are not real turn out as they are meant to.
fn due(shared: &Shared) -> Vec<Due> {
    let (now, mut all) = (Instant::now(), Vec::new());
    let mut world = shared.world();
    let balancing = &mut world.balancing;
    let attached: Vec<bool> =
        balancing.registered.iter().map(|target| balancing.is_attached(&target.group)).collect();
    let mut has_news = false;
    for (target, is_attached) in balancing.registered.iter_mut().zip(attached) {
        if target.state == "draining" || target.next_check > now {
            continue;
        }
        let Some(group) = balancing.groups.get(&target.group) else { continue };
        let document = &group.document;
        let seconds = |key: &str| u32::try_from(number(document, key).unwrap_or(30)).unwrap_or(30);
        let interval = Duration::from_secs(1)
            .mul_f64(f64::from(seconds("HealthCheckIntervalSeconds")) * shared.options.check_pace);
        if !is_attached {
            target.state = "unused";
            target.reason = Some((
                "Target.NotInUse",
                "Target group is not configured to receive traffic from the load balancer".to_owned(),
            ));
            continue;
        }
        if target.state == "unused" {
            target.state = "initial";
        }
        if !target.is_real {
            target.next_check = now + interval;
            let (state, reason) = if target.turns_healthy {
                ("healthy", None)
            } else {
                ("unhealthy", Some(("Target.FailedHealthChecks", "Health checks failed".to_owned())))
            };
            (target.state, target.reason) = (state, reason);
            has_news = true;
            continue;
        }
        target.next_check = now + interval;
        let port = document.text("HealthCheckPort").and_then(|port| port.parse().ok()).unwrap_or(target.port);
        let is_http =
            document.text("HealthCheckProtocol").is_some_and(|protocol| protocol.starts_with("HTTP"));
        all.push(Due {
            group: target.group.clone(),
            task: target.task.clone(),
            address: target.address.clone(),
            port,
            path: is_http.then(|| document.text("HealthCheckPath").unwrap_or("/").to_owned()),
            codes: document.get("Matcher").and_then(|one| one.text("HttpCode")).unwrap_or("200").to_owned(),
            limit: Duration::from_secs(u64::from(seconds("HealthCheckTimeoutSeconds"))),
        });
    }
    drop(world);
    if has_news {
        shared.wake.notify_one();
    }
    all
}

/// Looks at a target; says what is wrong.
async fn probe(due: &Due) -> Result<(), (&'static str, String)> {
    let failed = |_| ("Target.FailedHealthChecks", "Health checks failed".to_owned());
    let asking = async {
        let mut stream = TcpStream::connect((due.address.as_str(), due.port)).await?;
        let Some(path) = &due.path else { return Ok(None) };
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}:{}\r\nUser-Agent: ELB-HealthChecker/2.0\r\nConnection: close\r\n\r\n",
            due.address, due.port
        );
        stream.write_all(request.as_bytes()).await?;
        let mut start = [0; 12];
        stream.read_exact(&mut start).await?;
        Ok::<_, std::io::Error>(Some(String::from_utf8_lossy(&start[9..]).into_owned()))
    };
    let answered = timeout(due.limit, asking).await;
    let code = answered.map_err(|_| ("Target.Timeout", "Request timed out".to_owned()))?.map_err(failed)?;
    match code {
        Some(code) if !is_in(&due.codes, &code) => {
            Err(("Target.ResponseCodeMismatch", format!("Health checks failed with these codes: [{code}]")))
        }
        _ => Ok(()),
    }
}

/// Returns whether a code is one of `200`, `200,202` or `200-299`.
fn is_in(codes: &str, code: &str) -> bool {
    codes.split(',').any(|part| match part.split_once('-') {
        Some((from, to)) => (from.trim()..=to.trim()).contains(&code),
        None => part.trim() == code,
    })
}

fn note(shared: &Shared, due: &Due, found: Result<(), (&'static str, String)>) {
    let mut world = shared.world();
    let balancing = &mut world.balancing;
    let document = balancing.groups.get(&due.group).map(|group| group.document.clone()).unwrap_or_default();
    let threshold = |key: &str, usual: i64| number(&document, key).unwrap_or(usual);
    let is_meant = |target: &&mut Registered| target.group == due.group && target.task == due.task;
    let Some(target) = balancing.registered.iter_mut().find(is_meant).filter(|one| one.state != "draining")
    else {
        return;
    };
    match found {
        Ok(()) => {
            (target.good, target.bad) = (target.good + 1, 0);
            // A target that was just registered needs to pass once.
            if target.state == "initial" || target.good >= threshold("HealthyThresholdCount", 5) {
                (target.state, target.reason) = ("healthy", None);
            }
        }
        Err(reason) => {
            (target.good, target.bad) = (0, target.bad + 1);
            if target.bad >= threshold("UnhealthyThresholdCount", 2) {
                target.state = "unhealthy";
            }
            if target.state != "healthy" {
                target.reason = Some(reason);
            }
        }
    }
    drop(world);
    shared.wake.notify_one();
}

pub(super) fn describe(balancing: &Balancing, body: &Value) -> Done {
    let arn = body.text("TargetGroupArn").unwrap_or_default();
    let group = balancing.groups.get(arn).ok_or_else(|| missing("TargetGroupNotFound", "target groups"))?;
    let asked: Vec<&str> = body.list("Targets").iter().filter_map(|target| target.text("Id")).collect();
    let port = group.document.text("HealthCheckPort").filter(|port| *port != "traffic-port");
    let shown = balancing.registered.iter().filter(|target| {
        target.group == arn && (asked.is_empty() || asked.contains(&target.address.as_str()))
    });
    let shown = shown.map(|target| {
        object!({
            "Target": json!({ "Id": target.address, "Port": target.port, "AvailabilityZone": format!("{}a", balancing.names.region) }),
            "HealthCheckPort": port.map_or_else(|| target.port.to_string(), str::to_owned),
            "TargetHealth": object!({
                "State": target.state,
                "Reason": target.reason.as_ref().map(|(reason, _)| reason),
                "Description": target.reason.as_ref().map(|(_, text)| text),
            }),
        })
    });
    Ok(json!({ "TargetHealthDescriptions": shown.collect::<Vec<_>>() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_matched() {
        assert!(is_in("200", "200"));
        assert!(is_in("200-299,301", "204"));
        assert!(is_in("200-299,301", "301"));
        assert!(!is_in("200-299", "503"));
    }
}
