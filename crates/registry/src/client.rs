//! Asking a registry which image a tag stands for now.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use futures_util::{StreamExt, TryStreamExt, stream};
use oci_client::{
    Client, Reference,
    client::{ClientConfig, ClientProtocol},
    errors::{OciDistributionError, OciErrorCode},
    secrets::RegistryAuth,
};
use straddle_core::{
    clock::Clock,
    error::{Error, ErrorKind, Result, Retry, innermost},
    units::ImageRef,
};

use crate::Credentials;

/// How many images are asked for at once: registries slow down who asks for more.
const PARALLEL: usize = 4;

/// How often a registry is asked again where it is throttled or away, with the wait before each time.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(1)];

/// How long a registry may take to be reached.
const REACHED: Duration = Duration::from_secs(5);

/// How long a registry may be silent.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks registries what references stand for now: the digest of the image, or of the index of images for several architectures.
///
/// Each reference is asked for once (a `HEAD` of its manifest, which registries do not count as a pull); one that has a digest already is
/// what it says. Registries of this machine (`localhost`, `127.0.0.0/8`) are asked over HTTP, all others over HTTPS; `HTTPS_PROXY` and its
/// like are heeded.
///
/// # Errors
///
/// [`NotFound`](ErrorKind::NotFound) for an image that is not there, [`Denied`](ErrorKind::Denied) where the machine is not logged in or may
/// not read it, [`Throttled`](ErrorKind::Throttled), [`Unavailable`](ErrorKind::Unavailable), and [`Unsupported`](ErrorKind::Unsupported) for
/// a login that only the docker command line understands.
pub async fn digests<'a>(
    images: impl IntoIterator<Item = &'a ImageRef>,
    clock: &dyn Clock,
) -> Result<BTreeMap<&'a str, String>> {
    let images: BTreeMap<&str, &ImageRef> = images.into_iter().map(|image| (image.as_str(), image)).collect();
    let (known, asked): (Vec<_>, Vec<_>) = images.into_values().partition(|image| image.digest().is_some());
    let mut digests: BTreeMap<&str, String> =
        known.iter().filter_map(|image| Some((image.as_str(), image.digest()?.to_owned()))).collect();
    if asked.is_empty() {
        return Ok(digests);
    }
    let registries: BTreeSet<Option<&str>> = asked.iter().map(|image| image.registry()).collect();
    let client = connect(&registries)?;
    let mut logins = BTreeMap::new();
    for registry in registries {
        logins.insert(registry, login(registry).await?);
    }
    let mut questions = Vec::new();
    for image in asked {
        questions.push(digest(&client, image, logins.get(&image.registry()), clock));
    }
    let answers: Vec<_> = stream::iter(questions).buffer_unordered(PARALLEL).try_collect().await?;
    digests.extend(answers);
    Ok(digests)
}

/// Makes the client; nothing is sent.
fn connect(registries: &BTreeSet<Option<&str>>) -> Result<Client> {
    // Of the providers of cryptography only this one is compiled; one that the program has chosen stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let local = registries.iter().flatten().filter(|host| is_local(host)).map(|host| (*host).to_owned());
    let config = ClientConfig {
        protocol: ClientProtocol::HttpsExcept(local.collect()),
        connect_timeout: Some(REACHED),
        read_timeout: Some(PATIENCE),
        user_agent: concat!("straddle/", env!("CARGO_PKG_VERSION")),
        ..ClientConfig::default()
    };
    Client::try_from(config).map_err(|failed| {
        Error::new(ErrorKind::Internal, "no client for registries could be made").with_source(failed)
    })
}

/// Returns whether a registry is on this machine: then it needs no certificate, for container engines as well.
fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    name == "localhost"
        || name == "[::1]"
        || name.parse::<Ipv4Addr>().is_ok_and(|address| IpAddr::from(address).is_loopback())
}

/// Finds what the machine is logged in with.
async fn login(registry: Option<&str>) -> Result<RegistryAuth> {
    let Some(found) = Credentials::find(registry).await else { return Ok(RegistryAuth::Anonymous) };
    if found.identity_token.is_some() {
        let message = format!("the login for {} is a token of the docker command line", found.server);
        let help = format!("log in with a user name and a password: docker login -u USER {}", found.server);
        return Err(Error::new(ErrorKind::Unsupported, message).with_help(help));
    }
    Ok(RegistryAuth::Basic(found.username, found.password))
}

