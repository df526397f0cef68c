//! The objects that events are made of.

use std::net::SocketAddr;

use ringfence_model::{FLOW_SCHEMA, FlowRecord, Outcome, RecordKind, Side, UNITEMISED};
use serde_json::{Value, json};

use crate::object::Object;
use crate::table::{Choice, METHODS, OTHER, RELATIONAL, came, first_word};
use crate::{MAPPING_VERSION, OCSF_VERSION, leaf};

/// Stands where OCSF wants a name and the record has none.
const NAMELESS: &str = "unknown";

/// Numbers that IANA gives protocols, under the names that records give them.
const PROTOCOL_NUMBERS: &[(&str, u32)] = &[
    ("icmp", 1),
    ("igmp", 2),
    ("tcp", 6),
    ("udp", 17),
    ("dccp", 33),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("icmpv6", 58),
    ("sctp", 132),
    ("udplite", 136),
];

fn or_nameless(name: &str) -> &str {
    if name.is_empty() { NAMELESS } else { name }
}

/// Where the event comes from, and which one it is.
pub(crate) fn metadata(record: &FlowRecord, log: &str, profiles: &[&str]) -> Object {
    let mut metadata = Object::default();
    metadata
        .set("version", OCSF_VERSION)
        .set(
            "product",
            json!({
                "name": "Ringfence",
                "vendor_name": "Ringfence",
                "version": env!("CARGO_PKG_VERSION"),
            }),
        )
        .set("profiles", json!(profiles))
        .set("uid", format!("{log}/{}", record.seq))
        .set("original_event_uid", record.seq.to_string())
        .set("original_time", record.time())
        .count("sequence", record.seq)
        .set("event_code", record.kind.as_str())
        .set("log_name", log)
        .say("log_provider", &record.node)
        .set("log_version", FLOW_SCHEMA.to_string())
        .say("correlation_uid", &record.connection)
        .set(
            "transformation_info_list",
            json!([{ "name": "Ringfence flows to OCSF", "uid": MAPPING_VERSION.to_string() }]),
        );
    metadata
}

/// The machine.
pub(crate) fn device(record: &FlowRecord) -> Object {
    let mut device = Object::default();
    device
        .set("hostname", or_nameless(&record.node))
        .choose("type", (0, "Unknown"));
    device
}

/// Who did it.
pub(crate) fn actor(record: &FlowRecord) -> Object {
    let mut actor = Object::default();
    actor.set("app_name", or_nameless(&record.source));
    actor
}

/// The agent that did it. What tells agents from services in a record is the purpose that agents have.
pub(crate) fn ai_agent(record: &FlowRecord) -> Option<Object> {
    if record.purpose.is_empty() || record.source.is_empty() {
        return None;
    }
    let mut agent = Object::default();
    agent
        .set("name", record.source.as_str())
        .set("uid", record.source.as_str())
        .say("instance_uid", &record.source_instance)
        .choose("type", (0, "Unknown"));
    Some(agent)
}

/// Where it came from.
pub(crate) fn source(record: &FlowRecord) -> Object {
    let mut source = Object::default();
    source
        .set("name", or_nameless(&record.source))
        .say("instance_uid", &record.source_instance);
    source
}

/// The address that the source named, if it is one.
pub(crate) fn address(record: &FlowRecord) -> Option<SocketAddr> {
    record.original_destination.parse().ok()
}

/// Where it went.
pub(crate) fn destination(record: &FlowRecord) -> Object {
    let mut destination = Object::default();
    destination
        .say("name", &record.destination)
        .say("svc_name", &record.destination)
        .say("instance_uid", &record.destination_instance);
    if let Some(address) = address(record) {
        destination
            .set("ip", address.ip().to_string())
            .set("port", address.port());
    }
    destination
}

/// Which connection, over what.
pub(crate) fn connection(record: &FlowRecord) -> Object {
    let lateral = !record.source.is_empty() && !record.destination.is_empty();
    let direction = match lateral {
        true => (3, "Lateral"),
        false => (0, "Unknown"),
    };
    let mut connection = Object::default();
    connection
        .choose("direction", direction)
        .say("uid", &record.connection);
    let transport = match record.protocol.as_str() {
        seen if record.kind == RecordKind::Wall => seen,
        // A question may come over either; of a protocol that nobody has named nothing is known.
        "dns" | "" => "",
        "udp" => "udp",
        _ => "tcp",
    };
    if let Some((name, number)) = PROTOCOL_NUMBERS.iter().find(|it| it.0 == transport) {
        connection
            .set("protocol_name", *name)
            .set("protocol_num", *number);
    }
    if let Some(address) = address(record) {
        connection.set("protocol_ver_id", if address.is_ipv4() { 4 } else { 6 });
    }
    connection
}

/// The end that recorded it.
pub(crate) fn observation_point(side: Side) -> Choice {
    match side {
        Side::Initiator => (1, "Source"),
        Side::Receiver => (2, "Destination"),
        Side::Both => (4, "Both"),
        Side::Unspecified => (0, "Unknown"),
    }
}

