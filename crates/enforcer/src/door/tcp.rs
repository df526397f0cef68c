//! TCP at the door: each connection is accepted, judged, and relayed or reset.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use ringfence_compartment::address::{DNS_PORT, is_door};
use ringfence_model::flow::{Kind, Outcome};
use ringfence_model::{OriginalDst, Protocol};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;

use crate::cause::Cause;
use crate::compartment::Compartment;
use crate::connection::{Arrival, Connection, Opened, reset};
use crate::conversation::Conversation;
use crate::door::apart::Apart;
use crate::door::{dns_tcp, tls};
use crate::http::{self, Ended};
use crate::http2;
use crate::limits::ACCEPT_PAUSE;
use crate::node::Node;
use crate::record::Ruling;
use crate::relay::{End, Moved, relay};
use crate::slots::Slot;
use crate::upstream::{Upstream, close_in_order, reset_on_close};
use crate::whole::Whole;

/// One TCP door.
pub(crate) enum TcpDoor {
    /// Of a launcher of this node's own user: accepted at by the runtime.
    Own(TcpListener),
    /// Of another user's.
    Apart(Apart),
}

impl TcpDoor {
    /// Takes the socket, checked. `shared`: the launcher is another user's.
    pub(crate) fn new(door: OwnedFd, shared: bool) -> io::Result<Self> {
        if shared {
            return Ok(Self::Apart(Apart::new(door)?));
        }
        let listener = std::net::TcpListener::from(door);
        listener.set_nonblocking(true)?;
        Ok(Self::Own(TcpListener::from_std(listener)?))
    }

    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        match self {
            Self::Own(listener) => listener.accept().await,
            Self::Apart(apart) => {
                let (client, peer) = apart.accept().await?;
                Ok((TcpStream::from_std(client)?, peer))
            }
        }
    }
}

/// Accepts until dropped. Returns only when the door itself is broken.
pub(crate) async fn watch(node: Arc<Node>, home: Arc<Compartment>, mut door: TcpDoor) -> io::Error {
    loop {
        // What is taken from the kernel's queue holds a descriptor: no more of it than is about to be judged.
        let arriving = match Arc::clone(&home.arriving).acquire_owned().await {
            Ok(place) => place,
            Err(closed) => return io::Error::other(closed),
        };
        match door.accept().await {
            Ok((client, peer)) => {
                let (node, home) = (Arc::clone(&node), Arc::clone(&home));
                let turns = Arc::clone(&home.turns);
                turns.spawn(async move { arrive(&node, &home, client, peer, arriving).await });
            }
            Err(cause) if is_of_one_connection(&cause) => {}
            Err(cause) if is_want_of_resources(&cause) => tokio::time::sleep(ACCEPT_PAUSE).await,
            Err(cause) => return cause,
        }
    }
}

/// The connection was gone before it was taken (`accept(2)`: such errors are to be treated like a retry).
fn is_of_one_connection(cause: &io::Error) -> bool {
    use rustix::io::Errno;
    const OF_ONE: [Errno; 10] = [
        Errno::CONNABORTED,
        Errno::INTR,
        Errno::PROTO,
        Errno::NETDOWN,
        Errno::NOPROTOOPT,
        Errno::HOSTDOWN,
        Errno::HOSTUNREACH,
        Errno::NETUNREACH,
        Errno::OPNOTSUPP,
        Errno::PERM,
    ];
    Errno::from_io_error(cause).is_some_and(|errno| OF_ONE.contains(&errno))
}

/// Later there may be some again.
pub(super) fn is_want_of_resources(cause: &io::Error) -> bool {
    use rustix::io::Errno;
    const WANT: [Errno; 4] = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(cause).is_some_and(|errno| WANT.contains(&errno))
}

async fn arrive(
    node: &Arc<Node>,
    home: &Arc<Compartment>,
    client: TcpStream,
    peer: SocketAddr,
    arriving: OwnedSemaphorePermit,
) {
    match client.local_addr().map(OriginalDst::new) {
        Ok(original) if is_door(peer) => {
            let reason = "it came from the enforcer's own address".to_owned();
            turn_away(node, home, client, original, Cause::OwnDoor, reason);
        }
        Ok(original) => receive(node, home, client, original, Some(arriving)).await,
        // Gone already, and its address with it; the attempt is on record all the same.
        Err(cause) => {
            let nowhere = SocketAddr::new(std::net::Ipv4Addr::UNSPECIFIED.into(), 0);
            let reason = format!("where it was going is not known: {cause}");
            let nowhere = OriginalDst::new(nowhere);
            turn_away(node, home, client, nowhere, Cause::Other, reason);
        }
    }
}

