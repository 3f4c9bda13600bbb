//! EKS Fargate: what its pods cannot have, and the size that they get.
//!
//! The rules are those of [its considerations](https://docs.aws.amazon.com/eks/latest/userguide/fargate.html), the sizes and the storage those of
//! [the configuration of its pods](https://docs.aws.amazon.com/eks/latest/userguide/fargate-pod-configuration.html):
//!
//! | rule | here |
//! |---|---|
//! | no DaemonSets | blocked, `eks/fargate-daemon` |
//! | no privileged containers | blocked, `eks/fargate-privileged` |
//! | no GPU | blocked, `eks/fargate-gpu` |
//! | no ARM, no Windows | blocked, `eks/fargate-platform` |
//! | no EBS, no volumes that are provisioned, no directories of a host; EFS by hand only | blocked, `eks/fargate-volume` |
//! | no arguments for the kubelet, and so no kernel parameters that it has to be told to allow | blocked, `eks/fargate-sysctl` |
//! | no nodes that somebody labels | blocked, `eks/fargate-node-label` |
//! | at most 16 vCPU and 120 GB, of which 256 MB are Kubernetes' own | blocked, `eks/fargate-size` |
//! | at most 175 GiB of ephemeral storage | blocked, `eks/fargate-storage` |
//! | no Pod Identity ([its restrictions](https://docs.aws.amazon.com/eks/latest/userguide/pod-identities.html)) | blocked, `eks/fargate-pod-identity` |
//! | 256 MB on top, rounded up to a size | adapted, `eks/fargate-size` |
//! | requests are limits | adapted, `eks/fargate-guaranteed` |
//! | sized by containers, not by pods | adapted, `eks/fargate-task-resources` |
//! | no Spot | adapted, `eks/fargate-spot` |
//!
//! A port or the network of a host cannot be asked for in the model. Profiles, subnets and what finished pods cost are notes of the target.

use straddle_core::{
    finding::{Finding, FindingKind},
    model::{
        Architecture, Container, CpuAmount, MemoryAmount, OperatingSystem, RuntimePlatform, TaskTemplate,
        Volume, VolumeKind,
    },
    path::FieldPath,
    platform::Output,
    units::{Cpu, Memory},
};

use super::depends::{Role, Spot};

/// What Fargate adds to the memory of each pod for the parts of Kubernetes in it, in MiB.
const OWN_MIB: u64 = 256;

/// The most ephemeral storage of a pod.
const MAX_STORAGE: Memory = Memory::from_mebibytes(175 << 10);

const NODES: &str = "run it on nodes: a target with `compute: nodes` or `compute: auto`";

/// What a pod may have: thousandths of a vCPU, then memory from, to and in steps of MiB.
const SIZES: [(u64, u64, u64, u64); 8] = [
    // 1.5 GB is none of the sizes of 0.25 vCPU.
    (250, 512, 1 << 10, 512),
    (250, 2 << 10, 2 << 10, 1 << 10),
    (500, 1 << 10, 4 << 10, 1 << 10),
    (1000, 2 << 10, 8 << 10, 1 << 10),
    (2000, 4 << 10, 16 << 10, 1 << 10),
    (4000, 8 << 10, 30 << 10, 1 << 10),
    (8000, 16 << 10, 60 << 10, 4 << 10),
    (16000, 32 << 10, 120 << 10, 8 << 10),
];

/// CPU and memory of a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    /// Thousandths of a vCPU.
    pub(super) millis: u64,
    pub(super) mib: u64,
}

impl Size {
    /// Returns the smallest size that holds what is asked for and what Fargate adds; nothing where there is none.
    fn provisioned(self) -> Option<Self> {
        let needed = if self.mib == 0 { 0 } else { self.mib + OWN_MIB };
        SIZES.iter().find_map(|&(millis, from, to, step)| {
            let mib = needed.max(from);
            let mib = from + (mib - from).div_ceil(step) * step;
            (millis >= self.millis && mib <= to).then_some(Self { millis, mib })
        })
    }

    fn max(self, other: Self) -> Self {
        Self { millis: self.millis.max(other.millis), mib: self.mib.max(other.mib) }
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let memory = Memory::from_mebibytes(u32::try_from(self.mib).unwrap_or(u32::MAX));
        // As AWS writes it: 0.25 vCPU.
        let (whole, rest) = (self.millis / 1000, format!("{:03}", self.millis % 1000));
        match rest.trim_end_matches('0') {
            "" => write!(f, "{whole} vCPU and {memory}"),
            rest => write!(f, "{whole}.{rest} vCPU and {memory}"),
        }
    }
}

