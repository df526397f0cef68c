//! The compiled decision against one written independently: a scan over all rules as texts.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{moment, now, try_compile};
use jiff::Timestamp;
use proptest::prelude::*;
use ringfence_model::path::Allowances;
use ringfence_model::resource::{
    Agent, Endpoint, EndpointHost, Entry, Exemption, Filesystem, OperationPattern, Policy, Serves,
    Service,
};
use ringfence_model::{CanonicalPath, Estate, Kind, Name, Position, Protocol, WorkloadId};
use ringfence_policy::Operation;

const LAPSE: &str = "2026-01-31";
const BEFORE: &str = "2026-01-31T12:00:00Z";

/// A workload and its rules, in the plainest form.
#[derive(Clone, Debug)]
struct Plain {
    agent: bool,
    /// `None`: serves nothing (agents only).
    http: Option<bool>,
    /// Services only: rests on an exemption that ends with [`LAPSE`].
    exempt: bool,
    has_policy: bool,
    initiate: Vec<(usize, Vec<String>)>,
    receive: Option<Vec<(usize, Vec<String>)>>,
    /// Services only: the receive list stands in the policy.
    receive_in_policy: bool,
}

fn pattern() -> impl Strategy<Value = String> {
    let segment = || prop_oneof![3 => Just("a"), 2 => Just("b"), 2 => Just("*"), 1 => Just("{x}")];
    let method = prop_oneof![3 => Just("GET"), 2 => Just("POST"), 1 => Just("*")];
    let end = prop_oneof![3 => Just(""), 1 => Just("/"), 1 => Just("/**")];
    (method, prop::collection::vec(segment(), 0..=2), end).prop_map(|(method, segments, end)| {
        let mut path: String = segments
            .iter()
            .enumerate()
            // A name may stand only once.
            .map(|(index, s)| {
                if *s == "{x}" {
                    format!("/{{x{index}}}")
                } else {
                    format!("/{s}")
                }
            })
            .collect();
        path.push_str(end);
        if path.is_empty() {
            format!("{method} /")
        } else {
            format!("{method} {path}")
        }
    })
}

fn rules() -> impl Strategy<Value = Vec<(usize, Vec<String>)>> {
    prop::collection::vec((0usize..5, prop::collection::vec(pattern(), 1..5)), 0..7)
}

fn plain() -> impl Strategy<Value = Plain> {
    (
        any::<[bool; 4]>(),
        0u8..6,
        prop::bool::weighted(0.85),
        rules(),
        prop::option::of(rules()),
    )
        .prop_map(
            |([agent, exempt, receive_in_policy, coin], serves, has_policy, initiate, receive)| {
                Plain {
                    agent,
                    http: match serves {
                        0 if agent => None,
                        1 => Some(false),
                        _ => Some(true),
                    },
                    exempt: exempt && coin && !agent,
                    has_policy,
                    initiate,
                    receive,
                    receive_in_policy,
                }
            },
        )
}

/// What the text of the specification says, rule by rule.
struct Reference<'a>(&'a [Plain]);

impl Reference<'_> {
    fn rules_for<'r>(
        &self,
        list: &'r [(usize, Vec<String>)],
        peer: usize,
    ) -> impl Iterator<Item = &'r String> {
        list.iter()
            .filter(move |(who, _)| *who == peer)
            .flat_map(|(_, texts)| texts)
    }

    fn allows(&self, from: usize, to: usize, method: &str, path: &[&str], lapsed: bool) -> bool {
        let (source, target) = (&self.0[from], &self.0[to]);
        let Some(http) = target.http else {
            return false;
        };
        let matching = |text: &String| !http || text_matches(text, method, path);
        let initiated = source.has_policy && self.rules_for(&source.initiate, to).any(matching);
        let list = match &target.receive {
            // In a policy that is not there, there is no list.
            Some(list) if !target.agent && (!target.receive_in_policy || target.has_policy) => {
                Some(list)
            }
            Some(list) if target.agent && target.has_policy => Some(list),
            _ => None,
        };
        let received = match list {
            Some(list) => self.rules_for(list, from).any(matching),
            None => !target.agent,
        };
        initiated && received && !(target.exempt && lapsed)
    }
}

