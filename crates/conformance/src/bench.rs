use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::StreamExt;
use straddle_core::{
    engine::Engine,
    error::{Error, Result as CoreResult},
    model::App,
    orchestrator::{ConnectRequest, Context, ExecRequest, Holder, LogLine, LogOptions, Orchestrator, Output},
    plan::{Intent, Plan},
    scope::Scope,
    spec,
    status::Status,
    units::Name,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What is not as it should be, in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch(String);

impl Mismatch {
    /// Makes a mismatch.
    #[must_use]
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Error> for Mismatch {
    fn from(error: Error) -> Self {
        let mut text = format!("{:?}: {error}", error.kind());
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            text.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        if let Some(failure) = error.failure() {
            text.push_str(&format!(" {:?}", failure.last_lines));
        }
        Self(text)
    }
}

impl From<spec::Problems> for Mismatch {
    fn from(problems: spec::Problems) -> Self {
        Self(format!("the suite's own spec: {problems}"))
    }
}

/// Looks at an engine from outside, without the backend under test.
#[async_trait]
pub trait Witness: fmt::Debug + Send + Sync {
    /// Makes something that is named as the backend would name a thing of this application, without the labels that would make it ours.
    async fn plant(&self, scope: &Scope) -> CoreResult<String>;

    /// Returns whether a planted thing is still there, unchanged.
    async fn is_intact(&self, planted: &str) -> CoreResult<bool>;

    /// Removes a planted thing.
    async fn uproot(&self, planted: &str) -> CoreResult<()>;

    /// Lists everything on the engine that belongs to the application, by whatever mark or name.
    async fn belongings(&self, scope: &Scope) -> CoreResult<Vec<String>>;
}

/// A backend under test.
#[derive(Clone, Debug)]
pub struct Bench {
    orchestrator: Arc<dyn Orchestrator>,
    witness: Arc<dyn Witness>,
    image: String,
    run: String,
    scope: Scope,
}

impl Bench {
    /// Makes a bench of a backend, an outside look at its engine, and the name of the probe's image there.
    ///
    /// `run` keeps the names of several runs on one engine apart; it is short and in lower case.
    ///
    /// # Errors
    ///
    /// [`Mismatch`] where `run` is no name.
    pub fn new(
        orchestrator: Arc<dyn Orchestrator>,
        witness: Arc<dyn Witness>,
        image: impl Into<String>,
        run: impl Into<String>,
    ) -> Result<Self, Mismatch> {
        let run = run.into();
        let name: Name = run.parse().map_err(|error: spec::ScalarError| Mismatch::new(error.message()))?;
        Ok(Self { orchestrator, witness, image: image.into(), run, scope: Scope::new(&name) })
    }

    /// Returns the backend.
    #[must_use]
    pub fn orchestrator(&self) -> &Arc<dyn Orchestrator> {
        &self.orchestrator
    }

    /// Returns the outside look.
    #[must_use]
    pub fn witness(&self) -> &dyn Witness {
        &*self.witness
    }

    /// Returns the application that this behaviour may make.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Returns a bench on the same application in another environment.
    pub(crate) fn in_environment(&self, environment: &str) -> Result<Self, Mismatch> {
        let environment: Name =
            environment.parse().map_err(|error: spec::ScalarError| Mismatch::new(error.message()))?;
        Ok(Self { scope: self.scope.clone().with_environment(&environment), ..self.clone() })
    }

    pub(crate) fn for_behaviour(&self, id: &str) -> Self {
        let app = format!("{}-{id}", self.run);
        let scope = app.parse().map_or_else(|_| self.scope.clone(), |name| Scope::new(&name));
        Self { scope, ..self.clone() }
    }

    /// Reads a spec of the suite: `APP` is the application and `IMAGE` the probe's image in it.
    pub(crate) fn app(&self, spec: &str) -> Result<App, Mismatch> {
        let text = spec.replace("APP", self.scope.app()).replace("IMAGE", &self.image);
        Ok(spec::from_yaml(&text)?)
    }

    pub(crate) async fn plan(&self, intent: Intent) -> Result<Plan, Mismatch> {
        Ok(self.orchestrator.plan(&self.scope, &intent).await?)
    }

    pub(crate) async fn plan_apply(&self, spec: &str) -> Result<Plan, Mismatch> {
        let app = Box::new(self.app(spec)?);
        self.plan(Intent::Apply { app, only: Vec::new() }).await
    }

    /// Plans and carries out, with the core's error kept.
    pub(crate) async fn try_intent(&self, intent: Intent) -> Result<CoreResult<Plan>, Mismatch> {
        let plan = match self.orchestrator.plan(&self.scope, &intent).await {
            Ok(plan) => plan,
            Err(error) => return Ok(Err(error)),
        };
        Ok(self.carry_out(&plan).await.map(|()| plan))
    }

    pub(crate) async fn carry_out(&self, plan: &Plan) -> CoreResult<()> {
        let holder = Holder {
            id: format!("{}-suite", self.scope.app()),
            description: "the conformance suite".to_owned(),
            machine: "conformance".to_owned(),
            process: std::process::id(),
        };
        Engine::default()
            .run(&*self.orchestrator, plan, &holder, &Context::new())
            .await
            .map(drop)
            .map_err(Into::into)
    }

    pub(crate) async fn intent(&self, intent: Intent) -> Result<Plan, Mismatch> {
        Ok(self.try_intent(intent).await??)
    }

    pub(crate) async fn up(&self, spec: &str) -> Result<Plan, Mismatch> {
        let app = Box::new(self.app(spec)?);
        self.intent(Intent::Apply { app, only: Vec::new() }).await
    }

    pub(crate) async fn try_up(&self, spec: &str) -> Result<CoreResult<Plan>, Mismatch> {
        let app = Box::new(self.app(spec)?);
        self.try_intent(Intent::Apply { app, only: Vec::new() }).await
    }

    pub(crate) async fn status(&self) -> Result<Status, Mismatch> {
        Ok(self.orchestrator.status(&self.scope).await?)
    }

    /// Removes everything of the application.
    pub(crate) async fn clean(&self) -> Result<(), Mismatch> {
        self.intent(Intent::Remove { volumes: true, only: Vec::new() }).await?;
        Ok(())
    }

    /// Sends a GET request to a port of a service and returns the body of the answer.
    ///
    /// The connection is one replica's, and ends with it: in an update, what is answered with nothing at all is asked of another.
    pub(crate) async fn get(&self, service: &str, port: u16, path: &str) -> Result<String, Mismatch> {
        const REPLICAS: usize = 3;
        for _ in 0..REPLICAS {
            if let Some(body) = self.get_once(service, port, path).await? {
                return Ok(body);
            }
        }
        Err(Mismatch::new(format!("GET {path} of {service}: no answer, {REPLICAS} times")))
    }

    async fn get_once(&self, service: &str, port: u16, path: &str) -> Result<Option<String>, Mismatch> {
        let mut connection =
            self.orchestrator.connect(&self.scope, ConnectRequest::new(service, port)).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {service}\r\nConnection: close\r\n\r\n");
        let failed = |error: std::io::Error| Mismatch::new(format!("GET {path} of {service}: {error}"));
        connection.write_all(request.as_bytes()).await.map_err(failed)?;
        connection.flush().await.map_err(failed)?;
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(10), connection.read_to_end(&mut answer)).await;
        read.map_err(|_| Mismatch::new(format!("GET {path} of {service}: no answer within 10 s")))?
            .map_err(failed)?;
        if answer.is_empty() {
            return Ok(None);
        }
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .ok_or_else(|| Mismatch::new(format!("GET {path} of {service}: `{answer}`")))?;
        if head.starts_with("HTTP/1.1 200") {
            Ok(Some(body.to_owned()))
        } else {
            Err(Mismatch::new(format!(
                "GET {path} of {service}: {}",
                head.lines().next().unwrap_or_default()
            )))
        }
    }

    /// Runs a command in a service and returns its exit code and standard output.
    pub(crate) async fn exec(
        &self,
        request: ExecRequest,
        input: Option<&str>,
    ) -> Result<(Option<i64>, String), Mismatch> {
        let mut session = self.orchestrator.exec(&self.scope, request).await?;
        if let (Some(text), Some(mut writer)) = (input, session.input.take()) {
            writer.write_all(text.as_bytes()).await.map_err(|error| Mismatch::new(error.to_string()))?;
            writer.shutdown().await.map_err(|error| Mismatch::new(error.to_string()))?;
        }
        let mut written = Vec::new();
        while let Some(output) = session.output.next().await {
            if let Output::Stdout(bytes) = output? {
                written.extend_from_slice(&bytes);
            }
        }
        Ok((session.control.exit_code().await?, String::from_utf8_lossy(&written).into_owned()))
    }

    /// Reads the lines that are there now.
    pub(crate) async fn logs(&self, options: LogOptions) -> Result<Vec<LogLine>, Mismatch> {
        let mut stream = self.orchestrator.logs(&self.scope, options).await?;
        let mut lines = Vec::new();
        while let Some(line) = stream.next().await {
            lines.push(line?);
        }
        Ok(lines)
    }
}
