//! Frames of either side, and the messages in them.

use ringfence_wire::http2::hpack::{Decoder, Encoder};
use ringfence_wire::http2::{
    Block, Frame, HeaderList, Onward, Refusal, Violation, limits, read_frame, read_request,
    read_response, read_trailers,
};

use crate::cuts::cuts;
use crate::target::Target;

pub(crate) const TARGET: Target = Target {
    name: "http2_frames",
    holds: "frames are read alike in any pieces; a message that is passed on is read again as what it was understood to be, and holds nothing that is refused or ends here",
    length_max: 4096,
    run,
};

fn run(bytes: &[u8]) {
    let whole = frames(bytes, [bytes.len()]);
    for cuts in cuts(bytes) {
        assert_eq!(frames(bytes, cuts), whole, "cut differently");
    }
    let mut decoder = Decoder::default();
    let mut block: Option<Block> = None;
    let mut rest = bytes;
    while let Ok(Some((frame, length))) = read_frame(rest) {
        rest = &rest[length..];
        let decoded = match (block.take(), frame) {
            (
                None,
                Frame::Headers {
                    stream,
                    fragment,
                    end,
                    whole,
                },
            ) => {
                let begun = Block::begin(stream, end, fragment);
                if !whole {
                    block = Some(begun);
                    continue;
                }
                begun
            }
            (
                Some(mut begun),
                Frame::Continuation {
                    stream,
                    fragment,
                    whole,
                },
            ) => {
                if begun.extend(stream, fragment).is_err() {
                    return;
                }
                if !whole {
                    block = Some(begun);
                    continue;
                }
                begun
            }
            (Some(_), _) => return,
            (None, Frame::Data { data, weight, .. }) => {
                assert!(data.len() <= weight as usize);
                continue;
            }
            (None, _) => continue,
        };
        let mut list = HeaderList::default();
        if decoder.decode(decoded.bytes(), &mut list).is_err() {
            return;
        }
        messages(&mut list, decoded.end);
    }
}

/// What the frames are, by their words, and how it ends.
fn frames(bytes: &[u8], cuts: impl IntoIterator<Item = usize>) -> (Vec<String>, Option<Violation>) {
    let mut found = Vec::new();
    let mut at = 0;
    for end in cuts.into_iter().chain([bytes.len()]) {
        let Some(here) = bytes.get(..end) else {
            continue;
        };
        loop {
            match read_frame(here.get(at..).unwrap_or_default()) {
                Ok(None) => break,
                Ok(Some((frame, length))) => {
                    assert!((9..=9 + limits::FRAME_MAX).contains(&length));
                    found.push(format!("{frame:?}"));
                    at += length;
                }
                Err(violation) => return (found, Some(violation)),
            }
        }
    }
    (found, None)
}

fn messages(list: &mut HeaderList, end: bool) {
    if let Ok(trailers) = read_trailers(list) {
        let mut out = Vec::new();
        trailers.write(&mut out);
        let mut again = HeaderList::default();
        Decoder::default().decode(&out, &mut again).unwrap();
        assert_eq!(read_trailers(&again), Ok(trailers));
    }
    for to_head in [false, true] {
        let Ok(head) = read_response(list, to_head, end) else {
            continue;
        };
        let mut out = Vec::new();
        head.write(&mut out);
        let mut again = HeaderList::default();
        Decoder::default().decode(&out, &mut again).unwrap();
        match read_response(&again, to_head, end) {
            Ok(read) => {
                assert_eq!((read.status, read.length), (head.status, head.length));
                let mut rewritten = Vec::new();
                read.write(&mut rewritten);
                assert_eq!(rewritten, out, "written again, it is another");
            }
            other => panic!("what is passed on is {other:?}"),
        }
    }
    request(list, end);
}

fn request(list: &mut HeaderList, end: bool) {
    let Ok(head) = read_request(list, end) else {
        return;
    };
    assert!(head.path.starts_with(b"/") && !head.path.contains(&b'?'));
    assert!(!head.method.bytes().any(|b| b.is_ascii_lowercase()));
    let path = std::str::from_utf8(head.path).unwrap_or("/");
    let onward = Onward {
        scheme: "http",
        path,
        authority: head.authority,
        client_cert: "By=us",
        expect_continue: head.expect_continue,
    };
    let mut out = Encoder::default().begin().to_vec();
    let begun = out.len();
    match head.write(onward, &mut out) {
        Ok(()) => {}
        Err(refusal) => {
            assert_eq!(out.len(), begun, "a refused head left bytes");
            let of_bounds = refusal.status() == Some(431);
            assert!(
                of_bounds || !path.bytes().all(|b| (0x21..0x7f).contains(&b)),
                "{refusal}"
            );
            return;
        }
    }
    let mut again = HeaderList::default();
    Decoder::default().decode(&out, &mut again).unwrap();
    let ours: Vec<_> = again
        .pairs()
        .filter(|(name, _)| *name == b"x-forwarded-client-cert")
        .map(|(_, value)| value.to_vec())
        .collect();
    assert_eq!(ours, [b"By=us".to_vec()], "the caller is named once, by us");
    let read = match read_request(&mut again, end) {
        Ok(read) => read,
        // Ours count as well.
        Err(Refusal::ListTooLong) => return,
        Err(refusal) => panic!("what is sent on is refused: {refusal}"),
    };
    assert_eq!(
        (
            read.method,
            read.path,
            read.query,
            read.authority,
            read.length,
            read.expect_continue
        ),
        (
            head.method,
            path.as_bytes(),
            head.query,
            head.authority,
            head.length,
            head.expect_continue
        )
    );
    let kept = |fields: &[ringfence_wire::http1::Field<'_>]| -> Vec<(String, Vec<u8>)> {
        fields
            .iter()
            .filter(|field| !matches!(field.name, "content-length" | "expect"))
            .map(|field| (field.name.to_owned(), field.value.to_vec()))
            .collect()
    };
    assert_eq!(
        kept(read.fields()),
        kept(head.fields()),
        "other fields go on than were judged"
    );
}
