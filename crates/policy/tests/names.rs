//! From names, addresses and authorities to workloads.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::net::SocketAddr;

use common::*;
use ringfence_model::OriginalDst;
use ringfence_policy::Snapshot;

fn zone() -> Snapshot {
    compile(
        "kind: Service\nmetadata: {name: api}\nspec: {protocol: http, port: 8080, hosts: [api.example.com]}\n---\n\
         kind: Service\nmetadata: {name: db}\nspec: {protocol: tcp, port: 5432, endpoints: [{address: '10.1.2.3:6432'}, {address: '[2001:db8::1]:6432'}, {address: 'db.real:1'}], mutualAuth: {exempt: x, until: 2099-01-01}}\n---\n\
         kind: Agent\nmetadata: {name: mute}\n",
    )
}

fn name(zone: &Snapshot, ix: Option<ringfence_policy::WorkloadIx>) -> Option<String> {
    ix.map(|ix| zone.workload(ix).id.name.to_string())
}

#[test]
fn routes_virtual_addresses_and_declared_ones_by_port() {
    let zone = zone();
    let to = |text: String| {
        let address: SocketAddr = text.parse().unwrap();
        name(&zone, zone.route(OriginalDst::new(address)))
    };
    let of = |n: &str| zone.workload(zone.find(n).unwrap()).address;
    let (api, mute) = (of("api"), of("mute"));
    assert_eq!(to(format!("{}:8080", api.v4)).as_deref(), Some("api"));
    assert_eq!(to(format!("[{}]:8080", api.v6)).as_deref(), Some("api"));
    assert_eq!(
        to(format!("[::ffff:{}]:8080", api.v4)).as_deref(),
        Some("api")
    );
    assert_eq!(to(format!("{}:8081", api.v4)), None);
    assert_eq!(to(format!("{}:80", mute.v4)), None);
    assert_eq!(to("10.1.2.3:6432".into()).as_deref(), Some("db"));
    assert_eq!(to("[2001:db8::1]:6432".into()).as_deref(), Some("db"));
    assert_eq!(to("10.1.2.3:5432".into()), None);
    assert_eq!(to("10.1.2.4:6432".into()), None);
    assert_eq!(to("127.0.0.1:8080".into()), None);
    assert_eq!(
        name(&zone, zone.resolve_address(mute.v6.into())).as_deref(),
        Some("mute")
    );
    assert_eq!(zone.resolve_address("10.1.2.3".parse().unwrap()), None);
}

#[test]
fn resolves_names_in_any_case() {
    let zone = zone();
    for text in [
        "api",
        "API",
        "api.",
        "Api.Ringfence.Internal",
        "api.ringfence.internal.",
        "api.EXAMPLE.com",
    ] {
        assert_eq!(
            name(&zone, zone.resolve(text)).as_deref(),
            Some("api"),
            "{text}"
        );
    }
    let long = "a".repeat(300);
    for text in [
        "",
        ".",
        "api..",
        "ap",
        "db.real",
        "api.example",
        "x.api",
        "äpi",
        &long,
    ] {
        assert_eq!(zone.resolve(text), None, "{text}");
    }
    assert!(zone.find("API").is_none() && zone.find("api.example.com").is_none());
}

#[test]
fn an_authority_names_its_workload_and_port() {
    let zone = zone();
    let (api, db, mute) = (
        zone.find("api").unwrap(),
        zone.find("db").unwrap(),
        zone.find("mute").unwrap(),
    );
    let address = zone.workload(api).address;
    for text in [
        "api",
        "API:8080",
        "api.",
        "api.:8080",
        "api.ringfence.internal",
        "Api.Example.Com:8080",
        &address.v4.to_string(),
        &format!("{}:8080", address.v4),
        &format!("[{}]", address.v6),
        &format!("[{}]:8080", address.v6),
        &format!("[::ffff:{}]:8080", address.v4),
    ] {
        assert!(zone.authority_names(api, text), "{text}");
    }
    for text in [
        "",
        ":",
        ":8080",
        "api:",
        "api:80",
        "api:08080x",
        "api:+8080",
        "api:8080:8080",
        "user@api",
        "api/",
        "api ",
        " api",
        "db",
        "api..",
        &address.v6.to_string(),
        &format!("[{}", address.v6),
        &format!("[{}]8080", address.v6),
        &format!("[{}%lo]", address.v6),
        &format!("[{}]", address.v4),
        "10.1.2.3",
        "127.0.0.1:8080",
        "localhost",
    ] {
        assert!(!zone.authority_names(api, text), "{text}");
    }
    for text in ["db:5432", "10.1.2.3:6432", "10.1.2.3", "[2001:db8::1]:6432"] {
        assert!(zone.authority_names(db, text), "{text}");
    }
    for text in ["10.1.2.3:5432", "db.real", "db.real:1", "db:6432"] {
        assert!(!zone.authority_names(db, text), "{text}");
    }
    assert!(!zone.authority_names(mute, "mute"), "it serves nothing");
}
