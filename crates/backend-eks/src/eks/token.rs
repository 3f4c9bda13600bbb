//! Tokens for the API server of an EKS cluster; pure.
//!
//! A token is a request to STS, signed but not sent: the API server sends it and learns who signed it. The name of the cluster is signed with
//! it, so that no other cluster can use it. What is allowed is decided by the [verifier].
//!
//! [verifier]: https://github.com/kubernetes-sigs/aws-iam-authenticator/blob/v0.6.13/pkg/token/token.go

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign},
    sign::v4::SigningParams,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use straddle_aws::{Credentials, partition};
use straddle_core::error::{Error, ErrorKind, Result};

/// The header that binds a token to a cluster.
const CLUSTER_HEADER: &str = "x-k8s-aws-id";

const PREFIX: &str = "k8s-aws-v1.";

/// What the request says about how long it is valid: STS takes no notice of it, and verifiers before 0.4 take at most a minute.
const EXPIRES_IN: Duration = Duration::from_secs(60);

/// How long STS takes a signed request, from its date on.
const VALID: Duration = Duration::from_secs(15 * 60);

/// How long before its end a token is renewed.
const MARGIN: Duration = Duration::from_secs(60);

/// The longest token that a verifier reads.
const MAX_BYTES: usize = 4096;

/// A bearer token for the API server of one EKS cluster.
///
/// It is as good as a password while it is valid, so that `Debug` does not show it.
#[derive(Clone)]
pub struct Token {
    text: String,
    expires: Timestamp,
    renew_at: Timestamp,
}

impl Token {
    /// Makes a token; nothing is sent. `cluster` is its name (no ARN), `region` the one that it is in.
    ///
    /// It is valid for 15 minutes from `now` on, or until the credentials expire.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) where the region or cluster cannot be called so, or credentials are so long that no verifier would read
    /// the token; [`Denied`](ErrorKind::Denied) where the credentials have expired.
    pub fn new(credentials: &Credentials, region: &str, cluster: &str, now: Timestamp) -> Result<Self> {
        partition::check_region(region)?;
        check_cluster(cluster)?;
        let end = now.saturating_add(signed(VALID)).map_err(|failed| unsigned(Box::new(failed)))?;
        let expires = credentials.expires().map_or(end, |expires| expires.min(end));
        if expires <= now {
            let help = "renew them: `aws sso login`, or whatever they come from";
            return Err(Error::new(ErrorKind::Denied, "the AWS credentials have expired").with_help(help));
        }
        let url = url(credentials, region, cluster, now).map_err(unsigned)?;
        let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(url));
        if text.len() > MAX_BYTES {
            let message = format!(
                "the token for the cluster would have {} bytes, and API servers read {MAX_BYTES}: the session token of the AWS credentials is \
                 too long",
                text.len()
            );
            return Err(Error::new(ErrorKind::Invalid, message)
                .with_help("give the session fewer or shorter tags and policies"));
        }
        let renew_at = expires.saturating_sub(signed(MARGIN)).unwrap_or(now);
        Ok(Self { text, expires, renew_at })
    }

    /// Returns what stands after `Bearer` in the header of a request.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns when it ends.
    #[must_use]
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// Returns when another one should take its place: a minute before it ends.
    #[must_use]
    pub fn renew_at(&self) -> Timestamp {
        self.renew_at
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// Refuses what EKS calls no cluster: a header holds it, and a message shows it.
pub(super) fn check_cluster(name: &str) -> Result<()> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let starts = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if starts && name.len() <= 100 && name.bytes().all(fits) {
        return Ok(());
    }
    let message = format!("no EKS cluster is called `{}`", name.escape_debug());
    Err(Error::new(ErrorKind::Invalid, message)
        .with_help("write its name, as `aws eks list-clusters` shows it, not its ARN"))
}

fn signed(span: Duration) -> jiff::SignedDuration {
    jiff::SignedDuration::try_from(span).unwrap_or(jiff::SignedDuration::MAX)
}

fn unsigned(source: Box<dyn std::error::Error + Send + Sync>) -> Error {
    Error::new(ErrorKind::Internal, "the token for the cluster could not be signed").with_source(source)
}

