//! Estates and attempts, at random, and as people write them.

use std::collections::HashMap;
use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::{Value, json};

pub(super) const WORKLOADS: usize = 5;

#[derive(Clone, Debug)]
pub(super) struct Workload {
    pub(super) agent: bool,
    /// `None`: serves nothing (agents only).
    pub(super) http: Option<bool>,
    pub(super) team: &'static str,
    pub(super) has_policy: bool,
    /// With `until`.
    pub(super) mode: (&'static str, &'static str),
    pub(super) initiate: Vec<(usize, Vec<Rule>)>,
    pub(super) receive: Option<Vec<(usize, Vec<Rule>)>>,
}

#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) pattern: String,
    pub(super) when: Option<&'static str>,
    pub(super) until: Option<&'static str>,
}

#[derive(Clone, Debug)]
pub(super) struct Guardrail {
    pub(super) from: Option<usize>,
    pub(super) to: Option<usize>,
    pub(super) deny: bool,
    pub(super) pattern: String,
    pub(super) when: Option<&'static str>,
}

#[derive(Clone, Debug)]
pub(super) struct Try {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) query: &'static [(&'static str, &'static str)],
    pub(super) header: &'static [&'static str],
    /// Content type and content.
    pub(super) body: Option<(&'static str, &'static str)>,
    pub(super) chunked: bool,
    pub(super) long_name: bool,
}

/// Conditions on any attempt.
const ON_BOTH: [&str; 7] = [
    r#"source.labels.team == "red""#,
    r#"destination.labels.team == "red""#,
    r#"source.kind == "service""#,
    r#"destination.kind == "agent" || source.name == "w1""#,
    r#"now < timestamp("2000-01-01T00:00:00Z")"#,
    r#"now > timestamp("2000-01-01T00:00:00Z")"#,
    r#"source.labels.size == "large""#,
];

/// Conditions on requests.
const ON_REQUESTS: [&str; 10] = [
    r#"request.query.q == "1""#,
    "int(request.query.n) < 5",
    "10 / int(request.query.n) > 2",
    r#"!has(request.query.q) || request.query.q != "2""#,
    r#"request.headers["x-h"] == "1""#,
    r#"request.host.endsWith("internal")"#,
    r#"request.method == "GET" || request.path == "/a""#,
    "body.n < 5",
    r#"body.n < 5 || request.headers["x-h"] == "1""#,
    r#"path.x0 == "a""#,
];

fn when() -> impl Strategy<Value = Option<&'static str>> {
    let both = prop::sample::select(ON_BOTH.as_slice());
    let requests = prop::sample::select(ON_REQUESTS.as_slice());
    prop_oneof![3 => Just(None), 1 => both.prop_map(Some), 3 => requests.prop_map(Some)]
}

fn pattern() -> impl Strategy<Value = String> {
    let segment = prop_oneof![3 => Just("a"), 2 => Just("b"), 2 => Just("*"), 3 => Just("{x}")];
    let method = prop_oneof![2 => Just("GET"), 2 => Just("POST"), 5 => Just("*")];
    let end = prop_oneof![3 => Just(""), 1 => Just("/"), 5 => Just("/**")];
    let segments = prop::collection::vec(segment, 0..=2);
    (method, segments, end).prop_map(|(method, segments, end)| {
        let mut path = String::new();
        for (index, segment) in segments.into_iter().enumerate() {
            match segment {
                "{x}" => write!(path, "/{{x{index}}}").unwrap(),
                other => write!(path, "/{other}").unwrap(),
            }
        }
        path.push_str(end);
        if path.is_empty() {
            path.push('/');
        }
        format!("{method} {path}")
    })
}

fn rule() -> impl Strategy<Value = Rule> {
    let until =
        prop_oneof![8 => Just(None), 1 => Just(Some("2020-01-31")), 1 => Just(Some("2999-01-31"))];
    (pattern(), when(), until).prop_map(|(pattern, when, until)| Rule {
        pattern,
        when,
        until,
    })
}

fn rules() -> impl Strategy<Value = Vec<(usize, Vec<Rule>)>> {
    prop::collection::vec((0..WORKLOADS, prop::collection::vec(rule(), 1..4)), 6..16)
}

