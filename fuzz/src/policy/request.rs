//! What conditions read of a request: the query, the fields, a JSON body.

use std::borrow::Cow;
use std::fmt;
use std::sync::OnceLock;

use jiff::Timestamp;
use ringfence_model::{CanonicalPath, load};
use ringfence_policy::{Body, Moment, Operation, Request, Seen, Snapshot};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::compiled;
use crate::target::Target;

pub(crate) const TARGET: Target = Target {
    name: "request_facts",
    holds: "a condition that held on a query, a field or a body holds for every way in which servers are known to read it",
    length_max: 2048,
    run,
};

const ESTATE: &[u8] = br#"
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: web }
spec: { protocol: http, port: 80 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: clerk }
spec: {}
---
apiVersion: ringfence.dev/v1alpha1
kind: Policy
metadata: { name: clerk }
spec:
  agent: clerk
  mode: enforce
  initiate:
    - service: web
      operations:
        - { allow: "POST /pay", when: "body.amount <= 100" }
        - { allow: "GET /query", when: "request.query.limit == '10'" }
        - { allow: "GET /field", when: "request.headers['x-team'] == 'crm'" }
"#;

fn snapshot() -> &'static Snapshot {
    static SNAPSHOT: OnceLock<Snapshot> = OnceLock::new();
    SNAPSHOT.get_or_init(|| {
        let estate = load::documents(&[("a.yaml", ESTATE)]).expect("our own estate");
        compiled(&estate).expect("our own estate")
    })
}

fn is_allowed(method: &str, path: &str, request: &Request<'_>) -> bool {
    let snapshot = snapshot();
    let (from, to) = (
        snapshot.find("clerk").unwrap(),
        snapshot.find("web").unwrap(),
    );
    let path = CanonicalPath::new(path.as_bytes(), Default::default()).unwrap();
    let operation = Operation::Http {
        method,
        path: &path,
    };
    let moment = Moment::at(Timestamp::UNIX_EPOCH, Seen::Request(request));
    snapshot.decide(from, to, operation, &moment).is_allowed()
}

fn run(bytes: &[u8]) {
    body(bytes);
    query(bytes);
    fields(bytes);
}

const NOTHING: Request<'_> = Request {
    host: "web",
    query: None,
    headers: &[],
    body: Body::None,
};

/// The name that the laxest known readers make of a name: up to a zero byte, in one case, some characters passed over.
fn folded(name: &str, passed_over: &[char]) -> String {
    let name = name.split('\0').next().unwrap_or_default();
    name.replace(passed_over, "").to_ascii_lowercase()
}

/// All members of one object, however often one stands in it.
struct Members<'a>(Vec<(Cow<'a, str>, Number)>);

/// A number, if it is one.
struct Number(Option<f64>);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(reader)?;
        Ok(Self(value.as_f64()))
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Number>()? {
                    members.push((name.into(), value));
                }
                Ok(Members(members))
            }
        }
        reader.deserialize_map(All)
    }
}

fn body(bytes: &[u8]) {
    let request = Request {
        headers: &[("content-type", b"application/json")],
        body: Body::Bytes(bytes),
        ..NOTHING
    };
    if !is_allowed("POST", "/pay", &request) {
        return;
    }
    assert!(
        serde_json::from_slice::<IgnoredAny>(bytes).is_ok(),
        "not JSON, and allowed"
    );
    let Members(members) = serde_json::from_slice(bytes).expect("an object");
    let amounts: Vec<_> = members
        .iter()
        .filter(|(name, _)| folded(name, &['_', '-']) == "amount")
        .collect();
    assert!(!amounts.is_empty(), "allowed without an amount");
    for (name, Number(amount)) in amounts {
        assert!(
            amount.is_some_and(|amount| amount <= 100.0),
            "{name}: {amount:?}"
        );
    }
}

fn query(bytes: &[u8]) {
    let request = Request {
        query: Some(bytes),
        ..NOTHING
    };
    if !is_allowed("GET", "/query", &request) {
        return;
    }
    let mut limits = 0;
    for part in bytes.split(|b| matches!(b, b'&' | b';')) {
        let (name, value) = match part.iter().position(|&b| b == b'=') {
            Some(at) => (&part[..at], &part[at + 1..]),
            None => (part, &[][..]),
        };
        let name = String::from_utf8_lossy(&decoded(name)).into_owned();
        // PHP takes brackets behind a name for a place in it.
        let stem = name
            .find('[')
            .filter(|&at| at > 0)
            .map_or(&*name, |at| &name[..at]);
        if folded(stem, &['_', '-', '.', ' ']) == "limit" {
            assert_eq!(decoded(value), b"10", "{name}");
            limits += 1;
        }
    }
    assert_eq!(limits, 1);
}

fn decoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.iter();
    while let Some(&byte) = rest.next() {
        let hex = rest.as_slice().first_chunk::<2>();
        let hex = hex.filter(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        let hex = hex.and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(escaped) if byte == b'%' => {
                out.push(escaped);
                rest.nth(1);
            }
            _ => out.push(if byte == b'+' { b' ' } else { byte }),
        }
    }
    out
}

fn fields(bytes: &[u8]) {
    let mut headers: Vec<(&str, &[u8])> = Vec::new();
    for line in bytes.split(|&b| b == b'\n') {
        let Some(at) = line.iter().position(|&b| b == b':') else {
            continue;
        };
        // As the reader of heads gives them: a token, and a value without whitespace around it.
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if let Ok(name) = std::str::from_utf8(&line[..at])
            && !name.is_empty()
            && name.bytes().all(token)
        {
            headers.push((name, line[at + 1..].trim_ascii()));
        }
    }
    let request = Request {
        headers: &headers,
        ..NOTHING
    };
    if !is_allowed("GET", "/field", &request) {
        return;
    }
    let variable = |name: &str| {
        name.to_ascii_uppercase()
            .replace(|c: char| !c.is_ascii_alphanumeric(), "_")
    };
    let teams: Vec<_> = headers
        .iter()
        .filter(|(name, _)| variable(name) == "X_TEAM")
        .collect();
    assert!(matches!(teams[..], [(_, b"crm")]), "{teams:?}");
}
