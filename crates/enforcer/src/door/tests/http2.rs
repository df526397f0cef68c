//! HTTP/2 and gRPC at the door, under real policy.

use std::time::Duration;

use ringfence_model::Kind as WorkloadKind;
use ringfence_model::flow::{Kind, Outcome};
use tokio::time::timeout;

use super::time::{IN_TIME, to_the_end_of, today};
use super::*;
use crate::http2::tests::harness::{Peer, block};

const SOON: Duration = Duration::from_secs(20);

/// `shop` speaks HTTP/2 and `calls` gRPC; `rules` are entries of the agent's `initiate`. By name, so by address: `agent` 1,
/// `calls` 2, `shop` 3.
fn estate_of(port: u16, rules: &str) -> String {
    format!(
        r#"
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: {{ name: shop }}
spec: {{ protocol: http2, port: {port} }}
---
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: {{ name: calls }}
spec: {{ protocol: grpc, port: {port} }}
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: {{ name: agent }}
spec: {{ purpose: tests doors }}
---
apiVersion: ringfence.dev/v1alpha1
kind: Policy
metadata: {{ name: agent }}
spec:
  agent: agent
  mode: enforce
  owner: us
  initiate:
{rules}
"#
    )
}

fn shop(operations: &str) -> String {
    format!("    - service: shop\n      operations: [{operations}]")
}

struct Stage {
    world: World,
    port: u16,
    listener: TcpListener,
    service: Arc<Compartment>,
    client: Peer,
    serving: JoinHandle<()>,
}

impl Stage {
    /// With a client at the door of workload `to`, called `name`, that has greeted.
    async fn new(rules: &str, to: u8, name: &str) -> Self {
        let (listener, port) = listener().await;
        let world = World::new(&estate_of(port, rules));
        let home = world.compartment(WorkloadKind::Agent, "agent");
        let service = world.running(name);
        let (client, serving) = knock(&world, &home, world.at(to, port)).await;
        let mut client = Peer::new(client);
        client.greet(&[]).await;
        Self {
            world,
            port,
            listener,
            service,
            client,
            serving,
        }
    }

    /// The service's side, once it has welcomed.
    async fn service(&mut self) -> Peer {
        let (io, _) = timeout(SOON, self.listener.accept())
            .await
            .unwrap()
            .unwrap();
        let mut peer = Peer::new(io);
        peer.welcome(&[]).await;
        peer
    }

    /// Waits for the end, and gives kind, outcome, operation and reason of each record.
    async fn told(self) -> Vec<(Kind, Outcome, String, String)> {
        drop(self.client);
        timeout(SOON, self.serving).await.unwrap().unwrap();
        let flows = self.world.flows().into_iter();
        flows
            .map(|flow| (flow.kind(), flow.outcome(), flow.operation, flow.reason))
            .collect()
    }
}

fn request(method: &str, path: &str, authority: &str) -> Vec<u8> {
    block(&[
        (":method", method),
        (":scheme", "http"),
        (":authority", authority),
        (":path", path),
    ])
}

#[tokio::test]
async fn each_stream_is_decided_recorded_and_names_its_caller() {
    let mut stage = Stage::new(&shop("\"GET /ok\""), 3, "shop").await;
    let refused = request("POST", "/pay", "shop");
    stage.client.headers(1, &refused, true).await;
    assert!(
        stage
            .client
            .next()
            .await
            .starts_with("1 headers :status=403")
    );
    assert!(stage.client.next().await.starts_with("1 data "));
    let other = request("GET", "/ok", "calls");
    stage.client.headers(3, &other, true).await;
    assert!(
        stage
            .client
            .next()
            .await
            .starts_with("3 headers :status=403")
    );
    assert!(stage.client.next().await.starts_with("3 data "));
    stage
        .client
        .headers(5, &request("GET", "/%6fk", "shop"), true)
        .await;
    let mut service = stage.service().await;
    let head = service.next().await;
    let named =
        "By=spiffe://ringfence.internal/service/shop;URI=spiffe://ringfence.internal/agent/agent";
    assert_eq!(
        head,
        format!(
            "1 headers :method=GET :scheme=http :authority=shop :path=/ok \
             x-forwarded-client-cert={named} end"
        )
    );
    service
        .headers(1, &block(&[(":status", "200")]), true)
        .await;
    assert_eq!(stage.client.next().await, "5 headers :status=200 end");
    let flows = stage.world.flows();
    assert!(flows.iter().all(|flow| flow.protocol == "http2"));
    let told = stage.told().await;
    let what: Vec<_> = told
        .iter()
        .map(|(kind, outcome, operation, _)| (*kind, *outcome, operation.as_str()))
        .collect();
    assert_eq!(
        what,
        [
            (Kind::Connection, Outcome::Allow, "connect"),
            (Kind::Operation, Outcome::Deny, "POST /pay"),
            (Kind::Operation, Outcome::Deny, "GET /ok"),
            (Kind::Operation, Outcome::Allow, "GET /ok"),
            (Kind::Close, Outcome::Allow, "close"),
        ]
    );
}

