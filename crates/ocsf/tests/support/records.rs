//! A record of each sort that nodes write, and of those to come.
#![allow(dead_code)]

use prost::Message;
use ringfence_model::FlowRecord;
use ringfence_model::flow::{Flow, Kind, Outcome, Side};
use serde_json::Value;

/// Name of the log in which they stand.
pub(crate) const LOG: &str = "bank-1.log.example";

fn base(kind: Kind, protocol: &str, operation: &str, outcome: Outcome) -> Flow {
    Flow {
        schema: 1,
        time_ns: 1_795_000_000_123_456_789,
        node: "bank-1".into(),
        side: Side::Both.into(),
        kind: kind.into(),
        connection: "00000000000000b7-1".into(),
        count: 1,
        source: "customer-service".into(),
        source_instance: "customer-service-7-1".into(),
        destination: "payments".into(),
        destination_instance: "payments-7-2".into(),
        original_destination: "100.64.0.3:8080".into(),
        protocol: protocol.into(),
        operation: operation.into(),
        outcome: outcome.into(),
        reason: "allowed by both ends".into(),
        rule: "customer-service.yaml:19".into(),
        generation: 3,
        mode: "enforce".into(),
        purpose: "answers customers' questions".into(),
        ..Flow::default()
    }
}

fn operation(protocol: &str, operation: &str, outcome: Outcome) -> Flow {
    base(Kind::Operation, protocol, operation, outcome)
}

fn event(operation: &str, source: &str, outcome: Outcome, reason: &str) -> Flow {
    Flow {
        schema: 1,
        time_ns: 1_795_000_000_123_456_789,
        node: "bank-1".into(),
        kind: Kind::Event.into(),
        count: 1,
        source: source.into(),
        operation: operation.into(),
        outcome: outcome.into(),
        reason: reason.into(),
        generation: 3,
        ..Flow::default()
    }
}

