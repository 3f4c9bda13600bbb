//! The only place that talks to the API server.
//!
//! Objects are read and sent as they are, as JSON: a field that this program does not know is not lost.

pub(crate) mod fields;
pub(crate) mod kinds;
mod watch;

use std::{fmt, sync::Arc};

use futures_util::AsyncBufRead;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{
        AttachParams, AttachedProcess, DeleteParams, DynamicObject, ListParams, LogParams, Patch, PatchParams,
    },
    core::{Request, params::Preconditions},
};
use serde_json::{Value, json};
use straddle_core::error::{Error, ErrorKind, Result};

use self::kinds::Kind;
use self::watch::Hubs;
pub(crate) use self::watch::{Change, Part, Topic};
use crate::{
    config::KubernetesConfig,
    eks,
    error::{self, Held},
    labels::{HANDOVER, STRADDLE},
};

/// How many objects are read with one call.
const PAGE: u32 = 500;

/// What applying an object would come to.
#[derive(Debug)]
pub(crate) struct Tried {
    /// The object as it would be, if every field could be set.
    pub(crate) object: Value,
    /// The fields that cannot.
    pub(crate) held: Vec<Held>,
}

/// A connection to one cluster; cheap to clone.
#[derive(Clone)]
pub(crate) struct Client {
    kube: kube::Client,
    place: String,
    hubs: Arc<Hubs>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("place", &self.place).finish_non_exhaustive()
    }
}

/// An object of some kind, in a namespace where the kind has such.
fn path(kind: &Kind, namespace: &str) -> String {
    use kube::core::Resource;
    let resource = kind.resource();
    DynamicObject::url_path(&resource, kind.is_namespaced.then_some(namespace))
}

impl Client {
    /// Reads a kubeconfig and connects, or asks EKS about the cluster that is named; nothing is sent to the cluster yet.
    pub(crate) async fn connect(config: &KubernetesConfig) -> Result<Self> {
        config.check()?;
        if let Some(name) = &config.cluster {
            let (kube, place) = eks::connect(config, name).await?;
            return Ok(Self::new(kube, place));
        }
        let options = kube::config::KubeConfigOptions {
            context: config.context.clone(),
            ..kube::config::KubeConfigOptions::default()
        };
        let (found, context) = match &config.kubeconfig {
            Some(path) => {
                let file = kube::config::Kubeconfig::read_from(path).map_err(|failed| unreadable(&failed))?;
                let context = config.context.clone().or_else(|| file.current_context.clone());
                let found = kube::Config::from_custom_kubeconfig(file, &options).await;
                (found.map_err(|failed| unreadable(&failed))?, context)
            }
            None => match kube::Config::from_kubeconfig(&options).await {
                Ok(found) => {
                    let file = kube::config::Kubeconfig::read().ok();
                    let context =
                        config.context.clone().or_else(|| file.and_then(|file| file.current_context));
                    (found, context)
                }
                // In a pod there is no kubeconfig.
                Err(failed) => match kube::Config::incluster() {
                    Ok(found) if config.context.is_none() => (found, None),
                    _ => return Err(unreadable(&failed)),
                },
            },
        };
        let place = match context {
            Some(context) => format!("{context}, {}", found.cluster_url.to_string().trim_end_matches('/')),
            None => found.cluster_url.to_string().trim_end_matches('/').to_owned(),
        };
        let kube = kube::Client::try_from(found).map_err(|failed| error::api("connect", failed))?;
        Ok(Self::new(kube, place))
    }

    pub(crate) fn new(kube: kube::Client, place: String) -> Self {
        Self { kube, place, hubs: Arc::default() }
    }

    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// Returns the version of the cluster, such as `1.35`.
    pub(crate) async fn version(&self) -> Result<String> {
        let info = self
            .kube
            .apiserver_version()
            .await
            .map_err(|failed| error::api("ask for the version", failed))?;
        let minor = info.minor.trim_end_matches(|letter: char| !letter.is_ascii_digit());
        Ok(format!("{}.{minor}", info.major))
    }

    /// Returns which kinds of those that somebody may have installed the cluster serves.
    pub(crate) async fn installed(&self) -> Result<Vec<Kind>> {
        let served = self.kube.list_api_groups_aggregated().await;
        let served = served.map_err(|failed| error::api("list what the cluster serves", failed))?;
        let kinds = kinds::KINDS.iter().filter(|kind| kind.is_made && !kind.is_builtin());
        Ok(kinds.filter(|kind| kind.is_among(&served)).copied().collect())
    }

