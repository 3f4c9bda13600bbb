//! Reading of arguments, time spans and sizes.

use std::io;
use std::str::FromStr;
use std::time::Duration;

/// Words, and options with a value: `--name value` or `--name=value`.
#[derive(Debug, Default)]
pub(crate) struct Options {
    words: Vec<String>,
    named: Vec<(String, String)>,
}

impl Options {
    pub(crate) fn parse(arguments: &[String]) -> io::Result<Self> {
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
            let value = value.ok_or_else(|| wrong(format!("`--{name}` needs a value")))?;
            options.named.push((name.to_owned(), value));
        }
        Ok(options)
    }

    pub(crate) fn words(&self) -> &[String] {
        &self.words
    }

    pub(crate) fn word(&self, index: usize) -> io::Result<&str> {
        self.words.get(index).map(String::as_str).ok_or_else(|| wrong("an argument is missing".to_owned()))
    }

    pub(crate) fn number<T: FromStr>(&self, index: usize) -> io::Result<T> {
        parse(self.word(index)?)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.named.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

pub(crate) fn wrong(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

pub(crate) fn parse<T: FromStr>(text: &str) -> io::Result<T> {
    text.parse().map_err(|_| wrong(format!("`{text}` is not a number that fits")))
}

/// Reads `500ms`, `2s` or `1m`.
pub(crate) fn duration(text: &str) -> io::Result<Duration> {
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => return Err(wrong(format!("`{text}` is not a time span such as 500ms or 2s"))),
    };
    Ok(Duration::from_millis(parse::<u64>(digits)?.saturating_mul(unit)))
}

/// Reads `64Mi`, `1Gi` or a number of bytes.
pub(crate) fn bytes(text: &str) -> io::Result<usize> {
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" => 1,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        _ => return Err(wrong(format!("`{text}` is not a size such as 64Mi"))),
    };
    Ok(parse::<usize>(digits)?.saturating_mul(unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_options_mix() {
        let arguments = ["8080", "--body", "hello", "--ready-after=2s"].map(str::to_owned);
        let options = Options::parse(&arguments).unwrap();
        assert_eq!(options.number::<u16>(0).unwrap(), 8080);
        assert_eq!(options.get("body"), Some("hello"));
        assert_eq!(duration(options.get("ready-after").unwrap()).unwrap(), Duration::from_secs(2));
        assert!(options.word(1).is_err());
    }

    #[test]
    fn sizes_are_binary() {
        assert_eq!(bytes("64Mi").unwrap(), 64 * 1024 * 1024);
        assert!(bytes("64MB").is_err());
    }
}
