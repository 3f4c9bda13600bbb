//! Making, starting, stopping and removing containers.

use std::time::Duration;

use bollard::{
    models::ContainerCreateBody,
    query_parameters::{
        CreateContainerOptionsBuilder, DownloadFromContainerOptionsBuilder, InspectContainerOptions,
        RemoveContainerOptionsBuilder, RenameContainerOptionsBuilder, StartContainerOptions,
        StopContainerOptionsBuilder, UploadToContainerOptionsBuilder,
    },
};
use bytes::Bytes;
use futures_util::TryStreamExt;
use straddle_core::{
    clock::{Clock, SystemClock},
    error::{Error, ErrorKind, Result},
};

use super::{Client, Inspected};
use crate::error::{self, gone, optional};

/// What the engine needs beyond the grace of a stop to answer.
const STOP_MARGIN: Duration = Duration::from_secs(30);

/// How long the engine may take to remove a container, and how long is waited between two looks.
const REMOVAL: Duration = Duration::from_secs(30);
const REMOVAL_PAUSE: Duration = Duration::from_millis(100);

/// The longest answer that is taken from a download.
const MAX_DOWNLOAD: usize = 1 << 20;

impl Client {
    /// Makes a container, of a certain platform's image where one is named, and returns its id.
    pub(crate) async fn create(
        &self,
        name: &str,
        platform: Option<&str>,
        body: ContainerCreateBody,
    ) -> Result<String> {
        let options = CreateContainerOptionsBuilder::default()
            .name(name)
            .platform(platform.unwrap_or_default())
            .build();
        let what = format!("make container {name}");
        let made = self
            .docker
            .create_container(Some(options), body)
            .await
            .map_err(|failed| error::engine(&what, failed))?;
        Ok(made.id)
    }

    pub(crate) async fn start(&self, id: &str) -> Result<()> {
        let started = self.docker.start_container(id, None::<StartContainerOptions>).await;
        started.map_err(|failed| error::engine("start the container", failed))
    }

    /// Asks a container to stop, and kills it when its time is over; one that is stopped or gone is no error.
    pub(crate) async fn stop(&self, id: &str, grace: Duration) -> Result<()> {
        match self.stop_once(id, grace).await {
            Err(missing) if self.is_there_after(id, &missing).await? => gone(self.stop_once(id, grace).await),
            stopped => gone(stopped),
        }
    }

    async fn stop_once(&self, id: &str, grace: Duration) -> Result<()> {
        let seconds = i32::try_from(grace.as_millis().div_ceil(1000)).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::default().t(seconds).build();
        let docker = self.docker.clone().with_timeout(grace + STOP_MARGIN);
        let stopped = docker.stop_container(id, Some(options)).await;
        stopped.map_err(|failed| error::engine("stop the container", failed))
    }

    /// Removes a container, running or not, with its volumes without a name; once it returns, nothing of it is left.
    pub(crate) async fn remove(&self, id: &str) -> Result<()> {
        let removed = match self.remove_once(id).await {
            Err(missing) if self.is_there_after(id, &missing).await? => self.remove_once(id).await,
            removed => removed,
        };
        match removed {
            // Another call removes it, maybe one of a command that was killed.
            Err(going) if error::is_going(&going) => self.await_gone(id, going).await,
            other => gone(other),
        }
    }

    async fn remove_once(&self, id: &str) -> Result<()> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        let removed = self.docker.remove_container(id, Some(options)).await;
        removed.map_err(|failed| error::engine("remove the container", failed))
    }

    /// Returns whether a container is there that a call did not find: what stands between us and the engine may have answered, and nobody
    /// looks again at what counts as gone.
    async fn is_there_after(&self, id: &str, failed: &Error) -> Result<bool> {
        Ok(failed.kind() == ErrorKind::NotFound && self.inspect(id).await?.is_some())
    }

    async fn await_gone(&self, id: &str, going: Error) -> Result<()> {
        let clock = SystemClock::new();
        let until = clock.monotonic() + REMOVAL;
        while self.inspect(id).await?.is_some() {
            if clock.monotonic() >= until {
                return Err(going);
            }
            clock.sleep(REMOVAL_PAUSE).await;
        }
        Ok(())
    }

    pub(crate) async fn rename(&self, id: &str, name: &str) -> Result<()> {
        let options = RenameContainerOptionsBuilder::default().name(name).build();
        let what = format!("name a container {name}");
        self.docker.rename_container(id, options).await.map_err(|failed| error::engine(&what, failed))
    }

    /// Looks at one container by id or name; `None` where it is not there.
    pub(crate) async fn inspect(&self, id: &str) -> Result<Option<Inspected>> {
        let found = self.docker.inspect_container(id, None::<InspectContainerOptions>).await;
        Ok(optional(found.map_err(|failed| error::engine("look at a container", failed)))?
            .map(Inspected::from))
    }

    /// Writes the files of an archive into a container, whether it runs or not.
    pub(crate) async fn upload(&self, id: &str, folder: &str, archive: Vec<u8>) -> Result<()> {
        let options = UploadToContainerOptionsBuilder::default().path(folder).build();
        let body = bollard::body_full(Bytes::from(archive));
        let sent = self.docker.upload_to_container(id, Some(options), body).await;
        sent.map_err(|failed| error::engine("write files into the container", failed))
    }

    /// Reads a small file of a container; `None` where it is not there.
    pub(crate) async fn read_file(&self, id: &str, path: &str) -> Result<Option<String>> {
        let options = DownloadFromContainerOptionsBuilder::default().path(path).build();
        let stream = self.docker.download_from_container(id, Some(options));
        let whole = stream.try_fold(Vec::new(), |mut whole, part| async move {
            if whole.len() < MAX_DOWNLOAD {
                whole.extend_from_slice(&part);
            }
            Ok(whole)
        });
        let whole = whole.await.map_err(|failed| error::engine("read a file of the container", failed));
        let Some(archive) = optional(whole)? else { return Ok(None) };
        first_file(&archive).map(Some)
    }
}

fn first_file(archive: &[u8]) -> Result<String> {
    let broken = |failed: std::io::Error| {
        Error::new(ErrorKind::Internal, "the engine sent a broken archive").with_source(failed)
    };
    let mut text = String::new();
    for entry in tar::Archive::new(archive).entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        if entry.header().entry_type().is_file() {
            std::io::Read::read_to_string(&mut entry, &mut text).map_err(broken)?;
            break;
        }
    }
    Ok(text)
}

/// Packs files as an archive; each with its path, mode and content.
pub(crate) fn archive(files: &[(&str, u32, &[u8])]) -> Result<Vec<u8>> {
    let broken = |failed: std::io::Error| {
        Error::new(ErrorKind::Invalid, "a file cannot be packed for the engine").with_source(failed)
    };
    let mut builder = tar::Builder::new(Vec::new());
    for (path, mode, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(content.len() as u64);
        header.set_mode(*mode);
        header.set_mtime(0);
        builder.append_data(&mut header, path.trim_start_matches('/'), *content).map_err(broken)?;
    }
    builder.into_inner().map_err(broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_read() {
        let packed = archive(&[("/etc/app/a.conf", 0o640, b"x = 1\n")]).unwrap();
        assert_eq!(first_file(&packed).unwrap(), "x = 1\n");
        let mut archive = tar::Archive::new(packed.as_slice());
        let entry = archive.entries().unwrap().next().unwrap().unwrap();
        assert_eq!(entry.path().unwrap().to_str(), Some("etc/app/a.conf"));
        assert_eq!(entry.header().mode().unwrap(), 0o640);
    }
}
