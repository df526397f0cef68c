//! What these tests seal.
#![allow(dead_code, reason = "not every test needs everything")]

use prost::Message;
use ringfence_model::flow::Flow;

/// Chance that is the same each time (SplitMix64).
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ mixed >> 31) % bound as u64) as usize
    }
}

/// Records of every kind, as this version writes them.
pub(crate) fn flows(count: usize) -> Vec<Flow> {
    let mut chance = Chance(7);
    (0..count)
        .map(|number| {
            let kind = [1, 2, 2, 2, 3, 4, 5][chance.below(7)];
            let denied = chance.below(9) == 0;
            Flow {
                schema: 1,
                time_ns: 1_790_000_000_000_000_000
                    + 1_000_000 * number as u64
                    + chance.below(900_000) as u64,
                node: "node-1".into(),
                side: if kind == 5 { 0 } else { 3 },
                kind,
                connection: if kind < 4 {
                    format!("0f1e2d3c4b5a6978-{}", number / 4)
                } else {
                    String::new()
                },
                count: if denied {
                    1 + chance.below(40) as u64
                } else {
                    1
                },
                source: format!("agent-{}", chance.below(5)),
                source_instance: format!("agent-{}/1", number % 5),
                destination: if denied {
                    String::new()
                } else {
                    format!("service-{}", chance.below(3))
                },
                destination_instance: if kind == 2 {
                    "service-1/4".into()
                } else {
                    String::new()
                },
                original_destination: format!("100.64.0.{}:8080", chance.below(20)),
                protocol: ["http", "tcp", "dns"][chance.below(3)].into(),
                operation: format!("GET /bücher/{}", chance.below(200)),
                outcome: if denied { 2 } else { 1 },
                reason: if denied {
                    "no policy names it; \"nearest\": none\n".into()
                } else {
                    String::new()
                },
                rule: format!("policy.yaml:{}", chance.below(30)),
                generation: chance.below(4) as u64,
                mode: "enforce".into(),
                task: String::new(),
                purpose: "answers customers' questions".into(),
                bytes_sent: if kind == 3 {
                    chance.below(1 << 30) as u64
                } else {
                    0
                },
                bytes_received: if kind == 3 {
                    chance.below(5000) as u64
                } else {
                    0
                },
                duration_ns: if kind == 3 {
                    chance.below(1 << 40) as u64
                } else {
                    0
                },
                last_time_ns: if number % 7 == 0 {
                    1_790_000_001_000_000_000 + number as u64
                } else {
                    0
                },
                fields: if kind == 2 {
                    format!(
                        "query.page={} header.cookie~{:032x}",
                        number % 9,
                        number * 7
                    )
                } else {
                    String::new()
                },
                fields_key: if kind == 2 { 400 } else { 0 },
            }
        })
        .collect()
}

/// Leaves of every kind, also such as no version of ours writes.
pub(crate) fn mixed(count: usize) -> Vec<Vec<u8>> {
    let mut chance = Chance(3);
    flows(count)
        .into_iter()
        .map(|flow| {
            let mut leaf = flow.encode_to_vec();
            match chance.below(20) {
                0 => prost::encoding::uint64::encode(77, &3, &mut leaf),
                1 => leaf.extend([0x38, 0]),
                2 => {
                    leaf = {
                        let length = chance.below(30);
                        (0..length).map(|_| chance.below(256) as u8).collect()
                    }
                }
                _ => {}
            }
            leaf
        })
        .collect()
}
