//! The layers of the configuration as figment providers.

use std::{
    fs,
    path::{Path, PathBuf},
};

use figment::{
    Error, Figment, Metadata, Profile, Provider,
    providers::{Format, Toml},
    value::{Dict, Map, Value},
};

use super::{Layers, PROJECT_FILE, closest, merged};
use crate::{error::Failure, folder, registry::Registry};

/// How environment variables of ours begin.
pub(super) const PREFIX: &str = "STRADDLE_";

/// Variables of ours that are no configuration of targets.
const OTHERS: [&str; 1] = ["STRADDLE_LOG"];

pub(super) fn figment(layers: &Layers<'_>, registry: &Registry) -> Result<Figment, Failure> {
    let mut figment = Figment::new();
    for backend in registry.all() {
        let name = backend.name();
        figment = figment.merge(One::new("built in", &["targets", name, "backend"], name));
        for target in backend.targets() {
            figment = figment.merge(One::new("built in", &["targets", target.name, "backend"], name));
            for (key, value) in target.values {
                figment = figment.merge(One::new("built in", &["targets", target.name, key], value));
            }
        }
    }
    if let Some(name) = registry.names().next() {
        figment = figment.merge(One::new("built in", &["target"], name));
    }
    for file in [user_file(layers), project_file(layers)].into_iter().flatten() {
        figment = figment.merge(TomlFile::read(file, layers.folder)?);
    }
    // Which targets there are decides how the names of variables are read.
    let targets = target_names(&merged(&figment)?);
    for (name, value) in layers.variables.iter().filter(|(name, _)| name.starts_with(PREFIX)) {
        if let Some(path) = path_of(name, &targets)? {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            figment = figment.merge(One::new(name, &path, value));
        }
    }
    if let Some(environment) = layers.environment {
        // Given for the one target that the command works on; it is laid over each of them.
        let names = target_names(&merged(&figment)?);
        for name in names {
            figment =
                figment.merge(One::new("--environment", &["targets", &name, "environment"], environment));
        }
    }
    Ok(figment)
}

fn target_names(values: &Dict) -> Vec<String> {
    values
        .get("targets")
        .and_then(Value::as_dict)
        .map(|targets| targets.keys().cloned().collect())
        .unwrap_or_default()
}

fn user_file(layers: &Layers<'_>) -> Option<PathBuf> {
    let variable =
        |name: &str| layers.variables.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = variable("XDG_CONFIG_HOME").or_else(|| Some(variable("HOME")?.join(".config")))?;
    let file = folder.join("straddle").join("config.toml");
    file.is_file().then_some(file)
}

fn project_file(layers: &Layers<'_>) -> Option<PathBuf> {
    layers.project.ancestors().map(|folder| folder.join(PROJECT_FILE)).find(|file| file.is_file())
}

/// A file that was read, so that what is wrong with it can be said with its name.
struct TomlFile {
    path: PathBuf,
    values: Dict,
}

impl TomlFile {
    fn read(path: PathBuf, from: &Path) -> Result<Self, Failure> {
        let name = folder::shown(&path, from);
        let text = fs::read_to_string(&path)
            .map_err(|error| Failure::usage(format!("{name} cannot be read: {error}")))?;
        let values = <Toml as Format>::from_str(&text).map_err(|error| {
            Failure::usage(format!("{name} is not valid TOML"))
                .with_help(error.to_string().trim_end().replace('\n', "\n  "))
        })?;
        Ok(Self { path, values })
    }
}

impl Provider for TomlFile {
    fn metadata(&self) -> Metadata {
        Metadata::from("file", self.path.as_path())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

/// Returns the value that a variable sets; `None` for one that sets none.
///
/// `STRADDLE_TARGETS__PROD__VARS__TAG` is `targets.prod.vars.TAG`: `__` goes one step down, and only names of variables keep
/// their case. A name of a target is found whatever its case and whether it has `-` or `_`.
fn path_of(variable: &str, targets: &[String]) -> Result<Option<Vec<String>>, Failure> {
    if OTHERS.contains(&variable) {
        return Ok(None);
    }
    let Some(rest) = variable.strip_prefix(PREFIX) else { return Ok(None) };
    if rest == "TARGET" {
        return Ok(Some(vec!["target".to_owned()]));
    }
    let Some(rest) = rest.strip_prefix("TARGETS__") else {
        // Others may call their variables alike; what looks like a slip is not passed over.
        return match closest(variable, ["STRADDLE_TARGET", "STRADDLE_TARGETS__", "STRADDLE_LOG"].into_iter())
        {
            Some(other) if strsim::levenshtein(variable, other) <= 2 => {
                Err(Failure::usage(format!("the environment variable {variable} is not known"))
                    .with_help(format!("did you mean {other}?")))
            }
            _ => Ok(None),
        };
    };
    let parts: Vec<&str> = rest.split("__").collect();
    let plain = |name: &str| name.to_ascii_lowercase().replace('-', "_");
    let target = parts.first().copied().unwrap_or_default();
    let target = targets
        .iter()
        .find(|name| plain(name) == plain(target))
        .cloned()
        .unwrap_or_else(|| target.to_ascii_lowercase());
    let mut path = vec!["targets".to_owned(), target];
    let mut keep = false;
    for part in &parts[1..] {
        path.push(if keep { (*part).to_owned() } else { part.to_ascii_lowercase() });
        keep |= part.eq_ignore_ascii_case("vars");
    }
    if path.len() < 3 || path.iter().any(String::is_empty) {
        return Err(Failure::usage(format!("the environment variable {variable} names no setting"))
            .with_help(
                "write STRADDLE_TARGETS__<TARGET>__<SETTING>, such as STRADDLE_TARGETS__PROD__ENVIRONMENT",
            ));
    }
    Ok(Some(path))
}

/// A layer of one value, so that its origin is named exactly.
struct One {
    origin: String,
    path: Vec<String>,
    value: String,
}

impl One {
    fn new(origin: &str, path: &[&str], value: &str) -> Self {
        Self {
            origin: origin.to_owned(),
            path: path.iter().map(|&key| key.to_owned()).collect(),
            value: value.to_owned(),
        }
    }
}

impl Provider for One {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        let (last, above) =
            self.path.split_last().ok_or_else(|| Error::from("a value without a name".to_owned()))?;
        let mut dict = Dict::from([(last.clone(), Value::from(self.value.clone()))]);
        for key in above.iter().rev() {
            dict = Dict::from([(key.clone(), Value::from(dict))]);
        }
        Ok(Profile::Default.collect(dict))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(variable: &str) -> Option<String> {
        path_of(variable, &["eu-prod".to_owned()]).unwrap().map(|path| path.join("."))
    }

    #[test]
    fn variables_name_settings() {
        assert_eq!(path("STRADDLE_TARGET").unwrap(), "target");
        assert_eq!(path("STRADDLE_TARGETS__EU_PROD__ENVIRONMENT").unwrap(), "targets.eu-prod.environment");
        assert_eq!(path("STRADDLE_TARGETS__DOCKER__VARS__Tag").unwrap(), "targets.docker.vars.Tag");
        assert_eq!(path("STRADDLE_TARGETS__DOCKER__PINS__ENGINE").unwrap(), "targets.docker.pins.engine");
        assert_eq!((path("STRADDLE_LOG"), path("STRADDLE_SOMETHING_ELSE"), path("HOME")), (None, None, None));
        assert!(path_of("STRADDLE_TARGTE", &[]).is_err());
        assert!(path_of("STRADDLE_TARGETS__PROD", &[]).is_err());
    }
}
