//! The resolver says where those are whom policy names for the asker. Others it does not know, however the name is
//! written, and whatever kind of record is asked for.

use std::net::SocketAddr;

use crate::escape::dns;

use crate::escape::net;
use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "names-of-others",
    tries: "the neighbour's name in every spelling, type and class",
    wall: "doors",
    control: Control::Caller,
    record: Record::DeniedEach(&["resolve A vault", "192.0.2.1:7007"]),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let resolver = SocketAddr::from(([198, 18, 0, 53], 53));
    let names: [&[&str]; 6] = [
        &["vault"],
        &["VaUlT"],
        &["vault", "ringfence", "internal"],
        &["VAULT", "RINGFENCE", "INTERNAL"],
        &["echo", "vault"],
        // Backwards: the first virtual address is the one of the service that may be used, the next the neighbour's.
        &["2", "0", "64", "100", "in-addr", "arpa"],
    ];
    // A, NS, CNAME, PTR, TXT, AAAA, SRV, HTTPS, AXFR, ANY.
    let kinds = [1, 2, 5, 12, 16, 28, 33, 65, 252, 255];
    let all = names
        .into_iter()
        .flat_map(|name| kinds.map(|kind| (name, kind)));
    let tried = all.map(|(name, kind)| {
        let answer = net::udp(resolver.ip()).and_then(|socket| {
            socket.send(Some(resolver), &dns::query(name, kind), 0, &[])?;
            socket.hear_bytes()
        });
        let found = answer.and_then(|answer| dns::records(&answer));
        (
            format!("{} type {kind}", name.join(".")),
            Verdict::of(found),
        )
    });
    let first = tried.take(if is_outside(resolver) { 0 } else { usize::MAX });
    // Outside there is no such resolver: the canary hears the question.
    let asked = net::udp(ground.v4).and_then(|socket| socket.ask(ground.canary(ground.v4)));
    Verdict::any(first.chain([("the canary".to_owned(), Verdict::of(asked))]))
}

/// Whether nobody answers at the resolver's address, as outside.
fn is_outside(resolver: SocketAddr) -> bool {
    let asked = net::udp(resolver.ip()).and_then(|socket| {
        socket.send(Some(resolver), &dns::query(&["echo"], 1), 0, &[])?;
        socket.hear_bytes()
    });
    asked.is_err()
}
