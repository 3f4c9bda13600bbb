//! Health checks, as probes that need no shell.

use k8s_openapi::api::core::v1::{
    ExecAction, GRPCAction, HTTPGetAction, HTTPHeader, Probe as Native, TCPSocketAction,
};
use straddle_core::{
    model::{Container, Health, Probe, ProbeKind},
    path::FieldPath,
    platform::{Output, Place},
    units::{PortName, StatusRange, Timespan},
};

use super::{
    depends::{Awaited, Role},
    object,
};

const PURPOSE: &str = "kubernetes/health-purpose";

/// The probes of a container.
#[derive(Clone, Debug, Default)]
pub(super) struct Probes {
    pub(super) startup: Option<Native>,
    pub(super) readiness: Option<Native>,
    pub(super) liveness: Option<Native>,
}

/// What the check that holds for every purpose is used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Purposes {
    startup: bool,
    readiness: bool,
    liveness: bool,
}

/// The container that is checked.
pub(super) struct Checked<'a> {
    pub(super) container: &'a Container,
    pub(super) role: Role,
    pub(super) demand: Awaited,
    pub(super) is_service: bool,
    pub(super) place: &'a Place,
}

/// Translates a health check.
///
/// The check that holds for every purpose decides about the start, traffic and a restart. A sidecar whose health nobody awaits has no startup
/// probe from it, since others would wait for that. A run ends with its main container, whatever its health is.
pub(super) fn health(out: &mut Output, field: &FieldPath, checked: &Checked<'_>, health: &Health) -> Probes {
    let Health { probe, startup, readiness, liveness } = health;
    let special = [("startup", startup), ("readiness", readiness), ("liveness", liveness)];
    if checked.role == Role::Init {
        let why = "a container that ends before others start is not checked";
        unused(out, field, probe, why);
        for (key, special) in special {
            if let Some(special) = special {
                unused(out, &field.child(key), special, why);
            }
        }
        return Probes::default();
    }
    let is_run = checked.role == Role::Main && !checked.is_service;
    let is_unchecked = checked.role == Role::Sidecar && !checked.demand.healthy;
    let purposes = Purposes {
        startup: startup.is_none() && !is_run && !is_unchecked,
        readiness: readiness.is_none(),
        liveness: liveness.is_none() && !is_run,
    };
    let mut probes = general(out, field, checked, probe, purposes);
    if let Some(special) = startup {
        let field = field.child("startup");
        let target = checked.place.child("startupProbe");
        probes.startup = one(out, &field, checked, special, &[&target]).map(|native| {
            start_period(out, &field, special, &target, "failureThreshold");
            with_start(native, special)
        });
        if is_unchecked {
            let message = "others wait for it, too, since it has a check of its start";
            out.adapted("kubernetes/order", field.child("interval"), message);
        }
    }
    if let Some(special) = readiness {
        let field = field.child("readiness");
        probes.readiness = one(out, &field, checked, special, &[&checked.place.child("readinessProbe")]);
        if special.start_period != Timespan::ZERO {
            let message = "it gets no traffic before its first success";
            out.ignored(PURPOSE, field.child("start_period"), message);
        }
    }
    if let Some(special) = liveness {
        let (field, target) = (field.child("liveness"), checked.place.child("livenessProbe"));
        probes.liveness = one(out, &field, checked, special, &[&target]).map(|native| {
            start_period(out, &field, special, &target, "initialDelaySeconds");
            with_delay(native, special.start_period)
        });
    }
    if checked.demand.healthy && probes.startup.is_none() {
        // Others wait for a startup probe only.
        probes.startup = probes.readiness.clone().or_else(|| probes.liveness.clone());
    }
    probes
}

