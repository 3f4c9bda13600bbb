use serde::Serialize;

use crate::{
    spec::Spec,
    units::{Cpu, Memory},
};

/// CPU, memory and storage of a whole task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Spec)]
pub struct Resources {
    /// The CPU that all containers share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Cpu>,
    /// The memory that all containers share; a task that needs more is killed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// The ephemeral storage of the task.
    #[spec(example = "21Gi", example = "50Gi")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<Memory>,
}

/// CPU that is kept for a container, and the most that it may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Spec)]
pub struct CpuAmount {
    /// What is kept for it.
    #[spec(example = "250m", example = "100m")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reservation: Option<Cpu>,
    /// The most that it may use.
    #[spec(example = "1", example = "2")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<Cpu>,
}

/// Memory that is kept for a container, and the most that it may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Spec)]
pub struct MemoryAmount {
    /// What is kept for it.
    #[spec(example = "128Mi", example = "64Mi")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reservation: Option<Memory>,
    /// The most that it may use; a container that needs more is killed.
    #[spec(example = "512Mi", example = "256Mi")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<Memory>,
}

/// The processor architecture and operating system that images are made for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Spec)]
pub struct RuntimePlatform {
    /// The processor architecture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<Architecture>,
    /// The operating system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os: Option<OperatingSystem>,
}

/// A processor architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Spec)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// 64-bit ARM.
    Arm64,
    /// 64-bit x86.
    #[spec(key = "x86_64")]
    #[serde(rename = "x86_64")]
    X86_64,
}

/// An operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Spec)]
#[serde(rename_all = "snake_case")]
pub enum OperatingSystem {
    /// Linux.
    Linux,
    /// Windows.
    Windows,
}
