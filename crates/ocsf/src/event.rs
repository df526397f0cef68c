//! One record, one event.

use ringfence_model::{FlowRecord, RecordKind};
use serde_json::Value;

use crate::object::Object;
use crate::parts;
use crate::table::{self, Class};

const NS_PER_MS: u64 = 1_000_000;

const AI_OPERATION: &str = "ai_operation";
const HOST: &str = "host";
const RECORD_INTEGRITY: &str = "record_integrity";
const SECURITY_CONTROL: &str = "security_control";

/// The event of a record. `leaf` is the record as the log has it, the encoding of its `Flow`; `log` is the log's name, its
/// origin.
///
/// ```
/// # use ringfence_model::{FlowRecord, flow::Flow};
/// let flow = Flow { schema: 1, kind: 1, outcome: 2, ..Flow::default() };
/// let record = FlowRecord::new(7, &flow).unwrap();
/// let event = ringfence_ocsf::event(&record, b"its bytes", "node-1");
/// assert_eq!(event["class_uid"], 4001);
/// assert_eq!(event["activity_name"], "Refuse");
/// assert_eq!(event["metadata"]["uid"], "node-1/7");
/// ```
pub fn event(record: &FlowRecord, leaf: &[u8], log: &str) -> Value {
    let row = table::of(record);
    let class = row.class;
    // What operators and nodes do is no decision about traffic; nor is what is none of ours.
    let decided = class != table::BASE_EVENT && record.kind != RecordKind::Event;
    let agent = parts::ai_agent(record).filter(|_| class != table::BASE_EVENT);
    let mut profiles = vec![HOST, RECORD_INTEGRITY];
    profiles.extend(decided.then_some(SECURITY_CONTROL));
    profiles.extend(agent.is_some().then_some(AI_OPERATION));

    let mut event = Object::default();
    event
        .set("metadata", parts::metadata(record, log, &profiles))
        .set("device", parts::device(record))
        .set("attestation_list", parts::attestations(record, leaf, log));
    classify(record, row, &mut event);
    times(record, &mut event);
    if let Some(agent) = agent {
        event.set("ai_agent", agent);
    }
    if decided {
        event.set("actor", parts::actor(record));
        parts::decision(record, &mut event);
    }
    about(record, class, &mut event);
    event.set("unmapped", rest(record, class, decided));
    event.into()
}

fn classify(record: &FlowRecord, row: &table::Row, event: &mut Object) {
    let (class, came) = (row.class, table::came(record.outcome));
    let (activity, activity_name) = row.activity.of(record);
    event
        .set("class_uid", class.uid)
        .set("class_name", class.caption)
        .set("category_uid", class.category.0)
        .set("category_name", class.category.1)
        .set("activity_id", activity)
        .set("activity_name", activity_name)
        .set("type_uid", class.uid * 100 + activity)
        .set("type_name", format!("{}: {activity_name}", class.caption))
        .choose("severity", came.severity)
        .choose("status", came.status)
        .set("status_code", record.outcome.as_str())
        .say("status_detail", &record.reason)
        .set("message", message(record));
}

fn times(record: &FlowRecord, event: &mut Object) {
    let ms = |ns: u64| (ns / NS_PER_MS).cast_signed();
    let end = record.time_ns;
    event.set("time", ms(end)).count("count", record.count);
    if record.kind == RecordKind::Close {
        event
            .set("start_time", ms(end.saturating_sub(record.duration_ns)))
            .set("end_time", ms(end))
            .set("duration", ms(record.duration_ns));
    } else if record.last_time_ns > 0 {
        event
            .set("start_time", ms(record.time_ns))
            .set("end_time", ms(record.last_time_ns));
    }
}

/// What its class alone has.
fn about(record: &FlowRecord, class: &Class, event: &mut Object) {
    if class.has_ends() {
        event.set("src_endpoint", parts::source(record));
        let destination = parts::destination(record);
        if !destination.is_empty() {
            event.set("dst_endpoint", destination);
        }
    }
    if class.is_network() {
        event
            .set("connection_info", parts::connection(record))
            .choose("observation_point", parts::observation_point(record.side));
        if record.kind != RecordKind::Wall {
            event.say("app_protocol_name", &record.protocol);
        }
        if record.kind == RecordKind::Close {
            event.set("traffic", parts::traffic(record));
        }
    }
    if class == table::HTTP_ACTIVITY {
        event.set("http_request", parts::http_request(record));
    } else if class == table::DNS_ACTIVITY {
        parts::question(record, event);
    } else if class == table::API_ACTIVITY {
        event.set("api", parts::api(record));
    } else if class == table::DATASTORE_ACTIVITY {
        parts::datastore(record, event);
    } else if class == table::KERNEL_ACTIVITY {
        event.set("kernel", parts::kernel(record));
    } else if class == table::APPLICATION_LIFECYCLE {
        event.set("app", parts::app(record));
    }
}

/// What OCSF has no place for, or none that is exact, under the names that the log gives it. Numbers of 64 bits are
/// texts here: readers of JSON round them.
fn rest(record: &FlowRecord, class: &Class, decided: bool) -> Object {
    let mut rest = Object::default();
    rest.set("kind", record.kind.as_str())
        .set("side", record.side.as_str())
        .say("protocol", &record.protocol)
        .say("operation", &record.operation)
        .say("mode", &record.mode)
        .say("task", &record.task)
        .say("purpose", &record.purpose)
        .say("lastTime", &record.last_time().unwrap_or_default())
        .say("fields", &record.fields);
    if !class.has_ends() {
        rest.say("source", &record.source)
            .say("sourceInstance", &record.source_instance)
            .say("destination", &record.destination)
            .say("destinationInstance", &record.destination_instance);
    }
    if !class.has_ends() || parts::address(record).is_none() {
        rest.say("originalDestination", &record.original_destination);
    }
    if !decided {
        rest.say("rule", &record.rule);
    }
    for (key, number, stands) in [
        ("generation", record.generation, decided),
        ("bytesSent", record.bytes_sent, false),
        ("bytesReceived", record.bytes_received, false),
        ("durationNs", record.duration_ns, false),
        ("fieldsKey", record.fields_key, false),
        ("count", record.count, i64::try_from(record.count).is_ok()),
    ] {
        if number > 0 && !stands {
            rest.set(key, number.to_string());
        }
    }
    rest
}

/// For people, in one line.
fn message(record: &FlowRecord) -> String {
    let to = match record.destination.as_str() {
        "" => record.original_destination.as_str(),
        name => name,
    };
    let words = [record.protocol.as_str(), record.operation.as_str()];
    let what: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    let mut message = match (record.source.as_str(), to) {
        ("", "") => String::new(),
        (from, "") => format!("{from}: "),
        ("", to) => format!("? to {to}: "),
        (from, to) => format!("{from} to {to}: "),
    };
    message += &format!("{}: {}", what.join(" "), record.outcome);
    if !record.reason.is_empty() {
        message += ", ";
        message += &record.reason;
    }
    message
}
