use std::{fmt, str::FromStr};

use super::name::text;
use crate::spec::{Accepts, Scalar, ScalarError, spec_scalar};

text! {
    /// An absolute path inside a container: `/data`, or `C:\data` on Windows.
    AbsolutePath, |text| {
        let drive = text.as_bytes().first().is_some_and(u8::is_ascii_alphabetic) && text[1..].starts_with(":\\");
        if text.contains('\0') || !(text.starts_with('/') || drive) {
            return Err(ScalarError::new(format!("`{}` is not an absolute path", text.escape_debug()))
                .with_help("start with `/` (or `C:\\` on Windows)"));
        }
        if text.split(['/', '\\']).any(|part| part == "..") {
            return Err(ScalarError::new(format!("`{text}` goes up with `..`")).with_help("write the path itself"));
        }
        Ok(())
    }
}

impl Scalar for AbsolutePath {
    const NAME: &'static str = "AbsolutePath";
    const DESCRIPTION: &'static str = "An absolute path, without `..`.";
    const PATTERN: Option<&'static str> = Some(r"^(/|[A-Za-z]:\\)");
    const EXAMPLES: &'static [&'static str] = &["/data", "/var/lib/app"];
    const ACCEPTS: Accepts = Accepts::STRING;
}
spec_scalar!(AbsolutePath);

text! {
    /// The user that a process runs as: `1000`, `1000:1000`, `app` or `app:app`.
    User, |text| {
        let part = |part: &str| {
            !part.is_empty() && part.len() <= 64 && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
        };
        if text.split(':').count() > 2 || !text.split(':').all(part) {
            return Err(ScalarError::new(format!("`{}` is not a user", text.escape_debug()))
                .with_help("write `1000`, `1000:1000`, `app` or `app:app`"));
        }
        Ok(())
    }
}

impl User {
    /// Returns the numeric user and group where both parts given are numbers.
    #[must_use]
    pub fn ids(&self) -> Option<(u32, Option<u32>)> {
        let (user, group) =
            self.as_str().split_once(':').map_or((self.as_str(), None), |(user, group)| (user, Some(group)));
        let group = match group {
            Some(group) => Some(group.parse().ok()?),
            None => None,
        };
        Some((user.parse().ok()?, group))
    }
}

impl Scalar for User {
    const NAME: &'static str = "User";
    const DESCRIPTION: &'static str = "A user, or user and group: `1000`, `1000:1000`, `app`, `app:app`.";
    const PATTERN: Option<&'static str> = Some("^[A-Za-z0-9_.-]{1,64}(:[A-Za-z0-9_.-]{1,64})?$");
    const EXAMPLES: &'static [&'static str] = &["1000:1000", "app"];
    const ACCEPTS: Accepts = Accepts::STRING_OR_INTEGER;
}
spec_scalar!(User);

text! {
    /// A signal by its name (`SIGTERM`).
    Signal, |text| {
        let name = text.strip_prefix("SIG").unwrap_or_default();
        let known = ["HUP", "INT", "QUIT", "ABRT", "KILL", "USR1", "USR2", "ALRM", "TERM", "CONT", "WINCH", "PWR"];
        let realtime = name.strip_prefix("RTMIN").is_some_and(|rest| {
            rest.is_empty() || rest.strip_prefix('+').is_some_and(|n| n.parse::<u8>().is_ok_and(|n| n <= 30))
        });
        if known.contains(&name) || realtime {
            return Ok(());
        }
        Err(ScalarError::new(format!("`{}` is not a signal that stops a process", text.escape_debug()))
            .with_help("write one by name: SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGKILL, SIGRTMIN+3"))
    }
}

impl Scalar for Signal {
    const NAME: &'static str = "Signal";
    const DESCRIPTION: &'static str = "A signal by name, such as `SIGTERM`.";
    const PATTERN: Option<&'static str> =
        Some(r"^SIG(HUP|INT|QUIT|ABRT|KILL|USR1|USR2|ALRM|TERM|CONT|WINCH|PWR|RTMIN(\+[0-9]{1,2})?)$");
    const EXAMPLES: &'static [&'static str] = &["SIGTERM", "SIGQUIT"];
    const ACCEPTS: Accepts = Accepts::STRING;
}
spec_scalar!(Signal);

