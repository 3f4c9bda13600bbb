use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    spec::{Spec, escaped},
    units::{HttpPath, PortName, StatusRange, Timespan},
};

/// How a container is known to be healthy, with separate checks for engines that know several purposes.
#[derive(Clone, Debug, PartialEq, Serialize, Spec)]
pub struct Health {
    /// The check that holds wherever no special one is given.
    #[spec(flatten)]
    #[serde(flatten)]
    pub probe: Probe,
    /// The check that decides whether it has started (Kubernetes).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub startup: Option<Probe>,
    /// The check that decides whether it gets traffic (Kubernetes).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readiness: Option<Probe>,
    /// The check that decides whether it is restarted (Kubernetes).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub liveness: Option<Probe>,
}

/// One check. Several kinds may stand side by side: each engine takes the one that it does best.
#[derive(Clone, Debug, PartialEq, Serialize, Spec)]
pub struct Probe {
    /// A command inside the container that exits with 0 when it is healthy.
    #[spec(example = "[/web, --check]", example = "[/bin/true]")]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(serialize_with = "escaped")]
    pub exec: Option<Vec<String>>,
    /// A path that answers a GET request when it is healthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpPath>,
    /// The name of a port that accepts connections when it is healthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<PortName>,
    /// The name of a port that serves the gRPC health protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc: Option<PortName>,
    /// The name of the port for `http`; may be left out where the container has one port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<PortName>,
    /// The statuses that count as healthy for `http` (200-399 if nothing is said).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<StatusRange>,
    /// Headers that `http` sends.
    #[spec(default, example = "{Host: shop.example.com}", example = "{Host: localhost}")]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[serde(serialize_with = "escaped")]
    pub headers: BTreeMap<String, String>,
    /// The name that `grpc` asks for.
    #[spec(example = "shop.Web", example = "shop.Api")]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(serialize_with = "escaped")]
    pub grpc_service: Option<String>,
    /// The time between two checks.
    #[spec(default = Timespan::from_secs(10), example = "5s", example = "15s")]
    pub interval: Timespan,
    /// How long one check may take.
    #[spec(default = Timespan::from_secs(5), example = "2s", example = "4s")]
    pub timeout: Timespan,
    /// How many failures in a row make it unhealthy.
    #[spec(default = 3, example = "2", example = "5")]
    pub failures: u32,
    /// How long failures do not count after the start; the first success ends it.
    #[spec(default = Timespan::ZERO, example = "20s", example = "1m")]
    pub start_period: Timespan,
}

/// One way to check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProbeKind {
    /// A command inside the container.
    Exec,
    /// The gRPC health protocol.
    Grpc,
    /// A GET request.
    Http,
    /// A connection.
    Tcp,
}

impl Probe {
    /// Returns the kinds that are given, in the order of their names.
    #[must_use]
    pub fn kinds(&self) -> Vec<ProbeKind> {
        [
            (self.exec.is_some(), ProbeKind::Exec),
            (self.grpc.is_some(), ProbeKind::Grpc),
            (self.http.is_some(), ProbeKind::Http),
            (self.tcp.is_some(), ProbeKind::Tcp),
        ]
        .into_iter()
        .filter_map(|(given, kind)| given.then_some(kind))
        .collect()
    }
}
