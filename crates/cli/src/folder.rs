//! Paths as the user sees them.

use std::path::{Component, Path, PathBuf};

/// More steps up than this are harder to read than the whole path.
const MOST_UP: usize = 4;

/// Returns a path as seen from a folder: `straddle.yaml`, `../straddle.yaml`.
pub(crate) fn shown(path: &Path, from: &Path) -> String {
    relative(path, from).unwrap_or_else(|| path.to_owned()).display().to_string()
}

fn relative(path: &Path, from: &Path) -> Option<PathBuf> {
    let mut up = PathBuf::new();
    for (steps, folder) in from.ancestors().enumerate() {
        // The root in common is nothing in common.
        if steps > MOST_UP || (steps > 0 && folder.parent().is_none()) {
            return None;
        }
        if let Ok(below) = path.strip_prefix(folder) {
            return Some(up.join(below));
        }
        up.push(Component::ParentDir);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_seen_from_where_the_user_stands() {
        let seen = |path: &str| shown(Path::new(path), Path::new("/home/ada/shop/web"));
        assert_eq!(seen("/home/ada/shop/web/straddle.yaml"), "straddle.yaml");
        assert_eq!(seen("/home/ada/shop/straddle.yaml"), "../straddle.yaml");
        assert_eq!(seen("/etc/straddle.yaml"), "/etc/straddle.yaml");
        assert_eq!(seen("other.yaml"), "other.yaml");
    }
}
