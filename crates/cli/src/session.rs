//! What every command works with: where output goes, what was selected, and the way to the target.

use std::{
    collections::BTreeMap,
    future::Future,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use straddle_core::{
    clock::Clock,
    decorate,
    error::{Error, ErrorKind},
    orchestrator::{Cancel, Context, Orchestrator},
    platform::Platform,
    scope::Scope,
};

use crate::{
    args::Selection,
    config::{Config, Layers, Sourced, Target},
    environment::Interrupts,
    error::Failure,
    interrupt,
    output::PlaceOutput,
    project::{self, Loaded, Project},
    registry::{Registry, Settings},
    shell::Shell,
    style,
};

/// What every command works with.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) shell: Arc<Shell>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) folder: PathBuf,
    pub(crate) selection: Selection,
    pub(crate) variables: Variables,
    pub(crate) registry: Registry,
    pub(crate) interrupts: Mutex<Option<Interrupts>>,
}

/// The environment variables, which may hold secrets and so are not shown.
pub(crate) struct Variables(pub(crate) BTreeMap<String, String>);

impl std::fmt::Debug for Variables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Variables")
    }
}

/// A target that answers, and the application that a command is about.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) target: Target,
    pub(crate) orchestrator: Arc<dyn Orchestrator>,
    pub(crate) scope: Scope,
}

impl Connected {
    /// Returns where it is, as JSON documents have it.
    pub(crate) fn place(&self) -> PlaceOutput {
        PlaceOutput {
            app: self.scope.app().to_owned(),
            environment: self.scope.environment().to_owned(),
            target: self.target.name.clone(),
            place: self.orchestrator.place(),
        }
    }

    /// Returns the line that says what is dealt with and where.
    pub(crate) fn title(&self) -> String {
        crate::render::title(
            self.scope.app(),
            self.scope.environment(),
            &self.target.name,
            &self.orchestrator.place(),
        )
    }

    /// Returns the application and the target in a few words: `shop on docker`.
    pub(crate) fn short(&self) -> String {
        format!("{} on {}", style::bold(&self.scope), style::bold(&self.target.name))
    }
}

impl Session {
    /// Reads the configuration.
    pub(crate) fn config(&self) -> Result<Config, Failure> {
        let project = Project::home(&self.folder, &self.selection.files);
        let environment = self.selection.environment.as_deref();
        Config::load(
            &Layers { variables: &self.variables.0, folder: &self.folder, project: &project, environment },
            &self.registry,
        )
    }

