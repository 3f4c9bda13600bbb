//! Who a pod is to other systems.

use k8s_openapi::api::core::v1::ServiceAccount;
use straddle_core::{
    model::Identity,
    platform::{Output, Place, Resource, ResourceKey},
};

use super::{Around, object, pod::Owner};
use crate::names;

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
        if let Some(role) = aws_role {
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
    let annotation = place.child("metadata").child("annotations").child(ROLE);
    out.map(field.child("aws_role"), &[&annotation, &name_place]);
    let mut metadata = around.metadata(&name, owner.labels);
    metadata.annotations = Some([(ROLE.to_owned(), role.to_string())].into());
    let account = ServiceAccount { metadata, ..ServiceAccount::default() };
    Account { resource: Some(object::resource(ACCOUNT, &name, &account)), name: Some(name) }
}
