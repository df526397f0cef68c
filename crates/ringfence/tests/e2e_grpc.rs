//! gRPC between programs of others: each call decided by its full name, and everything else as it was without us.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;

use e2e_support::{BINARY, PYTHON, Puppet, serve, workdir};
use ringfence_model::{FlowRecord, Outcome, RecordKind};
use ringfence_testbed::{Node, NodeOptions};
use serde_json::{Value, json};

const ESTATE: &str = r#"
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: orders }
spec: { protocol: grpc, port: 9000, hosts: [orders.example.test] }
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: agent }
spec: { purpose: orders things }
"#;

fn policy(operations: &str) -> String {
    format!(
        "apiVersion: ringfence.dev/v1alpha1\nkind: Policy\nmetadata: {{ name: agent }}\n\
         spec:\n  agent: agent\n  initiate:\n    - service: orders\n      operations: {operations}\n"
    )
}

const ALL_BUT_DELETE: &str = "[shop.v1.Orders/Get, shop.v1.Orders/Watch, shop.v1.Orders/Upload, shop.v1.Orders/Chat, shop.v1.Orders/Sleep]";

/// Debian's python3-grpcio, its methods registered by name, its messages bytes.
const SERVICE: &str = r#"
import time, grpc
from concurrent import futures

def get(request, context):
    print("Get", request[:20], dict(context.invocation_metadata()).get("x-asked"), flush=True)
    if request == b"missing":
        context.abort(grpc.StatusCode.NOT_FOUND, "no such order: \u00fc")
    context.send_initial_metadata((("x-initial", "1"),))
    context.set_trailing_metadata((("x-trailing", "2"), ("x-trailing-bin", b"\x00\xff")))
    return request

def watch(request, context):
    print("Watch", flush=True)
    context.add_callback(lambda: print("Watch is over", flush=True))
    for number in range(int(request)):
        yield str(number).encode()
        time.sleep(0.01)

def upload(requests, context):
    return str(sum(len(request) for request in requests)).encode()

def chat(requests, context):
    print("Chat", flush=True)
    for request in requests:
        yield request.upper()

def sleep(request, context):
    context.add_callback(lambda: print("Sleep is over", context.is_active(), flush=True))
    print("Sleep", "deadline" if (context.time_remaining() or 1e9) < 1e6 else "no deadline", flush=True)
    time.sleep(float(request))
    return b"slept"

def delete(request, context):
    print("Delete", flush=True)
    return b"deleted"

handlers = {
    "Get": grpc.unary_unary_rpc_method_handler(get),
    "Delete": grpc.unary_unary_rpc_method_handler(delete),
    "Sleep": grpc.unary_unary_rpc_method_handler(sleep),
    "Watch": grpc.unary_stream_rpc_method_handler(watch),
    "Upload": grpc.stream_unary_rpc_method_handler(upload),
    "Chat": grpc.stream_stream_rpc_method_handler(chat),
}
server = grpc.server(futures.ThreadPoolExecutor(32), options=[("grpc.max_receive_message_length", -1)])
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.v1.Orders", handlers),))
assert server.add_insecure_port("0.0.0.0:9000") == 9000
server.start()
print("orders is serving", flush=True)
server.wait_for_termination()
"#;

/// An agent with the same library, on one channel.
const AGENT: &str = r#"
import json, queue, sys, time, grpc
channel = grpc.insecure_channel("orders:9000", options=[("grpc.max_receive_message_length", -1), ("grpc.enable_retries", 0)])
kept = {}

def failed(error):
    return {"code": error.code().name, "details": error.details()}

def unary(method, request, timeout=30, size=0):
    call = channel.unary_unary("/shop.v1.Orders/" + method)
    try:
        answer, done = call.with_call(request.encode() + b"x" * size, timeout=timeout, metadata=(("x-asked", "yes"),))
        return {"answer": answer[:40].decode(), "size": len(answer),
                "initial": dict(done.initial_metadata()).get("x-initial"),
                "trailing": [[k, v.hex() if isinstance(v, bytes) else v] for k, v in done.trailing_metadata() if k.startswith("x-")]}
    except grpc.RpcError as error:
        return failed(error)

def other(path):
    try:
        return {"answer": channel.unary_unary(path)(b"", timeout=30).decode()}
    except grpc.RpcError as error:
        return failed(error)

def watch(count):
    try:
        return {"heard": [item.decode() for item in channel.unary_stream("/shop.v1.Orders/Watch")(str(count).encode(), timeout=60)]}
    except grpc.RpcError as error:
        return failed(error)

