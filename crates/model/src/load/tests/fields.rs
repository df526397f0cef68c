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
