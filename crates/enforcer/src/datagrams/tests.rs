mod idle;
mod turn;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ringfence_compartment::datagram::{DATAGRAM_MAX, Received};
use ringfence_model::flow::{Flow, Kind as FlowKind, Outcome};
use ringfence_model::{Kind as WorkloadKind, OriginalDst};
use rustix::net::{AddressFamily, SocketType, ipproto, socket};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::limits::{FLOW_QUEUE, QUEUED_BYTES};
use super::*;
use crate::inbound::Kind;
use crate::limits::FLOWS;
use crate::testing::{World, address};

/// An agent that may use `echo` (datagrams), not `vault` (datagrams), and `web` by HTTP. By name, so by address:
/// `agent` 1, `echo` 2, `vault` 3, `web` 4.
fn estate(echo: u16, endpoints: &str) -> String {
    format!(
        r#"
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: {{ name: echo }}
spec: {{ protocol: udp, port: {echo}{endpoints} }}
---
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: {{ name: vault }}
spec: {{ protocol: udp, port: 700 }}
---
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: {{ name: web }}
spec: {{ protocol: http, port: 80 }}
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: {{ name: agent }}
spec: {{ purpose: tests datagrams }}
---
apiVersion: ringfence.dev/v1alpha1
kind: Policy
metadata: {{ name: agent }}
spec:
  agent: agent
  initiate:
    - {{ service: echo, operations: [send] }}
    - {{ service: web, operations: ["GET /**"] }}
"#
    )
}

/// The estate above without any policy.
fn without_policy(echo: u16) -> String {
    let all = estate(echo, "");
    let (before, _) = all.rsplit_once("---").unwrap();
    before.to_owned()
}

/// Long enough for whatever should happen.
const PATIENCE: Duration = Duration::from_secs(20);
/// Long enough for what should not happen to have happened.
const MOMENT: Duration = Duration::from_millis(150);

/// Flows that end soon: at once when they are fresh, later when they are conversations.
const SHORT: Timeouts = Timeouts {
    fresh: Duration::from_millis(200),
    settled: Duration::from_millis(1500),
    settled_after: Duration::from_millis(50),
    refusal: Duration::from_millis(100),
};

/// A client within the agent's compartment: what it sends is handed to the code behind the door.
struct Client {
    world: World,
    home: Arc<Compartment>,
    socket: UdpSocket,
    answers: Arc<OwnedFd>,
    timeouts: Timeouts,
}