    /// Returns the targets that were named, or the default one; each once.
    pub(crate) fn targets(&self) -> Result<Vec<Target>, Failure> {
        let config = self.config()?;
        let mut names: Vec<String> = Vec::new();
        for name in &self.selection.targets {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        if names.is_empty() {
            let Some(Sourced { value, origin }) = config.default_target() else {
                return Err(Failure::usage("this program was built without any backend"));
            };
            return config.target(&value).map(|target| vec![target]).map_err(|failure| match failure {
                failure @ Failure::Usage(_) if !config.names().contains(&value.as_str()) => failure
                    .with_help(format!(
                        "{origin} names it as the default target; straddle targets shows what there is"
                    )),
                other => other,
            });
        }
        names.iter().map(|name| config.target(name)).collect()
    }

    /// Returns the one target that a command acts on.
    pub(crate) fn target(&self) -> Result<Target, Failure> {
        let mut targets = self.targets()?;
        match (targets.pop(), targets.is_empty()) {
            (Some(target), true) => Ok(target),
            _ => Err(Failure::usage("this command works on one target").with_help("give -t once")),
        }
    }

    /// Reads the spec as it is on a target.
    pub(crate) fn load(&self, target: &Target) -> Result<Loaded, Failure> {
        Project::find(&self.folder, &self.selection.files)?.load(target, &self.variables.0, &self.shell)
    }

    /// Finds the files of the spec, to read them for several targets.
    pub(crate) fn project(&self) -> Result<Project, Failure> {
        Project::find(&self.folder, &self.selection.files)
    }

    /// Returns which application a command is about, reading no more of the spec than its name.
    pub(crate) fn scope(&self, target: &Target) -> Result<Scope, Failure> {
        if let Some(app) = &self.selection.app {
            return project::scope(app, &target.environment);
        }
        let project = self
            .project()
            .map_err(|failure| failure.with_help("name the application with --app, or its spec with -f"))?;
        let name = project.name(target, &self.variables.0, &self.shell)?;
        Ok(Scope::new(&name).with_environment(&target.environment))
    }

    /// Makes the pure half of a target's backend, which asks nobody.
    pub(crate) fn platform(&self, target: &Target) -> Result<Box<dyn Platform>, Failure> {
        Ok(target.backend.platform(&self.settings(target))?)
    }

    /// Connects to a target, once its pins have been held against it.
    pub(crate) async fn connect(&self, target: &Target) -> Result<Arc<dyn Orchestrator>, Failure> {
        let settings = self.settings(target);
        let orchestrator = target.backend.connect(&settings).await?;
        for (pin, wanted) in &target.pins {
            let found = target.backend.pinned(&*orchestrator, &settings, pin).await?;
            if !found.contains(&wanted.value) {
                let found = style::list(&found);
                let error = Error::new(
                    ErrorKind::Conflict,
                    format!(
                        "target {} is pinned to {pin} {}, and this is {found}: nothing was read or changed",
                        target.name, wanted.value
                    ),
                );
                return Err(Failure::Core(error.with_help(format!(
                    "connect to the right one, or correct pins.{pin} in {}",
                    wanted.origin
                ))));
            }
        }
        Ok(decorate::standard(orchestrator, Arc::clone(&self.clock)))
    }

    /// Connects to the one target, for a command that only needs the name of the application.
    pub(crate) async fn connect_by_name(&self) -> Result<Connected, Failure> {
        let target = self.target()?;
        let scope = self.scope(&target)?;
        let orchestrator = self.connect(&target).await?;
        Ok(Connected { target, orchestrator, scope })
    }

    /// Connects to the one target, for a command that reads the whole spec.
    pub(crate) async fn connect_with_spec(&self) -> Result<(Connected, Loaded), Failure> {
        let target = self.target()?;
        let loaded = self.load(&target)?;
        let orchestrator = self.connect(&target).await?;
        Ok((Connected { target, orchestrator, scope: loaded.scope.clone() }, loaded))
    }

    fn settings(&self, target: &Target) -> Settings {
        Settings {
            values: target
                .settings
                .iter()
                .map(|(key, setting)| (key.clone(), setting.value.clone()))
                .collect(),
            variables: self.variables.0.clone(),
            folder: Project::home(&self.folder, &self.selection.files),
        }
    }

    /// Makes a context for a long operation that can be cancelled.
    pub(crate) fn context(&self, cancel: &Cancel) -> Context {
        Context::new().with_clock(Arc::clone(&self.clock)).with_cancel(cancel.clone())
    }

    /// Returns how long ago something was.
    pub(crate) fn since(&self, start: Duration) -> Duration {
        self.clock.monotonic().saturating_sub(start)
    }

    /// Waits for something that ends at once on Ctrl-C.
    pub(crate) async fn until_interrupted<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let mut interrupts = self.interrupts();
        tokio::select! {
            result = work => result,
            () = interrupts.next() => Err(Failure::Interrupted),
        }
    }

    /// Waits for something that is cancelled by the first Ctrl-C, after which it ends by itself, and left alone by the second.
    pub(crate) async fn until_cancelled<T>(
        &self,
        cancel: &Cancel,
        notice: &str,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let mut interrupts = self.interrupts();
        let mut work = std::pin::pin!(work);
        tokio::select! {
            result = &mut work => return result,
            () = interrupts.next() => {}
        }
        cancel.cancel();
        self.shell.say(&format!("\n{notice}\n"));
        tokio::select! {
            result = &mut work => result,
            () = interrupts.next() => {
                self.shell.say("Stopped at once. Run the same command again: it goes on where this one stopped.\n");
                Err(Failure::Interrupted)
            }
        }
    }

    fn interrupts(&self) -> interrupt::Source {
        let taken = self.interrupts.lock().unwrap_or_else(PoisonError::into_inner).take();
        interrupt::Source::new(taken.unwrap_or(Interrupts::Signals))
    }
}
