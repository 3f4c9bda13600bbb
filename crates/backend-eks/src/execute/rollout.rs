//! Following the rollout of a service to its end, and telling early that it will not get there.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::BoxFuture;
use serde_json::Value;
use straddle_core::{
    error::{Error, ErrorKind, Result},
    failure::{Cause, Failure},
};

use super::Work;
use crate::{
    client::{
        self, Change, Topic,
        kinds::{DAEMON_SET, DEPLOYMENT, EVENT, Kind, POD, STATEFUL_SET},
    },
    explain::{self, Trouble},
    labels, names,
    observe::annotation_of,
};

/// How often the same failure is seen before a rollout is given up that might heal by itself.
const SEEN: u32 = 3;

/// How long is waited beyond the deadline of the rollout for the controller to say that it is over.
const BEYOND: Duration = Duration::from_secs(15);

/// How long a container without a readiness probe must have run, so that one that ends at once is not taken for one that runs.
const BREATH: Duration = Duration::from_secs(2);

/// The events that tell what a probe found.
const FAILED_PROBES: &str = "reason=Unhealthy,involvedObject.kind=Pod";

/// What is known of a service while it changes.
#[derive(Debug, Default)]
struct Sight {
    main: Value,
    /// Whether somebody has removed it meanwhile.
    is_gone: bool,
    pods: BTreeMap<String, Value>,
    /// Messages of failed probes, by pod and container.
    probes: BTreeMap<String, BTreeMap<String, String>>,
}

/// What a look comes to.
#[derive(Debug)]
enum Verdict {
    Done,
    Failed(Trouble),
    GivenUp,
    Under { healthy: u64, wanted: u64 },
}

/// How far a rollout is: of its workload object, and the hash of the pods that belong to it.
pub(super) struct Goal<'a> {
    pub(super) kind: Kind,
    pub(super) name: &'a str,
    /// The generation that applying it came to.
    pub(super) generation: i64,
    /// The very object that it was applied to.
    pub(super) uid: String,
    pub(super) hash: &'a str,
    pub(super) deadline: Duration,
}

impl Goal<'_> {
    fn is(&self, object: &Value) -> bool {
        object["metadata"]["uid"] == self.uid.as_str()
    }
}

/// Waits until every replica is of the new pod template and available.
///
/// # Errors
///
/// A [`Failure`] with its cause as soon as that is certain.
pub(super) async fn follow(work: &Work<'_>, goal: &Goal<'_>) -> Result<String> {
    let topic =
        |kind, labels: String, fields| Topic { kind, namespace: work.namespace.clone(), labels, fields };
    let own = labels::selector(work.scope);
    let part = Some((labels::SERVICE, names::label(work.name)));
    let mut watch = work.client().follow_parts(vec![
        (topic(goal.kind, own.clone(), ""), part.clone()),
        (topic(POD, own, ""), part),
        (topic(EVENT, String::new(), FAILED_PROBES), None),
    ]);
    let (mut sight, mut last) = (Sight::default(), String::new());
    let over = work.clock().sleep(goal.deadline + BEYOND);
    tokio::pin!(over);
    let mut breath = None;
    loop {
        let change = tokio::select! {
            biased;
            () = work.context.cancel.cancelled() => return Err(Error::cancelled()),
            change = watch.next() => change,
            () = wait(&mut breath) => return Ok(sight.words(goal)),
            () = &mut over => return Err(given_up(work, goal, &sight).await),
        };
        match change {
            Some(Change::Failed(error)) => return Err(error),
            None => return Err(given_up(work, goal, &sight).await),
            Some(change) => sight.take(goal, change),
        }
        if sight.is_gone {
            let message = format!("{} {} was removed while it was rolled out", goal.kind.name, goal.name);
            return Err(Error::new(ErrorKind::Conflict, message).with_help("run the same command again"));
        }
        match sight.judge(goal) {
            Verdict::Done if sight.is_checked(goal) => return Ok(sight.words(goal)),
            Verdict::Done => {
                breath.get_or_insert_with(|| work.clock().sleep(BREATH));
                continue;
            }
            Verdict::Failed(trouble) => {
                let failure = explain::failure(work, &trouble).await;
                return Err(Error::rollout(failure));
            }
            Verdict::GivenUp => return Err(given_up(work, goal, &sight).await),
            Verdict::Under { healthy, wanted } => {
                breath = None;
                let text = format!("{healthy}/{wanted} healthy");
                if text != last {
                    work.progress(text.clone());
                    last = text;
                }
            }
        }
    }
}

/// Waits for the end of a breath, if one has begun.
async fn wait(breath: &mut Option<BoxFuture<'_, ()>>) {
    match breath {
        Some(breath) => breath.await,
        None => std::future::pending().await,
    }
}

