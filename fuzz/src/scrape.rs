//! Monitors, or who says to be one.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use ringfence_node::fuzz::scrape;
use tokio::io::{AsyncRead, ReadBuf};

use crate::cuts::cuts;
use crate::target::Target;

pub(crate) const TARGET: Target = Target {
    name: "scrape",
    holds: "a monitor's request is answered alike in whatever pieces it arrives, and not at all under a name that is not this host's",
    length_max: 2048,
    run,
};

/// Brings bytes in pieces, then nothing more.
struct Pieces<'a> {
    bytes: &'a [u8],
    at: usize,
    cuts: std::vec::IntoIter<usize>,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let at = self.at;
        let length = self.bytes.len();
        let end = self.cuts.find(|&end| end > at).unwrap_or(length);
        let count = (end - at).min(into.remaining());
        into.put_slice(&self.bytes[at..at + count]);
        self.at += count;
        Poll::Ready(Ok(()))
    }
}

fn asked(bytes: &[u8], cuts: Vec<usize>, named: bool) -> Option<&'static str> {
    let pieces = Pieces {
        bytes,
        at: 0,
        cuts: cuts.into_iter(),
    };
    let mut reading = pin!(scrape(pieces, named));
    match reading
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(asked) => asked.expect("memory does not fail"),
        Poll::Pending => panic!("it waits, though all is there"),
    }
}

fn run(bytes: &[u8]) {
    for named in [false, true] {
        let whole = asked(bytes, Vec::new(), named);
        for cuts in cuts(bytes) {
            assert_eq!(asked(bytes, cuts, named), whole, "cut differently");
        }
        if whole == Some("metrics") {
            assert!(bytes.starts_with(b"GET "));
            assert_eq!(asked(bytes, Vec::new(), false), whole);
            if named {
                let text = bytes.to_ascii_lowercase();
                let loopback = [&b"127."[..], b"localhost", b"::1", b"0:1", b"[::"];
                let has = |word: &&[u8]| text.windows(word.len()).any(|w| w == *word);
                assert!(loopback.iter().any(has), "another site's name");
            }
        }
    }
}
