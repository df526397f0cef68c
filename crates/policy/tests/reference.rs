//! The compiled decision against one written independently: a scan over all rules as texts.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{now, try_compile};
use jiff::Timestamp;
use proptest::prelude::*;
use ringfence_model::path::Allowances;
use ringfence_model::resource::{
    Agent, Condition, Endpoint, EndpointHost, Entry, Exemption, Filesystem, Forbids, Guardrail,
    Labels, Mode, ModeKind, OperationPattern, Policy, Selector, Serves, Service,
};
use ringfence_model::{CanonicalPath, Estate, Kind, Name, Position, Protocol, WorkloadId};
use ringfence_policy::{Body, Moment, Operation, Recheck, Request, Ruled as Outcome, Seen};

const LAPSE: &str = "2026-01-31";
const BEFORE: &str = "2026-01-31T12:00:00Z";
/// Soft at [`BEFORE`], no longer at [`now`].
const SOFT_UNTIL: &str = "2026-02-10";
/// What requests carry: a condition on `n` is true, is false, errors twice.
const QUERIES: [&str; 4] = ["n=1", "n=2", "", "n=1&n=1"];

/// What a rule asks beside its pattern.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Also {
    Nothing,
    /// `request.query.n == '1'`; for tcp, which has no request, the label.
    Query,
    /// `source.labels.team == 'a'`, which workloads with even numbers have.
    Label,
    /// `until: LAPSE`.
    Ends,
}

/// A pattern and what it asks beside.
type Ruled = (String, Also);

/// A guardrail in the plainest form.
#[derive(Clone, Debug)]
struct Wall {
    /// `None`: all.
    from: Option<Vec<usize>>,
    to: Option<Vec<usize>>,
    only: bool,
    texts: Vec<String>,
    /// `when: request.query.n == '1'`.
    asks: bool,
}

/// What is asked beside the operation.
#[derive(Clone, Copy)]
struct Then<'a> {
    lapsed: bool,
    query: &'a str,
    /// Conditions are taken to let everything pass.
    hopeful: bool,
}

/// A workload and its rules, in the plainest form.
#[derive(Clone, Debug)]
struct Plain {
    agent: bool,
    /// `None`: serves nothing (agents only).
    http: Option<bool>,
    /// Services only: rests on an exemption that ends with [`LAPSE`].
    exempt: bool,
    has_policy: bool,
    /// Its policy is in shadow until [`SOFT_UNTIL`].
    soft: bool,
    initiate: Vec<(usize, Vec<Ruled>)>,
    receive: Option<Vec<(usize, Vec<Ruled>)>>,
    /// Services only: the receive list stands in the policy.
    receive_in_policy: bool,
}

