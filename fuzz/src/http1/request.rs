//! Request heads.

use ringfence_wire::http1::{
    Field, Framing, Onward, Read, Refusal, Scanner, Version, read_request, replace_authority,
};

use crate::cuts::cuts;
use crate::target::Target;

pub(crate) const TARGET: Target = Target {
    name: "http1_request",
    holds: "a request head is read alike in any pieces, and what is written says what was understood, and no more",
    length_max: 4096,
    run,
};

fn run(bytes: &[u8]) {
    let whole = found(bytes, [bytes.len()]);
    for cuts in cuts(bytes) {
        assert_eq!(found(bytes, cuts), whole, "cut differently");
    }
    let read = read_request(bytes);
    let (head, consumed) = match read {
        Ok(Read::Complete { head, consumed }) => (head, consumed),
        Ok(Read::Partial) => return assert_eq!(whole, Ok(None)),
        Err(refusal) => return assert!((400..600).contains(&refusal.status())),
    };
    assert_eq!(whole, Ok(Some(consumed)));
    // What follows a head changes nothing about it.
    assert_eq!(
        read_request(&bytes[..consumed]).ok(),
        Some(Read::Complete {
            head: head.clone(),
            consumed
        })
    );
    assert!(head.framing != Framing::UntilClose);
    assert!(head.version == Version::Http11 || !head.keep_alive);
    let plain = |text: &[u8]| text.iter().all(|&b| b > 0x20 && b != 0x7f && b != b'#');
    assert!(plain(head.path) && head.path.starts_with(b"/") && !head.path.contains(&b'?'));
    assert!(head.query.is_none_or(plain));
    assert!(!head.method.bytes().any(|b| b.is_ascii_lowercase()));

    // The path is somebody else's care: here it is one that goes through.
    let path = std::str::from_utf8(head.path).unwrap_or("/");
    let onward = Onward {
        path,
        authority: head.authority,
        client_cert: "By=us",
    };
    let mut out = Vec::new();
    match head.write(onward, &mut out) {
        Ok(()) => {}
        Err(refusal) => {
            assert_eq!(refusal, Refusal::Insertion);
            assert!(out.is_empty(), "a refused head left bytes");
            assert!(!path.is_ascii(), "a plain path is refused");
            return;
        }
    }
    let again = match read_request(&out) {
        Ok(Read::Complete { head, consumed }) => {
            assert_eq!(consumed, out.len());
            head
        }
        // What we add ourselves may cross a bound that the sender's own fields had kept.
        Err(Refusal::HeadTooLong | Refusal::TooManyFields) => return,
        other => panic!("what is sent on is {other:?}: {}", out.escape_ascii()),
    };
    assert_eq!((again.method, again.path), (head.method, path.as_bytes()));
    assert_eq!((again.query, again.framing), (head.query, head.framing));
    assert_eq!(again.authority, head.authority);
    assert_eq!(again.expect_continue, head.expect_continue);
    assert!(again.onward().eq(head.onward()), "other fields are sent on");
    assert_eq!(again.keep_alive, !head.framing.has_body());
    assert_eq!(
        again.websocket, head.websocket,
        "another WebSocket is asked for"
    );
    one_of_each(&out, head.websocket.is_some());

    let mut rewritten = Vec::new();
    again.write(onward, &mut rewritten).unwrap();
    assert_eq!(rewritten, out, "written again, it is another");

    let mut elsewhere = out.clone();
    replace_authority(&mut elsewhere, "elsewhere:8080").unwrap();
    let Ok(Read::Complete { head: moved, .. }) = read_request(&elsewhere) else {
        panic!("unreadable under another authority");
    };
    assert_eq!(moved.authority, "elsewhere:8080");
    assert!(moved.onward().eq(again.onward()));
}

fn found(bytes: &[u8], cuts: impl IntoIterator<Item = usize>) -> Result<Option<usize>, Refusal> {
    let mut scanner = Scanner::new();
    let mut found = None;
    for end in cuts {
        found = scanner.find(&bytes[..end])?;
        if found.is_some() {
            break;
        }
    }
    Ok(found.map(|scanned| scanned.len()))
}

/// What frames, routes and names the caller stands once, however the sender spelled its own.
fn one_of_each(head: &[u8], upgrades: bool) {
    let names: Vec<String> = head
        .split(|&b| b == b'\n')
        .skip(1)
        .filter_map(|line| line.split(|&b| b == b':').next())
        .map(|name| {
            let name = String::from_utf8_lossy(name).to_ascii_lowercase();
            name.replace(|c: char| !c.is_ascii_alphanumeric(), "-")
        })
        .collect();
    let count = |name: &str| names.iter().filter(|n| *n == name).count();
    assert_eq!(count("host"), 1);
    assert_eq!(count("x-forwarded-client-cert"), 1);
    assert!(count("content-length") + count("transfer-encoding") <= 1);
    assert!(count("connection") <= 1 && count("expect") <= 1);
    for gone in ["keep-alive", "te", "upgrade", "http2-settings"] {
        // Exactly so: `te.` is not `te`, for anybody.
        let sent = head.split(|&b| b == b'\n').any(|line| {
            line.get(..=gone.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(format!("{gone}:").as_bytes()))
        });
        assert_eq!(sent, upgrades && gone == "upgrade", "{gone}");
    }
}

/// A field as peers are compared by it: name in lower case, value.
pub(super) fn plain_field(field: &Field<'_>) -> (Vec<u8>, Vec<u8>) {
    (
        field.name.to_ascii_lowercase().into_bytes(),
        field.value.to_vec(),
    )
}
