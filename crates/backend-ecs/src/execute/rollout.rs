//! Following a deployment to its end, by its id, and telling early that it will not get there.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::try_join;
use serde_json::{Value, json};
use straddle_core::{
    error::{Error, ErrorKind, Result},
    failure::{Cause, Failure},
};

use super::{
    Work,
    shifting::{Course, Shift, Watch},
};
use crate::{
    client::number_of,
    explain::{self, Trouble},
    tags,
};

/// How often the same failure is seen before a deployment is given up that might heal by itself.
const SEEN: u32 = 3;

/// How long after the last change the service is looked at again, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(4));

/// The deadline of a rollout that names none.
const DEADLINE: Duration = Duration::from_secs(600);

/// How long reads may show what was before a write: an answer that contradicts it is no news until then. ECS names no time; its reads
/// [are eventually consistent](https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeServices.html).
pub(super) const CONSISTENT: Duration = Duration::from_secs(10);

/// What is followed: a deployment of a service.
#[derive(Clone, Debug)]
pub(super) struct Goal {
    /// What tells of its stages, where traffic moves.
    watch: Option<Watch>,
    name: String,
    /// The id of the deployment, where one was begun.
    deployment: Option<String>,
    /// The revision that runs in the end.
    arn: String,
    deadline: Duration,
    /// How many tasks should run, as the call says that was answered.
    desired: Option<u64>,
    /// The containers that are checked by commands, and without which a task is not well.
    checked: Vec<String>,
}

impl Goal {
    /// Takes the deployment that a call came to, from its answer, and what its tasks are made of.
    pub(super) fn of(service: &Value, arn: &str, is_new: bool, definition: &Value) -> Self {
        let containers = explain::defined(definition);
        let primary = deployments(service).find(|one| one["status"] == "PRIMARY");
        let id = primary.and_then(|one| one["id"].as_str()).map(str::to_owned);
        let deadline = tags::of(service, tags::DEADLINE).and_then(|text| text.parse().ok());
        Self {
            watch: primary.filter(|_| is_new).and_then(|primary| Watch::of(service, primary)),
            name: service["serviceName"].as_str().unwrap_or_default().to_owned(),
            deployment: id.filter(|_| is_new),
            arn: arn.to_owned(),
            deadline: deadline.map_or(DEADLINE, Duration::from_secs),
            desired: service["desiredCount"].as_u64(),
            // The others do not count for the health of a task.
            checked: containers
                .filter(|one| explain::is_essential(one) && one["healthCheck"].is_object())
                .filter_map(|one| one["name"].as_str().map(str::to_owned))
                .collect(),
        }
    }
}

fn deployments(service: &Value) -> impl Iterator<Item = &Value> {
    service["deployments"].as_array().into_iter().flatten()
}

/// Waits until every task that should run is of the new revision and healthy.
///
/// # Errors
///
/// A [`Failure`] with its cause as soon as that is certain.
pub(super) async fn follow(work: &Work<'_>, goal: &Goal) -> Result<String> {
    let mut seen = Seen::default();
    let mut last = String::new();
    let began = work.clock().monotonic();
    let mut since = began;
    let mut pause = PAUSES.0;
    let mut watch = goal.watch.clone();
    loop {
        let sight = Sight::read(work, goal, &mut seen).await?;
        let shift = match &mut watch {
            Some(watch) => watch.look(work.client()).await?,
            None => Shift::default(),
        };
        let is_young = work.clock().monotonic().saturating_sub(began) < CONSISTENT;
        match sight.judge(goal, &seen).along(&shift) {
            Verdict::Gone | Verdict::Overtaken if is_young => {}
            Verdict::Done if is_young && !sight.wants(goal.desired) => {}
            Verdict::Done => return Ok(sight.words()),
            Verdict::Failed(trouble) => {
                return Err(Error::rollout(explain::failure(work, &trouble).await));
            }
            Verdict::Gone => {
                let message = format!("the service {} was removed while it was rolled out", goal.name);
                return Err(Error::new(ErrorKind::Conflict, message).with_help("run the same command again"));
            }
            Verdict::Overtaken => {
                let message = format!("somebody else began another deployment of {}", goal.name);
                return Err(Error::new(ErrorKind::Conflict, message).with_help("run the same command again"));
            }
            Verdict::GivenUp(why) => {
                // The tasks that failed may be told of later than what they come to.
                Sight::read(work, goal, &mut seen).await?;
                return Err(given_up(work, &seen, why).await);
            }
            Verdict::Under => {}
        }
        let words = shift.words();
        let state = format!("{} {words:?}", sight.state());
        if shift.bides() {
            since = work.clock().monotonic();
        }
        if state != last {
            let words = words.map(|words| format!(", {words}")).unwrap_or_default();
            work.progress(format!("{}{words}", sight.words()));
            last = state;
            since = work.clock().monotonic();
            pause = PAUSES.0;
        }
        if work.clock().monotonic().saturating_sub(since) > goal.deadline {
            let seconds = goal.deadline.as_secs();
            return Err(given_up(work, &seen, format!("no progress within {seconds} s")).await);
        }
        work.pause(pause).await?;
        pause = (pause * 3 / 2).min(PAUSES.1);
    }
}

