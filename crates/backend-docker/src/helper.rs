//! The helper: its image on the engine, and the volume that carries it into containers.

use std::sync::atomic::{AtomicU32, Ordering};

use straddle_core::error::{Error, ErrorKind, Result};
use straddle_helper::Architecture;

use crate::{
    client::{Client, body},
    facts::Engine,
    labels::{self, Labels, Role},
};

/// Returns whether there is a helper for an engine.
pub(crate) fn exists(configured: Option<&str>, engine: &Engine) -> bool {
    configured.is_some() || embedded(engine).is_some()
}

fn embedded(engine: &Engine) -> Option<Architecture> {
    let architecture = Architecture::from_name(&engine.architecture).filter(|_| engine.os == "linux")?;
    straddle_helper::binary(architecture).is_some().then_some(architecture)
}

/// Returns the name of the helper's image, after making sure that the engine has it.
pub(crate) async fn image(client: &Client, configured: Option<&str>, engine: &Engine) -> Result<String> {
    if let Some(image) = configured {
        if client.image_id(image).await?.is_none() {
            client.pull(image, None, None, |_, _, _| {}).await?;
        }
        return Ok(image.to_owned());
    }
    let name = straddle_helper::image_name();
    if client.image_id(&name).await?.is_none() {
        let archive = embedded(engine).and_then(straddle_helper::image_tar).ok_or_else(|| {
            let message = format!("no helper is built in for {} on {}", engine.os, engine.architecture);
            Error::new(ErrorKind::Unsupported, message).with_help("set `helper_image` of the target")
        })?;
        client.load(archive).await?;
    }
    Ok(name)
}

/// Returns the name of the volume that holds the helper program, after making sure that it is filled.
///
/// The engine fills a new volume from the image of the first container that is made with it. The volume is made together with that
/// container, so that a volume that is there is a volume that is filled.
pub(crate) async fn volume(client: &Client, image: &str) -> Result<String> {
    let version = image.rsplit(':').next().unwrap_or(image);
    let name = format!("straddle-helper-{version}");
    if client.volume(&name).await?.is_some() {
        return Ok(name);
    }
    let labels = Labels::from([
        (labels::MANAGED_BY.to_owned(), labels::STRADDLE.to_owned()),
        (labels::ROLE.to_owned(), Role::ProbeVolume.as_str().to_owned()),
    ]);
    let id =
        client.create(&unique("straddle-helper"), None, body::probe_volume(image, &name, labels)).await?;
    client.remove(&id).await?;
    Ok(name)
}

/// Returns a name that no other container has.
pub(crate) fn unique(prefix: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("{prefix}-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}
