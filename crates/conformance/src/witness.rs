use std::{fmt, sync::Arc};

use async_trait::async_trait;
use straddle_core::{
    error::{Error, ErrorKind, Result},
    orchestrator::{Context, Orchestrator},
    scope::Scope,
    spec,
};

use crate::bench::{Bench, Mismatch};

/// Looks at an engine from outside, and does what only its environment can do.
///
/// Every method may answer that this environment cannot do it, with [`cannot`] and the reason: the behaviours that need it are then shown as
/// *skipped*, with that reason, and never count as passed. All but the first four answer so unless they are written.
#[async_trait]
pub trait Witness: fmt::Debug + Send + Sync {
    /// Makes something that is named as the backend would name a thing of this application, without the labels that would make it ours.
    async fn plant(&self, scope: &Scope) -> Result<String>;

    /// Returns whether a planted thing is still there, unchanged.
    async fn is_intact(&self, planted: &str) -> Result<bool>;

    /// Removes a planted thing.
    async fn uproot(&self, planted: &str) -> Result<()>;

    /// Lists everything on the engine that belongs to the application, by whatever mark or name.
    async fn belongings(&self, scope: &Scope) -> Result<Vec<String>>;

    /// Returns what the engine is, with its version, for the report.
    async fn engine(&self) -> Result<String> {
        Ok("unknown".to_owned())
    }

    /// Puts an image that holds the probe, and sets the variable `STRADDLE_SUITE_IMAGE` to `content`, in the place of whatever has the name
    /// `name`: each content is another image. Returns the reference by which a spec names it, which depends on `name` alone.
    async fn put_image(&self, name: &str, content: &str) -> Result<String> {
        let _ = (name, content);
        Err(cannot("images cannot be made here"))
    }

    /// Removes an image by its reference.
    async fn drop_image(&self, reference: &str) -> Result<()> {
        let _ = reference;
        Err(cannot("images cannot be removed here"))
    }

    /// Keeps a secret where the backend can resolve it, and returns the reference by which a spec names it.
    async fn keep_secret(&self, name: &str, value: &str) -> Result<String> {
        let _ = (name, value);
        Err(cannot("secrets cannot be kept here"))
    }

    /// Removes a secret by its reference.
    async fn drop_secret(&self, reference: &str) -> Result<()> {
        let _ = reference;
        Err(cannot("secrets cannot be removed here"))
    }

    /// Lets something that is not ours listen on a port that a service would publish, and returns its number.
    async fn take_port(&self) -> Result<u16> {
        Err(cannot("no port can be taken here"))
    }

    /// Ends what listens on a port that was taken.
    async fn free_port(&self, port: u16) -> Result<()> {
        let _ = port;
        Err(cannot("no port can be freed here"))
    }

    /// Restarts the engine, as after an update of it, and returns once it answers again.
    async fn restart_engine(&self) -> Result<()> {
        Err(cannot("the engine is not ours to restart"))
    }

    /// Begins to make the target what a spec (YAML) says, in a process of its own that can be killed.
    ///
    /// Where there is no such process, a thread that is abandoned comes close to it: [`Abandoned::apply`].
    async fn begin_apply(&self, scope: &Scope, spec: &str) -> Result<Box<dyn Applying>> {
        let _ = (scope, spec);
        Err(cannot("no process can be started here that applies"))
    }
}

/// An apply under way, which can be killed.
#[async_trait]
pub trait Applying: fmt::Debug + Send {
    /// Ends it where it is, as `kill -9` does: nothing of it may tidy up.
    async fn kill(self: Box<Self>) -> Result<()>;
}

/// Says that an environment cannot do what a behaviour needs, and why.
#[must_use]
pub fn cannot(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unsupported, why)
}

/// An apply in a thread with a runtime of its own, which is abandoned in the middle: its tasks and timers stop, and nothing tidies up.
pub struct Abandoned {
    runtime: Option<tokio::runtime::Runtime>,
}

