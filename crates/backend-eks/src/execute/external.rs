//! Waiting until External Secrets has read what pods will ask for.
//!
//! A pod whose Secret is not there is taken for one that can never start, and it takes a call to the cloud until it is there.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use straddle_core::{
    error::{Error, Result},
    failure::{Cause, Failure},
};

use super::Work;
use crate::{
    client::{self, Change, Topic, kinds::EXTERNAL_SECRET},
    labels,
};

/// How long a failure may last that might be over with the next try.
const PATIENCE: Duration = Duration::from_secs(4);

/// How long is waited for somebody to look at it at all.
const UNSEEN: Duration = Duration::from_secs(60);

/// What became of an ExternalSecret.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Reading {
    /// It could not be read, in the words of who tried.
    Failed(String),
    Read,
    /// Nobody has tried yet.
    Unseen,
}

fn reading(external: &Value) -> Reading {
    let conditions = external["status"]["conditions"].as_array();
    let ready = conditions.into_iter().flatten().find(|one| one["type"] == "Ready");
    match ready {
        Some(ready) if ready["status"] == "True" => Reading::Read,
        Some(ready) if ready["status"] == "False" => {
            let said = ["message", "reason"].iter().find_map(|key| ready[*key].as_str());
            Reading::Failed(said.unwrap_or("it cannot be read").to_owned())
        }
        _ => Reading::Unseen,
    }
}

/// Waits until the Secrets of some ExternalSecrets are there; no call where there are none.
///
/// # Errors
///
/// A [`Failure`] with what External Secrets says, where that stays so; or that it says nothing.
pub(crate) async fn until_read(work: &Work<'_>, wanted: &[String]) -> Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    let (namespace, labels) = (work.namespace.clone(), labels::selector(work.scope));
    let topic = Topic { kind: EXTERNAL_SECRET, namespace, labels, fields: "" };
    let mut watch = work.client().follow_parts(vec![(topic, None)]);
    let mut readings: BTreeMap<&str, Reading> =
        wanted.iter().map(|name| (name.as_str(), Reading::Unseen)).collect();
    let mut over = work.clock().sleep(UNSEEN);
    loop {
        let change = tokio::select! {
            biased;
            () = work.context.cancel.cancelled() => return Err(Error::cancelled()),
            change = watch.next() => change,
            () = &mut over => return Err(unread(work, &readings)),
        };
        let seen = match change {
            Some(Change::Listed(_, all)) => all,
            Some(Change::Put(_, one)) => vec![one],
            Some(Change::Gone(..)) => continue,
            Some(Change::Failed(error)) => return Err(error),
            None => return Err(unread(work, &readings)),
        };
        let had_failed = has_failed(&readings);
        for one in &seen {
            if let Some(known) = readings.get_mut(client::name(one)) {
                *known = reading(one);
            }
        }
        if readings.values().all(|reading| *reading == Reading::Read) {
            return Ok(());
        }
        if has_failed(&readings) != had_failed {
            over = work.clock().sleep(if had_failed { UNSEEN } else { PATIENCE });
        }
    }
}

fn has_failed(readings: &BTreeMap<&str, Reading>) -> bool {
    readings.values().any(|reading| matches!(reading, Reading::Failed(_)))
}

fn unread(work: &Work<'_>, readings: &BTreeMap<&str, Reading>) -> Error {
    let failed = readings.iter().find_map(|(name, reading)| match reading {
        Reading::Failed(words) => Some((*name, words.as_str())),
        Reading::Read | Reading::Unseen => None,
    });
    let (summary, likely) = match failed {
        Some((name, words)) => (
            format!("{} {name}: {words}", EXTERNAL_SECRET.name),
            "the store does not have it, or its role may not read it".to_owned(),
        ),
        None => {
            let unseen = readings.iter().find(|(_, reading)| **reading == Reading::Unseen);
            let name = unseen.map_or("", |(name, _)| *name);
            (
                format!("{} {name} was looked at by nobody for {} s", EXTERNAL_SECRET.name, UNSEEN.as_secs()),
                "External Secrets does not run, or leaves out this namespace".to_owned(),
            )
        }
    };
    let failure = Failure { likely: Some(likely), ..Failure::new(work.name, Cause::SecretMissing, summary) };
    Error::rollout(failure)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_read_is_told_from_what_nobody_tried() {
        let ready = |status: &str| {
            json!({"status": {"conditions": [{"type": "Deleted", "status": "False"},
                {"type": "Ready", "status": status, "reason": "SecretSyncedError", "message": "no such key"}]}})
        };
        assert_eq!(reading(&ready("True")), Reading::Read);
        assert_eq!(reading(&ready("False")), Reading::Failed("no such key".to_owned()));
        assert_eq!(reading(&ready("Unknown")), Reading::Unseen);
        assert_eq!(reading(&json!({})), Reading::Unseen);
    }
}
