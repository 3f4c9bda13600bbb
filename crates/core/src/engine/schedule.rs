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
        let mut positions: BTreeMap<u32, usize> = BTreeMap::new();
        let mut waits_for = Vec::with_capacity(plan.steps.len());
        let mut awaited_by: Vec<Vec<usize>> = vec![Vec::new(); plan.steps.len()];
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

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{
        plan::{Action, Fingerprint, PLAN_VERSION, Step},
        platform::ResourceKey,
        scope::Scope,
    };

    fn plan(steps: &[(u32, &[u32])]) -> Plan {
        let step = |&(id, depends_on): &(u32, &[u32])| Step {
            id,
            action: Action::Create,
            resource: ResourceKey::new("service", id.to_string()),
            summary: String::new(),
            revision: None,
            changes: Vec::new(),
            depends_on: depends_on.to_vec(),
            payload: Value::Null,
        };
        Plan {
            version: PLAN_VERSION,
            scope: Scope::new(&"shop".parse().unwrap()),
            backend: "test".to_owned(),
            place: String::new(),
            steps: steps.iter().map(step).collect(),
            unchanged: 0,
            endpoints: Vec::new(),
            findings: Vec::new(),
            fingerprint: Fingerprint(String::new()),
            left_lease: false,
        }
    }

    #[test]
    fn a_step_is_ready_when_all_before_it_are_done() {
        let mut schedule = Schedule::new(&plan(&[(7, &[]), (3, &[7]), (9, &[]), (1, &[3, 9])])).unwrap();
        assert_eq!((schedule.next(), schedule.next(), schedule.next()), (Some(0), Some(2), None));
        schedule.done(2);
        assert_eq!(schedule.next(), None);
        schedule.done(0);
        assert_eq!((schedule.next(), schedule.next()), (Some(1), None));
        assert_eq!(schedule.lost_with(1), [3]);
        schedule.done(1);
        assert_eq!(schedule.next(), Some(3));
    }

    #[test]
    fn plans_that_do_not_fit_together_are_refused() {
        let wrong: [&[(u32, &[u32])]; 3] = [&[(1, &[2]), (2, &[])], &[(1, &[1])], &[(1, &[]), (1, &[])]];
        for steps in wrong {
            assert_eq!(Schedule::new(&plan(steps)).unwrap_err().kind(), ErrorKind::Invalid);
        }
    }
}
