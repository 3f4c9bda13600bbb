use serde_json::json;

use super::client::fake;
use crate::ecs_fake::value::Doc;

#[test]
fn lines_are_read_by_pages_and_by_time() {
    let fake = fake();
    let group = json!({ "logGroupName": "shop", "tags": { "straddle:app": "shop" } });
    fake.ok("logs:CreateLogGroup", group.clone());
    assert!(fake.refused("logs:CreateLogGroup", group).starts_with("ResourceAlreadyExistsException"));
    fake.ok("logs:PutRetentionPolicy", json!({ "logGroupName": "shop", "retentionInDays": 7 }));
    assert!(
        fake.refused("logs:PutRetentionPolicy", json!({ "logGroupName": "shop", "retentionInDays": 8 }))
            .contains('8')
    );
    for stream in ["web/web/1", "web/web/2"] {
        fake.ok("logs:CreateLogStream", json!({ "logGroupName": "shop", "logStreamName": stream }));
        let events: Vec<_> =
            (0..5).map(|at| json!({ "timestamp": 1000 + at, "message": format!("{stream} {at}") })).collect();
        fake.ok(
            "logs:PutLogEvents",
            json!({ "logGroupName": "shop", "logStreamName": stream, "logEvents": events }),
        );
    }
    let asked =
        json!({ "logGroupName": "shop", "logStreamName": "web/web/1", "startFromHead": true, "limit": 3 });
    let first = fake.ok("logs:GetLogEvents", asked.clone());
    assert_eq!(first.list("events").len(), 3);
    let next = |token: &serde_json::Value| {
        let mut asked = asked.clone();
        asked["nextToken"] = token.clone();
        fake.ok("logs:GetLogEvents", asked)
    };
    let second = next(&first["nextForwardToken"]);
    assert_eq!(second["events"][0]["message"], "web/web/1 3");
    let third = next(&second["nextForwardToken"]);
    assert_eq!((third.list("events").len(), &third["nextForwardToken"]), (0, &second["nextForwardToken"]));
    let last = fake
        .ok("logs:GetLogEvents", json!({ "logGroupName": "shop", "logStreamName": "web/web/1", "limit": 1 }));
    assert_eq!(last["events"][0]["message"], "web/web/1 4");
    let found =
        fake.ok("logs:FilterLogEvents", json!({ "logGroupName": "shop", "startTime": 1003, "limit": 3 }));
    assert_eq!((found.list("events").len(), found.given("nextToken").is_some()), (3, true));
    assert_eq!(found["events"][0]["logStreamName"], "web/web/1");
    let streams = fake
        .ok("logs:DescribeLogStreams", json!({ "logGroupName": "shop", "logStreamNamePrefix": "web/web" }));
    assert_eq!(streams["logStreams"][0]["lastEventTimestamp"], 1004);
    fake.ok("logs:DeleteLogGroup", json!({ "logGroupName": "shop" }));
    assert!(
        fake.refused("logs:FilterLogEvents", json!({ "logGroupName": "shop" }))
            .starts_with("ResourceNotFoundException")
    );
}
