//! Secrets: ECS reads them when a container starts, with the execution role, from Secrets Manager or Parameter Store.

use straddle_core::{
    model::{Container, Secret},
    path::FieldPath,
    platform::{Output, Place},
    units::{SecretRef, SecretSource as Source},
};

use super::{Around, task::Task};
use crate::{document::SecretSource, facts};

const CODE: &str = "ecs/secret";

/// Translates the secrets of a container.
pub(super) fn variables(
    out: &mut Output,
    around: &Around<'_>,
    task: &Task<'_>,
    (field, place): (&FieldPath, &Place),
    container: &Container,
) -> Vec<SecretSource> {
    let mut native = Vec::new();
    for (name, Secret { from, local }) in &container.secrets {
        let field = field.child("secrets").child(name.as_str());
        if local.is_some() {
            out.elsewhere(CODE, field.child("local"), "it is for a local engine: `from` is used");
        }
        let field = field.child("from");
        let Some(value_from) = value_from(out, around, &field, from) else { continue };
        out.map(field.clone(), &[&place.child("secrets").index(native.len()).child("valueFrom")]);
        needs_role(out, task, &field, "read it");
        native.push(SecretSource { name: name.to_string(), value_from });
    }
    native
}

/// Says that nobody may do what the execution role is for.
pub(super) fn needs_role(out: &mut Output, task: &Task<'_>, field: &FieldPath, what: &str) {
    if task.execution_role.is_none() {
        let message = format!("ECS has no role with which to {what}");
        out.blocked(
            "ecs/execution-role",
            field.clone(),
            message,
            "set `execution_role` of the target, or `identity: {aws_execution_role: arn:...}`",
        );
    }
}

/// Returns where ECS finds a secret, in one of the forms of
/// [valueFrom](https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Secret.html).
pub(super) fn value_from(
    out: &mut Output,
    around: &Around<'_>,
    field: &FieldPath,
    reference: &SecretRef,
) -> Option<String> {
    match reference.source() {
        Source::AwsSecretsManager => {
            let arn = secrets_manager(around, reference.name());
            // name:json-key:version-stage:version-id; empty parts keep their colons.
            Some(match reference.key() {
                Some(key) => format!("{arn}:{key}::"),
                None => arn,
            })
        }
        Source::AwsSsm => Some(reference.name().to_owned()),
        Source::Env | Source::File => {
            let message = "it is on the machine of the user, where ECS does not read";
            out.blocked(
                CODE,
                field.clone(),
                message,
                "keep it in Secrets Manager (`aws-secretsmanager:NAME`) and leave this one as `local`",
            );
            None
        }
        Source::Kubernetes => {
            let message = "it is in a cluster of Kubernetes, where ECS does not read";
            out.blocked(
                CODE,
                field.clone(),
                message,
                "keep it in Secrets Manager: `aws-secretsmanager:NAME#KEY`",
            );
            None
        }
    }
}

/// Returns the ARN of a secret: as it is written, as it was looked up, or without the six letters that Secrets Manager adds to names.
fn secrets_manager(around: &Around<'_>, name: &str) -> String {
    if name.starts_with("arn:") {
        return name.to_owned();
    }
    if let Some(arn) = around.facts.text(&facts::secret(name)) {
        return arn.to_owned();
    }
    let (region, account) = (around.fact(facts::REGION), around.fact(facts::ACCOUNT));
    format!("arn:{}:secretsmanager:{region}:{account}:secret:{name}", partition(region))
}

/// Returns the partition of a region, as ARNs name it.
pub(super) fn partition(region: &str) -> &'static str {
    straddle_aws::partition::name(region)
}

/// Returns the secret that holds the user and password of a registry.
pub(super) fn registry(
    out: &mut Output,
    around: &Around<'_>,
    field: &FieldPath,
    reference: &SecretRef,
) -> Option<String> {
    if reference.source() == Source::AwsSecretsManager && reference.key().is_none() {
        return Some(secrets_manager(around, reference.name()));
    }
    let message = "ECS reads the user and password of a registry from one secret in Secrets Manager";
    let fix = "write `aws-secretsmanager:NAME`, whose value is `{\"username\": ..., \"password\": ...}`, or leave it out for ECR";
    out.blocked("ecs/registry-credentials", field.clone(), message, fix);
    None
}
