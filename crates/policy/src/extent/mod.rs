//! All that one workload may do to another on one day: sets of operations, each with what it depends on.
//!
//! What comes in: a snapshot and two of its workloads. What goes out: [`Region`]s. An operation is possible exactly where it
//! is in one of them and the region's [`Term`] holds. The same order as `decide.rs`: the initiator's list, the receiver's,
//! its exemption, guardrails. Conditions are kept as they are written, but for those that read only what resources say:
//! those are asked here.
//!
//! A path is counted as one operation in each spelling. Guardrails are about all spellings that some receiver takes for the
//! same path, so the search knows those that stand in a rule or a guardrail.

mod patch;
mod term;

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use ringfence_model::operation::{Pattern, Segment};
use ringfence_model::path;
use ringfence_model::resource::Forbids;

pub(crate) use patch::Patch;
pub(crate) use term::{Clause, Term};

use crate::condition::{Asked, Condition, Moment, Seen};
use crate::decide::soft_at;
use crate::guardrail::{Dialect, Guardrail, readings};
use crate::patterns::{covers, meet, written};
use crate::snapshot::{Facts, List, Others, Snapshot, WorkloadIx, pair_key};
use crate::verdict::{Operation, RuleRef};

/// Most regions between two workloads. What is beyond is not looked at, and is said to be unknown.
pub(crate) const REGIONS_MAX: usize = 1_024;
/// Most spellings of one operation of a guardrail that are told apart.
const SPELLINGS_MAX: usize = 64;

/// Some operations, and on what they depend.
#[derive(Clone, Debug)]
pub(crate) struct Region {
    pub(crate) patch: Patch,
    pub(crate) term: Term,
    /// The initiator's rule; none where its policy is soft.
    pub(crate) ours: RuleRef,
    /// The receiver's rule; none where it takes whoever names it, or is soft.
    pub(crate) theirs: RuleRef,
}

/// All between two.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extent {
    pub(crate) regions: Vec<Region>,
    /// There is more than was looked at: a bound was reached.
    pub(crate) cut: bool,
}

/// Segments that are written with escapes some receivers decode.
pub(crate) type Spellings = BTreeSet<Box<str>>;

/// One side's agreement to one pattern.
struct Way {
    pattern: Pattern,
    term: Term,
    rule: RuleRef,
}

impl Snapshot {
    /// All that `from` may do to `to` at `now`, and how that changes with conditions. `spellings`: of both sides where two
    /// snapshots are compared, see [`Snapshot::spellings`].
    pub(crate) fn extent(
        &self,
        from: WorkloadIx,
        to: WorkloadIx,
        now: Timestamp,
        spellings: &Spellings,
    ) -> Extent {
        let mut extent = Extent::default();
        for draft in self.agreed(from, to, now) {
            extent.add(draft);
        }
        let Some(dialect) = self.dialect(to) else {
            return extent;
        };
        for guardrail in self.guards(from, to) {
            self.fence(&mut extent, guardrail, dialect, [from, to], spellings);
        }
        extent
    }

    /// What both lists and the receiver's exemption leave, before guardrails.
    pub(crate) fn agreed(&self, from: WorkloadIx, to: WorkloadIx, now: Timestamp) -> Vec<Region> {
        let (Some(source), Some(target)) = (self.known(from), self.known(to)) else {
            return Vec::new();
        };
        let Some(dialect) = self.dialect(to) else {
            return Vec::new();
        };
        let lapse = target.lapse.as_ref();
        if source.policy.is_none() || lapse.is_some_and(|lapse| now >= lapse.from) {
            return Vec::new();
        }
        let pair = self.pairs.get(&pair_key(from.index, to.index));
        let (initiate, receive) = pair.map_or((None, None), |pair| (pair.initiate, pair.receive));
        let softly = |facts: &Facts| {
            let soft = soft_at(facts, now)?;
            let term = Term {
                until: last_day(soft.end),
                soft: Some(soft.kind),
                ..Term::default()
            };
            Some(everything(dialect).into_iter().map(move |pattern| Way {
                pattern,
                term: term.clone(),
                rule: RuleRef::NONE,
            }))
        };
        let mut ours = self.ways(initiate.as_ref(), dialect, [from, to], now);
        ours.extend(softly(source).into_iter().flatten());
        let theirs = match (receive, target.others) {
            (None, Others::Welcome) => None,
            (None, Others::NoPolicy) => return Vec::new(),
            (receive, _) => {
                let mut ways = self.ways(receive.as_ref(), dialect, [from, to], now);
                if target.receives_by_policy {
                    ways.extend(softly(target).into_iter().flatten());
                }
                Some(ways)
            }
        };
        let exempt = Term {
            until: lapse.map(|lapse| lapse.last_day),
            ..Term::default()
        };
        let mut regions = Vec::new();
        for our in &ours {
            match &theirs {
                None => regions.push(Region {
                    patch: Patch::whole(our.pattern.clone()),
                    term: our.term.and(&exempt),
                    ours: our.rule,
                    theirs: RuleRef::NONE,
                }),
                Some(theirs) => regions.extend(theirs.iter().filter_map(|their| {
                    Some(Region {
                        patch: Patch::whole(meet(&our.pattern, &their.pattern)?),
                        term: our.term.and(&their.term).and(&exempt),
                        ours: our.rule,
                        theirs: their.rule,
                    })
                })),
            }
        }
        regions
    }

