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
    documents(&[("a.yaml", text.as_bytes())])
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
    assert_eq!(clerk.attest.as_ref().unwrap().uid, 1001);
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
    assert_eq!(policy.initiate[0].operations[1].at.to_string(), "a.yaml:44");
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
fn says_what_is_wrong_with_a_service() {
    for (spec, wanted) in [
        ("  port: 80", "5:3 the service's spec has no protocol"),
        ("  protocol: http", "5:3 the service's spec has no port"),
        (
            "  protocol: http\n  port: 0",
            "6:9 port must be a number from 1 to 65535",
        ),
        (
            "  protocol: http\n  port: 65536",
            "6:9 port must be a number from 1 to 65535",
        ),
        (
            "  protocol: http\n  port: -1",
            "6:9 port must be a number from 1 to 65535",
        ),
        (
            "  protocol: http\n  port: 0x50",
            "6:9 port must be a number from 1 to 65535",
        ),
        (
            "  protocol: http\n  port: '80'",
            "6:9 port must be a number, not a text",
        ),
        (
            "  protocol: http\n  port: 53",
            "6:9 port 53 is taken by DNS",
        ),
        (
            "  protocol: http\n  port: [1]",
            "6:9 port must be a number, not a list",
        ),
        (
            "  protocol: http\n  port:",
            "6:3 field port of the service's spec has no value",
        ),
        (
            "  protocol: htp\n  port: 80",
            "5:13 \"htp\" is not a protocol",
        ),
        (
            "  protocol: kafka\n  port: 80",
            "5:13 protocol kafka is not supported yet",
        ),
        (
            "  protocol: http\n  port: 80\n  prot: 1",
            "7:3 the service's spec has no field \"prot\"",
        ),
        (
            "  protocol: http\n  port: 80\n  port: 81",
            "7:3 \"port\" stands twice in one mapping",
        ),
        (
            "  protocol: http\n  port: 80\n  hosts: [a b]",
            "7:11 \"a b\" is not a host name",
        ),
        (
            "  protocol: http\n  port: 80\n  hosts: ['*.x']",
            "7:11 \"*.x\" is not a host name",
        ),
        (
            "  protocol: http\n  port: 80\n  hosts: x",
            "7:10 hosts must be a list, not a text",
        ),
        (
            "  protocol: http\n  port: 80\n  hosts: [10.0.0.1]",
            "7:11 10.0.0.1 is an address, not a host name",
        ),
        (
            "  protocol: http\n  port: 80\n  owner: true",
            "7:10 owner must be a text, not a truth value",
        ),
        (
            "  protocol: http\n  port: 80\n  owner: \"a\\nb\"",
            "7:10 owner holds line breaks or control characters",
        ),
        (
            "  protocol: http\n  port: 80\n  paths: {accept: [dots]}",
            "7:20 \"dots\" is not a path form",
        ),
        (
            "  protocol: tcp\n  port: 80\n  paths: {accept: []}",
            "7:10 tcp has no paths",
        ),
        (
            "  protocol: http\n  port: 80\n  attest: {exe: /x, uid: 1}",
            "7:12 field exe of attest is not supported yet",
        ),
        (
            "  protocol: http\n  port: 80\n  attest: {}",
            "7:11 attest has no uid",
        ),
        (
            "  protocol: http\n  port: 80\n  attest: {uid: 4294967295}",
            "7:17 uid must be a number from 0 to 4294967294",
        ),
        (
            "  protocol: http\n  port: 80\n  labels: {}",
            "7:3 field labels of the service's spec is not supported yet",
        ),
        (
            "  protocol: http\n  port: 80\n  <<: {}",
            "7:3 a merge key (<<) is not supported",
        ),
        (
            "  protocol: !!str http\n  port: 80",
            "5:13 a tag is not supported",
        ),
    ] {
        assert_eq!(errors(&service(spec)), [wanted], "{spec}");
    }
}