fn pattern() -> impl Strategy<Value = String> {
    let segment = || prop_oneof![3 => Just("a"), 2 => Just("b"), 2 => Just("*"), 1 => Just("{x}")];
    let method =
        prop_oneof![3 => Just("GET"), 2 => Just("POST"), 1 => Just("WEBSOCKET"), 1 => Just("*")];
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

fn rules() -> impl Strategy<Value = Vec<(usize, Vec<Ruled>)>> {
    let also = prop_oneof![4 => Just(Also::Nothing), 1 => Just(Also::Query), 1 => Just(Also::Label), 1 => Just(Also::Ends)];
    prop::collection::vec(
        (0usize..5, prop::collection::vec((pattern(), also), 1..5)),
        0..7,
    )
}

fn walls() -> impl Strategy<Value = Vec<Wall>> {
    let some = || prop::option::of(prop::collection::vec(0usize..5, 1..4));
    let text = prop_oneof![4 => pattern(), 1 => Just("connect".to_owned())];
    let wall = (
        some(),
        some(),
        any::<[bool; 2]>(),
        prop::collection::vec(text, 1..4),
    );
    let wall = wall.prop_map(|(from, to, [only, asks], texts)| Wall {
        from,
        to,
        only,
        asks,
        texts,
    });
    prop::collection::vec(wall, 0..3)
}

fn plain() -> impl Strategy<Value = Plain> {
    (
        any::<[bool; 4]>(),
        prop::bool::weighted(0.25),
        0u8..6,
        prop::bool::weighted(0.85),
        rules(),
        prop::option::of(rules()),
    )
        .prop_map(
            |(
                [agent, exempt, receive_in_policy, coin],
                soft,
                serves,
                has_policy,
                initiate,
                receive,
            )| {
                Plain {
                    agent,
                    http: match serves {
                        0 if agent => None,
                        1 => Some(false),
                        _ => Some(true),
                    },
                    exempt: exempt && coin && !agent,
                    has_policy,
                    soft,
                    initiate,
                    receive,
                    receive_in_policy,
                }
            },
        )
}

/// What the text of the specification says, rule by rule.
struct Reference<'a>(&'a [Plain], &'a [Wall]);

impl Reference<'_> {
    /// Some rule for `peer` has the operation, and what it asks is so.
    fn listed(
        &self,
        list: &[(usize, Vec<Ruled>)],
        peer: usize,
        matching: &dyn Fn(&Ruled) -> bool,
    ) -> bool {
        list.iter()
            .filter(|(who, _)| *who == peer)
            .any(|(_, rules)| rules.iter().any(matching))
    }

    fn ruled(
        &self,
        from: usize,
        to: usize,
        method: &str,
        path: &[&str],
        then: Then<'_>,
    ) -> Outcome {
        let (source, target) = (&self.0[from], &self.0[to]);
        let Some(http) = target.http else {
            return Outcome::Deny;
        };
        let matching = |(text, also): &Ruled| {
            let fits = !http || text_matches(text, method, path);
            let so = match also {
                Also::Nothing => true,
                Also::Ends => !then.lapsed,
                Also::Query if http => then.hopeful || then.query == "n=1",
                Also::Query | Also::Label => then.hopeful || from.is_multiple_of(2),
            };
            fits && so
        };
        if !source.has_policy {
            return Outcome::Deny;
        }
        let initiated = self.listed(&source.initiate, to, &matching);
        let list = match &target.receive {
            // In a policy that is not there, there is no list.
            Some(list) if !target.agent && (!target.receive_in_policy || target.has_policy) => {
                Some(list)
            }
            Some(list) if target.agent && target.has_policy => Some(list),
            _ => None,
        };
        let received = match list {
            Some(list) => self.listed(list, from, &matching),
            None => !target.agent,
        };
        let soft = |plain: &Plain| plain.has_policy && plain.soft && !then.lapsed;
        let by_policy = target.agent || target.receive_in_policy || target.receive.is_none();
        let passes = (initiated || soft(source)) && (received || soft(target) && by_policy);
        let walled = self.1.iter().any(|wall| {
            let concerns = |who: &Option<Vec<usize>>, index| {
                who.as_ref().is_none_or(|who| who.contains(&index))
            };
            let listed = wall.texts.iter().any(|text| match (http, text.as_str()) {
                (false, text) => text == "connect",
                (true, "connect") => false,
                // To forbid any method is to forbid WebSockets; to let any method in is not to let them in.
                (true, text) => {
                    text_matches(text, method, path)
                        || !wall.only && text_matches(text, "ANY", path)
                }
            });
            let asks = match wall.asks {
                false => true,
                true if then.hopeful => false,
                // What cannot be evaluated forbids.
                true => !http || then.query != "n=2",
            };
            concerns(&wall.from, from) && concerns(&wall.to, to) && listed != wall.only && asks
        });
        if !passes || walled || (target.exempt && then.lapsed) {
            Outcome::Deny
        } else if initiated && received {
            Outcome::Allow
        } else {
            Outcome::WouldDeny
        }
    }
}

