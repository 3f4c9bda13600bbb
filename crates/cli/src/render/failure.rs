//! A rollout or run that cannot finish: its cause, the evidence, what runs now, and what to do.

use straddle_core::failure::Failure;

use crate::style;

/// Returns the block that explains a failure.
pub(crate) fn failure(failure: &Failure, help: Option<&str>) -> String {
    let mut text =
        format!("{} {}: {}\n", style::bad("error:"), style::bold(&failure.workload), failure.summary);
    if !failure.last_lines.is_empty() {
        let who = match (&failure.container, &failure.replica) {
            (Some(container), Some(replica)) => format!("container {container} of {replica}"),
            (Some(container), None) => format!("container {container}"),
            (None, Some(replica)) => replica.clone(),
            (None, None) => failure.workload.clone(),
        };
        text.push_str(&format!("\n  {who}, last lines:\n"));
        for line in &failure.last_lines {
            text.push_str(&format!("    {} {line}\n", style::faint("|")));
        }
    }
    text.push('\n');
    if let Some(back) = &failure.rolled_back {
        let state = match back.revision {
            Some(revision) => {
                format!("Back on revision {revision}: {}/{} healthy.", back.healthy, back.desired)
            }
            None => format!("Nothing of {} ran before, and nothing of it runs now.", failure.workload),
        };
        text.push_str(&format!("  {state}\n"));
    }
    if let Some(likely) = &failure.likely {
        text.push_str(&format!("  Likely: {likely}\n"));
    }
    text.push_str(&format!("  Next:   {}\n", help.unwrap_or("fix it and run straddle up")));
    text
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;
    use straddle_core::failure::{Cause, Failure, RolledBack};

    #[test]
    fn it_says_why_what_runs_now_and_what_to_do() {
        let mut failure = Failure::new(
            "web",
            Cause::Exited,
            "the new version exits at once (exit 1, three times in a row)",
        );
        failure.container = Some("web".to_owned());
        failure.replica = Some("web-8-1".to_owned());
        failure.last_lines = vec![
            "thread 'main' panicked at src/main.rs:12:".to_owned(),
            "DATABASE_URL must be set".to_owned(),
        ];
        failure.rolled_back = Some(RolledBack { revision: Some(7), healthy: 3, desired: 3 });
        failure.likely = Some(
            "DATABASE_URL is in revision 7 and no longer in straddle.yaml (services.web.env).".to_owned(),
        );
        insta::assert_snapshot!(strip_str(&super::failure(&failure, None)));
    }

    #[test]
    fn a_first_rollout_has_nothing_to_go_back_to() {
        let mut failure =
            Failure::new("web", Cause::ImageMissing, "image shop/web:1.5.O not found (registry answers 404)");
        failure.rolled_back = Some(RolledBack { revision: None, healthy: 0, desired: 3 });
        insta::assert_snapshot!(strip_str(&super::failure(&failure, Some("correct services.web.image"))));
    }
}