    /// Segments between the two that are written in another way than a server reads them.
    pub(crate) fn spellings(&self, from: WorkloadIx, to: WorkloadIx) -> Spellings {
        let mut spellings = Spellings::new();
        let Some(dialect) = self.dialect(to) else {
            return spellings;
        };
        let mut note = |pattern: &Pattern| {
            for segment in segments(pattern) {
                if let Segment::Literal(text) = segment
                    && path::plain(text).is_some()
                {
                    spellings.insert(text.clone());
                }
            }
        };
        let pair = self.pairs.get(&pair_key(from.index, to.index));
        let lists = pair
            .into_iter()
            .flat_map(|pair| [pair.initiate, pair.receive]);
        for list in lists.flatten() {
            for (_, pattern) in self.rules_of(&list, dialect) {
                note(&pattern);
            }
        }
        for guardrail in self.guards(from, to) {
            guardrail.patterns(dialect).iter().for_each(&mut note);
        }
        spellings
    }

    fn known(&self, ix: WorkloadIx) -> Option<&Facts> {
        self.get(ix)?;
        self.facts.get(ix.index as usize)
    }

    pub(crate) fn dialect(&self, to: WorkloadIx) -> Option<Dialect> {
        let target = self.get(to)?;
        Some((target.serves?.0, target.path_allowances))
    }

    fn rules_of(
        &self,
        list: &List,
        (protocol, allowances): Dialect,
    ) -> impl Iterator<Item = (RuleRef, Pattern)> {
        let rules = (0..list.count).map(|position| list.rule(position));
        rules.filter_map(move |rule| {
            // Each has been parsed before, when policy was compiled.
            let text = &self.rule_at(rule)?.text;
            Some((rule, Pattern::parse(text, protocol, allowances).ok()?))
        })
    }

    /// What one side's rules agree to.
    fn ways(
        &self,
        list: Option<&List>,
        dialect: Dialect,
        pair: [WorkloadIx; 2],
        now: Timestamp,
    ) -> Vec<Way> {
        let mut ways = Vec::new();
        let rules = list
            .into_iter()
            .flat_map(|list| self.rules_of(list, dialect));
        for (reference, pattern) in rules {
            let Some(rule) = self.rule_at(reference) else {
                continue;
            };
            if rule.end.is_some_and(|end| now >= end) {
                continue;
            }
            let mut term = Term {
                until: rule.end.and_then(last_day),
                ..Term::default()
            };
            if let Some(when) = &rule.when {
                match self.settled(when, pair) {
                    Some(Asked::Holds) => {}
                    Some(_) => continue,
                    None => term = term.with(self.clause(when, Some(&pattern), pair)),
                }
            }
            ways.push(Way {
                pattern,
                term,
                rule: reference,
            });
        }
        ways
    }

    /// The answer of a condition that no request can change.
    pub(crate) fn settled(&self, when: &Condition, [from, to]: [WorkloadIx; 2]) -> Option<Asked> {
        let about = self.about(from, to, Operation::Connect);
        let never = Moment::at(Timestamp::UNIX_EPOCH, Seen::Nothing);
        when.needs()
            .is_settled()
            .then(|| when.ask(&about, &never))
            .filter(|asked| *asked != Asked::Unknown)
    }

    fn clause(
        &self,
        when: &Condition,
        pattern: Option<&Pattern>,
        [from, to]: [WorkloadIx; 2],
    ) -> Clause {
        let needs = when.needs();
        let about = self.about(from, to, Operation::Connect);
        let mut basis = String::new();
        if let Some(pattern) = pattern.filter(|_| !needs.names.is_empty()) {
            basis += &written(pattern);
        }
        for (needs, party) in [
            (needs.source, about.source),
            (needs.destination, about.destination),
        ] {
            if needs.kind {
                basis += party.kind;
            }
            if needs.id {
                basis += party.spiffe_id;
            }
            if needs.owner {
                basis += &format!("{:?}", party.owner);
            }
            if needs.labels {
                basis += &format!("{:?}", party.labels);
            }
        }
        Clause {
            text: when.text().into(),
            guardrail: None,
            basis: basis.into(),
        }
    }