impl Client {
    /// `None` where there is no privilege to answer from any address; said then.
    async fn new(estate: &str) -> Option<Self> {
        let answers = match socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::UDP)) {
            Ok(answers) => answers,
            Err(cause) => {
                eprintln!("skipped: a raw socket needs root: {cause}");
                return None;
            }
        };
        let world = World::new(estate);
        let home = world.compartment(WorkloadKind::Agent, "agent");
        Some(Self {
            world,
            home,
            socket: UdpSocket::bind("127.0.0.1:0").await.unwrap(),
            answers: Arc::new(answers),
            timeouts: Timeouts::STANDARD,
        })
    }

    fn key(&self, original: OriginalDst) -> Key {
        let client = self.socket.local_addr().unwrap();
        Key { client, original }
    }

    fn send(&self, to: OriginalDst, payload: &[u8]) {
        self.send_as(self.key(to), payload);
    }

    fn send_as(&self, key: Key, payload: &[u8]) {
        let (node, home) = (&self.world.node, &self.home);
        receive(node, home, &self.answers, key, payload, self.timeouts);
    }

    /// The next datagram that comes back.
    async fn hear(&self) -> (Vec<u8>, SocketAddr) {
        let mut buffer = vec![0; DATAGRAM_MAX + 1];
        let (length, from) = timeout(PATIENCE, self.socket.recv_from(&mut buffer))
            .await
            .expect("no answer")
            .unwrap();
        buffer.truncate(length);
        (buffer, from)
    }

    async fn hears_nothing(&self) {
        let heard = timeout(MOMENT, self.socket.recv_from(&mut [0; 9])).await;
        assert!(heard.is_err(), "{heard:?}");
    }

    /// The records of a kind, once there are this many.
    async fn records(&self, kind: FlowKind, count: usize) -> Vec<Flow> {
        let until = std::time::Instant::now() + PATIENCE;
        loop {
            let mut flows = self.world.flows();
            flows.retain(|flow| flow.kind() == kind);
            if flows.len() >= count {
                return flows;
            }
            assert!(
                std::time::Instant::now() < until,
                "{:#?}",
                self.world.flows()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn closed(&self) -> Flow {
        self.records(FlowKind::Close, 1).await.remove(0)
    }
}

/// Answers each datagram with itself, and says how many came.
async fn echo_on(place: &str) -> (u16, tokio::sync::watch::Receiver<Vec<SocketAddr>>) {
    let socket = UdpSocket::bind(place).await.unwrap();
    let port = socket.local_addr().unwrap().port();
    (port, echo_with(socket))
}

fn echo_with(socket: UdpSocket) -> tokio::sync::watch::Receiver<Vec<SocketAddr>> {
    let (callers, heard) = tokio::sync::watch::channel(Vec::new());
    tokio::spawn(async move {
        let mut buffer = vec![0; DATAGRAM_MAX + 1];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            callers.send_modify(|callers| callers.push(from));
            // The other side may have gone.
            let _ = socket.send_to(&buffer[..length], from).await;
        }
    });
    heard
}

/// A port on which nobody listens.
async fn free_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.local_addr().unwrap().port()
}

#[tokio::test]
async fn a_flow_goes_both_ways_and_is_recorded_from_the_first_to_the_last() {
    let (port, callers) = echo_on("127.0.0.1:0").await;
    let Some(mut client) = Client::new(&estate(port, "")).await else {
        return;
    };
    client.timeouts = SHORT;
    let _service = client.world.running("echo");
    let to = client.world.at(2, port);
    for payload in [&b"one"[..], b"", b"three"] {
        client.send(to, payload);
        assert_eq!(client.hear().await, (payload.to_vec(), to.socket_addr()));
    }
    let callers = callers.borrow().clone();
    assert!(
        callers.iter().all(|from| from.ip() == address(1).v4),
        "{callers:?}"
    );
    assert_eq!(callers[0], callers[2], "one flow, one caller");
    let close = client.closed().await;
    let opened = client.records(FlowKind::Connection, 1).await;
    assert_eq!(opened.len(), 1, "{opened:#?}");
    for flow in [&opened[0], &close] {
        assert_eq!(
            (flow.source.as_str(), flow.destination.as_str()),
            ("agent", "echo")
        );
        assert_eq!(
            (flow.protocol.as_str(), flow.outcome()),
            ("udp", Outcome::Allow)
        );
        assert_eq!(flow.original_destination, to.to_string());
        assert_eq!(flow.connection, opened[0].connection);
        assert_eq!(flow.destination_instance, "echo-1-1");
    }
    assert_eq!(opened[0].operation, "send");
    assert_eq!((close.bytes_sent, close.bytes_received), (8, 8));
    assert!(
        close.duration_ns > 0 && close.reason.starts_with("idle for"),
        "{close:?}"
    );
    assert_eq!(client.home.flows.count(), 0);
}

#[tokio::test]
async fn the_largest_datagram_passes_whole_and_one_that_cannot_does_not_pass_in_part() {
    let (port, _callers) = echo_on("127.0.0.1:0").await;
    let Some(mut client) = Client::new(&estate(port, "")).await else {
        return;
    };
    client.timeouts = SHORT;
    let _service = client.world.running("echo");
    let to = client.world.at(2, port);
    let large: Vec<u8> = (0..65_507u32).map(|n| n as u8).collect();
    client.send(to, &large);
    assert_eq!(client.hear().await.0, large);
    // An IPv6 client may send it; no IPv4 listener can take it.
    client.send(to, &vec![1; 65_508]);
    client.send(to, b"still there");
    assert_eq!(client.hear().await.0, b"still there");
    let close = client.closed().await;
    assert!(close.reason.ends_with("1 datagrams were lost"), "{close:?}");
    assert_eq!(close.bytes_sent, 65_507 + 11);
}

