//! The small static Linux helper that Straddle loads into a container engine.
//!
//! It fills what an engine lacks: a container that holds a task's network, a stable address in front of a
//! service's replicas, health checks in images without a shell, and a pipe to a port inside a network. It is one
//! program (`program/`) without dependencies, compiled by the build script and carried in this library as an
//! image archive, so that it works offline and against a remote engine.
//!
//! ```
//! use straddle_helper::{Architecture, MOUNT, image_name, image_tar};
//!
//! if let Some(archive) = image_tar(Architecture::X86_64) {
//!     // Load the archive with the engine's API, then create containers of this image:
//!     assert!(image_name().starts_with("straddle-helper:"));
//!     assert!(!archive.is_empty());
//! }
//! assert_eq!(MOUNT, "/straddle");
//! ```
//!
//! What it does not do: talk to an engine. That is the work of a backend.

pub use straddle_embed::Architecture;
use straddle_embed::Image;

include!(concat!(env!("OUT_DIR"), "/images.rs"));

/// The folder of the image that holds the helper, and the place where user containers get it mounted.
pub const MOUNT: &str = "/straddle";

/// The path of the helper, in its own image and in user containers.
pub const PROGRAM: &str = "/straddle/helper";

/// Returns the helper program for an architecture, if this build carries it.
pub fn binary(architecture: Architecture) -> Option<&'static [u8]> {
    image(architecture).map(Image::binary)
}

/// Returns the helper's image for an architecture as an archive for `docker load`, if this build carries it.
pub fn image_tar(architecture: Architecture) -> Option<Vec<u8>> {
    image(architecture).map(|image| image.archive().to_vec())
}

/// Returns the name of the image in the archive: `straddle-helper:` and a hash of the program.
pub fn image_name() -> String {
    IMAGE_NAME.to_owned()
}

fn image(architecture: Architecture) -> Option<&'static Image> {
    IMAGES.iter().find(|image| image.architecture() == architecture)
}
