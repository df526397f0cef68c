//! Hostile and broken bytes in, no panic; known packets in, known words out.

use std::time::{Duration, Instant};

use super::log::packet;
use super::{Message, NLMSG_ERROR, acknowledgements, attributes, parts, transact_within};

#[test]
fn reads_what_it_writes() {
    let message = Message::acknowledged(7, 0, &[1, 2, 3, 4])
        .put(5, b"abc")
        .nest(6, |inner| inner.put_be32(1, 9));
    let bytes: Vec<u8> = message.bytes().copied().collect();
    assert_eq!(bytes.len() % 4, 0);
    let part = parts(&bytes).next().unwrap();
    assert_eq!(part.kind, 7);
    let found: Vec<_> = attributes(&part.payload[4..]).collect();
    assert_eq!(found[0], (5, &b"abc"[..]));
    assert_eq!(found[1].0, 6);
    assert_eq!(
        attributes(found[1].1).next(),
        Some((1, &9_u32.to_be_bytes()[..]))
    );
}

#[test]
fn names_protocol_and_destination() {
    let mut v4 = vec![
        0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0, 0, 127, 0, 0, 1, 10, 0, 0, 1, 8, 0, 0, 0,
    ];
    let refused = packet(&v4).unwrap();
    assert_eq!(refused.protocol, "icmp");
    assert_eq!(refused.destination.to_string(), "10.0.0.1:0");
    v4[9] = 17;
    v4[22..24].copy_from_slice(&5353_u16.to_be_bytes());
    assert_eq!(packet(&v4).unwrap().destination.port(), 5353);

    // MLD: hop-by-hop options first, ICMPv6 behind.
    let mut v6 = vec![0x60, 0, 0, 0, 0, 16, 0, 1];
    v6.extend([0; 16]);
    v6.extend("ff02::16".parse::<std::net::Ipv6Addr>().unwrap().octets());
    v6.extend([58, 0, 5, 2, 0, 0, 1, 0, 143, 0, 0, 0, 0, 0, 0, 0]);
    let refused = packet(&v6).unwrap();
    assert_eq!(refused.protocol, "icmpv6");
    assert_eq!(refused.destination.to_string(), "[ff02::16]:0");
}

#[test]
fn broken_bytes_are_no_packet() {
    let whole = [
        0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 127, 0, 0, 1, 10, 0, 0, 1, 8, 0, 0, 9,
    ];
    for length in 0..20 {
        assert!(packet(&whole[..length]).is_none(), "{length}");
    }
    assert!(packet(&[0x95; 64]).is_none());
    for first in 0..=255_u8 {
        for length in 0..64 {
            let bytes = vec![first; length];
            let _ = packet(&bytes);
            assert!(parts(&bytes).count() < 64);
            assert!(attributes(&bytes).count() < 64);
        }
    }
}

/// Found by the fuzz target `netlink`.
#[test]
fn an_answer_is_an_acknowledgement_or_a_refusal_whatever_its_number() {
    let answer = |code: i32| {
        let message = Message::request(NLMSG_ERROR, 0, &code.to_ne_bytes());
        let bytes: Vec<u8> = message.bytes().copied().collect();
        acknowledgements(&bytes)
    };
    assert_eq!(answer(0).unwrap(), 1);
    assert_eq!(answer(-1).unwrap_err().raw_os_error(), Some(1));
    for odd in [i32::MIN, i32::MAX, 1] {
        assert!(answer(odd).is_err(), "{odd}");
    }
}

#[test]
fn an_answer_that_does_not_come_is_an_error_after_a_while() {
    // In the kernel's place somebody who says nothing.
    let (near, _far) = crate::channel::pair().unwrap();
    let (time, start) = (Duration::from_millis(80), Instant::now());
    let asked = Message::acknowledged(7, 0, &[1, 2, 3, 4]);
    let refused = transact_within(time, &near, &[asked]).unwrap_err();
    // The kernel counts in ticks.
    assert!(start.elapsed() >= time - Duration::from_millis(10));
    assert_eq!(refused.kind(), std::io::ErrorKind::TimedOut);
    assert!(refused.to_string().contains("within 80ms"), "{refused}");
}