async fn given_up(work: &Work<'_>, goal: &Goal<'_>, sight: &Sight) -> Error {
    let Some(trouble) = sight.worst(goal) else {
        let seconds = goal.deadline.as_secs();
        let why = sight.words_of_controller().unwrap_or_else(|| format!("no progress within {seconds} s"));
        return Error::rollout(Failure::new(work.name, Cause::TimedOut, why));
    };
    Error::rollout(explain::failure(work, &trouble).await)
}

impl Sight {
    fn take(&mut self, goal: &Goal<'_>, change: Change) {
        match change {
            Change::Listed(kind, objects) if kind == goal.kind => {
                let main = objects.into_iter().find(|object| client::name(object) == goal.name);
                self.is_gone = main.is_none() && goal.is(&self.main);
                self.main = main.unwrap_or_default();
            }
            Change::Gone(kind, object) if kind == goal.kind => {
                if client::name(&object) == goal.name {
                    self.is_gone = goal.is(&object);
                    self.main = Value::Null;
                }
            }
            Change::Put(kind, object) if kind == goal.kind => {
                if client::name(&object) == goal.name {
                    self.is_gone = false;
                    self.main = object;
                }
            }
            Change::Listed(POD, objects) => {
                self.pods = objects.into_iter().map(|pod| (client::name(&pod).to_owned(), pod)).collect();
            }
            Change::Put(POD, pod) => drop(self.pods.insert(client::name(&pod).to_owned(), pod)),
            Change::Gone(POD, pod) => drop(self.pods.remove(client::name(&pod))),
            Change::Listed(EVENT, events) => events.iter().for_each(|event| self.hear(event)),
            Change::Put(EVENT, event) => self.hear(&event),
            Change::Listed(..) | Change::Put(..) | Change::Gone(..) | Change::Failed(_) => {}
        }
    }

    /// Takes down what a probe found.
    fn hear(&mut self, event: &Value) {
        let about = &event["involvedObject"];
        if event["reason"] != "Unhealthy" || about["kind"] != "Pod" {
            return;
        }
        let message = event["message"].as_str().unwrap_or_default();
        // `spec.containers{web}`
        let container = about["fieldPath"].as_str().and_then(|path| path.split(['{', '}']).nth(1));
        if let (Some(pod), Some(container)) = (about["name"].as_str(), container) {
            let found = message.split_once(": ").map_or(message, |(_, found)| found);
            let words = format!("the health check fails: {}", found.lines().next().unwrap_or_default());
            self.probes.entry(pod.to_owned()).or_default().insert(container.to_owned(), words);
        }
    }

    fn number(&self, key: &str) -> u64 {
        self.main["status"][key].as_u64().unwrap_or_default()
    }

    /// Returns how many replicas are healthy, of the new template, and how many there should be.
    fn counts(&self, goal: &Goal<'_>) -> (u64, u64) {
        match goal.kind {
            DAEMON_SET => {
                let healthy = self.number("updatedNumberScheduled").min(self.number("numberAvailable"));
                (healthy, self.number("desiredNumberScheduled"))
            }
            _ => {
                let wanted = self.main["spec"]["replicas"].as_u64().unwrap_or(1);
                let available = self.number("availableReplicas");
                (self.number("updatedReplicas").min(available).min(wanted), wanted)
            }
        }
    }

    fn is_done(&self, goal: &Goal<'_>) -> bool {
        let seen = self.main["status"]["observedGeneration"].as_i64().unwrap_or_default();
        if !self.main.is_object() || seen < goal.generation {
            return false;
        }
        let (healthy, wanted) = self.counts(goal);
        let is_whole = match goal.kind {
            DEPLOYMENT => {
                self.number("updatedReplicas") == wanted
                    && self.number("replicas") == wanted
                    && self.number("availableReplicas") == wanted
            }
            STATEFUL_SET => {
                self.number("updatedReplicas") == wanted && self.number("readyReplicas") == wanted
            }
            _ => healthy == wanted,
        };
        // Who wants none wants it stopped.
        if wanted == 0 && !self.pods.is_empty() {
            return false;
        }
        // Those that are on their way out are no part of the service any more, and still hold what they hold.
        is_whole
            && !self
                .pods
                .values()
                .any(|pod| !is_new(pod, goal) && pod["metadata"]["deletionTimestamp"].is_null())
    }

    /// Returns whether every container is known to be well by a check of its own.
    fn is_checked(&self, goal: &Goal<'_>) -> bool {
        let new: Vec<&Value> = self.pods.values().filter(|pod| is_new(pod, goal)).collect();
        // Pods may be heard of later than what they add up to.
        let (_, wanted) = self.counts(goal);
        if u64::try_from(new.len()).is_ok_and(|seen| seen < wanted) {
            return false;
        }
        let mut containers =
            new.iter().flat_map(|pod| pod["spec"]["containers"].as_array().into_iter().flatten());
        containers.all(|container| container["readinessProbe"].is_object())
    }

