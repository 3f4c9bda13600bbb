//! What the witnesses of several engines do in the same way on this machine.

use std::{
    fs, io,
    process::Command,
    sync::{Mutex, PoisonError},
};

use straddle_core::error::{Error, ErrorKind, Result};
use tempfile::TempDir;

/// Secrets in files of this machine, where its backends resolve them.
#[derive(Debug, Default)]
pub struct Secrets(Mutex<Option<TempDir>>);

impl Secrets {
    /// Keeps a value, and returns the reference by which a spec names it.
    ///
    /// # Errors
    ///
    /// [`Internal`](ErrorKind::Internal) where the file cannot be written.
    pub fn keep(&self, name: &str, value: &str) -> Result<String> {
        let failed = |error: io::Error| Error::new(ErrorKind::Internal, "keep a secret").with_source(error);
        let mut folder = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = match &mut *folder {
            Some(folder) => folder,
            none => none.insert(tempfile::tempdir().map_err(failed)?),
        };
        let path = folder.path().join(name);
        fs::write(&path, value).map_err(failed)?;
        Ok(format!("file:{}", path.display()))
    }

    /// Removes a value by its reference; one that was taken away already is no error.
    ///
    /// # Errors
    ///
    /// [`Internal`](ErrorKind::Internal) where the file cannot be removed.
    pub fn remove(&self, reference: &str) -> Result<()> {
        match fs::remove_file(reference.trim_start_matches("file:")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::new(ErrorKind::Internal, "remove a secret").with_source(error))
            }
            _ => Ok(()),
        }
    }
}

/// Runs the command of a variable; `None` where there is none.
///
/// # Errors
///
/// [`Unavailable`](ErrorKind::Unavailable) with what the command says.
pub async fn run_of(variable: &str) -> Result<Option<()>> {
    let Some(command) = std::env::var(variable).ok().filter(|command| !command.is_empty()) else {
        return Ok(None);
    };
    let shown = command.clone();
    let failed = |why: String| Error::new(ErrorKind::Unavailable, format!("`{shown}` failed: {why}"));
    let run = move || Command::new("sh").args(["-c", &command]).output();
    let ran = tokio::task::spawn_blocking(run).await.map_err(|error| failed(error.to_string()))?;
    let ran = ran.map_err(|error| failed(error.to_string()))?;
    if ran.status.success() {
        Ok(Some(()))
    } else {
        Err(failed(String::from_utf8_lossy(&ran.stderr).into_owned()))
    }
}
