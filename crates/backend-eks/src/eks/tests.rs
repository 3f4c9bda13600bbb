//! EKS and an API server that are scripted, on loopback.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_types::{SdkConfig, region::Region};
use futures_util::{
    StreamExt,
    future::{BoxFuture, FutureExt, join_all},
};
use jiff::Timestamp;
use straddle_aws::Service;

use super::{bearer::Source, *};
use crate::client::Client;

/// A certificate, PEM in base64.
const AUTHORITY: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUJnRENDQVNlZ0F3SUJBZ0lVWGJXWFp1cDZvcDdYTkpQMy80WmJNREdlbHdRd0NnWUlLb1pJemowRUF3SXcKRlRFVE1CRUdBMVVFQXd3S2EzVmlaWEp1WlhSbGN6QWdGdzB5TmpFeE1qZ3lNREV6TURsYUdBOHlNVEkyTVRFdwpOREl3TVRNd09Wb3dGVEVUTUJFR0ExVUVBd3dLYTNWaVpYSnVaWFJsY3pCWk1CTUdCeXFHU000OUFnRUdDQ3FHClNNNDlBd0VIQTBJQUJIQ1hGV3ZYZTJRMW5hejdnNEhrRGxsRWZLYUdSdVNRcGZ3SFFEV2JLOG9uVVpndlk4VTUKTU8yMGsxUGJqZndJR3pOcmhUQjRmZXVLb0tLV1dwUEtYZVdqVXpCUk1CMEdBMVVkRGdRV0JCUUdMT0tON0d3Ywo3V2xSVnI1ZFJYclNUdFhseERBZkJnTlZIU01FR0RBV2dCUUdMT0tON0d3YzdXbFJWcjVkUlhyU1R0WGx4REFQCkJnTlZIUk1CQWY4RUJUQURBUUgvTUFvR0NDcUdTTTQ5QkFNQ0EwY0FNRVFDSUFnNDQ0RmVNSjR3RjJ5Q2NFbWgKbDh3YzYxeEloNjUwMkRaeitYQ01BKzI1QWlBTU9RKy8waUxpdVRLQ2ZicCtVWnV1V28rSUEvYUZ6ajRlaWpyMQphTDBORlE9PQotLS0tLUVORCBDRVJUSUZJQ0FURS0tLS0tCg==";

const ARN: &str = "arn:aws:eks:eu-west-1:111122223333:cluster/shop";

/// A server that gives one answer to each connection, in order; the last one again and again.
struct Server {
    url: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(answers: &[(u16, &str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answers: Vec<String> = answers
            .iter()
            .map(|(status, headers, body)| {
                format!("HTTP/1.1 {status} Scripted\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
            })
            .collect();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&heads);
        std::thread::spawn(move || {
            for (at, stream) in listener.incoming().enumerate() {
                let mut stream = stream.unwrap();
                let lines = BufReader::new(&mut stream).lines().map_while(std::io::Result::ok);
                let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
                seen.lock().unwrap().push(head.join("\n"));
                drop(stream.write_all(answers[at.min(answers.len() - 1)].as_bytes()));
            }
        });
        Self { url, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    fn header(&self, at: usize, name: &str) -> String {
        let heads = self.heads();
        let mut lines = heads[at].lines().filter_map(|line| line.split_once(": "));
        let found = lines.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.unwrap_or_else(|| panic!("no {name} in {}", heads[at])).1.to_owned()
    }
}

/// A clock that a test sets, and that waits for nothing.
#[derive(Debug)]
struct Hand(AtomicI64);

impl Hand {
    fn at(text: &str) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(text.parse::<Timestamp>().unwrap().as_second())))
    }

    fn forward(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for Hand {
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.load(Ordering::SeqCst)).unwrap()
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        async {}.boxed()
    }
}

fn session(url: &str) -> Session {
    let credentials = aws_credential_types::Credentials::new(
        "AKIDEXAMPLE",
        "s3cr3t",
        Some("s3ss10n".to_owned()),
        None,
        "test",
    );
    let config = SdkConfig::builder()
        .region(Region::new("eu-west-1"))
        .endpoint_url(url)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build();
    Session::of(config, Some("prod")).unwrap()
}

fn described(endpoint: &str) -> String {
    format!(
        r#"{{"cluster": {{"name": "shop", "arn": "{ARN}", "status": "ACTIVE", "endpoint": "{endpoint}", "version": "1.35",
            "certificateAuthority": {{"data": "{AUTHORITY}"}}, "resourcesVpcConfig": {{"endpointPublicAccess": false}}}}}}"#
    )
}

