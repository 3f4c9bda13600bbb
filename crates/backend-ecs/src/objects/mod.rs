//! What stands around services and tasks: groups of logs, target groups and rules, scaling, schedules, names.
//!
//! Every kind is found by names and tags, made so that making it again changes nothing, and removed only where it carries our tags.

mod logs;

pub(crate) use self::logs::is_missing;

use std::collections::BTreeMap;

use futures_util::try_join;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use straddle_core::{
    error::{Error, ErrorKind, Result},
    scope::Scope,
};

use crate::{client::Client, translate::LOG_GROUP};

/// An object to make, or one that goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Object {
    pub(crate) kind: String,
    pub(crate) name: String,
    /// What it should be, or what it was found as.
    pub(crate) document: Value,
}

/// What there is of all kinds, by kind and name.
#[derive(Debug, Default)]
pub(crate) struct Found(BTreeMap<(String, String), Value>);

impl Found {
    /// Reads what there is of an application.
    pub(crate) async fn read(client: &Client, scope: &Scope) -> Result<Self> {
        let (logs,) = try_join!(logs::find(client, scope))?;
        let mut found = BTreeMap::new();
        for object in logs {
            found.insert((object.kind, object.name), object.document);
        }
        Ok(Self(found))
    }

    pub(crate) fn get(&self, kind: &str, name: &str) -> Option<&Value> {
        self.0.get(&(kind.to_owned(), name.to_owned()))
    }

    /// Returns everything that was found.
    pub(crate) fn all(&self) -> impl Iterator<Item = Object> + '_ {
        self.0.iter().map(|((kind, name), document)| Object {
            kind: kind.clone(),
            name: name.clone(),
            document: document.clone(),
        })
    }

    /// Returns what of it decisions rest on.
    pub(crate) fn plain(&self) -> Value {
        let all: BTreeMap<String, &Value> =
            self.0.iter().map(|((kind, name), document)| (format!("{kind}/{name}"), document)).collect();
        json!(all)
    }
}

/// Returns whether an object is what it should be.
pub(crate) fn is_same(wanted: &Object, found: &Value) -> bool {
    match wanted.kind.as_str() {
        LOG_GROUP => logs::is_same(&wanted.document, found),
        _ => false,
    }
}

/// Makes an object, or changes it to what it should be. Returns what others name it by.
pub(crate) async fn make(client: &Client, object: &Object) -> Result<Option<String>> {
    match object.kind.as_str() {
        LOG_GROUP => logs::make(client, &object.document).await.map(|()| None),
        kind => Err(unknown(kind)),
    }
}

/// Removes an object; one that is gone already is no error.
pub(crate) async fn remove(client: &Client, object: &Object) -> Result<()> {
    match object.kind.as_str() {
        LOG_GROUP => logs::remove(client, &object.name).await,
        kind => Err(unknown(kind)),
    }
}

fn unknown(kind: &str) -> Error {
    Error::new(ErrorKind::Invalid, format!("the plan has an object of a kind that is not known: {kind}"))
}
