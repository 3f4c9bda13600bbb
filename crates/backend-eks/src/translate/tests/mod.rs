//! Tests of what comes out: documents here, findings beside.

mod eks;
mod findings;

use serde_json::{Value, json};
use straddle_core::{
    finding::FindingKind,
    model::AppSpec,
    platform::{Facts, ResourceKey, Translation},
    scope::Scope,
    spec,
};

use super::translate;
use crate::{KubernetesConfig, facts, labels, render, revision};

fn translated_by(yaml: &str, facts: &Facts, config: &KubernetesConfig) -> Translation {
    let spec: AppSpec = spec::from_yaml(yaml).unwrap_or_else(|problems| panic!("{problems}"));
    let app = spec.check().unwrap_or_else(|violations| panic!("{violations}"));
    translate(&app, &Scope::new(&app.app), facts, config)
}

fn translated(yaml: &str) -> Translation {
    translated_by(yaml, &facts::assumed(), &KubernetesConfig::default())
}

fn object<'a>(translation: &'a Translation, kind: &str, name: &str) -> &'a Value {
    let key = ResourceKey::new(kind, name);
    let found = translation.desired.get(&key);
    &found.unwrap_or_else(|| panic!("no {key} among {:?}", keys(translation))).document
}

fn keys(translation: &Translation) -> Vec<String> {
    translation.desired.resources.iter().map(|resource| resource.key.to_string()).collect()
}

fn found(translation: &Translation, code: &str) -> Vec<(FindingKind, String)> {
    let findings = translation.findings.iter().filter(|finding| finding.code == code);
    findings.map(|finding| (finding.kind, finding.path.to_string())).collect()
}

fn pod<'a>(translation: &'a Translation, kind: &str, name: &str) -> &'a Value {
    &object(translation, kind, name)["spec"]["template"]["spec"]
}

