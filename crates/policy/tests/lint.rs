//! What lint finds, and what it leaves alone.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use jiff::civil::{Date, date};
use ringfence_model::{Estate, load};
use ringfence_policy::{CODES, Finding, Level, lint};

/// The day on which the pages of the manual are looked at.
const TODAY: Date = date(2026, 12, 1);

fn estate(text: &str) -> Estate {
    load::documents(&[("estate.yaml", text.as_bytes())]).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Documents without `apiVersion`, separated by `---`.
fn findings(text: &str) -> Vec<Finding> {
    let documents: Vec<String> = text
        .split("---\n")
        .map(|document| format!("apiVersion: {}\n{document}", load::API_VERSION))
        .collect();
    lint(&estate(&documents.join("---\n")), TODAY)
}

/// Code and message of those of one code.
fn found(text: &str, code: &str) -> Vec<String> {
    findings(text)
        .into_iter()
        .filter(|finding| finding.code.id == code)
        .map(|finding| finding.message)
        .collect()
}

fn ids(text: &str) -> BTreeSet<&'static str> {
    findings(text)
        .iter()
        .map(|finding| finding.code.id)
        .collect()
}

/// A service `s` and an agent `a` with nothing to find, but for what is put in: `receive` of the service, `initiate` of the
/// policy, more documents.
fn pair(receive: &str, initiate: &str, more: &str) -> String {
    format!(
        "kind: Service
metadata: {{name: s}}
spec: {{protocol: http, port: 80, owner: x, receive: [{{agent: a, operations: [{receive}]}}]}}
---
kind: Agent
metadata: {{name: a}}
spec: {{owner: x}}
---
kind: Policy
metadata: {{name: p}}
spec:
  agent: a
  owner: x
  reviewBy: 2027-01-01
  initiate: [{{service: s, operations: [{initiate}]}}]
  tests: [{{to: s, deny: GET /nothing}}]
{more}"
    )
}

fn guardrail(rest: &str) -> String {
    format!("---\nkind: Guardrail\nmetadata: {{name: g}}\nspec: {{owner: x, reason: y, {rest}}}\n")
}

#[test]
fn an_estate_in_order_has_no_findings() {
    assert_eq!(findings(&pair("GET /a", "GET /a", "")), []);
}

/// As `ringfence policy lint` prints it.
fn shown(finding: &Finding) -> String {
    let at = &finding.at;
    let mut out = format!(
        "{} [{}] ({}) {}\n   --> {}:{}:{}\n",
        finding.level,
        finding.code.id,
        finding.resource,
        finding.message,
        at.file,
        at.line,
        at.column
    );
    if let Some(also) = &finding.also {
        writeln!(
            out,
            "   = also at {}:{}:{}",
            also.file, also.line, also.column
        )
        .unwrap();
    }
    writeln!(out, "   = help: {}", finding.help).unwrap();
    out
}

#[test]
fn every_code_has_a_page_whose_example_shows_it_and_nothing_else() {
    let mut wrong = Vec::new();
    for code in CODES {
        let page = code.page;
        let head = format!("# {}: {}\n\nLevel: {}\n\n", code.id, code.title, code.level);
        assert!(page.starts_with(&head), "{}: {head}", code.id);
        for part in ["## Why it matters", "## Example", "## What to do"] {
            assert!(page.contains(part), "{}: {part}", code.id);
        }
        let example = page
            .split("```yaml\n")
            .nth(1)
            .unwrap()
            .split("```")
            .next()
            .unwrap();
        let found = lint(&estate(example), TODAY);
        let shown: String = found.iter().map(shown).collect();
        let told = page
            .split("```text\n")
            .nth(1)
            .map(|rest| rest.split("```").next().unwrap());
        if found.len() != 1 || found[0].code.id != code.id || told != Some(&shown) {
            wrong.push((code.id, shown));
        }
    }
    // What the pages should say, where one writes pages.
    if let Some(file) = std::env::var_os("RINGFENCE_LINT_PAGES") {
        let wrong: std::collections::BTreeMap<_, _> = wrong.iter().cloned().collect();
        std::fs::write(file, serde_json::to_string(&wrong).unwrap()).unwrap();
    }
    assert_eq!(wrong, []);
}

