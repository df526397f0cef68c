//! JUnit XML, in the form that CI systems read: suites of cases, a failure within a case.
//!
//! Written here, because it is one escape and five elements; the crate for it brings eight others.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ringfence_policy::TestReport;

use super::test::claim;
use crate::output::safe;

/// A suite for each policy and test resource.
pub(super) fn document(suites: &BTreeMap<&str, Vec<&TestReport>>) -> String {
    let failed = |reports: &[&TestReport]| reports.iter().filter(|it| it.failure.is_some()).count();
    let all: Vec<&TestReport> = suites.values().flatten().copied().collect();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a String cannot go wrong.
    let _infallible = writeln!(
        out,
        "<testsuites name=\"ringfence policy test\" tests=\"{}\" failures=\"{}\" errors=\"0\">",
        all.len(),
        failed(&all)
    );
    for (name, reports) in suites {
        let name = escaped(name);
        let _infallible = writeln!(
            out,
            "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"0\">",
            reports.len(),
            failed(reports)
        );
        for report in reports {
            case(&mut out, &name, report);
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

fn case(out: &mut String, suite: &str, report: &TestReport) {
    let at = &report.at;
    let _infallible = write!(
        out,
        "    <testcase classname=\"{suite}\" name=\"{}\" file=\"{}\" line=\"{}\"",
        escaped(&claim(report)),
        escaped(&at.file),
        at.line
    );
    match &report.failure {
        None => out.push_str("/>\n"),
        Some(failure) => {
            let help = failure.help.as_deref().unwrap_or_default();
            let _infallible = writeln!(
                out,
                ">\n      <failure type=\"policy\" message=\"{}\">{}:{}: {}\n{}</failure>\n    </testcase>",
                escaped(&report.reason),
                escaped(&at.file),
                at.line,
                escaped(&failure.message),
                escaped(help),
            );
        }
    }
}

/// As text or attribute of XML 1.0. What it cannot hold at all is written out, as for a terminal.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in safe(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
