//! The ClientHello, beside rustls's own reader of it, and what decides whether there is another one.

use std::io::Cursor;

use ringfence_wire::tls::{Behind, ClientHello, Refusal, asks_again, behind_hello, read_hello};
use rustls::server::Acceptor;

use crate::cuts::cuts;
use crate::target::Target;

pub(crate) const TARGET: Target = Target {
    name: "tls_hello",
    holds: "a ClientHello says the same in whatever pieces it arrives, as does the answer to it, and where rustls finds a server name in it, it is ours",
    length_max: 4096,
    run,
};

fn read(
    bytes: &[u8],
    cuts: impl IntoIterator<Item = usize>,
) -> Result<Option<ClientHello>, Refusal> {
    for end in cuts {
        let read = read_hello(&bytes[..end])?;
        if read.is_some() {
            return Ok(read);
        }
    }
    Ok(None)
}

/// Bytes of an answer that are looked at one by one.
const ANSWER: usize = 512;

fn answers(bytes: &[u8]) {
    let mut told = None;
    for end in 0..=bytes.len().min(ANSWER) {
        let now = asks_again(&bytes[..end]);
        assert!(
            told.is_none() || now == told,
            "the answer says something else later"
        );
        told = now;
    }
    match behind_hello(bytes) {
        Ok(Behind::Record(length)) => {
            let whole = usize::from(u16::from_be_bytes([bytes[3], bytes[4]]));
            assert!(length == 5 + whole && length <= bytes.len() && bytes[0] != 22);
        }
        Ok(Behind::Handshake) => assert!(!matches!(bytes[0], 20 | 21 | 23)),
        Ok(Behind::Part) | Err(_) => {}
    }
}

fn run(bytes: &[u8]) {
    answers(bytes);
    let whole = read_hello(bytes);
    for cuts in cuts(bytes) {
        assert_eq!(read(bytes, cuts), whole, "cut differently");
    }
    let Ok(Some(hello)) = whole else {
        return;
    };
    let name = &hello.server_name;
    assert!(hello.consumed <= bytes.len());
    assert!(
        !name.is_empty() && !name.ends_with('.') && !name.bytes().any(|b| b.is_ascii_uppercase())
    );
    // Exactly what is ours is what a server needs: given that, it must not wait for more, and not find another name.
    let mut acceptor = Acceptor::default();
    let mut input = Cursor::new(&bytes[..hello.consumed]);
    while input.position() < hello.consumed as u64 {
        if acceptor.read_tls(&mut input).is_err() {
            return;
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                let theirs = accepted
                    .client_hello()
                    .server_name()
                    .map(str::to_ascii_lowercase);
                assert_eq!(
                    theirs.as_deref(),
                    Some(name.as_str()),
                    "rustls found another name"
                );
                return;
            }
            Ok(None) => {}
            // It asks for more than a name: a group, a scheme, a suite that it knows.
            Err(_) => return,
        }
    }
    panic!("rustls waits for more");
}