#[tokio::test]
async fn what_is_denied_meets_silence_and_is_counted() {
    let Some(client) = Client::new(&estate(9, "")).await else {
        return;
    };
    let _vault = client.world.running("vault");
    let nowhere = "[2606:4700::1]:443".parse().map(OriginalDst::new).unwrap();
    let door = "198.18.0.1:15001".parse().map(OriginalDst::new).unwrap();
    let denied = [
        (nowhere, ""),
        (door, ""),
        (client.world.at(3, 700), "vault"),
        (client.world.at(4, 80), "web"),
        (client.world.at(1, 9), "agent"),
        (client.world.at(2, 10), "echo"),
    ];
    for (to, _) in denied {
        client.send(to, b"x");
    }
    client.hears_nothing().await;
    let flows = client.world.flows();
    assert_eq!(flows.len(), denied.len());
    for (flow, (to, destination)) in flows.iter().zip(denied) {
        assert_eq!(
            (flow.kind(), flow.outcome()),
            (FlowKind::Connection, Outcome::Deny)
        );
        assert_eq!(
            (flow.protocol.as_str(), flow.operation.as_str()),
            ("udp", "send")
        );
        assert_eq!(flow.original_destination, to.to_string());
        assert_eq!(flow.destination, destination);
        assert!(!flow.reason.is_empty());
    }
    assert_eq!(client.home.flows.count(), 0);

    // A flood folds, also from ever-new ports to ever-new ports of one address. The first of it is above.
    let before = flows.len();
    for port in 1..=500 {
        let key = Key {
            client: SocketAddr::from(([127, 0, 0, 1], 2000 + port)),
            original: OriginalDst::new(SocketAddr::new(nowhere.ip(), 5000 + port)),
        };
        client.send_as(key, b"x");
    }
    assert_eq!(client.world.flows().len(), before + 99);
    client.home.finish();
    let flows = client.world.flows();
    let folded = flows.last().unwrap();
    assert_eq!(folded.count, 401);
    assert_eq!(folded.original_destination, "[2606:4700::1]:0");
    assert!(folded.last_time_ns > folded.time_ns);
    assert_eq!(
        flows.iter().map(|flow| flow.count).sum::<u64>(),
        500 + before as u64
    );
}

#[tokio::test]
async fn a_connection_to_a_service_that_takes_datagrams_is_denied() {
    let world = World::new(&estate(9, ""));
    let home = world.compartment(WorkloadKind::Agent, "agent");
    let opened = Connection::open(&world.node, &home, world.at(2, 9), Arrival::Connection);
    assert!(matches!(opened, Opened::Denied));
    let flow = world.flows().remove(0);
    assert_eq!(
        (flow.protocol.as_str(), flow.operation.as_str()),
        ("tcp", "connect")
    );
    assert!(flow.reason.contains("udp"), "{flow:?}");
}

#[tokio::test]
async fn nobody_running_is_an_error_that_folds_like_a_denial() {
    let Some(client) = Client::new(&estate(9, "")).await else {
        return;
    };
    for _ in 0..300 {
        client.send(client.world.at(2, 9), b"x");
    }
    client.home.finish();
    let flows = client.world.flows();
    assert_eq!(flows.len(), 101);
    assert_eq!(flows.iter().map(|flow| flow.count).sum::<u64>(), 300);
    for flow in flows {
        assert_eq!(
            (flow.kind(), flow.outcome()),
            (FlowKind::Connection, Outcome::Error)
        );
        assert!(flow.reason.contains("no instance of echo"), "{flow:?}");
    }
}

