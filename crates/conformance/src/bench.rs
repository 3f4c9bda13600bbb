use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::StreamExt;
use straddle_core::{
    capability::Feature,
    clock::SystemClock,
    engine::{Engine, EngineOptions},
    error::{Error, ErrorKind, Result as CoreResult},
    model::App,
    orchestrator::{ConnectRequest, Context, ExecRequest, Holder, LogLine, LogOptions, Orchestrator, Output},
    plan::{Intent, Plan},
    scope::Scope,
    spec,
    status::Status,
    units::Name,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::witness::{Made, Witness};

/// What is not as it should be, in one line; or what cannot be looked at here, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    what: String,
    skipped: bool,
}

impl Mismatch {
    /// Makes a mismatch.
    #[must_use]
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), skipped: false }
    }

    /// Makes the reason why something cannot be looked at here.
    pub(crate) fn skipped(why: impl Into<String>) -> Self {
        Self { what: why.into(), skipped: true }
    }

    pub(crate) fn is_skipped(&self) -> bool {
        self.skipped
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
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
        Self::new(text)
    }
}

impl From<spec::Problems> for Mismatch {
    fn from(problems: spec::Problems) -> Self {
        Self::new(format!("the suite's own spec: {problems}"))
    }
}

/// A backend under test.
#[derive(Clone, Debug)]
pub struct Bench {
    orchestrator: Arc<dyn Orchestrator>,
    witness: Arc<dyn Witness>,
    image: String,
    run: String,
    scope: Scope,
    made: Arc<Mutex<Vec<Made>>>,
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
        Ok(Self {
            orchestrator,
            witness,
            image: image.into(),
            run,
            scope: Scope::new(&name),
            made: Arc::default(),
        })
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

    /// Returns a bench on the same application in another environment, which is removed with this one.
    pub(crate) fn in_environment(&self, environment: &str) -> Result<Self, Mismatch> {
        let environment: Name =
            environment.parse().map_err(|error: spec::ScalarError| Mismatch::new(error.message()))?;
        Ok(self.beside(self.scope.clone().with_environment(&environment)))
    }

    /// Returns a bench on another application, which is removed with this one.
    pub(crate) fn other_application(&self) -> Result<Self, Mismatch> {
        let name: Name = format!("b-{}", self.scope.app())
            .parse()
            .map_err(|error: spec::ScalarError| Mismatch::new(error.message()))?;
        Ok(self.beside(Scope::new(&name)))
    }

    fn beside(&self, scope: Scope) -> Self {
        let other = Self { scope, made: Arc::default(), ..self.clone() };
        self.made(Made::Application(other.clone()));
        other
    }

    /// Returns a bench for a behaviour by its id and place in the list. No name begins with another one.
    pub(crate) fn for_behaviour(&self, id: &str, place: usize) -> Self {
        let app = format!("{}-{place:02}-{id}", self.run);
        let scope = app.parse().map_or_else(|_| self.scope.clone(), |name| Scope::new(&name));
        Self { scope, made: Arc::default(), ..self.clone() }
    }

    /// Notes what is to be taken back when the behaviour is over.
    pub(crate) fn made(&self, made: Made) {
        self.list().push(made);
    }

    /// Forgets what was taken back already.
    pub(crate) fn forget(&self, is_gone: impl Fn(&Made) -> bool) {
        self.list().retain(|made| !is_gone(made));
    }

    /// Returns what is to be taken back, the last first, each thing once.
    pub(crate) fn all_made(&self) -> Vec<Made> {
        let mut images = BTreeSet::new();
        let mut all: Vec<Made> = self.list().drain(..).rev().collect();
        all.retain(|made| !matches!(made, Made::Image(reference) if !images.insert(reference.clone())));
        all
    }

