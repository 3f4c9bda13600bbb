//! Straddle on a Docker engine.
#![allow(dead_code)]
mod client;
mod diff;
mod document;
mod error;
mod facts;
mod group;
mod labels;
mod names;
mod observe;
mod translate;