#[test]
fn pages_and_codes_are_the_same_set() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/lint");
    let pages: BTreeSet<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "README.md")
        .collect();
    let codes: BTreeSet<String> = CODES.iter().map(|code| format!("{}.md", code.id)).collect();
    assert_eq!(pages, codes);
    assert_eq!(CODES.len(), codes.len(), "no number twice");
    let index = std::fs::read_to_string(folder.join("README.md")).unwrap();
    for code in CODES {
        let row = format!(
            "| [{0}]({0}.md) | {1} | {2} |\n",
            code.id, code.level, code.title
        );
        assert!(index.contains(&row), "{row}");
    }
}

#[test]
fn a_finding_has_the_level_of_its_code_and_says_what_to_do() {
    for code in CODES {
        let example = code
            .page
            .split("```yaml\n")
            .nth(1)
            .unwrap()
            .split("```")
            .next()
            .unwrap();
        for finding in lint(&estate(example), TODAY) {
            assert_eq!(finding.level, finding.code.level);
            assert!(!finding.help.is_empty() && !finding.message.ends_with('.'));
        }
    }
    assert!(Level::Error > Level::Warning && Level::Warning > Level::Info);
}

#[test]
fn dead_rules_are_those_the_receiver_takes_none_of() {
    let dead = |receive, initiate| found(&pair(receive, initiate, ""), "RF1001");
    assert_eq!(
        dead("GET /a", "GET /a, GET /b"),
        ["GET /b allows nothing: service s takes none of it from agent a"]
    );
    assert_eq!(dead("GET /a, GET /b/*", "GET /a, GET /b/**"), [""; 0]);
    assert_eq!(dead("GET /a/*", "GET /a/x, GET /a/").len(), 1);
    // A receiver's rule that has ended takes nothing.
    assert_eq!(
        dead(
            "GET /a, {allow: GET /b, until: 2026-11-30}",
            "GET /a, GET /b"
        )
        .len(),
        1
    );
    assert_eq!(
        dead(
            "GET /a, {allow: GET /b, until: 2026-12-01}",
            "GET /a, GET /b"
        ),
        [""; 0]
    );
}

#[test]
fn an_edge_is_refused_as_a_whole_or_not_at_all() {
    let refused = |text: &str| found(text, "RF1003");
    assert_eq!(
        refused(&pair("POST /a", "GET /a, GET /b", "")),
        ["service s takes nothing of what is initiated here"]
    );
    assert_eq!(found(&pair("POST /a", "GET /a", ""), "RF1001"), [""; 0]);
    assert_eq!(found(&pair("POST /a", "GET /a", ""), "RF1004"), [""; 0]);
    assert_eq!(refused(&pair("'* /*'", "GET /a", "")), [""; 0]);
    let agents = "kind: Agent\nmetadata: {name: a}\n---\nkind: Agent\nmetadata: {name: b}\nspec: {serves: {protocol: http, port: 80}}\n---\nkind: Policy\nmetadata: {name: a}\nspec: {agent: a, initiate: [{agent: b, operations: [GET /]}]}\n";
    assert_eq!(
        refused(agents),
        ["agent b has no policy, so nothing may reach it"]
    );
    let with = format!("{agents}---\nkind: Policy\nmetadata: {{name: b}}\nspec: {{agent: b}}\n");
    assert_eq!(refused(&with), ["agent b does not receive from agent a"]);
    let service = pair("GET /a", "GET /a", "").replace(
        "agent: a, operations: [GET /a]}]}\n---",
        "service: s, operations: [GET /a]}]}\n---",
    );
    assert_eq!(
        refused(&service),
        ["service s does not receive from agent a"]
    );
    // A list in the policy of a service counts as well.
    let listed = pair(
        "GET /a",
        "GET /a",
        "---\nkind: Policy\nmetadata: {name: q}\nspec: {service: s, receive: []}\n",
    )
    .replace(", receive: [{agent: a, operations: [GET /a]}]", "");
    assert_eq!(
        refused(&listed),
        ["service s does not receive from agent a"]
    );
    assert_eq!(found(&listed, "RF1104"), [""; 0]);
}

