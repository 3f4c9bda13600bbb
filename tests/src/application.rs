//! An application of one test: a folder with its spec, and an engine that is left as it was found.

use std::{io, time::Duration};

use straddle_conformance::probe::image_name;
use straddle_core::scope::Scope;

use crate::{
    cli::{Folder, Ran, Running},
    docker::Engine,
    proxy::Proxy,
};

/// How long one command may take on a machine that has much else to do.
pub const LIMIT: Duration = Duration::from_secs(240);

/// An application that no other test has. Whatever of it is on the engine goes when it is dropped, also when the test fails.
#[derive(Debug)]
pub struct Application {
    name: String,
    scope: Scope,
    folder: Folder,
}

impl Application {
    /// Makes the folder of an application, which is called after the test and this process.
    ///
    /// # Errors
    ///
    /// The error of the file system; [`InvalidInput`](io::ErrorKind::InvalidInput) where `test` makes no name.
    pub fn new(test: &str, spec: &str) -> io::Result<Self> {
        let name = format!("{test}-{}", std::process::id());
        let parsed = name.parse();
        let parsed = parsed
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, format!("`{name}` is no name")))?;
        let application = Self { scope: Scope::new(&parsed), name, folder: Folder::new()? };
        application.write(spec)?;
        Ok(application)
    }

    /// Sets a variable for its commands.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.folder.set_variable(name, value);
        self
    }

    /// Sends what its commands say to the engine through a proxy.
    #[must_use]
    pub fn through(self, proxy: &Proxy) -> Self {
        self.with_variable("DOCKER_HOST", proxy.host())
    }

    /// Returns its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns its name and environment.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Returns its folder.
    #[must_use]
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Fills in a text: `APP` is the application, and `IMAGE` the image of the probe.
    #[must_use]
    pub fn fill(&self, text: &str) -> String {
        text.replace("APP", &self.name).replace("IMAGE", &image_name())
    }

    /// Writes its spec, filled in.
    ///
    /// # Errors
    ///
    /// The error of the file system.
    pub fn write(&self, spec: &str) -> io::Result<()> {
        self.folder.write("straddle.yaml", &self.fill(spec))
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    ///
    /// As [`Folder::run_within`].
    pub fn run(&self, arguments: &[&str]) -> io::Result<Ran> {
        self.folder.run_within(arguments, LIMIT)
    }

    /// Starts a command.
    ///
    /// # Errors
    ///
    /// As [`Folder::start`].
    pub fn start(&self, arguments: &[&str]) -> io::Result<Running> {
        self.folder.start(arguments)
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        let scope = self.scope.clone();
        // Apart from the runtime of the test, which may be about to end; what cannot be removed here cannot be told to anybody either.
        let clearing = std::thread::spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
                return;
            };
            let clear = async { Engine::connect().await?.clear(&scope).await };
            drop(runtime.block_on(async { tokio::time::timeout(LIMIT, clear).await }));
        });
        drop(clearing.join());
    }
}
