//! Names at the door, by dig: what policy allows resolves, nothing else does, whoever is asked.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;

use e2e_support::start;
use ringfence_model::{Outcome, RecordKind};
use ringfence_testbed::Node;

fn dig(node: &Node, arguments: &[&str]) -> String {
    let mut words = vec!["dig", "+tries=1", "+time=3", "+nocookie"];
    words.extend(arguments);
    node.run("agent", &words).unwrap().ok().stdout
}

#[test]
fn a_permitted_name_resolves_over_udp_and_tcp_whichever_server_is_asked() {
    let node = start();
    let default = dig(&node, &["web", "A", "+short"]);
    assert!(default.starts_with("100."), "{default}");
    for server in [
        "@8.8.8.8",
        "@198.18.0.53",
        "@10.1.2.3",
        "@2001:4860:4860::8888",
    ] {
        for transport in ["+notcp", "+tcp"] {
            assert_eq!(
                dig(&node, &[server, transport, "web", "A", "+short"]),
                default,
                "{server} {transport}"
            );
        }
    }
}

#[test]
fn a_name_has_one_address_of_each_family_and_they_name_it_back() {
    let node = start();
    let (v4, v6) = (
        dig(&node, &["web", "A", "+short"]),
        dig(&node, &["web", "AAAA", "+short"]),
    );
    assert!(
        v4.starts_with("100.") && v6.starts_with("fd52:6600:"),
        "{v4} {v6}"
    );
    for address in [v4.trim(), v6.trim()] {
        assert_eq!(
            dig(&node, &["-x", address, "+short"]).trim(),
            "web.ringfence.internal.",
            "{address}"
        );
    }
    assert_eq!(dig(&node, &["web.example.test", "A", "+short"]), v4);
    // It exists, and has no such record.
    let mx = dig(&node, &["web", "MX"]);
    assert!(
        mx.contains("status: NOERROR") && mx.contains("ANSWER: 0"),
        "{mx}"
    );
}

#[test]
fn what_policy_does_not_name_does_not_exist() {
    let node = start();
    let normal = |name: &str| {
        dig(&node, &[name, "A"])
            .lines()
            .filter(|line| line.contains("status:"))
            .map(|line| line.split("id:").next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let nobody = normal("no-such-thing");
    assert!(nobody[0].contains("status: NXDOMAIN"), "{nobody:?}");
    for name in [
        "vault",
        "vault.ringfence.internal",
        "example.com",
        "deadbeef.exfil.example.com",
        "ringfence.internal",
        ".",
    ] {
        assert_eq!(normal(name), nobody, "{name}");
    }
    // Its address does not name it either.
    let v4 = node
        .run("vault", &["dig", "+short", "vault", "A"])
        .unwrap()
        .ok()
        .stdout;
    assert!(v4.starts_with("100."), "{v4}");
    let back = dig(&node, &["-x", v4.trim()]);
    assert!(back.contains("status: NXDOMAIN"), "{back}");
}

#[test]
fn every_query_is_a_record() {
    let node = start();
    for number in 0..12 {
        dig(
            &node,
            &[&format!("secret-{number}.exfil.example.com"), "TXT"],
        );
    }
    dig(&node, &["web", "A"]);
    let queries = node
        .flows_where(0, |r| {
            r.protocol == "dns" && r.kind == RecordKind::Operation
        })
        .unwrap();
    let denied: Vec<_> = queries
        .iter()
        .filter(|r| r.outcome == Outcome::Deny)
        .filter_map(|r| r.operation.rsplit(' ').next())
        .collect();
    let wanted: Vec<_> = (0..12)
        .map(|n| format!("secret-{n}.exfil.example.com"))
        .collect();
    assert_eq!(denied, wanted);
    let allowed: Vec<_> = queries
        .iter()
        .filter(|r| r.outcome == Outcome::Allow)
        .map(|r| r.operation.as_str())
        .collect();
    assert_eq!(allowed, ["resolve A web"]);
}

/// With `AI_ADDRCONFIG`, which most programs ask with, the C library hides answers of a family of which the host has
/// only a loopback address.
#[test]
fn the_c_librarys_resolver_finds_both_families() {
    let node = start();
    for (database, begins) in [("ahostsv4", "100."), ("ahostsv6", "fd52:6600:")] {
        let found = node.run("agent", &["getent", database, "web"]).unwrap();
        assert!(found.stdout.starts_with(begins), "{database}: {found:?}");
    }
}
