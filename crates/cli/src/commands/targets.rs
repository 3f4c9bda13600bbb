use clap::Args;

use super::Outcome;
use crate::{
    error::Failure,
    exit,
    output::{TargetOutput, TargetsOutput, ValueOutput},
    render::Table,
    session::Session,
    style,
};

/// List targets, with each value and where it comes from
///
/// Values come from the user's file, the straddle.toml of the project, STRADDLE_ variables and options; each wins over those
/// before it.
#[derive(Debug, Args)]
pub(crate) struct TargetsArgs {}

pub(crate) fn run(session: &Session) -> Outcome {
    let config = session.config()?;
    let default = config.default_target().map(|target| target.value);
    let mut targets = Vec::new();
    for name in config.names() {
        let target = config.target(name)?;
        let value = |(key, sourced): (String, crate::config::Sourced<String>)| ValueOutput {
            // What comes from the environment may be secret; what stands in a file is no secret to whoever reads it.
            value: (!(sourced.origin.is_variable && key.starts_with("vars."))).then_some(sourced.value),
            key,
            origin: sourced.origin.to_string(),
        };
        let is_default = default.as_deref() == Some(name);
        targets.push(TargetOutput {
            name: name.to_owned(),
            default: is_default,
            values: target.values.into_iter().map(value).collect(),
        });
    }
    targets.sort_by(|a, b| a.name.cmp(&b.name));
    let document = TargetsOutput { targets };
    if session.shell.is_json() {
        session.shell.json(&document)?;
    } else {
        session.shell.data(&text(&document))?;
    }
    match default {
        Some(name) if !document.targets.iter().any(|target| target.name == name) => {
            let origin = config.default_target().map(|target| target.origin.to_string()).unwrap_or_default();
            Err(Failure::usage(format!("{origin}: no target is called `{name}`")))
        }
        _ => Ok(exit::DONE),
    }
}

fn text(document: &TargetsOutput) -> String {
    let mut text = String::new();
    let columns = document.targets.iter().flat_map(|target| &target.values);
    let longest = columns.map(|value| value.key.len()).max().unwrap_or(0);
    for target in &document.targets {
        let mark = if target.default { style::faint(" (default)") } else { String::new() };
        text.push_str(&format!("{}{mark}\n", style::bold(&target.name)));
        let mut table = Table::new(&[]);
        for value in &target.values {
            table.row([
                format!("{:longest$}", value.key),
                value.value.clone().unwrap_or_else(|| "(set)".to_owned()),
                value.origin.clone(),
            ]);
            table.paint(2, |text| style::faint(text));
        }
        text.push_str(&table.render());
    }
    text
}
