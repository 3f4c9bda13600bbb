//! Every exit code of `straddle`, in one place.
//!
//! `run` and `exec` pass on the exit code of the process that they ran; [`TIMEOUT`] and [`OWN_FAILURE`] are theirs alone.

/// It is done, or there was nothing to do.
pub const DONE: u8 = 0;
/// It failed: the engine does not answer, somebody else holds the lease, a plan is stale, a name is not known.
pub const FAILED: u8 = 1;
/// The command line, the configuration or the spec cannot be meant, or a question could not be asked.
pub const USAGE: u8 = 2;
/// The target cannot run it as written, or `--strict` does not let a finding pass.
pub const BLOCKED: u8 = 3;
/// `plan --exit-code` found something to change.
pub const CHANGES: u8 = 4;
/// A rollout did not reach its end; it may have been rolled back.
pub const ROLLOUT: u8 = 5;
/// `run` or `exec`: the time of the process was over.
pub const TIMEOUT: u8 = 124;
/// `run` or `exec`: it did not come to an exit code of the process.
pub const OWN_FAILURE: u8 = 125;
/// Somebody pressed Ctrl-C, or asked the process to stop.
pub const INTERRUPTED: u8 = 130;

/// Every code with its meaning, as the manual shows them.
pub const TABLE: [(u8, &str); 9] = [
    (DONE, "done, or nothing to do"),
    (FAILED, "failed"),
    (USAGE, "usage or invalid input"),
    (BLOCKED, "blocked by a finding"),
    (CHANGES, "changes present (plan --exit-code)"),
    (ROLLOUT, "rollout failed or was rolled back"),
    (TIMEOUT, "run and exec: time over"),
    (OWN_FAILURE, "run and exec: failure of their own"),
    (INTERRUPTED, "interrupted"),
];