#[tokio::test]
async fn nothing_moves_that_the_log_does_not_take() {
    let (port, callers) = echo_on("127.0.0.1:0").await;
    let Some(client) = Client::new(&estate(port, "")).await else {
        return;
    };
    let _service = client.world.running("echo");
    client.world.break_log().await;
    client.send(client.world.at(2, port), b"x");
    client.hears_nothing().await;
    assert!(callers.borrow().is_empty());
    assert_eq!(client.home.flows.count(), 0);
}

#[tokio::test]
async fn the_receiver_is_found_where_it_listens_and_the_first_datagram_arrives_once() {
    // IPv6 needs addresses that the host of these tests lacks: see the end-to-end tests.
    for place in ["127.0.0.1:0", "127.0.77.2:0", "0.0.0.0:0", "[::]:0"] {
        let (port, callers) = echo_on(place).await;
        let Some(client) = Client::new(&estate(port, "")).await else {
            return;
        };
        let service = client.world.running("echo");
        client.send(client.world.at(2, port), b"first");
        assert_eq!(client.hear().await.0, b"first", "{place}");
        client.hears_nothing().await;
        assert_eq!(callers.borrow().len(), 1, "{place}");
        drop(service);
    }
}

#[tokio::test]
async fn a_receiver_that_does_not_listen_neither_ends_the_flow_nor_spins() {
    let port = free_port().await;
    let Some(mut client) = Client::new(&estate(port, "")).await else {
        return;
    };
    client.timeouts = Timeouts {
        fresh: Duration::from_secs(2),
        ..SHORT
    };
    let _service = client.world.running("echo");
    let to = client.world.at(2, port);
    for _ in 0..3 {
        client.send(to, b"is anybody there");
        client.hears_nothing().await;
    }
    assert_eq!(client.home.flows.count(), 1);
    // It comes up later, at its own address.
    let socket = UdpSocket::bind((IpAddr::from(address(2).v4), port))
        .await
        .unwrap();
    let _callers = echo_with(socket);
    client.send(to, b"now");
    assert_eq!(client.hear().await.0, b"now");
    let close = client.closed().await;
    assert_eq!(close.outcome(), Outcome::Allow);
    assert_eq!((close.bytes_sent, close.bytes_received), (3, 3));
    assert!(close.reason.ends_with("3 datagrams were lost"), "{close:?}");
    assert_eq!(client.records(FlowKind::Connection, 1).await.len(), 1);
}

#[tokio::test]
async fn a_flow_that_never_reached_anybody_closes_as_an_error() {
    let port = free_port().await;
    let Some(mut client) = Client::new(&estate(port, "")).await else {
        return;
    };
    client.timeouts = SHORT;
    let _service = client.world.running("echo");
    client.send(client.world.at(2, port), b"x");
    let close = client.closed().await;
    assert_eq!((close.outcome(), close.bytes_sent), (Outcome::Error, 0));
    assert!(close.reason.contains("is not reached"), "{close:?}");
}

#[tokio::test]
async fn a_change_of_policy_cuts_a_live_flow_at_once() {
    let (port, callers) = echo_on("127.0.0.1:0").await;
    let Some(client) = Client::new(&estate(port, "")).await else {
        return;
    };
    let _service = client.world.running("echo");
    let to = client.world.at(2, port);
    client.send(to, b"before");
    client.hear().await;
    client.world.load(2, &without_policy(port));
    client.send(to, b"after");
    let close = client.closed().await;
    assert_eq!(close.outcome(), Outcome::Deny);
    assert!(
        close.reason.starts_with("revoked by generation 2"),
        "{close:?}"
    );
    client.send(to, b"later");
    client.hears_nothing().await;
    assert_eq!(
        callers.borrow().len(),
        1,
        "not one datagram after the change"
    );
    let denied = client.records(FlowKind::Connection, 2).await;
    assert_eq!(denied.last().unwrap().outcome(), Outcome::Deny);
}

