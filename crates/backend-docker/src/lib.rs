//! Straddle on a Docker engine.
#![allow(dead_code)]
mod client;
mod document;
mod error;
mod facts;
mod labels;
mod names;
mod translate;