#[test]
fn an_endpoint_proves_itself_or_has_an_exemption() {
    let with = |rest: &str| errors(&service(&format!("  protocol: tcp\n  port: 80\n{rest}")));
    let plain = "  endpoints: [{address: 'x:1'}]";
    assert_eq!(
        with(plain),
        ["7:15 an endpoint without mutual authentication"]
    );
    assert_eq!(
        with("  endpoints: [{address: 'x:1', tls: {}}]"),
        ["7:15 an endpoint without mutual authentication"]
    );
    assert!(
        with(&format!(
            "{plain}\n  mutualAuth: {{exempt: old, until: 2027-01-01}}"
        ))
        .is_empty()
    );
    assert!(
        with(&format!(
            "{plain}\n  mutualAuth: {{exempt: old, until: 2007-01-01}}"
        ))
        .is_empty()
    );
    assert_eq!(
        with(&format!(
            "{plain}\n  mutualAuth: {{exempt: '', until: 2027-13-01}}"
        )),
        ["8:24 exempt is empty", "8:35 until is not a date"]
    );
    assert_eq!(
        with(&format!("{plain}\n  mutualAuth: {{exempt: x}}")),
        ["8:15 mutualAuth has no until"]
    );
    for address in [
        "x",
        "x:0",
        "x:65536",
        "x:+1",
        ":1",
        "1.2.3:4",
        "::1:80",
        "[::1]",
        "[1.2.3.4]:5",
        "a b:1",
        "[x]:1",
    ] {
        let wanted = format!("7:25 {address:?} is not an address with a port");
        assert_eq!(
            with(&format!("  endpoints: [{{address: '{address}'}}]")),
            [wanted]
        );
    }
    assert_eq!(
        with("  endpoints: [{address: '1.2.3.4:5', tls: {clientCert: {cert: a, key: b}}}]"),
        ["7:43 tls to an address needs the name on the certificate"]
    );
    assert_eq!(
        with("  endpoints: [{address: 'x:5', tls: {clientCert: {cert: a}}}]"),
        ["7:52 clientCert has no key"]
    );
    assert_eq!(
        with(
            "  mutualAuth: {exempt: x, until: 2027-01-01}\n  endpoints: [{address: '1.2.3.4:5'}, {address: '[::ffff:1.2.3.4]:5'}]"
        ),
        ["8:39 1.2.3.4:5 is an endpoint twice"]
    );
    assert_eq!(
        with("  endpoints: []"),
        ["7:14 the list of endpoints is empty"]
    );
}

