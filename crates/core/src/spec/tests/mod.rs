//! Tests of reading specs, with a small model of their own.

mod forms;
mod problems;
mod properties;
mod shapes;
mod syntax;
mod traps;
mod variables;

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::Serialize;

use super::*;
use crate::path::FieldPath;

/// A shop.
#[derive(Clone, Debug, PartialEq, Serialize, Spec)]
pub(super) struct Shop {
    /// The name of the shop.
    pub(super) name: Name,
    /// What runs all the time.
    #[spec(default)]
    pub(super) services: BTreeMap<Name, Service>,
    /// Whether it is open.
    #[spec(default = true)]
    pub(super) open: bool,
    /// Texts for people.
    #[spec(default, example = "{en: Hello, de: Hallo}")]
    pub(super) greetings: BTreeMap<Language, Text>,
    /// A shop inside the shop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) annex: Option<Box<Shop>>,
    /// Not part of the spec.
    #[spec(skip)]
    #[serde(skip)]
    pub(super) _cache: Vec<u8>,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Serialize, Spec)]
#[spec(inline(container = "containers", type = Container), check = check_service)]
pub(super) struct Service {
    /// The containers by name.
    pub(super) containers: BTreeMap<Name, Container>,
    /// How many run.
    #[spec(default = 1, example = "3", example = "5")]
    pub(super) replicas: u32,
    /// How the load sets the number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) autoscale: Option<Autoscale>,
    /// Memory of all containers together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) memory: Option<Size>,
    #[spec(flatten)]
    #[serde(flatten)]
    pub(super) labels: Labels,
}

fn check_service(service: &Service, path: &FieldPath, node: &Node, decoder: &mut Decoder<'_>) {
    if let Some(autoscale) = &service.autoscale
        && autoscale.min > autoscale.max
    {
        let place =
            node.as_map().and_then(|map| map.get("autoscale")).map_or(node.span, |entry| entry.key.span);
        decoder.problem(place, &path.child("autoscale"), "`min` is larger than `max`").help("swap them");
    }
}

/// Words for people.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Spec)]
pub(super) struct Labels {
    /// Labels of the user's own.
    #[spec(default)]
    pub(super) labels: BTreeMap<String, String>,
}

/// Bounds of scaling.
#[derive(Clone, Debug, PartialEq, Serialize, Spec)]
pub(super) struct Autoscale {
    /// The least.
    pub(super) min: u8,
    /// The most.
    pub(super) max: u8,
    /// The load to keep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) load: Option<f64>,
}

/// A container.
#[derive(Clone, Debug, PartialEq, Serialize, Spec)]
pub(super) struct Container {
    /// What runs in it.
    #[spec(example = "shop/web:1.4.2", example = "shop/web:1.5.0")]
    pub(super) image: String,
    /// Its environment.
    #[spec(default, example = "{LOG: info}", example = "{LOG: debug}")]
    pub(super) env: BTreeMap<String, Template>,
    /// Its ports.
    #[spec(default)]
    pub(super) ports: Vec<Port>,
    /// How it is known to be well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) health: Option<Health>,
    /// When it is pulled.
    #[spec(default = Pull::IfMissing)]
    pub(super) pull: Pull,
    /// Memory of this container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) memory: Option<Size>,
}

/// A port.
#[derive(Clone, Debug, PartialEq, Serialize, Spec)]
#[spec(short_try = u16)]
pub(super) struct Port {
    /// Its number.
    pub(super) port: u16,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<Name>,
}

impl TryFrom<u16> for Port {
    type Error = ScalarError;

    fn try_from(port: u16) -> Result<Self, ScalarError> {
        if port == 0 { Err(ScalarError::new("`0` is no port")) } else { Ok(Self { port, name: None }) }
    }
}

/// A check of a container.
#[derive(Clone, Debug, PartialEq, Serialize, Spec)]
#[serde(rename_all = "snake_case")]
pub(super) enum Health {
    /// No check.
    None,
    /// A command.
    #[spec(example = "[/web, --check]", example = "[/bin/true]")]
    Exec(Vec<Text>),
    /// A path.
    #[spec(key = "http", example = "/", example = "/healthz")]
    #[serde(rename = "http")]
    Path(String),
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Spec)]
#[serde(rename_all = "snake_case")]
pub(super) enum Pull {
    /// Each time.
    Always,
    /// Where it is not there.
    IfMissing,
    /// Not at all.
    Never,
}

/// A language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Spec)]
#[serde(rename_all = "snake_case")]
pub(super) enum Language {
    /// German.
    De,
    /// English.
    En,
}

/// A name in small letters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name(pub(super) String);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Name {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
            return Err(ScalarError::new(format!("`{text}` is not a name")).with_help("write small letters"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl Scalar for Name {
    const NAME: &'static str = "Name";
    const DESCRIPTION: &'static str = "A name in small letters.";
    const PATTERN: Option<&'static str> = Some("^[a-z0-9]+$");
    const EXAMPLES: &'static [&'static str] = &["web", "store"];
    const ACCEPTS: Accepts = Accepts::STRING;
}
spec_scalar!(Name);

/// An amount of memory in MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size(pub(super) u32);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}Mi", self.0)
    }
}

impl FromStr for Size {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let number = text.strip_suffix("Mi").unwrap_or(text);
        number.parse().map(Self).map_err(|_| ScalarError::new(format!("`{text}` is not an amount of memory")))
    }
}

impl Scalar for Size {
    const NAME: &'static str = "Size";
    const DESCRIPTION: &'static str = "An amount of memory: `512Mi`.";
    const PATTERN: Option<&'static str> = Some("^[0-9]+(Mi)?$");
    const EXAMPLES: &'static [&'static str] = &["512Mi", "64Mi"];
    const ACCEPTS: Accepts = Accepts::STRING_OR_INTEGER;
}
spec_scalar!(Size);

/// Reads a text and returns its problems, one a line, without the name of the source.
pub(super) fn problems<T: Spec>(text: &str) -> Vec<String> {
    match from_yaml::<T>(text) {
        Ok(_) => Vec::new(),
        Err(problems) => lines(&problems),
    }
}

pub(super) fn lines(problems: &Problems) -> Vec<String> {
    problems.to_string().lines().map(|line| line.strip_prefix("-:").unwrap_or(line).to_owned()).collect()
}

/// Reads sources with variables.
pub(super) fn read<T: Spec>(
    specs: &[(&str, &str)],
    overlays: &[(&str, &str)],
    variables: &[(&str, &str)],
) -> Result<Loaded<T>, Problems> {
    let sources = |texts: &[(&str, &str)]| {
        texts.iter().map(|&(name, text)| Source::new(name, text)).collect::<Vec<_>>()
    };
    let variables: BTreeMap<_, _> =
        variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    load(&Inputs {
        specs: &sources(specs),
        overlays: &sources(overlays),
        variables: &variables,
        files: &NoFiles,
    })
}

/// The schema of a service, made once.
pub(super) fn shapes_validator() -> &'static jsonschema::Validator {
    static VALIDATOR: std::sync::OnceLock<jsonschema::Validator> = std::sync::OnceLock::new();
    VALIDATOR.get_or_init(|| jsonschema::draft202012::new(&schema::<Service>()).unwrap())
}
