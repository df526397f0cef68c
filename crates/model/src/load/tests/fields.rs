//! Errors of single fields, by kind of resource.

use super::*;

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
            "  protocol: http\n  port: 080",
            "6:9 port must be a number without leading zeros",
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
            "  protocol: http\n  port: 80\n  record: {headers: [Authorization]}",
            "7:22 Authorization is the name of a secret, which must not be read in a log",
        ),
        (
            "  protocol: http\n  port: 80\n  record: {query: [page, access_token]}",
            "7:26 access_token is the name of a secret, which must not be read in a log",
        ),
        (
            "  protocol: http\n  port: 80\n  record: {headers: [x-api-key]}",
            "7:22 x-api-key is the name of a secret, which must not be read in a log",
        ),
        (
            "  protocol: http\n  port: 80\n  record: {headers: [x tenant]}",
            "7:22 \"x tenant\" is not the name of a header that can be recorded",
        ),
        (
            "  protocol: http\n  port: 80\n  record: {query: [\"a=b\"]}",
            "7:20 \"a=b\" is not the name of a query parameter that can be recorded",
        ),
        (
            "  protocol: http\n  port: 80\n  record: {headers: []}",
            "7:21 the list of headers is empty",
        ),
        (
            "  protocol: http\n  port: 80\n  record: {}",
            "7:11 record names nothing",
        ),
        (
            "  protocol: http\n  port: 80\n  record: {headers: [x-tenant], args: [amount]}",
            "7:33 record has no field \"args\"",
        ),
        (
            "  protocol: http\n  port: 80\n  record: {headers: [X-Tenant, x-tenant]}",
            "7:32 x-tenant is named twice",
        ),
        (
            "  protocol: tls\n  port: 80\n  record: {headers: [x-tenant]}",
            "7:11 tls has no headers and no query",
        ),
        (
            "  protocol: grpc\n  port: 80\n  record: {query: [page]}",
            "7:19 grpc has no query",
        ),
        (
            "  protocol: tcp\n  port: 80\n  paths: {accept: []}",
            "7:10 tcp has no paths",
        ),
        (
            "  protocol: http\n  port: 80\n  attest: {exe: x, uid: 1}",
            "7:17 \"x\" is not an absolute path",
        ),
        (
            "  protocol: http\n  port: 80\n  attest: {exe: /opt/../x}",
            "7:17 \"/opt/../x\" holds a dot segment",
        ),
        (
            "  protocol: http\n  port: 80\n  attest: {sha256: abc}",
            "7:20 \"abc\" is not a sha256: a sha256 has 64 hexadecimal digits",
        ),
        (
            "  protocol: http\n  port: 80\n  attest: {unit: agents}",
            "7:18 \"agents\" is not a unit: it ends neither in .service nor in .scope",
        ),
        (
            "  protocol: http\n  port: 80\n  attest: {unit: user@1.service/x.service}",
            "7:18 \"user@1.service/x.service\" is not a unit: it is a path",
        ),
        (
            "  protocol: http\n  port: 80\n  attest: {pid: 1, uid: 1}",
            "7:12 attest has no field \"pid\"",
        ),
        (
            "  protocol: http\n  port: 80\n  attest: {}",
            "7:11 attest asks for nothing",
        ),
        (
            "  protocol: http\n  port: 80\n  attest: {uid: 4294967295}",
            "7:17 uid must be a number from 0 to 4294967294",
        ),
        (
            "  protocol: udp\n  port: 80\n  paths: {accept: []}",
            "7:10 udp has no paths",
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
fn every_protocol_is_known_and_what_people_call_one_is_told() {
    for protocol in crate::Protocol::ALL {
        let text = service(&format!("  protocol: {protocol}\n  port: 80"));
        assert!(errors(&text).is_empty(), "{protocol}");
    }
    for other in ["h2", "h2c"] {
        let text = service(&format!("  protocol: {other}\n  port: 80"));
        assert!(helps(&text).starts_with("write http2"), "{other}");
    }
    for protocol in ["grpc", "tls"] {
        let text = service(&format!(
            "  protocol: {protocol}\n  port: 80\n  paths: {{accept: [semicolon]}}"
        ));
        assert_eq!(errors(&text), [format!("7:10 {protocol} has no paths")]);
    }
}

#[test]
fn callers_that_bring_tls_leave_none_to_us() {
    let with = |endpoint: &str| {
        errors(&service(&format!(
            "  protocol: tls\n  port: 443\n  mutualAuth: {{exempt: x, until: 2099-01-01}}\n  endpoints: [{endpoint}]"
        )))
    };
    assert!(with("{address: 'x:1'}").is_empty());
    assert_eq!(
        with("{address: 'x:1', tls: {}}"),
        ["8:15 tls to an endpoint whose callers bring their own"]
    );
}

#[test]
fn an_endpoint_for_datagrams_speaks_no_tls() {
    let with = |endpoint: &str| {
        errors(&service(&format!(
            "  protocol: udp\n  port: 80\n  mutualAuth: {{exempt: x, until: 2099-01-01}}\n  endpoints: [{endpoint}]"
        )))
    };
    assert!(with("{address: 'x:1'}").is_empty());
    assert_eq!(
        with("{address: 'x:1', tls: {}}"),
        ["8:15 tls to an endpoint that takes datagrams"]
    );
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
        ["7:50 clientCert has no key"]
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
            "  agent: a\n  mode: shadow\n  until: soon",
            "15:10 until is not a date",
        ),
        (
            "  agent: a\n  mode: enforced",
            "14:9 \"enforced\" is not a mode",
        ),
        (
            "  agent: a\n  until: 2027-01-01",
            "14:10 mode enforce does not end",
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
            "  agent: a\n  initiate: [{service: s, operations: [{allow: GET /, when: ' '}]}]",
            "14:61 when is empty",
        ),
        (
            "  agent: a\n  initiate: [{service: s, operations: [{allow: GET /, until: 1}]}]",
            "14:62 until is not a date",
        ),
        (
            "  agent: a\n  initiate: [{service: s, until: 1, operations: [GET /]}]",
            "14:34 until is not a date",
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
            "  agent: a\n  tests: [{to: s, deny: GET /, with: []}]",
            "14:38 with must be a mapping, not a list",
        ),
        (
            "  agent: a\n  filesystem: {read: [x]}",
            "14:23 \"x\" is not an absolute path",
        ),
        (
            "  agent: a\n  filesystem: {read: [/a/../b]}",
            "14:23 \"/a/../b\" holds a dot segment",
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
fn says_what_is_wrong_with_a_guardrail() {
    let guardrail = |spec: &str| {
        let text = policy("  agent: a");
        format!("{HEAD}kind: Guardrail\nmetadata: {{name: g}}\nspec:\n{spec}\n---\n{text}")
    };
    let whole = "  owner: x\n  reason: y\n";
    for (spec, wanted) in [
        (
            "  from: ['*']\n  to: [s]\n  deny: [GET /]\n  reason: y",
            "5:3 the guardrail's spec has no owner",
        ),
        (
            "  from: ['*']\n  to: [s]\n  deny: [GET /]\n  owner: y",
            "5:3 the guardrail's spec has no reason",
        ),
        (
            "  owner: x\n  reason: y\n  from: ['*']\n  to: [s]",
            "5:3 the guardrail has neither deny nor only",
        ),
        (
            "  owner: x\n  reason: y\n  from: ['*']\n  to: [s]\n  deny: [GET /]\n  only: [GET /]",
            "10:3 the guardrail has both deny and only",
        ),
        (
            "  owner: x\n  reason: y\n  from: ['*', a]\n  to: [s]\n  deny: [GET /]",
            "7:9 from has * beside names",
        ),
        (
            "  owner: x\n  reason: y\n  from: []\n  to: [s]\n  deny: [GET /]",
            "7:9 from names nobody",
        ),
        (
            "  owner: x\n  reason: y\n  from: [zz]\n  to: [s]\n  deny: [GET /]",
            "7:10 there is no agent or service called zz",
        ),
        (
            "  owner: x\n  reason: y\n  from: [a]\n  to: [s]\n  deny: [connect]",
            "9:10 operation of guardrail g: \"connect\" is not an operation of http",
        ),
        (
            "  owner: x\n  reason: y\n  from: [a]\n  to: ['*']\n  deny: [conect]",
            "9:10 operation of guardrail g: \"conect\" is not METHOD /path",
        ),
        (
            "  owner: x\n  reason: y\n  from: [a]\n  to: ['*']\n  only: []",
            "9:9 only lists no operation",
        ),
        (
            "  owner: x\n  reason: y\n  from: [a]\n  to: ['*']\n  only: [{allow: send}]",
            "9:10 an operation must be a text, not a mapping",
        ),
    ] {
        assert_eq!(errors(&guardrail(spec)), [wanted], "{spec}");
    }
    for rest in [
        "  from: [a]\n  to: [s, t]\n  deny: [connect, GET /]",
        "  from: ['*']\n  to: ['*']\n  only: [connect, send, GET /a%2Fb]\n  when: now > now",
    ] {
        let text = guardrail(&format!("{whole}{rest}"));
        assert_eq!(errors(&text), [""; 0], "{text}");
    }
}

#[test]
fn reads_modes_ends_conditions_contexts_and_labels() {
    let spec = "  agent: a\n  mode: shadow\n  until: 2027-01-31\n  initiate:\n  - service: s\n    until: 2027-03-01\n    operations: [{allow: GET /, when: ' now < x ', until: 2027-02-01}, GET /b]\n  tests: [{to: s, deny: GET /, with: {body: {n: 5, s: '5', t: true, l: [1.5, x]}}}]";
    let text = policy(spec).replace("{name: s}", "{name: s, labels: {tier: gold}}");
    let estate = load(&format!("{text}\n---\n{HEAD}kind: Test\nmetadata: {{name: u}}\nspec: {{from: a, to: s, deny: GET /}}\n---\n{HEAD}kind: Test\nmetadata: {{name: t}}\nspec: {{tests: [{{from: a, to: s, deny: GET /}}, {{from: s, to: t, deny: connect}}]}}")).unwrap();
    let policy = &estate.policies[0];
    let day = |text: &str| Some(text.parse::<jiff::civil::Date>().unwrap());
    assert_eq!(
        policy.mode.window(),
        day("2027-01-01").zip(day("2027-01-31"))
    );
    let rules = &policy.initiate[0].operations;
    assert_eq!(rules[0].when.as_ref().unwrap().text, "now < x");
    assert_eq!(
        [rules[0].until, rules[1].until],
        [day("2027-02-01"), day("2027-03-01")]
    );
    let with = serde_json::to_string(policy.tests[0].with.as_ref().unwrap()).unwrap();
    assert_eq!(with, r#"{"body":{"l":[1.5,"x"],"n":5,"s":"5","t":true}}"#);
    assert_eq!(
        estate
            .tests
            .iter()
            .map(|test| test.cases.len())
            .collect::<Vec<_>>(),
        [2, 1]
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
            "3:18 guardrail a has no spec",
        ),
        (
            "apiVersion: ringfence.dev/v1alpha1\nkind: Test\nmetadata: {name: a}",
            "3:18 test a has no spec",
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
            "apiVersion: ringfence.dev/v1alpha1\nkind: Agent\nmetadata: {name: a, labels: {x: [1]}}",
            "3:33 a label must be a text, not a list",
        ),
        (
            "apiVersion: ringfence.dev/v1alpha1\nkind: Agent\nmetadata: {name: a, annotations: {}}",
            "3:21 field annotations of metadata is not supported yet",
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
        "add `port: 8080`|did you mean port?"
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

/// A document without a usable name is read to its end all the same: one go tells everything.
#[test]
fn what_is_wrong_in_the_spec_of_a_nameless_document_is_told_too() {
    for (kind, spec, wrong) in [
        ("Agent", "{ purpos: x }", "purpos"),
        ("Service", "{ protocol: http, port: 80, portt: 1 }", "portt"),
        ("Policy", "{ agent: clerk, initiat: [] }", "initiat"),
    ] {
        for metadata in ["{ name: Upper }", "{ nam: x }"] {
            let text = format!("{HEAD}kind: {kind}\nmetadata: {metadata}\nspec: {spec}\n");
            let errors = documents(&[("a.yaml", text.as_bytes())]).unwrap_err();
            let told = errors.to_string();
            assert!(told.contains("nam"), "{told}");
            assert!(told.contains(wrong), "{told}");
            let at = errors
                .0
                .iter()
                .filter(|error| error.message.contains(wrong));
            assert_eq!(at.count(), 1, "{told}");
        }
    }
}

#[test]
fn processes_are_bounded_from_the_fewest_to_the_most_that_can_be_asked_for() {
    use crate::limits::{PROCESSES_MAX, PROCESSES_MIN};
    let with = |processes: u64| {
        service(&format!(
            "  protocol: http\n  port: 80\n  limits: {{processes: {processes}}}"
        ))
    };
    let (least, most) = (u64::from(PROCESSES_MIN), u64::from(PROCESSES_MAX));
    for fits in [least, most] {
        assert_eq!(errors(&with(fits)), Vec::<String>::new(), "{fits}");
    }
    let told = format!("7:23 processes must be a number from {least} to {most}");
    for refused in [least - 1, most + 1, 0] {
        assert_eq!(
            errors(&with(refused)),
            std::slice::from_ref(&told),
            "{refused}"
        );
    }
}

#[test]
fn what_may_be_read_of_requests_is_named() {
    let text = super::service(
        "  protocol: http\n  port: 80\n  record: {headers: [X-Tenant, accept], query: [Page, \"filter[name]\"]}",
    );
    let estate = super::load(&text).unwrap();
    assert_eq!(
        estate.services[0].record,
        crate::resource::Recorded {
            headers: vec!["x-tenant".to_owned(), "accept".to_owned()],
            query: vec!["Page".to_owned(), "filter[name]".to_owned()],
        }
    );
}

/// `RECORDED_MAX`
#[test]
fn so_many_names_can_be_recorded_and_no_more() {
    let of = |many: usize| {
        let names: Vec<String> = (0..many).map(|number| format!("n{number}")).collect();
        let names = names.join(", ");
        super::service(&format!(
            "  protocol: http\n  port: 80\n  record: {{query: [{names}]}}"
        ))
    };
    let most = super::super::RECORDED_MAX;
    assert_eq!(
        super::load(&of(most)).unwrap().services[0]
            .record
            .query
            .len(),
        most
    );
    assert_eq!(
        super::errors(&of(most + 1)),
        [format!(
            "7:19 {} names, and at most {most} have room",
            most + 1
        )]
    );
}
