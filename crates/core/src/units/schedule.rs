use std::{fmt, str::FromStr};

use super::name::text;
use crate::spec::{Accepts, Scalar, ScalarError, spec_scalar};

/// A schedule in the five fields of cron: minute, hour, day of month, month, day of week (0 and 7 are Sunday).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cron([String; 5]);

const FIELDS: [(&str, u8, u8, &[&str]); 5] = [
    ("minute", 0, 59, &[]),
    ("hour", 0, 23, &[]),
    ("day of month", 1, 31, &[]),
    ("month", 1, 12, &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]),
    ("day of week", 0, 7, &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]),
];

impl Cron {
    /// Returns the five fields as they were written.
    #[must_use]
    pub fn fields(&self) -> &[String; 5] {
        &self.0
    }
}

/// Checks one field: lists of values, ranges and steps.
fn field(text: &str, (name, low, high, names): (&str, u8, u8, &[&str])) -> Result<(), ScalarError> {
    let bad = |why: String| {
        ScalarError::new(format!("`{text}` is not a {name} of a cron schedule: {why}")).with_help(
            "the five fields are minute, hour, day of month, month, day of week: `0 3 * * MON-FRI`",
        )
    };
    let value = |part: &str| -> Result<u8, ScalarError> {
        if let Some(at) = names.iter().position(|name| name.eq_ignore_ascii_case(part)) {
            return Ok(u8::try_from(at).unwrap_or(0) + low);
        }
        let number = part.parse::<u8>().ok().filter(|_| part.bytes().all(|byte| byte.is_ascii_digit()));
        number
            .filter(|n| (low..=high).contains(n))
            .ok_or_else(|| bad(format!("`{part}` is not in {low} to {high}")))
    };
    for item in text.split(',') {
        let (range, step) = item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)));
        if let Some(step) = step {
            let good =
                step.parse::<u8>().is_ok_and(|step| step > 0 && step <= high) && !step.starts_with('+');
            if !good {
                return Err(bad(format!("`{step}` is not a step")));
            }
        }
        if range == "*" {
            continue;
        }
        match range.split_once('-') {
            Some((first, last)) => {
                if value(first)? > value(last)? {
                    return Err(bad(format!("`{range}` runs backwards")));
                }
            }
            None => {
                value(range)?;
            }
        }
    }
    Ok(())
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

impl FromStr for Cron {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let parts: Vec<String> = text.split_ascii_whitespace().map(str::to_owned).collect();
        let count = parts.len();
        let fields: [String; 5] = parts.try_into().map_err(|_| {
            let help = match count {
                6 => "the year of an EventBridge schedule has no place here: write minute, hour, day of month, month, day of week",
                _ if text.starts_with('@') => "write the five fields: `@daily` is `0 0 * * *`",
                _ => "write minute, hour, day of month, month and day of week: `0 3 * * *`",
            };
            ScalarError::new(format!("a cron schedule has 5 fields, `{text}` has {count}")).with_help(help)
        })?;
        for (text, rule) in fields.iter().zip(FIELDS) {
            field(text, rule)?;
        }
        Ok(Self(fields))
    }
}

impl Scalar for Cron {
    const NAME: &'static str = "Cron";
    const DESCRIPTION: &'static str =
        "A cron schedule of five fields: minute, hour, day of month, month, day of week (0 is Sunday).";
    const PATTERN: Option<&'static str> = Some(r"^\s*\S+(\s+\S+){4}\s*$");
    const EXAMPLES: &'static [&'static str] = &["0 3 * * *", "*/5 * * * MON-FRI"];
    const ACCEPTS: Accepts = Accepts::STRING;
}
spec_scalar!(Cron);

text! {
    /// A time zone by its IANA name (`Europe/Berlin`).
    TimeZone, |text| {
        let part = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+-".contains(&byte));
        if text.len() > 64 || !text.split('/').all(part) || !text.as_bytes()[0].is_ascii_uppercase() {
            return Err(ScalarError::new(format!("`{}` is not a time zone", text.escape_debug()))
                .with_help("write its IANA name: `Europe/Berlin`, `UTC`"));
        }
        Ok(())
    }
}

impl TimeZone {
    /// Returns Coordinated Universal Time.
    #[must_use]
    pub fn utc() -> Self {
        Self("UTC".to_owned())
    }
}

impl Scalar for TimeZone {
    const NAME: &'static str = "TimeZone";
    const DESCRIPTION: &'static str = "A time zone by its IANA name.";
    const PATTERN: Option<&'static str> = Some("^[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$");
    const EXAMPLES: &'static [&'static str] = &["Europe/Berlin", "UTC"];
    const ACCEPTS: Accepts = Accepts::STRING;
}
spec_scalar!(TimeZone);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_fields_in_their_ranges() {
        for good in ["0 3 * * *", "*/5 0-6 1,15 JAN-MAR MON", "0 0 * * 7"] {
            assert_eq!(good.parse::<Cron>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "0 3 * *",
            "0 3 * * ? 2026",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "5-1 * * * *",
            "*/0 * * * *",
            "@daily",
        ] {
            assert!(bad.parse::<Cron>().is_err(), "{bad}");
        }
        assert!("Europe/Berlin".parse::<TimeZone>().is_ok());
        for bad in ["", "berlin", "Europe/"] {
            assert!(bad.parse::<TimeZone>().is_err(), "{bad}");
        }
    }
}