text! {
    /// A Linux capability without its `CAP_` prefix (`NET_ADMIN`), or `ALL`.
    Capability, |text| {
        let fits = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        if text.is_empty() || text.len() > 40 || !text.bytes().all(fits) || text.starts_with("CAP_") {
            return Err(ScalarError::new(format!("`{}` is not a Linux capability", text.escape_debug()))
                .with_help("write it in capitals without `CAP_`: `NET_ADMIN`"));
        }
        Ok(())
    }
}

impl Scalar for Capability {
    const NAME: &'static str = "Capability";
    const DESCRIPTION: &'static str =
        "A Linux capability in capitals, without `CAP_`; `ALL` means every one.";
    const PATTERN: Option<&'static str> = Some("^[A-Z0-9_]{1,40}$");
    const EXAMPLES: &'static [&'static str] = &["NET_ADMIN", "SYS_PTRACE"];
    const ACCEPTS: Accepts = Accepts::STRING;
}
spec_scalar!(Capability);

text! {
    /// A name of a kernel parameter (`net.core.somaxconn`).
    Sysctl, |text| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if !text.contains('.') || !text.bytes().all(fits) || text.split('.').any(str::is_empty) {
            return Err(ScalarError::new(format!("`{}` is not a kernel parameter", text.escape_debug()))
                .with_help("write its name with dots: `net.core.somaxconn`"));
        }
        Ok(())
    }
}

impl Scalar for Sysctl {
    const NAME: &'static str = "Sysctl";
    const DESCRIPTION: &'static str = "A kernel parameter by its dotted name.";
    const PATTERN: Option<&'static str> = Some(r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+$");
    const EXAMPLES: &'static [&'static str] = &["net.core.somaxconn", "net.ipv4.tcp_syncookies"];
    const ACCEPTS: Accepts = Accepts::STRING;
}
spec_scalar!(Sysctl);

/// Permission bits of a file, written in octal as a quoted string (`"0644"`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileMode(u16);

impl FileMode {
    /// Readable by all, writable by the owner.
    pub const DEFAULT: Self = Self(0o644);

    /// Returns the permission bits.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl FromStr for FileMode {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let octal = (3..=4).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
        let bits = u16::from_str_radix(text, 8).ok().filter(|bits| octal && *bits <= 0o777);
        bits.map(Self).ok_or_else(|| {
            ScalarError::new(format!("`{text}` is not a file mode"))
                .with_help("write octal permissions in quotes: `\"0644\"`")
        })
    }
}

impl Scalar for FileMode {
    const NAME: &'static str = "FileMode";
    const DESCRIPTION: &'static str = "Permissions in octal, in quotes: `\"0644\"`.";
    const PATTERN: Option<&'static str> = Some("^0?[0-7]{3}$");
    const EXAMPLES: &'static [&'static str] = &["0644", "0400"];
    const ACCEPTS: Accepts = Accepts::STRING;
}
spec_scalar!(FileMode);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        assert!("/data".parse::<AbsolutePath>().is_ok());
        assert!("C:\\data".parse::<AbsolutePath>().is_ok());
        for bad in ["", "data", "/a/../b", "é", "C:data"] {
            assert!(bad.parse::<AbsolutePath>().is_err(), "{bad}");
        }
        assert_eq!("1000:50".parse::<User>().unwrap().ids(), Some((1000, Some(50))));
        assert_eq!("app".parse::<User>().unwrap().ids(), None);
        assert!("a:b:c".parse::<User>().is_err());
        assert!("SIGRTMIN+3".parse::<Signal>().is_ok());
        assert!("TERM".parse::<Signal>().is_err());
        assert!("CAP_NET_ADMIN".parse::<Capability>().is_err());
        assert_eq!("644".parse::<FileMode>().unwrap().to_string(), "0644");
        assert!("1777".parse::<FileMode>().is_err());
    }
}
