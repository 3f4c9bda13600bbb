//! From an application to documents for one engine; pure.
//!
//! Every struct of the model is taken apart without `..`, so that a new field does not compile until it is either written to a document
//! (and its place noted) or answered with a finding.

mod container;
mod health;
mod mount;
mod refused;
mod secret;
pub(crate) mod service;
mod template;

use std::collections::{BTreeMap, BTreeSet};

use straddle_core::{
    finding::Note,
    model::{App, AppSpec, Volume, VolumeKind, WorkloadKind},
    path::FieldPath,
    platform::{Desired, Facts, Footprint, Output, Place, Resource, ResourceKey, Translation},
    scope::Scope,
    spec::Template,
    units::Name,
};

use crate::{
    document::{NetworkDocument, VolumeDocument, to_value},
    facts::Engine,
    names::{self, Names},
};

pub(crate) const NETWORK: &str = "network";
pub(crate) const SERVICE: &str = "service";
pub(crate) const TASK: &str = "task";
pub(crate) const VOLUME: &str = "volume";

/// What all parts of a translation look at.
struct Around<'a> {
    app: &'a App,
    names: Names,
    engine: Engine,
    facts: &'a Facts,
    has_helper: bool,
    /// The hashes of services and tasks that are translated already.
    hashes: BTreeMap<String, String>,
    /// Volumes that something mounts.
    mounted: BTreeSet<String>,
    /// The services and tasks that wait for another one, by its name.
    followers: BTreeMap<&'a str, Vec<&'a str>>,
}

impl Around<'_> {
    /// Fills the addresses of services into a text; one that does not resolve gets a finding at the field.
    fn fill(&self, out: &mut Output, field: &FieldPath, text: &Template) -> String {
        self.app.fill(text, |name, _| Ok(name.to_owned())).unwrap_or_else(|why| {
            out.blocked("docker/unresolvable-service", field.clone(), why, "name its ports: `ports: [8080]`");
            String::new()
        })
    }
}

/// Translates an application.
pub(crate) fn translate(app: &App, scope: &Scope, facts: &Facts, has_helper: bool) -> Translation {
    let mut out = Output::default();
    let mut around = Around {
        app,
        names: Names::new(scope),
        engine: Engine::of(facts),
        facts,
        has_helper,
        hashes: BTreeMap::new(),
        mounted: BTreeSet::new(),
        followers: app.followers(),
    };
    let AppSpec { app: name, services: _, tasks: _, volumes, accept: _ } = &**app;
    let network = ResourceKey::new(NETWORK, name.as_str());
    let place = Place::root(network.clone()).child("name");
    out.map(FieldPath::root().child("app"), &[&place]);
    let document = to_value(&NetworkDocument { name: around.names.network().to_owned() });
    let mut resources =
        vec![Resource { key: network.clone(), document, depends_on: Vec::new(), summary: String::new() }];
    names_of_workloads(&mut out, app);
    let mut workloads = Vec::new();
    for workload in app.in_order() {
        let (resource, hash) = match workload.kind {
            WorkloadKind::Service(service) => service::service(&mut out, &mut around, workload.name, service),
            WorkloadKind::Task(task) => service::task(&mut out, &mut around, workload.name, task),
        };
        around.hashes.insert(workload.name.to_string(), hash);
        workloads.push(resource);
    }
    resources.extend(volume_resources(&mut out, &around, volumes));
    let made = resources.iter().skip(1).map(|resource| &resource.key);
    let volumes: BTreeMap<String, ResourceKey> =
        made.map(|key| (around.names.volume(&key.name), key.clone())).collect();
    for mut resource in workloads {
        resource.depends_on.insert(0, network.clone());
        let used: BTreeSet<&ResourceKey> =
            mounted(&resource).filter_map(|source| volumes.get(source)).collect();
        resource.depends_on.extend(used.into_iter().cloned());
        resources.push(resource);
    }
    let mut objects: BTreeMap<String, u32> = BTreeMap::new();
    for resource in &resources {
        *objects.entry(resource.key.kind.clone()).or_default() += 1;
    }
    let Output { findings, mappings } = out;
    Translation {
        desired: Desired { resources },
        findings,
        notes: notes(),
        mappings,
        footprint: Footprint { objects, permissions: vec!["access to the engine's API".to_owned()] },
    }
}

/// Returns what a document mounts, as the engine calls it.
fn mounted(resource: &Resource) -> impl Iterator<Item = &str> {
    let containers =
        resource.document.pointer("/template/containers").and_then(|containers| containers.as_object());
    let mounts = containers
        .into_iter()
        .flat_map(serde_json::Map::values)
        .filter_map(|container| container.get("volumes").and_then(|volumes| volumes.as_object()));
    mounts.flat_map(serde_json::Map::values).filter_map(|mount| mount.get("source")?.as_str())
}

