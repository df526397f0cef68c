//! DNS over TCP at the door: queries one after another on a connection, each answered as over UDP.

use std::sync::Arc;
use std::time::Instant;

use ringfence_model::OriginalDst;
use ringfence_model::flow::{Kind, Outcome};
use ringfence_wire::dns::{Next, QUERY_MAX, Transport, next_message, write_framed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::cause::Cause;
use crate::compartment::Compartment;
use crate::connection::reset;
use crate::door::dns;
use crate::judge::{self, Denied};
use crate::limits::DNS_TCP_IDLE;
use crate::node::Node;
use crate::record::Ruling;

/// Serves a connection to port 53 of any address, until it ends, idles or breaks the rules.
pub(crate) async fn serve(
    node: &Node,
    home: &Arc<Compartment>,
    mut client: TcpStream,
    server: OriginalDst,
) {
    let began = Instant::now();
    let (mut subject, generation) = {
        let force = node.current.load();
        (
            home.subject(&force, server, "dns"),
            force.snapshot.generation(),
        )
    };
    subject.connection = node.recorder.connection_id();
    let ruling = |reason: &str| Ruling::without_rule(reason.to_owned(), generation);
    if let Err(denied) = judge::free(&node.current.load(), &home.workload, None) {
        home.refused(&subject, Kind::Connection, "connect", &denied.ruling);
        return reset(client);
    }
    let Some(_held) = home.dns_slots.take() else {
        let reason = format!("{} dns connections already", home.dns_slots.limit());
        let ruling = ruling(&reason).because(Cause::Limit);
        home.refused(&subject, Kind::Connection, "connect", &ruling);
        return reset(client);
    };
    let opened = ruling("names are resolved at the door").because(Cause::Allowed);
    let flow = subject.flow(Kind::Connection, Outcome::Allow, "connect", &opened);
    if node.recorder.before(&flow).is_err() {
        return reset(client);
    }
    let (mut sent, mut received) = (0, 0);
    let ended = tokio::select! {
        biased;
        () = home.gone() => Ended::Cut("its compartment has gone"),
        denied = no_longer(node, home) => {
            let Ruling { reason, cause, .. } = denied.ruling;
            Ended::Denied(reason, cause)
        }
        ended = converse(node, home, &mut client, server, &subject.connection, (&mut sent, &mut received)) => ended,
    };
    let (outcome, ruling) = match ended {
        Ended::Orderly(reason) => (Outcome::Allow, ruling(reason)),
        Ended::Cut(reason) => {
            reset(client);
            (Outcome::Allow, ruling(reason))
        }
        Ended::Denied(reason, cause) => {
            reset(client);
            (Outcome::Deny, ruling(&reason).because(cause))
        }
    };
    let mut flow = subject.flow(Kind::Close, outcome, "close", &ruling);
    (flow.bytes_sent, flow.bytes_received) = (sent, received);
    flow.duration_ns = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
    // It is over, recorded or not; the log counts what it cannot take.
    let _counted_by_the_log = node.recorder.after(&flow);
}

enum Ended {
    Orderly(&'static str),
    Cut(&'static str),
    Denied(String, Cause),
}

/// Resolves, at once or later, when the workload may ask nothing at all.
async fn no_longer(node: &Node, home: &Compartment) -> Denied {
    let mut news = node.current.subscribe();
    loop {
        let asks = judge::free(&node.current.load(), &home.workload, None);
        if let Err(denied) = asks {
            return denied;
        }
        // The sender is part of the node.
        let _never_gone = news.changed().await;
    }
}

async fn converse(
    node: &Node,
    home: &Compartment,
    client: &mut TcpStream,
    server: OriginalDst,
    connection: &str,
    (sent, received): (&mut u64, &mut u64),
) -> Ended {
    let mut unread: Vec<u8> = Vec::new();
    let mut reply: Vec<u8> = Vec::new();
    loop {
        match next_message(&unread) {
            Next::Oversized => return Ended::Cut("a query longer than any name"),
            Next::Message { message, consumed } => {
                let answer = dns::answer(node, home, server, connection, message, Transport::Tcp);
                let Some(answer) = answer else {
                    return Ended::Cut("a message without answer");
                };
                reply.clear();
                if !write_framed(&answer, &mut reply) {
                    return Ended::Cut("an answer longer than a message");
                }
                unread.drain(..consumed);
                match timeout(DNS_TCP_IDLE, client.write_all(&reply)).await {
                    Ok(Ok(())) => *received += reply.len() as u64,
                    Ok(Err(_)) => return Ended::Cut("the caller broke off"),
                    Err(_) => return Ended::Cut("the caller takes no answer"),
                }
            }
            Next::Partial => {
                unread.reserve(QUERY_MAX / 8);
                match timeout(DNS_TCP_IDLE, client.read_buf(&mut unread)).await {
                    Ok(Ok(0)) if unread.is_empty() => return Ended::Orderly("finished"),
                    Ok(Ok(0)) => return Ended::Cut("the caller broke off within a query"),
                    Ok(Ok(count)) => *sent += count as u64,
                    Ok(Err(_)) => return Ended::Cut("the caller broke off"),
                    Err(_) => return Ended::Orderly("idle for too long"),
                }
            }
        }
    }
}
