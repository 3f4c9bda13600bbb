//! Who a pod is to other systems.

use k8s_openapi::api::core::v1::ServiceAccount;
use straddle_core::{
    finding::{Finding, FindingKind},
    model::Identity,
    path::FieldPath,
    platform::{Output, Place, Resource, ResourceKey},
    units::Arn,
};

use super::{Around, object, pod::Owner};
use crate::{AwsIdentity, Compute, names};

const ACCOUNT: &str = "ServiceAccount";
/// The annotation that gives an account a role of AWS.
const ROLE: &str = "eks.amazonaws.com/role-arn";

/// The account of a pod.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) name: Option<String>,
    /// The account, where it is our own.
    pub(super) resource: Option<Resource>,
}

/// Translates an identity: an account that exists is used as it is, and a role alone gets one of its own.
pub(super) fn identity(
    out: &mut Output,
    around: &Around<'_>,
    owner: &Owner<'_>,
    spec: &Place,
    identity: &Identity,
) -> Account {
    let Identity { aws_role, aws_execution_role, service_account } = identity;
    let field = owner.field.child("identity");
    if aws_execution_role.is_some() {
        let message = "it is for Amazon ECS: nodes pull images and keep logs by their own role here";
        out.elsewhere("kubernetes/execution-role", field.child("aws_execution_role"), message);
    }
    let name_place = spec.child("serviceAccountName");
    if let Some(name) = service_account {
        out.map(field.child("service_account"), &[&name_place]);
        if !object::is_object_name(name) {
            let message = "no service account of a cluster can have this name";
            let fix = "write its name as `kubectl get serviceaccounts` shows it";
            out.blocked("kubernetes/service-account", field.child("service_account"), message, fix);
        }
        if let Some(role) = aws_role
            && around.config.aws_identity == AwsIdentity::PodIdentity
        {
            associated(out, around, &field.child("aws_role"), name, role);
        } else if let Some(role) = aws_role {
            let message = format!(
                "the account `{name}` is used as it is: it has the role only if it carries `{ROLE}: {role}`"
            );
            out.adapted("kubernetes/aws-role", field.child("aws_role"), message);
        }
        return Account { name: Some(name.clone()), resource: None };
    }
    let Some(role) = aws_role else { return Account::default() };
    let name = names::object(owner.name);
    let place = Place::root(ResourceKey::new(ACCOUNT, name.as_str()));
    let mut metadata = around.metadata(&name, owner.labels);
    match around.config.aws_identity {
        AwsIdentity::Irsa => {
            let annotation = place.child("metadata").child("annotations").child(ROLE);
            out.map(field.child("aws_role"), &[&annotation, &name_place]);
            metadata.annotations = Some([(ROLE.to_owned(), role.to_string())].into());
        }
        AwsIdentity::PodIdentity => {
            out.map(field.child("aws_role"), &[&name_place]);
            associated(out, around, &field.child("aws_role"), &name, role);
        }
    }
    let account = ServiceAccount { metadata, ..ServiceAccount::default() };
    Account { resource: Some(object::resource(ACCOUNT, &name, &account)), name: Some(name) }
}

/// Says which association has to be there: it is EKS's own, and no object of the cluster.
///
/// See [Pod Identity](https://docs.aws.amazon.com/eks/latest/userguide/pod-id-association.html); Linux nodes only, not Fargate.
fn associated(out: &mut Output, around: &Around<'_>, field: &FieldPath, account: &str, role: &Arn) {
    if around.is_on(Compute::Fargate) {
        let message = "pods on EKS Fargate get no role by Pod Identity";
        let fix = "write `aws_identity: irsa` in the target";
        out.blocked("eks/fargate-pod-identity", field.clone(), message, fix);
        return;
    }
    let namespace = &around.namespace;
    let message = format!(
        "pods have the role only if EKS associates it with the account `{account}` in the namespace {namespace}"
    );
    let cluster = around.config.cluster.as_deref().unwrap_or("CLUSTER");
    let finding = Finding::new(FindingKind::Adapted, "eks/pod-identity", field.clone(), message);
    out.push(finding.with_fix(format!(
        "aws eks create-pod-identity-association --cluster-name {cluster} --namespace {namespace} --service-account {account} --role-arn {role}"
    )));
}
