use std::{fmt, str::FromStr};

use super::cpu::{Decimal, decimal};
use crate::spec::{Accepts, Scalar, ScalarError, spec_scalar};

/// A percentage, in tenths of a percent, from 0 to 1000 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(u32);

impl Percent {
    /// Makes a percentage from whole percents.
    #[must_use]
    pub const fn new(percent: u16) -> Self {
        Self(percent as u32 * 10)
    }

    /// Returns tenths of a percent.
    #[must_use]
    pub const fn tenths(self) -> u32 {
        self.0
    }

    /// Returns this share of a count, rounded up (the lower bound of a rolling update, as ECS rounds it).
    #[must_use]
    pub fn ceil_of(self, count: u32) -> u32 {
        u32::try_from((u64::from(count) * u64::from(self.0)).div_ceil(1000)).unwrap_or(u32::MAX)
    }

    /// Returns this share of a count, rounded down (the upper bound of a rolling update, as ECS rounds it).
    #[must_use]
    pub fn floor_of(self, count: u32) -> u32 {
        u32::try_from(u64::from(count) * u64::from(self.0) / 1000).unwrap_or(u32::MAX)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 % 10 {
            0 => write!(f, "{}%", self.0 / 10),
            tenth => write!(f, "{}.{tenth}%", self.0 / 10),
        }
    }
}

impl FromStr for Percent {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let bad =
            || ScalarError::new(format!("`{text}` is not a percentage")).with_help("write `50%` or `12.5%`");
        let digits = text.strip_suffix('%').ok_or_else(bad)?;
        match decimal(digits, 10).ok_or_else(bad)? {
            Decimal::Exact(tenths) if tenths <= 10_000 => Ok(Self(u32::try_from(tenths).map_err(|_| bad())?)),
            Decimal::TooFine => Err(ScalarError::new(format!("`{text}` is too fine"))
                .with_help("one digit after the point is kept")),
            _ => Err(ScalarError::new(format!("`{text}` is more than 1000%"))),
        }
    }
}

impl Scalar for Percent {
    const NAME: &'static str = "Percent";
    const DESCRIPTION: &'static str =
        "A percentage from `0%` to `1000%`, with at most one digit after the point.";
    const PATTERN: Option<&'static str> = Some(r"^([0-9]+(\.[0-9]+)?|\.[0-9]+)%$");
    const EXAMPLES: &'static [&'static str] = &["50%", "100%", "200%"];
    const ACCEPTS: Accepts = Accepts::STRING;
}
spec_scalar!(Percent);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_round_as_ecs_rounds() {
        let percent = |text: &str| text.parse::<Percent>().unwrap();
        assert_eq!((percent("50%").ceil_of(3), percent("150%").floor_of(3)), (2, 4));
        assert_eq!((percent("75%").ceil_of(10), percent("125%").floor_of(10)), (8, 12));
        assert_eq!(percent("12.5%").to_string(), "12.5%");
        for text in ["", "%", "50", "-1%", "12.55%", "1001%"] {
            assert!(text.parse::<Percent>().is_err(), "{text}");
        }
    }
}