    fn judge(&self, goal: &Goal<'_>) -> Verdict {
        if self.is_done(goal) {
            return Verdict::Done;
        }
        if let Some(trouble) = self.certain(goal) {
            return Verdict::Failed(trouble);
        }
        let conditions = self.main["status"]["conditions"].as_array();
        let seen = self.main["status"]["observedGeneration"].as_i64().unwrap_or_default();
        let is_over = conditions.into_iter().flatten().any(|one| {
            one["type"] == "Progressing"
                && one["status"] == "False"
                && one["reason"] == "ProgressDeadlineExceeded"
        });
        if is_over && seen >= goal.generation {
            return Verdict::GivenUp;
        }
        let (healthy, wanted) = self.counts(goal);
        Verdict::Under { healthy, wanted }
    }

    fn troubles(&self, goal: &Goal<'_>) -> Vec<Trouble> {
        let nothing = BTreeMap::new();
        let pods = self.pods.iter().filter(|(_, pod)| is_new(pod, goal));
        pods.flat_map(|(name, pod)| explain::troubles(pod, self.probes.get(name).unwrap_or(&nothing)))
            .collect()
    }

    /// Returns a failure that is certain: one that cannot heal, or the same one seen three times over all replicas.
    fn certain(&self, goal: &Goal<'_>) -> Option<Trouble> {
        let troubles = self.troubles(goal);
        let is_final = |trouble: &&Trouble| Failure::new("", trouble.cause, "").is_final();
        if let Some(trouble) = troubles.iter().find(is_final) {
            return Some(trouble.clone());
        }
        for trouble in troubles
            .iter()
            .filter(|trouble| trouble.cause != Cause::Capacity && trouble.cause != Cause::Other)
        {
            let same = troubles.iter().filter(|other| {
                (&other.container, other.cause, other.exit_code)
                    == (&trouble.container, trouble.cause, trouble.exit_code)
            });
            let count: u32 = same.map(|other| other.count).sum();
            if count >= SEEN {
                return Some(Trouble { count, ..trouble.clone() });
            }
        }
        None
    }

    fn worst(&self, goal: &Goal<'_>) -> Option<Trouble> {
        self.troubles(goal).into_iter().next()
    }

    /// Returns what the controller could not do: a quota, or an admission that was refused.
    fn words_of_controller(&self) -> Option<String> {
        let conditions = self.main["status"]["conditions"].as_array()?;
        let failure =
            conditions.iter().find(|one| one["type"] == "ReplicaFailure" && one["status"] == "True")?;
        Some(failure["message"].as_str()?.to_owned())
    }

    fn words(&self, goal: &Goal<'_>) -> String {
        let (healthy, wanted) = self.counts(goal);
        format!("{healthy}/{wanted} healthy")
    }
}

fn is_new(pod: &Value, goal: &Goal<'_>) -> bool {
    annotation_of(pod, labels::HASH) == Some(goal.hash)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const GOAL: Goal<'static> = Goal {
        kind: DEPLOYMENT,
        name: "web",
        generation: 2,
        uid: String::new(),
        hash: "new",
        deadline: Duration::from_secs(60),
    };

    fn sight(observed: i64, updated: u64, all: u64, available: u64) -> Sight {
        let main = json!({"metadata": {"name": "web"}, "spec": {"replicas": 2}, "status": {
            "observedGeneration": observed, "updatedReplicas": updated, "replicas": all, "availableReplicas": available}});
        Sight { main, ..Sight::default() }
    }

    #[test]
    fn ready_counts_of_the_old_template_are_no_end() {
        assert!(!sight(1, 2, 2, 2).is_done(&GOAL), "the controller has not seen it");
        assert!(!sight(2, 1, 3, 3).is_done(&GOAL), "an old one is left");
        assert!(!sight(2, 2, 2, 1).is_done(&GOAL), "one is not available");
        assert!(sight(2, 2, 2, 2).is_done(&GOAL));
    }

    #[test]
    fn three_exits_over_all_replicas_are_enough() {
        let pod = |name: &str, restarts: u32| {
            json!({"metadata": {"name": name, "annotations": {labels::HASH: "new"}}, "status": {"containerStatuses": [
                {"name": "web", "restartCount": restarts, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                 "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}}}]}})
        };
        let mut seen = sight(2, 2, 2, 0);
        seen.take(&GOAL, Change::Listed(POD, vec![pod("a", 1), pod("b", 1)]));
        assert!(matches!(seen.judge(&GOAL), Verdict::Under { healthy: 0, wanted: 2 }));
        seen.take(&GOAL, Change::Put(POD, pod("b", 2)));
        assert!(matches!(seen.judge(&GOAL), Verdict::Failed(Trouble { count: 3, cause: Cause::Exited, .. })));
    }
}
