use std::{fmt, str::FromStr};

use crate::spec::{Accepts, Scalar, ScalarError, spec_scalar};

/// An amount of processor time, exact in the units of every engine.
///
/// ECS counts 1/1024, Kubernetes 1/1000 and Docker 10⁻⁹ of a vCPU; 1/2,000,000,000 vCPU is the coarsest unit that holds all three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cpu(u64);

impl Cpu {
    /// The stored units of one vCPU.
    const PER_VCPU: u64 = 2_000_000_000;
    /// More than any machine has; keeps arithmetic far from overflow.
    const MAX_VCPU: u64 = 100_000;

    /// Makes an amount from thousandths of a vCPU (Kubernetes).
    #[must_use]
    pub const fn from_millis(millis: u32) -> Self {
        Self(millis as u64 * (Self::PER_VCPU / 1000))
    }

    /// Makes an amount from 1/1024 of a vCPU (ECS); 1/1024 vCPU is 1,953,125 stored units, so nothing is rounded.
    #[must_use]
    pub const fn from_ecs_units(units: u32) -> Self {
        Self(units as u64 * (Self::PER_VCPU / 1024))
    }

    /// Returns thousandths of a vCPU, rounded up.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0.div_ceil(Self::PER_VCPU / 1000)
    }

    /// Returns 1/1024 of a vCPU, rounded up.
    #[must_use]
    pub const fn ecs_units(self) -> u64 {
        self.0.div_ceil(Self::PER_VCPU / 1024)
    }

    /// Returns 10⁻⁹ of a vCPU (Docker), rounded up.
    #[must_use]
    pub const fn nanos(self) -> u64 {
        self.0.div_ceil(Self::PER_VCPU / 1_000_000_000)
    }

    /// Returns whether the amount is a whole number of thousandths.
    #[must_use]
    pub const fn is_exact_in_millis(self) -> bool {
        self.0.is_multiple_of(Self::PER_VCPU / 1000)
    }

    /// Returns whole vCPUs, rounded down.
    #[must_use]
    pub const fn whole(self) -> u64 {
        self.0 / Self::PER_VCPU
    }

    /// Adds two amounts, stopping at the largest one.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / Self::PER_VCPU, self.0 % Self::PER_VCPU);
        if rest == 0 {
            return write!(f, "{whole}");
        }
        if self.is_exact_in_millis() {
            return write!(f, "{}m", self.millis());
        }
        // Half a nano-CPU needs ten digits.
        let digits = format!("{:010}", rest * 5);
        write!(f, "{whole}.{}", digits.trim_end_matches('0'))
    }
}

impl FromStr for Cpu {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let bad = || {
            ScalarError::new(format!("`{text}` is not an amount of CPU"))
                .with_help("write vCPUs (`0.5`, `2`) or thousandths of one (`500m`)")
        };
        let (digits, scale) = match text.strip_suffix('m') {
            Some(digits) => (digits, Self::PER_VCPU / 1000),
            None => (text, Self::PER_VCPU),
        };
        let units = decimal(digits, scale).ok_or_else(bad)?;
        match units {
            Decimal::Exact(0) => {
                Err(ScalarError::new("0 is no amount of CPU").with_help("leave the field out instead"))
            }
            Decimal::Exact(units) if units <= Self::MAX_VCPU * Self::PER_VCPU => Ok(Self(units)),
            Decimal::Exact(_) | Decimal::TooLarge => {
                Err(ScalarError::new(format!("`{text}` is more CPU than any machine has")))
            }
            Decimal::TooFine => Err(ScalarError::new(format!("`{text}` is finer than any engine counts"))
                .with_help(
                    "one billionth of a vCPU is the finest unit (Docker); 0.001 or `1m` on Kubernetes",
                )),
        }
    }
}

/// A decimal number in units of 1/scale.
pub(super) enum Decimal {
    Exact(u64),
    TooFine,
    TooLarge,
}

/// Reads `12`, `.5` or `1.25` as a whole number of 1/`scale`; `None` where it is not a plain decimal number.
pub(super) fn decimal(text: &str, scale: u64) -> Option<Decimal> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
        return None;
    }
    if text.ends_with('.') {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > 18 {
        return Some(Decimal::TooFine);
    }
    let Ok(whole) = (if whole.is_empty() { Ok(0) } else { whole.parse::<u64>() }) else {
        return Some(Decimal::TooLarge);
    };
    let part = if fraction.is_empty() { 0 } else { fraction.parse::<u128>().ok()? * u128::from(scale) };
    let divisor = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    if part % divisor != 0 {
        return Some(Decimal::TooFine);
    }
    let units = u128::from(whole) * u128::from(scale) + part / divisor;
    Some(u64::try_from(units).map_or(Decimal::TooLarge, Decimal::Exact))
}

impl Scalar for Cpu {
    const NAME: &'static str = "Cpu";
    const DESCRIPTION: &'static str = "CPU in vCPUs (`0.5`, `2`) or thousandths of one (`500m`).";
    const PATTERN: Option<&'static str> = Some(r"^([0-9]+(\.[0-9]+)?|\.[0-9]+)m?$");
    const EXAMPLES: &'static [&'static str] = &["500m", "0.25", "2"];
    const ACCEPTS: Accepts = Accepts::STRING_OR_NUMBER;
}
spec_scalar!(Cpu);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_engines_unit_is_exact() {
        assert_eq!("0.25".parse::<Cpu>().unwrap(), Cpu::from_ecs_units(256));
        assert_eq!("500m".parse::<Cpu>().unwrap(), "0.5".parse().unwrap());
        assert_eq!(Cpu::from_ecs_units(1).to_string(), "0.0009765625");
        assert_eq!(Cpu::from_ecs_units(1).millis(), 1);
        assert_eq!("0.000000001".parse::<Cpu>().unwrap().nanos(), 1);
        assert_eq!(Cpu::from_millis(1500).to_string(), "1500m");
        assert_eq!(Cpu::from_millis(2000).to_string(), "2");
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "m", "1.", "-1", "0", "1e3", "0.00000000001", "1 vCPU", "999999999999999999999", "٣"]
        {
            assert!(text.parse::<Cpu>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn prints_what_it_reads(units in 1_u64..=Cpu::MAX_VCPU * Cpu::PER_VCPU) {
            let cpu = Cpu(units);
            prop_assert_eq!(cpu.to_string().parse::<Cpu>().unwrap(), cpu);
        }

        #[test]
        fn never_panics(text in "\\PC*") {
            let _ = text.parse::<Cpu>();
        }
    }
}
