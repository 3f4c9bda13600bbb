use serde::Serialize;

use crate::{
    spec::Spec,
    units::{Arn, HostName, HttpPath, Port, PortName},
};

/// A port of a service that is reached from outside, through what the target has: a load balancer, an ingress, a port of the machine.
#[derive(Clone, Debug, PartialEq, Serialize, Spec)]
pub struct Expose {
    /// The name of the port.
    pub port: PortName,
    /// The port of the machine on which a local engine publishes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publish: Option<Port>,
    /// The host name of requests that go to this service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<HostName>,
    /// The path prefix of requests that go to this service.
    #[spec(example = "/", example = "/api")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<HttpPath>,
    /// Whether it is reached from the internet rather than from inside the network only.
    #[spec(default)]
    pub public: bool,
    /// What the load balancer speaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Scheme>,
    /// The certificate with which TLS ends at the load balancer.
    #[spec(
        example = "arn:aws:acm:eu-central-1:111122223333:certificate/shop",
        example = "arn:aws:acm:eu-central-1:111122223333:certificate/other"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Arn>,
    /// The target group that a load balancer of yours already has for it.
    #[spec(
        example = "arn:aws:elasticloadbalancing:eu-central-1:111122223333:targetgroup/shop/73e2d6bc24d8a067",
        example = "arn:aws:elasticloadbalancing:eu-central-1:111122223333:targetgroup/other/73e2d6bc24d8a067"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_group: Option<Arn>,
}

/// What a load balancer speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Spec)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// HTTP.
    Http,
    /// HTTPS.
    Https,
    /// TCP, passed on as it is.
    Tcp,
    /// TLS that ends at the load balancer.
    Tls,
    /// UDP, passed on as it is.
    Udp,
}
