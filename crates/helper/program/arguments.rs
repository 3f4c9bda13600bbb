//! Reading of arguments: words, `--name value` options, durations and status ranges.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// A mistake in how the program was called.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Usage(pub(crate) String);

/// Arguments, split into words and options.
#[derive(Debug)]
pub(crate) struct Arguments {
    words: Vec<String>,
    options: Vec<(String, String)>,
}

impl Arguments {
    /// Splits arguments; every option has a value, as `--name value` or `--name=value`.
    pub(crate) fn parse(arguments: &[String], known: &[&str]) -> Result<Self, Usage> {
        let mut words = Vec::new();
        let mut options = Vec::new();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let Some(option) = argument.strip_prefix("--") else {
                words.push(argument.clone());
                continue;
            };
            let (name, value) = match option.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (option, rest.next().cloned()),
            };
            if !known.contains(&name) {
                return Err(Usage(format!("unknown option `--{name}`")));
            }
            let value = value.ok_or_else(|| Usage(format!("`--{name}` needs a value")))?;
            options.push((name.to_owned(), value));
        }
        Ok(Self { words, options })
    }

    pub(crate) fn words(&self) -> &[String] {
        &self.words
    }

    /// Every value of a repeatable option.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.options.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The last value of an option.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.options.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The last value of an option as a number or the like.
    pub(crate) fn value<T: FromStr>(&self, name: &str) -> Result<Option<T>, Usage> {
        self.text(name)
            .map(|text| text.parse().map_err(|_| Usage(format!("`--{name} {text}` is not valid"))))
            .transpose()
    }

    /// The last value of an option as a time span.
    pub(crate) fn duration(&self, name: &str, default: Duration) -> Result<Duration, Usage> {
        self.text(name).map_or(Ok(default), duration)
    }
}

/// Reads `500ms`, `2s`, `1.5s` or `1m`.
pub(crate) fn duration(text: &str) -> Result<Duration, Usage> {
    let wrong = || Usage(format!("`{text}` is not a time span such as 500ms or 2s"));
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        _ => return Err(wrong()),
    };
    let number: f64 = digits.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(number * unit).map_err(|_| wrong())
}

/// Reads a list of status codes and ranges: `200-299,304`.
pub(crate) fn statuses(text: &str) -> Result<Vec<RangeInclusive<u16>>, Usage> {
    let wrong = || Usage(format!("`{text}` is not a list of status codes such as 200-399 or 200,204"));
    text.split(',')
        .map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let first: u16 = first.trim().parse().map_err(|_| wrong())?;
            let last: u16 = last.trim().parse().map_err(|_| wrong())?;
            if first <= last { Ok(first..=last) } else { Err(wrong()) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Arguments, Usage> {
        let owned: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Arguments::parse(&owned, &["port", "header"])
    }

    #[test]
    fn options_and_words_may_mix() {
        let arguments = parse(&["http", "--port", "80", "--header=A: 1", "--header", "B: 2"]).unwrap();
        assert_eq!(arguments.words(), ["http"]);
        assert_eq!(arguments.value::<u16>("port"), Ok(Some(80)));
        assert_eq!(arguments.all("header").collect::<Vec<_>>(), ["A: 1", "B: 2"]);
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(parse(&["--prot", "1"]).unwrap_err().0, "unknown option `--prot`");
        assert_eq!(parse(&["--port"]).unwrap_err().0, "`--port` needs a value");
        let port = parse(&["--port", "70000"]).unwrap().value::<u16>("port");
        assert_eq!(port.unwrap_err().0, "`--port 70000` is not valid");
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("1500ms"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "5", "s", "-1s", "5 s", "5h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn statuses_are_codes_and_ranges() {
        assert_eq!(statuses("200-299,304"), Ok(vec![200..=299, 304..=304]));
        for wrong in ["", "ok", "300-200", "200-"] {
            assert!(statuses(wrong).is_err(), "{wrong}");
        }
    }
}