fn text_matches(text: &str, method: &str, path: &[&str]) -> bool {
    let (wanted, rule) = text.split_once(' ').unwrap();
    let rule: Vec<&str> = rule[1..].split('/').collect();
    let takes = match wanted {
        "*" => method != "WEBSOCKET",
        wanted => wanted == method,
    };
    takes && segments_match(&rule, path)
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
fn build(plain: &[Plain], walls: &[Wall]) -> Estate {
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
    let mut entries = |list: &[(usize, Vec<Ruled>)], subject: Option<usize>| -> Vec<Entry> {
        list.iter()
            .filter_map(|(peer, texts)| {
                let http = plain[subject.unwrap_or(*peer)].http?;
                let operations = texts
                    .iter()
                    .map(|(text, also)| {
                        let text = if http { text.as_str() } else { "connect" };
                        let when = match also {
                            Also::Query if http => Some("request.query.n == '1'"),
                            Also::Query | Also::Label => Some("source.labels.team == 'a'"),
                            _ => None,
                        };
                        OperationPattern {
                            when: when.map(|text| Condition {
                                text: text.into(),
                                at: place(),
                            }),
                            until: (*also == Also::Ends).then(|| LAPSE.parse().unwrap()),
                            ..OperationPattern::plain(text, place())
                        }
                    })
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
                record: Default::default(),
            });
            estate.agents.push(Agent {
                name: name(index),
                labels: labels(index),
                purpose: None,
                owner: None,
                serves,
                hosts: vec![],
                attest: None,
                limits: ringfence_model::Limits::default(),
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
                labels: labels(index),
                protocol: protocol(workload.http.unwrap()),
                port: 80,
                hosts: vec![],
                owner: None,
                path_allowances: Allowances::default(),
                record: Default::default(),
                endpoints: if workload.exempt {
                    vec![endpoint]
                } else {
                    vec![]
                },
                mutual_auth: workload.exempt.then_some(exemption),
                receive: if in_policy { None } else { receive.clone() },
                attest: None,
                limits: ringfence_model::Limits::default(),
                at: at.clone(),
            });
        }
        if workload.has_policy {
            estate.policies.push(Policy {
                name: name(index),
                subject: id(index),
                owner: None,
                review_by: None,
                mode: Mode {
                    kind: if workload.soft {
                        ModeKind::Shadow
                    } else {
                        ModeKind::Enforce
                    },
                    until: workload.soft.then(|| SOFT_UNTIL.parse().unwrap()),
                    at: at.clone(),
                },
                initiate: entries(&workload.initiate, None),
                receive: if in_policy { receive } else { None },
                tests: vec![],
                filesystem: Filesystem::default(),
                at,
            });
        }
    }
    for (index, wall) in walls.iter().enumerate() {
        let select = |who: &Option<Vec<usize>>| match who {
            None => Selector::All,
            Some(who) => Selector::Names(who.iter().map(|&index| name(index)).collect()),
        };
        let at = Position {
            file: "g.yaml".into(),
            line: index as u32 + 1,
            column: 1,
        };
        estate.guardrails.push(Guardrail {
            name: name(index),
            owner: "o".into(),
            reason: "r".into(),
            from: select(&wall.from),
            to: select(&wall.to),
            forbids: if wall.only {
                Forbids::Others
            } else {
                Forbids::Listed
            },
            operations: wall
                .texts
                .iter()
                .map(|text| OperationPattern::plain(text.as_str(), at.clone()))
                .collect(),
            when: wall.asks.then(|| Condition {
                text: "request.query.n == '1'".into(),
                at: at.clone(),
            }),
            at,
        });
    }
    estate
}

