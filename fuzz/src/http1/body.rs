//! Bodies, in every framing.

use ringfence_wire::http1::{Framing, Read, Refusal, read_request};

use super::{Body, read_body, rechunked};
use crate::cuts::cuts;
use crate::target::Target;

pub(crate) const TARGET: Target = Target {
    name: "http1_body",
    holds: "a body is the same in whatever pieces it arrives, and after it was sent on in chunks; a cut one never looks whole",
    length_max: 4096,
    run,
};

fn run(bytes: &[u8]) {
    let length = bytes.len() as u64;
    for framing in [
        Framing::Chunked,
        Framing::UntilClose,
        Framing::None,
        Framing::Length(length / 2),
        Framing::Length(length),
        Framing::Length(length + 1),
    ] {
        let whole = read_body(framing, bytes, []);
        for cuts in cuts(bytes) {
            assert_eq!(read_body(framing, bytes, cuts), whole, "cut differently");
        }
        let Ok(body) = whole else { continue };
        assert!(body.data.len() <= bytes.len());
        let mut reader = ringfence_wire::http1::BodyReader::new(framing);
        let mut rest = bytes;
        while let Ok(ringfence_wire::http1::Step::Data(_)) = reader.next(&mut rest) {}
        let ends_well = reader.end_of_input();
        match framing {
            Framing::UntilClose => assert_eq!(ends_well, Ok(())),
            _ if body.length.is_some() => assert_eq!(ends_well, Ok(())),
            _ => assert_eq!(
                ends_well,
                Err(Refusal::Truncated),
                "a cut body passes for a whole one"
            ),
        }
        if body.length.is_some() {
            sent_on(&body);
        }
    }
}

fn sent_on(body: &Body) {
    let out = rechunked(body);
    let again = read_body(Framing::Chunked, &out, []).expect("our own chunks are read");
    assert_eq!((&again.data, &again.trailers), (&body.data, &body.trailers));
    assert_eq!(again.length, Some(out.len()));
    // A receiver that merges trailers into the head must not be told how long or whose the message is.
    let mut head = b"GET / HTTP/1.1\r\nhost: h\r\n".to_vec();
    head.extend_from_slice(&body.trailers);
    head.extend_from_slice(b"\r\n");
    let head = match read_request(&head) {
        Ok(Read::Complete { head, .. }) => head,
        // Of trailers alone nobody makes a request; where policy looked at fields, none go on at all.
        Err(Refusal::TooManyFields | Refusal::TwoSpellings) => return,
        _ => panic!("trailers spoil a head: {}", body.trailers.escape_ascii()),
    };
    assert_eq!(
        (head.authority, head.framing, head.keep_alive),
        ("h", Framing::None, true)
    );
    assert!(!head.expect_continue);
}
