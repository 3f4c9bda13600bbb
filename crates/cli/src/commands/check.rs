use clap::Args;
use straddle_core::{
    finding::{self, Finding},
    path::FieldPath,
    platform::{Facts, Translation},
    spec::Problems,
};

use super::{Outcome, wait_for};
use crate::{
    args::SpecArgs,
    config::Target,
    error::Failure,
    exit,
    output::{AssessmentOutput, CheckOutput, FindingOutput, HintOutput, NoteOutput},
    project::Loaded,
    render::{self, Assessment},
    session::Session,
    style,
};

/// Read the spec, and say what each target makes of it
///
/// Shows every mistake of the spec with its line. Then, for each target: what it cannot run, what becomes something close to it,
/// and what has no effect there. Asks no engine unless told to.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Let nothing pass that is not exactly as written, save what the spec accepts
    #[arg(long)]
    strict: bool,
    /// Ask the engine of each target for its version and images, in place of what is taken for granted
    #[arg(long)]
    live: bool,
    #[command(flatten)]
    pub(crate) place: SpecArgs,
}

/// What a target makes of the spec.
pub(super) struct Checked {
    pub(super) target: Target,
    loaded: Loaded,
    facts: Facts,
    pub(super) translation: Translation,
    unused: Vec<String>,
}

pub(crate) fn run(args: &CheckArgs, session: &Session) -> Outcome {
    let targets = session.targets()?;
    let project = session.project()?;
    let mut checked = Vec::new();
    let mut problems: Vec<Problems> = Vec::new();
    for target in targets {
        match project.load(&target, &session.variables.0, &session.shell) {
            Ok(loaded) => checked.push(assess(session, target, loaded, args.live)?),
            // The same mistakes are on most targets; overlays and variables may add others.
            Err(Failure::Spec(found)) => {
                if !problems.iter().any(|known| known.to_string() == found.to_string()) {
                    problems.push(*found);
                }
            }
            Err(other) => return Err(other),
        }
    }
    let mut problems = problems.into_iter();
    if let Some(first) = problems.next() {
        for further in problems {
            Failure::from(further).show(&session.shell);
        }
        return Err(first.into());
    }
    let blocked = checked.iter().any(|one| one.translation.is_blocked());
    let counted = checked.iter().any(|one| one.translation.findings.iter().any(Finding::counts));
    let ok = !(blocked || args.strict && counted);
    print(session, &checked, ok)?;
    Ok(if ok { exit::DONE } else { exit::BLOCKED })
}

/// Finds out what a target makes of the spec; its engine is asked only where `is_live`.
pub(super) fn assess(
    session: &Session,
    target: Target,
    loaded: Loaded,
    is_live: bool,
) -> Result<Checked, Failure> {
    let platform = session.platform(&target)?;
    let facts = if is_live { live(session, &target, &loaded)? } else { platform.assumptions() };
    let mut translation = platform.translate(&loaded.app, &loaded.scope, &facts);
    let unused = accept(&mut translation.findings, &loaded);
    Ok(Checked { target, loaded, facts, translation, unused })
}

fn live(session: &Session, target: &Target, loaded: &Loaded) -> Result<Facts, Failure> {
    let mut facts = Facts::default();
    wait_for(async {
        let orchestrator = session.connect(target).await?;
        facts = orchestrator.facts(&loaded.scope, Some(&loaded.app)).await?;
        Ok(exit::DONE)
    })?;
    Ok(facts)
}

/// Marks what the spec accepts, and returns the acceptances that met nothing; paths are those of the file or the complete ones.
pub(super) fn accept(findings: &mut [Finding], loaded: &Loaded) -> Vec<String> {
    let accepted = &loaded.app.accept;
    let mut written = findings.to_vec();
    for finding in &mut written {
        finding.path = loaded.document.written_path(&finding.path);
    }
    let unused_written = finding::accept(&mut written, accepted);
    let unused = finding::accept(findings, accepted);
    for (finding, written) in findings.iter_mut().zip(written) {
        finding.accepted = finding.accepted.take().or(written.accepted);
    }
    let place = |at: usize| {
        let path = FieldPath::root().child("accept").index(at);
        loaded.document.locate(&path).and_then(|span| loaded.document.place(span))
    };
    let mut lines = Vec::new();
    for (at, acceptance) in accepted.iter().enumerate() {
        let met_nothing = |unused: &[&_]| unused.iter().any(|one| std::ptr::eq(*one, acceptance));
        if met_nothing(&unused) && met_nothing(&unused_written) {
            let place =
                place(at).map(|place| format!(" ({}:{})", place.source, place.line)).unwrap_or_default();
            let path = acceptance.path.as_ref().map(|path| format!(" at {path}")).unwrap_or_default();
            lines.push(format!("{}{path}{place}", acceptance.code));
        }
    }
    lines
}

fn print(session: &Session, checked: &[Checked], ok: bool) -> Result<(), Failure> {
    let shell = &session.shell;
    if shell.is_json() {
        return shell.json(&output(checked, ok));
    }
    if shell.quiet && ok {
        return Ok(());
    }
    let assessments: Vec<Assessment<'_>> = checked
        .iter()
        .map(|one| Assessment {
            app: one.loaded.scope.to_string(),
            target: &one.target.name,
            findings: &one.translation.findings,
            notes: &one.translation.notes,
            facts: &one.facts,
            document: &one.loaded.document,
        })
        .collect();
    let mut text = render::assessments(&assessments, shell.verbose > 0, shell.width());
    // An acceptance may be meant for a target that was not asked for, so only what meets nothing on any of them is worth a word.
    let everywhere = checked.first().map(|one| one.unused.clone()).unwrap_or_default();
    for line in everywhere.iter().filter(|line| checked.iter().all(|one| one.unused.contains(line))) {
        text.push_str(&style::faint(format!("\n  accepted, and met by no finding here: {line}")));
        text.push('\n');
    }
    for HintOutput { path, message, at } in hints(checked) {
        let place = at.map(|at| format!("   {}", style::faint(at.to_string()))).unwrap_or_default();
        text.push_str(&format!("\n  {}  {path}: {message}{place}\n", style::warn("hint")));
    }
    shell.data(&text)
}

/// Returns the hints of all targets' specs, each once: overlays may add some.
fn hints(checked: &[Checked]) -> Vec<HintOutput> {
    let mut hints: Vec<HintOutput> = Vec::new();
    for one in checked {
        for hint in one.loaded.app.hints() {
            let hint = HintOutput::new(&hint, &one.loaded.document);
            if !hints.contains(&hint) {
                hints.push(hint);
            }
        }
    }
    hints
}

fn output(checked: &[Checked], ok: bool) -> CheckOutput {
    let one = |one: &Checked| AssessmentOutput {
        target: one.target.name.clone(),
        backend: one.target.backend.name().to_owned(),
        can_run: !one.translation.is_blocked(),
        findings: one
            .translation
            .findings
            .iter()
            .map(|finding| FindingOutput::new(finding, Some(&one.loaded.document)))
            .collect(),
        notes: one.translation.notes.iter().map(NoteOutput::from).collect(),
        unused_acceptances: one.unused.clone(),
        assumed: one.facts.assumed,
        facts: one.facts.values.clone(),
    };
    CheckOutput {
        app: checked.first().map(|one| one.loaded.app.app.to_string()).unwrap_or_default(),
        ok,
        hints: hints(checked),
        targets: checked.iter().map(one).collect(),
    }
}
