//! Where a monitor asks: `GET /metrics` on a Unix socket, or on a port of the host's loopback.
//!
//! One request, one answer, and the connection closes. Requests are read by the same strict reader as a workload's:
//! nobody has to be trusted to be a monitor. The supervisor answers from what it knows already; it never waits.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use ringfence_wire::http1::{Scanner, parse_request};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use crate::limits::{SCRAPE_HEAD_MAX, SCRAPE_WITHIN, SCRAPES};
use crate::metrics::Format;
use crate::supervisor::{Input, Inputs};

/// An address that only this host reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loopback(SocketAddr);

impl Loopback {
    /// The address.
    pub fn socket_addr(self) -> SocketAddr {
        self.0
    }
}

/// Why an address is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotLoopback {
    /// No address with a port.
    #[error("give an address and a port: 127.0.0.1:PORT or [::1]:PORT")]
    NoAddress,
    /// Others could reach it.
    #[error(
        "other machines could reach {0}, and metrics are for this host alone: use 127.0.0.1:PORT or [::1]:PORT, and a \
         reverse proxy that authenticates where a monitor is elsewhere"
    )]
    Elsewhere(IpAddr),
}

impl FromStr for Loopback {
    type Err = NotLoopback;

    fn from_str(text: &str) -> Result<Self, NotLoopback> {
        let address: SocketAddr = text.parse().map_err(|_| NotLoopback::NoAddress)?;
        if !address.ip().is_loopback() {
            return Err(NotLoopback::Elsewhere(address.ip()));
        }
        Ok(Self(address))
    }
}

/// Places for monitors at one listener. Each has its own: any user of the host reaches the port, and takes nothing from
/// who may use the socket.
pub(crate) struct Scrapes {
    places: Arc<Semaphore>,
    inputs: Inputs,
}

impl Scrapes {
    pub(crate) fn new(inputs: Inputs) -> Self {
        let places = Arc::new(Semaphore::new(SCRAPES));
        Self { places, inputs }
    }

    /// Accepts on a Unix socket until the node ends.
    pub(crate) async fn unix(self, listener: UnixListener) {
        loop {
            match listener.accept().await {
                Ok((monitor, _)) => self.take(monitor, false),
                Err(error) => pause(&error).await,
            }
        }
    }

    /// Accepts on a port of the loopback until the node ends.
    pub(crate) async fn tcp(self, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((monitor, _)) => self.take(monitor, true),
                Err(error) => pause(&error).await,
            }
        }
    }

    /// `named`: a browser may be made to come here under another site's name; then it has to give ours.
    fn take<S>(&self, monitor: S, named: bool)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // None free: closed at once.
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return;
        };
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            // A monitor that hangs up, or is too slow, asks again.
            let _ = timeout(SCRAPE_WITHIN, converse(monitor, named, inputs)).await;
            drop(place);
        });
    }
}

async fn pause(error: &io::Error) {
    crate::say::warn(&format!(
        "the metrics cannot take a connection: {error}; the next is taken in 200 ms"
    ));
    tokio::time::sleep(Duration::from_millis(200)).await;
}

async fn converse<S>(mut monitor: S, named: bool, inputs: Inputs) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let answer = match read(&mut monitor, named).await? {
        None => return Ok(()),
        Some(Asked::Metrics(format)) => page(format, &inputs).await,
        Some(Asked::Wrongly(status)) => plain(status),
    };
    monitor.write_all(&answer).await?;
    monitor.shutdown().await?;
    // What still comes would otherwise reset the connection, and the answer with it.
    let mut rest = [0; 1024];
    let mut left = SCRAPE_HEAD_MAX;
    while left > 0 {
        match monitor.read(&mut rest).await? {
            0 => break,
            count => left = left.saturating_sub(count),
        }
    }
    Ok(())
}