#[test]
fn says_what_is_wrong_with_a_policy() {
    for (spec, wanted) in [
        (
            "  initiate: []",
            "13:3 the policy names neither an agent nor a service",
        ),
        (
            "  agent: a\n  service: s",
            "14:3 the policy names both an agent and a service",
        ),
        (
            "  agent: a\n  mode: shadow",
            "14:9 mode shadow is not supported yet",
        ),
        (
            "  agent: a\n  mode: enforced",
            "14:9 \"enforced\" is not a mode",
        ),
        (
            "  agent: a\n  until: 2027-01-01",
            "14:3 field until of the policy's spec is not supported yet",
        ),
        (
            "  agent: a\n  reviewBy: soon",
            "14:13 reviewBy is not a date",
        ),
        ("  agent: z", "13:10 there is no agent called z"),
        ("  agent: s", "13:10 s is not an agent"),
        (
            "  agent: a\n  initiate: [{service: z, operations: [x]}]",
            "14:24 there is no service called z",
        ),
        (
            "  agent: a\n  initiate: [{agent: s, operations: [GET /]}]",
            "14:22 s is not an agent",
        ),
        (
            "  agent: a\n  initiate: [{agent: a, operations: [GET /]}]",
            "14:22 agent a serves nothing",
        ),
        (
            "  agent: a\n  initiate: [{operations: [GET /]}]",
            "14:14 the entry names neither an agent nor a service",
        ),
        (
            "  agent: a\n  initiate: [{service: s}]",
            "14:14 the entry has no operations",
        ),
        (
            "  agent: a\n  initiate: [{service: s, operations: []}]",
            "14:39 the entry allows no operation",
        ),
        (
            "  agent: a\n  initiate: [{service: s, operations: [get]}]",
            "14:40 operation for s: \"get\" is not METHOD /path",
        ),
        (
            "  agent: a\n  initiate: [{service: s, operations: [connect]}]",
            "14:40 operation for s: \"connect\" is not an operation of http",
        ),
        (
            "  agent: a\n  initiate: [{service: t, operations: [GET /]}]",
            "14:40 operation for t: \"GET /\" is not an operation of tcp",
        ),
        (
            "  agent: a\n  initiate: [{service: s, operations: [{allow: GET /*x}]}]",
            "14:48 operation for s: * is not alone in segment \"*x\"",
        ),
        (
            "  agent: a\n  initiate: [{service: s, operations: [{allow: GET /, when: x}]}]",
            "14:55 field when of the operation is not supported yet",
        ),
        (
            "  agent: a\n  initiate: [{service: s, operations: [GET /], when: x}]",
            "14:48 field when of the entry is not supported yet",
        ),
        (
            "  agent: b\n  receive: [{agent: a, operations: [GET /..]}]",
            "14:37 operation for b: the path holds a dot segment: \"/..\"",
        ),
        (
            "  agent: a\n  receive: [{agent: b, operations: [GET /]}]",
            "14:13 agent a receives, but serves nothing",
        ),
        (
            "  agent: a\n  tests: [{to: z, deny: GET /}]",
            "14:16 there is no agent or service called z",
        ),
        (
            "  agent: a\n  tests: [{to: s, from: s, deny: GET /}]",
            "14:11 the test has both of to and from",
        ),
        (
            "  agent: a\n  tests: [{to: s}]",
            "14:11 the test has neither of allow and deny",
        ),
        (
            "  agent: a\n  tests: [{to: s, deny: GET}]",
            "14:25 operation for s: \"GET\" is not METHOD /path",
        ),
        (
            "  agent: a\n  tests: [{to: s, allow: GET /..}]",
            "14:26 operation for s: the path holds a dot segment: \"/..\"",
        ),
        (
            "  agent: a\n  tests: [{to: s, deny: GET /, with: {}}]",
            "14:32 field with of the test is not supported yet",
        ),
        (
            "  agent: a\n  filesystem: {read: [x]}",
            "14:23 \"x\" is not an absolute path",
        ),
        (
            "  agent: a\n  filesystem: {read: [/a/../b]}",
            "14:23 \"/a/../b\" holds . or ..",
        ),
        (
            "  agent: a\n  filesystem: {write: [//]}",
            "14:24 / is the whole host",
        ),
        (
            "  agent: a\n  filesystem: {sockets: 'true'}",
            "14:25 sockets must be true or false",
        ),
    ] {
        assert_eq!(errors(&policy(spec)), [wanted], "{spec}");
    }
    assert!(
        errors(&policy(
            "  agent: a\n  initiate: [{service: s, operations: [GET /]}]"
        ))
        .is_empty()
    );
}