#[tokio::test]
async fn a_quarantine_of_either_end_cuts_a_live_flow_and_lets_none_begin() {
    use ringfence_compartment::link::Quarantine;
    for name in ["agent", "echo"] {
        let (port, callers) = echo_on("127.0.0.1:0").await;
        let Some(client) = Client::new(&estate(port, "")).await else {
            return;
        };
        let _service = client.world.running("echo");
        let to = client.world.at(2, port);
        client.send(to, b"before");
        client.hear().await;
        let one = Quarantine {
            name: ringfence_model::Name::new(name).unwrap(),
            why: "now".to_owned(),
        };
        client
            .world
            .node
            .current
            .quarantine([one].into_iter().collect());
        client.send(to, b"after");
        let close = client.closed().await;
        assert_eq!(close.outcome(), Outcome::Deny, "{name}");
        assert!(close.reason.ends_with("is quarantined now"), "{close:?}");
        client.send(to, b"later");
        client.hears_nothing().await;
        assert_eq!(callers.borrow().len(), 1, "{name}");
    }
}

#[tokio::test]
async fn a_flow_ends_with_its_rule() {
    let (port, _callers) = echo_on("127.0.0.1:0").await;
    let day = jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date();
    let until = format!("operations: [{{ allow: send, until: {day} }}]");
    let estate = estate(port, "").replace("operations: [send]", &until);
    let Some(client) = Client::new(&estate).await else {
        return;
    };
    let _service = client.world.running("echo");
    let over = day.tomorrow().unwrap().to_zoned(jiff::tz::TimeZone::UTC);
    let left = over.unwrap().timestamp().as_second() - jiff::Timestamp::now().as_second();
    client.world.node.clock.set_ahead(left - 2);
    let to = client.world.at(2, port);
    client.send(to, b"before");
    client.hear().await;
    let close = client.closed().await;
    assert_eq!(close.outcome(), Outcome::Deny);
    let why = "its time is over: rule send ended at ";
    assert!(close.reason.starts_with(why), "{close:?}");
    client.send(to, b"later");
    client.hears_nothing().await;
}

#[tokio::test]
async fn the_end_of_either_compartment_ends_the_flow() {
    let (port, _callers) = echo_on("127.0.0.1:0").await;
    for caller_ends in [true, false] {
        let Some(client) = Client::new(&estate(port, "")).await else {
            return;
        };
        let service = client.world.running("echo");
        client.send(client.world.at(2, port), b"x");
        client.hear().await;
        let ends = if caller_ends { &client.home } else { &service };
        ends.leave("its launcher has gone");
        let close = client.closed().await;
        assert_eq!(close.outcome(), Outcome::Allow);
        assert!(close.reason.ends_with("its launcher has gone"), "{close:?}");
        timeout(PATIENCE, client.world.node.slots.emptied())
            .await
            .unwrap();
        assert_eq!(client.world.node.flow_slots.taken(), 0);
        assert_eq!(
            service.flow_slots.taken() + client.home.flow_slots.taken(),
            0
        );
    }
}

#[tokio::test]
async fn a_conversation_may_be_idle_for_longer_than_a_question_with_its_answer() {
    let (port, callers) = echo_on("127.0.0.1:0").await;
    let Some(mut client) = Client::new(&estate(port, "")).await else {
        return;
    };
    client.timeouts = SHORT;
    let _service = client.world.running("echo");
    let to = client.world.at(2, port);
    let ask = async |pause: Duration| {
        client.send(to, b"x");
        client.hear().await;
        tokio::time::sleep(pause).await;
    };
    // Over before the next one: two flows, two callers.
    ask(SHORT.fresh * 3).await;
    let close = client.closed().await;
    assert_eq!(close.reason, format!("idle for {:?}", SHORT.fresh));
    ask(SHORT.settled_after * 2).await;
    // Still in use after a while: it outlives the pause that ended the first.
    ask(SHORT.fresh * 3).await;
    ask(Duration::ZERO).await;
    let callers = callers.borrow().clone();
    assert_ne!(callers[0], callers[1]);
    assert_eq!((callers[1], callers[2]), (callers[2], callers[3]));
    let closes = client.records(FlowKind::Close, 2).await;
    assert_eq!(closes[1].reason, format!("idle for {:?}", SHORT.settled));
}

