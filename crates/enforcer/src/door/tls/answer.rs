//! Between the ClientHello and what nobody can read: the service may ask for a second ClientHello (HelloRetryRequest), and
//! some servers take their name from that one. So it has to be there whole, and of the same name, before a byte of it goes
//! on; and until the service has answered, no handshake of the client does.

use std::io;

use ringfence_wire::tls::{Behind, Refusal, asks_again, behind_hello, read_hello};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::{Unread, more};
use crate::connection::Connection;
use crate::limits::{HELLO_CHUNK, HELLO_TIMEOUT};
use crate::upstream::Upstream;
use crate::whole::Whole;

/// How the clear part ended.
pub(super) enum Clear {
    /// No ClientHello comes any more. What has been read of each side and not passed on yet.
    Over([Vec<u8>; 2]),
    /// The second one is not to pass.
    Refused(Unread),
    /// `caller` or `service` broke.
    Broken(&'static str, io::Error),
}

/// What the service has said to the ClientHello.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Awaited,
    /// It wants another one, by then.
    Again(Instant),
}

/// Sends the ClientHello, of which the first `hello` bytes of `bytes` are the whole, and passes on what may pass until it is
/// certain that no other one follows.
pub(super) async fn answered(
    connection: &Connection,
    (client, upstream): (&mut Whole, &mut Upstream),
    (mut bytes, hello): (Vec<u8>, usize),
    name: &str,
) -> Clear {
    let mut ahead = bytes.split_off(hello);
    if let Err(cause) = send(connection, upstream, &bytes).await {
        return Clear::Broken("service", cause);
    }
    drop(bytes);
    let (mut back, mut answer, mut client_ended) = (Vec::new(), Answer::Awaited, false);
    loop {
        let behind = match behind_hello(&ahead) {
            Ok(Behind::Record(length)) => {
                let rest = ahead.split_off(length);
                if let Err(cause) = send(connection, upstream, &ahead).await {
                    return Clear::Broken("service", cause);
                }
                ahead = rest;
                continue;
            }
            Ok(behind) => behind,
            Err(refusal) => return Clear::Refused(Unread::Refused(refusal, ahead)),
        };
        if behind == Behind::Handshake && answer != Answer::Awaited {
            match read_hello(&ahead) {
                Ok(Some(second)) if second.server_name == name => {
                    return Clear::Over([ahead, back]);
                }
                Ok(Some(_)) => return Clear::Refused(Unread::Refused(Refusal::OtherName, ahead)),
                Ok(None) => {}
                Err(refusal) => return Clear::Refused(Unread::Refused(refusal, ahead)),
            }
        }
        let held = behind == Behind::Handshake && answer == Answer::Awaited;
        if client_ended && !held {
            // Nothing that it has sent holds a ClientHello, or not all of one.
            return match behind {
                Behind::Handshake => Clear::Refused(Unread::Gone("cut short")),
                Behind::Part | Behind::Record(_) => Clear::Over([ahead, back]),
            };
        }
        let from_client = async {
            match answer {
                Answer::Awaited => more(client, &mut ahead).await.map(Some),
                Answer::Again(until) => {
                    let read = timeout_at(until, more(client, &mut ahead)).await;
                    read.map_or(Ok(None), |read| read.map(Some))
                }
            }
        };
        tokio::select! {
            biased;
            read = upstream.read_buf(&mut back) => match read {
                // Where it ends is for the relay to find out once more.
                Ok(0) if answer == Answer::Awaited => return Clear::Over([ahead, back]),
                Ok(0) => return Clear::Broken("service", io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(cause) => return Clear::Broken("service", cause),
            },
            read = from_client, if !client_ended && !held => match read {
                Ok(Some(0)) => client_ended = true,
                Ok(Some(_)) => {}
                Ok(None) => return Clear::Refused(Unread::Gone("not complete in time")),
                Err(cause) => return Clear::Broken("caller", cause),
            },
        }
        if answer == Answer::Awaited {
            // Whoever says so much before it says that has something else in mind.
            let unclear = (back.len() >= HELLO_CHUNK).then_some(true);
            match asks_again(&back).or(unclear) {
                None => {}
                Some(false) => return Clear::Over([ahead, back]),
                Some(true) => answer = Answer::Again(Instant::now() + HELLO_TIMEOUT),
            }
        }
        if answer != Answer::Awaited && !back.is_empty() {
            if let Err(cause) = client.write_all(&back).await {
                return Clear::Broken("caller", cause);
            }
            connection.count(0, back.len() as u64);
            back.clear();
        }
    }
}

async fn send(connection: &Connection, upstream: &mut Upstream, bytes: &[u8]) -> io::Result<()> {
    upstream.write_all(bytes).await?;
    upstream.flush().await?;
    connection.count(bytes.len() as u64, 0);
    Ok(())
}
