//! The first law on the in-memory backend.

use straddle_conformance::silent_losses;
use straddle_core::{memory::MemoryPlatform, platform::Platform};

#[test]
fn law_1_no_silent_loss_in_memory() {
    let platform = MemoryPlatform::new();
    let (losses, fields) = silent_losses(&platform, &platform.assumptions());
    let text: Vec<String> = losses.iter().map(ToString::to_string).collect();
    assert!(losses.is_empty(), "{} of {fields} fields vanish:\n{}", losses.len(), text.join("\n"));
    assert!(fields > 250, "only {fields} fields were looked at");
}
