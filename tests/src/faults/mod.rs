//! Law 3 on a real engine: every call of every operation goes wrong in every way, and the same command again comes to the same end.
//!
//! [`Matrix::measure`] runs each operation undisturbed, and takes down the calls that it makes; each of them with each fault is a [`Cell`]. A cell
//! holds where the same command, run again once, exits as the undisturbed one does and leaves the same on the engine, with nothing twice, and a
//! further one has nothing to do.

mod cell;
mod operation;
mod run;
mod site;
mod snapshot;

pub use self::{
    cell::{Cell, Kind, Point},
    operation::{Operation, State},
    run::{Matrix, Options, Report, Row},
    site::{Baseline, Outcome},
};
