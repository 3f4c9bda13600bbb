use std::{fmt, str::FromStr};

use crate::spec::{Accepts, Scalar, ScalarError, spec_scalar};

/// Declares a text newtype whose constructor checks it.
macro_rules! text {
    ($(#[$doc:meta])* $type:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(String);

        impl $type {
            /// Returns the text as it was written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $type {
            type Err = ScalarError;

            fn from_str(text: &str) -> Result<Self, ScalarError> {
                let check: fn(&str) -> Result<(), ScalarError> = $check;
                check(text)?;
                Ok(Self(text.to_owned()))
            }
        }
    };
}
pub(super) use text;

text! {
    /// A name of an application, service, task, container or volume.
    ///
    /// Letters, digits, `-` and `_`, starting with a letter or digit, at most 255 characters: what ECS allows, the widest of the three
    /// engines. Backends mangle names that an engine cannot hold, and refuse two that would become one.
    Name, |text| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if text.is_empty() || text.len() > 255 {
            return Err(ScalarError::new("a name has 1 to 255 characters"));
        }
        if !text.bytes().all(fits) || !text.as_bytes()[0].is_ascii_alphanumeric() {
            return Err(ScalarError::new(format!("`{text}` is not a name"))
                .with_help("use letters, digits, `-` and `_`, starting with a letter or a digit"));
        }
        Ok(())
    }
}

impl Scalar for Name {
    const NAME: &'static str = "Name";
    const DESCRIPTION: &'static str =
        "A name: letters, digits, `-` and `_`, starting with a letter or a digit.";
    const PATTERN: Option<&'static str> = Some("^[A-Za-z0-9][A-Za-z0-9_-]{0,254}$");
    const EXAMPLES: &'static [&'static str] = &["web", "store"];
    const ACCEPTS: Accepts = Accepts::STRING;
}
spec_scalar!(Name);

text! {
    /// A name of a port: lower-case letters, digits, `-` and `_`, at most 64 characters (the rule of ECS).
    PortName, |text| {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
        if text.is_empty() || text.len() > 64 || !text.bytes().all(fits) || text.starts_with('-') {
            return Err(ScalarError::new(format!("`{text}` is not a name of a port"))
                .with_help("use at most 64 lower-case letters, digits, `-` and `_`, not starting with `-`"));
        }
        Ok(())
    }
}

impl Scalar for PortName {
    const NAME: &'static str = "PortName";
    const DESCRIPTION: &'static str = "A name of a port: at most 64 lower-case letters, digits, `-` and `_`.";
    const PATTERN: Option<&'static str> = Some("^[a-z0-9_][a-z0-9_-]{0,63}$");
    const EXAMPLES: &'static [&'static str] = &["http", "grpc"];
    const ACCEPTS: Accepts = Accepts::STRING_OR_INTEGER;
}
spec_scalar!(PortName);

/// What no key may hold: white space (the byte order mark too, as regular expressions of JSON Schema count it), controls and `=`.
fn is_unfit(c: char) -> bool {
    c.is_whitespace() || c.is_control() || c == '\u{feff}' || c == '='
}

text! {
    /// A name of an environment variable.
    EnvName, |text| {
        if text.is_empty() || text.chars().any(is_unfit) {
            return Err(ScalarError::new(format!("`{}` is not a name of an environment variable", text.escape_debug()))
                .with_help("it is not empty and holds no `=`, no white space and no control characters"));
        }
        Ok(())
    }
}

impl Scalar for EnvName {
    const NAME: &'static str = "EnvName";
    const DESCRIPTION: &'static str =
        "A name of an environment variable: not empty, without `=` and white space.";
    const PATTERN: Option<&'static str> = Some(r"^[^=\s\x00-\x1f\x7f-\x9f]+$");
    const EXAMPLES: &'static [&'static str] = &["LOG_LEVEL", "STORE_URL"];
    const ACCEPTS: Accepts = Accepts::STRING;
}
spec_scalar!(EnvName);

text! {
    /// A key of a label or tag: printable, not empty, at most 128 characters, outside the prefix that Straddle keeps for itself.
    MetadataKey, |text| {
        if text.is_empty() || text.chars().count() > 128 || text.chars().any(is_unfit) {
            return Err(ScalarError::new(format!("`{}` is not a key of a label", text.escape_debug()))
                .with_help("a key has 1 to 128 characters and holds no white space and no `=`"));
        }
        if text.starts_with("dev.straddle.") || text.starts_with("dev.straddle/") {
            return Err(ScalarError::new(format!("`{text}` is a label that Straddle sets itself"))
                .with_help("use another prefix than `dev.straddle`"));
        }
        Ok(())
    }
}

impl Scalar for MetadataKey {
    const NAME: &'static str = "MetadataKey";
    const DESCRIPTION: &'static str =
        "A key of a label or tag: 1 to 128 characters, no white space, not below `dev.straddle`.";
    const PATTERN: Option<&'static str> = Some(r"^[^=\s\x00-\x1f\x7f-\x9f]{1,128}$");
    const EXAMPLES: &'static [&'static str] = &["team", "example.com/cost-center"];
    const ACCEPTS: Accepts = Accepts::STRING;
}
spec_scalar!(MetadataKey);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_the_widest_engine_allows() {
        for good in ["web", "Web_2", "a-b", "0"] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
        for bad in ["", "-a", "_a", "a b", "a.b", "ä", &"x".repeat(256)] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
        assert!("http".parse::<PortName>().is_ok());
        assert!("HTTP".parse::<PortName>().is_err());
        assert!("A=B".parse::<EnvName>().is_err());
        assert!("dev.straddle.app".parse::<MetadataKey>().is_err());
    }
}
