//! Deployments that move traffic by weight: ECS does it in stages, and service deployments tell which one it is at.
//!
//! See [how blue/green deployments work](https://docs.aws.amazon.com/AmazonECS/latest/developerguide/blue-green-deployment-how-it-works.html). Only
//! `SUCCESSFUL` is a success: one that ECS has rolled back has failed.

use std::time::Duration;

use serde_json::{Value, json};
use straddle_core::error::{ErrorKind, Result};

use super::Work;
use crate::client::{Client, array};

/// Stages whose length is no sign of trouble in the tasks: what is waited for there are hooks, and times that the spec names. All others have to go on.
const BIDING: [&str; 8] = [
    "PRE_SCALE_UP",
    "POST_SCALE_UP",
    "TEST_TRAFFIC_SHIFT",
    "POST_TEST_TRAFFIC_SHIFT",
    "PRE_PRODUCTION_TRAFFIC_SHIFT",
    "PRODUCTION_TRAFFIC_SHIFT",
    "POST_PRODUCTION_TRAFFIC_SHIFT",
    "BAKE_TIME",
];

/// How often it is looked whether a deployment is back.
const LOOK: Duration = Duration::from_secs(1);

/// How much earlier than its tasks a service deployment may say that it was made, in seconds.
const MARGIN: f64 = 1.0;

/// Returns whether the deployments of a service move traffic.
pub(super) fn moves(service: &Value) -> bool {
    service["deploymentConfiguration"]["strategy"].as_str().is_some_and(|strategy| strategy != "ROLLING")
}

/// A deployment that moves traffic, which is followed.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    service: String,
    /// When it was made, in seconds since 1970: the service deployment of it is no older.
    since: f64,
    /// The service deployment, once it is known.
    arn: Option<String>,
}

/// What a look at it says; nothing for a deployment that moves no traffic, or that is not told of yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Shift(Value);

/// What a deployment has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Course {
    /// It failed, and ECS has taken it back, or could not; with the reason.
    Failed(String),
    /// Nothing is known of stages: what tasks and counts say is all there is.
    None,
    /// It goes forward.
    Onward,
    /// It is on its way back.
    Return,
    /// It is done.
    Successful,
}

impl Watch {
    /// Begins to watch a deployment that a call came to, from its answer.
    pub(super) fn of(service: &Value, deployment: &Value) -> Option<Self> {
        let name = service["serviceName"].as_str()?.to_owned();
        let since = deployment["createdAt"].as_f64().unwrap_or_default() - MARGIN;
        moves(service).then_some(Self { service: name, since, arn: None })
    }

    /// Looks how far it is.
    pub(super) async fn look(&mut self, client: &Client) -> Result<Shift> {
        if self.arn.is_none() {
            let newest = newest(client, &self.service).await?;
            let is_it = |one: &&Value| one["createdAt"].as_f64().is_none_or(|created| created >= self.since);
            self.arn = newest
                .as_ref()
                .filter(is_it)
                .and_then(|one| one["serviceDeploymentArn"].as_str())
                .map(str::to_owned);
        }
        let Some(arn) = &self.arn else { return Ok(Shift::default()) };
        Ok(Shift(described(client, arn).await?.unwrap_or_default()))
    }
}

async fn newest(client: &Client, service: &str) -> Result<Option<Value>> {
    let ask = json!({"cluster": client.cluster(), "service": service});
    let answer = client.ecs("ListServiceDeployments", &ask).await;
    let answer = answer.map_err(|refused| client.error(refused, "ListServiceDeployments"))?;
    let created = |one: &Value| one["createdAt"].as_f64().unwrap_or_default();
    let all = array(&answer["serviceDeployments"]);
    Ok(all.into_iter().max_by(|one, other| created(one).total_cmp(&created(other))))
}

async fn described(client: &Client, arn: &str) -> Result<Option<Value>> {
    let ask = json!({"serviceDeploymentArns": [arn]});
    let answer = client.ecs("DescribeServiceDeployments", &ask).await;
    let answer = answer.map_err(|refused| client.error(refused, "DescribeServiceDeployments"))?;
    Ok(array(&answer["serviceDeployments"]).into_iter().next())
}

