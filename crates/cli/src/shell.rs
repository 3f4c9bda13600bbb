//! Where output goes: data to standard output, everything else to standard error.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    io::{self, BufRead, BufReader, Read, Write},
    sync::{Mutex, MutexGuard, PoisonError},
};

use anstream::adapter::strip_str;
use indicatif::MultiProgress;
use serde::Serialize;

use crate::{environment::Terminals, error::Failure, style};

/// The width that lines are made for where no terminal says another one.
const WIDTH: usize = 100;

/// How results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// One JSON document; a line each for events, logs and progress
    Json,
}

/// Where output goes, and in which form.
pub(crate) struct Shell {
    stdin: Mutex<BufReader<Box<dyn Read + Send>>>,
    stdout: Mutex<Box<dyn Write + Send>>,
    stderr: Mutex<Box<dyn Write + Send>>,
    /// Lines of it are drawn anew; whatever is written meanwhile goes above them.
    bars: Mutex<Option<MultiProgress>>,
    terminals: Terminals,
    colour: Streams,
    unicode: bool,
    pub(crate) format: Format,
    pub(crate) quiet: bool,
    pub(crate) verbose: u8,
}

/// Whether each stream takes colours.
#[derive(Clone, Copy, Debug)]
struct Streams {
    stdout: bool,
    stderr: bool,
}

impl Shell {
    pub(crate) fn new(
        streams: (Box<dyn Read + Send>, Box<dyn Write + Send>, Box<dyn Write + Send>),
        terminals: Terminals,
        variables: &BTreeMap<String, String>,
    ) -> Self {
        let (stdin, stdout, stderr) = streams;
        let colour = |terminal| takes_colour(terminal, variables);
        Self {
            stdin: Mutex::new(BufReader::new(stdin)),
            stdout: Mutex::new(stdout),
            stderr: Mutex::new(stderr),
            bars: Mutex::new(None),
            terminals,
            colour: Streams { stdout: colour(terminals.stdout), stderr: colour(terminals.stderr) },
            unicode: shows_unicode(variables),
            format: Format::Text,
            quiet: false,
            verbose: 0,
        }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    pub(crate) fn terminals(&self) -> Terminals {
        self.terminals
    }

    /// Returns how many columns a line may have.
    pub(crate) fn width(&self) -> usize {
        self.terminals.width.map_or(WIDTH, usize::from).max(40)
    }

    /// Returns whether lines on standard error can be drawn anew.
    pub(crate) fn draws(&self) -> bool {
        self.terminals.stderr && !self.quiet && !self.is_json() && self.verbose == 0
    }

    /// Sets what is drawn at the bottom of the terminal.
    pub(crate) fn set_bars(&self, bars: Option<MultiProgress>) {
        *lock(&self.bars) = bars;
    }

    /// Writes data: lines with styles, which are left out where nobody can see them.
    pub(crate) fn data(&self, text: &str) -> Result<(), Failure> {
        self.raw(self.fit(text, self.colour.stdout).as_bytes())
    }

    /// Writes a line as it is, behind a prefix with styles.
    pub(crate) fn prefixed(&self, prefix: &str, line: &str) -> Result<(), Failure> {
        self.raw(format!("{}{line}\n", self.fit(prefix, self.colour.stdout)).as_bytes())
    }

    /// Writes data as it is.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = lock(&self.stdout);
        stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(Failure::Write)
    }

    /// Writes what a container wrote to its standard error.
    pub(crate) fn raw_error(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stderr = lock(&self.stderr);
        stderr.write_all(bytes).and_then(|()| stderr.flush()).map_err(Failure::Write)
    }

    /// Writes one JSON document.
    pub(crate) fn json<T: Serialize>(&self, document: &T) -> Result<(), Failure> {
        let mut text = serde_json::to_string_pretty(document).map_err(Failure::internal)?;
        text.push('\n');
        self.raw(text.as_bytes())
    }

    /// Writes one line of a stream of JSON documents.
    pub(crate) fn json_line<T: Serialize>(&self, document: &T) -> Result<(), Failure> {
        let mut text = serde_json::to_string(document).map_err(Failure::internal)?;
        text.push('\n');
        self.raw(text.as_bytes())
    }

