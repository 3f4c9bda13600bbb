//! What an ECS target is told.

use std::{fmt, str::FromStr};

use straddle_core::error::{Error, ErrorKind, Result};

/// The cluster where nothing is said, as every tool of AWS takes it.
pub(crate) const DEFAULT_CLUSTER: &str = "default";

/// Where tasks go, and what is there for them. Everything in it is there already and used by reference.
///
/// Every setting may be left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EcsConfig {
    /// The cluster, by its name; `default` where nothing is said.
    pub cluster: Option<String>,
    /// The region; that of the profile or of `AWS_REGION` where nothing is said.
    pub region: Option<String>,
    /// The profile of AWS.
    pub profile: Option<String>,
    /// The compute that tasks run on where a service does not say: Fargate unless told otherwise.
    pub launch: Option<Launch>,
    /// Capacity providers, in place of `compute`: `FARGATE_SPOT:3`, `FARGATE:1:2` (name, weight, base).
    pub capacity_providers: Vec<String>,
    /// The role with which ECS pulls images, reads secrets and writes logs.
    pub execution_role: Option<String>,
    /// The role that applications have where they name none.
    pub task_role: Option<String>,
    /// The role with which ECS manages EBS volumes, and moves traffic in a load balancer.
    pub infrastructure_role: Option<String>,
    /// The role with which EventBridge Scheduler runs tasks.
    pub schedule_role: Option<String>,
    /// Subnets of tasks with an interface of their own.
    pub subnets: Vec<String>,
    /// Their security groups.
    pub security_groups: Vec<String>,
    /// Whether they get a public address.
    pub public_ip: bool,
    /// The listener of a load balancer to which rules are added, by its ARN.
    pub listener: Option<String>,
    /// The Cloud Map namespace in which services find each other, by its name.
    pub namespace: Option<String>,
    /// How many days output is kept; for ever where nothing is said.
    pub log_retention: Option<u32>,
    /// Whether one `up` at a time is seen to, by a parameter in Parameter Store (`/straddle/<cluster>/<app>/lease`): yes. Who may not write there
    /// says no; what a plan was made from is read again before each change all the same.
    pub lease: bool,
}

impl Default for EcsConfig {
    fn default() -> Self {
        Self {
            cluster: None,
            region: None,
            profile: None,
            launch: None,
            capacity_providers: Vec::new(),
            execution_role: None,
            task_role: None,
            infrastructure_role: None,
            schedule_role: None,
            subnets: Vec::new(),
            security_groups: Vec::new(),
            public_ip: false,
            listener: None,
            namespace: None,
            log_retention: None,
            lease: true,
        }
    }
}

/// The compute that tasks run on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Launch {
    /// Instances of your own in EC2.
    Ec2,
    /// Machines outside AWS (ECS Anywhere).
    External,
    /// AWS Fargate.
    #[default]
    Fargate,
    /// Instances that ECS manages.
    ManagedInstances,
}

impl Launch {
    const NAMES: [(Self, &'static str, &'static str); 4] = [
        (Self::Ec2, "ec2", "EC2"),
        (Self::External, "external", "EXTERNAL"),
        (Self::Fargate, "fargate", "FARGATE"),
        (Self::ManagedInstances, "managed_instances", "MANAGED_INSTANCES"),
    ];

    /// Returns what ECS calls it.
    pub(crate) fn native(self) -> &'static str {
        Self::NAMES.iter().find(|(launch, ..)| *launch == self).map_or("FARGATE", |(.., native)| native)
    }
}

impl fmt::Display for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ec2 => "EC2",
            Self::External => "ECS Anywhere",
            Self::Fargate => "Fargate",
            Self::ManagedInstances => "Managed Instances",
        })
    }
}

impl FromStr for Launch {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::NAMES.iter().find(|(_, name, _)| *name == text).map(|(launch, ..)| *launch).ok_or_else(|| {
            Error::new(ErrorKind::Invalid, format!("ECS has no compute `{}`", text.escape_debug()))
                .with_help("write `compute` as fargate, ec2, external or managed_instances")
        })
    }
}

impl EcsConfig {
    /// Returns the cluster.
    #[must_use]
    pub fn cluster(&self) -> &str {
        self.cluster.as_deref().unwrap_or(DEFAULT_CLUSTER)
    }

