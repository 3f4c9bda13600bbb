use std::time::Duration;

use super::{endings, ensure, until};
use crate::bench::{Bench, Mismatch};

type Done = Result<(), Mismatch>;

/// How long after an update the name of a service may still stand for what was.
const FOLLOWS: Duration = Duration::from_secs(5);

pub(super) async fn localhost(bench: &Bench) -> Done {
    bench.up(endings::PAIR).await?;
    let body = bench.get("web", 8080, "/fetch?url=http://127.0.0.1:9090/").await?;
    ensure!(body == "beside", "the sidecar answers `{body}`");
    Ok(())
}

const PAIR: &str = r#"
app: APP
services:
  client:
    image: IMAGE
    command: [serve, "8080"]
    ports: [8080]
    env: {SERVER: "http://${service.server.host}:${service.server.port}/"}
    stop: {grace: 1s, drain: 0s}
  server:
    image: IMAGE
    command: [serve, "7000", --body, first]
    ports: [{name: http, port: 7000}]
    health: {http: /healthz, interval: 1s, timeout: 5s, failures: 3}
    replicas: 2
    stop: {grace: 1s, drain: 1s}
"#;

pub(super) async fn discovery(bench: &Bench) -> Done {
    bench.up(PAIR).await?;
    let url = bench.get("client", 8080, "/env/SERVER").await?;
    let question = format!("/fetch?url={}", url.trim());
    let ask = || bench.get("client", 8080, &question);
    let body = ask().await?;
    ensure!(body == "first", "{url} answers `{body}`");
    // While the update goes on every question is answered, by one revision or the other.
    let second = PAIR.replace("first", "second");
    let update = bench.up(&second);
    futures_util::pin_mut!(update);
    loop {
        let question = ask();
        futures_util::pin_mut!(question);
        match futures_util::future::select(&mut update, question).await {
            futures_util::future::Either::Left((plan, question)) => {
                plan?;
                question.await?;
                break;
            }
            futures_util::future::Either::Right((answer, _)) => {
                let body = answer?;
                ensure!(["first", "second"].contains(&&*body), "during the update: `{body}`");
            }
        }
    }
    // What passes connections on inside a cluster hears of it a moment later.
    until!(FOLLOWS, {
        let body = ask().await?;
        Ok(if body == "second" { Ok(()) } else { Err(format!("the name stands for `{body}`")) })
    });
    for _ in 0..4 {
        let body = ask().await?;
        ensure!(body == "second", "after the update the name stands for `{body}` again");
    }
    Ok(())
}
