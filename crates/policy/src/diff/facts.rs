//! What resources say differently beside operations: who is there, what they serve, who may claim to be them, modes, dates.
//!
//! Each resource is taken apart field by field, so that a field nobody thought of does not compile.

use std::collections::BTreeMap;

use ringfence_model::resource::{
    Agent, Entry, Exemption, Filesystem, Forbids, Guardrail, Mode, ModeKind, Policy, Selector,
    Serves, Service, Test,
};
use ringfence_model::{Estate, Name};
use serde::Serialize;
use serde_json::Value;

/// Which way a fact changes what is possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// More may be possible for it.
    Widens,
    /// It may be either.
    Unknown,
    /// Less may be possible for it.
    Narrows,
    /// It decides nothing: words for people, tests, amounts.
    Note,
}

impl Direction {
    /// As outputs write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Widens => "widens",
            Self::Unknown => "unknown",
            Self::Narrows => "narrows",
            Self::Note => "note",
        }
    }
}

/// One thing that is said differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Kind and name: `service ledger`.
    pub about: String,
    /// The field, or `resource` where all of it appears or vanishes.
    pub what: &'static str,
    /// As it was; `None`: it was not there.
    pub before: Option<String>,
    /// As it is; `None`: it is not there any more.
    pub after: Option<String>,
    /// Which way it goes. What it does to operations stands in changes as well.
    pub direction: Direction,
}

/// All that two estates say differently and that is no operation of a list.
pub fn facts(old: &Estate, new: &Estate) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut kinds = Kinds { facts: &mut facts };
    kinds.each(
        "agent",
        &old.agents,
        &new.agents,
        |it| &it.name,
        agent,
        Direction::Note,
    );
    kinds.each(
        "service",
        &old.services,
        &new.services,
        |it| &it.name,
        service,
        Direction::Note,
    );
    kinds.each(
        "policy",
        &old.policies,
        &new.policies,
        |it| &it.name,
        policy,
        Direction::Note,
    );
    kinds.each(
        "guardrail",
        &old.guardrails,
        &new.guardrails,
        |it| &it.name,
        guardrail,
        Direction::Narrows,
    );
    kinds.each(
        "test",
        &old.tests,
        &new.tests,
        |it| &it.name,
        test,
        Direction::Note,
    );
    facts
}

struct Kinds<'f> {
    facts: &'f mut Vec<Fact>,
}

impl Kinds<'_> {
    fn each<T>(
        &mut self,
        kind: &str,
        old: &[T],
        new: &[T],
        name: impl Fn(&T) -> &Name,
        compare: impl Fn(&mut About<'_>, &T, &T),
        appears: Direction,
    ) {
        let mut both: BTreeMap<&Name, (Option<&T>, Option<&T>)> = BTreeMap::new();
        for it in old {
            both.entry(name(it)).or_default().0 = Some(it);
        }
        for it in new {
            both.entry(name(it)).or_default().1 = Some(it);
        }
        for (name, pair) in both {
            let mut about = About {
                name: format!("{kind} {name}"),
                facts: self.facts,
            };
            match pair {
                (Some(old), Some(new)) => compare(&mut about, old, new),
                (None, Some(_)) => about.add("resource", None, Some("there".into()), appears),
                (Some(_), None) => {
                    about.add("resource", Some("there".into()), None, appears.turned());
                }
                (None, None) => {}
            }
        }
    }
}

impl Direction {
    fn turned(self) -> Self {
        match self {
            Self::Widens => Self::Narrows,
            Self::Narrows => Self::Widens,
            other => other,
        }
    }
}

struct About<'f> {
    name: String,
    facts: &'f mut Vec<Fact>,
}

impl About<'_> {
    fn add(
        &mut self,
        what: &'static str,
        before: Option<String>,
        after: Option<String>,
        direction: Direction,
    ) {
        self.facts.push(Fact {
            about: self.name.clone(),
            what,
            before,
            after,
            direction,
        });
    }

    /// Compares as people write it, without places.
    fn field<T: Serialize + ?Sized>(
        &mut self,
        what: &'static str,
        old: &T,
        new: &T,
        direction: Direction,
    ) {
        let (before, after) = (plain(old), plain(new));
        if before != after {
            self.add(what, text(before), text(after), direction);
        }
    }

    /// A list in which more is wider.
    fn wider<T: PartialEq + Serialize>(&mut self, what: &'static str, old: &[T], new: &[T]) {
        let within = |a: &[T], b: &[T]| a.iter().all(|it| b.contains(it));
        let direction = match (within(old, new), within(new, old)) {
            (true, true) => return,
            (true, false) => Direction::Widens,
            (false, true) => Direction::Narrows,
            (false, false) => Direction::Unknown,
        };
        self.field(what, old, new, direction);
    }
}