#[tokio::test]
async fn a_call_is_decided_by_its_name() {
    let rules = "    - service: calls\n      operations: [\"a.Svc/*\"]";
    let mut stage = Stage::new(rules, 2, "calls").await;
    let call = |path: &str| {
        let fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "calls"),
            (":path", path),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ];
        block(&fields)
    };
    stage.client.headers(1, &call("/a.Svc/Do"), false).await;
    let mut service = stage.service().await;
    assert!(service.next().await.contains(":path=/a.Svc/Do "));
    stage.client.headers(3, &call("/b.Svc/Do"), false).await;
    assert!(stage.client.next().await.contains("grpc-status=7"));
    assert_eq!(stage.client.next().await, "3 reset 0");
    stage.client.data(1, b"on", false).await;
    assert_eq!(service.next().await, "1 data on");
    let told = stage.told().await;
    let operations: Vec<_> = told
        .iter()
        .filter(|(kind, ..)| *kind == Kind::Operation)
        .map(|(_, outcome, operation, _)| (*outcome, operation.as_str()))
        .collect();
    assert_eq!(
        operations,
        [(Outcome::Allow, "a.Svc/Do"), (Outcome::Deny, "b.Svc/Do")]
    );
}

#[tokio::test]
async fn a_generation_cuts_the_streams_that_it_no_longer_allows() {
    let mut stage = Stage::new(&shop("\"POST /stays\", \"POST /goes\""), 3, "shop").await;
    for (id, path) in [(1, "/stays"), (3, "/goes")] {
        stage
            .client
            .headers(id, &request("POST", path, "shop"), false)
            .await;
    }
    let mut service = stage.service().await;
    assert!(service.next().await.starts_with("1 headers "));
    assert!(service.next().await.starts_with("3 headers "));
    let narrower = estate_of(stage.port, &shop("\"POST /stays\""));
    stage.world.load(2, &narrower);
    assert_eq!(stage.client.next().await, "3 reset 8");
    assert_eq!(service.next().await, "3 reset 8");
    stage.client.data(1, b"on", false).await;
    assert_eq!(service.next().await, "1 data on");
    // And when the two may not meet at all, everything.
    stage.world.load(
        3,
        &estate_of(
            stage.port,
            &shop("\"GET /other\"")
                .replace("shop", "calls")
                .replace("GET /other", "a.B/C"),
        ),
    );
    assert_eq!(stage.client.next().await, "end");
    assert_eq!(service.next().await, "end");
    let told = stage.told().await;
    let (kind, outcome, operation, reason) = &told[3];
    assert_eq!(
        (*kind, *outcome, operation.as_str()),
        (Kind::Operation, Outcome::Deny, "POST /goes")
    );
    assert!(reason.starts_with("revoked by generation 2: "), "{reason}");
    let (kind, outcome, _, reason) = told.last().unwrap();
    assert_eq!((*kind, *outcome), (Kind::Close, Outcome::Deny));
    assert!(reason.starts_with("revoked by generation 3: "), "{reason}");
}

#[tokio::test]
async fn a_stream_ends_with_its_rule_and_its_neighbour_goes_on() {
    let day = today();
    let rules = shop(&format!(
        "\"POST /stays\", {{ allow: \"POST /ends\", until: {day} }}"
    ));
    let mut stage = Stage::new(&rules, 3, "shop").await;
    stage.world.node.clock.set_ahead(to_the_end_of(day));
    for (id, path) in [(1, "/stays"), (3, "/ends")] {
        stage
            .client
            .headers(id, &request("POST", path, "shop"), false)
            .await;
    }
    let mut service = stage.service().await;
    assert!(service.next().await.starts_with("1 headers "));
    assert!(service.next().await.starts_with("3 headers "));
    let cut = timeout(IN_TIME, stage.client.next())
        .await
        .expect("in time");
    assert_eq!(cut, "3 reset 8");
    assert_eq!(service.next().await, "3 reset 8");
    stage.client.data(1, b"on", false).await;
    assert_eq!(service.next().await, "1 data on");
    let told = stage.told().await;
    let reason = &told[3].3;
    assert!(reason.starts_with("its time is over: "), "{reason}");
}

#[tokio::test]
async fn a_service_that_leaves_takes_its_streams_with_it() {
    let mut stage = Stage::new(&shop("\"POST /x\""), 3, "shop").await;
    stage
        .client
        .headers(1, &request("POST", "/x", "shop"), false)
        .await;
    let mut service = stage.service().await;
    assert!(service.next().await.starts_with("1 headers "));
    stage.service.leave("it has ended");
    assert_eq!(stage.client.next().await, "end");
    let told = stage.told().await;
    let (kind, outcome, _, reason) = told.last().unwrap();
    assert_eq!((*kind, *outcome), (Kind::Close, Outcome::Allow));
    assert!(reason.contains("it has ended"), "{reason}");
}

#[tokio::test]
async fn without_a_place_in_the_log_nothing_goes_on() {
    let mut stage = Stage::new(&shop("\"GET /ok\""), 3, "shop").await;
    let no = request("GET", "/no", "shop");
    stage.client.headers(1, &no, true).await;
    assert!(stage.client.next().await.contains(":status=403"));
    assert!(stage.client.next().await.starts_with("1 data "));
    stage.world.break_log().await;
    let ok = request("GET", "/ok", "shop");
    stage.client.headers(3, &ok, true).await;
    let said = stage.client.next().await;
    assert!(said.starts_with("3 headers :status=503"), "{said}");
    let nothing = timeout(Duration::from_millis(200), stage.listener.accept()).await;
    assert!(nothing.is_err(), "it is dialled");
}