async fn describe(server: &Server) -> Result<Cluster> {
    cluster::describe(&session(&server.url), "shop", &*Hand::at("2026-11-28T20:00:00Z")).await
}

#[tokio::test]
async fn a_cluster_is_described() {
    let server = Server::start(&[(200, "", &described("https://ABC.gr7.eu-west-1.eks.amazonaws.com"))]);
    let cluster = describe(&server).await.unwrap();
    let expected = Cluster {
        arn: ARN.to_owned(),
        endpoint: "https://ABC.gr7.eu-west-1.eks.amazonaws.com".to_owned(),
        authority: AUTHORITY.to_owned(),
        is_public: false,
    };
    assert_eq!(cluster, expected);
    assert!(server.heads()[0].starts_with("GET /clusters/shop HTTP/1.1\n"), "{:?}", server.heads());
    assert_eq!(server.header(0, "x-amz-date"), "20261128T200000Z");
    assert_eq!(server.header(0, "x-amz-security-token"), "s3ss10n");
    let signed = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261128/eu-west-1/eks/aws4_request, \
        SignedHeaders=host;x-amz-date;x-amz-security-token, Signature=";
    assert!(server.header(0, "authorization").starts_with(signed), "{}", server.header(0, "authorization"));
}

#[tokio::test]
async fn what_eks_refuses_is_explained() {
    use ErrorKind::{Denied, Invalid, NotFound, Throttled, Unavailable};
    const HTML: &str = "<html><body>Bad gateway</body></html>";
    const KIND: &str = "x-amzn-errortype: ";
    let throttled = format!("{KIND}ThrottlingException\r\n");
    let absent = format!("{KIND}ResourceNotFoundException:http://internal.amazon.com/coral/\r\n");
    let denied = format!("{KIND}AccessDeniedException\r\n");
    let expired = format!("{KIND}ExpiredTokenException\r\n");
    let creating = r#"{"cluster": {"name": "shop", "status": "CREATING"}}"#;
    let bare = r#"{"cluster": {"name": "shop", "status": "ACTIVE", "endpoint": "https://a"}}"#;
    let nowhere = r#"{"cluster": {"name": "shop", "status": "ACTIVE"}}"#;
    let arn =
        r#"{"Message": "User: arn:aws:iam::1:user/a is not authorized to perform: eks:DescribeCluster"}"#;
    for (status, headers, body, kind, said, help, calls) in [
        (
            404,
            absent.as_str(),
            r#"{"message": "No cluster found for name: shop."}"#,
            NotFound,
            "no EKS cluster `shop` in eu-west-1",
            "list-clusters",
            1,
        ),
        (
            403,
            denied.as_str(),
            arn,
            Denied,
            "not authorized to perform: eks:DescribeCluster",
            "allow eks:DescribeCluster",
            1,
        ),
        (
            403,
            expired.as_str(),
            r#"{"message": "The security token included in the request is expired"}"#,
            Denied,
            "is expired",
            "log in again",
            1,
        ),
        (
            403,
            "",
            r#"{"__type": "com.amazonaws.eks#InvalidSignatureException", "message": "Signature expired"}"#,
            Denied,
            "Signature expired",
            "clock",
            1,
        ),
        (
            429,
            throttled.as_str(),
            r#"{"message": "Rate exceeded"}"#,
            Throttled,
            "too many requests",
            "try again",
            3,
        ),
        (500, "", r#"{"message": "oh"}"#, Unavailable, "a failure of its own: oh", "try again", 3),
        (502, "", HTML, Unavailable, "answers with status 502", "proxy", 3),
        (200, "", HTML, Unavailable, "answers with status 200", "proxy", 3),
        (407, "", HTML, Unavailable, "answers with status 407", "proxy", 1),
        (400, "", r#"{"message": "cluster name is wrong"}"#, Invalid, "cluster name is wrong", "right?", 1),
        (200, "", creating, Unavailable, "still being made", "aws eks wait cluster-active", 1),
        (200, "", &creating.replace("CREATING", "DELETING"), Unavailable, "is deleting", "", 1),
        (200, "", bare, Invalid, "says no certificate", "kubeconfig", 1),
        (200, "", nowhere, Invalid, "says no address", "kubeconfig", 1),
    ] {
        let server = Server::start(&[(status, headers, body)]);
        let error = describe(&server).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{body}: {error}");
        assert!(error.message().contains(said), "{body}: {error}");
        assert!(error.help().unwrap_or_default().contains(help), "{body}: {:?}", error.help());
        assert_eq!(server.heads().len(), calls, "{body}");
        let shown = format!("{error:?}");
        assert!(!shown.contains("s3cr3t") && !shown.contains("s3ss10n"), "{shown}");
    }
    // Throttled once: no error.
    let server = Server::start(&[(429, &throttled, "{}"), (200, "", &described("https://a"))]);
    assert_eq!(describe(&server).await.unwrap().endpoint, "https://a");
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let nowhere = SdkConfig::builder().build();
    let error = Session::of(nowhere, None).unwrap_err();
    assert!(error.message().contains("no region") && error.help().unwrap().contains("AWS_REGION"));
    let nobody = SdkConfig::builder().region(Region::new("eu-west-1")).build();
    let error = Session::of(nobody, Some("prod")).unwrap().credentials().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.help().unwrap().contains("aws sso login --profile prod")),
        (ErrorKind::Denied, true)
    );
    let error =
        cluster::describe(&session("not an address"), "shop", &*Hand::at("2026-11-28T20:00:00Z")).await;
    assert!(error.unwrap_err().message().contains("no address of EKS"));
    let error =
        cluster::describe(&session("http://127.0.0.1:1"), "shop", &*Hand::at("2026-11-28T20:00:00Z")).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[test]
fn eks_is_found_in_its_partition() {
    let at = |region: &str, fips: bool| {
        let mut config = SdkConfig::builder().region(Region::new(region.to_owned()));
        config.set_use_fips(Some(fips));
        Session::of(config.build(), None).unwrap().endpoint(&Service::EKS)
    };
    assert_eq!(at("eu-west-1", false), "https://eks.eu-west-1.amazonaws.com");
    assert_eq!(at("cn-north-1", false), "https://eks.cn-north-1.amazonaws.com.cn");
    assert_eq!(at("us-east-1", true), "https://fips.eks.us-east-1.amazonaws.com");
}

/// Tokens that are numbered by what signs them, until it fails.
#[derive(Debug)]
struct Numbered {
    made: Arc<AtomicUsize>,
    until: usize,
}

impl Source for Numbered {
    fn token(&self, now: Timestamp) -> BoxFuture<'_, Result<Token>> {
        let number = self.made.fetch_add(1, Ordering::SeqCst) + 1;
        let credentials = Credentials::new(&format!("AKID{number}"), "s3cr3t", None, None);
        async move {
            tokio::task::yield_now().await;
            if number > self.until {
                return Err(Error::new(ErrorKind::Denied, "the session is over").with_help("log in"));
            }
            Token::new(&credentials, "eu-west-1", "shop", now)
        }
        .boxed()
    }
}

