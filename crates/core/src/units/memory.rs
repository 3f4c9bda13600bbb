use std::{fmt, str::FromStr};

use super::cpu::{Decimal, decimal};
use crate::spec::{Accepts, Scalar, ScalarError, spec_scalar};

/// An amount of memory or storage, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Memory(u64);

/// Units in the order in which an exact amount is printed: the largest binary unit that fits, then the decimal ones.
const UNITS: &[(&str, u64)] = &[
    ("Ti", 1 << 40),
    ("Gi", 1 << 30),
    ("Mi", 1 << 20),
    ("Ki", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("KB", 1_000),
    ("B", 1),
];

impl Memory {
    /// Makes an amount from bytes.
    #[must_use]
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Makes an amount from mebibytes (1,048,576 bytes).
    #[must_use]
    pub const fn from_mebibytes(mebibytes: u32) -> Self {
        Self((mebibytes as u64) << 20)
    }

    /// Returns bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// Returns mebibytes, rounded up.
    #[must_use]
    pub const fn mebibytes(self) -> u64 {
        self.0.div_ceil(1 << 20)
    }

    /// Adds two amounts, stopping at the largest one.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, size) =
            UNITS.iter().find(|(_, size)| self.0.is_multiple_of(*size)).copied().unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / size)
    }
}

impl FromStr for Memory {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let bad = || {
            ScalarError::new(format!("`{text}` is not an amount of memory"))
                .with_help("write a number with its unit: `512Mi`, `1.5Gi` or `500MB`")
        };
        let Some((_, size)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(match unit {
                "M" | "m" | "G" | "g" | "K" | "k" | "T" | "t" if !number.is_empty() => {
                    let letter = unit.to_ascii_uppercase();
                    let (binary, decimal) = match letter.as_str() {
                        "K" => ("kibibytes", "kilobytes"),
                        "M" => ("mebibytes", "megabytes"),
                        "G" => ("gibibytes", "gigabytes"),
                        _ => ("tebibytes", "terabytes"),
                    };
                    ScalarError::new(format!(
                        "`{text}` is ambiguous: memory is {number}{letter}i ({binary}) or {number}{letter}B ({decimal})"
                    ))
                }
                "" if !number.is_empty() => ScalarError::new(format!("`{text}` has no unit"))
                    .with_help(format!("write `{number}Mi` (mebibytes) or `{number}MB` (megabytes)")),
                _ => bad(),
            });
        };
        match decimal(number, *size).ok_or_else(bad)? {
            Decimal::Exact(0) => {
                Err(ScalarError::new("0 is no amount of memory").with_help("leave the field out instead"))
            }
            Decimal::Exact(bytes) if bytes <= 1 << 60 => Ok(Self(bytes)),
            Decimal::Exact(_) | Decimal::TooLarge => {
                Err(ScalarError::new(format!("`{text}` is more memory than any machine has")))
            }
            Decimal::TooFine => Err(ScalarError::new(format!("`{text}` is not a whole number of bytes"))),
        }
    }
}

impl Scalar for Memory {
    const NAME: &'static str = "Memory";
    const DESCRIPTION: &'static str = "Memory or storage with its unit: `Ki`, `Mi`, `Gi`, `Ti` (1024) or `kB`, `MB`, `GB`, `TB` (1000), `B`.";
    const PATTERN: Option<&'static str> = Some(r"^([0-9]+(\.[0-9]+)?|\.[0-9]+)([KMGT]i|[kKMGT]?B)$");
    const EXAMPLES: &'static [&'static str] = &["512Mi", "1Gi", "500MB"];
    const ACCEPTS: Accepts = Accepts::STRING;
}
spec_scalar!(Memory);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn units_are_binary_or_decimal_as_written() {
        assert_eq!("512Mi".parse::<Memory>().unwrap().bytes(), 512 << 20);
        assert_eq!("512MB".parse::<Memory>().unwrap().bytes(), 512_000_000);
        assert_eq!("1.5Gi".parse::<Memory>().unwrap().to_string(), "1536Mi");
        assert_eq!(Memory::from_bytes(500_000_000).to_string(), "500MB");
    }

    #[test]
    fn the_ambiguous_unit_is_refused_with_both_meanings() {
        let error = "512M".parse::<Memory>().unwrap_err();
        assert_eq!(error.message(), "`512M` is ambiguous: memory is 512Mi (mebibytes) or 512MB (megabytes)");
        assert!("512".parse::<Memory>().unwrap_err().help().unwrap().contains("512Mi"));
        for text in ["", "Mi", "0Mi", "-1Mi", "1.Mi", "1 Gi", "0.3B", "99999999Ti"] {
            assert!(text.parse::<Memory>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn prints_what_it_reads(bytes in 1_u64..=1 << 60) {
            let memory = Memory::from_bytes(bytes);
            prop_assert_eq!(memory.to_string().parse::<Memory>().unwrap(), memory);
        }
    }
}