#[test]
fn says_what_is_wrong_with_a_document() {
    for (text, wanted) in [
        ("a", "1:1 the document must be a mapping, not a text"),
        ("[a]", "1:1 the document must be a mapping, not a list"),
        (
            "kind: Agent\nmetadata: {name: a}",
            "1:1 the document has no apiVersion",
        ),
        (
            "apiVersion: v1\nkind: Agent\nmetadata: {name: a}",
            "1:13 apiVersion \"v1\" is not known",
        ),
        (
            "apiVersion: ringfence.dev/v1alpha1\nkind: Agnt\nmetadata: {name: a}",
            "2:7 \"Agnt\" is not a kind of resource",
        ),
        (
            "apiVersion: ringfence.dev/v1alpha1\nkind: Guardrail\nmetadata: {name: a}",
            "2:7 kind Guardrail is not supported yet",
        ),
        (
            "apiVersion: ringfence.dev/v1alpha1\nkind: Agent",
            "1:1 the document has no metadata",
        ),
        (
            "apiVersion: ringfence.dev/v1alpha1\nkind: Agent\nmetadata: {}",
            "3:11 metadata has no name",
        ),
        (
            "apiVersion: ringfence.dev/v1alpha1\nkind: Agent\nmetadata: {name: true}",
            "3:18 name must be a text, not a truth value",
        ),
        (
            "apiVersion: ringfence.dev/v1alpha1\nkind: Agent\nmetadata: {name: a, labels: {}}",
            "3:21 field labels of metadata is not supported yet",
        ),
        (
            "apiVersion: ringfence.dev/v1alpha1\nkind: Service\nmetadata: {name: a}",
            "3:18 service a has no spec",
        ),
    ] {
        assert_eq!(errors(text), [wanted], "{text}");
    }
    for name in ["A", "a.b", "-a", "a_b", "ä", "'a '", "\"a\\nb\""] {
        let found = errors(&format!("{HEAD}kind: Agent\nmetadata: {{name: {name}}}"));
        assert_eq!(found.len(), 1, "{name}");
        assert!(found[0].starts_with("3:18 name: "), "{found:?}");
    }
}

#[test]
fn says_what_was_meant() {
    assert_eq!(
        helps(&service("  protocol: http\n  prot: 80")),
        "did you mean port?|add `port: 8080`"
    );
    assert_eq!(
        helps(&service("  protocol: htpp\n  port: 80")),
        "did you mean http?"
    );
    assert!(
        helps(&policy(
            "  agent: a\n  initiate: [{agent: s, operations: [GET /]}]"
        ))
        .contains("`service: s`")
    );
    let text = format!(
        "{}---\n{HEAD}kind: Policy\nmetadata: {{name: p}}\nspec: {{agent: clrek}}",
        BANK.replace("name: clerk }\nspec:\n  agent", "name: q }\nspec:\n  agent")
    );
    assert_eq!(helps(&text), "did you mean clerk?");
}

#[test]
fn tells_all_errors_at_once_in_order() {
    let text = policy(
        "  agent: a\n  mode: learn\n  initiate:\n  - {service: s, operations: [x, 'GET /*a']}\n  - {servce: t}\n  filesystem: {read: [x]}\n  bogus: 1",
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
            "a.yaml:36:19".into()
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
        "  agent: a\n  mode: learn\n  initiate: [{service: elsewhere, operations: [GET /]}, {service: there, operations: [GET /]}]",
    );
    let Diagnostics(found) =
        documents(&[("b.yaml", good.as_bytes()), ("a.yaml", b"kind: [")]).unwrap_err();
    let words: Vec<String> = found.iter().map(|d| d.to_string()).collect();
    assert_eq!(found.len(), 3, "{words:?}");
    assert!(words[0].starts_with("a.yaml:"));
    assert!(words[1].contains("mode learn is not supported yet"));
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

#[test]
fn yaml_that_bites_is_refused_quickly() {
    let before = std::time::Instant::now();
    let nested = "[".repeat(20_000);
    assert_eq!(
        errors(&nested),
        ["1:33 lists and mappings are nested more than 32 deep"]
    );
    let nested = "{a: ".repeat(20_000);
    assert!(errors(&nested)[0].contains("nested more than 32 deep"));
    let block: String = (0..400)
        .map(|depth| format!("{}a:\n", " ".repeat(depth)))
        .collect();
    assert!(errors(&block)[0].contains("nested more than 32 deep"));
    let dashes = "- ".repeat(20_000);
    assert!(errors(&dashes)[0].contains("nested more than 32 deep"));

    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let line = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(bomb, "a{level}: &a{level} [{line}]").unwrap();
    }
    assert!(
        errors(&bomb)
            .iter()
            .any(|e| e.contains("expands to more than 1000000 values")),
        "{:?}",
        errors(&bomb)
    );
    let mut chain = "a0: &a0 [x]\n".to_owned();
    for level in 1..20_000 {
        writeln!(chain, "a{level}: &a{level} [*a{}]", level - 1).unwrap();
    }
    assert!(errors(&chain)[0].contains("nested more than 32 deep"));
    assert!(
        errors("a: &a [*a]")
            .iter()
            .any(|e| e.contains("the alias stands within what it names"))
    );
    assert!(
        errors("a: *a")
            .iter()
            .any(|e| e.contains("the alias names no anchor"))
    );
    assert!(before.elapsed().as_secs() < 5, "{:?}", before.elapsed());
}

