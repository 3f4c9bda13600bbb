//! What people read: text made of data, without writing it anywhere.

mod failure;
mod findings;
mod plan;
mod problems;
mod progress;
mod table;

pub(crate) use failure::failure;
pub(crate) use findings::{Assessment, assessments, blocked};
pub(crate) use plan::{plan, plan_counts, resource_label, title};
pub(crate) use problems::{problems, problems_title};
pub(crate) use progress::Progress;
pub(crate) use table::Table;