fn text_matches(text: &str, method: &str, path: &[&str]) -> bool {
    let (wanted, rule) = text.split_once(' ').unwrap();
    let rule: Vec<&str> = rule[1..].split('/').collect();
    (wanted == "*" || wanted == method) && segments_match(&rule, path)
}

fn segments_match(rule: &[&str], path: &[&str]) -> bool {
    match (rule, path) {
        ([], []) => true,
        (["**"], _) => true,
        ([], _) | (_, []) => false,
        ([first, rule @ ..], [segment, path @ ..]) => {
            let fits = if *first == "*" || first.starts_with('{') {
                !segment.is_empty()
            } else {
                first == segment
            };
            fits && segments_match(rule, path)
        }
    }
}

/// As the loader would make it. Rules for peers that serve nothing are left out, as the loader refuses them.
fn build(plain: &[Plain]) -> Estate {
    let mut line = 0;
    let mut place = move || {
        line += 1;
        Position {
            file: "r.yaml".into(),
            line,
            column: 1,
        }
    };
    let name = |index: usize| Name::new(&format!("w{index}")).unwrap();
    let id = |index: usize| WorkloadId {
        kind: if plain[index].agent {
            Kind::Agent
        } else {
            Kind::Service
        },
        name: name(index),
    };
    let mut entries = |list: &[(usize, Vec<String>)], subject: Option<usize>| -> Vec<Entry> {
        list.iter()
            .filter_map(|(peer, texts)| {
                let http = plain[subject.unwrap_or(*peer)].http?;
                let texts = if http {
                    texts.clone()
                } else {
                    vec!["connect".to_owned()]
                };
                let operations = texts
                    .into_iter()
                    .map(|text| OperationPattern::plain(text, place()))
                    .collect();
                Some(Entry {
                    peer: id(*peer),
                    operations,
                    at: place(),
                })
            })
            .collect()
    };
    let mut estate = Estate::default();
    for (index, workload) in plain.iter().enumerate() {
        let protocol = |http| if http { Protocol::Http } else { Protocol::Tcp };
        let at = Position {
            file: "w.yaml".into(),
            line: index as u32 + 1,
            column: 1,
        };
        let receive = workload
            .receive
            .as_ref()
            .map(|list| entries(list, Some(index)));
        let in_policy = workload.agent || workload.receive_in_policy;
        if workload.agent {
            let serves = workload.http.map(|http| Serves {
                protocol: protocol(http),
                port: 80,
                path_allowances: Allowances::default(),
            });
            estate.agents.push(Agent {
                name: name(index),
                labels: Default::default(),
                purpose: None,
                owner: None,
                serves,
                hosts: vec![],
                attest: None,
                at: at.clone(),
            });
        } else {
            let host = EndpointHost::Ip([10, 0, 0, index as u8].into());
            let endpoint = Endpoint {
                host,
                port: 1,
                tls: None,
                at: at.clone(),
            };
            let exemption = Exemption {
                reason: "x".into(),
                until: LAPSE.parse().unwrap(),
                at: at.clone(),
            };
            estate.services.push(Service {
                name: name(index),
                labels: Default::default(),
                protocol: protocol(workload.http.unwrap()),
                port: 80,
                hosts: vec![],
                owner: None,
                path_allowances: Allowances::default(),
                endpoints: if workload.exempt {
                    vec![endpoint]
                } else {
                    vec![]
                },
                mutual_auth: workload.exempt.then_some(exemption),
                receive: if in_policy { None } else { receive.clone() },
                attest: None,
                at: at.clone(),
            });
        }
        if workload.has_policy {
            estate.policies.push(Policy {
                name: name(index),
                subject: id(index),
                owner: None,
                review_by: None,
                mode: Default::default(),
                initiate: entries(&workload.initiate, None),
                receive: if in_policy { receive } else { None },
                tests: vec![],
                filesystem: Filesystem::default(),
                at,
            });
        }
    }
    estate
}

