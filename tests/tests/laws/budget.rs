//! Law 9. How many calls an operation makes is known, and does not grow faster than what is asked about.

use straddle_tests::{
    application::Application,
    docker::Engine,
    proxy::{Call, Proxy},
};

use crate::demand;

/// Lists of containers, networks and volumes.
const LISTS: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn law_9_calls_are_budgeted() {
    Engine::connect().await.unwrap().load_probe().await.unwrap();
    let proxy = Proxy::start().unwrap();
    let application = Application::new("law9", &spec(1)).unwrap().through(&proxy);
    let mut budgets = Vec::new();
    for services in [1, 20] {
        application.write(&spec(services)).unwrap();
        demand(application.run(&["up", "--yes"]).unwrap(), 0);
        drop(proxy.take());
        demand(application.run(&["status"]).unwrap(), 0);
        let status = proxy.take();
        demand(application.run(&["up", "--yes"]).unwrap(), 0);
        let nothing = proxy.take();
        assert!(status.iter().chain(&nothing).all(|call| !call.changes()), "{status:#?}\n{nothing:#?}");
        // An engine tells the restarts and the start of one container at a time: one look at each.
        assert_eq!(count(&status, "/containers/", "/json") - 1, services, "{status:#?}");
        budgets.push((services, status.len() - services, nothing));
    }
    let [(_, few_lists, few), (_, many_lists, many)] = &budgets[..] else { unreachable!("two sizes") };
    assert_eq!((*few_lists, *many_lists), (LISTS, LISTS), "status lists once, however much there is");
    // The version, the one image, and the lists.
    assert_eq!((few.len(), many.len()), (2 + LISTS, 2 + LISTS), "{few:#?}\n{many:#?}");
}

fn spec(services: usize) -> String {
    let one = |at| format!("  s{at}: {{image: IMAGE, command: [sleep], stop: {{grace: 1s}}}}\n");
    let services: String = (0..services).map(one).collect();
    format!("app: APP\nservices:\n{services}")
}

/// Counts the calls whose path, without its query, begins and ends so.
fn count(calls: &[Call], begin: &str, end: &str) -> usize {
    let path = |call: &Call| call.path.split('?').next().unwrap_or_default().to_owned();
    calls.iter().map(path).filter(|path| path.contains(begin) && path.ends_with(end)).count()
}
