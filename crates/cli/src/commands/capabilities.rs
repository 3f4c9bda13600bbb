use clap::Args;
use straddle_core::capability::{Feature, Provider};

use super::Outcome;
use crate::{
    args::TargetArgs,
    exit,
    output::{CapabilitiesOutput, CapabilityOutput, FeatureOutput},
    render::Table,
    session::Session,
    style,
};

/// Show what targets can do, and who sees to it
///
/// engine: the engine itself, with nobody watching. while-watching: straddle, as long as a command of it runs. -: nobody.
#[derive(Debug, Args)]
pub(crate) struct CapabilitiesArgs {
    #[command(flatten)]
    pub(crate) place: TargetArgs,
}

pub(crate) fn run(session: &Session) -> Outcome {
    let mut targets = Vec::new();
    for target in session.targets()? {
        let capability = *session.platform(&target)?.capability();
        targets.push((target, capability));
    }
    if session.shell.is_json() {
        let one = |(target, capability): &(crate::config::Target, straddle_core::capability::Capability)| {
            CapabilityOutput {
                target: target.name.clone(),
                backend: target.backend.name().to_owned(),
                features: capability.rows().map(FeatureOutput::from).collect(),
            }
        };
        session.shell.json(&CapabilitiesOutput { targets: targets.iter().map(one).collect() })?;
        return Ok(exit::DONE);
    }
    let names: Vec<&str> = targets.iter().map(|(target, _)| target.name.as_str()).collect();
    let mut head = vec![""];
    head.extend(&names);
    let mut table = Table::new(&head);
    for feature in Feature::ALL {
        let mut row = vec![feature.describe().to_owned()];
        row.extend(targets.iter().map(|(_, capability)| match capability.provider(feature) {
            Provider::None => "-".to_owned(),
            other => other.to_string(),
        }));
        table.row(row);
        for (at, (_, capability)) in targets.iter().enumerate() {
            let paint: fn(&str) -> String = match capability.provider(feature) {
                Provider::Engine => |text| style::good(text),
                Provider::None => |text| style::faint(text),
                Provider::WhileWatching => |text| style::warn(text),
            };
            table.paint(at + 1, paint);
        }
    }
    let mut text = table.render();
    for (target, capability) in &targets {
        let notes: Vec<_> = capability.rows().filter_map(|row| Some((row.description, row.note?))).collect();
        if !notes.is_empty() {
            text.push_str(&format!("\n  {}\n", style::bold(&target.name)));
        }
        for (description, note) in notes {
            for (at, line) in
                style::wrap(&format!("{description}: {note}"), session.shell.width().saturating_sub(6))
                    .iter()
                    .enumerate()
            {
                text.push_str(&format!("  {}{line}\n", if at == 0 { "  " } else { "    " }));
            }
        }
    }
    session.shell.data(&text)?;
    Ok(exit::DONE)
}