    fn list(&self) -> MutexGuard<'_, Vec<Made>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn has(&self, feature: Feature) -> bool {
        self.orchestrator.platform().capability().has(feature)
    }

    /// Reads a spec of the suite: `APP` is the application and `IMAGE` the probe's image in it.
    pub(crate) fn app(&self, spec: &str) -> Result<App, Mismatch> {
        Ok(spec::from_yaml(&self.fill(spec))?)
    }

    pub(crate) fn fill(&self, spec: &str) -> String {
        spec.replace("APP", self.scope.app()).replace("IMAGE", &self.image)
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
        let holder = self.holder("the conformance suite");
        self.carry_out_as(plan, &holder, EngineOptions::default(), &Context::new()).await
    }

    /// Carries out a plan as somebody.
    pub(crate) async fn carry_out_as(
        &self,
        plan: &Plan,
        holder: &Holder,
        options: EngineOptions,
        context: &Context,
    ) -> CoreResult<()> {
        let run = Engine::new(options).run(&*self.orchestrator, plan, holder, context).await;
        run.map(drop).map_err(Into::into)
    }

    /// Names somebody who changes the application: the same one for the same description.
    pub(crate) fn holder(&self, description: &str) -> Holder {
        let id = format!("{}-{}", self.scope.app(), description.replace(' ', "-"));
        Holder { id, ..Holder::of_this_process(description, &SystemClock::new()) }
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

    /// Removes everything of the application, whatever it is in the middle of.
    pub(crate) async fn clean(&self) -> Result<(), Mismatch> {
        // A lease that a behaviour left behind runs out by itself, and what goes on after a failure moves the ground of a plan.
        const TRIES: u32 = 5;
        let options = EngineOptions::default().with_lease_wait(Duration::from_secs(90));
        let holder = self.holder("the conformance suite");
        let mut tries = 1;
        loop {
            let plan = self.plan(Intent::Remove { volumes: true, only: Vec::new() }).await?;
            match self.carry_out_as(&plan, &holder, options.clone(), &Context::new()).await {
                Err(error) if error.kind() == ErrorKind::Stale && tries < TRIES => tries += 1,
                result => return Ok(result?),
            }
        }
    }

    /// Sends a GET request to a port of a service and returns the body of the answer.
    ///
    /// The connection is one replica's, and ends with it: in an update, what is answered with nothing at all is asked of another.
    pub(crate) async fn get(&self, service: &str, port: u16, path: &str) -> Result<String, Mismatch> {
        const REPLICAS: usize = 3;
        if !self.has(Feature::PortForward) {
            return self.get_inside(service, port, path).await;
        }
        for _ in 0..REPLICAS {
            if let Some(body) = self.get_once(service, port, path).await? {
                return Ok(body);
            }
        }
        Err(Mismatch::new(format!("GET {path} of {service}: no answer, {REPLICAS} times")))
    }

    /// Asks from inside the container, where no connection leads there from outside.
    async fn get_inside(&self, service: &str, port: u16, path: &str) -> Result<String, Mismatch> {
        if !self.has(Feature::ExecStreams) {
            return Err(Mismatch::skipped(
                "nothing leads into a container: neither port forwarding nor exec is claimed",
            ));
        }
        let url = format!("http://127.0.0.1:{port}{path}");
        let request = ExecRequest::new(service, ["/probe".to_owned(), "fetch".to_owned(), url]);
        let (code, out, errors) = self.exec_with_errors(request, None).await?;
        if code.is_none_or(|code| code == 0) && errors.is_empty() {
            return Ok(out);
        }
        Err(Mismatch::new(format!("GET {path} of {service}: {errors}")))
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
        let (code, out, _) = self.exec_with_errors(request, input).await?;
        Ok((code, out))
    }

    /// Runs a command in a service and returns its exit code, standard output and standard error.
    pub(crate) async fn exec_with_errors(
        &self,
        request: ExecRequest,
        input: Option<&str>,
    ) -> Result<(Option<i64>, String, String), Mismatch> {
        let mut session = self.orchestrator.exec(&self.scope, request).await?.into_session()?;
        if let (Some(text), Some(mut writer)) = (input, session.input.take()) {
            writer.write_all(text.as_bytes()).await.map_err(|error| Mismatch::new(error.to_string()))?;
            writer.shutdown().await.map_err(|error| Mismatch::new(error.to_string()))?;
        }
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        let read = async {
            while let Some(output) = session.output.next().await {
                match output? {
                    Output::Stdout(bytes) => out.extend_from_slice(&bytes),
                    Output::Stderr(bytes) => errors.extend_from_slice(&bytes),
                }
            }
            Ok::<_, Mismatch>(())
        };
        let read = tokio::time::timeout(Duration::from_secs(30), read).await;
        read.map_err(|_| Mismatch::new("a command did not end within 30 s"))??;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((session.control.exit_code().await?, text(&out), text(&errors)))
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
