//! CPU and memory of a task.

use serde_json::{Value, json};

use crate::ecs_fake::value::{Doc, Done, Fail};

/// Returns a definition with its CPU and memory as whole numbers of units and of MiB.
pub(super) fn normalised(body: &Value) -> Done {
    let mut normal = body.clone();
    for (key, unit, factor) in [("cpu", "vcpu", 1024.0), ("memory", "gb", 1024.0)] {
        let Some(text) = body.text(key) else {
            if body.given(key).is_some() {
                return Err(Fail::new("SerializationException", format!("{key} is a string")));
            }
            continue;
        };
        let number = number(text, unit, factor)
            .ok_or_else(|| Fail::client(format!("Invalid '{key}' setting for task: {text}")))?;
        normal[key] = json!(number.to_string());
    }
    Ok(normal)
}

fn number(text: &str, unit: &str, factor: f64) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    match text.strip_suffix(unit) {
        Some(number) => {
            let number: f64 = number.trim().parse().ok().filter(|number| *number > 0.0)?;
            let units = number * factor;
            // What is not whole is no size.
            format!("{units:.0}").parse().ok().filter(|_| (units - units.round()).abs() < 1e-9)
        }
        None => text.parse().ok(),
    }
}

/// Demands a size that Fargate has.
pub(super) fn fargate(cpu: u64, memory: u64) -> Done<()> {
    let is_in = |from: u64, to: u64, step: u64| (from..=to).contains(&memory) && memory.is_multiple_of(step);
    let is_there = match cpu {
        256 => [512, 1024, 2048].contains(&memory),
        512 => is_in(1024, 4096, 1024),
        1024 => is_in(2048, 8192, 1024),
        2048 => is_in(4096, 16384, 1024),
        4096 => is_in(8192, 30720, 1024),
        8192 => is_in(16384, 61440, 4096),
        16384 => is_in(32768, 122_880, 8192),
        32768 => [61440, 122_880, 249_856].contains(&memory),
        _ => false,
    };
    if is_there {
        return Ok(());
    }
    Err(Fail::client(format!(
        "No Fargate configuration exists for given values: {cpu} CPU, {memory} memory. See the Amazon ECS documentation for the valid values."
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_normalised() {
        let normal = normalised(&json!({ "cpu": ".5 vCPU", "memory": "3 GB" })).unwrap();
        assert_eq!(normal, json!({ "cpu": "512", "memory": "3072" }));
        assert!(normalised(&json!({ "cpu": "half" })).is_err());
        assert!(fargate(512, 3072).is_ok());
        assert!(fargate(8192, 17408).is_err());
        assert!(fargate(32768, 65536).is_err());
    }
}