#[tokio::test]
async fn flows_are_bounded_and_no_live_one_makes_room() {
    let (port, _callers) = echo_on("127.0.0.1:0").await;
    let Some(client) = Client::new(&estate(port, "")).await else {
        return;
    };
    let service = client.world.running("echo");
    let to = client.world.at(2, port);
    client.send(to, b"first");
    client.hear().await;
    let limit = client.home.flow_slots.limit();
    let held: Vec<_> = (1..limit)
        .map(|_| client.home.flow_slots.take().unwrap())
        .collect();
    let other = |port| Key {
        client: SocketAddr::from(([127, 0, 0, 1], port)),
        original: to,
    };
    for port in 0..300 {
        client.send_as(other(20_000 + port), b"one too many");
    }
    client.send(to, b"the first goes on");
    assert_eq!(client.hear().await.0, b"the first goes on");
    client.home.finish();
    let flows = client.records(FlowKind::Connection, 102).await;
    let refused: u64 = flows[1..].iter().map(|flow| flow.count).sum();
    assert_eq!((flows.len(), refused), (102, 300), "folded, and counted");
    assert!(
        flows[1].reason.contains(&format!("{limit} flows already")),
        "{:?}",
        flows[1]
    );
    drop(held);
    // The receiver has its own bound.
    let held: Vec<_> = std::iter::from_fn(|| service.flow_slots.take()).collect();
    client.send_as(other(30_000), b"x");
    let flows = client.records(FlowKind::Connection, 103).await;
    assert_eq!(flows[102].outcome(), Outcome::Error);
    drop(held);
    // And the node, `FLOWS`: compartments that take all they can leave enough for this one.
    let of_node = &client.world.node.flow_slots;
    let mut held = Vec::new();
    for _ in 0..40 {
        let own = crate::slots::Slots::new(usize::MAX);
        held.extend(std::iter::from_fn(|| of_node.share(&own)));
    }
    assert!(held.len() > FLOWS * 9 / 10, "{}", held.len());
    client.send_as(other(30_002), b"a neighbour");
    let flows = client.records(FlowKind::Connection, 104).await;
    assert_eq!(flows[103].outcome(), Outcome::Allow);
    drop(held);
    let live = of_node.taken();
    let held: Vec<_> = std::iter::from_fn(|| of_node.take()).collect();
    assert_eq!(held.len() + live, FLOWS);
    client.send_as(other(30_001), b"x");
    let flows = client.records(FlowKind::Connection, 105).await;
    let reason = &flows[104].reason;
    assert!(
        reason.contains(&format!("of the node's {FLOWS} flows")),
        "{reason}"
    );
    // Those that live go on.
    client.send(to, b"goes on");
    assert_eq!(client.hear().await.0, b"goes on");
    drop(held);
}

#[tokio::test]
async fn what_waits_in_a_flow_is_bounded_and_what_is_lost_is_counted() {
    let port = free_port().await;
    let Some(mut client) = Client::new(&estate(port, "")).await else {
        return;
    };
    client.timeouts = SHORT;
    let service = client.world.running("echo");
    // No socket comes: the flow waits for one.
    while let Some(socket) = service.inbound.take_now(Kind::Udp4) {
        drop(socket);
    }
    let to = client.world.at(2, port);
    client.send(to, b"waits for a socket");
    tokio::time::sleep(MOMENT).await;
    for _ in 0..FLOW_QUEUE + 10 {
        client.send(to, b"x");
    }
    let _callers = echo_with(UdpSocket::bind(("127.0.0.1", port)).await.unwrap());
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None).unwrap();
    service.inbound.put(Kind::Udp4, socket).unwrap();
    let close = client.closed().await;
    assert!(
        close.reason.ends_with("; 10 datagrams were lost"),
        "{close:?}"
    );
    assert_eq!(close.bytes_sent, 18 + FLOW_QUEUE as u64);
    let connections = client.records(FlowKind::Connection, 1).await;
    assert_eq!(connections.len(), 1);
}

