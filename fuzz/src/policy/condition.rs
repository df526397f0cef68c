//! What people write as `when`.

use jiff::Timestamp;
use ringfence_model::{CanonicalPath, load};
use ringfence_policy::{Body, Moment, Operation, Request, Seen};

use super::compiled;
use crate::target::Target;

pub(crate) const TARGET: Target = Target {
    name: "condition",
    holds: "any condition is refused or compiles, and then gives the same answer each time, within its bound of cost",
    length_max: 512,
    run,
};

fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    // A JSON text is a YAML text.
    let when = serde_json::to_string(text).unwrap();
    let estate = format!(
        r#"
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: {{ name: web }}
spec: {{ protocol: http, port: 80 }}
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: {{ name: clerk, labels: {{ tier: gold }} }}
spec: {{}}
---
apiVersion: ringfence.dev/v1alpha1
kind: Policy
metadata: {{ name: clerk }}
spec:
  agent: clerk
  mode: enforce
  initiate: [{{ service: web, operations: [{{ allow: "POST /pay/{{id}}", when: {when} }}] }}]
"#
    );
    let Ok(estate) = load::documents(&[("a.yaml", estate.as_bytes())]) else {
        return;
    };
    let Some(snapshot) = compiled(&estate) else {
        return;
    };
    let (Some(from), Some(to)) = (snapshot.find("clerk"), snapshot.find("web")) else {
        panic!("an estate without its workloads");
    };
    let path = CanonicalPath::new(b"/pay/42", Default::default()).unwrap();
    let operation = Operation::Http {
        method: "POST",
        path: &path,
    };
    let request = Request {
        host: "web",
        query: Some(b"limit=10&q=a+b"),
        headers: &[("Content-Type", b"application/json"), ("X-Team", b"crm")],
        body: Body::Bytes(br#"{"amount": 7, "to": ["a", {"b": null}], "note": "x"}"#),
    };
    for seen in [Seen::Nothing, Seen::Connection, Seen::Request(&request)] {
        let moment = Moment::at(Timestamp::UNIX_EPOCH, seen);
        let ask = || snapshot.decide(from, to, operation, &moment);
        let (once, again) = (ask(), ask());
        assert_eq!(once.is_allowed(), again.is_allowed());
        assert_eq!(once.reason(), again.reason());
    }
}