async fn digest<'a>(
    client: &Client,
    image: &'a ImageRef,
    login: Option<&RegistryAuth>,
    clock: &dyn Clock,
) -> Result<(&'a str, String)> {
    let login = login.unwrap_or(&RegistryAuth::Anonymous);
    let reference: Reference = image.as_str().parse().map_err(|failed| {
        Error::new(ErrorKind::Invalid, format!("`{image}` is not an image that a registry can have"))
            .with_source(failed)
    })?;
    let mut pauses = PAUSES.into_iter();
    loop {
        let failed = match client.fetch_manifest_digest(&reference, login).await {
            Ok(digest) => return Ok((image.as_str(), digest)),
            Err(failed) => explained(image, &reference, failed),
        };
        match pauses.next().filter(|_| failed.retry() == Retry::Temporary) {
            Some(pause) => clock.sleep(pause).await,
            None => return Err(failed),
        }
    }
}

/// Says what a failure means.
fn explained(image: &ImageRef, reference: &Reference, failed: OciDistributionError) -> Error {
    let registry = reference.resolve_registry();
    let (kind, message, help) = match Meaning::of(&failed) {
        Meaning::Missing => (
            ErrorKind::NotFound,
            format!("image {image} not found (registry {registry} answers 404)"),
            "is it pushed, and are name and tag right?".to_owned(),
        ),
        Meaning::Denied => (
            ErrorKind::Denied,
            format!("image {image} does not exist, or registry {registry} does not show it to this user"),
            format!("docker login {registry}"),
        ),
        Meaning::Throttled => (
            ErrorKind::Throttled,
            format!("registry {registry} answers too many requests"),
            "try again in some minutes; a login is slowed down less".to_owned(),
        ),
        Meaning::Away(why) => (
            ErrorKind::Unavailable,
            format!("registry {registry} does not answer about image {image}: {why}"),
            "is it reached from this machine?".to_owned(),
        ),
        Meaning::Foreign(why) => (
            ErrorKind::Invalid,
            format!("registry {registry} gives no answer that a registry gives: {why}"),
            "is a proxy or a login page between here and the registry?".to_owned(),
        ),
    };
    Error::new(kind, message).with_help(help).with_source(failed)
}

/// What a failure comes to.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    Missing,
    Denied,
    Throttled,
    Away(String),
    Foreign(String),
}

