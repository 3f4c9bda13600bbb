//! Runs a fake of Amazon ECS until it is ended, for whoever wants to look at it with other tools.

use std::{
    error::Error,
    io::{self, Write},
    time::Duration,
};

use clap::Parser;
use serde_json::json;
use straddle_tests::{
    aws::Api,
    ecs_fake::{Fake, FakeOptions},
};
use tokio::signal::unix::{SignalKind, signal};

/// Run a fake of Amazon ECS until Ctrl-C
///
/// Prints what a shell sets to use it.
#[derive(Debug, Parser)]
struct Arguments {
    /// Run tasks as containers on the Docker engine
    #[arg(long)]
    docker: bool,
    /// Make a load balancer, and print its listener's ARN as LISTENER and where it listens as LISTENER_URL
    #[arg(long)]
    load_balancer: bool,
    /// Make a Cloud Map namespace of this name, with names in DNS
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// How many milliseconds a task that nothing checks runs before it counts as healthy
    #[arg(long, default_value_t = 1000)]
    settle: u64,
    /// How much of the time between two health checks passes
    #[arg(long, default_value_t = 1.0)]
    pace: f64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let fake = Fake::start(FakeOptions {
        docker: arguments.docker,
        settle: Duration::from_millis(arguments.settle),
        check_pace: arguments.pace,
        ..FakeOptions::default()
    })?;
    let mut variables = vec![
        ("AWS_ENDPOINT_URL", fake.url()),
        ("AWS_REGION", FakeOptions::default().region),
        // Some tools read the one, some the other.
        ("AWS_DEFAULT_REGION", FakeOptions::default().region),
        ("AWS_ACCESS_KEY_ID", "test".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
    ];
    if arguments.load_balancer {
        let arn = listener(&fake).await?;
        let address = fake.listener(&arn).ok_or("the listener does not listen")?;
        variables.extend([("LISTENER", arn), ("LISTENER_URL", format!("http://{address}/"))]);
    }
    if let Some(name) = arguments.namespace {
        let api = Api::at(&fake.url())?;
        let namespace = json!({"Name": name, "Vpc": "vpc-00000001"});
        api.call("servicediscovery", "CreatePrivateDnsNamespace", &namespace).await?;
    }
    let mut out = io::stdout();
    for (name, value) in variables {
        writeln!(out, "export {name}='{value}'")?;
    }
    out.flush()?;
    let mut ended = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = ended.recv() => {}
    }
    Ok(())
}

/// Makes a load balancer whose listener answers 404 to what no rule is for.
async fn listener(fake: &Fake) -> Result<String, Box<dyn Error>> {
    let api = Api::at(&fake.url())?;
    let balancer = json!({"Name": "main", "Subnets": ["subnet-00000001"]});
    let balancer = api.call("elbv2", "CreateLoadBalancer", &balancer).await?;
    let listener = json!({
        "LoadBalancerArn": balancer["LoadBalancers"][0]["LoadBalancerArn"],
        "Protocol": "HTTP",
        "Port": 80,
        "DefaultActions": [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}],
    });
    let made = api.call("elbv2", "CreateListener", &listener).await?;
    let arn = made["Listeners"][0]["ListenerArn"].as_str().ok_or("the listener has no ARN")?;
    Ok(arn.to_owned())
}
