//! Which application in which environment: what every live thing is known by.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::units::Name;

/// The environment of a target that names none; it does not appear in names on engines.
pub const DEFAULT_ENVIRONMENT: &str = "default";

/// One application in one environment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Scope {
    app: String,
    environment: String,
}

impl Scope {
    /// Names an application in the default environment.
    #[must_use]
    pub fn new(app: &Name) -> Self {
        Self { app: app.to_string(), environment: DEFAULT_ENVIRONMENT.to_owned() }
    }

    /// Sets the environment.
    #[must_use]
    pub fn with_environment(mut self, environment: &Name) -> Self {
        self.environment = environment.to_string();
        self
    }

    /// Returns the application.
    #[must_use]
    pub fn app(&self) -> &str {
        &self.app
    }

    /// Returns the environment.
    #[must_use]
    pub fn environment(&self) -> &str {
        &self.environment
    }

    /// Returns the name that the application's things share on an engine without namespaces: `shop`, or `shop-staging`.
    #[must_use]
    pub fn prefix(&self) -> String {
        if self.environment == DEFAULT_ENVIRONMENT {
            self.app.clone()
        } else {
            format!("{}-{}", self.app, self.environment)
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.prefix())
    }
}
