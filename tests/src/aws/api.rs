//! Calls of AWS services, written as their models say.

use std::io;

use roxmltree::{Document, Node};
use serde_json::{Map, Value};
use straddle_core::error::{Error, ErrorKind, Result};

use super::{
    http::{self, Answer, Request},
    model::{Http, Kind, Member, Model, Operation, Protocol, Shape},
};

/// An address at which services of AWS answer, or seem to.
#[derive(Clone, Debug)]
pub struct Api {
    address: String,
}

impl Api {
    /// Names the address.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) unless it is one such as `http://127.0.0.1:4566`.
    pub fn at(url: &str) -> Result<Self> {
        let address = url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
        match address.filter(|address| address.contains(':') && !address.contains('/')) {
            Some(address) => Ok(Self { address: address.to_owned() }),
            None => Err(Error::new(ErrorKind::Invalid, format!("`{url}` is no address of an API"))),
        }
    }

    /// Returns the address as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Calls an operation of a service, and returns its answer: for all of them, also those that answer in XML, by the names of the model.
    ///
    /// The parameters are checked as [`Model::check`] does it; the signature is nobody's.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) with what is wrong with the parameters, [`NotFound`](ErrorKind::NotFound) where the service says so,
    /// [`Unavailable`](ErrorKind::Unavailable) for all else that it refuses.
    pub async fn call(&self, service: &str, operation: &str, parameters: &Value) -> Result<Value> {
        let failed = |kind, why: &str| Error::new(kind, format!("{service} {operation}: {why}"));
        let model = Model::load(service)?;
        let problems = model.check(operation, parameters);
        let Some(found) = model.operation(operation).filter(|_| problems.is_empty()) else {
            return Err(failed(ErrorKind::Invalid, &problems.join("; ")));
        };
        let call = Call { model: &model, service, name: operation, operation: found };
        let answer = http::send(&self.address, &call.request(parameters)).await;
        let answer = answer.map_err(|error: io::Error| {
            Error::new(ErrorKind::Unavailable, format!("{service} {operation}")).with_source(error)
        })?;
        if answer.status >= 300 {
            let (code, message) = refusal(&answer);
            // The query protocol has codes such as `TargetGroupNotFound`.
            let is_missing = code.contains("NotFound");
            let kind = if is_missing { ErrorKind::NotFound } else { ErrorKind::Unavailable };
            return Err(failed(kind, &format!("HTTP {}, {code}: {message}", answer.status)));
        }
        call.read(&answer.body).ok_or_else(|| failed(ErrorKind::Unavailable, "the answer cannot be read"))
    }

    /// Asks for a path with this host in the head of the request, as a browser does that believes to talk to it; returns the status and the
    /// body.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) where nobody answers.
    pub async fn fetch(&self, host: &str, path: &str) -> Result<(u16, String)> {
        let headers = vec![("Host", host.to_owned())];
        let request = Request { method: "GET", path: path.to_owned(), headers, body: String::new() };
        match http::send(&self.address, &request).await {
            Ok(answer) => Ok((answer.status, answer.body)),
            Err(error) => {
                Err(Error::new(ErrorKind::Unavailable, format!("fetch {host}{path}")).with_source(error))
            }
        }
    }

    pub(super) async fn post(&self, path: &str) -> Result<()> {
        let request =
            Request { method: "POST", path: path.to_owned(), headers: Vec::new(), body: String::new() };
        match http::send(&self.address, &request).await {
            Ok(answer) if answer.status < 300 => Ok(()),
            Ok(answer) => {
                Err(Error::new(ErrorKind::Unavailable, format!("POST {path}: HTTP {}", answer.status)))
            }
            Err(error) => Err(Error::new(ErrorKind::Unavailable, format!("POST {path}")).with_source(error)),
        }
    }
}

struct Call<'a> {
    model: &'a Model,
    service: &'a str,
    name: &'a str,
    operation: &'a Operation,
}