impl Abandoned {
    /// Begins to make the target what a spec says.
    ///
    /// The orchestrator should be a handle of its own, as another process would have.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) where the spec is none, [`Internal`](ErrorKind::Internal) where no thread can be started.
    pub fn apply(orchestrator: Arc<dyn Orchestrator>, scope: &Scope, spec: &str) -> Result<Self> {
        let app = spec::from_yaml(spec).map_err(|error: spec::Problems| {
            Error::new(ErrorKind::Invalid, "the spec cannot be read").with_source(error.to_string())
        })?;
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(
                |error| Error::new(ErrorKind::Internal, "no thread can be started").with_source(error),
            )?;
        let scope = scope.clone();
        runtime.spawn(async move {
            // Nobody is there to hear what becomes of it.
            drop(
                straddle_core::decorate::OrchestratorExt::apply(&orchestrator, &scope, app, &Context::new())
                    .await,
            );
        });
        Ok(Self { runtime: Some(runtime) })
    }
}

impl fmt::Debug for Abandoned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Abandoned")
    }
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        // A runtime must not be dropped inside another one's tasks, which this is.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[async_trait]
impl Applying for Abandoned {
    async fn kill(self: Box<Self>) -> Result<()> {
        drop(self);
        Ok(())
    }
}

/// What a behaviour had the environment make, to be taken back when it is over, however it ended.
#[derive(Clone, Debug)]
pub(crate) enum Made {
    Application(Bench),
    Image(String),
    Planted(String),
    Port(u16),
    Secret(String),
}

impl Bench {
    /// Asks the environment for something; what it cannot do skips the behaviour.
    pub(crate) async fn outside<T>(&self, asked: impl Future<Output = Result<T>>) -> Result<T, Mismatch> {
        asked.await.map_err(|error| match error.kind() {
            ErrorKind::Unsupported => Mismatch::skipped(error.message()),
            _ => Mismatch::from(error),
        })
    }

    pub(crate) async fn plant(&self) -> Result<String, Mismatch> {
        let planted = self.outside(self.witness().plant(self.scope())).await?;
        self.made(Made::Planted(planted.clone()));
        Ok(planted)
    }

    pub(crate) async fn is_intact(&self, planted: &str) -> Result<bool, Mismatch> {
        self.outside(self.witness().is_intact(planted)).await
    }

    pub(crate) async fn belongings(&self) -> Result<Vec<String>, Mismatch> {
        self.outside(self.witness().belongings(self.scope())).await
    }

    /// Makes an image that is called after the application.
    pub(crate) async fn put_image(&self, content: &str) -> Result<String, Mismatch> {
        let reference = self.outside(self.witness().put_image(self.scope().app(), content)).await?;
        self.made(Made::Image(reference.clone()));
        Ok(reference)
    }

    /// Keeps a secret that is called after the application.
    pub(crate) async fn keep_secret(&self, name: &str, value: &str) -> Result<String, Mismatch> {
        let name = format!("{}-{name}", self.scope().app());
        let reference = self.outside(self.witness().keep_secret(&name, value)).await?;
        self.made(Made::Secret(reference.clone()));
        Ok(reference)
    }

    /// Returns a reference behind which there is no secret.
    pub(crate) async fn missing_secret(&self, name: &str) -> Result<String, Mismatch> {
        let name = format!("{}-{name}", self.scope().app());
        let reference = self.outside(self.witness().keep_secret(&name, "gone")).await?;
        self.outside(self.witness().drop_secret(&reference)).await?;
        Ok(reference)
    }

    pub(crate) async fn take_port(&self) -> Result<u16, Mismatch> {
        let port = self.outside(self.witness().take_port()).await?;
        self.made(Made::Port(port));
        Ok(port)
    }

    pub(crate) async fn free_port(&self, port: u16) -> Result<(), Mismatch> {
        self.forget(|made| matches!(made, Made::Port(own) if *own == port));
        self.outside(self.witness().free_port(port)).await
    }

    /// Takes back what the environment was asked to make.
    pub(crate) async fn take_back(&self) -> Result<(), Mismatch> {
        let mut result = Ok(());
        for made in self.all_made() {
            let taken = match made {
                Made::Application(bench) => Box::pin(bench.clean()).await,
                Made::Image(reference) => self.outside(self.witness().drop_image(&reference)).await,
                Made::Planted(planted) => self.outside(self.witness().uproot(&planted)).await,
                Made::Port(port) => self.outside(self.witness().free_port(port)).await,
                Made::Secret(reference) => self.outside(self.witness().drop_secret(&reference)).await,
            };
            result = result.and(taken);
        }
        result
    }
}
