//! Static Linux programs as container images inside a Rust library, without a registry.
//!
//! A crate that must put a small program into somebody's container engine has a problem: the engine may be
//! remote, offline, or of another architecture, and no registry holds the program. This crate solves it at
//! build time: a build script compiles one program from source with a single `rustc` call (no dependencies,
//! statically linked), packs it as an image archive, and the library carries that archive in itself.
//!
//! The build script (feature `build`):
//!
//! ```no_run
//! # #[cfg(feature = "build")]
//! fn main() -> std::io::Result<()> {
//!     straddle_embed::Program::new("hello", "program/main.rs", "/hello").embed()
//! }
//! # #[cfg(not(feature = "build"))]
//! # fn main() {}
//! ```
//!
//! The library then takes in the generated file with `include!(concat!(env!("OUT_DIR"), "/images.rs"))` and
//! has a `static IMAGES: &[straddle_embed::Image]`.
//!
//! What it does not do: programs with dependencies, and programs for anything but Linux.

#[cfg(feature = "build")]
mod archive;
#[cfg(feature = "build")]
mod program;

use std::fmt;

#[cfg(feature = "build")]
pub use self::program::Program;

/// The processor architectures that programs are embedded for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Architecture {
    /// 64-bit ARM, `arm64` in the words of container engines.
    Aarch64,
    /// 64-bit x86, `amd64` in the words of container engines.
    X86_64,
}

impl Architecture {
    /// Every architecture, in a fixed order.
    pub const ALL: [Self; 2] = [Self::Aarch64, Self::X86_64];

    /// Recognises an architecture by any of its usual names (`amd64`, `x86_64`, `arm64`, `aarch64`).
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "aarch64" | "arm64" => Some(Self::Aarch64),
            "x86_64" | "amd64" => Some(Self::X86_64),
            _ => None,
        }
    }

    /// The name that Rust and `uname -m` use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aarch64 => "aarch64",
            Self::X86_64 => "x86_64",
        }
    }

    /// The name that container images use.
    pub const fn oci_name(self) -> &'static str {
        match self {
            Self::Aarch64 => "arm64",
            Self::X86_64 => "amd64",
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// One program, packed as an image archive that `docker load` understands.
#[derive(Clone, Copy)]
pub struct Image {
    architecture: Architecture,
    name: &'static str,
    archive: &'static [u8],
    binary: (usize, usize),
}

impl Image {
    /// Puts an image together; called from generated code.
    ///
    /// `binary` is the offset and the length of the program inside the archive, so that the program is not
    /// carried twice.
    #[doc(hidden)]
    pub const fn from_parts(
        architecture: Architecture,
        name: &'static str,
        archive: &'static [u8],
        binary: (usize, usize),
    ) -> Self {
        Self { architecture, name, archive, binary }
    }

    /// The architecture that the program runs on.
    pub const fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// The image's name: `name:hash`, where the hash changes whenever a program changes.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The image archive (`docker load` format).
    pub const fn archive(&self) -> &'static [u8] {
        self.archive
    }

    /// The program itself, an executable file.
    pub fn binary(&self) -> &'static [u8] {
        let (start, length) = self.binary;
        self.archive.get(start..start + length).unwrap_or_default()
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Image")
            .field("architecture", &self.architecture)
            .field("name", &self.name)
            .field("bytes", &self.archive.len())
            .finish()
    }
}
