use std::{fmt, str::FromStr, time::Duration};

use crate::spec::{Accepts, Scalar, ScalarError, spec_scalar};

/// A length of time, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timespan(u64);

const UNITS: &[(&str, u64)] = &[("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

impl Timespan {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// Makes a length from whole seconds.
    #[must_use]
    pub const fn from_secs(seconds: u32) -> Self {
        Self(seconds as u64 * 1000)
    }

    /// Returns the length as a standard duration.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }

    /// Returns whole seconds, rounded up.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0.div_ceil(1000)
    }

    /// Returns milliseconds.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// Adds two lengths, stopping at the largest one.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl From<Timespan> for Duration {
    fn from(span: Timespan) -> Self {
        span.duration()
    }
}

impl fmt::Display for Timespan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        for (unit, size) in UNITS {
            if rest >= *size {
                write!(f, "{}{unit}", rest / size)?;
                rest %= size;
            }
        }
        Ok(())
    }
}

impl FromStr for Timespan {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let bad = || {
            ScalarError::new(format!("`{text}` is not a length of time"))
                .with_help("write a number with its unit: `500ms`, `30s`, `10m`, `1h30m`, `7d`")
        };
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ScalarError::new(format!("`{text}` has no unit"))
                .with_help(format!("write `{text}s` (seconds) or `{text}m` (minutes)")));
        }
        let (mut rest, mut total, mut last) = (text, 0_u64, u64::MAX);
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
            let unit_end =
                rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| digits + at);
            let (number, unit) = (&rest[..digits], &rest[digits..unit_end]);
            let (_, size) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
            // Each unit once, from large to small, so that `5m1h` is not taken for a slip of `5h1m`.
            if *size >= last {
                return Err(bad());
            }
            last = *size;
            let number: u64 = number.parse().map_err(|_| bad())?;
            total = number.checked_mul(*size).and_then(|part| total.checked_add(part)).ok_or_else(bad)?;
            rest = &rest[unit_end..];
        }
        if last == u64::MAX || total > 3_650 * 86_400_000 {
            return Err(bad());
        }
        Ok(Self(total))
    }
}

impl Scalar for Timespan {
    const NAME: &'static str = "Timespan";
    const DESCRIPTION: &'static str =
        "A length of time with its units, large to small: `500ms`, `30s`, `10m`, `1h30m`, `7d`.";
    const PATTERN: Option<&'static str> = Some(r"^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$");
    const EXAMPLES: &'static [&'static str] = &["30s", "10m", "1h30m"];
    const ACCEPTS: Accepts = Accepts::STRING;
}
spec_scalar!(Timespan);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn units_add_up() {
        assert_eq!("1h30m".parse::<Timespan>().unwrap().seconds(), 5400);
        assert_eq!("500ms".parse::<Timespan>().unwrap().seconds(), 1);
        assert_eq!("90s".parse::<Timespan>().unwrap().to_string(), "1m30s");
        assert!("30".parse::<Timespan>().unwrap_err().help().unwrap().contains("30s"));
        for text in ["", "s", "5m1h", "1s1s", "-1s", "1.5s", "99999999999999999999s", "1 s"] {
            assert!(text.parse::<Timespan>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn prints_what_it_reads(millis in 0_u64..=315_360_000_000) {
            let span = Timespan(millis);
            prop_assert_eq!(span.to_string().parse::<Timespan>().unwrap(), span);
        }
    }
}
