//! Tasks that run by the clock.

use serde_json::{Value, json};
use straddle_core::error::ErrorKind;

use crate::stage::Stage;

fn report(more: &str) -> String {
    format!("tasks:\n  report: {{image: shop/report:1, {more}}}\n")
}

const NIGHTLY: &str = r#"schedule: {cron: "0 3 * * *", timezone: Europe/Berlin}"#;

impl Stage {
    async fn schedule(&self, name: &str) -> Value {
        self.call("scheduler", "GetSchedule", json!({"Name": name, "GroupName": "shop"})).await
    }

    /// Returns the names of all groups and schedules.
    async fn schedules(&self) -> Vec<String> {
        let groups = self.call("scheduler", "ListScheduleGroups", json!({})).await;
        let all = self.call("scheduler", "ListSchedules", json!({})).await;
        let name = |one: &Value| one["Name"].as_str().unwrap().to_owned();
        let groups = groups["ScheduleGroups"].as_array().into_iter().flatten();
        groups.chain(all["Schedules"].as_array().into_iter().flatten()).map(name).collect()
    }

    fn scheduler_calls(&self) -> Vec<(String, usize)> {
        let mut calls = self.fake.calls();
        calls.retain(|operation, _| operation.starts_with("scheduler:"));
        calls.into_iter().map(|(name, count)| (name[10..].to_owned(), count)).collect()
    }
}

async fn a_schedule_comes_changes_and_goes() {
    let stage = Stage::new().await;
    stage.up(&report(NIGHTLY)).await;
    let first = stage.schedule("shop-report").await;
    assert_eq!(first["ScheduleExpression"], "cron(0 3 * * ? *)");
    assert_eq!(first["Target"]["Arn"], "arn:aws:ecs:eu-central-1:111122223333:cluster/main");
    let definition = first["Target"]["EcsParameters"]["TaskDefinitionArn"].as_str().unwrap();
    assert!(definition.ends_with(":task-definition/shop-report:1"), "{definition}");

    // A new image is a new revision, which the schedule runs from then on.
    let changed = report(NIGHTLY).replace("report:1", "report:2");
    stage.up(&changed).await;
    let second = stage.schedule("shop-report").await;
    let definition = second["Target"]["EcsParameters"]["TaskDefinitionArn"].as_str().unwrap();
    assert!(definition.ends_with(":task-definition/shop-report:2"), "{definition}");
    // Another time is no new revision.
    let later = changed.replace("0 3", "0 4");
    stage.up(&later).await;
    let third = stage.schedule("shop-report").await;
    assert_eq!(third["ScheduleExpression"], "cron(0 4 * * ? *)");
    assert_eq!(third["Target"]["EcsParameters"]["TaskDefinitionArn"], definition);

    // What somebody changed by hand is seen, and put right.
    let mut by_hand = third.clone();
    for key in ["Arn", "CreationDate", "LastModificationDate"] {
        by_hand.as_object_mut().unwrap().shift_remove(key);
    }
    by_hand["State"] = json!("DISABLED");
    stage.call("scheduler", "UpdateSchedule", by_hand).await;
    let plan = stage.plan(&later).await.unwrap();
    assert_eq!(plan.steps[0].changes[0].path, "schedule");
    stage.up(&later).await;
    assert_eq!(stage.schedule("shop-report").await["State"], "ENABLED");

    // A task that runs by the clock no more stays a task; one that goes takes its schedule along.
    stage.up(&report("command: [once]")).await;
    assert_eq!(stage.schedules().await, [""; 0]);
    stage.up(&report(NIGHTLY)).await;
    stage.up("services:\n  web: {image: shop/web:1}\n").await;
    assert_eq!(stage.schedules().await, [""; 0]);
    stage.up(&report(NIGHTLY)).await;
    stage.down().await;
    assert_eq!(stage.schedules().await, [""; 0]);
}

async fn a_group_of_others_is_a_conflict_and_stays() {
    let stage = Stage::new().await;
    stage.call("scheduler", "CreateScheduleGroup", json!({"Name": "shop"})).await;
    let theirs = json!({"Name": "shop-report", "GroupName": "shop", "ScheduleExpression": "rate(1 days)",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {"Arn": "arn:aws:ecs:eu-central-1:111122223333:cluster/x", "RoleArn": "arn:aws:iam::111122223333:role/x"}});
    stage.call("scheduler", "CreateSchedule", theirs).await;
    let before = stage.schedule("shop-report").await;
    let error = stage.plan(&report(NIGHTLY)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(error.message().contains("group of schedules shop"), "{error}");
    stage.up(&report("command: [once]")).await;
    stage.down().await;
    assert_eq!(stage.schedule("shop-report").await, before);
}

async fn calls_about_schedules_do_not_grow_with_their_number() {
    let stage = Stage::new().await;
    stage.up(&report("command: [once]")).await;
    assert_eq!(stage.scheduler_calls(), [("GetScheduleGroup".to_owned(), 1)]);
    for tasks in [1, 4] {
        let one = |at: usize| format!("  t{at}: {{image: shop/report:1, {NIGHTLY}}}\n");
        stage.up(&format!("tasks:\n{}", (0..tasks).map(one).collect::<String>())).await;
        let wanted = [("GetScheduleGroup", 1), ("ListSchedules", 1), ("ListTagsForResource", 1)];
        assert_eq!(stage.scheduler_calls(), wanted.map(|(name, count)| (name.to_owned(), count)), "{tasks}");
    }
}

/// Each has a fake of its own, and they wait most of their time: side by side.
#[tokio::test(flavor = "multi_thread")]
async fn what_runs_by_the_clock() {
    tokio::join!(
        a_schedule_comes_changes_and_goes(),
        a_group_of_others_is_a_conflict_and_stays(),
        calls_about_schedules_do_not_grow_with_their_number()
    );
}