fn bearer(until: usize) -> (Bearer, Arc<AtomicUsize>, Arc<Hand>) {
    let made = Arc::new(AtomicUsize::new(0));
    let clock = Hand::at("2026-11-28T20:00:00Z");
    let source = Numbered { made: Arc::clone(&made), until };
    (Bearer::new(source, Arc::<Hand>::clone(&clock)), made, clock)
}

#[tokio::test]
async fn a_token_is_made_when_it_is_needed() {
    let (bearer, made, clock) = bearer(2);
    // (seconds that pass, tokens made by then, whether there is one)
    for (pass, count, there) in [
        (0, 1, true),
        (13 * 60, 1, true),
        (59, 1, true),
        (1, 2, true),
        (839, 2, true),
        (1, 3, true),
        (59, 4, true),
        (1, 5, false),
    ] {
        clock.forward(pass);
        let header = bearer.header().await;
        assert_eq!((made.load(Ordering::SeqCst), header.is_ok()), (count, there), "after {pass}");
        if let Ok(header) = header {
            assert!(header.is_sensitive());
        }
    }
    assert_eq!(bearer.header().await.unwrap_err().message(), "the session is over");
}

#[tokio::test]
async fn many_requests_at_once_make_one_token() {
    let (bearer, made, _) = bearer(usize::MAX);
    let headers = join_all((0..16).map(|_| bearer.header())).await;
    assert!(headers.iter().all(|header| header.as_ref().unwrap() == headers[0].as_ref().unwrap()));
    assert_eq!(made.load(Ordering::SeqCst), 1);
}