/// As JSON, without where it stands.
fn plain<T: Serialize + ?Sized>(value: &T) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.remove("at");
                fields.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut value = serde_json::to_value(value).unwrap_or(Value::Null);
    strip(&mut value);
    value
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

fn agent(about: &mut About<'_>, old: &Agent, new: &Agent) {
    let Agent {
        name: _,
        labels,
        purpose,
        owner,
        serves,
        hosts,
        attest,
        limits,
        at: _,
    } = old;
    about.field("attest", attest, &new.attest, Direction::Unknown);
    about.field("hosts", hosts, &new.hosts, Direction::Unknown);
    match (serves, &new.serves) {
        (Some(old), Some(new)) => {
            let Serves {
                protocol,
                port,
                path_allowances,
                record,
            } = old;
            about.field(
                "serves.protocol",
                protocol,
                &new.protocol,
                Direction::Unknown,
            );
            about.field("serves.port", port, &new.port, Direction::Unknown);
            about.field(
                "serves.paths",
                path_allowances,
                &new.path_allowances,
                Direction::Unknown,
            );
            about.field("serves.record", record, &new.record, Direction::Note);
        }
        (None, Some(_)) => about.field("serves", serves, &new.serves, Direction::Widens),
        (Some(_), None) => about.field("serves", serves, &new.serves, Direction::Narrows),
        (None, None) => {}
    }
    about.field("labels", labels, &new.labels, Direction::Note);
    about.field("purpose", purpose, &new.purpose, Direction::Note);
    about.field("owner", owner, &new.owner, Direction::Note);
    about.field("limits", limits, &new.limits, Direction::Note);
}

fn service(about: &mut About<'_>, old: &Service, new: &Service) {
    let Service {
        name: _,
        labels,
        protocol,
        port,
        hosts,
        owner,
        path_allowances,
        record,
        endpoints,
        mutual_auth,
        receive,
        attest,
        limits,
        at: _,
    } = old;
    about.field("protocol", protocol, &new.protocol, Direction::Unknown);
    about.field("port", port, &new.port, Direction::Unknown);
    about.field(
        "paths",
        path_allowances,
        &new.path_allowances,
        Direction::Unknown,
    );
    about.field("record", record, &new.record, Direction::Note);
    receives(about, receive.as_deref(), new.receive.as_deref());
    about.field("hosts", hosts, &new.hosts, Direction::Unknown);
    about.field("endpoints", endpoints, &new.endpoints, Direction::Unknown);
    exempt(about, mutual_auth.as_ref(), new.mutual_auth.as_ref());
    about.field("attest", attest, &new.attest, Direction::Unknown);
    about.field("labels", labels, &new.labels, Direction::Note);
    about.field("owner", owner, &new.owner, Direction::Note);
    about.field("limits", limits, &new.limits, Direction::Note);
}

/// A service without a list takes whoever names it.
fn receives(about: &mut About<'_>, old: Option<&[Entry]>, new: Option<&[Entry]>) {
    let words = |list: Option<&[Entry]>| match list {
        None => "none".to_owned(),
        Some(entries) => format!("a list of {}", entries.len()),
    };
    let direction = match (old, new) {
        (None, Some(_)) => Direction::Narrows,
        (Some(_), None) => Direction::Widens,
        _ => return,
    };
    about.add("receive", Some(words(old)), Some(words(new)), direction);
}

fn exempt(about: &mut About<'_>, old: Option<&Exemption>, new: Option<&Exemption>) {
    let until = |it: Option<&Exemption>| it.map(|it| it.until);
    let direction = if until(new) >= until(old) {
        Direction::Widens
    } else {
        Direction::Narrows
    };
    about.field("mutualAuth.until", &until(old), &until(new), direction);
    let reason = |it: Option<&Exemption>| it.map(|it| it.reason.clone());
    about.field(
        "mutualAuth.exempt",
        &reason(old),
        &reason(new),
        Direction::Note,
    );
}

