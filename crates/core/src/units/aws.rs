use std::{fmt, str::FromStr};

use super::name::text;
use crate::spec::{Accepts, Scalar, ScalarError, spec_scalar};

text! {
    /// An Amazon Resource Name.
    Arn, |text| {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let good = parts.len() == 6 && parts[0] == "arn" && parts[1].starts_with("aws") && !parts[2].is_empty() && !parts[5].is_empty();
        if !good || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ScalarError::new(format!("`{}` is not an ARN", text.escape_debug()))
                .with_help("write it whole: `arn:aws:iam::111122223333:role/shop-web`"));
        }
        Ok(())
    }
}

impl Scalar for Arn {
    const NAME: &'static str = "Arn";
    const DESCRIPTION: &'static str = "An Amazon Resource Name, `arn:aws:...`.";
    const PATTERN: Option<&'static str> = Some("^arn:aws[!-9;-~]*:[!-9;-~]+:[!-9;-~]*:[!-9;-~]*:[!-~]+$");
    const EXAMPLES: &'static [&'static str] =
        &["arn:aws:iam::111122223333:role/shop-web", "arn:aws:iam::111122223333:role/shop-exec"];
    const ACCEPTS: Accepts = Accepts::STRING;
}
spec_scalar!(Arn);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        assert!("arn:aws-cn:iam::1:role/x".parse::<Arn>().is_ok());
        for bad in ["", "role/x", "arn:aws:iam::1", "arn:gcp:a:b:c:d", "arn:aws:iam::1:role/a b"] {
            assert!(bad.parse::<Arn>().is_err(), "{bad}");
        }
    }
}
