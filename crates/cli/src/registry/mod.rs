//! The backends that a target can name.

#[cfg(feature = "docker")]
mod docker;
#[cfg(feature = "ecs")]
mod ecs;
#[cfg(feature = "kubernetes")]
mod kubernetes;

use std::{collections::BTreeMap, fmt::Debug, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use straddle_core::{error::Result, orchestrator::Orchestrator, platform::Platform};

/// A backend that a target can name.
#[async_trait]
pub trait Backend: Debug + Send + Sync {
    /// Returns the name by which targets call it.
    fn name(&self) -> &'static str;

    /// Returns the settings of a target that only it knows.
    fn settings(&self) -> &'static [Setting];

    /// Returns what a target can pin, so that nothing is done to the wrong place.
    fn pins(&self) -> &'static [Setting];

    /// Returns targets that are there without configuration, beside the one that has its name; none unless it says so.
    fn targets(&self) -> &'static [BuiltIn] {
        &[]
    }

    /// Makes its pure half; asks nobody.
    ///
    /// # Errors
    ///
    /// [`Invalid`](straddle_core::error::ErrorKind::Invalid) where a setting cannot be meant.
    fn platform(&self, settings: &Settings) -> Result<Box<dyn Platform>>;

    /// Connects to the place that a target names.
    ///
    /// # Errors
    ///
    /// [`Invalid`](straddle_core::error::ErrorKind::Invalid) where a setting cannot be meant,
    /// [`Unavailable`](straddle_core::error::ErrorKind::Unavailable) where the engine does not answer.
    async fn connect(&self, settings: &Settings) -> Result<Arc<dyn Orchestrator>>;

    /// Reads what a pin is compared with, and nothing else; any of several values may be the pinned one.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](straddle_core::error::ErrorKind::Unavailable) where the engine does not answer.
    async fn pinned(
        &self,
        orchestrator: &dyn Orchestrator,
        settings: &Settings,
        pin: &str,
    ) -> Result<Vec<String>>;
}

/// A setting of a target, with what it means.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its key.
    pub key: &'static str,
    /// What it means, as a short phrase.
    pub about: &'static str,
    /// How it is written.
    pub form: Form,
}

/// How a setting is written. Variables of the environment are texts: whatever is no text is read from one, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A text: `"main"`.
    Text,
    /// A list of texts: `["a", "b"]`, or `"a,b"`.
    List,
    /// A whole number: `30`, or `"30"`.
    Number,
    /// `true` or `false`, or one of these as a text.
    Switch,
}

impl Setting {
    /// Makes a setting that is a text.
    #[must_use]
    pub const fn text(key: &'static str, about: &'static str) -> Self {
        Self { key, about, form: Form::Text }
    }

    /// Makes a setting that is a list of texts.
    #[must_use]
    pub const fn list(key: &'static str, about: &'static str) -> Self {
        Self { key, about, form: Form::List }
    }

    /// Makes a setting that is a whole number.
    #[must_use]
    pub const fn number(key: &'static str, about: &'static str) -> Self {
        Self { key, about, form: Form::Number }
    }

    /// Makes a setting that is true or false.
    #[must_use]
    pub const fn switch(key: &'static str, about: &'static str) -> Self {
        Self { key, about, form: Form::Switch }
    }
}

/// A target that is there without configuration.
#[derive(Clone, Copy, Debug)]
pub struct BuiltIn {
    /// Its name.
    pub name: &'static str,
    /// What it says, by the keys of its backend's settings; configuration goes before it.
    pub values: &'static [(&'static str, &'static str)],
}

/// What a target says to its backend.
#[derive(Clone, Default)]
pub struct Settings {
    /// The values by key; only keys that the backend knows. Items of a list stand between commas.
    pub values: BTreeMap<String, String>,
    /// The environment variables, for what the ecosystem's own tools read there.
    pub variables: BTreeMap<String, String>,
    /// The folder of the spec, from which relative paths in it count.
    pub folder: PathBuf,
}

impl Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Variables may hold secrets.
        f.debug_struct("Settings").field("values", &self.values).finish_non_exhaustive()
    }
}

impl Settings {
    /// Returns one value.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// Returns the items of a list.
    pub fn list(&self, key: &str) -> impl Iterator<Item = &str> {
        self.get(key)
            .into_iter()
            .flat_map(|text| text.split(','))
            .map(str::trim)
            .filter(|item| !item.is_empty())
    }

    /// Returns a switch, where it is said.
    #[must_use]
    pub fn switch(&self, key: &str) -> Option<bool> {
        self.get(key).map(|text| text == "true")
    }
}

/// The backends that can be named.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    backends: Vec<Arc<dyn Backend>>,
}

impl Registry {
    /// Makes a registry of these backends; the first one is the target where nothing is configured.
    #[must_use]
    pub fn new(backends: impl IntoIterator<Item = Arc<dyn Backend>>) -> Self {
        Self { backends: backends.into_iter().collect() }
    }

    /// Returns the backends that were built in.
    #[must_use]
    pub fn built_in() -> Self {
        let backends: Vec<Arc<dyn Backend>> = vec![
            #[cfg(feature = "docker")]
            Arc::new(docker::Docker),
            #[cfg(feature = "kubernetes")]
            Arc::new(kubernetes::Kubernetes),
            #[cfg(feature = "ecs")]
            Arc::new(ecs::Ecs),
        ];
        Self::new(backends)
    }

    /// Returns the backend of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Backend>> {
        self.backends.iter().find(|backend| backend.name() == name)
    }

    /// Returns all backends.
    pub fn all(&self) -> impl Iterator<Item = &dyn Backend> + '_ {
        self.backends.iter().map(|backend| &**backend)
    }

    /// Returns the names of all backends.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.backends.iter().map(|backend| backend.name())
    }
}
