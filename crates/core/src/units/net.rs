use std::{fmt, str::FromStr};

use super::name::text;
use crate::spec::{Accepts, Scalar, ScalarError, spec_scalar};

/// A port number, 1 to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port(u16);

impl Port {
    /// Makes a port; `None` for 0.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        if number == 0 { None } else { Some(Self(number)) }
    }

    /// Returns the number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Port {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let plain =
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
        text.parse().ok().filter(|_| plain).and_then(Self::new).ok_or_else(|| {
            ScalarError::new(format!("`{text}` is not a port")).with_help("write a number from 1 to 65535")
        })
    }
}

impl Scalar for Port {
    const NAME: &'static str = "Port";
    const DESCRIPTION: &'static str = "A port, 1 to 65535.";
    const PATTERN: Option<&'static str> = Some("^[1-9][0-9]{0,4}$");
    const EXAMPLES: &'static [&'static str] = &["8080", "9000"];
    const ACCEPTS: Accepts = Accepts::INTEGER;
}
spec_scalar!(Port);

text! {
    /// A host name, or a wildcard of one (`*.example.com`).
    HostName, |text| {
        let label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let name = text.strip_prefix("*.").unwrap_or(text);
        if text.len() > 253 || !name.split('.').all(label) {
            return Err(ScalarError::new(format!("`{text}` is not a host name"))
                .with_help("write a name such as `shop.example.com` or `*.example.com`, without scheme, port and path"));
        }
        Ok(())
    }
}

impl Scalar for HostName {
    const NAME: &'static str = "HostName";
    const DESCRIPTION: &'static str =
        "A host name such as `shop.example.com`, or a wildcard such as `*.example.com`.";
    const PATTERN: Option<&'static str> = Some(r"^(\*\.)?[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*$");
    const EXAMPLES: &'static [&'static str] = &["shop.example.com", "*.example.com"];
    const ACCEPTS: Accepts = Accepts::STRING;
}
spec_scalar!(HostName);

text! {
    /// A path of a URL, starting with `/`.
    HttpPath, |text| {
        if !text.starts_with('/') || text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '#') || !text.is_ascii() {
            return Err(ScalarError::new(format!("`{}` is not a path of a URL", text.escape_debug()))
                .with_help("start with `/`, and percent-encode what is not ASCII"));
        }
        Ok(())
    }
}

impl Scalar for HttpPath {
    const NAME: &'static str = "HttpPath";
    const DESCRIPTION: &'static str = "A path of a URL, starting with `/`.";
    const PATTERN: Option<&'static str> = Some(r"^/[!-~]*$");
    const EXAMPLES: &'static [&'static str] = &["/healthz", "/"];
    const ACCEPTS: Accepts = Accepts::STRING;
}
spec_scalar!(HttpPath);

/// An IP address, version 4 or 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpAddress(std::net::IpAddr);

impl IpAddress {
    /// Returns the address.
    #[must_use]
    pub const fn address(self) -> std::net::IpAddr {
        self.0
    }
}

impl fmt::Display for IpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for IpAddress {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        text.parse().map(Self).map_err(|_| {
            ScalarError::new(format!("`{}` is not an IP address", text.escape_debug()))
                .with_help("write `10.0.0.7` or `fd00::7`")
        })
    }
}

impl Scalar for IpAddress {
    const NAME: &'static str = "IpAddress";
    const DESCRIPTION: &'static str = "An IP address, version 4 or 6.";
    const PATTERN: Option<&'static str> = Some("^[0-9A-Fa-f:.]+$");
    const EXAMPLES: &'static [&'static str] = &["10.0.0.7", "fd00::7"];
    const ACCEPTS: Accepts = Accepts::STRING;
}
spec_scalar!(IpAddress);

/// A range of HTTP statuses, such as `200` or `200-399`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatusRange {
    first: u16,
    last: u16,
}

impl StatusRange {
    /// What Kubernetes takes for healthy: 200 to 399.
    pub const DEFAULT: Self = Self { first: 200, last: 399 };

    /// Returns the first status of the range.
    #[must_use]
    pub const fn first(self) -> u16 {
        self.first
    }

    /// Returns the last status of the range.
    #[must_use]
    pub const fn last(self) -> u16 {
        self.last
    }
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

impl FromStr for StatusRange {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let bad = || {
            ScalarError::new(format!("`{text}` is not a range of HTTP statuses"))
                .with_help("write `200` or `200-399`")
        };
        let status = |part: &str| {
            Some(part)
                .filter(|part| part.len() == 3 && part.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|part| part.parse::<u16>().ok())
                .filter(|status| (100..600).contains(status))
                .ok_or_else(bad)
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let range = Self { first: status(first)?, last: status(last)? };
        if range.first > range.last { Err(bad()) } else { Ok(range) }
    }
}

impl Scalar for StatusRange {
    const NAME: &'static str = "StatusRange";
    const DESCRIPTION: &'static str = "One HTTP status (`200`) or a range of them (`200-399`).";
    const PATTERN: Option<&'static str> = Some("^[1-5][0-9]{2}(-[1-5][0-9]{2})?$");
    const EXAMPLES: &'static [&'static str] = &["200-399", "204"];
    const ACCEPTS: Accepts = Accepts::STRING_OR_INTEGER;
}
spec_scalar!(StatusRange);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        assert_eq!("8080".parse::<Port>().unwrap().number(), 8080);
        for bad in ["", "0", "65536", "080", "+1", "http"] {
            assert!(bad.parse::<Port>().is_err(), "{bad}");
        }
        assert!("*.example.com".parse::<HostName>().is_ok());
        for bad in ["", "https://x", "a..b", "-a", "a:80", "*"] {
            assert!(bad.parse::<HostName>().is_err(), "{bad}");
        }
        assert_eq!("200-399".parse::<StatusRange>().unwrap(), StatusRange::DEFAULT);
        for bad in ["", "99", "600", "399-200", "20", "200-"] {
            assert!(bad.parse::<StatusRange>().is_err(), "{bad}");
        }
        assert!("healthz".parse::<HttpPath>().is_err());
    }
}