async fn connected(server: &Server, bearer: Bearer) -> kube::Client {
    let cluster = Cluster {
        arn: ARN.to_owned(),
        endpoint: server.url.clone(),
        authority: AUTHORITY.to_owned(),
        is_public: true,
    };
    client(&cluster, bearer).await.unwrap()
}

#[tokio::test]
async fn every_request_carries_the_token_of_its_time() {
    const VERSION: &str = r#"{"major": "1", "minor": "35+", "gitVersion": "", "gitCommit": "", "gitTreeState": "", "buildDate": "",
        "goVersion": "", "compiler": "", "platform": ""}"#;
    let server = Server::start(&[(200, "", VERSION)]);
    let (bearer, _, clock) = bearer(3);
    let kube = connected(&server, bearer).await;
    let own = Client::new(kube.clone(), "test".to_owned());
    assert_eq!(own.version().await.unwrap(), "1.35");
    clock.forward(14 * 60);
    assert_eq!(own.version().await.unwrap(), "1.35");
    // A watch, as it is opened again, and a websocket.
    clock.forward(14 * 60);
    let watch = http::Request::get("/api/v1/pods?watch=1").body(Vec::new()).unwrap();
    let events = kube.request_events::<serde_json::Value>(watch).await.unwrap();
    events.boxed().next().await;
    let exec = http::Request::get("/api/v1/namespaces/a/pods/b/exec").body(Vec::new()).unwrap();
    assert!(kube.connect(exec).await.is_err());
    let id = |at: usize| {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        let header = server.header(at, "authorization");
        let url = URL_SAFE_NO_PAD.decode(header.strip_prefix("Bearer k8s-aws-v1.").unwrap()).unwrap();
        let url = String::from_utf8(url).unwrap();
        url.split("X-Amz-Credential=").nth(1).unwrap().split("%2F").next().unwrap().to_owned()
    };
    assert_eq!([0, 1, 2, 3].map(id), ["AKID1", "AKID2", "AKID3", "AKID3"]);
    assert!(server.heads()[3].to_lowercase().contains("upgrade: websocket"), "{}", server.heads()[3]);
    // Without a token nothing is sent, and the reason is what the user reads.
    clock.forward(15 * 60);
    let error = own.version().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.message(), error.help()),
        (ErrorKind::Denied, "the session is over", Some("log in"))
    );
    assert_eq!(server.heads().len(), 4);
}

#[tokio::test]
async fn a_cluster_is_connected_to_by_its_name() {
    let api = Server::start(&[(
        401,
        "Content-Type: application/json\r\n",
        r#"{"kind": "Status", "apiVersion": "v1", "status": "Failure",
        "message": "Unauthorized", "reason": "Unauthorized", "code": 401}"#,
    )]);
    let eks = Server::start(&[(200, "", &described(&api.url))]);
    let (kube, place) = by(session(&eks.url), "shop", Hand::at("2026-11-28T20:00:00Z")).await.unwrap();
    assert_eq!(place, format!("{ARN}, {}", api.url));
    let error = Client::new(kube, place).version().await.unwrap_err();
    assert_eq!((error.kind(), error.help().unwrap().contains("access entry")), (ErrorKind::Denied, true));
    assert_eq!(api.heads().len(), 1);
    // What is no certificate.
    let eks = Server::start(&[(200, "", &described("https://a").replace(AUTHORITY, "bm8="))]);
    let error = by(session(&eks.url), "shop", Hand::at("2026-11-28T20:00:00Z")).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
}

