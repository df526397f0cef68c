//! Events of real sorts of records: as they were agreed, and valid by the published schema.

#![allow(clippy::unwrap_used)]

#[path = "support/records.rs"]
mod records;
#[path = "support/valid.rs"]
mod valid;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use prost::Message;
use ringfence_model::FlowRecord;
use ringfence_model::flow::Flow;
use ringfence_model::text::safe_json;
use ringfence_ocsf::table::{self, Activity};
use serde_json::{Value, json};
use valid::faults;

fn golden() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// After a change that is meant: `OCSF_GOLDEN=write cargo test -p ringfence-ocsf`, and `MAPPING_VERSION`.
#[test]
fn events_are_those_of_the_golden_files() {
    let write = std::env::var_os("OCSF_GOLDEN").is_some();
    let mut names = BTreeSet::new();
    for (seq, (name, flow)) in records::all().into_iter().enumerate() {
        let event = records::event_of(&flow, seq as u64);
        assert_eq!(faults(&event), [""; 0], "{name}: {event:#}");
        let path = golden().join(format!("{name}.json"));
        if write {
            fs::write(&path, format!("{event:#}\n")).unwrap();
        }
        let agreed: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(agreed, event, "{name}");
        assert!(names.insert(format!("{name}.json")), "{name} twice");
    }
    let there: BTreeSet<String> = (fs::read_dir(golden()).unwrap())
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(there, names);
}

/// Each row of the mapping has a record among those.
#[test]
fn every_row_has_a_golden_file() {
    let all = records::all();
    let used: Vec<&table::Row> = all
        .iter()
        .map(|(_, flow)| table::of(&FlowRecord::new(0, flow).unwrap()))
        .collect();
    for row in table::ROWS {
        assert!(used.contains(&row), "{row:?}");
    }
}

/// The captions of the table are those of the schema, also where no record of the tests leads.
#[test]
fn the_table_says_what_the_schema_says() {
    let facts = valid::facts();
    let class = |uid: u32| {
        let classes = facts["classes"].as_object().unwrap();
        classes.values().find(|it| it["uid"] == uid).unwrap()
    };
    let is = |class: &Value, attribute: &str, (id, caption): (u32, &str)| {
        let choices = &class["attributes"][attribute]["enum"];
        if id != table::OTHER {
            assert_eq!(choices[id.to_string()], caption, "{attribute} {id}");
        }
        assert!(choices.get(id.to_string()).is_some(), "{attribute} {id}");
    };
    for row in table::ROWS {
        let class = class(row.class.uid);
        assert_eq!(class["caption"], row.class.caption);
        match row.activity {
            Activity::Always(one) => is(class, "activity_id", one),
            Activity::Came(a, b, c) => {
                for it in [a, b, c] {
                    is(class, "activity_id", it);
                }
            }
            Activity::FirstWord(list) | Activity::Operation(list) => {
                list.iter().for_each(|it| is(class, "activity_id", it.1));
            }
        }
    }
    for method in table::METHODS {
        let methods = &facts["objects"]["http_request"]["attributes"]["http_method"]["enum"];
        assert_eq!(methods[method.0], method.1.1, "{method:?}");
    }
    let http = class(table::HTTP_ACTIVITY.uid)["attributes"]["activity_id"]["enum"].as_object();
    assert_eq!(
        http.unwrap().len(),
        table::METHODS.len() + 2,
        "and 0 and 99"
    );
    for came in table::OUTCOMES {
        let any = class(table::NETWORK_ACTIVITY.uid);
        is(any, "status_id", came.status);
        is(any, "severity_id", came.severity);
        is(any, "action_id", came.action);
        is(any, "disposition_id", came.disposition);
    }
    assert_eq!(facts["source"]["version"], ringfence_ocsf::OCSF_VERSION);
}

/// The leaf hash is of the bytes, and of nothing else.
#[test]
fn the_fingerprint_is_the_leaf_hash_of_the_log() {
    let (_, flow) = &records::all()[0];
    let leaf = flow.encode_to_vec();
    let value = |leaf: &[u8], seq| {
        let record = FlowRecord::new(seq, flow).unwrap();
        let event = ringfence_ocsf::event(&record, leaf, records::LOG);
        event["attestation_list"][0]["fingerprint"]["value"].clone()
    };
    assert_eq!(value(&leaf, 0), value(&leaf, 9));
    let mut other = leaf.clone();
    *other.last_mut().unwrap() ^= 1;
    assert_ne!(value(&leaf, 0), value(&other, 0));
    assert_eq!(value(&leaf, 0).as_str().unwrap().len(), 64);
}

