//! One target: what its values mean together.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use figment::value::{Dict, Value};
use straddle_core::{scope::DEFAULT_ENVIRONMENT, units::Name};

use super::{Config, Origin, Sourced, closest, unknown};
use crate::{
    error::Failure,
    registry::{Backend, Form, Setting},
    style,
};

/// Keys that every target may have.
const KEYS: [&str; 6] = ["backend", "environment", "overlay", "overlays", "pins", "vars"];

/// Where a spec is put, and with which overlays and variables.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) environment: Name,
    pub(crate) overlays: Vec<Sourced<PathBuf>>,
    pub(crate) vars: BTreeMap<String, String>,
    pub(crate) settings: BTreeMap<String, Sourced<String>>,
    pub(crate) pins: BTreeMap<String, Sourced<String>>,
    /// Every value as it is written, for `straddle targets`.
    pub(crate) values: Vec<(String, Sourced<String>)>,
}

impl Target {
    pub(super) fn read(config: &Config, name: &str, value: &Value) -> Result<Self, Failure> {
        let reader = Reader { config, name };
        let dict = value.as_dict().cloned().unwrap_or_default();
        let backend = reader.backend(&dict, value)?;
        let environment = reader.environment(&dict)?;
        let mut target = Self {
            name: name.to_owned(),
            overlays: Vec::new(),
            vars: BTreeMap::new(),
            settings: BTreeMap::new(),
            pins: BTreeMap::new(),
            values: vec![
                ("backend".to_owned(), backend.1),
                (
                    "environment".to_owned(),
                    Sourced { value: environment.value.to_string(), origin: environment.origin },
                ),
            ],
            backend: backend.0,
            environment: environment.value,
        };
        for (key, value) in &dict {
            match key.as_str() {
                "backend" | "environment" => {}
                "overlay" | "overlays" => target.overlay(&reader, key, value)?,
                "vars" => target.vars(&reader, value)?,
                "pins" => target.pins(&reader, value)?,
                key => target.setting(&reader, key, value)?,
            }
        }
        Ok(target)
    }

    fn overlay(&mut self, reader: &Reader<'_>, key: &str, value: &Value) -> Result<(), Failure> {
        if !self.overlays.is_empty() {
            return Err(reader.wrong(value, key, "stands beside `overlay`: write one of them"));
        }
        let files: Vec<&Value> = match value {
            Value::Array(_, files) => files.iter().collect(),
            one => vec![one],
        };
        for file in files {
            let text = reader.text(file, key)?;
            let origin = text.origin.clone();
            self.values.push((key.to_owned(), text.clone()));
            self.overlays.push(Sourced { value: origin.folder.join(&text.value), origin });
        }
        Ok(())
    }

    fn vars(&mut self, reader: &Reader<'_>, value: &Value) -> Result<(), Failure> {
        for (name, value) in reader.table(value, "vars")? {
            let text = reader.text(value, &format!("vars.{name}"))?;
            self.vars.insert(name.clone(), text.value.clone());
            self.values.push((format!("vars.{name}"), text));
        }
        Ok(())
    }

    fn pins(&mut self, reader: &Reader<'_>, value: &Value) -> Result<(), Failure> {
        let known: Vec<&str> = self.backend.pins().iter().map(|pin| pin.key).collect();
        for (pin, value) in reader.table(value, "pins")? {
            if !known.contains(&pin.as_str()) {
                return Err(unknown(
                    &reader.config.origin(value),
                    pin,
                    &format!("targets.{}.pins.", reader.name),
                    &known,
                ));
            }
            let text = reader.text(value, &format!("pins.{pin}"))?;
            self.pins.insert(pin.clone(), text.clone());
            self.values.push((format!("pins.{pin}"), text));
        }
        Ok(())
    }

    fn setting(&mut self, reader: &Reader<'_>, key: &str, value: &Value) -> Result<(), Failure> {
        let own = self.backend.settings();
        let Some(setting) = own.iter().find(|setting| setting.key == key) else {
            let known: Vec<&str> = KEYS.into_iter().chain(own.iter().map(|setting| setting.key)).collect();
            return Err(unknown(
                &reader.config.origin(value),
                key,
                &format!("targets.{}.", reader.name),
                &known,
            ));
        };
        let text = reader.setting(value, setting)?;
        self.settings.insert(key.to_owned(), text.clone());
        self.values.push((key.to_owned(), text));
        Ok(())
    }
}