/// Runs itself once more with another environment, as only a new process has one.
#[test]
fn aws_is_configured_as_its_own_tools_are() {
    const CHILD: &str = "STRADDLE_TEST_EKS_CHILD";
    if let Ok(profile) = std::env::var(CHILD) {
        let config = KubernetesConfig { profile: Some(profile), ..KubernetesConfig::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let failed = runtime.block_on(connect(&config, "shop")).map(drop).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::NotFound, "{failed:?}");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    let config = "[profile process]\nregion = eu-west-1\ncredential_process = cat HOME/process.json\n\
        [profile role]\nregion = eu-west-1\nrole_arn = arn:aws:iam::111122223333:role/deploy\nsource_profile = process\n\
        [profile sso]\nregion = eu-west-1\nsso_start_url = https://example.awsapps.com/start\nsso_region = eu-west-1\n\
        sso_account_id = 111122223333\nsso_role_name = deploy\n\
        [profile keys]\nregion = eu-west-1\naws_access_key_id = AKIDKEYS\naws_secret_access_key = s3cr3t\n";
    std::fs::write(path("config"), config.replace("HOME", home.path().to_str().unwrap())).unwrap();
    let process = r#"{"Version": 1, "AccessKeyId": "AKIDPROCESS", "SecretAccessKey": "s3cr3t"}"#;
    std::fs::write(path("process.json"), process).unwrap();
    std::fs::create_dir_all(path(".aws/sso/cache")).unwrap();
    // The SHA-1 of the address.
    let cached = path(".aws/sso/cache/e8be5486177c5b5392bd9aa76563515b29358e6e.json");
    let token = r#"{"accessToken": "t0k3n", "expiresAt": "2100-01-01T00:00:00Z", "region": "eu-west-1",
        "startUrl": "https://example.awsapps.com/start"}"#;
    std::fs::write(cached, token).unwrap();
    let sts = Server::start(&[(
        200,
        "Content-Type: text/xml\r\n",
        "<AssumeRoleResponse><AssumeRoleResult><Credentials>\
        <AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>s3cr3t</SecretAccessKey><SessionToken>s3ss10n</SessionToken>\
        <Expiration>2100-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>",
    )]);
    let sso = Server::start(&[(
        200,
        "Content-Type: application/json\r\n",
        r#"{"roleCredentials": {"accessKeyId": "ASIASSO",
        "secretAccessKey": "s3cr3t", "sessionToken": "s3ss10n", "expiration": 4102444800000}}"#,
    )]);
    for (profile, key) in
        [("process", "AKIDPROCESS"), ("role", "ASIAROLE"), ("sso", "ASIASSO"), ("keys", "AKIDKEYS")]
    {
        let eks = Server::start(&[(404, "x-amzn-errortype: ResourceNotFoundException\r\n", "{}")]);
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "eks::tests::aws_is_configured_as_its_own_tools_are", "--nocapture"])
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap_or_default())
            .env("HOME", home.path())
            .env(CHILD, profile)
            .env("AWS_CONFIG_FILE", path("config"))
            .env("AWS_SHARED_CREDENTIALS_FILE", path("none"))
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_ENDPOINT_URL_EKS", &eks.url)
            .env("AWS_ENDPOINT_URL_STS", &sts.url)
            .env("AWS_ENDPOINT_URL_SSO", &sso.url)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&[child.stdout, child.stderr].concat()).into_owned();
        assert!(child.status.success(), "{profile}: {said}");
        let signed = eks.header(0, "authorization");
        assert!(signed.contains(&format!("Credential={key}/")), "{profile}: {signed}");
        assert!(!said.contains("s3cr3t") && !said.contains("s3ss10n"), "{said}");
    }
}

/// A kubeconfig as `aws eks update-kubeconfig` writes it: a program makes the token.
#[tokio::test]
async fn a_kubeconfig_may_name_a_program() {
    let server = Server::start(&[(401, "Content-Type: application/json\r\n", "{}")]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config");
    let text = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": ARN,
        "clusters": [{"name": ARN, "cluster": {"server": server.url}}],
        "contexts": [{"name": ARN, "context": {"cluster": ARN, "user": "exec"}}],
        "users": [{"name": "exec", "user": {"exec": {
            "apiVersion": "client.authentication.k8s.io/v1beta1", "command": "sh", "interactiveMode": "Never", "env": null,
            "args": ["-c", "printf '{\"kind\": \"ExecCredential\", \"apiVersion\": \"client.authentication.k8s.io/v1beta1\", \
                \"spec\": {}, \"status\": {\"token\": \"fr0m-a-pr0gram\"}}'"],
        }}}],
    });
    std::fs::write(&file, text.to_string()).unwrap();
    let config = KubernetesConfig { kubeconfig: Some(file), ..KubernetesConfig::default() };
    let client = Client::connect(&config).await.unwrap();
    assert_eq!(client.place(), format!("{ARN}, {}", server.url));
    assert!(client.version().await.is_err());
    assert_eq!(server.header(0, "authorization"), "Bearer fr0m-a-pr0gram");
}
