//! The steps of a plan while it is made.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Target, Work, fingerprint};
use crate::{
    error::Result,
    finding::Finding,
    memory::{
        BACKEND,
        document::{ExposeDocument, Settings, Template, read},
        world::{GroupState, Role, ServiceRecord, State},
    },
    plan::{self, Action, FieldChange, PLAN_VERSION, Plan, RevisionChange, Step, changes},
    platform::ResourceKey,
    scope::Scope,
};

/// Collects steps.
pub(super) struct Steps<'a> {
    pub(super) state: &'a State,
    pub(super) scope: &'a Scope,
    steps: plan::Steps,
}

impl<'a> Steps<'a> {
    pub(super) fn new(state: &'a State, scope: &'a Scope) -> Self {
        Self { state, scope, steps: plan::Steps::default() }
    }

    /// Notes that a resource is as it should be.
    pub(super) fn unchanged(&mut self) {
        self.steps.unchanged += 1;
    }

    /// Adds a step, after those before it that do something to the resources in `after`.
    pub(super) fn add(
        &mut self,
        action: Action,
        resource: &ResourceKey,
        after: &[ResourceKey],
        work: &Work,
    ) -> &mut Step {
        let before: Vec<u32> = after.iter().filter_map(|key| self.steps.id_of(key)).collect();
        // All keys of work are texts, so that it can always be written down.
        let payload = serde_json::to_value(work).unwrap_or_default();
        let step = self.steps.push(action, resource, "", payload);
        step.depends_on = before;
        step
    }

    /// Adds the step that makes a service what it should be; `None` where it is so.
    pub(super) fn roll(&mut self, target: Target, after: &[ResourceKey]) -> Result<Option<&mut Step>> {
        let settings: Settings = read(&target.settings)?;
        self.steps.endpoints.extend(settings.expose.iter().filter_map(ExposeDocument::endpoint));
        let record = self.state.services.get(&(self.scope.clone(), target.service.clone()));
        let hash = target.template.hash();
        if record.is_some_and(|record| is_so(self.state, self.scope, record, &target, &hash)) {
            self.unchanged();
            return Ok(None);
        }
        let from = record.and_then(|record| record.current);
        let to = record.map_or(1, |record| record.number_of(&hash).unwrap_or(record.highest + 1));
        let changes = record.map(|record| differences(record, &target)).unwrap_or_default();
        let summary = format!("×{}     {}", target.desired, target.template.image_names().join(", "));
        let action = if from.is_some() { Action::Update } else { Action::Create };
        let key = ResourceKey::new("service", target.service.clone());
        let step = self.add(action, &key, after, &Work::Roll(Box::new(target)));
        step.summary = summary;
        step.revision = Some(RevisionChange { from, to });
        step.changes = changes;
        Ok(Some(step))
    }

    pub(super) fn into_plan(self, place: String, findings: Vec<Finding>) -> Plan {
        Plan {
            version: PLAN_VERSION,
            scope: self.scope.clone(),
            backend: BACKEND.to_owned(),
            place,
            steps: self.steps.steps,
            unchanged: self.steps.unchanged,
            endpoints: self.steps.endpoints,
            findings,
            fingerprint: fingerprint(self.state, self.scope),
            left_lease: false,
        }
    }
}

/// Returns whether a service is as it should be, with every replica where it should be.
fn is_so(state: &State, scope: &Scope, record: &ServiceRecord, target: &Target, hash: &str) -> bool {
    let as_recorded = record.current().is_some_and(|revision| revision.hash == hash)
        && (record.desired, &record.settings, record.generation)
            == (target.desired, &target.settings, target.generation);
    let mut replicas = 0;
    let all_fit = state.groups_of(scope, &target.service).all(|group| match &group.spec.role {
        Role::Run { .. } => true,
        Role::Replica { revision, generation, .. } => {
            replicas += 1;
            group.state == GroupState::Running
                && !group.retired
                && (Some(*revision), *generation) == (record.current, record.generation)
        }
    });
    as_recorded && all_fit && replicas == target.desired
}

/// Returns what an update changes, in the words of the spec.
fn differences(record: &ServiceRecord, target: &Target) -> Vec<FieldChange> {
    let before = record.current().map(|revision| &revision.template);
    // The id of an image is only of interest where its name stays.
    let ids = |template: &Template| -> BTreeMap<String, String> {
        let both = |image: &String| {
            before.is_some_and(|before| before.images.contains_key(image))
                && target.template.images.contains_key(image)
        };
        template
            .images
            .iter()
            .filter(|(image, _)| both(image))
            .map(|(image, id)| (image.clone(), id.clone()))
            .collect()
    };
    let document = |template: Option<&Template>, settings: &Value, desired: u32| {
        let parts = template.map(|template| &template.task).into_iter().chain([settings]);
        let mut document: Map<String, Value> =
            parts.filter_map(Value::as_object).flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
        document.insert("replicas".to_owned(), desired.into());
        document.insert("image_ids".to_owned(), json!(template.map(&ids)));
        document.insert("after".to_owned(), json!(template.map(|template| &template.after)));
        Value::Object(document)
    };
    let from = document(before, &record.settings, record.desired);
    changes(&from, &document(Some(&target.template), &target.settings, target.desired))
}
