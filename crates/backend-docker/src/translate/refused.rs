//! Fields that Docker has nothing for: each is answered with a finding.

use straddle_core::{
    model::{Autoscale, Identity, Overlap, Placement, QueueTarget, Schedule, ScheduledBounds},
    path::FieldPath,
    platform::{Output, Place},
};

pub(super) fn identity(out: &mut Output, field: &FieldPath, identity: &Identity) {
    let Identity { aws_role, aws_execution_role, service_account } = identity;
    if aws_role.is_some() {
        let message =
            "containers get no credentials of this role here; what they need comes by `env` or `secrets`";
        out.adapted("docker/aws-role", field.child("aws_role"), message);
    }
    if aws_execution_role.is_some() {
        out.elsewhere("docker/execution-role", field.child("aws_execution_role"), "it is for Amazon ECS");
    }
    if service_account.is_some() {
        out.elsewhere("docker/service-account", field.child("service_account"), "it is for Kubernetes");
    }
}

pub(super) fn placement(out: &mut Output, field: &FieldPath, placement: &Placement) {
    let Placement { spread, nodes, spot } = placement;
    const ONE: &str = "there is one machine";
    for at in 0..spread.len() {
        out.ignored("docker/one-machine", field.child("spread").index(at), ONE);
    }
    for key in nodes.keys() {
        out.ignored("docker/one-machine", field.child("nodes").child(key.as_str()), ONE);
    }
    if spot.is_some() {
        out.ignored("docker/one-machine", field.child("spot"), ONE);
    }
}

/// Nothing scales here by itself: the lower bound is what runs.
pub(super) fn autoscale(out: &mut Output, field: &FieldPath, replicas: &Place, autoscale: &Autoscale) {
    let Autoscale {
        min,
        max: _,
        cpu,
        memory,
        requests_per_minute,
        queue,
        schedules,
        scale_out_cooldown,
        scale_in_cooldown,
    } = autoscale;
    let mut fixed = |path: FieldPath| {
        out.adapted("docker/autoscale", path, format!("the number of replicas stays at {min}"));
    };
    fixed(field.child("max"));
    for (given, key) in [
        (cpu.is_some(), "cpu"),
        (memory.is_some(), "memory"),
        (requests_per_minute.is_some(), "requests_per_minute"),
        (scale_out_cooldown.is_some(), "scale_out_cooldown"),
        (scale_in_cooldown.is_some(), "scale_in_cooldown"),
    ] {
        if given {
            fixed(field.child(key));
        }
    }
    if let Some(QueueTarget { url: _, messages_per_task: _ }) = queue {
        fixed(field.child("queue").child("url"));
        fixed(field.child("queue").child("messages_per_task"));
    }
    for (at, ScheduledBounds { cron: _, timezone: _, min, max }) in schedules.iter().enumerate() {
        let field = field.child("schedules").index(at);
        for (given, key) in
            [(true, "cron"), (true, "timezone"), (min.is_some(), "min"), (max.is_some(), "max")]
        {
            if given {
                fixed(field.child(key));
            }
        }
    }
    out.map(field.child("min"), &[replicas]);
}

pub(super) fn schedule(out: &mut Output, field: &FieldPath, task: &str, schedule: &Schedule) {
    let Schedule { cron: _, timezone: _, overlap } = schedule;
    let message = format!("it does not run by itself here: straddle run {task}");
    for key in ["cron", "timezone"] {
        out.adapted("docker/schedule", field.child(key), message.clone());
    }
    let overlap = match overlap {
        Overlap::Allow => "runs by hand may overlap",
        Overlap::Forbid | Overlap::Replace => "runs by hand are not kept apart",
    };
    out.adapted("docker/schedule", field.child("overlap"), overlap);
}
