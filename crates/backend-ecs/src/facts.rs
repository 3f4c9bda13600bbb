//! What is read from AWS before anything is decided, and what is taken for granted offline.
//!
//! | fact | meaning |
//! |---|---|
//! | `ecs.account` | the account, of 12 digits |
//! | `ecs.region` | the region |
//! | `ecs.vpc` | the VPC of the target's load balancer |
//! | `ecs.listener.kind` | `application` or `network`: the kind of that load balancer |
//! | `namespace:<name>` | the id of a Cloud Map namespace |
//! | `namespace:<name>:dns` | whether it has names in DNS |
//! | `secret:<name>` | the ARN of a secret in Secrets Manager that is named without one |

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, stream, try_join};
use serde_json::{Value, json};
use straddle_aws::{Protocol, Service};
use straddle_core::{
    error::{Error, ErrorKind, Result},
    model::{App, WorkloadKind},
    platform::Facts,
    units::SecretSource,
};

use crate::{client::Client, translate};

pub(crate) const ACCOUNT: &str = "ecs.account";
pub(crate) const REGION: &str = "ecs.region";
pub(crate) const VPC: &str = "ecs.vpc";
pub(crate) const LISTENER_KIND: &str = "ecs.listener.kind";

/// AWS Secrets Manager.
const SECRETS: Service = Service {
    id: "Secrets Manager",
    host: "secretsmanager",
    signing_name: "secretsmanager",
    protocol: Protocol::Json { target: "secretsmanager" },
};

/// How many names one filter of
/// [ListSecrets](https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_Filter.html) holds.
const SECRETS_AT_ONCE: usize = 10;

/// Returns the name of the fact that tells the ARN of a secret.
pub(crate) fn secret(name: &str) -> String {
    format!("secret:{name}")
}

/// Returns the name of the fact that tells the id of a namespace.
pub(crate) fn namespace(name: &str) -> String {
    format!("namespace:{name}")
}

/// Returns the name of the fact that tells whether a namespace has names in DNS.
pub(crate) fn has_dns(name: &str) -> String {
    format!("namespace:{name}:dns")
}

/// What is taken for granted where nobody was asked: words in place of what is only known there.
pub(crate) fn assumed() -> Facts {
    Facts::assumed()
        .with(ACCOUNT, "ACCOUNT")
        .with(REGION, "REGION")
        .with(VPC, "VPC")
        .with(LISTENER_KIND, "application")
}

/// Reads what an application needs to know, and nothing else:
///
/// | for | calls |
/// |---|---|
/// | a rule of the target's listener | DescribeListeners, then DescribeLoadBalancers |
/// | a namespace in which services have names in DNS | ListNamespaces, for each |
/// | secrets of Secrets Manager that are named without an ARN | ListSecrets, for each ten |
pub(crate) async fn read(client: &Client, app: &App) -> Result<Vec<(String, Value)>> {
    let (balancer, namespaces, secrets) =
        try_join!(balancer(client, app), namespaces(client, app), secrets(client, app))?;
    Ok([balancer, namespaces, secrets].into_iter().flatten().collect())
}

async fn balancer(client: &Client, app: &App) -> Result<Vec<(String, Value)>> {
    let Some(listener) = client.config().listener.as_deref() else { return Ok(Vec::new()) };
    if !app.services.values().any(|service| service.expose.iter().any(translate::is_behind_a_rule)) {
        return Ok(Vec::new());
    }
    let named = (&Service::BALANCING, "Elastic Load Balancing");
    let answer = client.call(named.0, "DescribeListeners", &json!({"ListenerArns": [listener]})).await;
    let answer = answer.map_err(|refused| match refused.code() {
        Some("ListenerNotFound") => {
            let message = format!("the listener {listener} does not exist in {}", client.region());
            Error::new(ErrorKind::NotFound, message)
                .with_help("correct `listener` and `region` in the target")
        }
        _ => refused.into_error(named.1, "elasticloadbalancing:DescribeListeners"),
    })?;
    let balancer = &answer["Listeners"][0]["LoadBalancerArn"];
    let answer =
        client.asked_of(named, "DescribeLoadBalancers", &json!({"LoadBalancerArns": [balancer]})).await?;
    let found = &answer["LoadBalancers"][0];
    Ok(vec![(VPC.to_owned(), found["VpcId"].clone()), (LISTENER_KIND.to_owned(), found["Type"].clone())])
}

