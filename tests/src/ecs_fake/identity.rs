//! Who somebody is.

use serde_json::{Value, json};

use super::{
    state::World,
    value::{Done, Fail},
};

pub(super) fn answer(world: &World, operation: &str) -> Done<Value> {
    let account = &world.ecs.names.account;
    match operation {
        "GetCallerIdentity" => Ok(json!({
            "Arn": format!("arn:aws:iam::{account}:user/tests"),
            "UserId": "AIDATESTS",
            "Account": account,
        })),
        other => Err(Fail::gap(&format!("sts:{other}"))),
    }
}