const SHOP: &str = "\
app: shop
services:
  web:
    containers:
      web:
        image: shop/web:1
        ports: [{name: http, port: 8080}]
        env: {STORE: \"http://${service.store.host}:${service.store.port}\", PRICE: \"$(5)\"}
        secrets: {PW: \"env:DB_PASSWORD\", KEY: \"kubernetes:shop-db#key\"}
        files: {/etc/web.conf: \"verbose\"}
        health: {http: /healthz, exec: [/web, --check], interval: 2s, start_period: 5s}
        depends_on: {proxy: healthy}
        cpu: {reservation: 250m, limit: 1.5}
      proxy: {image: shop/proxy:2, ports: [{name: p, port: 9090}], health: {tcp: p}}
    resources: {memory: 1Gi}
    replicas: 3
    expose: [{port: http, host: shop.example.com, publish: 8080}]
    after: {migrate: success, store: healthy}
  store: {image: shop/store:2, ports: [9000], volumes: {/data: store-data}}
tasks:
  migrate: {image: shop/web:1, command: [migrate], after: {store: healthy}, timeout: 10m, attempts: 3}
";

#[test]
fn the_shop_becomes_objects() {
    let shop = translated(SHOP);
    let kinds: Vec<String> =
        shop.desired.resources.iter().map(|resource| resource.key.kind.clone()).collect();
    assert_eq!(
        kinds,
        [
            "Namespace",
            "PersistentVolumeClaim",
            "Service",
            "Deployment",
            "Job",
            "ConfigMap",
            "Secret",
            "Service",
            "Deployment",
            "Ingress"
        ]
    );
    assert!(!shop.is_blocked(), "{:#?}", shop.findings);
    let web = object(&shop, "Deployment", "web");
    assert_eq!((&web["apiVersion"], &web["kind"]), (&json!("apps/v1"), &json!("Deployment")));
    assert_eq!(web["metadata"]["namespace"], "shop");
    let selector = json!({labels::APP: "shop", labels::ENVIRONMENT: "default", labels::SERVICE: "web"});
    assert_eq!(web["spec"]["selector"], json!({"matchLabels": selector}));
    assert_eq!(web["spec"]["replicas"], 3);
    assert_eq!(web["spec"]["progressDeadlineSeconds"], 600);
    assert_eq!(
        web["spec"]["strategy"],
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 0}})
    );
    assert_eq!(web["metadata"]["annotations"][labels::ROLLBACK], "on_failure");
    let pod = pod(&shop, "Deployment", "web");
    let (proxy, main) = (&pod["initContainers"][0], &pod["containers"][0]);
    assert_eq!((&proxy["name"], &proxy["restartPolicy"]), (&json!("proxy"), &json!("Always")));
    assert_eq!(proxy["startupProbe"]["tcpSocket"], json!({"port": 9090}));
    assert_eq!(main["startupProbe"]["failureThreshold"], 6);
    assert_eq!(
        main["livenessProbe"],
        json!({"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 2, "timeoutSeconds": 5,
            "failureThreshold": 3, "successThreshold": 1})
    );
    assert_eq!(
        main["env"][2],
        json!({"name": "PW", "valueFrom": {"secretKeyRef": {"name": secret(&shop), "key": "PW"}}})
    );
    assert_eq!(main["env"][0]["valueFrom"]["secretKeyRef"], json!({"name": "shop-db", "key": "key"}));
    assert_eq!(main["env"][1], json!({"name": "PRICE", "value": "$$(5)"}));
    assert_eq!(main["env"][3]["value"], "http://store:9000");
    assert_eq!(main["resources"], json!({"requests": {"cpu": "250m"}, "limits": {"cpu": "1500m"}}));
    assert_eq!(pod["resources"], json!({"requests": {"memory": "1Gi"}, "limits": {"memory": "1Gi"}}));
    assert_eq!(pod["terminationGracePeriodSeconds"], 65);
    assert_eq!(main["lifecycle"]["preStop"]["sleep"]["seconds"], 5);
    assert_eq!(main["volumeMounts"][0]["subPath"], "web-etc-web.conf");
    let job = object(&shop, "Job", "migrate");
    assert_eq!(
        (&job["spec"]["backoffLimit"], &job["spec"]["activeDeadlineSeconds"]),
        (&json!(2), &json!(1800))
    );
    assert_eq!(job["spec"]["template"]["spec"]["containers"][0]["args"], json!(["migrate"]));
    let claim = object(&shop, "PersistentVolumeClaim", "store-data");
    assert_eq!(claim["metadata"]["labels"][labels::VOLUME], "store-data");
    assert_eq!(claim["spec"]["accessModes"], json!(["ReadWriteOnce"]));
    assert_eq!(object(&shop, "Ingress", "web")["spec"]["rules"][0]["host"], "shop.example.com");
    let main = shop.desired.get(&ResourceKey::new("Deployment", "web")).unwrap();
    assert_eq!(main.summary, "×3     shop/web:1   → http://shop.example.com");
    for needed in ["Namespace/shop", "Service/web", "Job/migrate", "Deployment/store"] {
        assert!(main.depends_on.iter().any(|key| key.to_string() == needed), "{needed}");
    }
}

fn secret(translation: &Translation) -> String {
    let secret = translation.desired.resources.iter().find(|resource| resource.key.kind == "Secret").unwrap();
    assert_eq!(secret.document["immutable"], true);
    assert!(secret.document.get("data").is_none());
    let references = &secret.document["metadata"]["annotations"][labels::VARIABLES];
    assert_eq!(*references, "{\"PW\":\"env:DB_PASSWORD\"}");
    secret.key.name.clone()
}