async fn namespaces(client: &Client, app: &App) -> Result<Vec<(String, Value)>> {
    let names = translate::namespaces_with_records(app, client.config());
    let calls: Vec<_> = names.into_iter().map(|name| one_namespace(client, name)).collect();
    let all: Vec<Vec<_>> = stream::iter(calls).buffered(5).try_collect().await?;
    Ok(all.into_iter().flatten().collect())
}

async fn one_namespace(client: &Client, name: String) -> Result<Vec<(String, Value)>> {
    let ask = json!({"Filters": [{"Name": "NAME", "Values": [name], "Condition": "EQ"}]});
    let named = (&Service::CLOUD_MAP, "Cloud Map");
    let all = client.paged(named, ("ListNamespaces", "Namespaces"), ("NextToken", "NextToken"), ask).await?;
    let Some(found) = all.iter().find(|one| one["Name"] == name.as_str()) else {
        let message = format!("the Cloud Map namespace {name} does not exist in {}", client.region());
        return Err(Error::new(ErrorKind::NotFound, message).with_help(
            "make it (`aws servicediscovery create-private-dns-namespace`), or name another one",
        ));
    };
    let dns = found["Type"].as_str().is_some_and(|kind| kind.starts_with("DNS"));
    Ok(vec![(namespace(&name), found["Id"].clone()), (has_dns(&name), json!(dns))])
}

/// Returns the names of secrets of Secrets Manager that are named without an ARN.
fn unnamed(app: &App) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for workload in app.workloads() {
        let (WorkloadKind::Service(_) | WorkloadKind::Task(_)) = workload.kind;
        for container in workload.template.containers.values() {
            let of_logs = container.logging.iter().flat_map(|logging| logging.secret_options.values());
            let own = container.secrets.values().map(|secret| &secret.from);
            for reference in own.chain(of_logs).chain(container.registry_credentials.iter()) {
                if reference.source() == SecretSource::AwsSecretsManager
                    && !reference.name().starts_with("arn:")
                {
                    all.insert(reference.name().to_owned());
                }
            }
        }
    }
    all
}

async fn secrets(client: &Client, app: &App) -> Result<Vec<(String, Value)>> {
    let names: Vec<String> = unnamed(app).into_iter().collect();
    let calls: Vec<_> = names.chunks(SECRETS_AT_ONCE).map(|chunk| some_secrets(client, chunk)).collect();
    let all: Vec<Vec<_>> = stream::iter(calls).buffered(5).try_collect().await?;
    Ok(all.into_iter().flatten().collect())
}

async fn some_secrets(client: &Client, names: &[String]) -> Result<Vec<(String, Value)>> {
    let ask = json!({"Filters": [{"Key": "name", "Values": names}], "MaxResults": 100});
    let named = (&SECRETS, "Secrets Manager");
    match client.paged(named, ("ListSecrets", "SecretList"), ("NextToken", "NextToken"), ask).await {
        Ok(all) => {
            let is_asked = |one: &&Value| names.iter().any(|name| one["Name"] == name.as_str());
            let fact = |one: &Value| Some((secret(one["Name"].as_str()?), one["ARN"].clone()));
            Ok(all.iter().filter(is_asked).filter_map(fact).collect())
        }
        // An ARN without what Secrets Manager adds to names does as well, for whoever may not list them.
        Err(error) if error.kind() == ErrorKind::Denied => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