async fn given_up(work: &Work<'_>, seen: &Seen, why: String) -> Error {
    match seen.worst() {
        Some(trouble) => Error::rollout(explain::failure(work, &trouble).await),
        None => Error::rollout(Failure::new(work.name, Cause::TimedOut, why)),
    }
}

/// What was seen of tasks that have stopped, over the whole rollout.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Troubles by the ARN of the task: each counts once.
    troubles: BTreeMap<String, Vec<Trouble>>,
    /// Tasks that are over, which nothing more becomes of.
    over: BTreeSet<String>,
}

impl Seen {
    fn worst(&self) -> Option<Trouble> {
        let all: Vec<&Trouble> = self.troubles.values().flatten().collect();
        let first = *all.first()?;
        let same = all.iter().filter(|other| other.is_same(first));
        let count = same.map(|other| other.count).sum();
        Some(Trouble { count, ..first.clone() })
    }

    /// Returns a failure that is certain: one that cannot heal, or the same one seen three times over all tasks.
    fn certain(&self) -> Option<Trouble> {
        let all: Vec<&Trouble> = self.troubles.values().flatten().collect();
        let is_final = |trouble: &&&Trouble| Failure::new("", trouble.cause, "").is_final();
        if let Some(trouble) = all.iter().find(is_final) {
            return Some((**trouble).clone());
        }
        for trouble in all.iter().filter(|one| !matches!(one.cause, Cause::Capacity | Cause::Other)) {
            let count: u32 = all.iter().filter(|other| other.is_same(trouble)).map(|other| other.count).sum();
            if count >= SEEN {
                return Some(Trouble { count, ..(**trouble).clone() });
            }
        }
        None
    }
}

/// What is known of a service while it changes.
#[derive(Debug, Default)]
struct Sight {
    service: Option<Value>,
    running: Vec<Value>,
    /// How many tasks are on their way out.
    stopping: usize,
}

/// What a look comes to.
enum Verdict {
    Done,
    Failed(Trouble),
    Gone,
    GivenUp(String),
    Overtaken,
    Under,
}

impl Verdict {
    /// Returns what it comes to where ECS moves traffic, which it ends by itself.
    fn along(self, shift: &Shift) -> Self {
        match (shift.course(), self) {
            (_, own @ (Self::Failed(_) | Self::Gone)) => own,
            (Course::Failed(_), own @ Self::Overtaken) => own,
            (Course::Failed(why), _) => Self::GivenUp(why),
            (Course::Return, _) | (Course::Onward, Self::Done) => Self::Under,
            (_, own) => own,
        }
    }
}

impl Sight {
    async fn read(work: &Work<'_>, goal: &Goal, seen: &mut Seen) -> Result<Self> {
        let client = work.client();
        let of = |desired| client.tasks_of(json!({"serviceName": goal.name}), desired);
        let (service, running, stopped) =
            try_join!(client.service(&goal.name), of("RUNNING"), of("STOPPED"))?;
        let fresh: Vec<String> = stopped.into_iter().filter(|arn| !seen.over.contains(arn)).collect();
        let (running, stopped) = try_join!(client.tasks(&running), client.tasks(&fresh))?;
        let is_over = |task: &&Value| task["lastStatus"] == "STOPPED";
        seen.over.extend(
            stopped.iter().filter(is_over).filter_map(|task| task["taskArn"].as_str().map(str::to_owned)),
        );
        let stopping = stopped.iter().filter(|task| !is_over(task)).count();
        for task in stopped.iter().chain(&running) {
            let arn = task["taskArn"].as_str().unwrap_or_default();
            if task["taskDefinitionArn"] != goal.arn.as_str() || !is_of(task, goal) {
                continue;
            }
            let found = explain::troubles(task);
            if task["lastStatus"] == "STOPPED" || !found.is_empty() {
                seen.troubles.insert(arn.to_owned(), found);
            }
        }
        Ok(Self { service, running, stopping })
    }

