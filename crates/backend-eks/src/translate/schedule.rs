//! Tasks: Jobs that are run when they are asked for or awaited, and CronJobs.

use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, Job, JobSpec, JobTemplateSpec};
use straddle_core::{
    model::{Overlap, Schedule, Task},
    path::FieldPath,
    platform::{Output, Place, ResourceKey},
    units::{Cron, Name},
};

use super::{Around, Made, depends::Lasts, object, pod};
use crate::{labels, names};

pub(super) const JOB: &str = "Job";
pub(super) const CRON_JOB: &str = "CronJob";

/// How many runs that succeeded a CronJob keeps.
const KEPT_RUNS: i32 = 3;

/// Returns the key of the object that a task becomes.
pub(super) fn key(name: &Name, task: &Task) -> ResourceKey {
    if task.schedule.is_some() {
        ResourceKey::new(CRON_JOB, names::mangle(name.as_str(), names::MAX_CRON_JOB))
    } else {
        ResourceKey::new(JOB, names::object(name.as_str()))
    }
}

/// Translates a task.
pub(super) fn task(out: &mut Output, around: &Around<'_>, name: &Name, task: &Task) -> Made {
    let Task { template, timeout, attempts, schedule } = task;
    let field = FieldPath::root().child("tasks").child(name.as_str());
    let key = key(name, task);
    let object_place = Place::root(key.clone());
    let job_place = if schedule.is_some() {
        object_place.child("spec").child("jobTemplate").child("spec")
    } else {
        object_place.child("spec")
    };
    let labels = around.labels(labels::TASK, name.as_str());
    let selector = around.selector(labels::TASK, name.as_str());
    let owner = pod::Owner {
        name: name.as_str(),
        lasts: if schedule.is_some() { Lasts::UntilEnd } else { Lasts::UntilWatched },
        field: &field,
        object: &object_place,
        place: &job_place.child("template"),
        labels: &labels,
        selector: &selector,
    };
    let translated = pod::template(out, around, &owner, template);
    out.map(field.child("attempts"), &[&job_place.child("backoffLimit")]);
    let deadline = timeout.map(|timeout| {
        let field = field.child("timeout");
        out.map(field.clone(), &[&job_place.child("activeDeadlineSeconds")]);
        let seconds = i64::from(object::seconds(out, &field, timeout)).saturating_mul(i64::from(*attempts));
        if *attempts > 1 {
            let message = format!("it bounds all {attempts} attempts together: {seconds}s");
            out.adapted("kubernetes/timeout", field, message);
        }
        seconds
    });
    let job = JobSpec {
        active_deadline_seconds: deadline,
        backoff_limit: Some(object::number(attempts.saturating_sub(1))),
        template: translated.template,
        ..JobSpec::default()
    };
    let mut metadata = around.metadata(&key.name, &labels);
    metadata.annotations = object::map(translated.annotations);
    let (main, summary) = match schedule {
        Some(schedule) => {
            let spec =
                scheduled(out, &field.child("schedule"), &object_place.child("spec"), schedule, job, &labels);
            let summary = format!("at {} ({})", schedule.cron, schedule.timezone);
            (
                object::resource(CRON_JOB, &key.name, &CronJob { metadata, spec: Some(spec), status: None }),
                summary,
            )
        }
        None => {
            let followers = around.followers.get(name.as_str()).map(Vec::as_slice).unwrap_or_default();
            let summary = if followers.is_empty() {
                "when asked".to_owned()
            } else {
                format!("once, before {}", followers.join(", "))
            };
            (object::resource(JOB, &key.name, &Job { metadata, spec: Some(job), status: None }), summary)
        }
    };
    Made {
        first: translated.first,
        needs: translated.needs,
        main: straddle_core::platform::Resource { summary, ..main },
        last: Vec::new(),
        hash: translated.hash,
    }
}

fn scheduled(
    out: &mut Output,
    field: &FieldPath,
    place: &Place,
    schedule: &Schedule,
    job: JobSpec,
    labels: &crate::labels::Labels,
) -> CronJobSpec {
    let Schedule { cron, timezone, overlap } = schedule;
    for (key, native) in [("cron", "schedule"), ("timezone", "timeZone"), ("overlap", "concurrencyPolicy")] {
        out.map(field.child(key), &[&place.child(native)]);
    }
    let policy = match overlap {
        Overlap::Allow => "Allow",
        Overlap::Forbid => "Forbid",
        Overlap::Replace => "Replace",
    };
    CronJobSpec {
        schedule: times(cron),
        time_zone: Some(timezone.to_string()),
        concurrency_policy: Some(policy.to_owned()),
        successful_jobs_history_limit: Some(KEPT_RUNS),
        job_template: JobTemplateSpec {
            metadata: Some(object::metadata(labels.clone(), labels::Labels::new())),
            spec: Some(job),
        },
        ..CronJobSpec::default()
    }
}

/// Writes a schedule as a CronJob reads it.
///
/// It knows no 7 for Sunday.
pub(super) fn times(cron: &Cron) -> String {
    let [minute, hour, day, month, weekday] = cron.fields();
    [minute.as_str(), hour, day, month, &weekdays(weekday)].join(" ")
}

fn weekdays(text: &str) -> String {
    const NAMES: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
    let number = |text: &str| {
        let named = NAMES.iter().position(|name| name.eq_ignore_ascii_case(text));
        named.or_else(|| text.parse::<usize>().ok())
    };
    let items = text.split(',').map(|item| {
        let (range, step) = item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)));
        let (first, last) = match range.split_once('-') {
            Some((first, last)) => (number(first), number(last)),
            None if step.is_some() => (number(range), Some(7)),
            None => (number(range), number(range)),
        };
        let (Some(first), Some(7)) = (first, last) else { return item.to_owned() };
        let step = step.and_then(|step| step.parse().ok()).unwrap_or(1).max(1);
        let days: Vec<String> = (first..=7).step_by(step).map(|day| (day % 7).to_string()).collect();
        days.join(",")
    });
    items.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_mean_the_same_on_a_cron_job() {
        for (text, expected) in [
            ("0 3 * * *", "0 3 * * *"),
            ("0 3 * * 7", "0 3 * * 0"),
            ("0 3 * * FRI-7", "0 3 * * 5,6,0"),
            ("0 3 * * 1/2", "0 3 * * 1,3,5,0"),
            ("*/5 0-6 1,15 JAN-MAR MON-FRI", "*/5 0-6 1,15 JAN-MAR MON-FRI"),
            ("0 3 * * */2", "0 3 * * */2"),
        ] {
            assert_eq!(times(&text.parse().unwrap()), expected);
        }
    }
}