/// What went each way.
pub(crate) fn traffic(record: &FlowRecord) -> Object {
    let (sent, received) = (record.bytes_sent, record.bytes_received);
    let mut traffic = Object::default();
    traffic.count("bytes_out", sent).count("bytes_in", received);
    if let Some(sum) = sent.checked_add(received) {
        traffic.count("bytes", sum);
    }
    traffic
}

/// The request. Its query, headers and body are not in the log.
pub(crate) fn http_request(record: &FlowRecord) -> Object {
    let version = match record.protocol.as_str() {
        "http2" => "2",
        _ => "1.1",
    };
    let mut request = Object::default();
    request.set("version", version);
    if let Some((method, path)) = record.operation.split_once(' ')
        && path.starts_with(['/', '*'])
    {
        if METHODS.iter().any(|it| it.0 == method) {
            request.set("http_method", method);
        }
        request.set("url", json!({ "path": path }));
    }
    request
}

/// The question, and how it was answered.
pub(crate) fn question(record: &FlowRecord, event: &mut Object) {
    let mut words = record.operation.splitn(3, ' ');
    let (Some("resolve"), Some(kind), Some(name)) = (words.next(), words.next(), words.next())
    else {
        return;
    };
    event.set(
        "query",
        json!({ "hostname": name, "type": kind, "class": "IN" }),
    );
    match record.outcome {
        Outcome::Allow | Outcome::WouldDeny => event.choose("rcode", (0, "NoError")),
        Outcome::Deny => event.choose("rcode", (3, "NXDomain")),
        Outcome::Error | Outcome::Unspecified => event,
    };
}

/// The call.
pub(crate) fn api(record: &FlowRecord) -> Object {
    let service = match record.operation.rsplit_once('/') {
        Some((service, _)) if record.protocol == "grpc" => service,
        _ => record.destination.as_str(),
    };
    let mut api = Object::default();
    api.set("operation", or_nameless(&record.operation));
    if !service.is_empty() {
        api.set("service", json!({ "name": service }));
    }
    api
}

/// The data base and, of a statement, its table.
pub(crate) fn datastore(record: &FlowRecord, event: &mut Object) {
    let relational = RELATIONAL.contains(&record.protocol.as_str());
    let sort = match relational {
        true => (1, "Relational"),
        false => (6, "NoSQL"),
    };
    let mut database = Object::default();
    database
        .set("name", or_nameless(&record.destination))
        .choose("type", sort);
    event.set("database", database);
    match record.operation.split_once(' ') {
        Some((_, name)) if relational && !name.is_empty() && record.operation != UNITEMISED => {
            event
                .choose("type", (3, "Table"))
                .set("table", json!({ "name": name }))
        }
        _ => event.choose("type", (1, "Database")),
    };
}

/// The system call.
pub(crate) fn kernel(record: &FlowRecord) -> Object {
    let mut kernel = Object::default();
    kernel
        .set("name", or_nameless(first_word(&record.operation)))
        .choose("type", (2, "System Call"))
        .say("system_call", &record.operation);
    kernel
}

/// What an event of a node is about: a workload, or Ringfence itself.
pub(crate) fn app(record: &FlowRecord) -> Object {
    let name = match record.source.as_str() {
        "" => "Ringfence",
        name => name,
    };
    let mut app = Object::default();
    app.set("name", name);
    app
}

/// The generation of policy that decided, and whether it had its way.
fn policy(record: &FlowRecord) -> Option<Object> {
    let mut policy = Object::default();
    policy
        .set("type", "Ringfence policy")
        .set("version", record.generation.to_string())
        .set("is_applied", record.outcome != Outcome::WouldDeny);
    (record.generation > 0).then_some(policy)
}

/// The rule that decided.
fn rule(record: &FlowRecord) -> Option<Object> {
    let mut rule = Object::default();
    rule.say("uid", &record.rule);
    (!rule.is_empty()).then_some(rule)
}

/// What binds the event to its leaf in the log.
pub(crate) fn attestations(record: &FlowRecord, leaf: &[u8], log: &str) -> Value {
    let mut fingerprint = Object::default();
    fingerprint
        .choose("algorithm", (3, "SHA-256"))
        .choose("encoding", (1, "Hex"))
        .choose(
            "serialization",
            (OTHER, "RFC 6962 leaf of a ringfence.v1.Flow"),
        )
        .set("value", leaf::hash(leaf));
    let fingerprint = Value::from(fingerprint);
    let authority = or_nameless(&record.node);
    json!([{ "authority_uid": authority, "chain_uid": log, "fingerprint": fingerprint }])
}

/// What was decided, and by what.
pub(crate) fn decision(record: &FlowRecord, event: &mut Object) {
    let came = came(record.outcome);
    event
        .choose("action", came.action)
        .choose("disposition", came.disposition);
    if let Some(policy) = policy(record) {
        event.set("policy", policy);
    }
    if let Some(rule) = rule(record) {
        event.set("firewall_rule", rule);
    }
}