#[test]
fn a_rule_is_swallowed_only_where_the_other_allows_as_much() {
    let swallowed = |initiate: &str| found(&pair("'* /**'", initiate, ""), "RF1002").len();
    for initiate in [
        "GET /a, GET /a",
        "GET /%61, GET /a",
        "GET /*, GET /a",
        "GET /a, GET /*",
        "'GET /{x}', 'GET /{y}'",
        "GET /a, '* /a'",
        "GET /a/**, GET /a",
        "GET /a, {allow: GET /a, when: task == 'x'}",
        "GET /*, {allow: GET /a, when: task == 'x', until: 2027-01-01}",
        "{allow: GET /*, until: 2027-02-01}, {allow: GET /a, until: 2027-02-01}",
        "{allow: GET /a, when: task == 'x'}, {allow: GET /a, when: task == 'x'}",
    ] {
        assert_eq!(swallowed(initiate), 1, "{initiate}");
    }
    for initiate in [
        "GET /a, GET /b",
        "GET /*, GET /a/",
        "GET /*, POST /a",
        "{allow: GET /*, when: task == 'x'}, GET /a",
        "{allow: GET /*, until: 2027-02-01}, GET /a",
        "{allow: GET /*, until: 2027-02-01}, {allow: GET /a, until: 2027-02-02}",
        "{allow: GET /a, when: task == 'x'}, {allow: GET /a, when: task == 'y'}",
        "{allow: 'GET /{a}/{b}', when: path.a == 'x'}, {allow: 'GET /{b}/{a}', when: path.a == 'x'}",
    ] {
        assert_eq!(swallowed(initiate), 0, "{initiate}");
    }
    let finding = findings(&pair("'* /**'", "GET /*, GET /a", "")).remove(0);
    assert_eq!(
        finding.message,
        "GET /a adds nothing: GET /* at estate.yaml:18 allows all of it"
    );
    assert_eq!(finding.also.unwrap().to_string(), "estate.yaml:18");
    assert_eq!(swallowed("GET /a, GET /a, GET /a"), 2);
}

#[test]
fn guardrails_that_leave_nothing_of_a_rule_are_named() {
    let forbidden = |initiate: &str, receive: &str, guardrails: &[&str]| {
        let mut more = String::new();
        for (index, rest) in guardrails.iter().enumerate() {
            more += &guardrail(rest).replace("name: g", &format!("name: g{index}"));
        }
        found(&pair(receive, initiate, &more), "RF1006")
    };
    let all = "from: ['*'], to: ['*']";
    let only = |operations: &str| format!("{all}, only: [{operations}]");
    let deny = |operations: &str| format!("{all}, deny: [{operations}]");
    assert_eq!(
        forbidden("GET /a, POST /a", "'* /a'", &[&deny("'POST /**'")]),
        ["POST /a allows nothing: guardrail g0 forbids all of it"]
    );
    assert_eq!(
        forbidden("GET /a", "'* /a'", &[&only("POST /a, GET /b")]).len(),
        1
    );
    assert_eq!(forbidden("GET /a", "'* /a'", &[&only("'* /*'")]), [""; 0]);
    // Two of them, neither of which is enough.
    assert_eq!(
        forbidden(
            "GET /*",
            "GET /a, GET /b",
            &[&deny("GET /a"), &deny("GET /b")]
        ),
        ["GET /* allows nothing: guardrail g0, g1 forbids all of it"]
    );
    assert_eq!(
        forbidden("GET /*", "GET /*", &[&deny("GET /a"), &deny("GET /b")]),
        [""; 0]
    );
    // A condition may be false.
    assert_eq!(
        forbidden(
            "GET /a",
            "GET /a",
            &[&format!("{all}, deny: [GET /a], when: now > now")]
        ),
        [""; 0]
    );
    // It is about others.
    assert_eq!(
        forbidden("GET /a", "GET /a", &["from: [s], to: [s], deny: [GET /a]"]),
        [""; 0]
    );
    assert_eq!(
        forbidden("GET /a", "GET /a", &["from: [a], to: [s], deny: [GET /a]"]).len(),
        1
    );
}