pub(crate) enum Asked {
    Metrics(Format),
    Wrongly(&'static str),
}

const BAD_REQUEST: &str = "400 Bad Request";
const NOT_FOUND: &str = "404 Not Found";
const METHOD_NOT_ALLOWED: &str = "405 Method Not Allowed";
const MISDIRECTED: &str = "421 Misdirected Request";
const HEAD_TOO_LONG: &str = "431 Request Header Fields Too Large";
const UNAVAILABLE: &str = "503 Service Unavailable";

/// Reads one request head. `None`: the monitor left before it was whole.
pub(crate) async fn read<S: AsyncRead + Unpin>(
    monitor: &mut S,
    named: bool,
) -> io::Result<Option<Asked>> {
    let mut head = Vec::new();
    let mut scanner = Scanner::new();
    loop {
        if head.len() >= SCRAPE_HEAD_MAX {
            return Ok(Some(Asked::Wrongly(HEAD_TOO_LONG)));
        }
        let mut window = (&mut *monitor).take((SCRAPE_HEAD_MAX - head.len()) as u64);
        if window.read_buf(&mut head).await? == 0 {
            return Ok(None);
        }
        match scanner.find(&head) {
            Ok(None) => {}
            Err(_) => return Ok(Some(Asked::Wrongly(BAD_REQUEST))),
            Ok(Some(scanned)) => {
                let Ok(request) = parse_request(scanned) else {
                    return Ok(Some(Asked::Wrongly(BAD_REQUEST)));
                };
                return Ok(Some(match (request.method, request.path) {
                    _ if named && !names_loopback(request.authority) => Asked::Wrongly(MISDIRECTED),
                    (_, path) if path != b"/metrics" => Asked::Wrongly(NOT_FOUND),
                    ("GET", _) => {
                        let open = request.fields.iter().any(|field| {
                            let value = String::from_utf8_lossy(field.value);
                            field.is("accept") && value.contains("application/openmetrics-text")
                        });
                        Asked::Metrics(match open {
                            true => Format::OpenMetrics,
                            false => Format::Prometheus,
                        })
                    }
                    _ => Asked::Wrongly(METHOD_NOT_ALLOWED),
                }));
            }
        }
    }
}

/// Whether a `Host` is this host's loopback, by address or as `localhost`.
fn names_loopback(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

async fn page(format: Format, inputs: &Inputs) -> Vec<u8> {
    let (answer, answered) = oneshot::channel();
    inputs.send(Input::Metrics(answer)).await;
    let page = answered.await.map(|readings| readings.page(format));
    match page {
        Ok(Ok(page)) => respond("200 OK", format.content_type(), "", &page),
        // The node is on its way out.
        Ok(Err(_)) | Err(_) => plain(UNAVAILABLE),
    }
}

fn plain(status: &str) -> Vec<u8> {
    let allow = match status {
        METHOD_NOT_ALLOWED => "Allow: GET\r\n",
        _ => "",
    };
    let text = format!("{status}; ask GET /metrics\n");
    respond(status, "text/plain; charset=utf-8", allow, &text)
}

fn respond(status: &str, content_type: &str, more: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n{more}Cache-Control: no-store\r\n\
         X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_loopback_is_taken() {
        for good in ["127.0.0.1:9464", "127.9.9.9:1", "[::1]:9464"] {
            assert_eq!(
                good.parse::<Loopback>().unwrap().socket_addr().to_string(),
                good
            );
        }
        for elsewhere in [
            "0.0.0.0:9464",
            "[::]:9464",
            "10.0.0.1:9464",
            "[::ffff:127.0.0.1]:9464",
            "128.0.0.1:9464",
        ] {
            let refused = elsewhere.parse::<Loopback>().unwrap_err();
            assert!(
                matches!(refused, NotLoopback::Elsewhere(_)),
                "{elsewhere}: {refused}"
            );
        }
        for nothing in ["9464", "localhost:9464", "127.0.0.1", ""] {
            assert_eq!(nothing.parse::<Loopback>(), Err(NotLoopback::NoAddress));
        }
    }

    #[test]
    fn a_site_that_points_its_name_here_is_told_apart() {
        for good in [
            "127.0.0.1:9464",
            "localhost",
            "LOCALHOST:1",
            "[::1]:9464",
            "[::1]",
        ] {
            assert!(names_loopback(good), "{good}");
        }
        for bad in ["example.org:9464", "10.0.0.1", "127.0.0.1.example.org", ""] {
            assert!(!names_loopback(bad), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_head_of_a_request_is_as_long_as_it_may_be_and_no_longer() {
        let head = |bytes: usize| {
            let frame = "GET /metrics HTTP/1.1\r\nHost: h\r\nA: \r\n\r\n".len();
            let value = "a".repeat(bytes - frame);
            format!("GET /metrics HTTP/1.1\r\nHost: h\r\nA: {value}\r\n\r\n")
        };
        let most = read(&mut head(8 * 1024).as_bytes(), false).await.unwrap();
        assert!(matches!(most, Some(Asked::Metrics(_))));
        let longer = read(&mut head(8 * 1024 + 1).as_bytes(), false).await;
        let Some(Asked::Wrongly(status)) = longer.unwrap() else {
            panic!("it was taken");
        };
        assert_eq!(status, HEAD_TOO_LONG);
    }
}
