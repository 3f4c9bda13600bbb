//! What is read from an engine before anything is decided, and what is taken for granted offline.
//!
//! | fact | meaning |
//! |---|---|
//! | `engine.version` | the version of the engine |
//! | `engine.api` | the newest version of its API, such as `1.41` |
//! | `engine.os` | `linux` or `windows` |
//! | `engine.architecture` | `amd64` or `arm64` |
//! | `image:<reference>` | the id of an image that the engine has |

use straddle_core::platform::Facts;

use crate::client::EngineVersion;

pub(crate) const VERSION: &str = "engine.version";
pub(crate) const API: &str = "engine.api";
pub(crate) const OS: &str = "engine.os";
pub(crate) const ARCHITECTURE: &str = "engine.architecture";

/// The name of the fact that tells the id of an image.
pub(crate) fn image(reference: &str) -> String {
    format!("image:{reference}")
}

/// The engine that is taken for granted where none was asked: a current one for Linux on x86.
pub(crate) fn assumed() -> Facts {
    Facts::assumed().with(VERSION, "29.0.0").with(API, "1.52").with(OS, "linux").with(ARCHITECTURE, "amd64")
}

/// Turns the engine's answer into facts.
pub(crate) fn observed(version: &EngineVersion) -> Facts {
    Facts::observed()
        .with(VERSION, version.version.as_str())
        .with(API, version.api.as_str())
        .with(OS, version.os.as_str())
        .with(ARCHITECTURE, version.architecture.as_str())
}

/// The engine, as translation sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Engine {
    pub(crate) api: (u32, u32),
    pub(crate) os: String,
    pub(crate) architecture: String,
}

impl Engine {
    pub(crate) fn of(facts: &Facts) -> Self {
        let text = |name: &str, fallback: &str| {
            facts.text(name).filter(|text| !text.is_empty()).unwrap_or(fallback).to_owned()
        };
        Self {
            api: api_version(&text(API, "1.41")),
            os: text(OS, "linux"),
            architecture: text(ARCHITECTURE, "amd64"),
        }
    }
}

/// Reads `1.41`; what is not a version counts as the oldest that is supported.
pub(crate) fn api_version(text: &str) -> (u32, u32) {
    let parts =
        text.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    parts.unwrap_or((1, 41))
}
