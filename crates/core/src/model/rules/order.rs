use std::collections::BTreeMap;

use super::Found;
use crate::{
    model::{AfterCondition, AppSpec, WorkloadKind},
    path::FieldPath,
};

/// How many names a help lists.
pub(super) const MAX_LISTED: usize = 8;

/// Checks `after` between services and tasks.
pub(super) fn order(found: &mut Found, app: &AppSpec) {
    let root = FieldPath::root();
    for name in app.tasks.keys().filter(|name| app.services.contains_key(*name)) {
        found
            .add(
                "name-twice",
                root.child("tasks").child(name.as_str()),
                format!("`{name}` is a service already"),
            )
            // A name stands there, whatever else is wrong.
            .only_by([])
            .help("give one of them another name");
    }
    let mut edges: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for workload in app.workloads() {
        for (target, condition) in &workload.template.after {
            let path = workload.path().child("after").child(target.as_str());
            edges.entry(workload.name.as_str()).or_default().push(target.as_str());
            let Some(other) = app.find(target) else {
                let known: Vec<&str> = app
                    .workloads()
                    .map(|other| other.name.as_str())
                    .filter(|name| *name != workload.name.as_str())
                    .take(MAX_LISTED + 1)
                    .collect();
                found
                    .add("after-target", path, format!("there is no service or task `{target}`"))
                    .by(["services", "tasks"].map(|section| root.child(section).child(target.as_str())))
                    .help(list(&known));
                continue;
            };
            match (other.kind, condition) {
                (WorkloadKind::Task(task), AfterCondition::Complete | AfterCondition::Success) => {
                    if task.schedule.is_some() {
                        found
                            .add(
                                "after-scheduled",
                                path,
                                format!("`{target}` runs by the clock, so nothing can wait for it"),
                            )
                            .help("wait for a task without a `schedule`");
                    }
                }
                (WorkloadKind::Service(_), AfterCondition::Started | AfterCondition::Healthy) => {}
                (WorkloadKind::Task(_), _) => found
                    .add(
                        "after-condition",
                        path,
                        format!("`{target}` is a task: it ends, and is never healthy"),
                    )
                    .help("write `success` or `complete`"),
                (WorkloadKind::Service(_), _) => found
                    .add("after-condition", path, format!("`{target}` is a service: it does not end"))
                    .help("write `healthy` or `started`"),
            }
        }
    }
    for name in cycle(&edges) {
        if let Some(workload) = name.parse().ok().and_then(|name| app.find(&name)) {
            found
                .add(
                    "after-cycle",
                    workload.path().child("after"),
                    format!("`{name}` waits for itself, by way of what it waits for"),
                )
                // What could be read goes round already.
                .only_by([])
                .help("remove one `after` of the circle");
        }
    }
}

/// Returns one name of each circle of a graph.
pub(super) fn cycle<'a>(edges: &BTreeMap<&'a str, Vec<&'a str>>) -> Vec<&'a str> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        Done,
        Open,
    }
    let (mut marks, mut found) = (BTreeMap::new(), Vec::new());
    // A stack of our own, since a spec may hold a chain of many thousands.
    for start in edges.keys().copied() {
        let mut stack = vec![(start, 0)];
        while let Some((name, next)) = stack.pop() {
            if next == 0 {
                if marks.contains_key(name) {
                    continue;
                }
                marks.insert(name, Mark::Open);
            }
            match edges.get(name).and_then(|targets| targets.get(next)) {
                Some(target) => {
                    stack.push((name, next + 1));
                    match marks.get(target) {
                        Some(Mark::Open) => found.push(*target),
                        Some(Mark::Done) => {}
                        None => stack.push((target, 0)),
                    }
                }
                None => {
                    marks.insert(name, Mark::Done);
                }
            }
        }
    }
    found
}

/// Returns a help that lists what there is.
pub(super) fn list(known: &[&str]) -> String {
    match known {
        [] => "there is nothing else".to_owned(),
        _ => {
            let names: Vec<String> = known.iter().take(MAX_LISTED).map(|name| format!("`{name}`")).collect();
            format!("there is {}{}", names.join(", "), if known.len() > MAX_LISTED { ", ..." } else { "" })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_are_found_and_long_chains_are_walked() {
        let edges = BTreeMap::from([("a", vec!["b"]), ("b", vec!["c"]), ("c", vec!["a"]), ("d", vec!["a"])]);
        assert_eq!(cycle(&edges), ["a"]);
        let names: Vec<String> = (0..50_000).map(|n| format!("{n:05}")).collect();
        let chain = names.windows(2).map(|pair| (pair[0].as_str(), vec![pair[1].as_str()])).collect();
        assert!(cycle(&chain).is_empty());
    }
}