/// Returns what a container reserves; Kubernetes takes its limit where it says nothing else.
pub(super) fn reserved(container: &Container) -> Size {
    let CpuAmount { reservation, limit } = container.cpu.unwrap_or_default();
    let millis = reservation.or(limit).map_or(0, Cpu::millis);
    let MemoryAmount { reservation, limit } = container.memory.unwrap_or_default();
    Size { millis, mib: reservation.or(limit).map_or(0, Memory::mebibytes) }
}

/// Returns what a pod asks for: all containers that go on, or the largest one that runs before them, whichever is more.
fn asked(model: &TaskTemplate, spots: &[Spot<'_>]) -> Size {
    let (mut together, mut before) = (Size::default(), Size::default());
    for spot in spots {
        let Some(container) = model.containers.get(spot.name) else { continue };
        let own = reserved(container);
        if spot.role == Role::Init {
            before = before.max(own);
        } else {
            together = Size { millis: together.millis + own.millis, mib: together.mib + own.mib };
        }
    }
    let whole = model.resources.as_ref().map_or(Size::default(), |resources| Size {
        millis: resources.cpu.map_or(0, Cpu::millis),
        mib: resources.memory.map_or(0, Memory::mebibytes),
    });
    together.max(before).max(whole)
}

/// Says what a pod cannot have, and what size it gets.
pub(super) fn pod(out: &mut Output, field: &FieldPath, model: &TaskTemplate, spots: &[Spot<'_>]) {
    for (name, container) in &model.containers {
        self::container(out, &field.child("containers").child(name.as_str()), container);
    }
    if let Some(RuntimePlatform { architecture, os }) = model.platform {
        let is_arm = architecture == Some(Architecture::Arm64);
        for (wrong, key) in [(is_arm, "architecture"), (os == Some(OperatingSystem::Windows), "os")] {
            if wrong {
                let message = "EKS Fargate runs Linux on x86_64 only";
                let fix = "build the image for linux/amd64, or run it on nodes";
                out.blocked("eks/fargate-platform", field.child("platform").child(key), message, fix);
            }
        }
    }
    if let Some(storage) = model.resources.as_ref().and_then(|resources| resources.storage)
        && storage > MAX_STORAGE
    {
        let message = format!("a pod on EKS Fargate has at most {MAX_STORAGE} of ephemeral storage");
        let fix = "ask for less, or keep the data in an EFS file system";
        out.blocked("eks/fargate-storage", field.child("resources").child("storage"), message, fix);
    }
    size(out, field, model, spots);
}

fn container(out: &mut Output, field: &FieldPath, container: &Container) {
    if container.privileged {
        let message = "EKS Fargate runs no privileged containers";
        out.blocked("eks/fargate-privileged", field.child("privileged"), message, NODES);
    }
    if container.gpu.is_some() {
        out.blocked("eks/fargate-gpu", field.child("gpu"), "EKS Fargate has no GPUs", NODES);
    }
    let cpu = container.cpu.unwrap_or_default();
    let memory = container.memory.unwrap_or_default();
    let differs = [
        ("cpu", cpu.reservation.zip(cpu.limit).is_some_and(|(reservation, limit)| reservation != limit)),
        (
            "memory",
            memory.reservation.zip(memory.limit).is_some_and(|(reservation, limit)| reservation != limit),
        ),
    ];
    for (key, _) in differs.into_iter().filter(|(_, differs)| *differs) {
        let message = "a pod on EKS Fargate is as large as what its containers reserve: there may be no more to use, whatever the limit";
        out.adapted("eks/fargate-guaranteed", field.child(key).child("limit"), message);
    }
}

fn size(out: &mut Output, field: &FieldPath, model: &TaskTemplate, spots: &[Spot<'_>]) {
    const CODE: &str = "eks/fargate-size";
    let asked = asked(model, spots);
    let asking = model.containers.iter().find(|(_, container)| reserved(container) != Size::default());
    let field = match asking {
        Some((name, _)) if model.resources.is_none() => field.child("containers").child(name.as_str()),
        _ => field.child("resources"),
    };
    let Some(size) = asked.provisioned() else {
        let message = format!(
            "{asked} are asked for, and {OWN_MIB}Mi come on top: the largest pod on EKS Fargate has 16 vCPU and 120Gi"
        );
        out.blocked(CODE, field, message, "ask for less, or run it on nodes");
        return;
    };
    if asked == Size::default() {
        let message = format!(
            "nothing is asked for: a pod on EKS Fargate gets {size}, of which {OWN_MIB}Mi are Kubernetes' own"
        );
        let finding = Finding::new(FindingKind::Adapted, CODE, field, message);
        out.push(finding.with_fix("write what it needs: `resources: {cpu: 250m, memory: 256Mi}`"));
        return;
    }
    if size.millis == asked.millis && size.mib == asked.mib + OWN_MIB {
        return;
    }
    let message = format!(
        "EKS Fargate adds {OWN_MIB}Mi for Kubernetes and rounds up to a size that it has: it becomes {size}"
    );
    out.push(Finding::new(FindingKind::Adapted, CODE, field, message).with_change(asked, size));
}

/// Says which volumes a pod cannot have.
pub(super) fn volume(out: &mut Output, field: &FieldPath, volume: &Volume) {
    const CODE: &str = "eks/fargate-volume";
    const EFS: &str = "name an `efs` file system, or an `existing` claim that is bound to one";
    match volume.kind() {
        VolumeKind::Ebs(_) => {
            out.blocked(CODE, field.child("ebs").child("size"), "EKS Fargate mounts no EBS volumes", EFS);
        }
        VolumeKind::Host(_) => {
            let message = "a pod on EKS Fargate has a machine of its own, and sees no directory of it";
            out.blocked(
                CODE,
                field.child("host"),
                message,
                "use an `ephemeral` volume or an `efs` file system",
            );
        }
        VolumeKind::Persistent => {
            out.blocked(CODE, field.clone(), "nothing makes persistent volumes for EKS Fargate", EFS);
        }
        VolumeKind::Existing(_) => {
            let message = "EKS Fargate mounts it only where it is bound to an EFS file system by hand";
            out.adapted(CODE, field.child("existing"), message);
        }
        VolumeKind::Efs(_) | VolumeKind::Ephemeral(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_as_fargate_does() {
        const GIB: u64 = 1 << 10;
        let (smallest, largest) = ((250, 512), (16000, 120 * GIB));
        // (asked for, provisioned)
        type Row = ((u64, u64), Option<(u64, u64)>);
        let table: [Row; 21] = [
            ((0, 0), Some(smallest)),
            ((250, 0), Some(smallest)),
            ((0, 256), Some(smallest)),
            ((250, 257), Some((250, GIB))),
            // There is no 1.5 GB.
            ((250, GIB), Some((250, 2 * GIB))),
            ((250, 2 * GIB - 256), Some((250, 2 * GIB))),
            ((250, 2 * GIB), Some((500, 3 * GIB))),
            ((251, 256), Some((500, GIB))),
            ((500, 4 * GIB), Some((1000, 5 * GIB))),
            ((1000, GIB), Some((1000, 2 * GIB))),
            // The example of the documentation.
            ((1000, 8 * GIB), Some((2000, 9 * GIB))),
            ((1500, 2 * GIB), Some((2000, 4 * GIB))),
            ((2000, 16 * GIB), Some((4000, 17 * GIB))),
            ((4000, 30 * GIB), Some((8000, 32 * GIB))),
            ((4000, 30 * GIB - 256), Some((4000, 30 * GIB))),
            ((8000, 17 * GIB), Some((8000, 20 * GIB))),
            ((8000, 60 * GIB), Some((16000, 64 * GIB))),
            ((16000, 32 * GIB), Some((16000, 40 * GIB))),
            ((16000, 120 * GIB - 256), Some(largest)),
            ((16000, 120 * GIB), None),
            ((16001, GIB), None),
        ];
        for ((millis, mib), expected) in table {
            let expected = expected.map(|(millis, mib)| Size { millis, mib });
            assert_eq!(Size { millis, mib }.provisioned(), expected, "{millis} {mib}");
        }
        assert_eq!(Size { millis: 250, mib: 512 }.to_string(), "0.25 vCPU and 512Mi");
    }
}
