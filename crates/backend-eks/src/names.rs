//! Names of what Straddle makes in a cluster.
//!
//! The model allows names that an object cannot have: letters in upper case, `_`, and up to 255 characters. They are mangled the same way each
//! time; two that come to one name are refused by translation.

use straddle_core::{revision::content_hash, scope::Scope};

/// The most that a label of a DNS name has, and the value of a label.
pub(crate) const MAX_LABEL: usize = 63;
/// The most that the name of a CronJob has: a Job adds 11 characters to it.
pub(crate) const MAX_CRON_JOB: usize = 52;
/// The most that the name of a port has.
pub(crate) const MAX_PORT: usize = 15;

/// How much of a hash makes a shortened name unique.
const HASH: usize = 8;

/// Returns a name as a label of a DNS name, with at most `max` characters.
///
/// Upper case becomes lower case and `_` becomes `-`; what is too long ends with a part of its hash.
pub(crate) fn mangle(name: &str, max: usize) -> String {
    let plain: String =
        name.chars().map(|letter| if letter == '_' { '-' } else { letter.to_ascii_lowercase() }).collect();
    // A name begins with a letter or digit; it may end with neither.
    let plain = plain.trim_end_matches('-');
    if plain.len() <= max {
        return plain.to_owned();
    }
    let kept = plain.get(..max - HASH - 1).unwrap_or(plain).trim_end_matches('-');
    format!("{kept}-{}", &content_hash(&name.into())[..HASH])
}

/// Returns the name of an object of a service, task or volume.
pub(crate) fn object(name: &str) -> String {
    mangle(name, MAX_LABEL)
}

/// Returns the name of an object of a service or task that is made anew for each content: `web-files-3f2a91c0`.
pub(crate) fn versioned(workload: &str, what: &str, hash: &str) -> String {
    let hash = hash.get(..HASH).unwrap_or(hash);
    let max = MAX_LABEL - what.len() - HASH - 2;
    format!("{}-{what}-{hash}", mangle(workload, max))
}

/// Returns a text as the value of a label: those are checked like names, but may have upper case, `_` and `.`.
pub(crate) fn label(value: &str) -> String {
    if value.len() <= MAX_LABEL && value.ends_with(|last: char| last.is_ascii_alphanumeric()) {
        return value.to_owned();
    }
    mangle(value, MAX_LABEL)
}

/// Returns the namespace of an application in an environment.
pub(crate) fn namespace(configured: Option<&str>, scope: &Scope) -> String {
    configured.map_or_else(|| object(&scope.prefix()), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_mangled_the_same_way_each_time() {
        assert_eq!(object("web"), "web");
        assert_eq!(object("Web_API"), "web-api");
        assert_eq!(object("web-"), "web");
        let long = "a".repeat(80);
        assert_eq!(object(&long).len(), MAX_LABEL);
        assert_ne!(object(&long), object(&"a".repeat(81)));
        assert_eq!(versioned("web", "files", "0123456789abcdef"), "web-files-01234567");
        assert!(versioned(&long, "secrets", "0123456789abcdef").len() <= MAX_LABEL);
        assert_eq!(label("Shop_1"), "Shop_1");
    }
}