/// Signs the request that the API server will send.
fn url(
    credentials: &Credentials,
    region: &str,
    cluster: &str,
    now: Timestamp,
) -> std::result::Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let host = partition::host("sts", region);
    let mut request =
        http::Request::get(format!("https://{host}/?Action=GetCallerIdentity&Version=2011-06-15"))
            .header(CLUSTER_HEADER, cluster)
            .body(())?;
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(EXPIRES_IN);
    let identity = credentials.inner().clone().into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("sts")
        .time(SystemTime::from(now))
        .settings(settings)
        .build()?
        .into();
    let uri = request.uri().to_string();
    let headers = [(CLUSTER_HEADER, cluster)].into_iter();
    let signable = SignableRequest::new("GET", uri, headers, SignableBody::Bytes(&[]))?;
    let (instructions, _) = sign(signable, &params)?.into_parts();
    instructions.apply_to_request_http1x(&mut request);
    Ok(request.uri().to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const NOW: &str = "2026-11-28T20:00:00Z";

    fn credentials() -> Credentials {
        Credentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None, None)
    }

    fn token(credentials: &Credentials) -> Token {
        Token::new(credentials, "eu-west-1", "shop-prod", NOW.parse().unwrap()).unwrap()
    }

    fn read(token: &Token) -> (String, BTreeMap<String, Vec<String>>) {
        let url = URL_SAFE_NO_PAD.decode(token.as_str().strip_prefix(PREFIX).unwrap()).unwrap();
        let url = String::from_utf8(url).unwrap();
        let (place, query) = url.split_once('?').unwrap();
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for pair in query.split('&') {
            let (key, value) = pair.split_once('=').unwrap();
            found.entry(key.to_owned()).or_default().push(value.replace("%2F", "/").replace("%3B", ";"));
        }
        (place.to_owned(), found)
    }

    /// Each row is a rule of the verifier, in its order.
    #[test]
    fn a_token_keeps_the_rules_of_the_verifier() {
        let session = "FwoGZXIvYXdzEXAMPLE+/=";
        let plain = credentials();
        let with_session = Credentials::new(
            "ASIAEXAMPLE",
            "secret",
            Some(session),
            Some("2026-11-28T21:00:00Z".parse().unwrap()),
        );
        for (credentials, has_session) in [(&plain, false), (&with_session, true)] {
            let token = token(credentials);
            let (place, query) = read(&token);
            let one = |key: &str| match query.get(key).map(Vec::as_slice) {
                Some([only]) => only.clone(),
                other => panic!("{key} is there {} times", other.map_or(0, <[_]>::len)),
            };
            let rules: [(&str, bool); 12] = [
                ("at most 4096 bytes", token.as_str().len() <= 4096),
                ("begins with k8s-aws-v1.", token.as_str().starts_with("k8s-aws-v1.")),
                ("base64url without padding", !token.as_str().contains(['=', '+', '/'])),
                ("https, a host of STS, path /", place == "https://sts.eu-west-1.amazonaws.com/"),
                ("each parameter once", query.values().all(|values| values.len() == 1)),
                (
                    "no other parameters",
                    query.keys().all(|key| {
                        let key = key.to_lowercase();
                        key == "action" || key == "version" || key.starts_with("x-amz-")
                    }) && query.len() == if has_session { 9 } else { 8 },
                ),
                ("the action", one("Action") == "GetCallerIdentity"),
                ("the header of the cluster is signed", one("X-Amz-SignedHeaders") == "host;x-k8s-aws-id"),
                ("0 to 900 seconds", one("X-Amz-Expires") == "60"),
                ("a date", one("X-Amz-Date") == "20261128T200000Z"),
                ("the scope", one("X-Amz-Credential").ends_with("/20261128/eu-west-1/sts/aws4_request")),
                ("the session", query.contains_key("X-Amz-Security-Token") == has_session),
            ];
            for (rule, holds) in rules {
                assert!(holds, "{rule}: {place} {query:?}");
            }
        }
    }

    #[test]
    fn a_token_is_renewed_before_it_ends() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        for (expiry, expires, renew_at) in [
            (None, "2026-11-28T20:15:00Z", "2026-11-28T20:14:00Z"),
            (Some("2026-11-28T23:00:00Z"), "2026-11-28T20:15:00Z", "2026-11-28T20:14:00Z"),
            (Some("2026-11-28T20:05:00Z"), "2026-11-28T20:05:00Z", "2026-11-28T20:04:00Z"),
        ] {
            let token = token(&Credentials::new("AKID", "secret", None, expiry.map(at)));
            assert_eq!((token.expires(), token.renew_at()), (at(expires), at(renew_at)), "{expiry:?}");
        }
    }

    #[test]
    fn what_cannot_be_signed_is_refused() {
        let now = NOW.parse().unwrap();
        let past = Credentials::new("AKID", "secret", None, Some("2026-11-28T20:00:00Z".parse().unwrap()));
        let long = "x".repeat(3100);
        let long = Credentials::new("AKID", "secret", Some(long.as_str()), None);
        for (credentials, region, cluster, kind, text) in [
            (&past, "eu-west-1", "shop", ErrorKind::Denied, "expired"),
            (&long, "eu-west-1", "shop", ErrorKind::Invalid, "too long"),
            (
                &credentials(),
                "eu-west-1",
                "arn:aws:eks:eu-west-1:1:cluster/shop",
                ErrorKind::Invalid,
                "no EKS cluster",
            ),
            (&credentials(), "eu-west-1", "", ErrorKind::Invalid, "no EKS cluster"),
            (&credentials(), "eu-west-1", "shop\r\nx: y", ErrorKind::Invalid, "no EKS cluster"),
            (&credentials(), "evil.example.com/", "shop", ErrorKind::Invalid, "no region"),
            (&credentials(), "", "shop", ErrorKind::Invalid, "no region"),
        ] {
            let error = Token::new(credentials, region, cluster, now).unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.message().contains(text), "{error}");
        }
    }

    #[test]
    fn nothing_secret_is_shown() {
        let credentials = Credentials::new("AKIDEXAMPLE", "s3cr3t-key", Some("s3ss10n"), None);
        let token = token(&credentials);
        let shown = format!("{credentials:?} {token:?}");
        for secret in ["s3cr3t-key", "s3ss10n", PREFIX] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
