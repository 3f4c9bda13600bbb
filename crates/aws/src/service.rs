//! The services that are called, and how each of them is spoken to.

/// How a service is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// AWS JSON 1.1: every call is a POST, and a header names the operation.
    Json {
        /// What stands before the operation: `AmazonEC2ContainerServiceV20141113`.
        target: &'static str,
    },
    /// AWS Query: a form is sent, and XML comes back.
    Query {
        /// The version of the API: `2015-12-01`.
        version: &'static str,
    },
    /// REST with JSON bodies.
    Rest,
}

/// A service of AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service {
    /// What it is called in configuration: `AWS_ENDPOINT_URL_<ID>`, in upper case and with `_` for spaces.
    pub id: &'static str,
    /// What its addresses begin with: `ecs` of `ecs.eu-west-1.amazonaws.com`.
    pub host: &'static str,
    /// What its calls are signed for.
    pub signing_name: &'static str,
    /// How it is spoken to.
    pub protocol: Protocol,
}

impl Service {
    /// Amazon ECS.
    pub const ECS: Self = Self::json("ECS", "ecs", "ecs", "AmazonEC2ContainerServiceV20141113");
    /// Amazon EKS.
    pub const EKS: Self = Self { id: "EKS", host: "eks", signing_name: "eks", protocol: Protocol::Rest };
    /// Amazon CloudWatch Logs.
    pub const LOGS: Self = Self::json("CloudWatch Logs", "logs", "logs", "Logs_20140328");
    /// Application Auto Scaling.
    pub const SCALING: Self = Self::json(
        "Application Auto Scaling",
        "application-autoscaling",
        "application-autoscaling",
        "AnyScaleFrontendService",
    );
    /// AWS Cloud Map.
    pub const CLOUD_MAP: Self =
        Self::json("ServiceDiscovery", "servicediscovery", "servicediscovery", "Route53AutoNaming_v20170314");
    /// AWS Systems Manager, for its Parameter Store.
    pub const SSM: Self = Self::json("SSM", "ssm", "ssm", "AmazonSSM");
    /// Elastic Load Balancing, of the second version.
    pub const BALANCING: Self = Self {
        id: "Elastic Load Balancing v2",
        host: "elasticloadbalancing",
        signing_name: "elasticloadbalancing",
        protocol: Protocol::Query { version: "2015-12-01" },
    };
    /// AWS Security Token Service.
    pub const STS: Self = Self {
        id: "STS",
        host: "sts",
        signing_name: "sts",
        protocol: Protocol::Query { version: "2011-06-15" },
    };
    /// Amazon EventBridge Scheduler.
    pub const SCHEDULER: Self =
        Self { id: "Scheduler", host: "scheduler", signing_name: "scheduler", protocol: Protocol::Rest };

    const fn json(
        id: &'static str,
        host: &'static str,
        signing_name: &'static str,
        target: &'static str,
    ) -> Self {
        Self { id, host, signing_name, protocol: Protocol::Json { target } }
    }
}
