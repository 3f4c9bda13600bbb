//! The stable address in front of the replicas of a service.

use std::{collections::BTreeSet, time::Duration};

use straddle_core::{
    error::{ErrorKind, Result},
    secret::Mask,
};

use super::{Work, creating};
use crate::{
    client::{archive, body},
    document::DoorDocument,
    explain::Scene,
    labels::{self, Role},
    observe::{LiveDoor, backends_file},
};

/// The door of one service, while its replicas are changed.
#[derive(Debug)]
pub(super) struct Door<'a> {
    work: &'a Work<'a>,
    standing: Option<Standing>,
}

#[derive(Clone, Debug)]
struct Standing {
    id: String,
    document: DoorDocument,
    is_running: bool,
    /// Whether nothing but another one in its place helps: it is paused, or cut off from the network.
    is_damaged: bool,
    /// The replicas that it was told last.
    told: Option<BTreeSet<String>>,
}

impl<'a> Door<'a> {
    pub(super) fn new(work: &'a Work<'a>, live: Option<&LiveDoor>) -> Self {
        let standing = live.map(|door| Standing {
            id: door.container.id.clone(),
            document: door.document.clone(),
            is_running: door.container.state.is_running(),
            is_damaged: door.ailment().is_some(),
            told: door.backends.clone(),
        });
        Self { work, standing }
    }

    pub(super) fn id(&self) -> Option<String> {
        self.standing.as_ref().map(|door| door.id.clone())
    }

    /// Makes sure that there is a door, so that a port that is taken is known before any replica is started.
    pub(super) async fn open(&mut self, document: &DoorDocument) -> Result<()> {
        match &mut self.standing {
            Some(door) if door.is_damaged => self.replace(document, &BTreeSet::new()).await,
            Some(door) if door.is_running => Ok(()),
            Some(door) if door.document == *document => {
                self.work.start(&door.id).await.map_err(|error| scene(self.work).refused(error))?;
                door.is_running = true;
                Ok(())
            }
            _ => self.replace(document, &BTreeSet::new()).await,
        }
    }

    /// Passes new connections on to these replicas and no others, once it returns.
    ///
    /// A door whose ports are other than wanted is replaced if it may be now.
    pub(super) async fn set(
        &mut self,
        document: &DoorDocument,
        replicas: &BTreeSet<String>,
        may_replace: bool,
    ) -> Result<()> {
        let Some(door) = &mut self.standing else { return self.replace(document, replicas).await };
        if door.document != *document && may_replace {
            return self.replace(document, replicas).await;
        }
        if door.told.as_ref() == Some(replicas) {
            return Ok(());
        }
        let mut command = vec![straddle_helper::PROGRAM, "ctl", "set"];
        command.extend(replicas.iter().map(String::as_str));
        self.work.client().run_in(&door.id, &command).await?;
        door.told = Some(replicas.clone());
        Ok(())
    }

    /// Removes the door.
    pub(super) async fn close(&mut self) -> Result<()> {
        match self.standing.take() {
            Some(door) => self.work.client().remove(&door.id).await,
            None => Ok(()),
        }
    }

    /// Makes a door that knows its replicas from its first moment, and puts it in the place of the one before.
    async fn replace(&mut self, document: &DoorDocument, replicas: &BTreeSet<String>) -> Result<()> {
        let name = self.work.names.door(self.work.name);
        let Some(old) = self.standing.take() else {
            let id = self.make(&name, document, replicas).await?;
            return match self.start(&id, document, replicas).await {
                Ok(()) => Ok(()),
                Err(error) => {
                    self.work.client().remove(&id).await?;
                    Err(error)
                }
            };
        };
        // No workload can have a name of this form: those that could are refused.
        let id = self.make(&format!("{name}-0-door"), document, replicas).await?;
        self.work.client().remove(&old.id).await?;
        creating::rename(self.work, &id, &name).await?;
        if let Err(error) = self.start(&id, document, replicas).await {
            // The ports of the old door are free now, so that it can come back.
            self.work.client().remove(&id).await?;
            let id = self.make(&name, &old.document, replicas).await?;
            self.start(&id, &old.document, replicas).await?;
            return Err(error);
        }
        Ok(())
    }

    async fn make(&self, name: &str, document: &DoorDocument, replicas: &BTreeSet<String>) -> Result<String> {
        let work = self.work;
        let image = work.helper_image().await?;
        let mut labels = work.labels();
        labels.insert(labels::SERVICE.to_owned(), work.name.to_owned());
        labels.insert(labels::ROLE.to_owned(), Role::Door.as_str().to_owned());
        labels.insert(labels::DOOR.to_owned(), serde_json::to_string(document).unwrap_or_default());
        let body = || body::door(&image, document, work.names.network(), work.name, labels.clone());
        let id = creating::create(work, (name, None), true, body).await?;
        let file = backends_file(replicas.iter().map(String::as_str));
        work.client()
            .upload(&id, straddle_helper::MOUNT, archive(&[("backends", 0o644, file.as_bytes())])?)
            .await?;
        Ok(id)
    }

    async fn start(&mut self, id: &str, document: &DoorDocument, replicas: &BTreeSet<String>) -> Result<()> {
        self.work.start(id).await.map_err(|error| scene(self.work).refused(error))?;
        let told = Some(replicas.clone());
        self.standing = Some(Standing {
            id: id.to_owned(),
            document: document.clone(),
            is_running: true,
            is_damaged: false,
            told,
        });
        Ok(())
    }
}

fn scene<'a>(work: &'a Work<'_>) -> Scene<'a> {
    static NOTHING: std::sync::LazyLock<Mask> = std::sync::LazyLock::new(Mask::default);
    Scene {
        client: work.client(),
        mask: &NOTHING,
        workload: work.name,
        group: work.name,
        container: work.name,
        id: None,
        document: None,
    }
}

/// Waits until a door has no connection to a replica any more, or the time is over.
pub(super) async fn drain(work: &Work<'_>, door: &str, replica: &str, time: Duration) -> Result<()> {
    if time.is_zero() {
        return Ok(());
    }
    let timeout = format!("{}ms", time.as_millis());
    let command = [straddle_helper::PROGRAM, "ctl", "drain", replica, "--timeout", &timeout];
    match work.client().run_in(door, &command).await {
        // A door that was replaced meanwhile has closed its connections itself.
        Err(error)
            if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Conflict | ErrorKind::Unavailable) =>
        {
            tracing::debug!(door, replica, %error, "nothing to drain");
            Ok(())
        }
        other => other.map(drop),
    }
}
