//! What workloads see at their doors, and what the log says about it.

mod conditions;
mod dns;
mod edges;
mod explain;
mod http;
mod http2;
mod kept;
mod quarantine;
mod reload;
mod scene;
mod tcp;
mod time;
mod tls;
mod turn;

use std::net::SocketAddr;
use std::sync::Arc;

use ringfence_model::OriginalDst;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::compartment::Compartment;
use crate::testing::World;

/// An agent that may use `echo` (opaque) and `GET /ok` of `web`, not `vault` (opaque). By name, so by address:
/// `agent` 1, `echo` 2, `vault` 3, `web` 4.
fn estate(echo: u16, web: u16) -> String {
    format!(
        r#"
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: {{ name: echo }}
spec: {{ protocol: tcp, port: {echo} }}
---
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: {{ name: vault }}
spec: {{ protocol: tcp, port: 700 }}
---
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: {{ name: web }}
spec: {{ protocol: http, port: {web}, hosts: [www.internal] }}
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
    - service: echo
      operations: [connect]
    - service: web
      operations: ["GET /ok"]
"#
    )
}

/// The estate above without any policy.
fn without_policy(echo: u16, web: u16) -> String {
    let all = estate(echo, web);
    let (before, _) = all.rsplit_once("---").unwrap();
    before.to_owned()
}

/// A connection as it arrives at a door, and the task that serves it.
async fn knock(
    world: &World,
    home: &Arc<Compartment>,
    to: OriginalDst,
) -> (TcpStream, JoinHandle<()>) {
    let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(door.local_addr().unwrap())
        .await
        .unwrap();
    let (arrived, _) = door.accept().await.unwrap();
    let (node, home) = (Arc::clone(&world.node), Arc::clone(home));
    let serving =
        tokio::spawn(async move { super::tcp::receive(&node, &home, arrived, to, None).await });
    (client, serving)
}

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener
        .local_addr()
        .map(|at: SocketAddr| at.port())
        .unwrap();
    (listener, port)
}