fn labels(index: usize) -> Labels {
    let team = if index.is_multiple_of(2) { "a" } else { "b" };
    Labels::from([("team".to_owned(), team.to_owned())])
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
    let all = ["GET", "POST", "PUT", "WEBSOCKET"]
        .map(|method| paths.iter().map(move |p| (method, p.clone())));
    all.into_iter().flatten().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_compiled_decision_is_the_naive_one(plain in prop::collection::vec(plain(), 5), walls in walls()) {
        let estate = build(&plain, &walls);
        let snapshot = try_compile(&estate).map_err(|e| TestCaseError::fail(e.to_string()))?;
        let reference = Reference(&plain, &walls);
        let texts: Vec<&OperationPattern> = estate.policies.iter()
            .flat_map(|p| &p.initiate).flat_map(|e| &e.operations).collect();
        let operations: Vec<(&str, CanonicalPath)> = operations().into_iter()
            .map(|(method, path)| (method, CanonicalPath::new(path.as_bytes(), Allowances::default()).unwrap()))
            .collect();
        let before: Timestamp = BEFORE.parse().unwrap();
        for (from, to) in (0..25).map(|pair| (pair / 5, pair % 5)) {
            let ix = |index: usize| snapshot.find(&format!("w{index}")).unwrap();
            for (when, lapsed) in [(before, false), (now(), true)] {
                let (mut any, mut hoped) = (false, false);
                for (number, (method, path)) in operations.iter().enumerate() {
                    let segments: Vec<&str> = path.segments().collect();
                    let query = QUERIES[number % QUERIES.len()];
                    let then = Then { lapsed, query, hopeful: false };
                    let wanted = reference.ruled(from, to, method, &segments, then);
                    any |= wanted != Outcome::Deny;
                    hoped |= reference.ruled(from, to, method, &segments, Then { hopeful: true, ..then }) != Outcome::Deny;
                    let request = Request { host: "h", query: Some(query.as_bytes()), headers: &[], body: Body::None };
                    let (operation, seen) = match plain[to].http {
                        Some(false) => (Operation::Connect, Seen::Connection),
                        _ => (Operation::Http { method, path }, Seen::Request(&request)),
                    };
                    let moment = Moment::at(when, seen);
                    let verdict = snapshot.decide(ix(from), ix(to), operation, &moment);
                    prop_assert_eq!(verdict.ruled(), wanted, "{} → {} : {} {}?{} {:?}", from, to, method, path, query, verdict);
                    let told = snapshot.explain(ix(from), ix(to), Some(operation), &moment);
                    prop_assert_eq!(told.ruled, wanted);
                    if wanted == Outcome::Allow && plain[to].http == Some(true) {
                        // The rule that is named does match.
                        let rule = snapshot.rule(&verdict, ix(to)).unwrap();
                        let text = &texts.iter().find(|o| o.at == *rule).unwrap().text;
                        prop_assert!(text_matches(text, method, &segments), "{} {} by {}", method, path, text);
                    }
                    if wanted != Outcome::Deny && verdict.recheck() == Recheck::default() {
                        // Nobody is to ask again, so time alone changes nothing.
                        let later = Moment::at(now(), seen);
                        prop_assert_eq!(snapshot.decide(ix(from), ix(to), operation, &later).ruled(), wanted);
                    }
                }
                let verdict = snapshot.may_meet(ix(from), ix(to), when);
                prop_assert!(verdict.is_allowed() || !any, "may_meet {} → {} {:?}", from, to, verdict);
                if !verdict.is_allowed() || verdict.ruled() == Outcome::Allow {
                    prop_assert_eq!(verdict.is_allowed(), hoped, "may_meet {} → {} {:?}", from, to, verdict);
                }
            }
        }
    }
}

#[test]
fn the_random_estates_are_worth_something() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut counts = [0; 3];
    for _ in 0..50 {
        let strategy = (prop::collection::vec(plain(), 5), walls());
        let (plain, walls) = strategy.new_tree(&mut runner).unwrap().current();
        let reference = Reference(&plain, &walls);
        for (from, to) in (0..25).map(|pair| (pair / 5, pair % 5)) {
            for (number, (method, path)) in operations().into_iter().enumerate() {
                let segments: Vec<&str> = path[1..].split('/').collect();
                let then = Then {
                    lapsed: false,
                    query: QUERIES[number % QUERIES.len()],
                    hopeful: false,
                };
                counts[reference.ruled(from, to, method, &segments, then) as usize] += 1;
            }
        }
    }
    let asked: i32 = counts.iter().sum();
    assert!(counts.iter().all(|count| count * 50 > asked), "{counts:?}");
}
