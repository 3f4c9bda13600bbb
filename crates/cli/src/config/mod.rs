//! Configuration in layers: defaults, the user's file, the project's file, environment variables, options.
//!
//! Each value keeps where it came from, so that errors and `straddle targets` can name it.

mod layers;
mod target;

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use figment::{
    Figment, Metadata, Profile, Provider,
    value::{Dict, Value},
};

pub(crate) use target::Target;

use crate::{error::Failure, folder, registry::Registry};

/// The name of the project's configuration file.
pub(crate) const PROJECT_FILE: &str = "straddle.toml";

/// All layers, merged.
pub(crate) struct Config {
    figment: Figment,
    values: Dict,
    registry: Registry,
    user_folder: PathBuf,
}

/// A value with where it came from.
#[derive(Clone, Debug)]
pub(crate) struct Sourced<T> {
    pub(crate) value: T,
    pub(crate) origin: Origin,
}

/// Where a value came from.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    name: String,
    /// The folder from which relative paths count.
    folder: PathBuf,
    /// Whether it was an environment variable.
    pub(crate) is_variable: bool,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// What the layers are read from.
#[derive(Debug)]
pub(crate) struct Layers<'a> {
    /// The environment variables.
    pub(crate) variables: &'a BTreeMap<String, String>,
    /// Where the user stands.
    pub(crate) folder: &'a Path,
    /// Where the project's file is looked for first.
    pub(crate) project: &'a Path,
    /// The environment that was given as an option.
    pub(crate) environment: Option<&'a str>,
}

impl Config {
    /// Reads all layers.
    pub(crate) fn load(layers: &Layers<'_>, registry: &Registry) -> Result<Self, Failure> {
        let figment = layers::figment(layers, registry)?;
        let values = merged(&figment)?;
        let config =
            Self { figment, values, registry: registry.clone(), user_folder: layers.folder.to_owned() };
        config.check()?;
        Ok(config)
    }

    /// Returns the names of all targets.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.targets().map(|targets| targets.keys().map(String::as_str).collect()).unwrap_or_default()
    }

    /// Returns the target that is meant where none is named.
    pub(crate) fn default_target(&self) -> Option<Sourced<String>> {
        self.values
            .get("target")
            .and_then(|value| Some(Sourced { value: value.as_str()?.to_owned(), origin: self.origin(value) }))
    }

    /// Returns a target with everything checked.
    pub(crate) fn target(&self, name: &str) -> Result<Target, Failure> {
        let Some(value) = self.targets().and_then(|targets| targets.get(name)) else {
            let names = self.names();
            let failure = Failure::usage(format!("no target is called `{name}`"));
            return Err(match closest(name, names.iter().copied()) {
                Some(other) => failure.with_help(format!("did you mean `{other}`?")),
                None => failure.with_help(format!(
                    "there is {}; straddle.toml takes more",
                    crate::style::list(&quoted(&names))
                )),
            });
        };
        Target::read(self, name, value)
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    fn targets(&self) -> Option<&Dict> {
        self.values.get("targets").and_then(Value::as_dict)
    }

    fn origin(&self, value: &Value) -> Origin {
        self.figment.get_metadata(value.tag()).map_or_else(
            || origin(&Metadata::named("built in"), &self.user_folder),
            |metadata| origin(metadata, &self.user_folder),
        )
    }

    /// Refuses keys that nobody reads, so that a slip is not taken for a wish.
    fn check(&self) -> Result<(), Failure> {
        const KEYS: [&str; 2] = ["target", "targets"];
        for (key, value) in &self.values {
            if !KEYS.contains(&key.as_str()) {
                let origin = self.origin(value);
                if key == "app" || key == "services" {
                    return Err(Failure::usage(format!("{origin} is a spec, where configuration is expected"))
                        .with_help("straddle.toml configures targets; call the spec straddle.yaml, or another name and give it with -f"));
                }
                return Err(unknown(&origin, key, "", &KEYS));
            }
        }
        if let Some(value) = self.values.get("target")
            && value.as_str().is_none()
        {
            return Err(Failure::usage(format!(
                "{}: `target` is not the name of a target",
                self.origin(value)
            )));
        }
        if let Some(value) = self.values.get("targets") {
            let Some(targets) = value.as_dict() else {
                return Err(Failure::usage(format!("{}: `targets` is not a table", self.origin(value)))
                    .with_help("write [targets.NAME] above the settings of a target"));
            };
            for (name, target) in targets {
                if target.as_dict().is_none() {
                    return Err(Failure::usage(format!(
                        "{}: `targets.{name}` is not a table",
                        self.origin(target)
                    )));
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("targets", &self.names()).finish_non_exhaustive()
    }
}

/// Returns what all layers say together.
fn merged(figment: &Figment) -> Result<Dict, Failure> {
    let mut data = figment
        .data()
        .map_err(|error| Failure::usage(format!("the configuration cannot be read: {}", error.kind)))?;
    Ok(data.remove(&Profile::Default).unwrap_or_default())
}

fn origin(metadata: &Metadata, user_folder: &Path) -> Origin {
    match metadata.source.as_ref().and_then(figment::Source::file_path) {
        Some(path) => Origin {
            name: folder::shown(path, user_folder),
            folder: path.parent().map_or_else(|| user_folder.to_owned(), Path::to_owned),
            is_variable: false,
        },
        None => Origin {
            name: metadata.name.to_string(),
            folder: user_folder.to_owned(),
            is_variable: metadata.name.starts_with(layers::PREFIX),
        },
    }
}

fn unknown(origin: &Origin, key: &str, below: &str, known: &[&str]) -> Failure {
    let failure = Failure::usage(format!("{origin}: unknown key `{below}{key}`"));
    match closest(key, known.iter().copied()) {
        Some(other) => failure.with_help(format!("did you mean `{other}`?")),
        None => failure.with_help(format!("known are {}", crate::style::list(&quoted(known)))),
    }
}

fn quoted(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| format!("`{name}`")).collect()
}

/// Returns the known name that is closest to a mistyped one, if any is close.
pub(crate) fn closest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored =
        known.map(|other| (strsim::jaro_winkler(name, other), other)).filter(|(score, _)| *score > 0.8);
    scored.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, other)| other)
}
