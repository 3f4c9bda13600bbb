//! What only EKS has: a cluster by its name and region, and tokens that are made in this program.
//!
//! Neither the `aws` command nor `aws-iam-authenticator` is needed, and no kubeconfig. The name of a cluster is asked for once
//! ([DescribeCluster](https://docs.aws.amazon.com/eks/latest/APIReference/API_DescribeCluster.html): its address and the certificate of its
//! authority); a token is made for the first request and renewed a minute before it ends.
//!
//! A token can be made without a cluster, for tools of one's own:
//!
//! ```
//! use straddle_eks::eks::{Credentials, Token};
//!
//! let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None);
//! let now = "2026-11-28T20:00:00Z".parse()?;
//! let token = Token::new(&credentials, "eu-west-1", "shop", now)?;
//! assert!(token.as_str().starts_with("k8s-aws-v1."));
//! assert_eq!(token.renew_at().to_string(), "2026-11-28T20:14:00Z");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bearer;
mod cluster;
#[cfg(test)]
mod tests;
mod token;

use std::sync::Arc;

use kube::{
    client::ClientBuilder,
    config::{Context, KubeConfigOptions, Kubeconfig, NamedCluster, NamedContext},
};
pub use straddle_aws::Credentials;
use straddle_aws::Session;
use straddle_core::{
    clock::{Clock, SystemClock},
    error::{Error, ErrorKind, Result},
};
use tower::{buffer::BufferLayer, filter::AsyncFilterLayer};

pub use self::token::Token;
use self::{
    bearer::{Bearer, Signer},
    cluster::Cluster,
};
use crate::{config::KubernetesConfig, error};

/// How many requests wait at most for a token.
const WAITING: usize = 1024;

/// Connects to the cluster that a configuration names by `cluster`; returns the client and what users read about where it is.
pub(crate) async fn connect(config: &KubernetesConfig, name: &str) -> Result<(kube::Client, String)> {
    let session = Session::load(config.region.as_deref(), config.profile.as_deref()).await?;
    by(session, name, Arc::new(SystemClock::new())).await
}

async fn by(session: Session, name: &str, clock: Arc<dyn Clock>) -> Result<(kube::Client, String)> {
    let cluster = cluster::describe(&session, name, &*clock).await?;
    if !cluster.is_public {
        tracing::info!(cluster = name, "its API server is reached inside its network only");
    }
    let signer = Signer { session, cluster: name.to_owned() };
    let client = client(&cluster, Bearer::new(signer, clock)).await?;
    Ok((client, format!("{}, {}", cluster.arn, cluster.endpoint.trim_end_matches('/'))))
}

/// Makes a client whose requests all carry a token.
async fn client(cluster: &Cluster, bearer: Bearer) -> Result<kube::Client> {
    let unusable = |failed: kube::config::KubeconfigError| {
        Error::new(ErrorKind::Invalid, format!("what EKS says about {} cannot be used", cluster.arn))
            .with_source(failed)
    };
    // The way in for certificates that are text.
    let entry = kube::config::Cluster {
        server: Some(cluster.endpoint.clone()),
        certificate_authority_data: Some(cluster.authority.clone()),
        ..kube::config::Cluster::default()
    };
    let context = Context { cluster: cluster.arn.clone(), ..Context::default() };
    let file = Kubeconfig {
        clusters: vec![NamedCluster {
            name: cluster.arn.clone(),
            cluster: Some(entry),
            ..NamedCluster::default()
        }],
        contexts: vec![NamedContext {
            name: cluster.arn.clone(),
            context: Some(context),
            ..NamedContext::default()
        }],
        current_context: Some(cluster.arn.clone()),
        ..Kubeconfig::default()
    };
    let config =
        kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.map_err(unusable)?;
    let builder = ClientBuilder::try_from(config).map_err(|failed| error::api("connect", failed))?;
    // What is below cannot be cloned, and the filter has to.
    let builder = builder.with_layer(&BufferLayer::new(WAITING)).with_layer(&AsyncFilterLayer::new(bearer));
    Ok(builder.build())
}
