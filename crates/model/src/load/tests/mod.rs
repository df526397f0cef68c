//! What loads, what is told, and where.

mod fields;
mod schema;
mod yaml;

use std::fmt::Write as _;

use super::*;
use crate::path::Allowances;
use crate::resource::{EndpointHost, TestPeer, TrustAnchors};
use crate::{Kind, Protocol};

const HEAD: &str = "apiVersion: ringfence.dev/v1alpha1\n";

/// The estate of design and documentation: all kinds, most fields.
const BANK: &str = r#"
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: customer-data }
spec: { protocol: http, port: 8080, hosts: [customer-data.internal], owner: crm-team }
---
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: ledger }
spec:
  protocol: tcp
  port: 5432
  endpoints:
    - { address: "db.internal:5432", tls: { clientCert: { cert: db.pem, key: /etc/db.key } } }
    - { address: "[2001:db8::1]:5432", tls: { ca: ca.pem, name: db.internal } }
  mutualAuth: { exempt: the second one is being renewed, until: 2027-01-31 }
  receive:
    - agent: clerk
      operations: [connect]
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: clerk }
spec:
  purpose: answers customers' questions
  serves: { protocol: http, port: 9000, paths: { accept: [encoded-slash, semicolon] } }
  attest: { uid: 1001 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: gateway }
