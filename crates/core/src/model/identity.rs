use serde::Serialize;

use crate::{
    spec::{Spec, escaped},
    units::Arn,
};

/// Who a task is to other systems.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Spec)]
pub struct Identity {
    /// The IAM role that the application has: task role on ECS, through the service account on EKS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aws_role: Option<Arn>,
    /// The IAM role with which ECS pulls the image, reads secrets and writes logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aws_execution_role: Option<Arn>,
    /// The Kubernetes service account.
    #[spec(example = "shop-web", example = "shop-worker")]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(serialize_with = "escaped")]
    pub service_account: Option<String>,
}
