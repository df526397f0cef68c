//! A decision allocates nothing, and neither do the look-ups on its way.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::hint::black_box;

use common::*;
use ringfence_model::{CanonicalPath, OriginalDst};
use ringfence_policy::{Operation, batch};

#[test]
fn decisions_and_lookups_allocate_nothing() {
    let snapshot = compile(
        "kind: Service\nmetadata: {name: api}\nspec: {protocol: http, port: 80, receive: [{agent: a, operations: ['GET /**', 'PUT /x']}]}\n---\n\
         kind: Service\nmetadata: {name: raw}\nspec: {protocol: tcp, port: 81}\n---\n\
         kind: Agent\nmetadata: {name: a}\n---\n\
         kind: Policy\nmetadata: {name: a}\nspec: {agent: a, initiate: [{service: api, operations: ['GET /a/*/c/**', 'GET /a/b/d', '* /x']}, {service: raw, operations: [connect]}]}\n",
    );
    let (a, api, raw) = (
        snapshot.find("a").unwrap(),
        snapshot.find("api").unwrap(),
        snapshot.find("raw").unwrap(),
    );
    let paths: Vec<CanonicalPath> = ["/a/b/c/d/e", "/a/b/d", "/x", "/nowhere", "/a/b/c"]
        .iter()
        .map(|path| CanonicalPath::new(path.as_bytes(), Default::default()).unwrap())
        .collect();
    let (now, v4) = (now(), snapshot.workload(api).address.v4);
    let authority = format!("{v4}:80");
    let mut allowed = 0;
    let counted = allocation_counter::measure(|| {
        for path in &paths {
            for method in ["GET", "PUT", "DELETE"] {
                for (from, to) in [(a, api), (api, a), (a, raw)] {
                    let verdict =
                        snapshot.decide(from, to, Operation::Http { method, path }, &moment(now));
                    allowed += u32::from(black_box(&verdict).is_allowed());
                    black_box(snapshot.rule(&verdict, to));
                }
            }
        }
        for (from, to) in [(a, api), (a, raw), (raw, a)] {
            black_box(snapshot.may_meet(from, to, now));
            black_box(snapshot.decide(from, to, Operation::Connect, &moment(now)));
        }
        black_box(snapshot.route(OriginalDst::new((v4, 80).into())));
        black_box(snapshot.resolve("API.Ringfence.Internal."));
        black_box(snapshot.authority_names(api, "API.Ringfence.Internal:80"));
        black_box(snapshot.authority_names(api, &authority));
    });
    assert_eq!(allowed, 5, "the questions are not all of one kind");
    assert_eq!(counted.count_total, 0, "{counted:?}");
    // The counter does count.
    let counted = allocation_counter::measure(|| {
        drop(black_box(snapshot.explain(a, api, None, &moment(now))))
    });
    assert!(counted.count_total > 0);
}

/// What a context costs is paid by those who supply one: a line without allocates for its answer's words alone.
#[test]
fn a_question_without_context_pays_nothing_for_those_with_one() {
    /// A path, the words of the reason (grown as they are written), the place of the rule.
    const PER_LINE: u64 = 10;
    let snapshot = compile(
        "kind: Service\nmetadata: {name: api}\nspec: {protocol: http, port: 80}\n---\n\
         kind: Agent\nmetadata: {name: a}\n---\n\
         kind: Policy\nmetadata: {name: a}\nspec: {agent: a, initiate: [{service: api, operations: ['GET /a/*']}]}\n",
    );
    let count = |line: &str| {
        let measure = |lines: usize| {
            let input = line.repeat(lines);
            let counted = allocation_counter::measure(|| {
                batch(&snapshot, input.as_bytes(), std::io::sink()).unwrap();
            });
            counted.count_total
        };
        (measure(300) - measure(200)) / 100
    };
    let plain = count("{\"from\":\"a\",\"to\":\"api\",\"op\":\"GET /a/1\"}\n");
    let with =
        count("{\"from\":\"a\",\"to\":\"api\",\"op\":\"GET /a/1\",\"with\":{\"body\":{}}}\n");
    assert_eq!(plain, PER_LINE);
    assert!(with > plain, "{with}");
}
