//! TLS that the workloads bring: what the client says in the clear is read, the server name in it judged, and then all goes
//! on as it came, unread.

mod answer;

use std::io;
use std::pin::pin;

use ringfence_model::flow::{Kind, Outcome};
use ringfence_wire::foreign::spoken;
use ringfence_wire::tls::{ClientHello, Refusal, read_hello};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use self::answer::{Clear, answered};
use super::tcp::ended;
use crate::cause::Cause;
use crate::connection::Connection;
use crate::limits::{HELLO_CHUNK, HELLO_TIMEOUT};
use crate::record::Ruling;
use crate::relay::{End, Moved, relay_begun};
use crate::upstream::reset_on_close;
use crate::whole::Whole;

/// What the record says of the one operation there is.
const OPERATION: &str = "connect";

/// Why no ClientHello came.
enum Unread {
    /// The client went away, or sent nothing for too long.
    Gone(&'static str),
    /// It sent something else.
    Refused(Refusal, Vec<u8>),
}

/// From the first byte of the client to the end of both sides. Whoever is refused sees a reset.
pub(super) async fn carry(connection: &Connection, mut client: Whole) -> (Outcome, String) {
    reset_on_close(&client);
    // Watching begins before anything is read: see `Connection::watch`.
    let mut stop = pin!(connection.watch(None));
    let read = tokio::select! {
        biased;
        _kept_by_the_connection = &mut stop => return revoked(),
        read = timeout(HELLO_TIMEOUT, read(&mut client)) => read,
    };
    let (hello, bytes) = match read.unwrap_or(Err(Unread::Gone("not complete in time"))) {
        Ok(read) => read,
        Err(unread) => {
            refuse(connection, unread);
            return (Outcome::Deny, "no ClientHello to decide on".to_owned());
        }
    };
    if !connection.admit_name(&hello.server_name) {
        return (Outcome::Deny, "refused by its server name".to_owned());
    }
    let dialled = tokio::select! {
        biased;
        _kept_by_the_connection = &mut stop => return revoked(),
        dialled = connection.dial() => dialled,
    };
    let Ok(mut upstream) = dialled else {
        return (Outcome::Error, "the service is not reached".to_owned());
    };
    upstream.must_not_end();
    let ends = (&mut client, &mut upstream);
    let clear = tokio::select! {
        biased;
        _kept_by_the_connection = &mut stop => return revoked(),
        clear = answered(connection, ends, (bytes, hello.consumed), &hello.server_name) => clear,
    };
    let relayed = match clear {
        Clear::Over(read) => relay_begun(&mut client, &mut upstream, read, stop).await,
        Clear::Broken(side, cause) => (End::Broken { side, cause }, Moved::default()),
        Clear::Refused(unread) => {
            refuse(connection, unread);
            return (
                Outcome::Deny,
                "refused by its second ClientHello".to_owned(),
            );
        }
    };
    ended(connection, &client, &upstream, relayed)
}

fn revoked() -> (Outcome, String) {
    (Outcome::Deny, "revoked".to_owned())
}

/// The ClientHello, and all that was read with it.
async fn read(client: &mut Whole) -> Result<(ClientHello, Vec<u8>), Unread> {
    let mut bytes = Vec::new();
    loop {
        if !matches!(more(client, &mut bytes).await, Ok(1..)) {
            return Err(Unread::Gone("cut short"));
        }
        match read_hello(&bytes) {
            Ok(Some(hello)) => return Ok((hello, bytes)),
            Ok(None) => {}
            Err(refusal) => return Err(Unread::Refused(refusal, bytes)),
        }
    }
}

/// Reads on, and no more at once than there is room for: what follows the message is the relay's.
async fn more(client: &mut Whole, bytes: &mut Vec<u8>) -> io::Result<usize> {
    bytes.reserve(HELLO_CHUNK);
    client.take(HELLO_CHUNK as u64).read_buf(bytes).await
}

fn refuse(connection: &Connection, unread: Unread) {
    let to = connection.to();
    let (reason, cause) = match unread {
        Unread::Gone(how) => (format!("ClientHello {how}"), Cause::Malformed),
        Unread::Refused(refusal, bytes) => match spoken(&bytes) {
            Some(seen) if refusal == Refusal::NotTls => (
                format!("{to} speaks tls, and its caller sent {seen}"),
                Cause::OtherProtocol,
            ),
            _ => (format!("{to} speaks tls: {refusal}"), Cause::Malformed),
        },
    };
    let generation = connection.node().current.load().snapshot.generation();
    let ruling = Ruling::without_rule(reason, generation).because(cause);
    connection
        .home()
        .refused(&connection.subject(), Kind::Operation, OPERATION, &ruling);
}
