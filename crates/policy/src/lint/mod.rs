//! What loads and is probably not what was meant.
//!
//! What comes in: resources that load, and a day. What goes out: findings, each with a code, a place and what to do.
//! Nothing here stops a load, and nothing here reads the clock.
//!
//! `codes.rs` lists every finding; `view.rs` puts the estate in order once; then one file for each family: `rules.rs`,
//! `edges.rs`, `files.rs`, `guardrails.rs`, `care.rs`, `modes.rs`. The work grows with the number of rules: they are compared within
//! their pair of workloads only.

mod allow;
mod care;
mod codes;
mod edges;
mod files;
mod guardrails;
mod modes;
mod possible;
mod rules;
mod view;

use jiff::civil::Date;
use ringfence_model::{Estate, Position};
use serde::Serialize;

pub use allow::allowed;
pub use codes::{CODES, Code, Level, code};
use view::View;

/// Days before an exemption from mutual authentication ends on which lint says so.
pub const EXEMPTION_NOTICE_DAYS: i32 = 14;
/// Days before `learn` or `shadow` ends on which lint says so.
pub const MODE_NOTICE_DAYS: i32 = 7;

/// Something to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it means.
    #[serde(serialize_with = "id")]
    pub code: &'static Code,
    /// How much it matters: the code's level.
    pub level: Level,
    /// Kind and name, such as `policy assistant`.
    pub resource: String,
    /// What is the matter, lower case, without a full stop.
    pub message: String,
    /// Where.
    pub at: Position,
    /// A second place that belongs to it.
    pub also: Option<Position>,
    /// What to do about it.
    pub help: String,
}

fn id<S: serde::Serializer>(code: &&'static Code, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(code.id)
}

impl Finding {
    fn new(
        code: &'static Code,
        resource: impl Into<String>,
        at: &Position,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self {
            code,
            level: code.level,
            resource: resource.into(),
            message: message.into(),
            at: at.clone(),
            also: None,
            help: help.into(),
        }
    }

    fn also(self, at: Option<&Position>) -> Self {
        Self {
            also: at.cloned(),
            ..self
        }
    }
}

/// All findings as of `today` (UTC), by place.
pub fn lint(estate: &Estate, today: Date) -> Vec<Finding> {
    let view = View::new(estate, today);
    let mut findings = Vec::new();
    rules::find(&view, &mut findings);
    guardrails::find(&view, &mut findings);
    edges::find(&view, &mut findings);
    files::find(&view, &mut findings);
    care::find(&view, &mut findings);
    modes::find(&view, &mut findings);
    let place = |finding: &Finding| {
        let at = &finding.at;
        (at.file.clone(), at.line, at.column, finding.code.id)
    };
    findings.sort_by_cached_key(place);
    findings
}

/// From `today` to `then`; what is further away than can be counted is far away.
fn days(today: Date, then: Date) -> i32 {
    today.until(then).map_or(i32::MAX, |span| span.get_days())
}

/// When the day after an end is, this many days from now.
fn from_then(left: i32) -> String {
    match left {
        0 => "from tomorrow".to_owned(),
        left => format!("in {} days", left + 1),
    }
}
