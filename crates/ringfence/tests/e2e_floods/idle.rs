//! Connections that are opened and then do nothing.

use ringfence_model::Outcome;
use ringfence_testbed::Neighbour;

use crate::ground::{
    HOLDER, await_refusals, connections, enforcer, node, number, ready, start, unnoticed,
};

/// Opens 10,000 connections to `pipe` and keeps what it gets.
const IDLE: &str = r#"
pipe, kept, refused = (socket.gethostbyname("pipe"), 7000), [], 0
for _ in range(10000):
    try:
        kept.append(socket.create_connection(pipe, timeout=20))
    except OSError:
        refused += 1
# Who may go on hears nothing; who was refused is reset. Judged by what arrives, never by connect.
poller = select.poll()
for sock in kept:
    poller.register(sock, select.POLLIN)
while ended := poller.poll(2000):
    for fd, _ in ended:
        poller.unregister(fd)
        refused += 1
print("kept", 10000 - refused, flush=True)
print("refused", refused, flush=True)
print("ready", flush=True)
time.sleep(1000)
"#;

#[test]
fn ten_thousand_idle_connections_of_one_compartment_stop_at_its_bound() {
    let node = node();
    let _pipe = ready(&node, "pipe", HOLDER);
    let neighbour = Neighbour::start(&node).unwrap();
    let before = enforcer(&node);
    let attacker = unnoticed(&node, &neighbour, || {
        let mut attacker = start(&node, "attacker", IDLE);
        attacker.wait_until_it_says("ready").unwrap();
        attacker
    });
    let (kept, refused) = (number(&attacker, "kept"), number(&attacker, "refused"));
    let (_, bound) = connections();
    assert_eq!((kept, refused), (bound, 10_000 - bound));
    let reason = format!("has {bound} connections already");
    await_refusals(&node, "attacker", refused, |record| {
        record.outcome == Outcome::Deny && record.reason.contains(&reason)
    });
    let after = enforcer(&node);
    let each = (after.resident - before.resident) / kept;
    println!("memory of an idle connection in the enforcer: {each} bytes");
    assert!(each < 32 * 1024, "an idle connection takes {each} bytes");
}