pub(super) fn workload(soon: &'static str) -> impl Strategy<Value = Workload> {
    let mode = prop::sample::select(vec![
        ("enforce", ""),
        ("enforce", ""),
        ("enforce", ""),
        ("learn", soon),
        ("shadow", soon),
        ("shadow", "2020-01-31"),
    ]);
    (
        any::<bool>(),
        0u8..8,
        prop::sample::select(vec!["red", "blue"]),
        prop::bool::weighted(0.9),
        mode,
        rules(),
        prop::option::weighted(0.4, rules()),
    )
        .prop_map(
            |(agent, serves, team, has_policy, mode, initiate, receive)| Workload {
                agent,
                http: match serves {
                    0 if agent => None,
                    1 => Some(false),
                    _ => Some(true),
                },
                team,
                has_policy,
                mode,
                initiate,
                receive,
            },
        )
}

pub(super) fn guardrail() -> impl Strategy<Value = Guardrail> {
    let who = || prop::option::weighted(0.6, 0..WORKLOADS);
    (who(), who(), prop::bool::weighted(0.7), pattern(), when()).prop_map(
        |(from, to, deny, pattern, when)| Guardrail {
            from,
            to,
            deny,
            pattern,
            when,
        },
    )
}

pub(super) fn attempt() -> impl Strategy<Value = Try> {
    const QUERIES: [&[(&str, &str)]; 8] = [
        &[],
        &[],
        &[("q", "1")],
        &[("q", "2"), ("n", "3")],
        &[("n", "9")],
        &[("n", "0")],
        &[("q", "1"), ("q", "1")],
        &[("n", "x"), ("q", "1")],
    ];
    const HEADERS: [&[&str]; 5] = [&[], &["1"], &["1"], &["2"], &["1", "1"]];
    const JSON: &str = "application/json";
    const BODIES: [Option<(&str, &str)>; 6] = [
        None,
        Some((JSON, "{\"n\":3}")),
        Some((JSON, "{\"n\":9}")),
        Some((JSON, "{\"n\":3,\"n\":9}")),
        Some(("text/plain", "{\"n\":3}")),
        Some((JSON, "{\"n\":\"3\"}")),
    ];
    (
        0..WORKLOADS,
        0..WORKLOADS,
        prop::sample::select(vec!["GET", "POST", "PUT"]),
        prop::sample::select(vec!["/", "/a", "/a", "/b", "/a/b", "/b/a", "/a/", "/c/c/c"]),
        prop::sample::select(QUERIES.as_slice()),
        prop::sample::select(HEADERS.as_slice()),
        prop::sample::select(BODIES.as_slice()),
        any::<[bool; 2]>(),
    )
        .prop_map(
            |(from, to, method, path, query, header, body, [chunked, long_name])| Try {
                from,
                to,
                method,
                path,
                query,
                header,
                body,
                chunked,
                long_name,
            },
        )
}

impl Try {
    pub(super) fn host(&self) -> String {
        let end = if self.long_name {
            ".ringfence.internal"
        } else {
            ""
        };
        format!("w{}{end}", self.to)
    }

    /// As it is sent.
    pub(super) fn request(&self) -> String {
        let query: Vec<_> = self
            .query
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mark = if query.is_empty() { "" } else { "?" };
        let mut text = format!(
            "{} {}{mark}{} HTTP/1.1\r\nHost: {}\r\n",
            self.method,
            self.path,
            query.join("&"),
            self.host()
        );
        for value in self.header {
            write!(text, "X-H: {value}\r\n").unwrap();
        }
        let Some((kind, body)) = self.body else {
            return text + "\r\n";
        };
        let (length, half) = (body.len(), body.len() / 2);
        write!(text, "Content-Type: {kind}\r\n").unwrap();
        if self.chunked {
            let (one, two) = body.split_at(half);
            write!(
                text,
                "Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n",
                one.len(),
                two.len()
            )
            .unwrap();
        } else {
            write!(text, "Content-Length: {length}\r\n\r\n{body}").unwrap();
        }
        text
    }

    /// As somebody would write it for `explain --with`.
    pub(super) fn with(&self) -> Value {
        let mut query: HashMap<&str, Vec<&str>> = HashMap::new();
        for (name, value) in self.query {
            query.entry(name).or_default().push(value);
        }
        let mut headers = json!({});
        if !self.header.is_empty() {
            headers["x-h"] = json!(self.header);
        }
        let mut with =
            json!({ "request": { "host": self.host(), "query": query, "headers": headers } });
        // A body that is not there, or that no condition can read, is not to be written.
        if let Some(("application/json", text)) = self.body
            && text.matches("\"n\"").count() == 1
        {
            with["body"] = serde_json::from_str(text).unwrap();
        }
        with
    }
}

/// The estate as people write it.
pub(super) struct Written<'a> {
    pub(super) workloads: &'a [Workload],
    pub(super) guardrails: &'a [Guardrail],
    pub(super) ports: &'a [u16],
}