    async fn send(
        &self,
        what: &str,
        request: std::result::Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<std::result::Result<Value, kube::Error>> {
        let request = request.map_err(|failed| {
            Error::new(ErrorKind::Internal, format!("{what}: the request cannot be made")).with_source(failed)
        })?;
        Ok(self.kube.request(request).await)
    }

    async fn ask(
        &self,
        what: &str,
        request: std::result::Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<Value> {
        self.send(what, request).await?.map_err(|failed| error::api(what, failed))
    }

    /// Lists objects by their labels.
    pub(crate) async fn list(&self, kind: Kind, namespace: &str, selector: &str) -> Result<Vec<Value>> {
        Ok(self.list_at(&kind, namespace, selector, "").await?.0)
    }

    /// Lists objects, with the version from which on changes can be watched.
    async fn list_at(
        &self,
        kind: &Kind,
        namespace: &str,
        labels: &str,
        fields: &str,
    ) -> Result<(Vec<Value>, String)> {
        let what = format!("list objects of kind {}", kind.name);
        let mut params = ListParams::default().labels(labels).fields(fields).limit(PAGE);
        let mut found = Vec::new();
        loop {
            let mut page = self.ask(&what, Request::new(path(kind, namespace)).list(&params)).await?;
            if let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) {
                found.extend(items.into_iter().map(|item| with_kind(item, kind)));
            }
            let text = |key: &str| page["metadata"][key].as_str().unwrap_or_default().to_owned();
            match text("continue") {
                next if next.is_empty() => return Ok((found, text("resourceVersion"))),
                next => params.continue_token = Some(next),
            }
        }
    }

    pub(crate) async fn get(&self, kind: Kind, namespace: &str, name: &str) -> Result<Option<Value>> {
        let what = format!("read {} {name}", kind.name);
        let request = Request::new(path(&kind, namespace)).get(name, &kube::api::GetParams::default());
        error::optional(self.ask(&what, request).await)
    }

    /// Applies an object with our field manager; fields of others are never taken.
    pub(crate) async fn apply(&self, namespace: &str, object: &Value) -> Result<Value> {
        let (kind, name) = identity(object)?;
        let params = PatchParams::apply(STRADDLE).validation_strict();
        let request = Request::new(path(&kind, namespace)).patch(&name, &params, &Patch::Apply(object));
        self.ask(&format!("apply {} {name}", kind.name), request)
            .await
            .map_err(|error| error::unserved(error, &kind, &name))
    }

    /// Applies an object that must not be there yet; `None` where there is one of its name, whoever made it.
    pub(crate) async fn apply_new(&self, namespace: &str, object: &Value) -> Result<Option<Value>> {
        let (kind, name) = identity(object)?;
        let mut object = object.clone();
        // No object has this version, so that the API server only makes one, and changes none.
        object["metadata"]["resourceVersion"] = json!("1");
        let what = format!("apply {} {name}", kind.name);
        let params = PatchParams::apply(STRADDLE).validation_strict();
        let request = Request::new(path(&kind, namespace)).patch(&name, &params, &Patch::Apply(&object));
        match self.send(&what, request).await? {
            Ok(made) => Ok(Some(made)),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
            Err(failed) => Err(error::unserved(error::api(&what, failed), &kind, &name)),
        }
    }

    /// Asks what applying an object would make of it, also where fields belong to others; nothing is changed.
    pub(crate) async fn try_apply(&self, namespace: &str, object: &Value) -> Result<Tried> {
        let (kind, name) = identity(object)?;
        let what = format!("try to apply {} {name}", kind.name);
        let mut params = PatchParams::apply(STRADDLE).validation_strict();
        params.dry_run = true;
        let ask = async |params: &PatchParams| {
            let request = Request::new(path(&kind, namespace)).patch(&name, params, &Patch::Apply(object));
            self.send(&what, request).await
        };
        let held = match ask(&params).await? {
            Ok(object) => return Ok(Tried { object, held: Vec::new() }),
            Err(kube::Error::Api(status)) if error::is_field_conflict(&status) => error::held(&status),
            Err(failed) => return Err(error::api(&what, failed)),
        };
        // A question only: what would be if they were ours.
        match ask(&params.force()).await? {
            Ok(object) => Ok(Tried { object, held }),
            Err(failed) => Err(error::api(&what, failed)),
        }
    }

    /// Lets another manager of ours hold the number of replicas of a workload, or nothing of it.
    ///
    /// What is asked for is set whoever holds it: that nobody is robbed is known to whoever calls this.
    pub(crate) async fn hold_replicas(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
        replicas: Option<u64>,
    ) -> Result<()> {
        let mut object =
            json!({"apiVersion": kind.resource().api_version, "kind": kind.name, "metadata": {"name": name}});
        if let Some(replicas) = replicas {
            object["spec"] = json!({"replicas": replicas});
        }
        let params = PatchParams::apply(HANDOVER).force();
        let request = Request::new(path(&kind, namespace)).patch(name, &params, &Patch::Apply(&object));
        self.ask(&format!("hand over the replicas of {} {name}", kind.name), request).await.map(drop)
    }

    /// Makes an object that must not be there yet.
    pub(crate) async fn create(&self, namespace: &str, object: &Value) -> Result<Value> {
        let (kind, name) = identity(object)?;
        let params = kube::api::PostParams { field_manager: Some(STRADDLE.to_owned()), ..Default::default() };
        let bytes = object.to_string().into_bytes();
        let request = Request::new(path(&kind, namespace)).create(&params, bytes);
        self.ask(&format!("create {} {name}", kind.name), request).await
    }

    /// Puts an object in the place of the one whose version it carries.
    pub(crate) async fn replace(&self, namespace: &str, object: &Value) -> Result<Value> {
        let (kind, name) = identity(object)?;
        let params = kube::api::PostParams { field_manager: Some(STRADDLE.to_owned()), ..Default::default() };
        let bytes = object.to_string().into_bytes();
        let request = Request::new(path(&kind, namespace)).replace(&name, &params, bytes);
        self.ask(&format!("change {} {name}", kind.name), request).await
    }

    /// Removes an object, and what belongs to it in the background; one that is gone is no error. With an id only that very object goes.
    pub(crate) async fn delete(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
        uid: Option<&str>,
    ) -> Result<()> {
        let mut params = DeleteParams::background();
        if let Some(uid) = uid {
            params =
                params.preconditions(Preconditions { uid: Some(uid.to_owned()), resource_version: None });
        }
        let request = Request::new(path(&kind, namespace)).delete(name, &params);
        match self.ask(&format!("remove {} {name}", kind.name), request).await {
            // Another one has its name by now.
            Err(failed) if failed.kind() == ErrorKind::Conflict && uid.is_some() => Ok(()),
            other => error::optional(other).map(drop),
        }
    }

    /// Changes single fields of an object, as another manager than the one that applies.
    pub(crate) async fn merge(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
        patch: &Value,
    ) -> Result<Value> {
        let params =
            PatchParams { field_manager: Some(format!("{STRADDLE}-marks")), ..PatchParams::default() };
        let request = Request::new(path(&kind, namespace)).patch(name, &params, &Patch::Merge(patch));
        self.ask(&format!("mark {} {name}", kind.name), request).await
    }

    fn pods(&self, namespace: &str) -> Api<Pod> {
        Api::namespaced(self.kube.clone(), namespace)
    }

    /// Reads the output of a container.
    pub(crate) async fn logs(
        &self,
        namespace: &str,
        pod: &str,
        params: &LogParams,
    ) -> Result<impl AsyncBufRead + Send + Unpin + use<>> {
        let stream = self.pods(namespace).log_stream(pod, params).await;
        let stream = stream.map_err(|failed| error::api(&format!("read the output of {pod}"), failed))?;
        Ok(Box::pin(stream))
    }

    /// Runs a command in a container.
    pub(crate) async fn exec(
        &self,
        namespace: &str,
        pod: &str,
        command: &[String],
        params: &AttachParams,
    ) -> Result<AttachedProcess> {
        let started = self.pods(namespace).exec(pod, command, params).await;
        started.map_err(|failed| error::api(&format!("run a command in {pod}"), failed))
    }

    /// Opens a connection to a port of a pod.
    pub(crate) async fn connect_port(
        &self,
        namespace: &str,
        pod: &str,
        port: u16,
    ) -> Result<kube::api::Portforwarder> {
        let opened = self.pods(namespace).portforward(pod, &[port]).await;
        opened.map_err(|failed| error::api(&format!("connect to port {port} of {pod}"), failed))
    }
}

fn unreadable(failed: &dyn fmt::Display) -> Error {
    Error::new(ErrorKind::Invalid, format!("no cluster is configured: {failed}"))
        .with_help("name a kubeconfig: KUBECONFIG, or `kubeconfig` and `context` of the target")
}

/// Returns the kind and name of an object.
pub(crate) fn identity(object: &Value) -> Result<(Kind, String)> {
    let kind = kinds::named(object["kind"].as_str().unwrap_or_default())?;
    Ok((kind, name(object).to_owned()))
}

/// Returns the name of an object.
pub(crate) fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// Items of a list do not say what they are.
fn with_kind(mut item: Value, kind: &Kind) -> Value {
    if let Some(map) = item.as_object_mut() {
        let resource = kind.resource();
        map.insert("apiVersion".to_owned(), resource.api_version.into());
        map.insert("kind".to_owned(), kind.name.into());
    }
    item
}
