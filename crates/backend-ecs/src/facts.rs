//! What is read from AWS before anything is decided, and what is taken for granted offline.
//!
//! | fact | meaning |
//! |---|---|
//! | `ecs.account` | the account, of 12 digits |
//! | `ecs.region` | the region |
//! | `ecs.vpc` | the VPC of the target's load balancer |
//! | `ecs.namespace` | the id of the target's Cloud Map namespace |
//! | `ecs.namespace.dns` | whether it has names in DNS |
//! | `secret:<name>` | the ARN of a secret in Secrets Manager that is named without one |

use straddle_core::platform::Facts;

pub(crate) const ACCOUNT: &str = "ecs.account";
pub(crate) const REGION: &str = "ecs.region";
pub(crate) const VPC: &str = "ecs.vpc";
pub(crate) const NAMESPACE: &str = "ecs.namespace";
pub(crate) const NAMESPACE_DNS: &str = "ecs.namespace.dns";

/// Returns the name of the fact that tells the ARN of a secret.
pub(crate) fn secret(name: &str) -> String {
    format!("secret:{name}")
}

/// What is taken for granted where nobody was asked: words in place of what is only known there.
pub(crate) fn assumed() -> Facts {
    Facts::assumed()
        .with(ACCOUNT, "ACCOUNT")
        .with(REGION, "REGION")
        .with(VPC, "VPC")
        .with(NAMESPACE, "NAMESPACE")
        .with(NAMESPACE_DNS, true)
}
