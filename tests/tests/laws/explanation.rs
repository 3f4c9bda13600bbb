//! Law 4. A rollout that cannot finish ends soon, with its cause, the last lines, what runs now, and a next step.

use straddle_core::clock::{Clock, SystemClock};
use straddle_tests::{application::Application, docker::Engine, proxy::Proxy};

use crate::demand;

/// How long the third identical failure, or the first that cannot heal, may be ago when the command ends.
const SOON: i128 = 5_000_000_000;

fn spec(container: &str) -> String {
    format!(
        "app: APP\nservices:\n  web:\n    image: IMAGE\n    {container}\n    replicas: 2\n    stop: {{grace: 1s}}\n"
    )
}

fn now() -> i128 {
    SystemClock::new().now().as_nanosecond()
}

#[tokio::test(flavor = "multi_thread")]
async fn law_4_explains_what_exits() {
    let engine = Engine::connect().await.unwrap();
    engine.load_probe().await.unwrap();
    let application = Application::new("law4exit", &spec("command: [sleep]")).unwrap();
    demand(application.run(&["up", "--yes"]).unwrap(), 0);
    application.write(&spec("command: [exit, \"3\", --print, \"no database\"]")).unwrap();
    let up = demand(application.run(&["up", "--yes"]).unwrap(), 5);
    let ended = now();

    // Nothing of the first version has died: it never stopped.
    let failures = engine.happened(application.scope(), "die").await.unwrap();
    let third = failures.get(2).copied().unwrap_or_else(|| panic!("{failures:?}"));
    assert!(
        ended - i128::from(third) < SOON,
        "{} ms after the third failure",
        (ended - i128::from(third)) / 1_000_000
    );
    for words in
        ["web: ", "exit 3", "last lines:", "| no database", "Back on revision 1: 2/2 healthy.", "Next: "]
    {
        assert!(up.err.contains(words), "`{words}` is missing in\n{}", up.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn law_4_explains_what_cannot_heal() {
    let engine = Engine::connect().await.unwrap();
    engine.load_probe().await.unwrap();
    let proxy = Proxy::start().unwrap();
    let application = Application::new("law4start", &spec("entrypoint: [/nothing]")).unwrap().through(&proxy);
    let up = demand(application.run(&["up", "--yes"]).unwrap(), 5);
    let ended = now();

    let calls = proxy.take();
    let refused = calls.iter().filter(|call| call.path.contains("/start") && call.changes());
    let refused = refused.filter_map(|call| call.answer).find(|answer| answer.status >= 400);
    let refused = refused.unwrap_or_else(|| panic!("no start failed: {calls:#?}"));
    assert!(ended - refused.at < SOON, "{} ms after the failure", (ended - refused.at) / 1_000_000);
    for words in ["web: ", "the command `/nothing` does not exist in the image", "Next: "] {
        assert!(up.err.contains(words), "`{words}` is missing in\n{}", up.err);
    }
}