fn names_of_workloads(out: &mut Output, app: &App) {
    const FIX: &str = "give one of them another name";
    let all: Vec<_> = app.workloads().collect();
    let places: BTreeMap<&str, usize> =
        all.iter().enumerate().map(|(at, workload)| (workload.name.as_str(), at)).collect();
    // Names can only meet where one begins with the other and a dash.
    let mut pairs = BTreeSet::new();
    for (at, workload) in all.iter().enumerate() {
        let name = workload.name.as_str();
        for (end, _) in name.match_indices('-') {
            let short = places.get_key_value(&name[..end]);
            if let Some((_, other)) = short.filter(|(short, _)| names::collide(short, name)) {
                pairs.insert((at.min(*other), at.max(*other)));
            }
        }
    }
    for (at, workload) in all.iter().enumerate() {
        if names::is_reserved(workload.name.as_str()) {
            out.blocked(
                "docker/name-collision",
                workload.path(),
                "containers of this name hold leases",
                "give it another name",
            );
        }
        for (_, other) in pairs.range((at, 0)..(at + 1, 0)) {
            let message = format!("its containers could get the names of those of `{}`", all[*other].name);
            out.blocked("docker/name-collision", workload.path(), message, FIX);
        }
    }
}

/// Makes the persistent volumes, those that are only mounted by name included.
fn volume_resources(
    out: &mut Output,
    around: &Around<'_>,
    declared: &BTreeMap<Name, Volume>,
) -> Vec<Resource> {
    let mut resources = Vec::new();
    let fallback = Volume::default();
    let names: BTreeSet<&str> =
        declared.keys().map(Name::as_str).chain(around.mounted.iter().map(String::as_str)).collect();
    for name in names {
        let volume = declared.get(name).unwrap_or(&fallback);
        let path = FieldPath::root().child("volumes").child(name);
        let key = ResourceKey::new(VOLUME, name);
        mount::volume(out, &path, &Place::root(key.clone()), volume, around.mounted.contains(name));
        if matches!(volume.kind(), VolumeKind::Persistent) {
            let document =
                to_value(&VolumeDocument { name: around.names.volume(name), driver: volume.class.clone() });
            resources.push(Resource { key, document, depends_on: Vec::new(), summary: String::new() });
        }
    }
    resources
}