impl Meaning {
    fn of(failed: &OciDistributionError) -> Self {
        match failed {
            OciDistributionError::ImageManifestNotFoundError(_) => Self::Missing,
            OciDistributionError::UnauthorizedError { .. }
            | OciDistributionError::AuthenticationFailure(_) => Self::Denied,
            OciDistributionError::RegistryError { envelope, .. } => {
                match envelope.errors.first().map(|error| &error.code) {
                    Some(
                        OciErrorCode::ManifestUnknown | OciErrorCode::NameUnknown | OciErrorCode::NotFound,
                    ) => Self::Missing,
                    Some(OciErrorCode::Unauthorized | OciErrorCode::Denied) => Self::Denied,
                    Some(OciErrorCode::Toomanyrequests) => Self::Throttled,
                    _ => Self::Foreign(failed.to_string()),
                }
            }
            // What answers a HEAD has no text that could say more.
            OciDistributionError::ServerError { code, .. } => match code {
                404 => Self::Missing,
                401 | 403 => Self::Denied,
                429 => Self::Throttled,
                500.. => Self::Away(format!("it has a failure of its own (status {code})")),
                _ => Self::Foreign(format!("status {code}")),
            },
            OciDistributionError::RequestError(_) | OciDistributionError::IoError(_) => {
                Self::Away(innermost(failed))
            }
            _ => Self::Foreign(failed.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use straddle_core::clock::SystemClock;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    const DIGEST: &str = "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";

    /// A registry that gives the same answers in turn, one for each connection, and keeps what it is asked.
    async fn registry(answers: Vec<String>) -> (String, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (kept, own) = (asked.clone(), address.clone());
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                kept.lock().unwrap().push(String::from_utf8(head).unwrap());
                let answer = answer.replace("HERE", &own).replace('\n', "\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        (address, asked)
    }

    fn answer(status: &str, headers: &str, body: &str) -> String {
        let length = body.len();
        format!("HTTP/1.1 {status}\nconnection: close\ncontent-length: {length}\n{headers}\n{body}")
    }

    async fn ask(address: &str) -> Result<String> {
        let image: ImageRef = format!("{address}/shop/web:1.4.2").parse().unwrap();
        let mut found = digests([&image], &SystemClock::new()).await?;
        Ok(found.remove(image.as_str()).unwrap())
    }

    #[tokio::test]
    async fn what_a_tag_stands_for() {
        let open = answer("200 OK", "", "");
        let found = answer("200 OK", &format!("docker-content-digest: {DIGEST}\n"), "");
        let (address, asked) = registry(vec![open, found]).await;
        assert_eq!(ask(&address).await.unwrap(), DIGEST);
        let asked = asked.lock().unwrap();
        assert!(asked[1].starts_with("HEAD /v2/shop/web/manifests/1.4.2 "), "{asked:?}");
        assert!(asked[1].contains("application/vnd.oci.image.index.v1+json"), "{asked:?}");
    }

    #[tokio::test]
    async fn a_registry_that_gives_tokens() {
        let realm = "www-authenticate: Bearer realm=\"http://HERE/token\",service=\"registry.example.com\"\n";
        let (address, asked) = registry(vec![
            answer("401 Unauthorized", realm, ""),
            answer("200 OK", "content-type: application/json\n", r#"{"token": "t0ken"}"#),
            answer("200 OK", &format!("docker-content-digest: {DIGEST}\n"), ""),
        ])
        .await;
        assert_eq!(ask(&address).await.unwrap(), DIGEST);
        let asked = asked.lock().unwrap();
        assert!(asked[1].starts_with("GET /token?scope=repository%3Ashop%2Fweb%3Apull"), "{asked:?}");
        assert!(asked[2].contains("authorization: Bearer t0ken"), "{asked:?}");
    }

    #[tokio::test]
    async fn a_registry_that_names_no_digest_is_asked_for_the_manifest() {
        let open = || answer("200 OK", "", "");
        let manifest = answer("200 OK", "", "foo");
        let (address, _) = registry(vec![open(), answer("200 OK", "", ""), open(), manifest]).await;
        assert_eq!(ask(&address).await.unwrap(), DIGEST);
    }

    #[tokio::test]
    async fn failures_by_kind() {
        let unknown = r#"{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}"#;
        for (status, body, kind, said) in [
            ("404 Not Found", "", ErrorKind::NotFound, "not found"),
            ("404 Not Found", unknown, ErrorKind::NotFound, "not found"),
            ("401 Unauthorized", "", ErrorKind::Denied, "does not show it"),
            ("403 Forbidden", "", ErrorKind::Denied, "does not show it"),
            ("418 I'm a teapot", "", ErrorKind::Invalid, "gives no answer that a registry gives"),
        ] {
            let open = || answer("200 OK", "", "");
            let refused = || answer(status, "", body);
            let (address, _) = registry(vec![open(), refused(), open(), refused()]).await;
            let error = ask(&address).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{status}: {error}");
            assert!(error.message().contains(said) && error.help().is_some(), "{status}: {error}");
        }
    }

    #[tokio::test]
    async fn a_registry_that_is_slowed_down_or_away_is_asked_again() {
        let open = || answer("200 OK", "", "");
        let headers = format!("docker-content-digest: {DIGEST}\n");
        for (status, kind) in [
            ("429 Too Many Requests", ErrorKind::Throttled),
            ("503 Service Unavailable", ErrorKind::Unavailable),
        ] {
            let slow = || answer(status, &headers, "");
            let (address, _) = registry(vec![open(), slow(), open(), answer("200 OK", &headers, "")]).await;
            assert_eq!(ask(&address).await.unwrap(), DIGEST);
            let (address, _) = registry(vec![open(), slow(), open(), slow(), open(), slow()]).await;
            assert_eq!(ask(&address).await.unwrap_err().kind(), kind);
        }
        let (address, _) = registry(Vec::new()).await;
        let error = ask(&address).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.message().contains("does not answer about image"), "{error}");
    }

    #[tokio::test]
    async fn an_image_with_a_digest_is_asked_for_nowhere() {
        let text = format!("registry.invalid/shop/web:1@{DIGEST}");
        let image: ImageRef = text.parse().unwrap();
        let found = digests([&image], &SystemClock::new()).await.unwrap();
        assert_eq!(found[text.as_str()], DIGEST);
    }

    #[test]
    fn registries_of_this_machine() {
        for host in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.1.2.3", "[::1]:5000"] {
            assert!(is_local(host), "{host}");
        }
        for host in ["registry.example.com", "localhost.example.com", "10.0.0.1:5000", "[::2]:5000"] {
            assert!(!is_local(host), "{host}");
        }
    }
}
