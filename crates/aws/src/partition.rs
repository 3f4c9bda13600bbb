//! Where the services of AWS are, by region; pure.

use straddle_core::error::{Error, ErrorKind, Result};

/// Regions by how they begin, and the domain of their partition.
///
/// As of botocore's [partitions](https://github.com/boto/botocore/blob/develop/botocore/data/partitions.json); regions of all others are in
/// `amazonaws.com`.
const DOMAINS: [(&str, &str); 6] = [
    ("cn-", "amazonaws.com.cn"),
    ("eu-isoe-", "cloud.adc-e.uk"),
    ("eusc-", "amazonaws.eu"),
    ("us-iso-", "c2s.ic.gov"),
    ("us-isob-", "sc2s.sgov.gov"),
    ("us-isof-", "csp.hci.ic.gov"),
];

/// Returns the host of a service in a region.
#[must_use]
pub fn host(service: &str, region: &str) -> String {
    let domain = DOMAINS
        .iter()
        .find(|(start, _)| region.starts_with(start))
        .map_or("amazonaws.com", |(_, domain)| domain);
    format!("{service}.{region}.{domain}")
}

/// Partitions by how their regions begin, as ARNs name them.
const NAMES: [(&str, &str); 7] = [
    ("cn-", "aws-cn"),
    ("eu-isoe-", "aws-iso-e"),
    ("eusc-", "aws-eusc"),
    ("us-gov-", "aws-us-gov"),
    ("us-iso-", "aws-iso"),
    ("us-isob-", "aws-iso-b"),
    ("us-isof-", "aws-iso-f"),
];

/// Returns the partition of a region, as ARNs name it.
#[must_use]
pub fn name(region: &str) -> &'static str {
    NAMES.iter().find(|(start, _)| region.starts_with(start)).map_or("aws", |(_, name)| name)
}

/// Refuses what is no region: it becomes a part of a host name.
///
/// # Errors
///
/// [`Invalid`](ErrorKind::Invalid).
pub fn check_region(region: &str) -> Result<()> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !region.is_empty() && region.len() <= 63 && region.bytes().all(fits) && !region.starts_with('-') {
        return Ok(());
    }
    let message = format!("no region of AWS is called `{}`", region.escape_debug());
    Err(Error::new(ErrorKind::Invalid, message).with_help("write a region such as `eu-west-1`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_every_partition() {
        for (region, expected) in [
            ("eu-west-1", "sts.eu-west-1.amazonaws.com"),
            ("us-gov-west-1", "sts.us-gov-west-1.amazonaws.com"),
            ("cn-north-1", "sts.cn-north-1.amazonaws.com.cn"),
            ("eusc-de-east-1", "sts.eusc-de-east-1.amazonaws.eu"),
            ("us-iso-east-1", "sts.us-iso-east-1.c2s.ic.gov"),
            ("us-isob-east-1", "sts.us-isob-east-1.sc2s.sgov.gov"),
            ("us-isof-south-1", "sts.us-isof-south-1.csp.hci.ic.gov"),
            ("eu-isoe-west-1", "sts.eu-isoe-west-1.cloud.adc-e.uk"),
        ] {
            assert_eq!(host("sts", region), expected);
            assert!(check_region(region).is_ok());
        }
    }
}
