//! Health checks.

use straddle_core::{
    model::{Container, Health, Probe, ProbeKind},
    path::FieldPath,
    platform::{Output, Place},
    units::StatusRange,
};

use crate::document::HealthDocument;

/// How much longer the engine waits than the helper, which says itself what has not answered in time.
const MARGIN_MS: u64 = 1000;

/// Translates a health check. Docker knows one kind of check for one purpose, a command: the others run the helper in the container.
pub(super) fn health(
    out: &mut Output,
    field: &FieldPath,
    place: &Place,
    container: &Container,
    health: &Health,
) -> Option<HealthDocument> {
    let Health { probe, startup, readiness, liveness } = health;
    for (key, special) in [("startup", startup), ("readiness", readiness), ("liveness", liveness)] {
        if special.is_some() {
            out.elsewhere(
                "docker/health-purpose",
                field.child(key),
                "Docker has one check for every purpose",
            );
        }
    }
    let Probe {
        exec,
        http,
        tcp,
        grpc,
        port,
        status,
        headers,
        grpc_service,
        interval,
        timeout,
        failures,
        start_period,
    } = probe;
    let Some(kind) = chosen(probe) else {
        // Only checks for special purposes are given.
        for key in ["interval", "timeout", "failures", "start_period"] {
            out.elsewhere(
                "docker/health-purpose",
                field.child(key),
                "there is no check that holds for every purpose",
            );
        }
        return None;
    };
    let test = place.child("test");
    let seconds = format!("{}ms", timeout.millis());
    let number = |name: &str| {
        container
            .ports
            .iter()
            .find(|port| port.name.as_ref().is_some_and(|own| own.as_str() == name))
            .map(|port| port.port.to_string())
    };
    let only = || container.ports.first().map(|port| port.port.to_string());
    let mut command = vec!["CMD".to_owned()];
    let helper = |command: &mut Vec<String>, kind: &str, port: Option<String>| {
        let words = [
            straddle_helper::PROGRAM,
            "probe",
            kind,
            "--port",
            &port.unwrap_or_default(),
            "--timeout",
            &seconds,
        ];
        command.extend(words.map(str::to_owned));
    };
    match kind {
        ProbeKind::Exec => command.extend(exec.iter().flatten().cloned()),
        ProbeKind::Http => {
            helper(&mut command, "http", port.as_ref().map_or_else(only, |port| number(port.as_str())));
            let path = http.as_ref().map(ToString::to_string).unwrap_or_default();
            let range = status.unwrap_or(StatusRange::DEFAULT).to_string();
            command.extend(["--path".to_owned(), path, "--status".to_owned(), range]);
            for (name, value) in headers {
                command.extend(["--header".to_owned(), format!("{name}: {value}")]);
            }
        }
        ProbeKind::Tcp => helper(&mut command, "tcp", tcp.as_ref().and_then(|port| number(port.as_str()))),
        ProbeKind::Grpc => {
            helper(&mut command, "grpc", grpc.as_ref().and_then(|port| number(port.as_str())));
            if let Some(service) = grpc_service {
                command.extend(["--service".to_owned(), service.clone()]);
            }
        }
    }
    let mut mark = |given: bool, of: ProbeKind, key: FieldPath| {
        if given && of == kind {
            out.map(key, &[&test]);
        } else if given {
            out.elsewhere("docker/health-kind", key, "another kind of check is used here");
        }
    };
    for at in 0..exec.as_ref().map_or(0, Vec::len) {
        mark(true, ProbeKind::Exec, field.child("exec").index(at));
    }
    mark(http.is_some(), ProbeKind::Http, field.child("http"));
    mark(port.is_some(), ProbeKind::Http, field.child("port"));
    mark(status.is_some(), ProbeKind::Http, field.child("status"));
    for name in headers.keys() {
        mark(true, ProbeKind::Http, field.child("headers").child(name.as_str()));
    }
    mark(tcp.is_some(), ProbeKind::Tcp, field.child("tcp"));
    mark(grpc.is_some(), ProbeKind::Grpc, field.child("grpc"));
    mark(grpc_service.is_some(), ProbeKind::Grpc, field.child("grpc_service"));
    out.map(field.child("interval"), &[&place.child("interval_ms")]);
    out.map(field.child("timeout"), &[&place.child("timeout_ms")]);
    out.map(field.child("failures"), &[&place.child("retries")]);
    out.map(field.child("start_period"), &[&place.child("start_period_ms")]);
    Some(HealthDocument {
        test: command,
        interval_ms: interval.millis(),
        timeout_ms: timeout.millis() + if kind == ProbeKind::Exec { 0 } else { MARGIN_MS },
        retries: *failures,
        start_period_ms: start_period.millis(),
    })
}

/// Returns the kind that is used: a command needs nothing from us, the others need the helper.
fn chosen(probe: &Probe) -> Option<ProbeKind> {
    let given = probe.kinds();
    [ProbeKind::Exec, ProbeKind::Http, ProbeKind::Grpc, ProbeKind::Tcp]
        .into_iter()
        .find(|kind| given.contains(kind))
}