#[test]
fn a_guardrail_is_idle_where_its_operations_cannot_happen() {
    let idle =
        |rest: &str| !found(&pair("GET /a", "GET /a", &guardrail(rest)), "RF1009").is_empty();
    assert!(!idle("from: ['*'], to: [s], deny: [GET /a]"));
    assert!(!idle("from: ['*'], to: ['*'], deny: [connect, GET /a]"));
    assert!(!idle("from: [a], to: [s], only: [GET /a]"));
    // Nothing of http is left to `only: [connect]`.
    assert!(!idle("from: [a], to: ['*'], only: [connect]"));
    assert!(idle("from: ['*'], to: ['*'], deny: [connect]"));
    assert!(idle("from: ['*'], to: [a], deny: [connect]"));
    assert!(idle("from: [s], to: [s], deny: [GET /a]"));
    // `*` does not speak of WebSockets.
    assert!(!idle("from: [a], to: [s], only: ['* /**']"));
    assert!(idle("from: [a], to: [s], only: ['* /**', 'WEBSOCKET /**']"));
}

#[test]
fn what_is_received_is_asked_for_by_somebody() {
    let asked = |receive: &str, initiate: &str| found(&pair(receive, initiate, ""), "RF1004");
    assert_eq!(
        asked("GET /a, GET /b", "GET /a"),
        ["agent a never initiates any of GET /b"]
    );
    assert_eq!(asked("GET /a, GET /b", "GET /*"), [""; 0]);
    let other = pair("GET /a", "GET /a", "").replace(
        "receive: [",
        "receive: [{service: s, operations: [GET /a]}, ",
    );
    assert_eq!(found(&other, "RF1004"), ["service s never initiates this"]);
}

#[test]
fn a_rule_ends_after_its_last_day_and_only_a_condition_on_the_body_reads_it() {
    let ended = |day: &str| {
        let rule = format!("{{allow: GET /a, until: {day}}}");
        found(&pair("GET /a", &rule, ""), "RF1005")
    };
    assert_eq!(
        ended("2026-11-30"),
        ["GET /a ended with 2026-11-30 and allows nothing"]
    );
    assert_eq!(ended("2026-12-01"), [""; 0]);
    let reads = |when: &str| {
        let rule = format!("{{allow: POST /a, when: {when}}}");
        found(&pair("'* /a'", &rule, ""), "RF1010").len()
    };
    assert_eq!(reads("body.amount < 5"), 1);
    assert_eq!(reads("task == 'body'"), 0);
}

#[test]
fn methods_that_nothing_sends_are_told() {
    let ids = |method: &str| ids(&pair("'* /**'", &format!("GET /a, {method} /b"), ""));
    let long = |bytes| "M".repeat(bytes);
    assert_eq!(
        ids(&long(ringfence_wire::http1::limits::METHOD_MAX)),
        BTreeSet::new()
    );
    assert_eq!(
        ids(&long(ringfence_wire::http1::limits::METHOD_MAX + 1)),
        BTreeSet::from(["RF1007"])
    );
    assert_eq!(ids("connect"), BTreeSet::from(["RF1007"]));
    assert_eq!(ids("CONNECT"), BTreeSet::from(["RF1007"]));
    assert_eq!(ids("Post"), BTreeSet::from(["RF1008"]));
    for fine in ["POST", "QUERY", "query", "M-SEARCH"] {
        assert_eq!(ids(fine), BTreeSet::new(), "{fine}");
    }
}