#[test]
fn a_predecessor_is_part_of_the_revision() {
    let hash = |yaml: &str| {
        let shop = translated(yaml);
        let template = object(&shop, "Deployment", "web")["spec"]["template"].clone();
        let hash = template["metadata"]["annotations"][labels::HASH].as_str().unwrap().to_owned();
        assert_eq!(hash, revision::hash(&template));
        hash
    };
    let before = hash(SHOP);
    assert_ne!(before, hash(&SHOP.replace("[migrate]", "[migrate, --all]")));
    assert_ne!(before, hash(&SHOP.replace("verbose", "quiet")));
    assert_eq!(before, hash(&SHOP.replace("replicas: 3", "replicas: 4")));
    assert_eq!(before, hash(&SHOP.replace("host: shop.example.com", "prefix: /shop")));
    let shop = translated(SHOP);
    let after =
        &object(&shop, "Deployment", "web")["spec"]["template"]["metadata"]["annotations"][labels::AFTER];
    let after: Value = serde_json::from_str(after.as_str().unwrap()).unwrap();
    assert_eq!(after["migrate"]["condition"], "success");
    assert_eq!(after["migrate"]["hash"].as_str().unwrap().len(), 64);
}

#[test]
fn containers_get_their_roles() {
    // (the containers, init containers with whether they go on, main containers)
    type Row<'a> = (&'a str, &'a [(&'a str, bool)], &'a [&'a str]);
    let table: [Row<'_>; 5] = [
        ("a: {image: a}, b: {image: b}", &[], &["a", "b"]),
        ("a: {image: a}, b: {image: b, essential: false}", &[("b", true)], &["a"]),
        ("a: {image: a, depends_on: {b: start}}, b: {image: b}", &[("b", true)], &["a"]),
        (
            "a: {image: a, depends_on: {c: success}}, b: {image: b, essential: false}, c: {image: c, depends_on: {b: start}}",
            &[("b", true), ("c", false)],
            &["a"],
        ),
        ("a: {image: a, essential: false, depends_on: {b: start}}, b: {image: b}", &[("b", true)], &["a"]),
    ];
    for (containers, first, mains) in table {
        let shop = translated(&format!("app: shop\nservices: {{web: {{containers: {{{containers}}}}}}}"));
        let pod = pod(&shop, "Deployment", "web");
        let list = |key: &str| pod[key].as_array().cloned().unwrap_or_default();
        let names: Vec<(String, bool)> = list("initContainers")
            .iter()
            .map(|one| (one["name"].as_str().unwrap().to_owned(), one["restartPolicy"] == "Always"))
            .collect();
        let names: Vec<(&str, bool)> =
            names.iter().map(|(name, goes_on)| (name.as_str(), *goes_on)).collect();
        assert_eq!(names, first, "{containers}");
        let last = list("containers");
        let last: Vec<&str> = last.iter().map(|one| one["name"].as_str().unwrap()).collect();
        assert_eq!(last, mains, "{containers}");
    }
    // A run ends with its essential container, whoever waits for it.
    let yaml = "app: shop\ntasks: {t: {containers: {a: {image: a}, b: {image: b, essential: false, depends_on: {a: start}}}}}";
    let shop = translated(yaml);
    assert_eq!(pod(&shop, "Job", "t")["containers"][0]["name"], "a");
    let late = (FindingKind::Adapted, "tasks.t.containers.b.depends_on.a".to_owned());
    assert_eq!(found(&shop, "kubernetes/order"), [late]);
}

#[test]
fn an_exit_code_is_forgotten_in_a_shell() {
    let yaml = "app: shop\nservices: {web: {containers: {a: {image: a, depends_on: {b: complete}}, \
        b: {image: b, entrypoint: [/prepare], command: [all]}}}}";
    let shop = translated(yaml);
    let first = &pod(&shop, "Deployment", "web")["initContainers"][0];
    assert_eq!(first["command"], json!(["/bin/sh", "-c", "\"$@\" || true", "sh", "/prepare"]));
    assert_eq!(first["args"], json!(["all"]));
    assert!(first.get("restartPolicy").is_none());
}

