//! What the suite is asked, and what becomes of its reports.

use std::{fs, io, path::PathBuf};

use straddle_conformance::Report;

/// Returns the prefixes of the behaviours to run, from `STRADDLE_SUITE` (`logs,exec`); all where it is empty.
#[must_use]
pub fn only() -> Vec<String> {
    let only = std::env::var("STRADDLE_SUITE").unwrap_or_default();
    only.split(',').filter(|prefix| !prefix.is_empty()).map(str::to_owned).collect()
}

/// Keeps a report in the folder that `STRADDLE_SUITE_REPORTS` names, for whoever sets the reports of several engines side by side:
/// the whole of it as `<backend> <engine>.txt`, and its line of the table as `<backend> <engine>.row`.
///
/// # Errors
///
/// The error of the file system.
pub fn keep(report: &Report) -> io::Result<()> {
    let Some(folder) = std::env::var_os("STRADDLE_SUITE_REPORTS").map(PathBuf::from) else { return Ok(()) };
    fs::create_dir_all(&folder)?;
    let name = format!("{} {}", report.backend, report.engine);
    fs::write(folder.join(format!("{name}.txt")), report.to_string())?;
    let table = Report::table([report]);
    fs::write(folder.join(format!("{name}.row")), table.lines().last().unwrap_or_default())
}
