//! Signed calls.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4::SigningParams,
};
use aws_smithy_http_client::{Connector, proxy::ProxyConfig, tls};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, SharedHttpConnector},
    orchestrator::HttpRequest,
};
use aws_smithy_types::{body::SdkBody, byte_stream::ByteStream};
use http::{Request, header};
use jiff::SignedDuration;
use serde_json::{Value, json};
use straddle_core::{
    clock::{Clock, SystemClock},
    error::{Error, ErrorKind, Result},
};
use tokio::sync::Mutex;

use crate::{
    Credentials, Protocol, Refusal, Refused, Service, Session,
    refusal::{code, first_line},
    xml,
};

/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long credentials must go on to be valid to sign once more.
const REST: SignedDuration = SignedDuration::from_secs(300);

/// An answer, or why there is none.
pub type Outcome = std::result::Result<Value, Refused>;

/// Calls services of AWS. Clones share their connections.
#[derive(Clone)]
pub struct Client {
    session: Arc<Session>,
    /// What signed last; locked while new ones are had, so that many calls at once ask for them once.
    credentials: Arc<Mutex<Option<Credentials>>>,
    connector: SharedHttpConnector,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("session", &self.session).finish_non_exhaustive()
    }
}

/// One call, before it is signed.
struct Call<'a> {
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    service: &'a Service,
    operation: &'a str,
}