/// Every operation that could tell two small patterns apart.
fn operations() -> Vec<(&'static str, String)> {
    let mut paths = vec!["/".to_owned()];
    let mut last = vec![String::new()];
    for _ in 0..3 {
        last = last
            .iter()
            .flat_map(|p| ["a", "b", "c"].map(|s| format!("{p}/{s}")))
            .collect();
        paths.extend(last.iter().flat_map(|p| [p.clone(), format!("{p}/")]));
    }
    let all = ["GET", "POST", "PUT"].map(|method| paths.iter().map(move |p| (method, p.clone())));
    all.into_iter().flatten().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_compiled_decision_is_the_naive_one(plain in prop::collection::vec(plain(), 5)) {
        let estate = build(&plain);
        let snapshot = try_compile(&estate).map_err(|e| TestCaseError::fail(e.to_string()))?;
        let reference = Reference(&plain);
        let texts: Vec<&OperationPattern> = estate.policies.iter()
            .flat_map(|p| &p.initiate).flat_map(|e| &e.operations).collect();
        let operations: Vec<(&str, CanonicalPath)> = operations().into_iter()
            .map(|(method, path)| (method, CanonicalPath::new(path.as_bytes(), Allowances::default()).unwrap()))
            .collect();
        let before: Timestamp = BEFORE.parse().unwrap();
        for (from, to) in (0..25).map(|pair| (pair / 5, pair % 5)) {
            let ix = |index: usize| snapshot.find(&format!("w{index}")).unwrap();
            let mut any = [false; 2];
            for (method, path) in &operations {
                let segments: Vec<&str> = path.segments().collect();
                for (when, lapsed) in [(before, false), (now(), true)] {
                    let wanted = reference.allows(from, to, method, &segments, lapsed);
                    any[usize::from(lapsed)] |= wanted;
                    let operation = match plain[to].http {
                        Some(false) => Operation::Connect,
                        _ => Operation::Http { method, path },
                    };
                    let verdict = snapshot.decide(ix(from), ix(to), operation, &moment(when));
                    prop_assert_eq!(verdict.is_allowed(), wanted, "{} → {} : {} {} {:?}", from, to, method, path, verdict);
                    if wanted && plain[to].http == Some(true) {
                        // The rule that is named does match.
                        let rule = snapshot.rule(&verdict, ix(to)).unwrap();
                        let text = &texts.iter().find(|o| o.at == *rule).unwrap().text;
                        prop_assert!(text_matches(text, method, &segments), "{} {} by {}", method, path, text);
                    }
                }
            }
            for (when, any) in [(before, any[0]), (now(), any[1])] {
                let verdict = snapshot.may_meet(ix(from), ix(to), when);
                prop_assert_eq!(verdict.is_allowed(), any, "may_meet {} → {} {:?}", from, to, verdict);
                prop_assert_eq!(snapshot.explain(ix(from), ix(to), None, &moment(when)).allowed, any);
            }
        }
    }
}

#[test]
fn the_random_estates_are_worth_something() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let (mut allowed, mut asked) = (0, 0);
    for _ in 0..50 {
        let plain = prop::collection::vec(plain(), 5)
            .new_tree(&mut runner)
            .unwrap()
            .current();
        let reference = Reference(&plain);
        for (from, to) in (0..25).map(|pair| (pair / 5, pair % 5)) {
            for (method, path) in operations() {
                let segments: Vec<&str> = path[1..].split('/').collect();
                allowed += u32::from(reference.allows(from, to, method, &segments, false));
                asked += 1;
            }
        }
    }
    assert!(
        allowed * 50 > asked && allowed * 4 < asked * 3,
        "{allowed} of {asked}"
    );
}