    /// What one guardrail leaves.
    fn fence(
        &self,
        extent: &mut Extent,
        guardrail: &Guardrail,
        dialect: Dialect,
        pair: [WorkloadIx; 2],
        spellings: &Spellings,
    ) {
        let clause = match &guardrail.when {
            None => None,
            Some(when) => match self.settled(when, pair) {
                Some(Asked::Fails) => return,
                // An error forbids as well.
                Some(_) => None,
                None => Some(Clause {
                    guardrail: Some(guardrail.name.as_str().into()),
                    ..self.clause(when, None, pair)
                }),
            },
        };
        let mut listed: Vec<Pattern> = Vec::new();
        for pattern in guardrail.patterns(dialect) {
            match spelled(&pattern, spellings) {
                Some(spelled) => listed.extend(spelled),
                None => extent.cut = true,
            }
        }
        let regions = std::mem::take(&mut extent.regions);
        for region in regions {
            let inside = listed.iter().filter_map(|it| region.patch.within(it));
            let inside = inside.map(|patch| Region {
                patch,
                ..region.clone()
            });
            let rest = listed.iter().fold(region.patch.clone(), Patch::but);
            let outside = (!rest.is_swallowed()).then(|| Region {
                patch: rest,
                ..region.clone()
            });
            let held = |region: Region| {
                let clause = clause.clone()?;
                Some(Region {
                    term: region.term.with(clause),
                    ..region
                })
            };
            match guardrail.forbids {
                Forbids::Listed => {
                    outside.into_iter().for_each(|it| extent.add(it));
                    inside.filter_map(held).for_each(|it| extent.add(it));
                }
                Forbids::Others => {
                    inside.for_each(|it| extent.add(it));
                    outside
                        .and_then(held)
                        .into_iter()
                        .for_each(|it| extent.add(it));
                }
            }
        }
    }
}

impl Extent {
    /// Without those that another one says as well.
    pub(crate) fn add(&mut self, region: Region) {
        let says = |a: &Region, b: &Region| a.term.at_least(&b.term) && a.patch.covers(&b.patch);
        if self.regions.iter().any(|own| says(own, &region)) {
            return;
        }
        self.regions.retain(|own| !says(&region, own));
        if self.regions.len() < REGIONS_MAX {
            self.regions.push(region);
        } else {
            self.cut = true;
        }
    }
}

impl Guardrail {
    /// Its operations as patterns for a receiver, as those of [`Guardrail::list`]. What cannot be said in a dialect is left out,
    /// as it cannot be done there.
    pub(crate) fn patterns(&self, (protocol, allowances): Dialect) -> Vec<Pattern> {
        let texts = self.texts.iter();
        let patterns = texts.filter_map(|text| Pattern::parse(text, protocol, allowances).ok());
        let read = |pattern| readings(pattern, self.forbids);
        patterns.flat_map(read).collect()
    }
}

/// Every operation of a protocol, as few patterns.
fn everything((protocol, allowances): Dialect) -> Vec<Pattern> {
    const WIDEST: [&str; 5] = ["* /**", "WEBSOCKET /**", "*", "connect", "send"];
    let mut all: Vec<Pattern> = Vec::new();
    for text in WIDEST {
        if let Ok(pattern) = Pattern::parse(text, protocol, allowances)
            && !all.iter().any(|own| covers(own, &pattern))
        {
            all.push(pattern);
        }
    }
    all
}

fn segments(pattern: &Pattern) -> &[Segment] {
    pattern
        .requests()
        .map_or(&[][..], |requests| requests.segments.as_slice())
}

/// The pattern with each literal as a server reads it, and in each other spelling of `spellings`. `None`: more than
/// [`SPELLINGS_MAX`].
fn spelled(pattern: &Pattern, spellings: &Spellings) -> Option<Vec<Pattern>> {
    let mut all = vec![pattern.clone()];
    for (index, segment) in segments(pattern).iter().enumerate() {
        let Segment::Literal(text) = segment else {
            continue;
        };
        let read = path::plain(text).map_or_else(|| text.clone(), Into::into);
        let others = spellings
            .iter()
            .filter(|it| path::plain(it).is_some_and(|plain| *plain == *read));
        let variants: Vec<Box<str>> = others.cloned().chain([read.clone()]).collect();
        if variants.len() == 1 && read == *text {
            continue;
        }
        let each = |pattern: Pattern| {
            variants.iter().map(move |variant| {
                let mut pattern = pattern.clone();
                if let Pattern::Http(http) = &mut pattern {
                    http.segments[index] = Segment::Literal(variant.clone());
                }
                pattern
            })
        };
        if all.len() * variants.len() > SPELLINGS_MAX {
            return None;
        }
        all = all.into_iter().flat_map(each).collect();
    }
    Some(all)
}

/// The day before midnight `end`.
fn last_day(end: Timestamp) -> Option<Date> {
    end.to_zoned(TimeZone::UTC).date().yesterday().ok()
}
