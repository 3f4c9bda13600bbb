use std::sync::atomic::{AtomicU32, Ordering};

use crate::{clock::Clock, orchestrator::Holder};

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
}
