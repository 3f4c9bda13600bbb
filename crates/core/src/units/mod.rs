//! Values with a unit or a form: one type each, exact, and right once built.
//!
//! Every type here is a [`Scalar`](crate::spec::Scalar): it is written as one value in a spec, refuses what it cannot
//! mean with a reason, and prints back what it reads.

mod aws;
mod cpu;
mod duration;
mod image;
mod memory;
mod name;
mod net;
mod percent;
mod process;
mod schedule;
mod secret;

pub use aws::Arn;
pub use cpu::Cpu;
pub use duration::Timespan;
pub use image::ImageRef;
pub use memory::Memory;
pub use name::{EnvName, MetadataKey, Name, PortName};
pub use net::{HostName, HttpPath, IpAddress, Port, StatusRange};
pub use percent::Percent;
pub use process::{AbsolutePath, Capability, FileMode, Signal, Sysctl, User};
pub use schedule::{Cron, TimeZone};
pub use secret::{SecretRef, SecretSource};
