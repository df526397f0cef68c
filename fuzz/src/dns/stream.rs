//! DNS over a stream.

use ringfence_wire::dns::{Next, QUERY_MAX, next_message, write_framed};

use crate::cuts::cuts;
use crate::target::Target;

pub(crate) const TARGET: Target = Target {
    name: "dns_stream",
    holds: "a stream gives the same messages in whatever pieces it arrives, and none that is longer than the bound",
    length_max: 8192,
    run,
};

/// The messages, and whether the stream is to be closed.
fn messages(bytes: &[u8], cuts: impl IntoIterator<Item = usize>) -> (Vec<Vec<u8>>, bool) {
    let mut messages = Vec::new();
    let mut start = 0;
    for end in cuts {
        loop {
            match next_message(&bytes[start..end]) {
                Next::Partial => break,
                Next::Oversized => return (messages, true),
                Next::Message { message, consumed } => {
                    assert_eq!(consumed, message.len() + 2);
                    assert!((1..=QUERY_MAX).contains(&message.len()));
                    messages.push(message.to_vec());
                    start += consumed;
                }
            }
        }
    }
    (messages, false)
}

fn run(bytes: &[u8]) {
    let whole = messages(bytes, [bytes.len()]);
    for cuts in cuts(bytes) {
        assert_eq!(messages(bytes, cuts), whole, "cut differently");
    }
    let mut out = Vec::new();
    for message in &whole.0 {
        assert!(write_framed(message, &mut out));
    }
    assert!(bytes.starts_with(&out), "framed again, they are others");
}
