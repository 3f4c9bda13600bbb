//! Which steps may begin: pure bookkeeping over the dependencies of a plan.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    error::{Error, ErrorKind, Result},
    plan::Plan,
};

/// The steps of a plan that have not begun, by their position.
#[derive(Debug)]
pub(super) struct Schedule {
    /// For each step the steps before it that are not done.
    waits_for: Vec<BTreeSet<usize>>,
    /// For each step those that wait for it.
    awaited_by: Vec<Vec<usize>>,
    /// Steps that may begin, in the order of the plan.
    ready: BTreeSet<usize>,
}

impl Schedule {
    /// Reads the dependencies of a plan.
    pub(super) fn new(plan: &Plan) -> Result<Self> {
        let invalid = |text: String| Error::new(ErrorKind::Invalid, text).with_help("make the plan again");
        let mut positions = BTreeMap::new();
        let mut waits_for = Vec::with_capacity(plan.steps.len());
        let mut awaited_by = vec![Vec::new(); plan.steps.len()];
        for (at, step) in plan.steps.iter().enumerate() {
            let mut needed = BTreeSet::new();
            for id in &step.depends_on {
                // Only steps that stand before are known yet, so that no circle can be written.
                let before = *positions.get(id).ok_or_else(|| {
                    invalid(format!("step {} depends on step {id}, which does not stand before it", step.id))
                })?;
                if needed.insert(before) {
                    awaited_by[before].push(at);
                }
            }
            waits_for.push(needed);
            if positions.insert(step.id, at).is_some() {
                return Err(invalid(format!("two steps have the number {}", step.id)));
            }
        }
        let ready = (0..waits_for.len()).filter(|at| waits_for[*at].is_empty()).collect();
        Ok(Self { waits_for, awaited_by, ready })
    }

    /// Takes the first step that may begin.
    pub(super) fn next(&mut self) -> Option<usize> {
        self.ready.pop_first()
    }

    /// Returns whether a step may begin.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Notes that a step is done.
    pub(super) fn done(&mut self, at: usize) {
        for &next in &self.awaited_by[at] {
            if self.waits_for[next].remove(&at) && self.waits_for[next].is_empty() {
                self.ready.insert(next);
            }
        }
    }

    /// Returns every step that will never begin because this one failed, in the order of the plan.
    pub(super) fn lost_with(&self, at: usize) -> Vec<usize> {
        let (mut lost, mut open) = (BTreeSet::new(), vec![at]);
        while let Some(at) = open.pop() {
            open.extend(self.awaited_by[at].iter().filter(|next| lost.insert(**next)));
        }
        lost.into_iter().collect()
    }
}
