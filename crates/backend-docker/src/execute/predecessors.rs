//! What comes before a service or task, as it is now.

use straddle_core::error::Result;

use super::Work;
use crate::{
    document::TemplateDocument,
    observe::{Live, LiveService},
};

/// Lets predecessors count as what they are: their images may have been unknown when the plan was made, and what follows is made of their
/// hashes.
pub(super) async fn follow(work: &Work<'_>, template: &mut TemplateDocument) -> Result<()> {
    let live = Live::read_workloads(work.client(), work.scope, template.after.keys()).await?;
    for (name, after) in &mut template.after {
        let service = live.services.get(name).and_then(LiveService::current);
        // A run that somebody asked for may be of another spec.
        let run = live.tasks.get(name).and_then(|runs| runs.iter().find(|run| !run.by_hand));
        if let Some(group) = service.or(run.map(|run| &run.group)) {
            after.hash.clone_from(&group.hash);
        }
    }
    Ok(())
}
