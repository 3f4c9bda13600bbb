//! Which requests a rule is for, and where it sends them.

use serde_json::Value;

use crate::ecs_fake::{
    value::{Doc, Done, Fail},
    wire::Request,
};

/// Returns the target groups of an action, with their weights.
pub(super) fn groups(action: &Value) -> Vec<(String, u64)> {
    let weighted = action.get("ForwardConfig").map(|config| config.list("TargetGroups")).unwrap_or_default();
    if weighted.is_empty() {
        return action.text("TargetGroupArn").map(|arn| (arn.to_owned(), 1)).into_iter().collect();
    }
    let weight = |group: &Value| group.text("Weight").and_then(|weight| weight.parse().ok()).unwrap_or(1);
    weighted
        .iter()
        .filter_map(|group| Some((group.text("TargetGroupArn")?.to_owned(), weight(group))))
        .collect()
}

/// Demands actions that can be carried out.
pub(super) fn validate(actions: &[Value], is_known: impl Fn(&str) -> bool) -> Done<()> {
    if actions.is_empty() {
        return Err(Fail::new("ValidationError", "A listener or rule needs an action."));
    }
    for action in actions {
        match action.text("Type") {
            Some("forward") => {
                let groups = groups(action);
                if groups.is_empty() || !groups.iter().all(|(group, _)| is_known(group)) {
                    return Err(super::missing("TargetGroupNotFound", "target groups"));
                }
            }
            Some("fixed-response" | "redirect") => {}
            other => return Err(Fail::gap(&format!("the action {other:?}"))),
        }
    }
    Ok(())
}

/// Demands conditions that can be matched.
pub(super) fn validate_conditions(conditions: &[Value]) -> Done<()> {
    for condition in conditions {
        let field = condition.text("Field").unwrap_or_default();
        if !["host-header", "path-pattern", "http-header", "http-request-method"].contains(&field) {
            return Err(Fail::gap(&format!("the condition {field}")));
        }
        if values(condition).is_empty() {
            return Err(Fail::new("ValidationError", format!("A condition of {field} needs a value.")));
        }
    }
    Ok(())
}

fn values(condition: &Value) -> Vec<String> {
    let nested = ["HostHeaderConfig", "PathPatternConfig", "HttpHeaderConfig", "HttpRequestMethodConfig"];
    let mut all = condition.texts("Values");
    all.extend(nested.iter().filter_map(|key| condition.get(*key)).flat_map(|config| config.texts("Values")));
    all
}

/// Returns whether a request is one that a rule is for.
pub(super) fn matches(conditions: &[Value], request: &Request) -> bool {
    conditions.iter().all(|condition| {
        let values = values(condition);
        let any = |text: &str| values.iter().any(|pattern| fits(pattern, text));
        match condition.text("Field") {
            Some("host-header") => {
                let host = request.header("host").to_ascii_lowercase();
                let host = host.split(':').next().unwrap_or_default();
                values.iter().any(|pattern| fits(&pattern.to_ascii_lowercase(), host))
            }
            Some("path-pattern") => any(&request.path),
            Some("http-request-method") => any(&request.method),
            Some("http-header") => {
                let name = condition.get("HttpHeaderConfig").and_then(|config| config.text("HttpHeaderName"));
                any(request.header(&name.unwrap_or_default().to_ascii_lowercase()))
            }
            _ => false,
        }
    })
}

/// Returns whether a text is what a pattern says: `*` for any letters, `?` for one.
fn fits(pattern: &str, text: &str) -> bool {
    match (pattern.chars().next(), text.chars().next()) {
        (None, None) => true,
        (Some('*'), _) => {
            let rest = &pattern[1..];
            fits(rest, text)
                || text.chars().next().is_some_and(|first| fits(pattern, &text[first.len_utf8()..]))
        }
        (Some(wanted), Some(letter)) if wanted == '?' || wanted == letter => {
            fits(&pattern[wanted.len_utf8()..], &text[letter.len_utf8()..])
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn patterns_fit() {
        assert!(fits("/api/*", "/api/x"));
        assert!(!fits("/api/*", "/apis"));
        assert!(fits("*.example.???", "shop.example.com"));
        let condition =
            json!([{ "Field": "host-header", "HostHeaderConfig": { "Values": ["Shop.example.com"] } }]);
        let mut request = Request::default();
        request.headers.insert("host".to_owned(), "shop.example.com:8080".to_owned());
        assert!(matches(condition.as_array().unwrap(), &request));
    }
}