fn general(
    out: &mut Output,
    field: &FieldPath,
    checked: &Checked<'_>,
    probe: &Probe,
    purposes: Purposes,
) -> Probes {
    let Purposes { startup, readiness, liveness } = purposes;
    if probe.kinds().is_empty() || purposes == Purposes::default() {
        unused(out, field, probe, "the checks for special purposes take its place");
        return Probes::default();
    }
    let targets: Vec<Place> =
        [(startup, "startupProbe"), (readiness, "readinessProbe"), (liveness, "livenessProbe")]
            .into_iter()
            .filter(|(used, _)| *used)
            .map(|(_, key)| checked.place.child(key))
            .collect();
    let Some(native) = one(out, field, checked, probe, &targets.iter().collect::<Vec<_>>()) else {
        return Probes::default();
    };
    if startup {
        start_period(out, field, probe, &checked.place.child("startupProbe"), "failureThreshold");
    } else if liveness {
        start_period(out, field, probe, &checked.place.child("livenessProbe"), "initialDelaySeconds");
    } else if probe.start_period != Timespan::ZERO {
        let message = "it is not ready before its first success";
        out.ignored(PURPOSE, field.child("start_period"), message);
    }
    let live = if startup { native.clone() } else { with_delay(native.clone(), probe.start_period) };
    Probes {
        startup: startup.then(|| with_start(native.clone(), probe)),
        readiness: readiness.then_some(native),
        liveness: liveness.then_some(live),
    }
}

fn start_period(out: &mut Output, field: &FieldPath, probe: &Probe, target: &Place, key: &str) {
    let field = field.child("start_period");
    let is_whole = probe.start_period.millis().is_multiple_of(probe.interval.millis().max(1));
    if key == "failureThreshold" && !is_whole {
        let message = "Kubernetes counts checks: it is rounded up to the next one";
        out.adapted("kubernetes/start-period", field.clone(), message);
    }
    out.map(field, &[&target.child(key)]);
}

/// A start may fail as often as its period has checks, and then as often as any time.
fn with_start(mut native: Native, probe: &Probe) -> Native {
    let checks = probe.start_period.millis().div_ceil(probe.interval.millis().max(1));
    native.failure_threshold = Some(object::number(checks.saturating_add(u64::from(probe.failures))));
    native
}

fn with_delay(mut native: Native, delay: Timespan) -> Native {
    native.initial_delay_seconds = (delay != Timespan::ZERO).then(|| object::number(delay.seconds()));
    native
}

/// Translates one check, written to each of the places.
fn one(
    out: &mut Output,
    field: &FieldPath,
    checked: &Checked<'_>,
    probe: &Probe,
    targets: &[&Place],
) -> Option<Native> {
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
        start_period: _,
    } = probe;
    let kind = chosen(probe)?;
    let number = |name: Option<&PortName>| port_of(checked.container, name);
    let mut native = Native::default();
    let key = match kind {
        ProbeKind::Exec => {
            native.exec = Some(ExecAction { command: exec.clone() });
            "exec"
        }
        ProbeKind::Grpc => {
            native.grpc = Some(GRPCAction { port: number(grpc.as_ref()), service: grpc_service.clone() });
            "grpc"
        }
        ProbeKind::Http => {
            let headers =
                headers.iter().map(|(name, value)| HTTPHeader { name: name.clone(), value: value.clone() });
            native.http_get = Some(HTTPGetAction {
                path: http.as_ref().map(ToString::to_string),
                port: object::int(number(port.as_ref())),
                http_headers: object::list(headers.collect()),
                ..HTTPGetAction::default()
            });
            "httpGet"
        }
        ProbeKind::Tcp => {
            native.tcp_socket = Some(TCPSocketAction { port: object::int(number(tcp.as_ref())), host: None });
            "tcpSocket"
        }
    };
    let actions: Vec<Place> = targets.iter().map(|place| place.child(key)).collect();
    let actions: Vec<&Place> = actions.iter().collect();
    let mut mark = |given: bool, of: ProbeKind, path: FieldPath| {
        if given && of == kind {
            out.map(path, &actions);
        } else if given {
            out.elsewhere("kubernetes/health-kind", path, "another kind of check is used here");
        }
    };
    for at in 0..exec.as_ref().map_or(0, Vec::len) {
        mark(true, ProbeKind::Exec, field.child("exec").index(at));
    }
    for name in headers.keys() {
        mark(true, ProbeKind::Http, field.child("headers").child(name.as_str()));
    }
    for (given, of, key) in [
        (http.is_some(), ProbeKind::Http, "http"),
        (port.is_some(), ProbeKind::Http, "port"),
        (status.is_some(), ProbeKind::Http, "status"),
        (tcp.is_some(), ProbeKind::Tcp, "tcp"),
        (grpc.is_some(), ProbeKind::Grpc, "grpc"),
        (grpc_service.is_some(), ProbeKind::Grpc, "grpc_service"),
    ] {
        mark(given, of, field.child(key));
    }
    if let Some(status) = status.filter(|_| kind == ProbeKind::Http) {
        statuses(out, field.child("status"), status);
    }
    native.period_seconds = Some(object::seconds(out, &field.child("interval"), *interval).max(1));
    native.timeout_seconds = Some(object::seconds(out, &field.child("timeout"), *timeout).max(1));
    native.failure_threshold = Some(object::number(*failures));
    native.success_threshold = Some(1);
    for (key, name) in
        [("interval", "periodSeconds"), ("timeout", "timeoutSeconds"), ("failures", "failureThreshold")]
    {
        let places: Vec<Place> = targets.iter().map(|place| place.child(name)).collect();
        out.map(field.child(key), &places.iter().collect::<Vec<_>>());
    }
    Some(native)
}