#[test]
fn ends_are_counted_in_whole_days() {
    let service = |until: &str| {
        found_ids(&format!(
            "kind: Service\nmetadata: {{name: s}}\nspec: {{protocol: tcp, port: 80, owner: x, receive: [], endpoints: [{{address: 'x:1'}}], mutualAuth: {{exempt: y, until: {until}}}}}\n"
        ))
    };
    assert_eq!(service("2026-11-30"), ["RF1103"]);
    assert_eq!(service("2026-12-01"), ["RF1102"]);
    assert_eq!(service("2026-12-15"), ["RF1102"]);
    assert_eq!(service("2026-12-16"), ["RF1101"]);
    assert_eq!(service("9999-12-31"), ["RF1101"]);

    let mode = |mode: &str| {
        found_ids(
            &pair("GET /a", "GET /a", "").replace("agent: a\n", &format!("agent: a\n  {mode}\n")),
        )
    };
    assert_eq!(mode("mode: enforce"), [""; 0]);
    assert_eq!(mode("mode: learn"), ["RF1301"]);
    assert_eq!(mode("mode: learn\n  until: 2026-11-30"), ["RF1303"]);
    assert_eq!(mode("mode: learn\n  until: 2026-12-01"), ["RF1302"]);
    assert_eq!(mode("mode: learn\n  until: 2026-12-08"), ["RF1302"]);
    assert_eq!(mode("mode: learn\n  until: 2026-12-09"), [""; 0]);
    assert_eq!(mode("mode: shadow\n  until: 2026-12-31"), [""; 0]);
    assert_eq!(mode("mode: shadow\n  until: 2027-01-01"), ["RF1304"]);

    let review = |day: &str| found_ids(&pair("GET /a", "GET /a", "").replace("2027-01-01", day));
    assert_eq!(review("2026-12-01"), [""; 0]);
    assert_eq!(review("2026-11-30"), ["RF1203"]);
}

fn found_ids(text: &str) -> Vec<&'static str> {
    findings(text)
        .iter()
        .map(|finding| finding.code.id)
        .collect()
}

#[test]
fn a_test_resource_counts_as_a_test_of_both_ends() {
    let untested =
        pair("GET /a", "GET /a", "").replace("  tests: [{to: s, deny: GET /nothing}]\n", "");
    assert_eq!(found_ids(&untested), ["RF1204"]);
    let tested = format!(
        "{untested}---\nkind: Test\nmetadata: {{name: t}}\nspec: {{from: a, to: s, allow: GET /a}}\n"
    );
    assert_eq!(found_ids(&tested), [""; 0]);
}

/// Ten thousand agents, each with rules of its own: the work grows with them, not with their square.
#[test]
fn a_large_estate_is_looked_at_in_time() {
    const AGENTS: usize = 10_000;
    let mut files = vec![String::new()];
    let mut receive = String::new();
    for n in 0..AGENTS {
        write!(
            receive,
            "\n    - {{agent: a{n}, operations: ['GET /books/*', 'POST /books/{n}/notes']}}"
        )
        .unwrap();
        if n % 1000 == 0 {
            files.push(String::new());
        }
        let text = files.last_mut().unwrap();
        write!(
            text,
            "---\napiVersion: {0}\nkind: Agent\nmetadata: {{name: a{n}}}\nspec: {{owner: x}}\n---\napiVersion: {0}\nkind: Policy\nmetadata: {{name: a{n}}}\nspec:\n  agent: a{n}\n  owner: x\n  reviewBy: 2027-01-01\n  initiate:\n    - {{service: s, operations: ['GET /books/*', 'POST /books/{n}/notes', 'GET /books/7', 'PUT /x/{n}']}}\n    - {{service: open, operations: ['GET /**', 'DELETE /books/{n}']}}\n  tests: [{{to: s, deny: GET /}}]\n",
            load::API_VERSION
        )
        .unwrap();
    }
    write!(files[0], "apiVersion: {0}\nkind: Service\nmetadata: {{name: s}}\nspec:\n  protocol: http\n  port: 80\n  owner: x\n  receive:{receive}\n---\napiVersion: {0}\nkind: Service\nmetadata: {{name: open}}\nspec: {{protocol: http, port: 81, owner: x}}\n---\napiVersion: {0}\nkind: Guardrail\nmetadata: {{name: g}}\nspec: {{owner: x, reason: y, from: ['*'], to: [open], deny: ['DELETE /**']}}\n", load::API_VERSION).unwrap();
    let named: Vec<(String, &String)> = files
        .iter()
        .enumerate()
        .map(|(n, text)| (format!("{n}.yaml"), text))
        .collect();
    let named: Vec<(&str, &[u8])> = named
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_bytes()))
        .collect();
    let estate = load::documents(&named).unwrap_or_else(|errors| panic!("{errors}"));
    let start = std::time::Instant::now();
    let found = lint(&estate, TODAY);
    let took = start.elapsed();
    println!("{AGENTS} agents, {} findings: {took:?}", found.len());
    // Swallowed, dead and forbidden, one each; and the open service.
    assert_eq!(found.len(), 3 * AGENTS + 1);
    // A comparison of all with all would take minutes.
    assert!(took.as_secs() < 20, "{took:?}");
}