impl Call<'_> {
    fn request(&self, parameters: &Value) -> Request<'_> {
        let metadata = &self.model.metadata;
        // By its name in here a simulation knows who is meant.
        let signing_name = metadata.signing_name.as_deref().unwrap_or(&metadata.endpoint_prefix);
        let signature = format!(
            "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{signing_name}/aws4_request, SignedHeaders=host, Signature=0"
        );
        let mut request = Request {
            method: "POST",
            path: "/".to_owned(),
            headers: vec![("Authorization", signature)],
            body: String::new(),
        };
        let content = match self.model.protocol() {
            Protocol::Query => {
                let mut pairs = vec![
                    ("Action".to_owned(), self.name.to_owned()),
                    ("Version".to_owned(), metadata.api_version.clone()),
                ];
                flatten(String::new(), parameters, &mut pairs);
                request.body = encoded(&pairs);
                "application/x-www-form-urlencoded".to_owned()
            }
            Protocol::RestJson => return self.rest(request, parameters),
            Protocol::Json | Protocol::Other => {
                let prefix = metadata.target_prefix.as_deref().unwrap_or(self.service);
                request.headers.push(("X-Amz-Target", format!("{prefix}.{}", self.name)));
                request.body = parameters.to_string();
                format!("application/x-amz-json-{}", metadata.json_version.as_deref().unwrap_or("1.1"))
            }
        };
        request.headers.push(("Content-Type", content));
        request
    }

    /// Sends each parameter where its place is: in the path, behind it, or in the body.
    fn rest<'a>(&'a self, mut request: Request<'a>, parameters: &Value) -> Request<'a> {
        let Http { method, request_uri } = &self.operation.http;
        let (mut path, mut pairs, mut body) = (request_uri.clone(), Vec::new(), Map::new());
        let shape = self.operation.input.as_ref().and_then(|input| self.model.shape(input));
        for (name, member) in shape.into_iter().flat_map(|shape| &shape.members) {
            let own = self.model.name_in_body(name, member);
            let Some(value) = parameters.get(own) else { continue };
            let sent_as = member.location_name.as_deref().unwrap_or(name);
            match member.location.as_deref() {
                Some("uri") => path = path.replace(&format!("{{{sent_as}}}"), &percent(&plain(value))),
                Some(_) => {
                    let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
                    pairs.extend(values.iter().map(|value| (sent_as.to_owned(), plain(value))));
                }
                None => drop(body.insert(own.to_owned(), value.clone())),
            }
        }
        request.method = method;
        request.path = if pairs.is_empty() { path } else { format!("{path}?{}", encoded(&pairs)) };
        if method != "GET" {
            request.headers.push(("Content-Type", "application/json".to_owned()));
            request.body = Value::Object(body).to_string();
        }
        request
    }

    fn read(&self, body: &str) -> Option<Value> {
        if self.model.protocol() != Protocol::Query {
            return if body.is_empty() {
                Some(Value::Object(Map::new()))
            } else {
                serde_json::from_str(body).ok()
            };
        }
        let document = Document::parse(body).ok()?;
        let result =
            document.root_element().children().find(|node| node.tag_name().name().ends_with("Result"));
        let shape = self.operation.output.as_ref().and_then(|output| self.model.shape(output));
        Some(match (result, shape) {
            (Some(result), Some(shape)) => from_xml(self.model, shape, result),
            _ => Value::Object(Map::new()),
        })
    }
}

/// Writes parameters as the query protocol wants them: `Conditions.member.1.Field`.
fn flatten(name: String, value: &Value, pairs: &mut Vec<(String, String)>) {
    let inside = |part: &str| if name.is_empty() { part.to_owned() } else { format!("{name}.{part}") };
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                flatten(inside(key), value, pairs);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                flatten(inside(&format!("member.{}", index + 1)), item, pairs);
            }
        }
        _ => pairs.push((name, plain(value))),
    }
}

fn from_xml(model: &Model, shape: &Shape, node: Node<'_, '_>) -> Value {
    let of = |member: Option<&Member>, node: Node<'_, '_>| {
        let shape = member.and_then(|member| model.shape(member));
        shape.map_or(Value::Null, |shape| from_xml(model, shape, node))
    };
    let elements = || node.children().filter(Node::is_element);
    let text = node.text().unwrap_or_default();
    match shape.kind {
        Kind::Structure => elements()
            .map(|child| {
                let name = child.tag_name().name();
                (name.to_owned(), of(shape.members.get(name), child))
            })
            .collect(),
        Kind::List => elements().map(|child| of(shape.member.as_ref(), child)).collect(),
        Kind::Boolean => (text == "true").into(),
        Kind::Double | Kind::Float | Kind::Integer | Kind::Long => {
            serde_json::from_str(text).unwrap_or(Value::Null)
        }
        // Nothing that is asked here answers with a map.
        Kind::Blob | Kind::Map | Kind::String | Kind::Timestamp => text.into(),
    }
}

/// The code and message with which a service refuses.
fn refusal(answer: &Answer) -> (String, String) {
    let body = &answer.body;
    if let Ok(Value::Object(fields)) = serde_json::from_str(body) {
        let text = |names: &[&str]| names.iter().find_map(|name| fields.get(*name)?.as_str());
        let code =
            text(&["__type", "code", "Code"]).or(answer.header("x-amzn-errortype")).unwrap_or_default();
        let message = text(&["message", "Message"]).unwrap_or_default();
        return (code.rsplit('#').next().unwrap_or(code).to_owned(), message.to_owned());
    }
    if let Ok(document) = Document::parse(body) {
        let text = |name: &str| {
            let found = document.descendants().find(|node| node.tag_name().name() == name);
            found.and_then(|node| node.text()).unwrap_or_default().to_owned()
        };
        return (text("Code"), text("Message"));
    }
    (String::new(), body.chars().take(200).collect())
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn encoded(pairs: &[(String, String)]) -> String {
    let pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}={}", percent(name), percent(value))).collect();
    pairs.join("&")
}

fn percent(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