fn notes() -> Vec<Note> {
    vec![
        Note::new(
            "docker/restart-in-place",
            "an essential container that exits is restarted in place; the rest of its task goes on",
        ),
        Note::new(
            "docker/unwatched-health",
            "a replica that turns unhealthy after its rollout keeps its traffic until the next command replaces it",
        ),
        Note::new(
            "docker/unwatched-rollback",
            "a failed rollout is rolled back by the command that watches it; nobody else does",
        ),
        Note::new(
            "docker/door",
            "a service that has ports gets one more container, which passes connections on to its healthy replicas",
        ),
        Note::new(
            "docker/image-health",
            "a health check that an image brings is switched off; only those of the spec count",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use straddle_core::{finding::FindingKind, spec};

    use super::*;
    use crate::document::{MountKind, ServiceDocument, from_value};

    fn translated(yaml: &str, facts: &Facts) -> Translation {
        let spec: AppSpec = spec::from_yaml(yaml).unwrap_or_else(|problems| panic!("{problems}"));
        let app = spec.check().unwrap_or_else(|violations| panic!("{violations}"));
        translate(&app, &Scope::new(&app.app), facts, true)
    }

    fn service(translation: &Translation, name: &str) -> ServiceDocument {
        from_value(&translation.desired.get(&ResourceKey::new(SERVICE, name)).unwrap().document).unwrap()
    }

    fn found(translation: &Translation, code: &str) -> Vec<(FindingKind, String)> {
        let findings = translation.findings.iter().filter(|finding| finding.code == code);
        findings.map(|finding| (finding.kind, finding.path.to_string())).collect()
    }

    const SHOP: &str = "\
app: shop
services:
  web:
    containers:
      web:
        image: shop/web:1
        ports: [{name: http, port: 8080}]
        env: {STORE: \"http://${service.store.host}:${service.store.port}\"}
        health: {http: /healthz, exec: [/web, --check], interval: 2s}
        depends_on: {proxy: healthy}
        cpu: {reservation: 250m, limit: 1.5}
      proxy: {image: shop/proxy:2, ports: [{name: p, port: 9090}], health: {tcp: p}}
    resources: {memory: 1Gi}
    replicas: 3
    expose: [{port: http, host: shop.example.com, publish: 8080}]
    after: {migrate: success, store: healthy}
  store: {image: shop/store:2, ports: [9000], volumes: {/data: store-data}}
tasks:
  migrate: {image: shop/web:1, command: [migrate], after: {store: healthy}}
";

    #[test]
    fn the_shop_becomes_documents() {
        let facts = crate::facts::assumed().with("image:shop/web:1", "sha256:aa");
        let shop = translated(SHOP, &facts);
        let keys: Vec<String> =
            shop.desired.resources.iter().map(|resource| resource.key.to_string()).collect();
        assert_eq!(
            keys,
            ["network/shop", "volume/store-data", "service/store", "task/migrate", "service/web"]
        );
        let web = service(&shop, "web");
        let container = &web.template.containers["web"];
        assert_eq!(container.env["STORE"], "http://store:9000");
        assert_eq!(container.image_id.as_deref(), Some("sha256:aa"));
        assert_eq!(container.health.as_ref().unwrap().test, ["CMD", "/web", "--check"]);
        assert_eq!((container.cpu_shares, container.nano_cpus), (Some(256), Some(1_500_000_000)));
        assert_eq!(container.memory, Some(1 << 30));
        let probe = &web.template.containers["proxy"].health.as_ref().unwrap().test;
        assert_eq!(probe[..6], ["CMD", "/straddle/helper", "probe", "tcp", "--port", "9090"]);
        assert_eq!(web.door.as_ref().unwrap().ports["tcp/8080"].publish[0].port, 8080);
        assert_eq!(web.template.after["migrate"].condition, "success");
        assert_eq!(
            service(&shop, "store").template.containers["store"].volumes["/data"].source,
            "shop-store-data"
        );
        assert_eq!(shop.desired.resources[4].summary, "×3     shop/web:1   → http://localhost:8080");
        assert!(!shop.is_blocked(), "{:#?}", shop.findings);
        let elsewhere = (FindingKind::Elsewhere, "services.web.containers.web.health.http".to_owned());
        assert_eq!(found(&shop, "docker/health-kind"), [elsewhere]);
        let shared = (FindingKind::Adapted, "services.web.resources.memory".to_owned());
        assert_eq!(found(&shop, "docker/task-resources"), [shared]);
    }

    #[test]
    fn a_predecessor_is_part_of_the_revision() {
        let facts = crate::facts::assumed();
        let before = service(&translated(SHOP, &facts), "web");
        let after = service(&translated(&SHOP.replace("[migrate]", "[migrate, --all]"), &facts), "web");
        assert_eq!(before.template.containers, after.template.containers);
        assert_ne!(before.template.hash(), after.template.hash());
        let scaled = service(&translated(&SHOP.replace("replicas: 3", "replicas: 4"), &facts), "web");
        assert_eq!(before.template.hash(), scaled.template.hash());
    }

    #[test]
    fn what_docker_cannot_do_is_blocked_with_a_way_out() {
        for (yaml, code) in [
            ("services: {web: {image: a, secrets: {PW: \"aws-ssm:/x\"}}}", "docker/secret-source"),
            ("services: {web: {image: a, rollout: {strategy: blue_green}}}", "docker/strategy"),
            ("services: {web: {image: a}, web-1: {image: a}}", "docker/name-collision"),
            ("services: {web: {image: a, memory: {limit: 4Mi}}}", "docker/least-memory"),
            ("services: {web: {image: a, platform: {os: windows}}}", "docker/os"),
            (
                "services: {web: {image: a, volumes: {/x: d}}}\nvolumes: {d: {efs: {file_system: fs-1}}}",
                "docker/cloud-volume",
            ),
        ] {
            let translation = translated(&format!("app: shop\n{yaml}"), &crate::facts::assumed());
            let finding = translation.findings.iter().find(|finding| finding.blocks());
            let finding = finding.unwrap_or_else(|| panic!("{yaml}: {:#?}", translation.findings));
            assert_eq!((finding.code.as_ref(), finding.fix.is_some()), (code, true), "{yaml}");
        }
    }

    #[test]
    fn volumes_are_what_they_are_called() {
        let yaml = "app: shop\nservices: {web: {image: a, volumes: {/d: data, /h: host, /t: {name: tmp}, /e: old}}}\n\
            volumes: {host: {host: /srv}, tmp: {ephemeral: {medium: memory, size: 1Mi}}, old: {existing: media}}";
        let mounts = service(&translated(yaml, &crate::facts::assumed()), "web").template.containers["web"]
            .volumes
            .clone();
        let kinds: Vec<_> =
            mounts.values().map(|mount| (mount.kind, mount.source.as_str(), mount.size)).collect();
        assert_eq!(
            kinds,
            [
                (MountKind::Volume, "shop-data", None),
                (MountKind::Existing, "media", None),
                (MountKind::Bind, "/srv", None),
                (MountKind::Tmpfs, "", Some(1 << 20)),
            ]
        );
    }
}
