//! Tokens for EKS, judged by what judges them on a real cluster: the verifier of the aws-iam-authenticator.
//!
//! It is compiled from its public Go module; where there is no Go, these tests fail and say so. STS is not asked: in its place, the SDK for Go signs
//! the request once more (see `tests/eks-token`).
#![cfg(test)]

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use straddle_core::clock::{Clock, SystemClock};
use straddle_eks::eks::{Credentials, Token};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// Compiles the verifier, unless it is there; returns its path.
fn verifier() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/lib/gotool.sh");
        let built = Command::new("bash")
            .args([
                "-c",
                "set -euo pipefail; source \"$1\"; gotool_build eks-token sigs.k8s.io/aws-iam-authenticator",
                "bash",
                script,
            ])
            .output()
            .expect("bash starts");
        assert!(built.status.success(), "no verifier of tokens:\n{}", String::from_utf8_lossy(&built.stderr));
        PathBuf::from(String::from_utf8(built.stdout).unwrap().trim())
    })
}

/// What the verifier of a cluster says about a token.
#[derive(Debug)]
struct Verdict(serde_json::Value);

impl Verdict {
    fn of(token: &str, cluster: &str, partition: &str, region: &str) -> Self {
        let mut run = Command::new(verifier())
            .args(["-cluster", cluster, "-partition", partition, "-region", region, "-secret", SECRET])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        run.stdin.take().unwrap().write_all(token.as_bytes()).unwrap();
        let output = run.wait_with_output().unwrap();
        assert!(output.status.success());
        Self(serde_json::from_slice(&output.stdout).unwrap())
    }

    fn accepts(&self) -> bool {
        self.0["accepted"] == true
    }

    fn reason(&self) -> &str {
        self.0["reason"].as_str().unwrap_or_default()
    }
}

fn now() -> Timestamp {
    SystemClock::new().now()
}

fn token(region: &str, cluster: &str, now: Timestamp) -> Token {
    Token::new(&Credentials::new("AKIDEXAMPLE", SECRET, None, None), region, cluster, now).unwrap()
}

/// Makes another token of the request in a token.
fn changed(token: &Token, change: impl Fn(&str) -> String) -> String {
    let url = URL_SAFE_NO_PAD.decode(token.as_str().strip_prefix("k8s-aws-v1.").unwrap()).unwrap();
    let url = String::from_utf8(url).unwrap();
    let other = change(&url);
    assert_ne!(other, url, "nothing was changed");
    format!("k8s-aws-v1.{}", URL_SAFE_NO_PAD.encode(other))
}

#[test]
fn the_authenticator_accepts_tokens_of_every_partition() {
    for (partition, region, host) in [
        ("aws", "eu-west-1", "sts.eu-west-1.amazonaws.com"),
        ("aws", "us-east-1", "sts.us-east-1.amazonaws.com"),
        // Younger than the verifier.
        ("aws", "mx-central-1", "sts.mx-central-1.amazonaws.com"),
        ("aws-cn", "cn-north-1", "sts.cn-north-1.amazonaws.com.cn"),
        ("aws-us-gov", "us-gov-west-1", "sts.us-gov-west-1.amazonaws.com"),
        ("aws-iso", "us-iso-east-1", "sts.us-iso-east-1.c2s.ic.gov"),
        ("aws-iso-b", "us-isob-east-1", "sts.us-isob-east-1.sc2s.sgov.gov"),
    ] {
        let verdict =
            Verdict::of(token(region, "shop-prod_1", now()).as_str(), "shop-prod_1", partition, region);
        assert!(verdict.accepts(), "{region}: {verdict:?}");
        assert_eq!((&verdict.0["host"], &verdict.0["access_key_id"]), (&host.into(), &"AKIDEXAMPLE".into()));
    }
}

#[test]
fn the_authenticator_accepts_tokens_of_a_session() {
    let session = "FwoGZXIvYXdzEBYaDK/+=&?%20:é".repeat(20);
    let expires = now() + Duration::from_secs(3600);
    let credentials = Credentials::new("ASIAEXAMPLE", SECRET, Some(&session), Some(expires));
    let token = Token::new(&credentials, "eu-west-1", "shop", now()).unwrap();
    let verdict = Verdict::of(token.as_str(), "shop", "aws", "eu-west-1");
    assert!(verdict.accepts(), "{verdict:?}");
}

#[test]
fn a_token_holds_until_it_says_that_it_ends() {
    // Compiling it may take longer than what is left of the token.
    verifier();
    let almost = token("eu-west-1", "shop", now() - Duration::from_secs(14 * 60 + 50));
    assert!(almost.renew_at() < now() && now() < almost.expires());
    assert!(Verdict::of(almost.as_str(), "shop", "aws", "eu-west-1").accepts());
    let past = token("eu-west-1", "shop", now() - Duration::from_secs(15 * 60 + 1));
    assert!(past.expires() < now());
    let verdict = Verdict::of(past.as_str(), "shop", "aws", "eu-west-1");
    assert!(!verdict.accepts() && verdict.reason().contains("is expired"), "{verdict:?}");
}

/// The verifier does refuse: each row breaks one rule.
#[test]
fn the_authenticator_refuses_what_breaks_a_rule() {
    let good = token("eu-west-1", "shop", now());
    let replace = |from: &'static str, to: &'static str| changed(&good, move |url| url.replace(from, to));
    let other_secret = Credentials::new("AKIDEXAMPLE", "another", None, None);
    let rows = [
        ("another cluster", token("eu-west-1", "shop-2", now()).as_str().to_owned(), "SignatureDoesNotMatch"),
        (
            "another key",
            Token::new(&other_secret, "eu-west-1", "shop", now()).unwrap().as_str().to_owned(),
            "SignatureDoesNotMatch",
        ),
        ("no signed header", replace("host%3Bx-k8s-aws-id", "host"), "did not sign the x-k8s-aws-id header"),
        ("another host", replace("sts.eu-west-1.amazonaws.com", "sts.example.com"), "unexpected hostname"),
        ("a host of another partition", replace("amazonaws.com", "amazonaws.com.cn"), "unexpected hostname"),
        ("not https", replace("https://", "http://"), "unexpected scheme"),
        ("a path", replace("amazonaws.com/?", "amazonaws.com/a?"), "unexpected path"),
        ("another action", replace("GetCallerIdentity", "GetSessionToken"), "unexpected action"),
        (
            "an extra parameter",
            replace("Action=", "Extra=1&Action="),
            "non-whitelisted query parameter \"Extra\"",
        ),
        ("a parameter twice", replace("Version=", "Version=1&Version="), "multiple values"),
        ("a longer time", replace("Expires=60", "Expires=901"), "invalid X-Amz-Expires"),
        ("a time that was not signed", replace("Expires=60", "Expires=900"), "SignatureDoesNotMatch"),
        ("no date", changed(&good, |url| url.replace("X-Amz-Date", "X-Amz-Expires-At")), "non-whitelisted"),
        ("too long", format!("{}{}", good.as_str(), "A".repeat(4096)), "too large"),
        ("another prefix", good.as_str().replace("v1", "v2"), "missing expected"),
        ("padding", format!("{}==", good.as_str()), "not properly formatted"),
    ];
    for (what, token, reason) in rows {
        let verdict = Verdict::of(&token, "shop", "aws", "eu-west-1");
        assert!(!verdict.accepts() && verdict.reason().contains(reason), "{what}: {verdict:?}");
    }
}