/// Reads values of one target, and names where a wrong one came from.
struct Reader<'a> {
    config: &'a Config,
    name: &'a str,
}

impl Reader<'_> {
    fn backend(&self, dict: &Dict, target: &Value) -> Result<(Arc<dyn Backend>, Sourced<String>), Failure> {
        let known: Vec<String> = self.config.registry().names().map(|name| format!("`{name}`")).collect();
        let Some(value) = dict.get("backend") else {
            let origin = dict
                .values()
                .next()
                .map_or_else(|| self.config.origin(target), |value| self.config.origin(value));
            return Err(Failure::usage(format!("{origin}: target `{}` names no backend", self.name))
                .with_help(format!("write backend = \"NAME\"; known are {}", style::list(&known))));
        };
        let text = self.text(value, "backend")?;
        match self.config.registry().get(&text.value) {
            Some(backend) => Ok((Arc::clone(backend), text)),
            None => {
                let close = closest(&text.value, self.config.registry().names())
                    .map(|name| format!("did you mean `{name}`? "));
                Err(self
                    .wrong(value, "backend", &format!("is `{}`, and no backend is called so", text.value))
                    .with_help(format!("{}known are {}", close.unwrap_or_default(), style::list(&known))))
            }
        }
    }

    fn environment(&self, dict: &Dict) -> Result<Sourced<Name>, Failure> {
        let Some(value) = dict.get("environment") else {
            let origin = Origin { name: "default".to_owned(), folder: PathBuf::new(), is_variable: false };
            let value = DEFAULT_ENVIRONMENT
                .parse()
                .map_err(|_| Failure::usage("the default environment has no name"))?;
            return Ok(Sourced { value, origin });
        };
        let Sourced { value: text, origin } = self.text(value, "environment")?;
        match text.parse() {
            Ok(value) => Ok(Sourced { value, origin }),
            Err(_) => Err(self
                .wrong(value, "environment", &format!("is `{text}`, which is not a name"))
                .with_help("use letters, digits, `-` and `_`, starting with a letter or a digit")),
        }
    }

    fn table<'v>(&self, value: &'v Value, key: &str) -> Result<&'v Dict, Failure> {
        value.as_dict().ok_or_else(|| {
            self.wrong(value, key, "is not a table").with_help(format!("write [targets.{}.{key}]", self.name))
        })
    }

    fn text(&self, value: &Value, key: &str) -> Result<Sourced<String>, Failure> {
        match value.as_str() {
            Some(text) => Ok(Sourced { value: text.to_owned(), origin: self.config.origin(value) }),
            // A number would lose what was written: 1.10 is not "1.1".
            None => Err(self.wrong(value, key, "is not a string").with_help("write it in quotes")),
        }
    }

    /// Reads a setting of a backend as it is written, or as a text.
    fn setting(
        &self,
        value: &Value,
        Setting { key, about: _, form }: &Setting,
    ) -> Result<Sourced<String>, Failure> {
        let (text, needed) = match form {
            Form::Text => return self.text(value, key),
            Form::List => {
                let items =
                    value.as_array().map(|items| items.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
                let text = items.unwrap_or_else(|| value.as_str().map(|text| vec![text]));
                (text.map(|items| items.join(",")), "a list of strings")
            }
            Form::Number => {
                let written = value.to_i128().and_then(|number| u64::try_from(number).ok());
                let number = written.or_else(|| value.as_str()?.trim().parse().ok());
                (number.map(|number| number.to_string()), "a whole number")
            }
            Form::Switch => {
                let switch = value.to_bool().or_else(|| value.as_str()?.trim().parse().ok());
                (switch.map(|switch| switch.to_string()), "true or false")
            }
        };
        match text {
            Some(value_text) => Ok(Sourced { value: value_text, origin: self.config.origin(value) }),
            None => Err(self.wrong(value, key, &format!("is not {needed}"))),
        }
    }

    fn wrong(&self, value: &Value, key: &str, what: &str) -> Failure {
        Failure::usage(format!("{}: `targets.{}.{key}` {what}", self.config.origin(value), self.name))
    }
}
