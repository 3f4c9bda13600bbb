//! The probe's image for this machine, and how it gets into a registry, as somebody's build gets there.

use std::{collections::BTreeMap, io::Read};

use oci_client::{
    Client, Reference,
    client::{ClientConfig, ClientProtocol, Config, ImageLayer},
    secrets::RegistryAuth,
};
use serde_json::Value;
use straddle_conformance::probe;
use straddle_core::error::{Error, ErrorKind, Result};

fn failed(why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Unavailable, format!("push the probe: {why}"))
}

/// Returns the archive of the probe's image.
///
/// # Errors
///
/// [`Unsupported`](ErrorKind::Unsupported) where it is not built for this architecture.
pub fn archive() -> Result<Vec<u8>> {
    probe::Architecture::from_name(std::env::consts::ARCH)
        .and_then(probe::image_tar)
        .ok_or_else(|| Error::new(ErrorKind::Unsupported, "the probe is not built for this architecture"))
}

/// Pushes the probe's image to a registry on this machine, with one more variable, in the place of whatever has the reference.
///
/// # Errors
///
/// Those of [`archive`], and [`Unavailable`](ErrorKind::Unavailable) with what the registry says.
pub async fn push(reference: &str, variable: &str, value: &str) -> Result<()> {
    let files = unpacked(&archive()?).map_err(failed)?;
    let file = |name: &Value| {
        let name = name.as_str().unwrap_or_default();
        files.get(name).ok_or_else(|| failed(format!("the archive has no file `{name}`")))
    };
    let manifest: Value = serde_json::from_slice(file(&"manifest.json".into())?).map_err(failed)?;
    let mut config: Value = serde_json::from_slice(file(&manifest[0]["Config"])?).map_err(failed)?;
    let mut variables = config["config"]["Env"].as_array().cloned().unwrap_or_default();
    variables.push(format!("{variable}={value}").into());
    config["config"]["Env"] = variables.into();
    let layers = manifest[0]["Layers"].as_array().into_iter().flatten();
    let layers: Vec<ImageLayer> =
        layers.map(|name| Ok(ImageLayer::oci_v1(file(name)?.clone(), None))).collect::<Result<_>>()?;

    // The one provider of cryptography that is compiled; somebody may have chosen it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::try_from(ClientConfig { protocol: ClientProtocol::Http, ..ClientConfig::default() })
        .map_err(failed)?;
    let reference: Reference = reference.parse().map_err(failed)?;
    let config = Config::oci_v1(config.to_string(), None);
    client.push(&reference, &layers, config, &RegistryAuth::Anonymous, None).await.map_err(failed)?;
    Ok(())
}

fn unpacked(archive: &[u8]) -> std::io::Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        let name = entry.path()?.to_string_lossy().into_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        files.insert(name, bytes);
    }
    Ok(files)
}
