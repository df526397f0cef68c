//! The rule that came closest to allowing what was denied, and what keeps it from doing so.

use ringfence_model::operation::{HttpPattern, Pattern, Segment};
use ringfence_model::{Position, Protocol};

use crate::explain::cut;
use crate::snapshot::{List, Snapshot, WorkloadIx, pair_key};
use crate::verdict::{Operation, Reason, Verdict};

/// A difference in one segment, or in the number of them, weighs more than one in the method.
const METHOD_COST: u32 = 1;
const SEGMENT_COST: u32 = 2;
/// A rule for another peer is shown only if none for this one exists.
const PEER_COST: u32 = 10_000;

impl Snapshot {
    pub(crate) fn nearest(
        &self,
        from: WorkloadIx,
        to: WorkloadIx,
        operation: Option<Operation<'_>>,
        verdict: &Verdict,
    ) -> Option<(Position, String)> {
        let pair = self.pairs.get(&pair_key(from.index, to.index));
        match verdict.reason {
            Reason::ReceiverNotNamed | Reason::OperationNotInitiated => {
                let lists = &self.facts.get(from.index as usize)?.initiate;
                self.closest(lists, to.index, None, operation)
            }
            Reason::InitiatorNotReceived | Reason::OperationNotReceived => {
                let lists = &self.facts.get(to.index as usize)?.receive;
                self.closest(lists, from.index, Some(to.index), operation)
            }
            Reason::NothingInCommon => {
                let rule = &self.rules.get(pair?.receive?.first as usize)?;
                Some((
                    rule.at.clone(),
                    format!("the receiver's first rule is {}", cut(&rule.text)),
                ))
            }
            _ => None,
        }
    }

    /// `callee` is who serves the operations of the lists; `None`: the peer of each.
    fn closest(
        &self,
        lists: &[(u32, List)],
        peer: u32,
        callee: Option<u32>,
        operation: Option<Operation<'_>>,
    ) -> Option<(Position, String)> {
        let mut best: Option<(u32, Position, String)> = None;
        for &(other, list) in lists {
            let callee = self.workloads.get(callee.unwrap_or(other) as usize)?;
            let (protocol, _) = callee.serves?;
            let first = list.first as usize;
            for rule in self.rules.get(first..first + list.count as usize)? {
                let Ok(pattern) = Pattern::parse(&rule.text, protocol, callee.path_allowances)
                else {
                    continue;
                };
                let Some((mut cost, mut differs)) = compare(&pattern, protocol, operation) else {
                    continue;
                };
                if other != peer {
                    cost += PEER_COST;
                    differs.insert(
                        0,
                        format!("it is for {}", self.workloads[other as usize].id),
                    );
                }
                if best.as_ref().is_none_or(|(least, ..)| cost < *least) {
                    let words = format!("{}: {}", cut(&rule.text), differs.join("; "));
                    best = Some((cost, rule.at.clone(), words));
                }
            }
        }
        best.map(|(_, at, words)| (at, words))
    }
}

/// How far the operation is from the pattern, and what differs; `None` when they cannot be compared.
fn compare(
    pattern: &Pattern,
    protocol: Protocol,
    operation: Option<Operation<'_>>,
) -> Option<(u32, Vec<String>)> {
    match (pattern, operation) {
        (_, None)
        | (Pattern::Connect, Some(Operation::Connect))
        | (Pattern::Send, Some(Operation::Send)) => Some((0, Vec::new())),
        (Pattern::Http(pattern), Some(Operation::Http { method, path })) => Some(differences(
            pattern,
            method,
            &path.segments().collect::<Vec<_>>(),
        )),
        (Pattern::Grpc(pattern), Some(Operation::Grpc(call))) => Some(call_differences(
            pattern,
            &call.path().segments().collect::<Vec<_>>(),
        )),
        _ => Some((
            METHOD_COST + SEGMENT_COST,
            vec![format!("its peer speaks {protocol}")],
        )),
    }
}

/// Of the two names, the service weighs more.
fn call_differences(pattern: &HttpPattern, asked: &[&str]) -> (u32, Vec<String>) {
    let names = [("service", SEGMENT_COST), ("method", METHOD_COST)];
    let mut cost = 0;
    let mut words = Vec::new();
    for ((own, asked), (what, weight)) in pattern.segments.iter().zip(asked).zip(names) {
        if let Segment::Literal(own) = own
            && **own != **asked
        {
            cost += weight;
            words.push(format!("{what} differs: the rule has {}", cut(own)));
        }
    }
    (cost, words)
}

fn differences(pattern: &HttpPattern, method: &str, path: &[&str]) -> (u32, Vec<String>) {
    let mut cost = 0;
    let mut words = Vec::new();
    if !pattern.takes_method(method) {
        cost += METHOD_COST;
        words.push(match &pattern.method {
            Some(own) => format!("method differs: the rule allows {}", cut(own)),
            None => format!("* does not speak of {method}, which has to be named"),
        });
    }
    let mut segments = 0;
    for (index, (own, asked)) in pattern.segments.iter().zip(path).enumerate() {
        let place = index + 1;
        let difference = match own {
            Segment::Literal(text) if **text != **asked => {
                format!("segment {place} differs: the rule has {:?}", cut(text))
            }
            Segment::One(_) if asked.is_empty() => {
                format!("segment {place} is empty, the rule wants one that is not")
            }
            _ => continue,
        };
        segments += 1;
        if segments == 1 {
            words.push(difference);
        }
    }
    let (own, asked) = (pattern.segments.len(), path.len());
    if own > asked || (own < asked && !pattern.rest) {
        segments += own.abs_diff(asked) as u32;
        words.push(if path.last() == Some(&"") && own + 1 == asked {
            "the path ends in /, the rule's does not".to_owned()
        } else if own == asked + 1 && pattern.segments.last() == Some(&Segment::Literal("".into()))
        {
            "the rule's path ends in /".to_owned()
        } else {
            format!(
                "the path has {asked} segments, the rule {own}{}",
                if pattern.rest { " or more" } else { "" }
            )
        });
    }
    (cost + SEGMENT_COST * segments, words)
}
