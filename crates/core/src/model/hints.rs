use crate::{model::App, path::FieldPath, units::Cpu};

/// Something that is meant as it is written by few, and written by mistake by many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// The field.
    pub path: FieldPath,
    /// What it means as it stands, and what may have been meant.
    pub message: String,
}

/// More than this is rarely meant: machines with more vCPUs exist, and ECS units begin at 128.
const MANY_CPUS: u64 = 128;

impl App {
    /// Returns what is probably a slip, though it can be meant.
    #[must_use]
    pub fn hints(&self) -> Vec<Hint> {
        let mut hints = Vec::new();
        let mut cpu = |path: FieldPath, amount: Option<Cpu>| {
            let Some(amount) = amount.filter(|amount| amount.whole() >= MANY_CPUS) else { return };
            let units = u32::try_from(amount.whole()).map_or(amount, Cpu::from_ecs_units);
            hints.push(Hint {
                path,
                message: format!(
                    "`{amount}` means {} CPUs; in ECS units it would be `{units}`",
                    amount.whole()
                ),
            });
        };
        for workload in self.workloads() {
            let path = workload.path();
            if let Some(resources) = &workload.template.resources {
                cpu(path.child("resources").child("cpu"), resources.cpu);
            }
            for (name, container) in &workload.template.containers {
                if let Some(own) = &container.cpu {
                    let path = path.child("containers").child(name.as_str()).child("cpu");
                    cpu(path.child("reservation"), own.reservation);
                    cpu(path.child("limit"), own.limit);
                }
            }
        }
        hints
    }
}

#[cfg(test)]
mod tests {
    use crate::{model::App, spec::from_yaml};

    #[test]
    fn ecs_units_are_suspected() {
        let app: App = from_yaml("app: a\nservices: {web: {image: i, resources: {cpu: 256}}}").unwrap();
        let hints = app.hints();
        assert_eq!(hints.len(), 1);
        assert_eq!(hints[0].path.to_string(), "services.web.resources.cpu");
        assert_eq!(hints[0].message, "`256` means 256 CPUs; in ECS units it would be `250m`");
        let app: App = from_yaml("app: a\nservices: {web: {image: i, resources: {cpu: 4}}}").unwrap();
        assert!(app.hints().is_empty());
    }
}
