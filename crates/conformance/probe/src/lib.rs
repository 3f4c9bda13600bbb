//! The container image that Straddle's conformance suite runs on every engine.
//!
//! One static program (`program/`, see its `--help`) shows from inside a container what an engine made of a
//! definition: environment, user, limits, files, names, exit codes, health. The image consists of nothing else and
//! needs no registry: it is carried in this library as an archive.
//!
//! ```
//! use straddle_probe::{Architecture, PROGRAM, image_name, image_tar};
//!
//! if let Some(archive) = image_tar(Architecture::X86_64) {
//!     // Load it into an engine, then run `[PROGRAM, "serve", "8080"]` in containers of `image_name()`.
//!     assert!(image_name().starts_with("straddle-probe:"));
//!     assert!(!archive.is_empty());
//! }
//! assert_eq!(PROGRAM, "/probe");
//! ```
//!
//! What it does not do: handle signals. As process 1 it ignores them like any program without handlers, and
//! under an init process it dies of them, which shows the signal in the exit code (128 + its number).

pub use straddle_embed::Architecture;
use straddle_embed::Image;

include!(concat!(env!("OUT_DIR"), "/images.rs"));

/// The path of the program in its image, also the entry point.
pub const PROGRAM: &str = "/probe";

/// Returns the probe program for an architecture, if this build carries it.
pub fn binary(architecture: Architecture) -> Option<&'static [u8]> {
    image(architecture).map(Image::binary)
}

/// Returns the probe's image for an architecture as an archive for `docker load`, if this build carries it.
pub fn image_tar(architecture: Architecture) -> Option<Vec<u8>> {
    image(architecture).map(|image| image.archive().to_vec())
}

/// Returns the name of the image in the archive: `straddle-probe:` and a hash of the program.
pub fn image_name() -> String {
    IMAGE_NAME.to_owned()
}

fn image(architecture: Architecture) -> Option<&'static Image> {
    IMAGES.iter().find(|image| image.architecture() == architecture)
}