    fn counts(&self) -> (u64, u64, u64) {
        let Some(service) = &self.service else { return (0, 0, 0) };
        let number = |key: &str| service[key].as_u64().unwrap_or_default();
        (number("runningCount"), number("pendingCount"), number("desiredCount"))
    }

    /// Returns how many tasks of the new revision are healthy.
    fn healthy(&self, goal: &Goal) -> u64 {
        let is_well = |task: &Value| {
            let mut checked = explain::containers(task)
                .filter(|own| goal.checked.iter().any(|name| own["name"] == name.as_str()));
            // A task stays UNKNOWN where an essential container has no check, whatever the others say.
            task["healthStatus"] == "HEALTHY"
                || task["healthStatus"] != "UNHEALTHY" && checked.all(|own| own["healthStatus"] == "HEALTHY")
        };
        let fine = self.running.iter().filter(|task| {
            task["taskDefinitionArn"] == goal.arn.as_str() && task["lastStatus"] == "RUNNING" && is_well(task)
        });
        u64::try_from(fine.count()).unwrap_or_default()
    }

    fn judge(&self, goal: &Goal, seen: &Seen) -> Verdict {
        let Some(service) = self.service.as_ref().filter(|service| service["status"] == "ACTIVE") else {
            return Verdict::Gone;
        };
        let primary = deployments(service).find(|one| one["status"] == "PRIMARY");
        let own = match &goal.deployment {
            Some(id) => deployments(service).find(|one| one["id"] == id.as_str()),
            None => primary,
        };
        if let Some(trouble) = seen.certain() {
            return Verdict::Failed(trouble);
        }
        let reason = |one: &Value| one["rolloutStateReason"].as_str().unwrap_or_default().to_owned();
        if let Some(failed) = own.filter(|one| one["rolloutState"] == "FAILED") {
            return Verdict::GivenUp(reason(failed));
        }
        let is_primary = own.is_some() && own == primary;
        if !is_primary && service["taskDefinition"] != goal.arn.as_str() {
            // ECS has rolled it back, or somebody else has deployed.
            return if seen.troubles.is_empty() && own.is_none() {
                Verdict::Overtaken
            } else {
                Verdict::GivenUp(own.map_or_else(|| "ECS rolled the deployment back".to_owned(), reason))
            };
        }
        let (running, pending, desired) = self.counts();
        let is_alone = deployments(service).count() == 1;
        let is_complete =
            primary.is_none_or(|one| matches!(one["rolloutState"].as_str(), None | Some("COMPLETED")));
        let is_whole = running == desired && pending == 0 && self.healthy(goal) >= desired;
        let is_whole = is_whole && self.stopping == 0;
        // A completed deployment may be told before its tasks have begun, and before those are gone that it replaces.
        if is_primary && is_alone && is_complete && is_whole { Verdict::Done } else { Verdict::Under }
    }

    /// Returns what may not stay the same for ever.
    fn state(&self) -> String {
        let states: Vec<&str> = self
            .running
            .iter()
            .flat_map(|task| [&task["lastStatus"], &task["healthStatus"]])
            .filter_map(Value::as_str)
            .collect();
        format!("{:?} {states:?} {}", self.counts(), self.stopping)
    }

    /// Returns whether the service wants as many tasks as it was told to.
    fn wants(&self, told: Option<u64>) -> bool {
        let desired = self.service.as_ref().and_then(|service| service["desiredCount"].as_u64());
        told.is_none() || desired == told
    }

    fn words(&self) -> String {
        let (running, _, desired) = self.counts();
        format!("{}/{desired} healthy", running.min(desired))
    }
}

/// Returns whether a task belongs to the deployment that is followed.
fn is_of(task: &Value, goal: &Goal) -> bool {
    let by = task["startedBy"].as_str().unwrap_or_default();
    // Some answers name the service in place of the deployment.
    goal.deployment.as_deref().is_none_or(|id| by == id || !by.starts_with("ecs-svc/"))
        && number_of(&goal.arn).is_some()
}