/// With the name of the golden file of its event.
pub(crate) fn all() -> Vec<(&'static str, Flow)> {
    let refused = "no rule of policy customer-service names service payments";
    vec![
        (
            "connection-open",
            base(Kind::Connection, "http", "connect", Outcome::Allow),
        ),
        (
            "connection-refused",
            Flow {
                reason: refused.into(),
                destination_instance: String::new(),
                count: 847,
                last_time_ns: 1_795_000_001_123_000_000,
                ..base(Kind::Connection, "http", "connect", Outcome::Deny)
            },
        ),
        (
            "connection-to-nobody",
            Flow {
                destination: String::new(),
                destination_instance: String::new(),
                original_destination: "[2001:db8::7]:443".into(),
                reason: "no workload has this address".into(),
                rule: String::new(),
                ..base(Kind::Connection, "", "connect", Outcome::Deny)
            },
        ),
        (
            "connection-of-a-service",
            Flow {
                source: "reporting".into(),
                source_instance: "reporting-7-3".into(),
                purpose: String::new(),
                ..base(Kind::Connection, "tcp", "connect", Outcome::Allow)
            },
        ),
        (
            "connection-fails",
            Flow {
                reason: "nobody listens".into(),
                ..base(Kind::Connection, "tcp", "connect", Outcome::Error)
            },
        ),
        (
            "close",
            Flow {
                bytes_sent: 4_096,
                bytes_received: 1_048_577,
                duration_ns: 1_234_567_890,
                reason: "both ends are done".into(),
                ..base(Kind::Close, "http", "close", Outcome::Allow)
            },
        ),
        (
            "http-get",
            Flow {
                fields: "query.page=2 header.cookie~00112233445566778899aabbccddeeff".into(),
                fields_key: 4000,
                ..operation("http", "GET /customers/42", Outcome::Allow)
            },
        ),
        (
            "http-post-refused",
            Flow {
                reason: refused.into(),
                ..operation("http2", "POST /v1/payments", Outcome::Deny)
            },
        ),
        (
            "http-would-be-refused",
            Flow {
                reason: refused.into(),
                mode: "shadow".into(),
                ..operation("http", "DELETE /customers/42", Outcome::WouldDeny)
            },
        ),
        (
            "http-unknown-method",
            operation("http", "PURGE /customers/42", Outcome::Deny),
        ),
        (
            "websocket",
            operation("http", "WEBSOCKET /feed", Outcome::Allow),
        ),
        (
            "http-unitemised",
            Flow {
                count: 12_345,
                reason: "too many attempts for a record each; the first was GET /0".into(),
                ..operation("http", ringfence_model::UNITEMISED, Outcome::Deny)
            },
        ),
        (
            "grpc",
            operation("grpc", "shop.v1.Payments/Refund", Outcome::Allow),
        ),
        (
            "mcp",
            operation("mcp", "call refund_lookup", Outcome::Allow),
        ),
        (
            "publish",
            operation("nats", "publish orders.created.eu", Outcome::Deny),
        ),
        (
            "select",
            operation("postgres", "select public.customers", Outcome::Allow),
        ),
        (
            "redis",
            operation("redis", "get session:42", Outcome::Allow),
        ),
        ("tls", operation("tls", "connect", Outcome::Allow)),
        (
            "datagrams",
            Flow {
                protocol: "udp".into(),
                ..base(Kind::Connection, "udp", "send", Outcome::Allow)
            },
        ),
        (
            "dns",
            Flow {
                original_destination: "100.64.0.1:53".into(),
                destination_instance: String::new(),
                ..operation("dns", "resolve A payments", Outcome::Allow)
            },
        ),
        (
            "dns-refused",
            Flow {
                destination: String::new(),
                destination_instance: String::new(),
                original_destination: "100.64.0.1:53".into(),
                reason: "no workload answers to this name".into(),
                rule: String::new(),
                ..operation("dns", "resolve AAAA c2.example", Outcome::Deny)
            },
        ),
        (
            "dns-unreadable",
            Flow {
                destination: String::new(),
                destination_instance: String::new(),
                ..operation("dns", "resolve", Outcome::Deny)
            },
        ),
        (
            "wall-system-call",
            Flow {
                side: Side::Initiator.into(),
                connection: String::new(),
                destination: String::new(),
                destination_instance: String::new(),
                original_destination: String::new(),
                reason: "no workload may call this".into(),
                rule: String::new(),
                ..base(Kind::Wall, "system call", "socket AF_PACKET", Outcome::Deny)
            },
        ),
        (
            "wall-packet",
            Flow {
                side: Side::Initiator.into(),
                connection: String::new(),
                destination: String::new(),
                destination_instance: String::new(),
                original_destination: "10.0.0.7:0".into(),
                reason: "no door takes this protocol, kind of address or header".into(),
                rule: String::new(),
                ..base(Kind::Wall, "icmp", "icmp to 10.0.0.7", Outcome::Deny)
            },
        ),
        (
            "event-started",
            event(
                "node started",
                "",
                Outcome::Allow,
                "generation 3 is in force",
            ),
        ),
        (
            "event-quarantine",
            event(
                "quarantine",
                "customer-service",
                Outcome::Allow,
                "by uid 0: steered",
            ),
        ),
        (
            "event-other",
            event("claim refused", "x", Outcome::Allow, "another user's"),
        ),
        (
            "event-error",
            Flow {
                count: 7,
                ..event(
                    "unrecorded denials",
                    "",
                    Outcome::Error,
                    "in the 0.100 s before this, 7 attempts were denied without a record",
                )
            },
        ),
        (
            "nothing",
            Flow {
                schema: 1,
                ..Flow::default()
            },
        ),
        (
            "largest-numbers",
            Flow {
                time_ns: u64::MAX,
                count: u64::MAX,
                generation: u64::MAX,
                bytes_sent: u64::MAX,
                bytes_received: u64::MAX,
                duration_ns: u64::MAX,
                ..base(Kind::Close, "tcp", "close", Outcome::Allow)
            },
        ),
    ]
}

/// The event of a flow that is record `seq`.
pub(crate) fn event_of(flow: &Flow, seq: u64) -> Value {
    let record = FlowRecord::new(seq, flow).unwrap();
    ringfence_ocsf::event(&record, &flow.encode_to_vec(), LOG)
}