    /// Says something besides the data, unless told to be quiet.
    pub(crate) fn say(&self, text: &str) {
        if !self.quiet && !self.is_json() {
            self.error(text);
        }
    }

    /// Writes a JSON document on one line besides the data, unless told to be quiet.
    pub(crate) fn say_json<T: Serialize>(&self, document: &T) {
        if !self.quiet {
            self.error_json(document);
        }
    }

    /// Writes what must be seen, even when told to be quiet.
    pub(crate) fn error(&self, text: &str) {
        let text = self.fit(text, self.colour.stderr);
        let write = || {
            let mut stderr = lock(&self.stderr);
            // Whoever closed standard error does not want to know.
            let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
        };
        match &*lock(&self.bars) {
            Some(bars) => bars.suspend(write),
            None => write(),
        }
    }

    /// Writes a JSON document on one line to standard error, even when told to be quiet.
    pub(crate) fn error_json<T: Serialize>(&self, document: &T) {
        if let Ok(text) = serde_json::to_string(document) {
            self.error(&format!("{text}\n"));
        }
    }

    /// Asks a question whose answer is no unless somebody says yes.
    ///
    /// Fails where nobody can be asked.
    pub(crate) fn confirm(&self, question: &str) -> Result<bool, Failure> {
        let why = if self.is_json() || self.quiet {
            "-q and -o json ask no questions"
        } else if !self.terminals.stdin || !self.terminals.stderr {
            "nobody can be asked here: this is not a terminal"
        } else {
            ""
        };
        if !why.is_empty() {
            return Err(Failure::usage(why).with_help("look at the plan (straddle plan), then add --yes"));
        }
        self.error(&format!("{question} [y/N] "));
        let mut answer = String::new();
        lock(&self.stdin).read_line(&mut answer).map_err(Failure::Write)?;
        Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
    }

    /// Reads standard input to its end, or until it has this many bytes.
    pub(crate) fn read_to_end(&self, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut stdin = lock(&self.stdin);
        (&mut *stdin).take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads what is there of standard input; 0 at its end.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        lock(&self.stdin).read(buffer)
    }

    fn fit<'t>(&self, text: &'t str, colour: bool) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(text);
        if !colour && text.contains('\u{1b}') {
            text = Cow::Owned(strip_str(&text).to_string());
        }
        if !self.unicode && !text.is_ascii() {
            text = Cow::Owned(style::ascii(&text));
        }
        text
    }
}

impl fmt::Debug for Shell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shell")
            .field("terminals", &self.terminals)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn takes_colour(terminal: bool, variables: &BTreeMap<String, String>) -> bool {
    let set = |name: &str| variables.get(name).is_some_and(|value| !value.is_empty());
    if set("NO_COLOR") {
        return false;
    }
    if variables.get("CLICOLOR_FORCE").is_some_and(|value| !value.is_empty() && value != "0") {
        return true;
    }
    terminal && variables.get("TERM").is_none_or(|term| term != "dumb")
}

/// Returns whether the locale says that the terminal shows more than ASCII.
fn shows_unicode(variables: &BTreeMap<String, String>) -> bool {
    if cfg!(windows) {
        return true;
    }
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .filter_map(|name| variables.get(*name))
        .find(|value| !value.is_empty());
    locale.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn colour_is_for_terminals_unless_somebody_says_otherwise() {
        assert!(takes_colour(true, &variables(&[])));
        assert!(!takes_colour(false, &variables(&[])));
        assert!(!takes_colour(true, &variables(&[("NO_COLOR", "1")])));
        assert!(takes_colour(true, &variables(&[("NO_COLOR", "")])));
        assert!(!takes_colour(true, &variables(&[("TERM", "dumb")])));
        assert!(takes_colour(false, &variables(&[("CLICOLOR_FORCE", "1")])));
    }

    #[test]
    fn the_first_locale_that_is_set_decides() {
        assert!(shows_unicode(&variables(&[("LANG", "en_GB.UTF-8")])));
        assert!(!shows_unicode(&variables(&[("LC_ALL", "C"), ("LANG", "en_GB.UTF-8")])));
        assert!(shows_unicode(&variables(&[("LC_ALL", ""), ("LANG", "C.utf8")])));
        assert_eq!(shows_unicode(&variables(&[])), cfg!(windows));
    }
}