def upload(count, size):
    try:
        return {"answer": channel.stream_unary("/shop.v1.Orders/Upload")((b"x" * size for _ in range(count)), timeout=60).decode()}
    except grpc.RpcError as error:
        return failed(error)

def open_chat(name):
    asked = queue.Queue()
    kept[name] = (asked, channel.stream_stream("/shop.v1.Orders/Chat")(iter(asked.get, None), timeout=300))
    return {"opened": name}

def chat(name, text):
    asked, answers = kept[name]
    asked.put(text.encode())
    try:
        return {"heard": next(answers).decode()}
    except grpc.RpcError as error:
        return failed(error)

def end_chat(name):
    asked, answers = kept.pop(name)
    asked.put(None)
    return {"left": len(list(answers)), "code": answers.code().name}

def open_watch(name):
    kept[name] = channel.unary_stream("/shop.v1.Orders/Watch")(b"1000000", timeout=300)
    return {"heard": next(kept[name]).decode()}

def until_cut(name):
    try:
        for _ in kept[name]:
            pass
        return {"code": "OK"}
    except grpc.RpcError as error:
        return failed(error)

def cancel(name):
    kept[name].cancel()
    return {"code": kept[name].code().name}

def during(count):
    """Refused calls among living ones, all on one channel."""
    get, delete = channel.unary_unary("/shop.v1.Orders/Get"), channel.unary_unary("/shop.v1.Orders/Delete")
    calls = [(get if number % 2 else delete).future(str(number).encode(), timeout=60) for number in range(count)]
    told = {}
    for call in calls:
        told[call.code().name] = told.get(call.code().name, 0) + 1
    return told

print("ready", flush=True)
for line in sys.stdin:
    name, *arguments = json.loads(line)
    print(json.dumps(globals()[name](*arguments)), flush=True)
"#;

fn start(operations: &str) -> Node {
    NodeOptions::new(BINARY)
        .file("estate.yaml", ESTATE)
        .file("policy.yaml", &policy(operations))
        .start()
        .unwrap()
}

fn agent(node: &Node) -> Puppet {
    let path = workdir(node, "work-agent", "agent.py", AGENT);
    let launch = node.workload("agent").workdir(&path).open_stdin();
    let mut running = launch.spawn(&[PYTHON, "-u", "agent.py"]).unwrap();
    running.wait_until_it_says("ready").unwrap();
    Puppet::of(running)
}

fn code(told: &Value) -> &str {
    told["code"].as_str().unwrap_or("OK")
}

fn calls(node: &Node, outcome: Outcome) -> Vec<FlowRecord> {
    node.flows_where(0, |r| {
        r.kind == RecordKind::Operation && r.protocol == "grpc" && r.outcome == outcome
    })
    .unwrap()
}

#[test]
fn every_kind_of_call_passes_with_its_metadata_and_status() {
    let node = start(ALL_BUT_DELETE);
    let _service = serve(&node, "orders", SERVICE);
    let mut agent = agent(&node);
    let told = agent.tell(json!(["unary", "Get", "one"]));
    assert_eq!(
        told,
        json!({"answer": "one", "size": 3, "initial": "1", "trailing": [["x-trailing", "2"], ["x-trailing-bin", "00ff"]]})
    );
    // The service's own failure is the service's.
    let told = agent.tell(json!(["unary", "Get", "missing"]));
    assert_eq!(
        told,
        json!({"code": "NOT_FOUND", "details": "no such order: \u{fc}"})
    );
    let told = agent.tell(json!(["unary", "Get", "big", 60, 8 << 20]));
    assert_eq!(told["size"], 3 + (8 << 20));
    let told = agent.tell(json!(["watch", 50]));
    let wanted: Vec<String> = (0..50).map(|n| n.to_string()).collect();
    assert_eq!(told, json!({"heard": wanted}));
    let told = agent.tell(json!(["upload", 40, 100_000]));
    assert_eq!(told, json!({"answer": "4000000"}));
    agent.tell(json!(["open_chat", "a"]));
    for word in ["hello", "again", "and again"] {
        // Each answer comes before the next question is asked.
        assert_eq!(
            agent.tell(json!(["chat", "a", word])),
            json!({"heard": word.to_uppercase()})
        );
    }
    assert_eq!(
        agent.tell(json!(["end_chat", "a"])),
        json!({"left": 0, "code": "OK"})
    );
    let told: Vec<String> = calls(&node, Outcome::Allow)
        .into_iter()
        .map(|r| r.operation)
        .collect();
    let wanted =
        ["Get", "Get", "Get", "Watch", "Upload", "Chat"].map(|m| format!("shop.v1.Orders/{m}"));
    assert_eq!(told, wanted);
}

