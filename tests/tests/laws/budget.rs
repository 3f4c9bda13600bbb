//! Law 9. How many calls an operation makes is known, and does not grow faster than what is asked about.

use straddle_tests::{
    application::Application,
    docker::Engine,
    proxy::{Call, Proxy},
};

use crate::demand;

/// Of containers, networks and volumes.
const LISTS: usize = 3;

/// The version of the engine, and the one image that all services are made of.
const FACTS: usize = 2;

#[tokio::test(flavor = "multi_thread")]
async fn law_9_calls_are_budgeted() {
    Engine::connect().await.unwrap().load_probe().await.unwrap();
    let proxy = Proxy::start().unwrap();
    let application = Application::new("law9", &spec(1, 0)).unwrap().through(&proxy);
    for (services, doors) in [(1, 0), (20, 0), (20, 2)] {
        application.write(&spec(services, doors)).unwrap();
        demand(application.run(&["up", "--yes"]).unwrap(), 0);
        drop(proxy.take());

        // An engine tells when a container started one container at a time, so that the lists do not suffice.
        demand(application.run(&["status"]).unwrap(), 0);
        let status = proxy.take();
        assert_eq!(status.len(), LISTS + services, "status of {services}: {status:#?}");
        assert_eq!(count(&status, "/containers/", "/json") - 1, services, "{status:#?}");

        // Neither the number of services nor that of replicas counts, only what has to be asked about: doors know whom they serve.
        for command in [&["up", "--yes"][..], &["plan"]] {
            let ran = demand(application.run(command).unwrap(), 0);
            assert!(ran.out.contains("nothing to change"), "{}", ran.out);
            let calls = proxy.take();
            let wanted = FACTS + LISTS + doors;
            assert_eq!(calls.len(), wanted, "{command:?} of {services} with {doors} doors: {calls:#?}");
            assert!(calls.iter().all(|call| !call.changes()), "{calls:#?}");
        }
    }
}

/// Services, of which the first ones have a port, and so a door.
fn spec(services: usize, doors: usize) -> String {
    let one = |at| {
        let program = if at < doors { "[serve, \"8080\"], ports: [8080]" } else { "[sleep]" };
        format!("  s{at}: {{image: IMAGE, command: {program}, stop: {{grace: 1s, drain: 0s}}}}\n")
    };
    let services: String = (0..services).map(one).collect();
    format!("app: APP\nservices:\n{services}")
}

/// Counts the calls whose path, without its query, begins and ends so.
fn count(calls: &[Call], begin: &str, end: &str) -> usize {
    let path = |call: &Call| call.path.split('?').next().unwrap_or_default().to_owned();
    calls.iter().map(path).filter(|path| path.contains(begin) && path.ends_with(end)).count()
}
