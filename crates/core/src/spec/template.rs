//! Texts that name the address of a service before it is known.

use std::{collections::BTreeSet, fmt};

/// A text in which the addresses of services are filled in by the backend.
///
/// In a spec: `http://${service.store.host}:${service.store.port}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Template(Vec<Part>);

/// A piece of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Text that stands for itself.
    Literal(String),
    /// The address of a service.
    Service {
        /// The service.
        name: String,
        /// The part of its address.
        what: Address,
    },
}

/// A part of the address of a service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// The name or address to connect to.
    Host,
    /// The number of a port: the named one, or the only one.
    Port(Option<String>),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host"),
            Self::Port(None) => f.write_str("port"),
            Self::Port(Some(name)) => write!(f, "port.{name}"),
        }
    }
}

impl Template {
    /// Makes a template of a text that stands for itself.
    #[must_use]
    pub fn literal(text: impl Into<String>) -> Self {
        Self::from_parts([Part::Literal(text.into())])
    }

    /// Makes a template of parts; neighbouring texts become one.
    #[must_use]
    pub fn from_parts(parts: impl IntoIterator<Item = Part>) -> Self {
        let mut joined: Vec<Part> = Vec::new();
        for part in parts {
            match (part, joined.last_mut()) {
                (Part::Literal(text), _) if text.is_empty() => {}
                (Part::Literal(text), Some(Part::Literal(last))) => last.push_str(&text),
                (part, _) => joined.push(part),
            }
        }
        Self(joined)
    }

    /// Returns the parts in their order.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.0
    }

    /// Returns the text, if it refers to no service.
    #[must_use]
    pub fn as_literal(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Returns the names of the services that the text refers to.
    #[must_use]
    pub fn services(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        for part in &self.0 {
            if let Part::Service { name, .. } = part {
                names.insert(name.as_str());
            }
        }
        names
    }

    /// Fills in the addresses.
    ///
    /// # Errors
    /// Returns the first error of `address`.
    pub fn render<E>(
        &self,
        mut address: impl FnMut(&str, &Address) -> Result<String, E>,
    ) -> Result<String, E> {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Service { name, what } => text.push_str(&address(name, what)?),
            }
        }
        Ok(text)
    }
}

impl From<&str> for Template {
    fn from(text: &str) -> Self {
        Self::literal(text)
    }
}

impl From<String> for Template {
    fn from(text: String) -> Self {
        Self::literal(text)
    }
}
