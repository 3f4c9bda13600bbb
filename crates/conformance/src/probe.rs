//! The probe program that the suite runs inside containers, and its image.
//!
//! Load [`image_tar`] into the engine, or push it where the engine pulls from, and give the image's name to [`Bench::new`](crate::Bench::new).

pub use straddle_probe::{Architecture, PROGRAM, image_name, image_tar};

/// The variable by which one image differs from another: see [`Witness::put_image`](crate::Witness::put_image).
pub const VARIABLE: &str = "STRADDLE_SUITE_IMAGE";
