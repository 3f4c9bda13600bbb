//! Images: whether they are there, and how they get there.

use bollard::{
    auth::DockerCredentials,
    query_parameters::{CreateImageOptionsBuilder, ImportImageOptionsBuilder, ListImagesOptionsBuilder},
};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use straddle_core::error::Result;
use straddle_registry::Credentials;

use super::Client;
use crate::error::{self, optional};

/// Says who asks, in the engine's words.
fn docker_credentials(credentials: Credentials) -> DockerCredentials {
    let Credentials { server, username, password, identity_token } = credentials;
    let by_name = identity_token.is_none();
    DockerCredentials {
        username: by_name.then_some(username),
        password: by_name.then_some(password),
        identitytoken: identity_token,
        serveraddress: Some(server),
        ..DockerCredentials::default()
    }
}

impl Client {
    /// Returns the id of the image that a name stands for.
    pub(crate) async fn image_id(&self, image: &str) -> Result<Option<String>> {
        let what = format!("look at image {image}");
        let found = self.docker.inspect_image(image).await.map_err(|failed| error::engine(&what, failed));
        Ok(optional(found)?.and_then(|image| image.id))
    }

    /// Returns any image of the engine.
    pub(crate) async fn any_image(&self) -> Result<Option<String>> {
        let options = ListImagesOptionsBuilder::default().build();
        let images = self
            .docker
            .list_images(Some(options))
            .await
            .map_err(|failed| error::engine("list images", failed))?;
        Ok(images.into_iter().next().map(|image| image.id))
    }

    /// Pulls an image; `progress` is told layer, bytes that are here, and bytes in all.
    pub(crate) async fn pull(
        &self,
        image: &str,
        platform: Option<&str>,
        credentials: Option<Credentials>,
        mut progress: impl FnMut(&str, u64, u64) + Send,
    ) -> Result<()> {
        let mut options = CreateImageOptionsBuilder::default().from_image(image);
        if !image.contains('@') && image.rsplit('/').next().is_some_and(|last| !last.contains(':')) {
            // Without a tag the engine would pull every tag there is.
            options = options.tag("latest");
        }
        if let Some(platform) = platform {
            options = options.platform(platform);
        }
        let what = format!("pull image {image}");
        let mut stream = self
            .docker
            .create_image(Some(options.build()), None, credentials.map(docker_credentials))
            .boxed();
        while let Some(info) = stream.try_next().await.map_err(|failed| error::engine(&what, failed))? {
            if let (Some(layer), Some(detail)) = (info.id, info.progress_detail) {
                let bytes = |number: Option<i64>| {
                    number.and_then(|number| u64::try_from(number).ok()).unwrap_or_default()
                };
                if detail.total.is_some() && info.status.as_deref() == Some("Downloading") {
                    progress(&layer, bytes(detail.current), bytes(detail.total));
                }
            }
        }
        Ok(())
    }

    /// Loads an image archive.
    pub(crate) async fn load(&self, archive: Vec<u8>) -> Result<()> {
        let options = ImportImageOptionsBuilder::default().quiet(true).build();
        let stream = self.docker.import_image(options, bollard::body_full(Bytes::from(archive)), None);
        let loaded: std::result::Result<Vec<_>, _> = stream.try_collect().await;
        loaded.map(drop).map_err(|failed| error::engine("load the helper's image", failed))
    }
}