#[tokio::test]
async fn what_waits_in_all_flows_of_a_compartment_is_bounded() {
    let Some(client) = Client::new(&estate(9, "")).await else {
        return;
    };
    let service = client.world.running("echo");
    while let Some(socket) = service.inbound.take_now(Kind::Udp4) {
        drop(socket);
    }
    let large = vec![0; 60_000];
    for number in 0..200 {
        let key = Key {
            client: SocketAddr::from(([127, 0, 0, 1], 20_000 + number)),
            original: client.world.at(2, 9),
        };
        client.send_as(key, &large);
    }
    let most = QUEUED_BYTES / large.len();
    let live = client.home.flows.count();
    assert!((most / 2..=most).contains(&live), "{live}");
    client.home.finish();
    let flows = client.world.flows();
    let refused = flows
        .iter()
        .filter(|flow| flow.reason.contains("too much waiting"));
    let refused: u64 = refused.map(|flow| flow.count).sum();
    assert_eq!(refused as usize, 200 - live);
    client.home.leave("the test is over");
    timeout(PATIENCE, client.world.node.slots.emptied())
        .await
        .unwrap();
    let all = vec![0; QUEUED_BYTES - 1000];
    assert!(client.home.flows.keep(&all).is_some(), "room is given back");
}

#[tokio::test]
async fn a_datagram_of_our_own_goes_no_further() {
    let (port, callers) = echo_on("127.0.0.1:0").await;
    let Some(client) = Client::new(&estate(port, "")).await else {
        return;
    };
    let _service = client.world.running("echo");
    let ours: SocketAddr = "127.0.77.9:4444".parse().unwrap();
    let _live = client.home.inbound.note_own(ours);
    let sources = [ours, "198.18.0.1:999".parse().unwrap()];
    for (source, to) in [
        (sources[0], client.world.at(2, port)),
        (sources[1], client.world.at(2, port)),
        (sources[1], client.world.at(2, 53)),
    ] {
        let received = Received {
            length: 1,
            cut: false,
            source,
            destination: to,
        };
        let (node, home) = (&client.world.node, &client.home);
        crate::door::udp::arrive(node, home, &client.answers, &received, b"x");
    }
    client.hears_nothing().await;
    assert!(callers.borrow().is_empty());
    let flows = client.world.flows();
    assert_eq!(flows.len(), 3);
    for flow in flows {
        assert_eq!(flow.outcome(), Outcome::Deny);
        assert!(
            flow.reason.contains("the enforcer's own address"),
            "{flow:?}"
        );
    }
}

#[tokio::test]
async fn a_datagram_that_was_cut_goes_no_further() {
    let (port, callers) = echo_on("127.0.0.1:0").await;
    let Some(client) = Client::new(&estate(port, "")).await else {
        return;
    };
    let _service = client.world.running("echo");
    let received = Received {
        length: 1,
        cut: true,
        source: client.socket.local_addr().unwrap(),
        destination: client.world.at(2, port),
    };
    let (node, home) = (&client.world.node, &client.home);
    crate::door::udp::arrive(node, home, &client.answers, &received, b"x");
    client.hears_nothing().await;
    assert!(callers.borrow().is_empty());
    assert_eq!(client.world.flows().remove(0).outcome(), Outcome::Deny);
}

const EXEMPT: &str = ", mutualAuth: { exempt: tests, until: 2099-01-01 }";

