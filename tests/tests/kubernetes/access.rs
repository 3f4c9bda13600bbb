//! What a user may do, and how long.

use super::*;

/// Connects as a service account that may do what some rules say.
async fn account(bench: &Bench, name: &str, rules: &Value) -> Arc<dyn Orchestrator> {
    let token = token(bench, name, rules);
    connect_as(bench, json!({"token": token})).await
}

async fn connect_as(bench: &Bench, user: Value) -> Arc<dyn Orchestrator> {
    let config = bench.ground.cluster.connection_of(user).await.unwrap();
    bench.ground.backend(kube::Client::try_from(config).unwrap())
}

/// Makes a service account that may do what some rules say, and a token of it.
fn token(bench: &Bench, name: &str, rules: &Value) -> String {
    let ground = &bench.ground;
    let role = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name}, "rules": rules},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": name},
         "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": ground.name}],
         "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}}]});
    ground.kubectl(&["apply", "-f", "-"], Some(&role.to_string())).unwrap();
    let token = ground.kubectl(&["create", "token", name, "-o", "json"], None).unwrap();
    token["status"]["token"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_permitted_is_named_with_what_permits_it() {
    use futures_util::TryStreamExt;
    let bench = Bench::new("denied").await;
    let app = |level: &str| {
        bench.app(&format!(
            "services: {{web: {{image: PROBE, command: [print, hello, --stay, 60m], env: {{LEVEL: {level}}}, stop: {{grace: 1s, drain: 0s}}}}}}"
        ))
    };
    bench.settle(&app("info")).await;
    let scope = &bench.ground.scope;
    let intent = |level: &str| Intent::Apply { app: Box::new(app(level)), only: Vec::new() };

    let rules = json!([
        {"apiGroups": [""], "resources": ["pods", "pods/log", "services", "configmaps"], "verbs": ["get", "list", "watch"]},
    ]);
    let few = account(&bench, "few", &rules).await;
    let place = format!("namespace \"{}\"", bench.ground.name);
    let status = few.status(scope).await.unwrap_err();
    assert_eq!(status.kind(), ErrorKind::Denied, "{status:?}");
    let words = status.message();
    assert!(words.contains("cannot list resource") && words.contains(&place), "{status:?}");
    assert!(status.help().unwrap().contains("`list` of `"), "{status:?}");
    assert!(status.help().unwrap().contains(&bench.ground.name), "{status:?}");
    let plan = few.plan(scope, &intent("info")).await.unwrap_err();
    assert_eq!(plan.kind(), ErrorKind::Denied, "{plan:?}");
    assert!(plan.message().contains("cannot list resource") && plan.message().contains(&place), "{plan:?}");
    assert!(plan.help().is_some(), "{plan:?}");

    // Output needs no Secrets; what may not be read can only not be hidden in it.
    let lines: Vec<_> = few.logs(scope, LogOptions::default()).await.unwrap().try_collect().await.unwrap();
    assert!(lines.iter().any(|line| line.line == "hello"), "{lines:?}");

    let is_told = |finding: &Finding| finding.code == "kubernetes/dry-run";
    let all = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]}]);
    let reader = account(&bench, "reader", &all).await;
    assert!(reader.status(scope).await.unwrap().is_healthy());
    let plan = reader.plan(scope, &intent("info")).await.unwrap();
    assert!(plan.is_empty() && !plan.findings.iter().any(is_told), "{plan:#?}");
    let plan = reader.plan(scope, &intent("debug")).await.unwrap();
    assert_eq!(changes(&plan), ["env.LEVEL: \"info\" -> \"debug\""]);
    let told = plan.findings.iter().find(|finding| is_told(finding)).unwrap();
    assert!(told.message.contains("cannot patch resource \"deployments\""), "{told:?}");
    assert!(told.fix.as_ref().unwrap().contains("`patch` of `deployments.apps`"), "{told:?}");
    let error = bench.up_with(&*reader, &app("debug")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    assert!(error.message().contains("cannot") && error.help().is_some(), "{error:?}");
    bench.settled(&app("info")).await;
}

/// Service accounts take the place of users here: a token of theirs ends with them, on the next call after the API server has forgotten that it
/// was good (10 s).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_ends_in_mid_rollout_is_renewed_or_named() {
    let bench = Bench::new("token").await;
    let app = |level: &str| bench.slow(level, "20s");
    bench.settle(&app("info")).await;
    let all = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]);
    let ends = async |account: &str, level: &str| {
        until("the rollout begins", || bench.is_at(level)).await;
        bench.ground.kubectl(&["delete", "serviceaccount", account], None).unwrap();
    };

    // A program makes the tokens, as `aws eks get-token` does, and says when they end: the client asks it again a minute before.
    let folder = tempfile::tempdir().unwrap();
    let (made, file) = (folder.path().join("made"), folder.path().join("first"));
    let (first, second) = (token(&bench, "first", &all), token(&bench, "second", &all));
    let program = format!(
        "if [ -e {file} ]; then token={second}; else token={first}; fi; echo >> {made}; touch {file}; printf '{{\"kind\": \"ExecCredential\", \
         \"apiVersion\": \"client.authentication.k8s.io/v1\", \"status\": {{\"token\": \"%s\", \"expirationTimestamp\": \"%s\"}}}}' \
         \"$token\" \"$(date -u -d '+65 sec' +%Y-%m-%dT%H:%M:%SZ)\"",
        file = file.display(),
        made = made.display(),
    );
    let user = json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": ["-c", program],
        "interactiveMode": "Never"}});
    let renewing = connect_as(&bench, user).await;
    let debug = app("debug");
    let (done, ()) = tokio::join!(bench.up_with(&*renewing, &debug), ends("first", "debug"));
    done.unwrap_or_else(|error| panic!("{error:?}"));
    bench.settled(&debug).await;
    let made = std::fs::read_to_string(&made).unwrap().lines().count();
    assert!(made > 1, "the token was made {made} times");

    // One that nobody renews.
    let info = app("info");
    let fixed = account(&bench, "third", &all).await;
    let (done, ()) = tokio::join!(bench.up_with(&*fixed, &info), ends("third", "info"));
    let error = done.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    assert!(error.message().contains("Unauthorized"), "{error:?}");
    assert!(error.help().unwrap().starts_with("log in to the cluster again"), "{error:?}");
    bench.up(&info).await.unwrap_or_else(|error| panic!("{error:?}"));
    bench.settled(&info).await;
}