#[test]
fn an_alias_stands_for_what_it_names() {
    let text = policy(
        "  agent: a\n  initiate:\n  - {service: s, operations: &ops [GET /a, GET /b]}\n  - {agent: b, operations: *ops}",
    );
    let estate = load(&text).unwrap();
    assert_eq!(estate.policies[0].initiate[1].operations.len(), 2);
}

#[test]
fn says_what_is_wrong_with_the_text() {
    for (text, wanted) in [
        ("a: 'x", "a quote is not closed"),
        ("a: [x", "not YAML"),
        ("a:\n\tb: 1", "a tab stands where YAML takes only spaces"),
        ("%YAML 1.2\n---\na: 1", "a directive is not supported"),
        ("? [a]\n: b", "a key is not a text"),
        ("a: b: c", "not YAML"),
        ("", "the file is empty"),
        (" \n\n", "the file is empty"),
    ] {
        let found = errors(text);
        assert!(
            found.iter().any(|e| e.contains(wanted)),
            "{text:?}: {found:?}"
        );
    }
    let Diagnostics(found) = documents(&[("a.yaml", b"a: x\nb: \xC3\xA4\xFF")]).unwrap_err();
    assert_eq!(
        (
            found[0].at.as_ref().unwrap().line,
            found[0].at.as_ref().unwrap().column
        ),
        (2, 5)
    );
    assert_eq!(found[0].message, "the file is not UTF-8");
    assert!(documents(&[("a.yaml", b"\xFF\xFEa\0")]).is_err());
}

#[test]
fn a_byte_order_mark_comments_and_empty_documents_do_no_harm() {
    let text = format!(
        "\u{FEFF}# first\n---\n---\n{HEAD}kind: Agent\nmetadata: {{name: a}}\n---\n# last\n"
    );
    assert_eq!(load(&text).unwrap().agents.len(), 1);
    let text = text.replace('\n', "\r\n");
    assert_eq!(load(&text).unwrap().agents[0].at.line, 6);
    assert_eq!(load("# nothing yet\n").unwrap(), Estate::default());
}

#[test]
fn a_flood_of_errors_is_cut() {
    let text: String = (0..5000).map(|n| format!("x{n}: 1\n")).collect();
    let Diagnostics(found) = load(&text).unwrap_err();
    assert_eq!(found.len(), DIAGNOSTICS_MAX + 1);
    assert_eq!(
        found.last().unwrap().message,
        "there are 5003 errors, the first 1000 are shown"
    );
}

proptest::proptest! {
    #[test]
    fn never_panics(text in "([a-z{}\\[\\]:,\\-&*!|>'\"#%@?\n\t \u{FEFF}]|\\PC){0,80}") {
        let _ = load(&text);
    }

    /// Damage anywhere in a good file gives errors or an estate, never a panic, and errors have places in it.
    #[test]
    fn damage_is_told_or_harmless(at in 0usize..2000, with in "[a-z{}\\[\\]:,\n ]{0,3}", cut in 0usize..4) {
        let at = at.min(BANK.len() - 4);
        let text = format!("{}{with}{}", &BANK[..at], &BANK[at + cut..]);
        if let Err(Diagnostics(found)) = load(&text) {
            for diagnostic in found {
                let at = diagnostic.at.expect("a place");
                proptest::prop_assert!(at.line as usize <= text.lines().count() + 1);
            }
        }
    }
}