/// Kubernetes takes every status from 200 to 399 for healthy, and no other.
fn statuses(out: &mut Output, path: FieldPath, status: StatusRange) {
    let known = StatusRange::DEFAULT;
    if status.first() < known.first() || status.last() > known.last() {
        let message = format!("Kubernetes takes {known} for healthy, and no other status");
        out.blocked("kubernetes/health-status", path, message, "check another path, or by `exec` or `tcp`");
    } else if status != known {
        let message = format!("Kubernetes takes every status of {known} for healthy");
        out.adapted("kubernetes/health-status", path, message);
    }
}

/// Answers every field of a check that is not used.
fn unused(out: &mut Output, field: &FieldPath, probe: &Probe, why: &str) {
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
    for at in 0..exec.as_ref().map_or(0, Vec::len) {
        out.ignored(PURPOSE, field.child("exec").index(at), why);
    }
    for name in headers.keys() {
        out.ignored(PURPOSE, field.child("headers").child(name.as_str()), why);
    }
    // What nobody wrote is no finding.
    for (given, key) in [
        (http.is_some(), "http"),
        (port.is_some(), "port"),
        (status.is_some(), "status"),
        (tcp.is_some(), "tcp"),
        (grpc.is_some(), "grpc"),
        (grpc_service.is_some(), "grpc_service"),
        (*interval != Timespan::from_secs(10), "interval"),
        (*timeout != Timespan::from_secs(5), "timeout"),
        (*failures != 3, "failures"),
        (*start_period != Timespan::ZERO, "start_period"),
    ] {
        if given {
            out.ignored(PURPOSE, field.child(key), why);
        }
    }
}

/// Returns the kind that is used: what the kubelet does by itself comes before what needs a process in the container.
fn chosen(probe: &Probe) -> Option<ProbeKind> {
    let given = probe.kinds();
    [ProbeKind::Http, ProbeKind::Grpc, ProbeKind::Tcp, ProbeKind::Exec]
        .into_iter()
        .find(|kind| given.contains(kind))
}

/// Returns the number of a port of the container; of its only one where none is named.
fn port_of(container: &Container, name: Option<&PortName>) -> i32 {
    let mut ports = container.ports.iter();
    let port = match name {
        Some(name) => ports.find(|port| port.name.as_ref() == Some(name)),
        None => ports.next(),
    };
    port.map_or(0, |port| i32::from(port.port.number()))
}
