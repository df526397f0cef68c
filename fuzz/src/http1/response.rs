//! Response heads.

use ringfence_wire::http1::{Backward, Framing, Read, Refusal, Version, read_response};

use crate::target::Target;

pub(crate) const TARGET: Target = Target {
    name: "http1_response",
    holds: "a response head that is passed on is read again as what it was understood to be, by clients of either version",
    length_max: 4096,
    run,
};

fn run(bytes: &[u8]) {
    for to_head in [false, true] {
        let Ok(Read::Complete { head, consumed }) = read_response(bytes, to_head) else {
            continue;
        };
        assert!((100..1000).contains(&head.status));
        assert!(consumed <= bytes.len());
        if to_head || head.is_interim() || matches!(head.status, 204 | 304) {
            assert_eq!(head.framing, Framing::None, "a body where none can be");
        }
        if head.framing == Framing::UntilClose {
            assert!(!head.keep_alive);
        }
        for version in [Version::Http10, Version::Http11] {
            for close in [false, true] {
                let mut out = Vec::new();
                head.write(Backward { version, close }, &mut out);
                let again = match read_response(&out, to_head) {
                    Ok(Read::Complete { head, consumed }) => {
                        assert_eq!(consumed, out.len());
                        head
                    }
                    Err(Refusal::HeadTooLong | Refusal::TooManyFields) => continue,
                    other => panic!("what is passed on is {other:?}: {}", out.escape_ascii()),
                };
                let framing = head.framing_for(version);
                assert_eq!((again.status, again.reason), (head.status, head.reason));
                assert_eq!((again.framing, again.described), (framing, head.described));
                assert!(version == Version::Http11 || framing != Framing::Chunked);
                if close && !head.is_interim() {
                    assert!(!again.keep_alive);
                }
                let mut rewritten = Vec::new();
                again.write(Backward { version, close }, &mut rewritten);
                assert_eq!(rewritten, out, "written again, it is another");
            }
        }
    }
}