---
apiVersion: ringfence.dev/v1alpha1
kind: Policy
metadata: { name: clerk }
spec:
  agent: clerk
  mode: enforce
  owner: support-team
  reviewBy: 2027-02-28
  initiate:
    - service: customer-data
      operations: ["GET /customers/*", { allow: "PATCH /customers/{id}/notes" }]
    - service: ledger
      operations: [connect]
  receive:
    - agent: gateway
      operations: ["POST /chat"]
  tests:
    - { to: customer-data, allow: "GET /customers/42" }
    - { to: customer-data, deny: "GET /customers/../admin" }
    - { from: gateway, allow: "POST /chat" }
  filesystem: { read: [/opt//agents/], write: [/srv/x], sockets: true }
---
apiVersion: ringfence.dev/v1alpha1
kind: Policy
metadata: { name: customer-data }
spec: { service: customer-data, receive: [] }
"#;

fn load(text: &str) -> Result<Estate, Diagnostics> {
    let loaded = documents(&[("a.yaml", text.as_bytes())]);
    match &loaded {
        Ok(_) => schema::takes(text),
        Err(Diagnostics(errors)) => {
            let messages: Vec<String> = errors.iter().map(|it| it.message.clone()).collect();
            schema::refuses(text, &messages);
        }
    }
    loaded
}

/// `LINE:COLUMN message` of each error.
fn errors(text: &str) -> Vec<String> {
    let Err(Diagnostics(found)) = load(text) else {
        return Vec::new();
    };
    for diagnostic in &found {
        assert!(
            diagnostic
                .help
                .as_ref()
                .is_some_and(|help| !help.is_empty()),
            "{diagnostic}"
        );
        assert!(!diagnostic.message.ends_with('.'), "{diagnostic}");
    }
    let place = |d: &crate::Diagnostic| match &d.at {
        Some(at) => format!("{}:{} {}", at.line, at.column, d.message),
        None => d.message.clone(),
    };
    found.iter().map(place).collect()
}

fn helps(text: &str) -> String {
    let Err(Diagnostics(found)) = load(text) else {
        return String::new();
    };
    found
        .iter()
        .filter_map(|d| d.help.clone())
        .collect::<Vec<_>>()
        .join("|")
}

/// One service with this `spec`.
fn service(spec: &str) -> String {
    format!("{HEAD}kind: Service\nmetadata: {{name: s}}\nspec:\n{spec}")
}

/// A service `s`, a tcp service `t`, agents `a` (serves nothing) and `b` (serves http), and a policy of `a` with this `spec`.
fn policy(spec: &str) -> String {
    let mut text = String::new();
    for (kind, name, spec) in [
        ("Service", "s", "{protocol: http, port: 80}"),
        ("Service", "t", "{protocol: tcp, port: 81}"),
        ("Agent", "a", "{}"),
        ("Agent", "b", "{serves: {protocol: http, port: 82}}"),
    ] {
        writeln!(text, "{{apiVersion: {API_VERSION}, kind: {kind}, metadata: {{name: {name}}}, spec: {spec}}}\n---")
            .unwrap();
    }
    // The spec starts on line 13.
    format!("{text}{HEAD}kind: Policy\nmetadata: {{name: p}}\nspec:\n{spec}")
}

#[test]
fn loads_the_documented_estate() {
    let estate = load(BANK).unwrap();
    let names = |list: Vec<&crate::Name>| list.iter().map(|n| n.to_string()).collect::<Vec<_>>();
    assert_eq!(
        names(estate.services.iter().map(|s| &s.name).collect()),
        ["customer-data", "ledger"]
    );
    assert_eq!(
        names(estate.agents.iter().map(|a| &a.name).collect()),
        ["clerk", "gateway"]
    );
    assert_eq!(
        names(estate.policies.iter().map(|p| &p.name).collect()),
        ["clerk", "customer-data"]
    );

    let [data, ledger] = &estate.services[..] else {
        panic!()
    };
    assert_eq!(
        (data.protocol, data.port, data.receive.is_none()),
        (Protocol::Http, 8080, true)
    );
    assert_eq!(data.hosts[0].as_str(), "customer-data.internal");
    assert_eq!(data.at.to_string(), "a.yaml:4");
    let tls = ledger.endpoints[0].tls.as_ref().unwrap();
    assert_eq!(
        (tls.name.as_str(), &tls.ca),
        ("db.internal", &TrustAnchors::System)
    );
    let cert = tls.client_cert.as_ref().unwrap();
    assert_eq!(
        (cert.cert.to_str(), cert.key.to_str()),
        (Some("db.pem"), Some("/etc/db.key"))
    );
    let second = &ledger.endpoints[1];
    assert!(matches!(second.host, EndpointHost::Ip(ip) if ip.to_string() == "2001:db8::1"));
    assert_eq!(
        second.tls.as_ref().unwrap().ca,
        TrustAnchors::File("ca.pem".into())
    );
    assert_eq!(
        ledger.mutual_auth.as_ref().unwrap().until.to_string(),
        "2027-01-31"
    );
    assert_eq!(
        ledger.receive.as_ref().unwrap()[0].peer.to_string(),
        "agent clerk"
    );

    let clerk = &estate.agents[0];
    assert_eq!(clerk.attest.as_ref().unwrap().uid, Some(1001));
    let wanted = Allowances {
        encoded_slash: true,
        semicolon: true,
        ..Allowances::default()
    };
    assert_eq!(clerk.serves.as_ref().unwrap().path_allowances, wanted);

    let [policy, other] = &estate.policies[..] else {
        panic!()
    };
    assert_eq!(policy.subject.kind, Kind::Agent);
    assert_eq!(
        policy.initiate[0].operations[1].text,
        "PATCH /customers/{id}/notes"
    );
    assert_eq!(policy.initiate[0].operations[1].at.to_string(), "a.yaml:43");
    assert_eq!(policy.tests[1].operation, "GET /customers/../admin");
    assert!(matches!(&policy.tests[2].peer, TestPeer::From(name) if name.as_str() == "gateway"));
    assert_eq!(
        policy.filesystem.read,
        [std::path::PathBuf::from("/opt/agents")]
    );
    assert!(policy.filesystem.sockets);
    assert_eq!(other.receive.as_deref(), Some(&[][..]));
}

#[test]
fn an_estate_survives_the_way_to_the_enforcer() {
    let estate = load(BANK).unwrap();
    let json = serde_json::to_string(&estate).unwrap();
    assert_eq!(serde_json::from_str::<Estate>(&json).unwrap(), estate);
}

#[test]
fn tells_all_errors_at_once_in_order() {
    let text = policy(
        "  agent: a\n  mode: lern\n  initiate:\n  - {service: s, operations: [x, 'GET /*a']}\n  - {servce: t}\n  filesystem: {read: [x]}\n  bogus: 1",
    );
    let found = errors(&text);
    let places: Vec<&str> = found
        .iter()
        .filter_map(|e| e.split_once(' '))
        .map(|(p, _)| p)
        .collect();
    assert_eq!(
        places,
        [
            "14:9", "16:31", "16:34", "17:5", "17:5", "17:6", "18:23", "19:3"
        ]
    );
}

#[test]
fn duplicates_name_both_places() {
    let agent = |name: &str, hosts: &str| {
        format!("{HEAD}kind: Agent\nmetadata: {{name: {name}}}\nspec: {{hosts: [{hosts}]}}\n")
    };
    let also = |files: &[(&str, &[u8])]| {
        let Diagnostics(found) = documents(files).unwrap_err();
        assert_eq!(found.len(), 1, "{}", Diagnostics(found.clone()));
        let place = |at: &crate::Position| format!("{}:{}:{}", at.file, at.line, at.column);
        let first = &found[0];
        (
            first.message.clone(),
            place(first.at.as_ref().unwrap()),
            place(first.also.as_ref().unwrap()),
        )
    };
    let (one, two) = (
        agent("x", ""),
        service("  {protocol: http, port: 80}").replace("name: s", "name: x"),
    );
    assert_eq!(
        also(&[("a.yaml", one.as_bytes()), ("b.yaml", two.as_bytes())]),
        (
            "two workloads are called x".into(),
            "b.yaml:3:18".into(),
            "a.yaml:3:18".into()
        )
    );
    let (one, two) = (agent("x", "H.y"), agent("z", "h.Y."));
    assert_eq!(
        also(&[("a.yaml", one.as_bytes()), ("b.yaml", two.as_bytes())]),
        (
            "h.y already leads to x".into(),
            "b.yaml:4:16".into(),
            "a.yaml:4:16".into()
        )
    );
    let (one, two) = (agent("x", ""), agent("z", "x"));
    assert_eq!(
        also(&[("a.yaml", one.as_bytes()), ("b.yaml", two.as_bytes())]),
        (
            "x already leads to x".into(),
            "b.yaml:4:16".into(),
            "a.yaml:3:18".into()
        )
    );
    let again = format!("{HEAD}kind: Policy\nmetadata: {{name: other}}\nspec: {{agent: clerk}}");
    assert_eq!(
        also(&[("a.yaml", BANK.as_bytes()), ("b.yaml", again.as_bytes())]),
        (
            "agent clerk has two policies".into(),
            "b.yaml:3:18".into(),
            "a.yaml:35:19".into()
        )
    );
    let again = format!("{HEAD}kind: Policy\nmetadata: {{name: clerk}}\nspec: {{agent: gateway}}");
    assert_eq!(
        also(&[("a.yaml", BANK.as_bytes()), ("b.yaml", again.as_bytes())]).0,
        "two policies are called clerk"
    );
    let both = format!(
        "{HEAD}kind: Policy\nmetadata: {{name: l}}\nspec: {{service: ledger, receive: []}}"
    );
    assert_eq!(
        also(&[("a.yaml", BANK.as_bytes()), ("b.yaml", both.as_bytes())]),
        (
            "service ledger has a receive list of its own".into(),
            "b.yaml:3:18".into(),
            "a.yaml:9:19".into()
        )
    );
    assert_eq!(
        also(&[(
            "a.yaml",
            service("  port: 80\n  protocol: http\n  port: 81").as_bytes()
        )]),
        (
            "\"port\" stands twice in one mapping".into(),
            "a.yaml:7:3".into(),
            "a.yaml:5:3".into()
        )
    );
}

#[test]
fn a_broken_file_does_not_hide_the_others_nor_blame_them() {
    let good = policy(
        "  agent: a\n  mode: lern\n  initiate: [{service: elsewhere, operations: [GET /]}, {service: there, operations: [GET /]}]",
    );
    let Diagnostics(found) =
        documents(&[("b.yaml", good.as_bytes()), ("a.yaml", b"kind: [")]).unwrap_err();
    let words: Vec<String> = found.iter().map(|d| d.to_string()).collect();
    assert_eq!(found.len(), 3, "{words:?}");
    assert!(words[0].starts_with("a.yaml:"));
    assert!(words[1].contains("\"lern\" is not a mode"));
    assert!(
        words[2].contains(
            "elsewhere and 1 other names were not looked up, because a.yaml cannot be read"
        ),
        "{}",
        words[2]
    );

    // The same for a resource whose name cannot be used.
    let text = good + &format!("\n---\n{HEAD}kind: Servce\nmetadata: {{name: elsewhere}}");
    assert!(
        !errors(&text).iter().any(|e| e.contains("there is no")),
        "{:?}",
        errors(&text)
    );
}

#[test]
fn shows_the_text_with_a_caret_under_the_place() {
    let shown = load(&service("  protocol: http\n  port: 99999 # \u{202E}\tx"))
        .unwrap_err()
        .to_string();
    assert_eq!(
        shown,
        "a.yaml:6:9: port must be a number from 1 to 65535\n   |\n 6 |   port: 99999 # \u{FFFD}␉x\n   |         ^\n   = help: write a number from 1 to 65535"
    );
    let wide = format!(
        "{}, bad: 1}}",
        service(&format!(
            "  {{protocol: http, owner: {}, port: 8",
            "x".repeat(300)
        ))
    );
    let shown = load(&wide).unwrap_err().to_string();
    let lines: Vec<&str> = shown.lines().collect();
    let caret = lines[3].chars().count() - 1;
    assert_eq!(
        (lines[2].chars().nth(caret), lines[3].chars().nth(caret)),
        (Some('b'), Some('^'))
    );
    assert!(lines[2].chars().count() < 140);
}
