//! What will be done, as rows that line up.

use serde_json::Value;
use straddle_core::{
    plan::{Action, FieldChange, Plan, Step},
    platform::ResourceKey,
};

use crate::style;

/// The longest value that is shown in full.
const VALUE: usize = 60;

/// Returns the line that says what is dealt with and where: `shop on prod (…)`.
pub(crate) fn title(app: &str, environment: &str, target: &str, place: &str) -> String {
    let environment = match environment {
        environment if environment == straddle_core::scope::DEFAULT_ENVIRONMENT || environment == target => {
            String::new()
        }
        environment => format!(", environment {environment}"),
    };
    format!("{} on {} ({place}{environment})", style::bold(app), style::bold(target))
}

/// Returns the rows of a plan.
pub(crate) fn plan(plan: &Plan) -> String {
    let kinds = plan.steps.iter().map(|step| step.resource.kind.chars().count()).max().unwrap_or(0);
    let names = plan.steps.iter().map(|step| step.resource.name.chars().count()).max().unwrap_or(0);
    let counted = plan.steps.iter().any(counts);
    let summaries: Vec<Vec<String>> = plan.steps.iter().map(|step| columns(step, counted)).collect();
    let mut widths: Vec<usize> = Vec::new();
    for summary in summaries.iter().filter(|summary| summary.len() > 1) {
        for (at, column) in summary.iter().take(summary.len() - 1).enumerate() {
            let length = column.chars().count();
            match widths.get_mut(at) {
                Some(width) => *width = length.max(*width),
                None => widths.push(length),
            }
        }
    }
    let mut text = String::new();
    for (step, summary) in plan.steps.iter().zip(&summaries) {
        let mut line =
            format!("  {} {:kinds$}  {:names$}", sign(step.action), step.resource.kind, step.resource.name);
        for (at, column) in summary.iter().enumerate() {
            let width = widths.get(at).copied().unwrap_or(0);
            line.push_str(&format!("  {column:width$}"));
        }
        text.push_str(line.trim_end());
        text.push('\n');
        text.push_str(&changes(&step.changes));
    }
    text
}

/// Returns the line that counts: `5 to create, 0 to change, 0 to remove.`
pub(crate) fn plan_counts(plan: &Plan) -> String {
    let (create, change, remove) = plan.counts();
    format!("{create} to create, {change} to change, {remove} to remove.")
}

/// Returns a resource as people call it: `service web`, or the name alone where its kind goes without saying.
pub(crate) fn resource_label(resource: &ResourceKey) -> String {
    match resource.kind.as_str() {
        "service" | "task" => resource.name.clone(),
        kind => format!("{kind} {}", resource.name),
    }
}

fn sign(action: Action) -> String {
    match action {
        Action::Create | Action::Run => style::good("+"),
        Action::Delete => style::bad("-"),
        Action::Replace | Action::Update => style::warn("~"),
    }
}

/// Tells whether the words about a step begin with its number of replicas.
fn counts(step: &Step) -> bool {
    step.summary.trim_start().starts_with('×')
}

/// Cuts the words about a step into columns; where replicas are counted, their number has the first one for itself.
fn columns(step: &Step, counted: bool) -> Vec<String> {
    let mut columns: Vec<String> = Vec::new();
    // Some backends say the name once more, as the engine has it.
    let says_more = |part: &&str| !part.is_empty() && *part != step.resource.name;
    for part in step.summary.split("  ").map(str::trim).filter(says_more) {
        columns.push(part.to_owned());
    }
    if counted && !counts(step) {
        columns.insert(0, String::new());
    }
    if let Some(revision) = step.revision
        && let Some(from) = revision.from
        && from != revision.to
        && !columns.iter().any(|column| column.contains("revision"))
    {
        columns.push(format!("revision {from} → {}", revision.to));
    }
    if step.action == Action::Replace {
        columns.push("removed and made again".to_owned());
    }
    columns
}

fn changes(changes: &[FieldChange]) -> String {
    let longest = changes.iter().map(|change| change.path.chars().count()).max().unwrap_or(0);
    let value = |value: &Option<Value>| value.as_ref().map_or_else(|| "not set".to_owned(), show);
    let mut text = String::new();
    for change in changes {
        text.push_str(&format!(
            "      {:longest$}  {} → {}\n",
            change.path,
            value(&change.from),
            value(&change.to)
        ));
    }
    text
}

fn show(value: &Value) -> String {
    let text = match value {
        Value::String(text) if text.is_empty() => "\"\"".to_owned(),
        Value::String(text) if !text.contains(char::is_control) => text.clone(),
        other => other.to_string(),
    };
    style::cut(&text, VALUE)
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;
    use serde_json::json;
    use straddle_core::{
        plan::{Fingerprint, PLAN_VERSION, RevisionChange},
        scope::Scope,
    };

    use super::*;

    fn step(id: u32, action: Action, kind: &str, name: &str, summary: &str) -> Step {
        Step {
            id,
            action,
            resource: ResourceKey::new(kind, name),
            summary: summary.to_owned(),
            revision: None,
            changes: Vec::new(),
            depends_on: Vec::new(),
            payload: Value::Null,
        }
    }

    fn shown(steps: Vec<Step>) -> String {
        let plan = Plan {
            version: PLAN_VERSION,
            scope: Scope::new(&"shop".parse().unwrap()),
            backend: "docker".to_owned(),
            place: "unix:///var/run/docker.sock".to_owned(),
            steps,
            unchanged: 0,
            endpoints: Vec::new(),
            findings: Vec::new(),
            fingerprint: Fingerprint(String::new()),
            left_lease: false,
        };
        let text = format!(
            "{}\n{}{}\n",
            title("shop", "default", "docker", &plan.place),
            super::plan(&plan),
            plan_counts(&plan)
        );
        strip_str(&text).to_string()
    }

    #[test]
    fn a_first_plan_lines_up() {
        insta::assert_snapshot!(shown(vec![
            step(1, Action::Create, "network", "shop", ""),
            step(2, Action::Create, "volume", "store-data", ""),
            step(3, Action::Create, "service", "store", "×1  shop/store:2"),
            step(4, Action::Run, "task", "migrate", "once, before web"),
            step(5, Action::Create, "service", "web", "×3     shop/web:1.4.2   → http://localhost:8080"),
        ]));
    }

    #[test]
    fn changes_stand_below_their_row() {
        let mut web = step(
            1,
            Action::Update,
            "service",
            "web",
            "×3  rolling: never fewer than 3 healthy, at most 6 running",
        );
        web.revision = Some(RevisionChange { from: Some(7), to: 8 });
        let change = |path: &str, from: Option<Value>, to: Option<Value>| FieldChange {
            path: path.to_owned(),
            from,
            to,
        };
        web.changes = vec![
            change("containers.web.image", Some(json!("shop/web:1.4.2")), Some(json!("shop/web:1.5.0"))),
            change("containers.web.env.LOG", Some(json!("info")), Some(json!("debug"))),
            change("containers.web.command", None, Some(json!(["serve", "--all"]))),
        ];
        insta::assert_snapshot!(shown(vec![
            web,
            step(2, Action::Delete, "task", "report", "was scheduled 03:00 Europe/Berlin")
        ]));
    }
}
