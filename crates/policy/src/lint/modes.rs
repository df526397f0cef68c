//! `learn` and `shadow`: they soften, so they must end.

use jiff::civil::Date;
use ringfence_model::resource::{Mode, ModeKind, Policy};

use super::codes::{END_TOO_FAR, MODE_ENDED, MODE_ENDS, NO_END};
use super::view::View;
use super::{Finding, MODE_NOTICE_DAYS};

pub(super) fn find(view: &View<'_>, findings: &mut Vec<Finding>) {
    let policies = &view.estate.policies;
    findings.extend(
        policies
            .iter()
            .filter_map(|policy| mode(policy, view.today)),
    );
}

fn mode(policy: &Policy, today: Date) -> Option<Finding> {
    let mode = &policy.mode;
    if mode.kind == ModeKind::Enforce {
        return None;
    }
    let kind = mode.kind.as_str();
    let resource = format!("policy {}", policy.name);
    let say = |code, message: String, help: String| {
        Some(Finding::new(
            code,
            resource.clone(),
            &mode.at,
            message,
            help,
        ))
    };
    let Some((first, until)) = mode.window() else {
        return say(
            &NO_END,
            format!("mode {kind} has no end, so it enforces"),
            format!(
                "add `until: DATE`, at most {} days from now, or remove the mode",
                Mode::DAYS_MAX
            ),
        );
    };
    if until < today {
        return say(
            &MODE_ENDED,
            format!("mode {kind} ended with {until}: the policy enforces since"),
            "remove `mode` and `until`, or move `until`".to_owned(),
        );
    }
    if today < first {
        return say(
            &END_TOO_FAR,
            format!(
                "mode {kind} lasts {} days at most, so until {first} the policy enforces",
                Mode::DAYS_MAX
            ),
            format!("bring `until: {until}` nearer if it is meant to hold today"),
        );
    }
    let left = super::days(today, until);
    (left <= MODE_NOTICE_DAYS)
        .then(|| {
            say(
                &MODE_ENDS,
                format!("mode {kind} ends with {until}: the policy enforces {}", super::from_then(left)),
                "look at what it would have denied, with `ringfence observe --verdict would-deny`, and add what is missing"
                    .to_owned(),
            )
        })
        .flatten()
}
