//! From the name of an EKS cluster to where its API server is and what it shows.
//!
//! One signed request, sent by the HTTP client that speaks to clusters anyway: the SDK for EKS would be several times as much code as everything
//! else of AWS here.

use std::time::{Duration, SystemTime};

use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4::SigningParams,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{Request, Uri};
use http_body_util::{BodyExt, Limited};
use kube::client::Body;
use serde::Deserialize;
use straddle_aws::{Credentials, Service, Session, partition::check_region};
use straddle_core::{
    clock::Clock,
    error::{Error, ErrorKind, Result, Retry},
};

use super::token::check_cluster;

/// How often EKS is asked where it is throttled or away, with the wait after each time.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(1)];

/// How long EKS may take for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// The most that is read of an answer; a description has some kilobytes.
const MAX_BYTES: usize = 1 << 20;

/// A cluster that can be connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cluster {
    pub(super) arn: String,
    /// The address of its API server.
    pub(super) endpoint: String,
    /// The certificate of its authority: PEM, in base64.
    pub(super) authority: String,
    /// Whether its API server can be reached from outside its network.
    pub(super) is_public: bool,
}

/// Asks EKS about a cluster.
pub(super) async fn describe(session: &Session, name: &str, clock: &dyn Clock) -> Result<Cluster> {
    check_cluster(name)?;
    let credentials = session.credentials().await?;
    let place = Place { endpoint: session.endpoint(&Service::EKS), region: session.region(), name };
    let mut pauses = PAUSES.into_iter();
    loop {
        let failed = match place.ask(&credentials, clock).await {
            Ok(cluster) => return Ok(cluster),
            Err(failed) => failed,
        };
        match pauses.next().filter(|_| failed.retry() == Retry::Temporary) {
            Some(pause) => clock.sleep(pause).await,
            None => return Err(failed),
        }
    }
}

/// What is asked for, and where.
struct Place<'a> {
    endpoint: String,
    region: &'a str,
    name: &'a str,
}