impl Written<'_> {
    pub(super) fn yaml(&self) -> String {
        let mut text = String::new();
        for (index, workload) in self.workloads.iter().enumerate() {
            let (port, team) = (self.ports[index], workload.team);
            let protocol = if workload.http == Some(true) {
                "http"
            } else {
                "tcp"
            };
            let (kind, spec) = match (workload.agent, workload.http) {
                (true, None) => ("Agent", String::new()),
                (true, Some(_)) => (
                    "Agent",
                    format!("serves: {{ protocol: {protocol}, port: {port} }}"),
                ),
                (false, _) => ("Service", format!("protocol: {protocol}, port: {port}")),
            };
            self.document(
                &mut text,
                kind,
                &format!("name: w{index}, labels: {{ team: {team} }}"),
                &spec,
            );
            // Of a service without policy it stands in the service, which is written above without one.
            if !workload.has_policy {
                continue;
            }
            let subject = if workload.agent { "agent" } else { "service" };
            let (mode, until) = workload.mode;
            let until = if until.is_empty() {
                String::new()
            } else {
                format!(", until: {until}")
            };
            let mut spec = format!("{subject}: w{index}, mode: {mode}{until}");
            write!(
                spec,
                ", initiate: [{}]",
                self.list(index, &workload.initiate, true)
            )
            .unwrap();
            if let Some(receive) = &workload.receive
                && workload.http.is_some()
            {
                write!(spec, ", receive: [{}]", self.list(index, receive, false)).unwrap();
            }
            self.document(&mut text, "Policy", &format!("name: w{index}"), &spec);
        }
        for (index, guardrail) in self.guardrails.iter().enumerate() {
            let who = |who: Option<usize>| who.map_or("\"*\"".to_owned(), |who| format!("w{who}"));
            let targets: Vec<_> = match guardrail.to {
                Some(to) => vec![self.workloads[to].http],
                None => self
                    .workloads
                    .iter()
                    .map(|workload| workload.http)
                    .collect(),
            };
            let http = targets.contains(&Some(true));
            if !http && !targets.contains(&Some(false)) {
                continue;
            }
            let operation = if http { &guardrail.pattern } else { "connect" };
            let mut spec = format!(
                "owner: us, reason: tried out, from: [{}], to: [{}], {}: [\"{operation}\"]",
                who(guardrail.from),
                who(guardrail.to),
                if guardrail.deny { "deny" } else { "only" }
            );
            if let Some(when) = guardrail.when.filter(|when| usable(when, http, "")) {
                write!(spec, ", when: '{when}'").unwrap();
            }
            self.document(&mut text, "Guardrail", &format!("name: g{index}"), &spec);
        }
        text
    }

    fn document(&self, text: &mut String, kind: &str, metadata: &str, spec: &str) {
        write!(
            text,
            "---\napiVersion: ringfence.dev/v1alpha1\nkind: {kind}\nmetadata: {{ {metadata} }}\n"
        )
        .unwrap();
        if !spec.is_empty() {
            writeln!(text, "spec: {{ {spec} }}").unwrap();
        }
    }

    /// Entries of one list; those that could not be loaded are left out.
    fn list(&self, subject: usize, rules: &[(usize, Vec<Rule>)], initiate: bool) -> String {
        let mut out = Vec::new();
        for (peer, rules) in rules {
            let callee = if initiate { *peer } else { subject };
            let Some(http) = self.workloads[callee].http else {
                continue;
            };
            if *peer == subject {
                continue;
            }
            let kind = if self.workloads[*peer].agent {
                "agent"
            } else {
                "service"
            };
            let operations: Vec<_> = rules
                .iter()
                .map(|rule| {
                    let pattern = if http { &rule.pattern } else { "connect" };
                    let mut text = format!("{{ allow: \"{pattern}\"");
                    if let Some(when) = rule.when.filter(|when| usable(when, http, pattern)) {
                        write!(text, ", when: '{when}'").unwrap();
                    }
                    if let Some(until) = rule.until {
                        write!(text, ", until: {until}").unwrap();
                    }
                    text + " }"
                })
                .collect();
            out.push(format!(
                "{{ {kind}: w{peer}, operations: [{}] }}",
                operations.join(", ")
            ));
        }
        out.join(", ")
    }
}

/// Whether a condition can be loaded there: one may only ask for what there is.
fn usable(when: &str, http: bool, pattern: &str) -> bool {
    (http || ON_BOTH.contains(&when)) && (!when.contains("path.x0") || pattern.contains("{x0}"))
}