#[test]
fn a_refused_call_gets_permission_denied_while_its_neighbours_live_on() {
    let node = start(ALL_BUT_DELETE);
    let service = serve(&node, "orders", SERVICE);
    let mut agent = agent(&node);
    agent.tell(json!(["open_chat", "a"]));
    assert_eq!(
        agent.tell(json!(["chat", "a", "before"])),
        json!({"heard": "BEFORE"})
    );
    let told = agent.tell(json!(["unary", "Delete", "one"]));
    assert_eq!(code(&told), "PERMISSION_DENIED", "{told}");
    assert!(
        !told["details"].as_str().unwrap().contains("policy agent"),
        "{told}"
    );
    assert_eq!(
        agent.tell(json!(["during", 200])),
        json!({"PERMISSION_DENIED": 100, "OK": 100})
    );
    for path in [
        "/shop.v1.Orders/get",
        "/shop.v2.Orders/Get",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ] {
        let told = agent.tell(json!(["other", path]));
        assert_eq!(code(&told), "PERMISSION_DENIED", "{path}: {told}");
    }
    for path in [
        "/shop.v1.Orders/Get/",
        "/shop.v1.Orders//Get",
        "/shop.v1.Orders/../Orders/Get",
        "/shop.v1.Orders/G%65t",
        "/Get",
    ] {
        let told = agent.tell(json!(["other", path]));
        assert_ne!(code(&told), "OK", "{path}: {told}");
    }
    assert_eq!(
        agent.tell(json!(["chat", "a", "after"])),
        json!({"heard": "AFTER"})
    );
    assert!(!service.process.stdout().contains("Delete"));
    // The last of so many alike are counted together, when their window has ended.
    node.await_that("all denials are on record", |node| {
        let denied = calls(node, Outcome::Deny);
        let deleted = denied
            .iter()
            .filter(|r| r.operation == "shop.v1.Orders/Delete");
        Ok((deleted.map(|r| r.count).sum::<u64>() == 101).then_some(()))
    })
    .unwrap();
}

#[test]
fn deadlines_and_cancellations_reach_the_other_side() {
    let node = start(ALL_BUT_DELETE);
    let mut service = serve(&node, "orders", SERVICE);
    let mut agent = agent(&node);
    let told = agent.tell(json!(["unary", "Sleep", "30", 1]));
    assert_eq!(code(&told), "DEADLINE_EXCEEDED");
    service.wait_until_it_says("Sleep deadline").unwrap();
    service.wait_until_it_says("Sleep is over False").unwrap();
    assert_eq!(
        agent.tell(json!(["open_watch", "w"])),
        json!({"heard": "0"})
    );
    assert_eq!(
        agent.tell(json!(["cancel", "w"])),
        json!({"code": "CANCELLED"})
    );
    service.wait_until_it_says("Watch is over").unwrap();
    let told = agent.tell(json!(["unary", "Get", "still"]));
    assert_eq!(told["answer"], "still");
}

#[test]
fn a_change_of_policy_cuts_the_stream_it_forbids_and_no_other() {
    let node = start(ALL_BUT_DELETE);
    let mut service = serve(&node, "orders", SERVICE);
    let mut agent = agent(&node);
    assert_eq!(
        agent.tell(json!(["open_watch", "w"])),
        json!({"heard": "0"})
    );
    agent.tell(json!(["open_chat", "a"]));
    assert_eq!(
        agent.tell(json!(["chat", "a", "before"])),
        json!({"heard": "BEFORE"})
    );
    node.reload(
        "policy.yaml",
        &policy("[shop.v1.Orders/Get, shop.v1.Orders/Chat]"),
    )
    .unwrap();
    let told = agent.tell(json!(["until_cut", "w"]));
    assert_ne!(code(&told), "OK", "{told}");
    service.wait_until_it_says("Watch is over").unwrap();
    // On the same connection.
    assert_eq!(
        agent.tell(json!(["chat", "a", "after"])),
        json!({"heard": "AFTER"})
    );
    assert_eq!(code(&agent.tell(json!(["watch", 3]))), "PERMISSION_DENIED");
    assert_eq!(service.process.stdout().matches("Chat").count(), 1);
}