#[tokio::test]
async fn endpoints_are_tried_in_order_until_one_is_not_refused() {
    let (port, callers) = echo_on("127.0.0.1:0").await;
    let closed = free_port().await;
    let endpoints = format!(
        r#", endpoints: [{{ address: "127.0.0.1:{closed}" }}, {{ address: "127.0.0.1:{port}" }}]{EXEMPT}"#
    );
    let Some(client) = Client::new(&estate(9, &endpoints)).await else {
        return;
    };
    let to = client.world.at(2, 9);
    client.send(to, b"outside");
    assert_eq!(client.hear().await, (b"outside".to_vec(), to.socket_addr()));
    assert_eq!(callers.borrow().len(), 1);
    // The one in use stays declared: the flow goes on. Once it is gone, the flow is cut.
    let fewer = format!(r#", endpoints: [{{ address: "127.0.0.1:{port}" }}]{EXEMPT}"#);
    client.world.load(2, &estate(9, &fewer));
    client.send(to, b"again");
    assert_eq!(client.hear().await.0, b"again");
    let other = format!(r#", endpoints: [{{ address: "127.0.0.1:{closed}" }}]{EXEMPT}"#);
    client.world.load(3, &estate(9, &other));
    let close = client.closed().await;
    assert_eq!(close.outcome(), Outcome::Deny);
    assert!(close.reason.contains("no longer found"), "{close:?}");
    assert_eq!(close.destination_instance, "");
}

#[tokio::test]
async fn an_endpoint_that_answers_does_not_wait_for_the_name_of_the_next() {
    let (port, _callers) = echo_on("127.0.0.1:0").await;
    let endpoints = format!(
        r#", endpoints: [{{ address: "127.0.0.1:{port}" }}, {{ address: "no-such-name.invalid:9" }}]{EXEMPT}"#
    );
    let Some(mut client) = Client::new(&estate(9, &endpoints)).await else {
        return;
    };
    client.timeouts = SHORT;
    client.send(client.world.at(2, 9), b"x");
    client.hear().await;
    let close = client.closed().await;
    assert_eq!(close.outcome(), Outcome::Allow, "{close:?}");
    // The other way about it is asked, in vain.
    let turned = format!(
        r#", endpoints: [{{ address: "no-such-name.invalid:9" }}, {{ address: "127.0.0.1:{port}" }}]{EXEMPT}"#
    );
    client.world.load(2, &estate(9, &turned));
    client.send(client.world.at(2, 9), b"x");
    client.hear().await;
}

#[tokio::test]
async fn a_literal_address_of_an_endpoint_leads_to_its_service() {
    let (port, _callers) = echo_on("127.0.0.1:0").await;
    let endpoints = format!(r#", endpoints: [{{ address: "127.0.0.1:{port}" }}]{EXEMPT}"#);
    let Some(client) = Client::new(&estate(9, &endpoints)).await else {
        return;
    };
    let to = OriginalDst::new(SocketAddr::from(([127, 0, 0, 1], port)));
    client.send(to, b"literally");
    assert_eq!(client.hear().await.0, b"literally");
    assert_eq!(
        client.records(FlowKind::Connection, 1).await[0].destination,
        "echo"
    );
}

#[tokio::test]
async fn a_flood_into_one_flow_does_not_hold_up_another() {
    let (port, _callers) = echo_on("127.0.0.1:0").await;
    let Some(client) = Client::new(&estate(port, "")).await else {
        return;
    };
    let _service = client.world.running("echo");
    let to = client.world.at(2, port);
    // Nobody reads what comes back from it.
    let flooding = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let flood = Key {
        client: flooding.local_addr().unwrap(),
        original: to,
    };
    for _ in 0..50 {
        for _ in 0..1000 {
            client.send_as(flood, &[0; 100]);
        }
        client.send(to, b"in between");
        assert_eq!(client.hear().await.0, b"in between");
    }
}
