//! Command lines of the probe program: words, and options with a value (`--name value` or `--name=value`).

use std::{collections::BTreeMap, str::FromStr, time::Duration};

use crate::units::{Memory, Timespan};

/// The arguments after the name of a command.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) words: Vec<String>,
    named: BTreeMap<String, String>,
}

impl Options {
    pub(super) fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut options = Self::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let Some(option) = argument.strip_prefix("--") else {
                options.words.push(argument.clone());
                continue;
            };
            let (name, value) = match option.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (option, rest.next().cloned()),
            };
            options.named.insert(name.to_owned(), value.ok_or_else(|| format!("`--{name}` needs a value"))?);
        }
        Ok(options)
    }

    pub(super) fn word(&self, at: usize) -> Result<&str, String> {
        self.words.get(at).map(String::as_str).ok_or_else(|| "an argument is missing".to_owned())
    }

    pub(super) fn number<T: FromStr>(&self, at: usize) -> Result<T, String> {
        number(self.word(at)?)
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.named.get(name).map(String::as_str)
    }

    pub(super) fn duration(&self, name: &str) -> Result<Option<Duration>, String> {
        self.get(name).map(duration).transpose()
    }
}

pub(super) fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is not a number that fits"))
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let span =
        text.parse::<Timespan>().map_err(|_| format!("`{text}` is not a time span such as 500ms or 2s"))?;
    Ok(span.duration())
}

pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let memory = text.parse::<Memory>().map_err(|_| format!("`{text}` is not a size such as 64Mi"))?;
    Ok(memory.bytes())
}