impl Client {
    /// Makes a client of somebody. Proxies are those of `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`.
    #[must_use]
    pub fn new(session: Session) -> Self {
        let tls = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
        let connector = Connector::builder().proxy_config(ProxyConfig::from_env()).tls_provider(tls).build();
        let connector = SharedHttpConnector::new(connector);
        Self {
            session: Arc::new(session),
            credentials: Arc::default(),
            connector,
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// Returns who calls.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Calls an operation of a service that speaks JSON or Query; `document` holds its members.
    ///
    /// # Errors
    ///
    /// [`Refused`]: what the service says, or [`Uncertain`](ErrorKind::Uncertain) where no answer came, since the call may have taken effect.
    pub async fn call(&self, service: &Service, operation: &str, document: &Value) -> Outcome {
        let call = match service.protocol {
            Protocol::Json { target } => Call {
                method: "POST",
                path: "/".to_owned(),
                headers: vec![
                    ("content-type", "application/x-amz-json-1.1".to_owned()),
                    ("x-amz-target", format!("{target}.{operation}")),
                ],
                body: document.to_string().into_bytes(),
                service,
                operation,
            },
            Protocol::Query { version } => {
                let mut fields = vec![
                    ("Action".to_owned(), operation.to_owned()),
                    ("Version".to_owned(), version.to_owned()),
                ];
                fields.extend(xml::form(document));
                let pairs: Vec<String> = fields
                    .iter()
                    .map(|(name, value)| format!("{}={}", escaped(name), escaped(value)))
                    .collect();
                Call {
                    method: "POST",
                    path: "/".to_owned(),
                    headers: vec![(
                        "content-type",
                        "application/x-www-form-urlencoded; charset=utf-8".to_owned(),
                    )],
                    body: pairs.join("&").into_bytes(),
                    service,
                    operation,
                }
            }
            Protocol::Rest => {
                let error = Error::new(ErrorKind::Internal, format!("{operation} has a path of its own"));
                return Err(Refused::Otherwise(error));
            }
        };
        self.send(call).await
    }

    /// Calls a service that speaks REST. `path` is escaped already; a `document` of null sends no body.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    pub async fn rest(
        &self,
        service: &Service,
        operation: &str,
        (method, path): (&'static str, &str),
        document: &Value,
    ) -> Outcome {
        let body = if document.is_null() { Vec::new() } else { document.to_string().into_bytes() };
        let headers = vec![("content-type", "application/json".to_owned())];
        self.send(Call { method, path: path.to_owned(), headers, body, service, operation }).await
    }

    async fn send(&self, call: Call<'_>) -> Outcome {
        let used = self.credentials().await.map_err(Refused::Otherwise)?;
        let outcome = self.send_as(&call, &used).await;
        let Err(Refused::ByService(refusal)) = &outcome else { return outcome };
        if !refusal.is_of_the_caller() {
            return outcome;
        }
        // They may have ended early. Nothing was done, so that the call is made again where there are others.
        *self.credentials.lock().await = None;
        match self.credentials().await {
            Ok(fresh) if !fresh.are(&used) => self.send_as(&call, &fresh).await,
            _ => outcome,
        }
    }

    async fn send_as(&self, call: &Call<'_>, credentials: &Credentials) -> Outcome {
        let name = format!("{}:{}", call.service.host, call.operation);
        let endpoint = self.session.endpoint(call.service);
        let request = self.signed(call, &endpoint, credentials).map_err(Refused::Otherwise)?;
        let began = self.clock.monotonic();
        let outcome = tokio::time::timeout(PATIENCE, self.answered(request, &endpoint)).await;
        let took = self.clock.monotonic().saturating_sub(began);
        let outcome = outcome.unwrap_or_else(|_| {
            let seconds = PATIENCE.as_secs();
            Err(Refused::uncertain(format!("{endpoint} did not answer within {seconds} s")))
        });
        let refused = outcome.as_ref().err().map(|refused| refused.code().unwrap_or("no answer").to_owned());
        tracing::debug!(call = name, refused, took = ?took, "called AWS");
        outcome
    }

    /// Returns credentials that are valid now, those of the last call where they still are. Those without an end are of a file or the environment,
    /// which do not change while a command runs.
    async fn credentials(&self) -> Result<Credentials> {
        let mut last = self.credentials.lock().await;
        let now = self.clock.now();
        let is_valid =
            |found: &&Credentials| found.expires().is_none_or(|end| end.duration_since(now) > REST);
        if let Some(found) = last.as_ref().filter(is_valid) {
            return Ok(found.clone());
        }
        Ok(last.insert(self.session.credentials().await?).clone())
    }

    fn signed(&self, call: &Call<'_>, endpoint: &str, credentials: &Credentials) -> Result<HttpRequest> {
        let url = format!("{}{}", endpoint.trim_end_matches('/'), call.path);
        let wrong = |reason: Box<dyn std::error::Error + Send + Sync>| {
            Error::new(ErrorKind::Invalid, format!("`{endpoint}` is no address of a service of AWS"))
                .with_help("correct AWS_ENDPOINT_URL, or `endpoint_url` of the profile")
                .with_source(reason)
        };
        let identity = credentials.inner().clone().into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(self.session.region())
            .name(call.service.signing_name)
            .time(SystemTime::from(self.clock.now()))
            .settings(SigningSettings::default())
            .build()
            .map_err(|failed| wrong(failed.into()))?
            .into();
        let headers = call.headers.iter().map(|(name, value)| (*name, value.as_str()));
        let body = SignableBody::Bytes(&call.body);
        let signable = SignableRequest::new(call.method, url.as_str(), headers, body)
            .map_err(|failed| wrong(failed.into()))?;
        let (instructions, _) = sign(signable, &params).map_err(|failed| wrong(failed.into()))?.into_parts();
        let mut request = Request::builder().method(call.method).uri(&url);
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        let agent = concat!("straddle/", env!("CARGO_PKG_VERSION"));
        let mut request = request
            .header(header::USER_AGENT, agent)
            .body(SdkBody::from(call.body.clone()))
            .map_err(|failed| wrong(failed.into()))?;
        instructions.apply_to_request_http1x(&mut request);
        HttpRequest::try_from(request).map_err(|failed| wrong(failed.into()))
    }

    async fn answered(&self, request: HttpRequest, endpoint: &str) -> Outcome {
        let answer = self.connector.call(request).await.map_err(|failed| {
            let error = if failed.is_user() {
                Error::new(ErrorKind::Invalid, format!("`{endpoint}` is no address of a service of AWS"))
            } else if is_refused(&failed) {
                // Nothing was sent.
                Error::new(ErrorKind::Unavailable, format!("nothing answers at {endpoint}"))
                    .with_help("is the region right, and is AWS reached from here?")
            } else {
                Error::new(ErrorKind::Uncertain, format!("the connection to {endpoint} was lost"))
            };
            Refused::Otherwise(error.with_source(failed))
        })?;
        let status = answer.status().as_u16();
        let code_header = answer.headers().get("x-amzn-errortype").map(|text| code(text).to_owned());
        let body = ByteStream::new(answer.into_body()).collect().await.map_err(|failed| {
            let error = Error::new(ErrorKind::Uncertain, format!("the connection to {endpoint} was lost"));
            Refused::Otherwise(error.with_source(failed))
        })?;
        read(status, code_header, &body.to_vec(), endpoint)
    }
}

/// Returns whether nobody took the connection.
fn is_refused(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return matches!(
                error.kind(),
                std::io::ErrorKind::ConnectionRefused
                    | std::io::ErrorKind::NotFound
                    | std::io::ErrorKind::HostUnreachable
                    | std::io::ErrorKind::NetworkUnreachable
            );
        }
        next = error.source();
    }
    false
}