/// One connection that was going to `original`, to its end. `arriving` is held until it is judged.
pub(super) async fn receive(
    node: &Arc<Node>,
    home: &Arc<Compartment>,
    client: TcpStream,
    original: OriginalDst,
    arriving: Option<OwnedSemaphorePermit>,
) {
    let _held = match places(node, home) {
        Ok(places) => places,
        Err(reason) => return turn_away(node, home, client, original, Cause::Limit, reason),
    };
    if original.port() == DNS_PORT && !is_door(original.socket_addr()) {
        drop(arriving);
        return dns_tcp::serve(node, home, client, original).await;
    }
    let opened = Connection::open(node, home, original, Arrival::Connection);
    drop(arriving);
    match opened {
        Opened::Denied | Opened::Failed => reset(client),
        Opened::Yes(connection) => serve(&connection, client).await,
    }
}

/// Refuses a connection before policy is asked.
fn turn_away(
    node: &Node,
    home: &Compartment,
    client: TcpStream,
    original: OriginalDst,
    cause: Cause,
    reason: String,
) {
    let force = node.current.load();
    let generation = force.snapshot.generation();
    let ruling = Ruling::without_rule(reason, generation).because(cause);
    let mut subject = home.subject(&force, original, "tcp");
    subject.connection = node.recorder.connection_id();
    home.refused(&subject, Kind::Connection, "connect", &ruling);
    reset(client);
}

/// A place among the compartment's connections and one among all.
fn places(node: &Node, home: &Compartment) -> Result<(Slot, [Slot; 2]), String> {
    let own = home.slots.take().ok_or_else(|| {
        format!(
            "{} has {} connections already",
            home.instance,
            home.slots.limit()
        )
    })?;
    let all = node.slots.share(&home.of_node).ok_or_else(|| {
        format!(
            "{} has as many of the node's {} connections as it leaves to others",
            home.instance,
            node.slots.limit()
        )
    })?;
    Ok((own, all))
}

async fn serve(connection: &Connection, client: TcpStream) {
    // Interactive protocols suffer from delay, and a socket that refuses the option still carries bytes.
    let _optional = client.set_nodelay(true);
    let (outcome, reason) = match connection.protocol() {
        Protocol::Tls => tls::carry(connection, client.into()).await,
        // A connection to one that takes datagrams is never let in.
        Protocol::Tcp | Protocol::Udp => opaque(connection, client.into()).await,
        Protocol::Http => converse(connection, client).await,
        Protocol::Http2 | Protocol::Grpc => multiplex(connection, client).await,
    };
    // It is over, recorded or not; the log counts what it cannot take.
    let _counted_by_the_log = connection.close(outcome, reason);
}

async fn converse(connection: &Connection, client: TcpStream) -> (Outcome, String) {
    let ended = http::relay(client, &Conversation::new(connection)).await;
    let outcome = match ended {
        Ended::Revoked => Outcome::Deny,
        Ended::UpstreamBroke | Ended::Stalled => Outcome::Error,
        _ => Outcome::Allow,
    };
    (outcome, ended.to_string())
}

async fn multiplex(connection: &Connection, client: TcpStream) -> (Outcome, String) {
    let ended = http2::relay(client, &Conversation::new(connection)).await;
    let outcome = match ended {
        http2::Ended::Revoked => Outcome::Deny,
        http2::Ended::Stalled => Outcome::Error,
        _ => Outcome::Allow,
    };
    (outcome, ended.to_string())
}

/// A stream without framing must not seem complete when it was cut: unless both sides have finished, each sees a
/// reset, even if this process is killed.
async fn opaque(connection: &Connection, mut client: Whole) -> (Outcome, String) {
    reset_on_close(&client);
    // Watching begins before the dial and is asked before the first byte: see `Connection::watch`.
    let mut stop = std::pin::pin!(connection.watch(None));
    let dialled = tokio::select! {
        biased;
        cut = &mut stop => Err(cut),
        dialled = connection.dial() => Ok(dialled),
    };
    let mut upstream = match dialled {
        Ok(Ok(upstream)) => upstream,
        Ok(Err(_kept_by_the_connection)) => {
            return (Outcome::Error, "the service is not reached".to_owned());
        }
        Err(_kept_by_the_connection) => {
            return (Outcome::Deny, "revoked".to_owned());
        }
    };
    upstream.must_not_end();
    let relayed = relay(&mut client, &mut upstream, stop).await;
    ended(connection, &client, &upstream, relayed)
}

/// How an opaque relay ended, for the record; where both sides have finished, each may see that.
pub(super) fn ended<S>(
    connection: &Connection,
    client: &Whole,
    upstream: &Upstream,
    (end, moved): (End<S>, Moved),
) -> (Outcome, String) {
    connection.count(moved.sent, moved.received);
    match end {
        End::Finished => {
            upstream.may_end();
            close_in_order(client);
            (Outcome::Allow, "finished".to_owned())
        }
        End::Broken { side, cause } => (Outcome::Allow, format!("the {side} broke off: {cause}")),
        End::Stopped(_kept_by_the_connection) => (Outcome::Deny, "revoked".to_owned()),
    }
}