    /// Refuses settings that cannot be meant.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) with the setting and what to write.
    pub fn check(&self) -> Result<()> {
        let Self {
            cluster,
            region: _,
            profile: _,
            launch,
            capacity_providers,
            execution_role,
            task_role,
            infrastructure_role,
            schedule_role,
            subnets,
            security_groups,
            public_ip: _,
            listener,
            namespace: _,
            log_retention,
            lease: _,
        } = self;
        let wrong =
            |message: String, help: &str| Err(Error::new(ErrorKind::Invalid, message).with_help(help));
        if let Some(cluster) = cluster
            && !is_name(cluster)
        {
            return wrong(
                format!("no cluster can be called `{}`", cluster.escape_debug()),
                "write its name, not its ARN: letters, digits, `-` and `_`",
            );
        }
        for item in capacity_providers {
            provider(item)?;
        }
        if launch.is_some() && !capacity_providers.is_empty() {
            return wrong(
                "`compute` and `capacity_providers` exclude each other".to_owned(),
                "write one of them",
            );
        }
        let arns = [
            ("execution_role", execution_role, ":role/"),
            ("task_role", task_role, ":role/"),
            ("infrastructure_role", infrastructure_role, ":role/"),
            ("schedule_role", schedule_role, ":role/"),
            ("listener", listener, ":listener/"),
        ];
        for (key, value, part) in arns {
            if let Some(value) = value
                && !(value.starts_with("arn:") && value.contains(part))
            {
                return wrong(
                    format!("`{key}` is no ARN: `{}`", value.escape_debug()),
                    "write it as `arn:aws:...`",
                );
            }
        }
        for (key, values, start, most) in
            [("subnets", subnets, "subnet-", 16), ("security_groups", security_groups, "sg-", 5)]
        {
            if let Some(value) = values.iter().find(|value| !value.starts_with(start)) {
                return wrong(
                    format!("`{key}` has `{}`", value.escape_debug()),
                    &format!("write ids that begin with `{start}`"),
                );
            }
            if values.len() > most {
                return wrong(format!("`{key}` has more than {most} ids"), "ECS takes no more");
            }
        }
        if let Some(days) = log_retention
            && !RETENTIONS.contains(days)
        {
            let all: Vec<String> = RETENTIONS.iter().map(ToString::to_string).collect();
            return wrong(
                format!("CloudWatch Logs keeps nothing for {days} days"),
                &format!("one of {}", all.join(", ")),
            );
        }
        Ok(())
    }
}

/// How many days CloudWatch Logs can keep output: values of
/// [PutRetentionPolicy](https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html).
const RETENTIONS: [u32; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];

fn is_name(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// Reads `NAME:WEIGHT:BASE`.
pub(crate) fn provider(text: &str) -> Result<(String, u32, u32)> {
    let mut parts = text.split(':');
    let name = parts.next().unwrap_or_default();
    let number = |part: Option<&str>, fallback: u32, most: u32| match part {
        None => Some(fallback),
        Some(text) => text.parse().ok().filter(|number| *number <= most),
    };
    let (weight, base) = (number(parts.next(), 1, 1000), number(parts.next(), 0, 100_000));
    match (weight, base, parts.next()) {
        (Some(weight), Some(base), None) if is_name(name) => Ok((name.to_owned(), weight, base)),
        _ => {
            Err(Error::new(ErrorKind::Invalid, format!("`{}` is no capacity provider", text.escape_debug()))
                .with_help("write `FARGATE_SPOT:3`, or `FARGATE:1:2` for a name, a weight and a base"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_have_a_weight_and_a_base() {
        assert_eq!(provider("FARGATE").unwrap(), ("FARGATE".to_owned(), 1, 0));
        assert_eq!(provider("mine:0:2").unwrap(), ("mine".to_owned(), 0, 2));
        for wrong in ["", ":1", "a:b", "a:1:2:3", "a:1001", "a b"] {
            assert!(provider(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn settings_that_cannot_be_meant_are_refused() {
        let config = EcsConfig::default;
        assert!(config().check().is_ok());
        let wrong = [
            EcsConfig { cluster: Some("arn:aws:ecs:eu-west-1:1:cluster/a".to_owned()), ..config() },
            EcsConfig { subnets: vec!["vpc-1".to_owned()], ..config() },
            EcsConfig { execution_role: Some("ecsTaskExecutionRole".to_owned()), ..config() },
            EcsConfig { log_retention: Some(2), ..config() },
            EcsConfig {
                launch: Some(Launch::Ec2),
                capacity_providers: vec!["FARGATE".to_owned()],
                ..config()
            },
        ];
        for config in wrong {
            assert_eq!(config.check().unwrap_err().kind(), ErrorKind::Invalid, "{config:?}");
        }
    }
}