#[test]
fn what_is_not_valid_is_found() {
    let (_, flow) = &records::all()[6];
    let good = records::event_of(flow, 0);
    assert_eq!(faults(&good), [""; 0]);
    let wrong = |path: &str, value: Option<Value>| {
        let mut event = good.clone();
        let (above, key) = path.rsplit_once('/').unwrap();
        let above = event.pointer_mut(above).unwrap().as_object_mut().unwrap();
        match value {
            Some(value) => above.insert(key.to_owned(), value),
            None => above.remove(key),
        };
        let found = faults(&event);
        assert!(!found.is_empty(), "{path}: {event}");
        found.join("; ")
    };
    assert!(wrong("/severity_id", None).contains("severity_id is missing"));
    assert!(wrong("/metadata/product", None).contains("product is missing"));
    assert!(wrong("/surprise", Some(json!(1))).contains("unknown"));
    assert!(wrong("/severity_id", Some(json!(7))).contains("none of its choices"));
    assert!(wrong("/severity", Some(json!("High"))).contains("is not severity_id"));
    assert!(wrong("/activity_name", Some(json!("Put"))).contains("activity_name"));
    assert!(wrong("/activity_id", Some(json!(4))).contains("type_uid"));
    assert!(wrong("/class_uid", Some(json!(4001))).contains("class_name"));
    assert!(wrong("/class_uid", Some(json!(4099))).contains("is none"));
    assert!(wrong("/time", Some(json!("now"))).contains("instead of"));
    assert!(wrong("/time", Some(json!(u64::MAX))).contains("instead of"));
    assert!(wrong("/message", Some(json!(null))).contains("instead of"));
    assert!(wrong("/dst_endpoint/port", Some(json!(65_536))).contains("out of range"));
    assert!(wrong("/http_request", None).contains("has none of"));
    assert!(wrong("/src_endpoint", Some(json!({ "port": 1 }))).contains("has none of"));
    assert!(wrong("/metadata/profiles", Some(json!(["host"]))).contains("not named"));
    assert!(wrong("/metadata/profiles", Some(json!(["cloud"]))).contains("no profile"));
    assert!(wrong("/is_src_dst_assignment_known", Some(json!(true))).contains("unknown"));
    assert!(wrong("/attestation_list", Some(json!({}))).contains("no list"));
}

/// All texts and numbers below a value.
fn said(value: &Value, said: &mut BTreeSet<String>) {
    match value {
        Value::Array(values) => values.iter().for_each(|it| self::said(it, said)),
        Value::Object(values) => values.values().for_each(|it| self::said(it, said)),
        Value::String(text) => {
            said.insert(text.clone());
        }
        other => {
            said.insert(other.to_string());
        }
    }
}

fn any_flow() -> impl Strategy<Value = Flow> {
    let text = || {
        prop_oneof![
            3 => "\\PC{0,12}",
            1 => prop::collection::vec(any::<char>(), 0..8).prop_map(String::from_iter),
            1 => Just("\r\n\u{1b}[2J\u{2028}\u{202e}\0\"\\,{}\u{85}".to_owned()),
            1 => Just(String::new()),
        ]
    };
    let protocol = prop_oneof![
        3 => prop::sample::select(
            ["http", "http2", "grpc", "tls", "tcp", "udp", "dns", "icmp", "system call", "postgres", "redis", "nats"]
                .map(str::to_owned).to_vec()
        ),
        1 => text(),
    ];
    let operation = prop_oneof![
        "[A-Z-]{0,9} [/*].{0,9}",
        "[a-z]{0,8} .{0,9}",
        "resolve (A|AAAA|PTR)? .{0,9}",
        ".{0,4}/.{0,4}",
        prop::sample::select(
            [
                "node started",
                "quarantine",
                "connect",
                ringfence_model::UNITEMISED
            ]
            .map(str::to_owned)
            .to_vec()
        ),
        text(),
    ];
    let address = prop_oneof![
        any::<std::net::SocketAddr>().prop_map(|it| it.to_string()),
        text()
    ];
    let number = || prop_oneof![any::<u64>(), 0..4_u64, Just(u64::MAX), Just(1 << 63)];
    (
        (number(), text(), 0..4i32, 0..6i32, text(), number()),
        (text(), text(), text(), text(), address),
        (protocol, operation, 0..5i32, text(), text(), number()),
        (text(), text(), text(), number(), number(), number()),
        (number(), text(), number()),
    )
        .prop_map(|(a, b, c, d, e)| Flow {
            schema: 1,
            time_ns: a.0,
            node: a.1,
            side: a.2,
            kind: a.3,
            connection: a.4,
            count: a.5,
            source: b.0,
            source_instance: b.1,
            destination: b.2,
            destination_instance: b.3,
            original_destination: b.4,
            protocol: c.0,
            operation: c.1,
            outcome: c.2,
            reason: c.3,
            rule: c.4,
            generation: c.5,
            mode: d.0,
            task: d.1,
            purpose: d.2,
            bytes_sent: d.3,
            bytes_received: d.4,
            duration_ns: d.5,
            last_time_ns: e.0,
            fields: e.1,
            fields_key: e.2,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_096))]

    /// Whatever a record holds: its event is valid, is one line, and says everything that the record says.
    #[test]
    fn every_record_is_a_valid_event_that_says_all_of_it(flow in any_flow(), seq in any::<u64>()) {
        let event = records::event_of(&flow, seq);
        prop_assert_eq!(faults(&event), [""; 0], "{:#}", event);

        let text = serde_json::to_string(&event).unwrap();
        let line = safe_json(&text);
        prop_assert!(!line.contains(char::is_control), "{}", line);
        prop_assert_eq!(&serde_json::from_str::<Value>(&line).unwrap(), &event);

        let mut words = BTreeSet::new();
        said(&event, &mut words);
        let record = serde_json::to_value(FlowRecord::new(seq, &flow).unwrap()).unwrap();
        for (key, value) in record.as_object().unwrap() {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            // The same address in other digits is the same.
            let text = match text.parse::<std::net::SocketAddr>() {
                Ok(address) if key == "originalDestination" => {
                    prop_assert!(words.contains(&address.port().to_string()) || words.contains(&text));
                    continue;
                }
                _ => text,
            };
            prop_assert!(text.is_empty() || words.contains(&text), "{} {:?}\n{:#}", key, text, event);
        }
    }
}