#[test]
fn volumes_are_what_they_are_called() {
    let yaml = "app: shop\nservices: {web: {image: a, replicas: 2, volumes: {/d: data, /h: host, /t: {name: tmp}, /e: old, /f: files, \
        /n: {name: new, read_only: true, subpath: x}}}}\n\
        volumes: {host: {host: /srv}, tmp: {ephemeral: {medium: memory, size: 1Mi}}, old: {existing: media}, \
        files: {efs: {file_system: fs-1, access_point: fsap-1, iam: true}}, new: {ebs: {size: 5Gi, volume_type: gp3}}}";
    let shop = translated(yaml);
    assert!(!shop.is_blocked(), "{:#?}", shop.findings);
    let pod = pod(&shop, "Deployment", "web");
    let class = shop.desired.resources.iter().find(|resource| resource.key.kind == "StorageClass").unwrap();
    let volumes = json!([
        {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
        {"name": "old", "persistentVolumeClaim": {"claimName": "media"}},
        {"name": "files", "persistentVolumeClaim": {"claimName": "files"}},
        {"name": "host", "hostPath": {"path": "/srv"}},
        {"name": "new", "ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "5Gi"}}, "storageClassName": class.key.name}}}},
        {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
    ]);
    assert_eq!(pod["volumes"], volumes);
    assert_eq!(
        pod["containers"][0]["volumeMounts"][4],
        json!({"name": "new", "mountPath": "/n", "readOnly": true, "subPath": "x"})
    );
    let spec = |kind: &str, name: &str| &object(&shop, kind, name)["spec"];
    let bound = spec("PersistentVolumeClaim", "files")["volumeName"].as_str().unwrap();
    assert!(bound.starts_with("shop-files-efs-"), "{bound}");
    assert_eq!(spec("PersistentVolume", bound)["csi"]["volumeHandle"], "fs-1::fsap-1");
    assert_eq!(spec("PersistentVolumeClaim", "data")["accessModes"], json!(["ReadWriteMany"]));
    assert_eq!(found(&shop, "kubernetes/access-mode"), [(FindingKind::Adapted, "volumes.data".to_owned())]);
}

#[test]
fn the_rest_of_a_service_has_its_places() {
    let yaml = "app: shop\nservices: {web: {image: a, mode: daemon, ports: [{name: http, port: 80}, {port: 53, protocol: udp}], \
        discovery: {via: records}, expose: [{port: http, scheme: tcp, public: true}], \
        identity: {aws_role: \"arn:aws:iam::111122223333:role/shop-web\"}, \
        placement: {spread: [zone], nodes: {disk: ssd}, spot: 100%}, platform: {architecture: arm64}, \
        kubernetes: {disruption_min_available: 50%, tolerations: [{key: spot}], fs_group: 5}, \
        network: {dns: [10.0.0.2], extra_hosts: {old.example.com: 10.0.0.7}}, stop: {drain: 0s}}}";
    let shop = translated(yaml);
    assert!(!shop.is_blocked(), "{:#?}", shop.findings);
    let daemon = object(&shop, "DaemonSet", "web");
    assert_eq!(
        daemon["spec"]["updateStrategy"]["rollingUpdate"],
        json!({"maxSurge": "100%", "maxUnavailable": 0})
    );
    let pod = &daemon["spec"]["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], "web");
    assert_eq!(pod["nodeSelector"], json!({"disk": "ssd", "kubernetes.io/arch": "arm64"}));
    assert_eq!(pod["tolerations"], json!([{"key": "spot", "operator": "Exists"}]));
    assert_eq!(pod["securityContext"], json!({"fsGroup": 5}));
    assert_eq!(pod["hostAliases"], json!([{"ip": "10.0.0.7", "hostnames": ["old.example.com"]}]));
    assert_eq!(pod["dnsPolicy"], "None");
    assert_eq!(pod["terminationGracePeriodSeconds"], 30);
    assert!(pod["containers"][0].get("lifecycle").is_none());
    let service = &object(&shop, "Service", "web")["spec"];
    assert_eq!(service["clusterIP"], "None");
    assert_eq!(
        service["ports"],
        json!([{"name": "http", "port": 80, "protocol": "TCP"}, {"name": "udp-53", "port": 53, "protocol": "UDP"}])
    );
    assert_eq!(object(&shop, "Service", "web-public")["spec"]["type"], "LoadBalancer");
    assert_eq!(object(&shop, "PodDisruptionBudget", "web")["spec"]["minAvailable"], "50%");
}

#[test]
fn scheduled_tasks_are_cron_jobs() {
    let yaml = "app: shop\ntasks: {report: {image: a, schedule: {cron: \"0 3 * * 7\", timezone: Europe/Berlin, overlap: forbid}}}";
    let shop = translated(yaml);
    let spec = &object(&shop, "CronJob", "report")["spec"];
    assert_eq!((&spec["schedule"], &spec["timeZone"]), (&json!("0 3 * * 0"), &json!("Europe/Berlin")));
    assert_eq!(
        (&spec["concurrencyPolicy"], &spec["successfulJobsHistoryLimit"]),
        (&json!("Forbid"), &json!(3))
    );
    let template = &spec["jobTemplate"]["spec"]["template"];
    assert_eq!(template["spec"]["restartPolicy"], "Never");
    assert_eq!(template["metadata"]["labels"][labels::TASK], "report");
}

#[test]
fn rendered_manifests_hold_no_secret_and_no_blank() {
    let shop = translated(SHOP);
    let files = render::manifests(&shop.desired);
    let text = &files[0].text;
    assert_eq!(files[0].name, "kubernetes.yaml");
    assert!(text.contains("\n#   kubectl --namespace shop create secret generic web-secrets-"), "{text}");
    assert!(text.contains(" --from-literal=\"PW=$DB_PASSWORD\"\n"));
    assert!(!text.contains("kind: Secret\n") && !text.contains("straddle"), "{text}");
    assert!(text.contains("# What it needs first: migrate (success), store (healthy)\n"));
    for resource in &shop.desired.resources {
        blanks(&resource.document, &resource.key.to_string());
    }
}

/// Nothing empty is sent: it would become ours.
fn blanks(value: &Value, path: &str) {
    match value {
        Value::Null => panic!("{path} is null"),
        Value::Array(items) => {
            assert!(!items.is_empty(), "{path} is empty");
            items.iter().enumerate().for_each(|(at, item)| blanks(item, &format!("{path}/{at}")));
        }
        Value::Object(map) => {
            assert!(!map.is_empty(), "{path} is empty");
            map.iter().for_each(|(key, value)| blanks(value, &format!("{path}/{key}")));
        }
        _ => {}
    }
}

#[test]
fn what_a_registry_says_stands_beside_the_tag() {
    const SPEC: &str = "app: shop\nservices: {web: {image: \"r.example.com/web:1\"}, pinned: {image: \"r.example.com/web:1@sha256:\
                        1111111111111111111111111111111111111111111111111111111111111111\"}}";
    let with = |digest: &str| {
        let known = facts::assumed().with(&facts::image("r.example.com/web:1"), digest);
        translated_by(SPEC, &known, &KubernetesConfig::default())
    };
    let (one, two) = (with("sha256:aa"), with("sha256:bb"));
    let image = |translation: &Translation, name: &str| {
        pod(translation, "Deployment", name)["containers"][0]["image"].as_str().unwrap().to_owned()
    };
    assert_eq!(image(&one, "web"), "r.example.com/web:1@sha256:aa");
    assert_eq!(image(&two, "web"), "r.example.com/web:1@sha256:bb");
    assert_eq!(image(&translated(SPEC), "web"), "r.example.com/web:1");
    assert!(
        image(&one, "pinned")
            .ends_with(":1@sha256:1111111111111111111111111111111111111111111111111111111111111111")
    );
    let hash = |translation: &Translation, name: &str| {
        let template = &object(translation, "Deployment", name)["spec"]["template"];
        template["metadata"]["annotations"][labels::HASH].clone()
    };
    assert_ne!(hash(&one, "web"), hash(&two, "web"), "another image is no other revision");
    assert_eq!(hash(&one, "pinned"), hash(&two, "pinned"));
}
