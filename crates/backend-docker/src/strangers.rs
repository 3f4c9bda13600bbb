//! What has a name that an application is about to give, and belongs to somebody else: found before anything is changed.

use std::collections::BTreeSet;

use futures_util::try_join;
use straddle_core::{
    error::{Error, ErrorKind, Result},
    plan::{Action, Step},
    scope::Scope,
};

use crate::{
    client::Client,
    diff::ServiceStep,
    document::{NetworkDocument, ServiceDocument, TemplateDocument, VolumeDocument, from_value},
    labels::{self, Labels},
    names::{self, Names, Place},
    observe::{Live, LiveService},
    translate::{NETWORK, SERVICE, VOLUME},
};

/// How many of them are named; more would not help.
const SHOWN: usize = 10;

/// A kind of object and a name.
type Named = (&'static str, String);

/// What others have that is named like an application.
#[derive(Debug, Default)]
pub(crate) struct Strangers(BTreeSet<Named>);

impl Strangers {
    /// Reads what is named like an application and does not carry its labels: three calls.
    pub(crate) async fn read(client: &Client, scope: &Scope) -> Result<Self> {
        let prefix = scope.prefix();
        let (containers, networks, volumes) = try_join!(
            client.containers_named(&prefix),
            client.networks_named(&prefix),
            client.volumes_named(&prefix)
        )?;
        let is_strange = |labels: &Labels| !labels::is_owned(scope, labels);
        let containers = containers.into_iter().filter(|one| is_strange(&one.labels));
        let networks = networks.into_iter().filter(|one| is_strange(&one.labels));
        let volumes = volumes.into_iter().filter(|one| is_strange(&one.labels));
        Ok(Self(
            containers
                .map(|one| ("container", one.name))
                .chain(networks.map(|one| ("network", one.name)))
                .chain(volumes.map(|one| ("volume", one.name)))
                .collect(),
        ))
    }

    /// Checks that every name that the steps give is free; says all that are not.
    pub(crate) fn make_room(&self, steps: &[Step], live: &Live, names: &Names) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut given = BTreeSet::new();
        for step in steps.iter().filter(|step| step.action != Action::Delete) {
            match step.resource.kind.as_str() {
                NETWORK => {
                    let NetworkDocument { name } = from_value(&step.payload)?;
                    given.insert(("network", name));
                }
                VOLUME => {
                    let VolumeDocument { name, driver: _ } = from_value(&step.payload)?;
                    given.insert(("volume", name));
                }
                SERVICE => {
                    let ServiceStep { document, .. } = from_value(&step.payload)?;
                    let nothing = LiveService::default();
                    let service = live.services.get(&step.resource.name).unwrap_or(&nothing);
                    given.extend(of_service(names, &step.resource.name, &document, service));
                }
                // A run takes the first number that is free.
                _ => {}
            }
        }
        let found: Vec<String> =
            given.intersection(&self.0).map(|(kind, name)| format!("{kind} {name}")).collect();
        if found.is_empty() { Ok(()) } else { Err(taken(&found)) }
    }
}

/// Returns the names that a service may get on its way to a document.
fn of_service(names: &Names, name: &str, document: &ServiceDocument, service: &LiveService) -> Vec<Named> {
    let mut given = Vec::new();
    if document.door.is_some() && service.door.is_none() {
        given.push(("container", names.door(name)));
    }
    let template = &document.template;
    let revision = service.number_for(&template.hash());
    // While it changes, there are at most this many of the revision, whose names begin anew where some are taken by what is there.
    let most = service.groups.len() + document.replicas as usize * 2 + 1;
    for ordinal in 1..=u32::try_from(most).unwrap_or(u32::MAX) {
        given.extend(of_group(template, &names.group(name, Place::Live { revision, ordinal })));
    }
    given.extend(of_group(template, &names.group(name, Place::Failed { revision })));
    if let Some(current) = service.current() {
        let kept = Place::Kept { revision: current.revision() };
        given.extend(of_group(&current.template, &names.group(name, kept)));
    }
    given
}

fn of_group(template: &TemplateDocument, group: &str) -> Vec<Named> {
    let mut given = vec![("container", group.to_owned())];
    if template.needs_hold() {
        given.extend(template.containers.keys().map(|name| ("container", names::member(group, name))));
    }
    given.extend(template.volumes.keys().map(|name| ("volume", names::member(group, name))));
    given
}

/// The error of names that are needed and belong to somebody else, each with its kind.
pub(crate) fn taken(taken: &[String]) -> Error {
    let mut shown = taken.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if taken.len() > SHOWN {
        shown.push_str(&format!(" and {} more", taken.len() - SHOWN));
    }
    let (what, it) =
        if taken.len() == 1 { ("exists already and was", "it") } else { ("exist already and were", "them") };
    Error::new(ErrorKind::Conflict, format!("{shown} {what} not made by Straddle for this application"))
        .with_help(format!("remove or rename {it}, or give the application another name"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use straddle_core::platform::ResourceKey;

    use super::*;
    use crate::document::{ContainerDocument, DoorDocument, RolloutDocument, to_value};

    fn step(kind: &str, name: &str, payload: serde_json::Value) -> Step {
        Step {
            id: 1,
            action: Action::Create,
            resource: ResourceKey::new(kind, name),
            summary: String::new(),
            revision: None,
            changes: Vec::new(),
            depends_on: Vec::new(),
            payload,
        }
    }

    #[test]
    fn every_name_that_is_taken_is_said_at_once() {
        let names = Names::new(&Scope::new(&"shop".parse().unwrap()));
        let container = || ContainerDocument { image: "a".into(), ..ContainerDocument::default() };
        let document = ServiceDocument {
            template: TemplateDocument {
                containers: [("web".to_owned(), container()), ("proxy".to_owned(), container())].into(),
                ..TemplateDocument::default()
            },
            replicas: 2,
            door: Some(DoorDocument::default()),
            rollout: RolloutDocument::default(),
            images: Default::default(),
            port_names: Default::default(),
        };
        let payload = to_value(&ServiceStep { document, replace: Vec::new(), pinned: false });
        let steps = [step(NETWORK, "shop", json!({"name": "shop"})), step(SERVICE, "web", payload)];
        let strangers = |named: &[Named]| Strangers(named.iter().cloned().collect());
        let taken = [
            ("container", "shop-web-1-2-proxy".to_owned()),
            ("container", "shop-web".to_owned()),
            ("network", "shop".to_owned()),
        ];
        let error = strangers(&taken).make_room(&steps, &Live::default(), &names).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        for (kind, name) in taken {
            assert!(error.message().contains(&format!("{kind} {name}")), "{error}");
        }
        let others = [("container", "shop-web-9-1".to_owned()), ("volume", "shop".to_owned())];
        assert!(strangers(&others).make_room(&steps, &Live::default(), &names).is_ok());
    }
}
