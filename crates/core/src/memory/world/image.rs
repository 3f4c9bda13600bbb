use std::collections::BTreeMap;

/// The program that every image of the world holds.
pub(super) const PROGRAM: &str = "/probe";

/// An image of a [`World`](super::World), by what its containers do.
///
/// They do what the probe program of the conformance suite would do with the same command line:
///
/// | command line | what the container does |
/// |---|---|
/// | `serve PORT [--body TEXT] [--ready-after 2s] [--unhealthy-after N]` | answers HTTP: `/`, `/healthz`, `/env/NAME`, `/hostname`, `/file?path=`, `/fetch?url=`, `/exit/N`, ... |
/// | `udp PORT`, `sleep [10s]`, `count [--to N]`, `cat`, `tty` | listens, sleeps, prints a number each 100 ms, copies its input, tells its terminal |
/// | `exit N [--after 1s] [--print TEXT]`, `print LINE...` | prints and exits; a line that begins with `err:` goes to standard error |
/// | `eat SIZE` | fills memory, and is killed where it may not have that much |
/// | `env NAME`, `show FACT`, `read PATH`, `write PATH TEXT [--after 1s]`, `wait-file PATH` | tells and changes what a container sees |
/// | `fetch URL`, `resolve NAME` | asks another service, or where it is |
///
/// ```
/// use straddle_core::memory::Image;
///
/// // An image as applications have them: it serves, unless it is told to migrate.
/// let image = Image::running(["serve", "8080"]).with_program("migrate", ["exit", "0", "--print", "migrated"]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    command: Vec<String>,
    programs: BTreeMap<String, Vec<String>>,
    environment: BTreeMap<String, String>,
}

impl Image {
    /// Makes an image without a command: a container has to say what it does.
    #[must_use]
    pub fn probe() -> Self {
        Self::default()
    }

    /// Makes an image with a command, for containers that do not bring their own.
    #[must_use]
    pub fn running(command: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { command: words(command), ..Self::default() }
    }

    /// Adds a program: a command line that begins with its name does what `command` says.
    #[must_use]
    pub fn with_program(
        mut self,
        name: impl Into<String>,
        command: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.programs.insert(name.into(), words(command));
        self
    }

    /// Sets a variable, for containers that do not set it themselves.
    #[must_use]
    pub fn with_variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// Returns the variables that it sets.
    pub(super) fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// Returns what a container is started with: the image's entry point and command, where the container does not say otherwise.
    pub(super) fn argv(&self, entrypoint: Option<&[String]>, command: Option<&[String]>) -> Vec<String> {
        let default = if entrypoint.is_some() { &[][..] } else { &self.command };
        let program = [PROGRAM.to_owned()];
        let entrypoint = entrypoint.unwrap_or(&program);
        entrypoint.iter().chain(command.unwrap_or(default)).cloned().collect()
    }

    /// Returns the words for the probe program; `None` where the program does not exist.
    pub(super) fn words(&self, argv: &[String]) -> Option<Vec<String>> {
        let words = argv.strip_prefix(&[PROGRAM.to_owned()]);
        let named = words.unwrap_or(argv).split_first();
        match named.and_then(|(name, rest)| Some((self.programs.get(name)?, rest))) {
            Some((program, rest)) => Some(program.iter().chain(rest).cloned().collect()),
            None => words.map(<[String]>::to_vec),
        }
    }
}

fn words(command: impl IntoIterator<Item = impl Into<String>>) -> Vec<String> {
    command.into_iter().map(Into::into).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_overrides_the_command_and_the_entry_point() {
        let image = Image::running(["serve", "80"]).with_program("migrate", ["exit", "0"]);
        let command = words(["migrate", "--all"]);
        assert_eq!(image.argv(None, None), ["/probe", "serve", "80"]);
        assert_eq!(image.words(&image.argv(None, Some(&command))).unwrap(), ["exit", "0", "--all"]);
        assert_eq!(image.words(&image.argv(Some(&words(["migrate"])), None)).unwrap(), ["exit", "0"]);
        assert_eq!(image.words(&words(["/bin/sh"])), None);
    }
}
