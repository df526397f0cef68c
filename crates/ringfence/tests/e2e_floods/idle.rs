//! Connections that are opened and then do nothing.

use ringfence_model::Outcome;
use ringfence_testbed::{Neighbour, Running};

use crate::ground::{
    HOLDER, MILL, await_refusals, connections, enforcer, node, number, options, ready, start,
    unnoticed,
};

/// Opens connections to a service and keeps what it gets.
fn idle(service: &str, port: u16, wanted: u64) -> String {
    format!(
        r#"
to, kept, refused = at("{service}", {port}), [], 0
for _ in range({wanted}):
    try:
        kept.append(socket.create_connection(to, timeout=20))
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
print("kept", {wanted} - refused, flush=True)
print("refused", refused, flush=True)
print("ready", flush=True)
time.sleep(1000)
"#
    )
}

#[test]
fn ten_thousand_idle_connections_of_one_compartment_stop_at_its_bound() {
    let node = node();
    let _mill = ready(&node, "mill", MILL);
    let neighbour = Neighbour::start(&node).unwrap();
    let before = enforcer(&node);
    let attacker = unnoticed(&node, &neighbour, || {
        let mut attacker = start(&node, "attacker", &idle("mill", 8080, 10_000));
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

#[test]
fn one_caller_leaves_places_in_the_service_of_its_neighbour() {
    let node = node();
    let neighbour = Neighbour::start(&node).unwrap();
    let attacker = unnoticed(&node, &neighbour, || {
        let mut attacker = start(&node, "attacker", &idle("shop", 8080, 5000));
        attacker.wait_until_it_says("ready").unwrap();
        attacker
    });
    // Those beyond its share stay open, as a connection of HTTP may until it asks: they are answered 503.
    assert_eq!(number(&attacker, "kept"), connections().1);
}

#[test]
fn an_opaque_service_is_never_full_of_one_caller() {
    let node = node();
    let _pipe = ready(&node, "pipe", HOLDER);
    let neighbour = Neighbour::start(&node).unwrap();
    let attacker = unnoticed(&node, &neighbour, || {
        let mut attacker = start(&node, "attacker", &idle("pipe", 7000, 5000));
        attacker.wait_until_it_says("ready").unwrap();
        attacker
    });
    let (kept, refused) = (number(&attacker, "kept"), number(&attacker, "refused"));
    let places = connections().1;
    let share = (0..places).find(|kept| kept * places >= (places - kept).pow(2));
    assert_eq!(Some(kept), share);
    await_refusals(&node, "attacker", refused, |record| {
        record.outcome == Outcome::Error && record.reason.contains("leaves to others")
    });
}

/// More agents that may use `mill`.
const CROWD: [&str; 3] = ["attacker", "helper", "friend"];

fn crowd() -> String {
    let one = |name: &&str| {
        format!(
            "---\napiVersion: ringfence.dev/v1alpha1\nkind: Agent\nmetadata: {{ name: {name} }}\nspec: {{}}\n\
             ---\napiVersion: ringfence.dev/v1alpha1\nkind: Policy\nmetadata: {{ name: {name} }}\nspec:\n  agent: {name}\n  \
             mode: enforce\n  initiate:\n    - service: mill\n      operations: [\"GET /**\"]\n"
        )
    };
    CROWD[1..].iter().map(one).collect()
}

#[test]
fn ten_thousand_idle_connections_of_three_compartments_are_held() {
    let node = options().file("crowd.yaml", &crowd()).start().unwrap();
    let _mill = ready(&node, "mill", MILL);
    let neighbour = Neighbour::start(&node).unwrap();
    // Where descriptors are few, as many as a node gives to each of three.
    let each = (connections().0 / 6).min(3334);
    let before = enforcer(&node);
    let held: Vec<Running> = unnoticed(&node, &neighbour, || {
        let program = idle("mill", 8080, each);
        let mut held: Vec<_> = CROWD
            .iter()
            .map(|name| start(&node, name, &program))
            .collect();
        for one in &mut held {
            one.wait_until_it_says("ready").unwrap();
        }
        held
    });
    let kept: u64 = held.iter().map(|one| number(one, "kept")).sum();
    assert_eq!(kept, 3 * each);
    let after = enforcer(&node);
    assert!(
        after.descriptors - before.descriptors >= kept,
        "they are not open"
    );
    let memory = (after.resident - before.resident) / kept;
    println!("{kept} idle connections, {memory} bytes of the enforcer's memory each");
    assert!(
        memory < 32 * 1024,
        "an idle connection takes {memory} bytes"
    );
}
