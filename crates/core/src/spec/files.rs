//! Access to the files that a spec mentions.

use std::{
    fmt, fs,
    io::{self, Read},
    path::Path,
};

use super::source::MAX_SOURCE_BYTES;

/// Reads the files that a spec mentions, such as environment files.
pub trait Files: fmt::Debug + Send + Sync {
    /// Reads a file; a relative path counts from the folder of the source that mentions it.
    ///
    /// # Errors
    /// Returns the error of the file system.
    fn read(&self, source_name: &str, path: &str) -> io::Result<Vec<u8>>;
}

/// Reads files from the disk; a source without a folder, such as standard input, stands for the working directory.
///
/// A file of more than 16 MiB is refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskFiles;

impl Files for DiskFiles {
    fn read(&self, source_name: &str, path: &str) -> io::Result<Vec<u8>> {
        let folder = Path::new(source_name).parent().unwrap_or(Path::new(""));
        let mut bytes = Vec::new();
        fs::File::open(folder.join(path))?.take(MAX_SOURCE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > MAX_SOURCE_BYTES {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 16 MiB"));
        }
        Ok(bytes)
    }
}

/// Knows no file; for specs that do not come from a disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _: &str, _: &str) -> io::Result<Vec<u8>> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "files cannot be read here"))
    }
}