fn policy(about: &mut About<'_>, old: &Policy, new: &Policy) {
    let Policy {
        name: _,
        subject,
        owner,
        review_by,
        mode: before,
        initiate: _,
        receive,
        tests,
        filesystem,
        at: _,
    } = old;
    about.field("subject", subject, &new.subject, Direction::Unknown);
    mode(about, before, &new.mode);
    if new.subject.kind == ringfence_model::Kind::Service {
        receives(about, receive.as_deref(), new.receive.as_deref());
    }
    let Filesystem {
        read,
        write,
        sockets,
    } = filesystem;
    about.wider("filesystem.read", read, &new.filesystem.read);
    about.wider("filesystem.write", write, &new.filesystem.write);
    let opened = if *sockets {
        Direction::Narrows
    } else {
        Direction::Widens
    };
    about.field(
        "filesystem.sockets",
        sockets,
        &new.filesystem.sockets,
        opened,
    );
    about.field("owner", owner, &new.owner, Direction::Note);
    about.field("reviewBy", review_by, &new.review_by, Direction::Note);
    about.field("tests", tests, &new.tests, Direction::Note);
}

fn mode(about: &mut About<'_>, old: &Mode, new: &Mode) {
    let words = |mode: &Mode| match mode.window() {
        None => ModeKind::Enforce.as_str().to_owned(),
        Some((_, until)) => format!("{} until {until}", mode.kind.as_str()),
    };
    let direction = match (old.window(), new.window()) {
        (None, None) => Direction::Note,
        (None, Some(_)) => Direction::Widens,
        (Some(_), None) => Direction::Narrows,
        (Some(old), Some(new)) if new.1 > old.1 => Direction::Widens,
        (Some(old), Some(new)) if new.1 < old.1 => Direction::Narrows,
        (Some(_), Some(_)) => Direction::Note,
    };
    if words(old) != words(new) {
        about.add("mode", Some(words(old)), Some(words(new)), direction);
    }
}

fn guardrail(about: &mut About<'_>, old: &Guardrail, new: &Guardrail) {
    let Guardrail {
        name: _,
        owner,
        reason,
        from,
        to,
        forbids,
        operations,
        when,
        at: _,
    } = old;
    selector(about, "from", from, &new.from);
    selector(about, "to", to, &new.to);
    let list = |it: &Guardrail| -> Vec<String> {
        it.operations.iter().map(|it| it.text.clone()).collect()
    };
    let key = |forbids| match forbids {
        Forbids::Listed => "deny",
        Forbids::Others => "only",
    };
    if *forbids == new.forbids {
        let start = about.facts.len();
        let texts: Vec<String> = operations.iter().map(|it| it.text.clone()).collect();
        about.wider(key(*forbids), &texts, &list(new));
        if *forbids == Forbids::Listed {
            for fact in &mut about.facts[start..] {
                fact.direction = fact.direction.turned();
            }
        }
    } else {
        let words = |it: &Guardrail| Some(format!("{} {}", key(it.forbids), list(it).join(", ")));
        about.add("operations", words(old), words(new), Direction::Unknown);
    }
    let text = |when: &Option<ringfence_model::resource::Condition>| {
        when.as_ref().map(|when| when.text.clone())
    };
    let direction = match (when, &new.when) {
        // It forbids in fewer cases.
        (None, Some(_)) => Direction::Widens,
        (Some(_), None) => Direction::Narrows,
        _ => Direction::Unknown,
    };
    about.field("when", &text(when), &text(&new.when), direction);
    about.field("reason", reason, &new.reason, Direction::Note);
    about.field("owner", owner, &new.owner, Direction::Note);
}

/// Whom a guardrail is about: more is narrower for everybody.
fn selector(about: &mut About<'_>, what: &'static str, old: &Selector, new: &Selector) {
    let words = |selector: &Selector| match selector {
        Selector::All => "*".to_owned(),
        Selector::Names(names) => {
            let mut names: Vec<&str> = names.iter().map(Name::as_str).collect();
            names.sort_unstable();
            names.join(", ")
        }
    };
    let within = |a: &Selector, b: &Selector| match (a, b) {
        (_, Selector::All) => true,
        (Selector::All, _) => false,
        (Selector::Names(a), Selector::Names(b)) => a.iter().all(|it| b.contains(it)),
    };
    let direction = match (within(old, new), within(new, old)) {
        (true, true) => return,
        (true, false) => Direction::Narrows,
        (false, true) => Direction::Widens,
        (false, false) => Direction::Unknown,
    };
    about.add(what, Some(words(old)), Some(words(new)), direction);
}

fn test(about: &mut About<'_>, old: &Test, new: &Test) {
    let Test {
        name: _,
        cases,
        reaches,
        at: _,
    } = old;
    about.field("tests", cases, &new.cases, Direction::Note);
    about.field("reach tests", reaches, &new.reaches, Direction::Note);
}
