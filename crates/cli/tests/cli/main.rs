//! The command line as a user meets it, over a backend in memory.
#![cfg(test)]

mod acting;
mod bench;
mod checking;
mod configuration;
mod help;
mod live;
mod schemas;