/// Policies of agents `a`, `b`, … with these `filesystem`s.
fn shown_files(files: &[&str]) -> String {
    let each = ('a'..).zip(files).map(|(name, files)| {
        format!(
            "kind: Agent
metadata: {{name: {name}}}
spec: {{owner: x}}
---
kind: Policy
metadata: {{name: {name}}}
spec: {{agent: {name}, owner: x, reviewBy: 2027-01-01, filesystem: {{{files}}}}}
"
        )
    });
    each.collect::<Vec<_>>().join("---\n")
}

#[test]
fn trees_that_lead_from_one_workload_to_another_are_found() {
    let talk = |files: &[&str]| found(&shown_files(files), "RF1107").len();
    // The same, above, beneath, whoever stands first.
    assert_eq!(talk(&["write: [/srv/x]", "read: [/srv/x]"]), 1);
    assert_eq!(talk(&["read: [/srv/x]", "write: [/srv/x]"]), 1);
    assert_eq!(talk(&["write: [/srv/x]", "write: [/srv/x]"]), 1);
    assert_eq!(talk(&["write: [/srv]", "read: [/srv/x/y]"]), 1);
    assert_eq!(talk(&["read: [/srv]", "write: [/srv/x/y]"]), 1);
    assert_eq!(
        talk(&["read: [/srv]", "read: [/srv/a]", "write: [/srv/x/y]"]),
        1
    );
    // Nobody who reads is told anything by another who reads, a name that begins alike is another name, and
    // what one workload does with its own is its own.
    assert_eq!(talk(&["read: [/srv/x]", "read: [/srv/x]"]), 0);
    assert_eq!(talk(&["write: [/srv/x]", "read: [/srv/xy, /srv/w]"]), 0);
    assert_eq!(talk(&["write: [/srv/x], read: [/srv/x/y]", ""]), 0);
}

#[test]
fn many_who_share_one_tree_are_each_told_once_and_soon() {
    let many = 3000;
    let mut estate = estate(
        "apiVersion: ringfence.dev/v1alpha1\nkind: Agent\nmetadata: {name: a}\nspec: {owner: x}\n---\n\
         apiVersion: ringfence.dev/v1alpha1\nkind: Policy\nmetadata: {name: a}\nspec: {agent: a, filesystem: {read: [/srv/x]}}\n",
    );
    let policy = estate.policies[0].clone();
    estate.policies = (0..many)
        .map(|number| {
            let mut policy = policy.clone();
            policy.name = ringfence_model::Name::new(&format!("p{number}")).unwrap();
            policy.subject.name = policy.name.clone();
            policy
        })
        .collect();
    let last = estate.policies.last_mut().unwrap();
    last.filesystem.write = std::mem::take(&mut last.filesystem.read);
    let told = lint(&estate, TODAY);
    let told = told.iter().filter(|it| it.code.id == "RF1107").count();
    assert_eq!(told, many - 1);
}
