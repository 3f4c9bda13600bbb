//! What registries of container images are asked, and who asks.
//!
//! A tag such as `shop/web:latest` stands for one image today and for another one tomorrow. Engines of a cloud take what it stands for when
//! a replica starts, so that replicas of one revision may run different images. With the digest beside the tag, an image that was pushed
//! anew is a new revision, and each revision runs one image:
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use straddle_core::{clock::SystemClock, units::ImageRef};
//!
//! let image: ImageRef = "registry.example.com/shop/web:1.4.2".parse()?;
//! for (reference, digest) in straddle_registry::digests([&image], &SystemClock::new()).await? {
//!     println!("{reference} is {digest}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Credentials are those of the docker command line ([`Credentials::find`]), credential helpers included.
//!
//! What it does not do: pulling and pushing.

#[cfg(feature = "client")]
mod client;
mod credentials;

#[cfg(feature = "client")]
pub use self::client::digests;
pub use self::credentials::{Credentials, docker_folder};
