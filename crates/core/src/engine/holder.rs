use std::sync::atomic::{AtomicU32, Ordering};

use crate::{
    clock::Clock,
    error::{Error, ErrorKind},
    orchestrator::Holder,
};

impl Holder {
    /// Names this process as the holder of a lease, with a description for people (`straddle up`).
    ///
    /// Every call names another holder, so that two commands in one process exclude each other too.
    #[must_use]
    pub fn of_this_process(description: impl Into<String>, clock: &dyn Clock) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let process = std::process::id();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let id = format!("{process}-{count}-{:x}", clock.now().as_nanosecond());
        // Somebody on another machine must never take this holder for a process of theirs: an unknown machine gets a name of its own.
        let machine = host_name().unwrap_or_else(|| format!("unknown-{id}"));
        let description = format!("{} on {machine} (pid {process})", description.into());
        Self { id, description, machine, process }
    }

    /// Returns whether another holder can tell that this one is dead: it is on the same machine, and does not find the process.
    ///
    /// Where that cannot be told, a lease runs out by itself.
    #[must_use]
    pub fn is_dead_to(&self, other: &Self) -> bool {
        self.machine == other.machine && !is_alive(self.process)
    }

    /// Returns the error of who finds that this one holds the lease.
    #[must_use]
    pub fn to_conflict(&self) -> Error {
        Error::new(ErrorKind::Conflict, format!("{} is changing this application", self.description))
            .with_help(
                "wait until that has ended; a lease that is left behind ends by itself within a minute",
            )
    }
}

fn is_alive(process: u32) -> bool {
    let proc = std::path::Path::new("/proc");
    !proc.join("self").exists() || proc.join(process.to_string()).exists()
}

fn host_name() -> Option<String> {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name =
        kernel.or_else(|| std::env::var("HOSTNAME").ok()).or_else(|| std::env::var("COMPUTERNAME").ok())?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn every_holder_is_another() {
        let clock = ManualClock::new();
        let (one, two) = (Holder::of_this_process("up", &clock), Holder::of_this_process("up", &clock));
        assert_ne!(one.id, two.id);
        assert_eq!((&one.machine, one.process), (&two.machine, two.process));
        assert!(one.description.starts_with("up on "));
    }

    #[test]
    fn who_is_gone_is_only_dead_to_the_same_machine() {
        let clock = ManualClock::new();
        let (own, mut gone) = (Holder::of_this_process("up", &clock), Holder::of_this_process("up", &clock));
        assert!(!own.is_dead_to(&gone));
        gone.process = u32::MAX;
        assert!(gone.is_dead_to(&own));
        gone.machine = "another".to_owned();
        assert!(!gone.is_dead_to(&own));
    }
}