/// Reads an answer: JSON, XML or nothing at all.
fn read(status: u16, code_header: Option<String>, body: &[u8], endpoint: &str) -> Outcome {
    let text = String::from_utf8_lossy(body);
    let is_xml = text.trim_start().starts_with('<');
    let value = match text.trim() {
        "" => Some(json!({})),
        text if is_xml => xml::parse(text),
        text => serde_json::from_str(text).ok(),
    };
    let is_good = (200..300).contains(&status);
    let fields = value.filter(Value::is_object).filter(|value| !is_xml || is_answer(value, is_good));
    let Some(value) = fields else {
        // A page of a proxy, or of an emulator that does not know the operation.
        let message = format!("{endpoint} answers with status {status} and what is no answer of AWS");
        let kind = if is_good || status >= 500 { ErrorKind::Unavailable } else { ErrorKind::Invalid };
        let help = "is a proxy or a login page between here and AWS?";
        return Err(Refused::Otherwise(Error::new(kind, message).with_help(help)));
    };
    if is_good {
        return Ok(if is_xml { result(value) } else { value });
    }
    let of_xml = value.get("Error").cloned();
    let said = of_xml.as_ref().unwrap_or(&value);
    let text = |keys: &[&str]| keys.iter().find_map(|key| said[*key].as_str()).map(str::to_owned);
    let code = code_header.or_else(|| text(&["__type", "code", "Code"]).map(|text| code(&text).to_owned()));
    let message = text(&["message", "Message", "errorMessage"]).unwrap_or_default();
    let message = first_line(&message);
    let message = if message.is_empty() { "no reason is given".to_owned() } else { message };
    let refusal = Refusal { code: code.unwrap_or_default(), message, status, body: value };
    Err(Refused::ByService(Box::new(refusal)))
}

/// Returns whether XML is what services answer, and not a page.
fn is_answer(value: &Value, is_good: bool) -> bool {
    is_good && value.get("ResponseMetadata").is_some() || value.get("Error").is_some()
}

/// Returns what an answer of AWS Query holds: `<DescribeRulesResponse><DescribeRulesResult>...`.
fn result(value: Value) -> Value {
    let Value::Object(map) = value else { return value };
    let found = map.into_iter().find(|(name, _)| name.ends_with("Result")).map(|(_, value)| value);
    found.filter(Value::is_object).unwrap_or_else(|| json!({}))
}

/// Escapes a text for a form, or for a part of a path.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, body: &str) -> Refused {
        read(status, None, body.as_bytes(), "http://aws").unwrap_err()
    }

    #[test]
    fn refusals_have_a_code_and_one_line() {
        let body = r#"{"__type": "com.amazonaws.ecs#ClientException", "message": "No.\nReally."}"#;
        let Refused::ByService(refusal) = refused(400, body) else { panic!("by the service") };
        assert_eq!((refusal.code.as_str(), refusal.message.as_str()), ("ClientException", "No."));
        let body = "<ErrorResponse><Error><Type>Sender</Type><Code>RuleNotFound</Code><Message>gone</Message></Error></ErrorResponse>";
        assert_eq!(refused(400, body).code(), Some("RuleNotFound"));
    }

    #[test]
    fn a_page_is_no_answer() {
        for (status, page) in
            [(200, "<html><body>Log in</body></html>"), (500, "<!doctype html>"), (200, "[]")]
        {
            let Refused::Otherwise(error) = refused(status, page) else { panic!("no service") };
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{page}");
        }
    }

    #[test]
    fn limits_are_quotas_and_not_throttles() {
        let kind = |code: &str| {
            let Refused::ByService(refusal) = refused(400, &format!(r#"{{"__type": "{code}"}}"#)) else {
                panic!("by the service")
            };
            refusal.kind()
        };
        assert_eq!(kind("LimitExceededException"), ErrorKind::Quota);
        assert_eq!(kind("ThrottlingException"), ErrorKind::Throttled);
        assert_eq!(kind("AccessDeniedException"), ErrorKind::Denied);
        assert_eq!(kind("ServerException"), ErrorKind::Unavailable);
        assert_eq!(kind("NeverHeardOf"), ErrorKind::Invalid);
    }

    #[test]
    fn answers_of_queries_are_unwrapped() {
        let body = "<DescribeRulesResponse><DescribeRulesResult><Rules><member><RuleArn>a</RuleArn></member></Rules></DescribeRulesResult>\
            <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></DescribeRulesResponse>";
        let answer = read(200, None, body.as_bytes(), "http://aws").unwrap();
        assert_eq!(answer, json!({"Rules": [{"RuleArn": "a"}]}));
    }
}
