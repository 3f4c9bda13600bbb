//! How many replicas a service should have, where its replicas say something else.
//!
//! Every replica carries the number that was wanted when it was made, in a label, and labels cannot be changed. A service that is scaled
//! therefore gets a record, a container that is never started, whose name says the number: renaming is the one change that the engine
//! makes at once. It goes as soon as all replicas say the same.

use straddle_core::error::Result;

use super::{Work, creating, stopping};
use crate::{
    client::body,
    labels::{self, Role},
    observe::{Group, LiveScale, LiveService},
};

/// Makes sure that the engine knows the number, before anything is done about it.
pub(super) async fn announce(
    work: &Work<'_>,
    service: &mut LiveService,
    revision: u64,
    replicas: u32,
) -> Result<()> {
    let is_current = service.current().is_some_and(|group| group.revision() == revision);
    if !is_current || service.wanted() == replicas {
        return Ok(());
    }
    let image = service.current().map(|group| group.lead.image.clone()).unwrap_or_default();
    set(work, service, (revision, replicas), &image).await
}

/// Makes sure that the engine knows the number, once that many replicas run: by their labels if these agree, else by a record.
///
/// `service` is what was there before; of its replicas, some have stayed, and all others were made for this number.
pub(super) async fn settle(
    work: &Work<'_>,
    service: &mut LiveService,
    (revision, replicas): (u64, u32),
    has_stayed: impl Fn(&str) -> bool,
) -> Result<()> {
    let says_else = |group: &&Group| {
        group.revision() == revision && group.replicas != Some(replicas) && has_stayed(group.name())
    };
    let Some(image) = service.replicas().find(says_else).map(|group| group.lead.image.clone()) else {
        let records = std::mem::take(&mut service.scales);
        return stopping::remove_ids(work.client(), ids(records)).await;
    };
    set(work, service, (revision, replicas), &image).await
}

/// Renames a record, or makes one; there is no other afterwards.
async fn set(
    work: &Work<'_>,
    service: &mut LiveService,
    (revision, replicas): (u64, u32),
    image: &str,
) -> Result<()> {
    let name = work.names.scale(work.name, revision, replicas);
    let mut records = std::mem::take(&mut service.scales);
    let right = records.iter().position(|record| record.name == name);
    let id = match right.or_else(|| (!records.is_empty()).then_some(0)) {
        Some(at) => {
            let record = records.swap_remove(at);
            if right.is_none() {
                creating::rename(work, &record.id, &name).await?;
            }
            record.id
        }
        None => make(work, &name, image).await?,
    };
    stopping::remove_ids(work.client(), ids(records)).await?;
    service.scales.push(LiveScale { id, name, revision, replicas });
    Ok(())
}

async fn make(work: &Work<'_>, name: &str, image: &str) -> Result<String> {
    let mut labels = work.labels();
    labels.insert(labels::SERVICE.to_owned(), work.name.to_owned());
    labels.insert(labels::ROLE.to_owned(), Role::Scale.as_str().to_owned());
    // It is never started, so that any image does.
    let body = || body::helper(image, &["hold"], labels.clone());
    creating::create(work, (name, None), true, body).await
}

pub(super) fn ids(records: Vec<LiveScale>) -> Vec<String> {
    records.into_iter().map(|record| record.id).collect()
}
