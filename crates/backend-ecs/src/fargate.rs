//! The sizes that a Fargate task can have.
//!
//! Source: "Task CPU and memory" of the Amazon ECS Developer Guide for Fargate, with the 32 vCPU row of 2026, which is three values
//! and no range. The text of the API's own model stops at 16 vCPU.

use straddle_core::units::{Cpu, Memory};

/// One row of the table: CPU, and the memory that goes with it.
struct Row {
    cpu_units: u32,
    memory: Sizes,
}

/// Amounts of memory, in MiB.
enum Sizes {
    /// These only.
    These(&'static [u32]),
    /// From the first to the last, in steps.
    Range { first: u32, last: u32, step: u32 },
}

const ROWS: &[Row] = &[
    Row { cpu_units: 256, memory: Sizes::These(&[512, 1024, 2048]) },
    Row { cpu_units: 512, memory: Sizes::Range { first: 1024, last: 4096, step: 1024 } },
    Row { cpu_units: 1024, memory: Sizes::Range { first: 2048, last: 8192, step: 1024 } },
    Row { cpu_units: 2048, memory: Sizes::Range { first: 4096, last: 16384, step: 1024 } },
    Row { cpu_units: 4096, memory: Sizes::Range { first: 8192, last: 30720, step: 1024 } },
    Row { cpu_units: 8192, memory: Sizes::Range { first: 16384, last: 61440, step: 4096 } },
    Row { cpu_units: 16384, memory: Sizes::Range { first: 32768, last: 122_880, step: 8192 } },
    Row { cpu_units: 32768, memory: Sizes::These(&[61440, 122_880, 249_856]) },
];

/// A size that Fargate has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FargateSize {
    /// CPU in 1/1024 of a vCPU, as ECS counts it.
    pub cpu_units: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
}

impl FargateSize {
    /// Returns the smallest size that holds what is asked for: the least CPU first, then the least memory; `None` where none is large enough.
    ///
    /// What is not asked for counts as nothing.
    #[must_use]
    pub fn holding(cpu: Option<Cpu>, memory: Option<Memory>) -> Option<Self> {
        let (units, mib) = (cpu.map_or(0, Cpu::ecs_units), memory.map_or(0, Memory::mebibytes));
        ROWS.iter().filter(|row| u64::from(row.cpu_units) >= units).find_map(|row| {
            let memory_mib = match row.memory {
                Sizes::These(sizes) => sizes.iter().copied().find(|size| u64::from(*size) >= mib)?,
                Sizes::Range { first, last, step } => {
                    let above = mib.saturating_sub(u64::from(first)).div_ceil(u64::from(step));
                    u32::try_from(above)
                        .ok()?
                        .checked_mul(step)?
                        .checked_add(first)
                        .filter(|size| *size <= last)?
                }
            };
            Some(Self { cpu_units: row.cpu_units, memory_mib })
        })
    }

    /// Returns whether this is exactly what was asked for, so that nothing is rounded.
    #[must_use]
    pub fn is_exactly(self, cpu: Cpu, memory: Memory) -> bool {
        cpu == Cpu::from_ecs_units(self.cpu_units) && memory == Memory::from_mebibytes(self.memory_mib)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(cpu: &str, memory: &str) -> Option<(u32, u32)> {
        FargateSize::holding(cpu.parse().ok(), memory.parse().ok())
            .map(|size| (size.cpu_units, size.memory_mib))
    }

    #[test]
    fn sizes_round_up_to_what_there_is() {
        assert_eq!(holding("250m", "512Mi"), Some((256, 512)));
        assert_eq!(holding("500m", "1500Mi"), Some((512, 2048)));
        assert_eq!(holding("100m", "3Gi"), Some((512, 3072)));
        assert_eq!(holding("8", "17Gi"), Some((8192, 20480)));
        assert_eq!(holding("17", "100Gi"), Some((32768, 122_880)));
        assert_eq!(holding("32", "244Gi"), Some((32768, 249_856)));
        assert_eq!(holding("32", "245Gi"), None);
        assert_eq!(holding("33", "1Gi"), None);
        assert_eq!(holding("-", "-"), Some((256, 512)));
    }

    #[test]
    fn exact_means_exact() {
        let size = FargateSize { cpu_units: 256, memory_mib: 512 };
        assert!(size.is_exactly("250m".parse().unwrap(), "512Mi".parse().unwrap()));
        assert!(!size.is_exactly("250m".parse().unwrap(), "512MB".parse().unwrap()));
    }
}