impl Shift {
    fn text(&self, key: &str) -> &str {
        self.0[key].as_str().unwrap_or_default()
    }

    pub(super) fn course(&self) -> Course {
        match self.text("status") {
            "" => Course::None,
            "SUCCESSFUL" => Course::Successful,
            "ROLLBACK_IN_PROGRESS" | "ROLLBACK_REQUESTED" | "STOP_REQUESTED" => Course::Return,
            "ROLLBACK_FAILED" | "ROLLBACK_SUCCESSFUL" | "STOPPED" => Course::Failed(self.reason()),
            _ => Course::Onward,
        }
    }

    fn reason(&self) -> String {
        let why = self.0["rollback"]["reason"].as_str().unwrap_or_else(|| self.text("statusReason"));
        match (self.text("status"), why) {
            ("STOPPED", "") => "the deployment was stopped".to_owned(),
            (_, "") => "ECS rolled the deployment back".to_owned(),
            (_, why) => why.to_owned(),
        }
    }

    /// Returns whether it rightly takes its time.
    pub(super) fn bides(&self) -> bool {
        self.course() == Course::Onward && BIDING.contains(&self.text("lifecycleStage"))
    }

    /// Says where it is: `BAKE_TIME, 100 % of the traffic`.
    pub(super) fn words(&self) -> Option<String> {
        let stage = match self.text("lifecycleStage") {
            "" => self.text("status"),
            stage => stage,
        };
        let share = self.0["targetServiceRevision"]["requestedProductionTrafficWeight"].as_f64();
        let share = share.map(|share| format!(", {share} % of the traffic")).unwrap_or_default();
        (!stage.is_empty()).then(|| format!("{}{share}", stage.to_ascii_lowercase().replace('_', " ")))
    }
}

/// Has ECS take the latest deployment of a service back where it goes on, and waits until that is done.
pub(super) async fn roll_back(work: &Work<'_>, service: &str) -> Result<()> {
    let client = work.client();
    let Some(newest) = newest(client, service).await? else { return Ok(()) };
    let Some(arn) = newest["serviceDeploymentArn"].as_str() else { return Ok(()) };
    if matches!(newest["status"].as_str(), Some("PENDING" | "IN_PROGRESS")) {
        let ask = json!({"serviceDeploymentArn": arn, "stopType": "ROLLBACK"});
        match client.ecs("StopServiceDeployment", &ask).await {
            Ok(_) => {}
            // It has ended by itself, or there is nothing to go back to.
            Err(refused) if refused.code() == Some("ConflictException") => return Ok(()),
            Err(refused) => {
                let error = client.error(refused, "StopServiceDeployment");
                return if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) };
            }
        }
    }
    loop {
        let shift = Shift(described(client, arn).await?.unwrap_or_default());
        match shift.course() {
            Course::Onward | Course::Return => work.pause(LOOK).await?,
            Course::Failed(_) | Course::None | Course::Successful => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_end_is_a_success() {
        let shift = |status: &str| Shift(json!({"status": status, "rollback": {"reason": "an alarm"}}));
        for (status, course) in [
            ("PENDING", Course::Onward),
            ("IN_PROGRESS", Course::Onward),
            ("ROLLBACK_IN_PROGRESS", Course::Return),
            ("ROLLBACK_SUCCESSFUL", Course::Failed("an alarm".to_owned())),
            ("STOPPED", Course::Failed("an alarm".to_owned())),
            ("SUCCESSFUL", Course::Successful),
            ("NEVER_HEARD_OF", Course::Onward),
        ] {
            assert_eq!(shift(status).course(), course, "{status}");
        }
        assert_eq!(Shift::default().course(), Course::None);
        let at = |stage: &str| {
            Shift(json!({"status": "IN_PROGRESS", "lifecycleStage": stage,
            "targetServiceRevision": {"requestedProductionTrafficWeight": 12.5}}))
        };
        assert!(at("BAKE_TIME").bides() && !at("SCALE_UP").bides());
        assert_eq!(at("BAKE_TIME").words().unwrap(), "bake time, 12.5 % of the traffic");
    }
}