impl Place<'_> {
    async fn ask(&self, credentials: &Credentials, clock: &dyn Clock) -> Result<Cluster> {
        let base: Uri = self.endpoint.trim_end_matches('/').parse().map_err(|_| {
            Error::new(ErrorKind::Invalid, format!("`{}` is no address of EKS", self.endpoint))
                .with_help("correct AWS_ENDPOINT_URL_EKS, AWS_ENDPOINT_URL or `endpoint_url` of the profile")
        })?;
        let mut config = kube::Config::new(base);
        config.default_retry = false;
        let client =
            kube::Client::try_from(config).map_err(|failed| self.unreachable().with_source(failed))?;
        let request = self.signed(credentials, clock).map_err(|failed| {
            Error::new(ErrorKind::Internal, "the question to EKS could not be signed").with_source(failed)
        })?;
        let asked = async {
            let answer =
                client.send(request).await.map_err(|failed| self.unreachable().with_source(failed))?;
            let (parts, body) = answer.into_parts();
            let bytes = Limited::new(body, MAX_BYTES).collect().await;
            let bytes = bytes.map_err(|failed| self.unreachable().with_source(failed))?.to_bytes();
            let code = parts.headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok());
            self.read(parts.status.as_u16(), code, &bytes)
        };
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.unreachable()),
        }
    }

    fn signed(
        &self,
        credentials: &Credentials,
        clock: &dyn Clock,
    ) -> std::result::Result<Request<Body>, Box<dyn std::error::Error + Send + Sync>> {
        check_region(self.region)?;
        let path = format!("/clusters/{}", self.name);
        let url = format!("{}{path}", self.endpoint.trim_end_matches('/'));
        let identity = credentials.inner().clone().into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name("eks")
            .time(SystemTime::from(clock.now()))
            .settings(SigningSettings::default())
            .build()?
            .into();
        let signable = SignableRequest::new("GET", url, std::iter::empty(), SignableBody::Bytes(&[]))?;
        let (instructions, _) = sign(signable, &params)?.into_parts();
        let mut request =
            Request::get(path).header(http::header::ACCEPT, "application/json").body(Body::empty())?;
        instructions.apply_to_request_http1x(&mut request);
        Ok(request)
    }

    fn unreachable(&self) -> Error {
        Error::new(ErrorKind::Unavailable, format!("EKS does not answer at {}", self.endpoint))
            .with_help("is the region right, and is AWS reached from here?")
    }

    /// Reads an answer.
    fn read(&self, status: u16, code: Option<&str>, body: &[u8]) -> Result<Cluster> {
        let (name, region) = (self.name, self.region);
        if status != 200 {
            return Err(self.refused(status, code, body));
        }
        let Ok(Described { cluster }) = serde_json::from_slice(body) else {
            return Err(self.foreign(status));
        };
        match cluster.status.as_str() {
            "ACTIVE" | "UPDATING" => {}
            "CREATING" | "PENDING" => {
                let message = format!("the EKS cluster `{name}` in {region} is still being made");
                let help =
                    format!("wait for it: `aws eks wait cluster-active --name {name} --region {region}`");
                return Err(Error::new(ErrorKind::Unavailable, message)
                    .with_help(help)
                    .with_retry(Retry::Permanent));
            }
            other => {
                let message = format!("the EKS cluster `{name}` in {region} is {}", other.to_lowercase());
                return Err(Error::new(ErrorKind::Unavailable, message).with_retry(Retry::Permanent));
            }
        }
        let missing = |what: &str| {
            let message = format!("EKS says no {what} of the cluster `{name}` in {region}");
            let help = "only clusters whose control plane EKS runs can be named by `cluster`: use a kubeconfig for others";
            Error::new(ErrorKind::Invalid, message).with_help(help)
        };
        let endpoint = cluster.endpoint.filter(|text| !text.is_empty()).ok_or_else(|| missing("address"))?;
        // With none that can be read, every certificate of the system would do.
        let authority = cluster.certificate_authority.data.filter(|text| is_certificate(text));
        Ok(Cluster {
            endpoint,
            authority: authority.ok_or_else(|| missing("certificate"))?,
            arn: cluster.arn,
            is_public: cluster.resources_vpc_config.endpoint_public_access.unwrap_or(true),
        })
    }

    /// Something that answers, and is not EKS.
    fn foreign(&self, status: u16) -> Error {
        let message = format!("{} answers with status {status} and what is no answer of EKS", self.endpoint);
        Error::new(ErrorKind::Unavailable, message)
            .with_help("is a proxy or a login page between here and AWS?")
    }

    fn refused(&self, status: u16, code: Option<&str>, body: &[u8]) -> Error {
        let (name, region) = (self.name, self.region);
        let Ok(refusal) = serde_json::from_slice::<Refusal>(body) else {
            return match status {
                400..=499 => self.foreign(status).with_retry(Retry::Permanent),
                _ => self.foreign(status),
            };
        };
        let code = code.map(str::to_owned).or(refusal.kind).unwrap_or_default();
        // `ResourceNotFoundException:http://internal.amazon.com/...`, and `com.amazonaws.eks#ResourceNotFoundException`.
        let code = code.split(':').next().unwrap_or_default();
        let code = code.rsplit('#').next().unwrap_or_default();
        let said =
            refusal.message.as_deref().and_then(|text| text.lines().next()).unwrap_or("no reason is given");
        let (kind, message, help) = match (code, status) {
            ("ResourceNotFoundException", _) => (
                ErrorKind::NotFound,
                format!("there is no EKS cluster `{name}` in {region} for these credentials"),
                format!(
                    "`aws eks list-clusters --region {region}` shows what there is; are `region` and `profile` right?"
                ),
            ),
            ("AccessDeniedException", _) => (
                ErrorKind::Denied,
                format!("EKS does not say where the cluster `{name}` is: {said}"),
                "allow eks:DescribeCluster to this identity, or name a `kubeconfig` in place of `cluster`"
                    .to_owned(),
            ),
            ("ThrottlingException" | "TooManyRequestsException" | "RequestLimitExceeded", _) | (_, 429) => (
                ErrorKind::Throttled,
                "EKS answers too many requests of this account".to_owned(),
                "try again in a minute".to_owned(),
            ),
            (
                "ExpiredTokenException"
                | "ExpiredToken"
                | "InvalidClientTokenId"
                | "InvalidSignatureException"
                | "SignatureDoesNotMatch"
                | "UnrecognizedClientException"
                | "MissingAuthenticationTokenException",
                _,
            ) => (
                ErrorKind::Denied,
                format!("AWS does not take these credentials: {said}"),
                "log in again; where that does not help: is the clock of this machine right?".to_owned(),
            ),
            (_, 500..) => (
                ErrorKind::Unavailable,
                format!("EKS has a failure of its own: {said}"),
                "try again in a minute".to_owned(),
            ),
            (_, 401 | 403) => (
                ErrorKind::Denied,
                format!("EKS does not say where the cluster `{name}` is: {said}"),
                "allow eks:DescribeCluster to this identity, or name a `kubeconfig` in place of `cluster`"
                    .to_owned(),
            ),
            _ => (
                ErrorKind::Invalid,
                format!("EKS refuses the question about the cluster `{name}`: {said}"),
                "are `cluster` and `region` right?".to_owned(),
            ),
        };
        Error::new(kind, message).with_help(help)
    }
}

fn is_certificate(text: &str) -> bool {
    let pem = STANDARD.decode(text).unwrap_or_default();
    String::from_utf8_lossy(&pem).contains("-----BEGIN CERTIFICATE-----")
}

#[derive(Deserialize)]
struct Described {
    cluster: Description,
}

/// What EKS says about a cluster, as far as it matters here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Description {
    #[serde(default)]
    arn: String,
    #[serde(default)]
    status: String,
    endpoint: Option<String>,
    #[serde(default)]
    certificate_authority: Authority,
    #[serde(default)]
    resources_vpc_config: Network,
}

#[derive(Default, Deserialize)]
struct Authority {
    data: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Network {
    endpoint_public_access: Option<bool>,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(alias = "Message")]
    message: Option<String>,
    #[serde(rename = "__type", alias = "code")]
    kind: Option<String>,
}
