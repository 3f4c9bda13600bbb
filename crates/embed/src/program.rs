//! Compiles a program inside a build script and writes what the library includes.

use std::env;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Architecture;
use crate::archive::{Contents, pack, sha256};

/// A program to embed, described by a build script.
///
/// On a Linux target the program is compiled for that target. Release builds embed more than that: an
/// environment variable `<NAME>_X86_64` or `<NAME>_AARCH64` (the program's name in capitals, `-` as `_`) names
/// a prebuilt program by its absolute path, which then takes the place of a compiled one. Where neither fits, the
/// architecture is simply not embedded, with a warning if none is.
#[derive(Debug, Clone)]
pub struct Program {
    name: String,
    source: PathBuf,
    path: String,
    labels: Vec<(String, String)>,
    stop_signal: Option<String>,
}

impl Program {
    /// Describes the program `name`, whose `main.rs` is `source` (relative to the package), installed as the
    /// entry point `path` of its image.
    pub fn new(name: &str, source: impl Into<PathBuf>, path: &str) -> Self {
        Self {
            name: name.to_owned(),
            source: source.into(),
            path: path.to_owned(),
            labels: Vec::new(),
            stop_signal: None,
        }
    }

    /// Adds a label to the image.
    #[must_use]
    pub fn with_label(mut self, key: &str, value: &str) -> Self {
        self.labels.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Sets the signal with which engines stop containers of the image.
    #[must_use]
    pub fn with_stop_signal(mut self, signal: &str) -> Self {
        self.stop_signal = Some(signal.to_owned());
        self
    }

    /// Compiles and packs the program, and writes `images.rs` to Cargo's output folder.
    ///
    /// # Errors
    ///
    /// Fails when called outside a build script, when a prebuilt program cannot be read, or when the output
    /// folder cannot be written. A failed compilation is a warning, not an error.
    pub fn embed(&self) -> io::Result<()> {
        let out = PathBuf::from(required("OUT_DIR")?);
        let source = PathBuf::from(required("CARGO_MANIFEST_DIR")?).join(&self.source);
        directive("rerun-if-changed", &source.parent().unwrap_or(&source).display().to_string())?;

        let mut programs = Vec::new();
        for architecture in Architecture::ALL {
            if let Some(binary) = self.obtain(architecture, &source, &out)? {
                programs.push((architecture, binary));
            }
        }
        if programs.is_empty() {
            directive("warning", &format!("{} is not embedded: {}", self.name, self.advice()))?;
        }
        self.write(&programs, &out)
    }

    /// A prebuilt program, else a compiled one, else none.
    fn obtain(&self, architecture: Architecture, source: &Path, out: &Path) -> io::Result<Option<Vec<u8>>> {
        let variable = self.variable(architecture);
        directive("rerun-if-env-changed", &variable)?;
        if let Some(path) = env::var_os(&variable).filter(|path| !path.is_empty()) {
            let path = PathBuf::from(path);
            directive("rerun-if-changed", &path.display().to_string())?;
            let binary = fs::read(&path).map_err(|error| {
                io::Error::new(error.kind(), format!("{variable} names {}: {error}", path.display()))
            })?;
            return Ok(Some(binary));
        }
        let target_os = required("CARGO_CFG_TARGET_OS")?;
        let target_architecture = required("CARGO_CFG_TARGET_ARCH")?;
        if target_os != "linux" || target_architecture != architecture.name() {
            return Ok(None);
        }
        match self.compile(source, &out.join(format!("{}-{architecture}", self.name))) {
            Ok(binary) => Ok(Some(binary)),
            Err(error) => {
                for line in format!("{} does not compile: {error}", self.name).lines() {
                    directive("warning", line)?;
                }
                Ok(None)
            }
        }
    }

    /// One call of `rustc`, without Cargo: there is nothing to resolve, to download or to lock.
    fn compile(&self, source: &Path, output: &Path) -> io::Result<Vec<u8>> {
        let folder = source.parent().unwrap_or(Path::new("")).as_os_str();
        let mut remap = OsString::from("--remap-path-prefix=");
        remap.push(folder);
        remap.push("=");
        remap.push(&self.name);

        let mut rustc = Command::new(required("RUSTC")?);
        rustc.arg(source).arg("-o").arg(output).arg(remap);
        rustc.arg(format!("--crate-name={}", self.name.replace('-', "_")));
        rustc.args(["--crate-type=bin", "--edition=2024", "--cap-lints=allow"]);
        rustc.arg("--target").arg(required("TARGET")?);
        if let Some(linker) = env::var_os("RUSTC_LINKER") {
            let mut option = OsString::from("-Clinker=");
            option.push(linker);
            rustc.arg(option);
        }
        // Static, and at fixed addresses: it runs in an image without any other file.
        rustc.args(["-Ctarget-feature=+crt-static", "-Crelocation-model=static"]);
        rustc.args(["-Copt-level=z", "-Clto=fat", "-Ccodegen-units=1", "-Cpanic=abort", "-Cstrip=symbols"]);

        let result = rustc.output()?;
        if !result.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&result.stderr).into_owned()));
        }
        fs::read(output)
    }

    fn write(&self, programs: &[(Architecture, Vec<u8>)], out: &Path) -> io::Result<()> {
        let image = self.image_name(programs);
        let mut code = format!(
            "/// The image's name; its hash changes whenever a program changes.\n\
             const IMAGE_NAME: &str = {image:?};\n\
             /// The embedded images, one for each architecture.\n\
             static IMAGES: &[::straddle_embed::Image] = &[\n"
        );
        for (architecture, binary) in programs {
            let archive = pack(&Contents {
                architecture: *architecture,
                image: &image,
                path: &self.path,
                binary,
                labels: &self.labels,
                stop_signal: self.stop_signal.as_deref(),
            })?;
            let file = out.join(format!("{}-{architecture}.tar", self.name));
            fs::write(&file, &archive.bytes)?;
            writeln!(
                code,
                "    ::straddle_embed::Image::from_parts(::straddle_embed::Architecture::{architecture:?}, \
                 IMAGE_NAME, include_bytes!({:?}), {:?}),",
                file.display().to_string(),
                archive.binary,
            )
            .map_err(io::Error::other)?;
        }
        code.push_str("];\n");
        fs::write(out.join("images.rs"), code)
    }

    /// The name with a hash over all embedded programs: of one program, simply its own hash.
    fn image_name(&self, programs: &[(Architecture, Vec<u8>)]) -> String {
        const DIGITS: usize = 12;
        let all: Vec<u8> = programs.iter().flat_map(|(_, binary)| binary).copied().collect();
        let digest = sha256(&all);
        format!("{}:{}", self.name, &digest[..DIGITS])
    }

    fn variable(&self, architecture: Architecture) -> String {
        format!("{}_{}", self.name, architecture.name()).replace('-', "_").to_uppercase()
    }

    fn advice(&self) -> String {
        let variables: Vec<String> = Architecture::ALL.map(|it| self.variable(it)).into();
        format!("build on Linux, or name a prebuilt program in {}", variables.join(" or "))
    }
}

fn required(variable: &str) -> io::Result<String> {
    env::var(variable)
        .map_err(|_| io::Error::other(format!("{variable} is not set: this belongs into a build script")))
}

/// Tells Cargo something.
fn directive(key: &str, value: &str) -> io::Result<()> {
    writeln!(io::stdout(), "cargo::{key}={value}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prebuilt_programs_are_named_by_variables() {
        let program = Program::new("straddle-helper", "program/main.rs", "/straddle/helper");
        assert_eq!(program.variable(Architecture::X86_64), "STRADDLE_HELPER_X86_64");
        assert_eq!(program.variable(Architecture::Aarch64), "STRADDLE_HELPER_AARCH64");
    }

    #[test]
    fn the_image_is_named_by_the_hash_of_its_program() {
        let program = Program::new("hello", "program/main.rs", "/hello");
        let name = program.image_name(&[(Architecture::X86_64, b"abc".to_vec())]);
        assert_eq!(name, "hello:ba7816bf8f01");
    }
}
