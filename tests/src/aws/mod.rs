//! AWS as the tests have it, called as its published models say and without the SDK.
//!
//! Two programs simulate it, each where the other does not (see `scripts/aws`): [`MiniStack`] runs real containers, [`Moto`] stores what it is
//! sent. Neither checks a request; a [`Model`] does.

mod api;
mod http;
mod ministack;
mod model;
mod moto;

pub use self::{
    api::Api,
    ministack::{Connect, LoadBalancer, MINISTACK, MiniStack},
    model::{MODELS, Model},
    moto::{MOTO, Moto},
};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_types::{SdkConfig, region::Region};
use straddle_core::error::{Error, ErrorKind, Result};

/// Reads a variable that `scripts/aws` sets.
fn variable(name: &str) -> Result<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty()).ok_or_else(|| {
        Error::new(ErrorKind::NotFound, format!("{name} is not set"))
            .with_help("eval \"$(scripts/aws start)\"")
    })
}

/// Says who calls, and where: nobody there looks at the keys.
#[must_use]
pub fn sdk(url: &str, region: &'static str) -> SdkConfig {
    let keys = Credentials::new("test", "test", None, None, "tests");
    SdkConfig::builder()
        .region(Region::new(region))
        .endpoint_url(url)
        .credentials_provider(SharedCredentialsProvider::new(keys))
        .build()
}
