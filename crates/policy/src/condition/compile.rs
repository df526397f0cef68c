//! From the text of a condition to something that can be asked, or to what is wrong with it.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use cel::Env;
use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue};
use ringfence_model::operation::{Pattern, Segment};
use ringfence_model::{Protocol, suggest};

use super::engine::{self, COST_MAX};
use super::needs::{Keys, Needs, Party};
use super::{Condition, ConditionError};

/// Deepest nesting of an expression, as a tree. Deeper is an error.
const DEPTH_MAX: usize = 48;
/// Deepest nesting of its text, for the parser.
const PARSE_DEPTH_MAX: u16 = 48;

/// Most copies of what it reads that a value may hold. More is an error: `.map(a, a + a)` doubles a text each time it is
/// written, whatever a step costs.
const SIZE_MAX: u64 = 64;
/// Steps for one element of a list or mapping that is no literal: it may copy what was sent.
const COPY_COST: u64 = 100;

const VARIABLES: [&str; 8] = [
    "request",
    "path",
    "source",
    "destination",
    "now",
    "task",
    "args",
    "body",
];
const REQUEST: [&str; 5] = ["method", "path", "host", "query", "headers"];
const PARTY: [&str; 5] = ["name", "kind", "id", "owner", "labels"];

/// What exists where a condition stands.
pub(crate) struct Allowed<'a> {
    /// What the receiver speaks; `None`: receivers of several kinds, so anything may be there.
    pub(crate) protocol: Option<Protocol>,
    /// Names of segments in its rule's pattern.
    pub(crate) names: &'a BTreeSet<Box<str>>,
}

/// The protocol of a pattern, and the names of its segments.
pub(crate) fn names_of(pattern: &Pattern) -> (Protocol, BTreeSet<Box<str>>) {
    let http = match pattern {
        Pattern::Connect => return (Protocol::Tcp, BTreeSet::new()),
        Pattern::Send => return (Protocol::Udp, BTreeSet::new()),
        // Calls have no segments with names.
        Pattern::Grpc(_) => return (Protocol::Grpc, BTreeSet::new()),
        Pattern::Http(http) => http,
    };
    let names = http.segments.iter().filter_map(|segment| match segment {
        Segment::One(name) => name.clone(),
        Segment::Literal(_) => None,
    });
    (Protocol::Http, names.collect())
}

/// What is wrong with a condition, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CompileError {
    pub(crate) message: String,
    pub(crate) help: String,
}

type Result<T> = std::result::Result<T, CompileError>;

fn wrong<T>(message: impl Into<String>, help: impl Into<String>) -> Result<T> {
    Err(CompileError {
        message: message.into(),
        help: help.into(),
    })
}

/// What the parser knows. Made once: putting it together takes longer than parsing a condition.
static SYNTAX: LazyLock<Env> = LazyLock::new(|| Env::stdlib().with_optional_support(false));

/// Parses and checks `text`.
pub(crate) fn compile(text: &str, allowed: &Allowed<'_>) -> Result<Condition> {
    // A fault in the parser must not cost the process.
    let parsed = super::contained(|| {
        SYNTAX
            .parser()
            .max_recursion_depth(PARSE_DEPTH_MAX)
            .parse(text)
    });
    const HELP: &str = "write a CEL expression, such as request.query.limit == '10'";
    let expr = match parsed {
        Ok(Ok(expr)) => expr,
        Ok(Err(errors)) => {
            let words = errors.to_string();
            let first = words.lines().next().unwrap_or("it cannot be parsed");
            return wrong(format!("when: {first}"), HELP);
        }
        Err(_panic) => return wrong("when: it cannot be parsed", HELP),
    };
    let mut checker = Checker {
        allowed,
        needs: Needs::default(),
        scope: Vec::new(),
    };
    let (expr, Weight { cost, .. }) = checker.expression(expr, 0)?;
    if cost > COST_MAX {
        let message = format!("when: {}", ConditionError::Cost);
        return wrong(message, "shorten it, or split the rule");
    }
    Ok(Condition {
        expr,
        needs: checker.needs,
        text: text.into(),
    })
}

struct Checker<'a> {
    allowed: &'a Allowed<'a>,
    needs: Needs,
    /// Variables of the loops around, and how large they may be.
    scope: Vec<(String, u64)>,
}

/// What an expression may come to.
#[derive(Clone, Copy)]
struct Weight {
    /// Steps to evaluate it once.
    cost: u64,
    /// How many times it may hold what was sent: copies multiply when loops follow each other.
    size: u64,
}

impl Checker<'_> {
    /// The expression with its loops charged, and what it weighs.
    fn expression(&mut self, ided: IdedExpr, depth: usize) -> Result<(IdedExpr, Weight)> {
        if depth > DEPTH_MAX {
            let message = format!("when: it nests deeper than {DEPTH_MAX} levels");
            return wrong(message, "split it, or group it with brackets");
        }
        let id = ided.id;
        let (mut cost, mut size) = (1, 1);
        let expr = match ided.expr {
            Expr::Unspecified => return wrong("when: a part of it is empty", "complete it"),
            Expr::Literal(literal) => {
                if let LiteralValue::String(text) = &literal {
                    self.needs.members.insert(text.inner().into());
                }
                Expr::Literal(literal)
            }
            Expr::Ident(name) => {
                self.variable(&name, &[], false)?;
                if let Some((_, own)) = self.scope.iter().rev().find(|(own, _)| *own == name) {
                    size = *own;
                }
                Expr::Ident(name)
            }
            Expr::Select(select) => {
                self.needs.members.insert(select.field.as_str().into());
                if let Some(names) = self.outer_name(&select.operand) {
                    let fields: Vec<&str> = names[1..]
                        .iter()
                        .map(String::as_str)
                        .chain([select.field.as_str()])
                        .collect();
                    self.variable(&names[0], &fields, select.test)?;
                    Expr::Select(select)
                } else {
                    let mut select = select;
                    let (operand, more) = self.expression(*select.operand, depth + 1)?;
                    select.operand = Box::new(operand);
                    cost += more.cost;
                    size = more.size;
                    Expr::Select(select)
                }
            }
            Expr::Call(mut call) => {
                let Some(weight) = engine::weight(&call.func_name) else {
                    let names = engine::FUNCTIONS
                        .iter()
                        .map(|(name, _)| *name)
                        .filter(|name| name.starts_with(|c: char| c.is_ascii_alphabetic()))
                        .chain(["has", "all", "exists", "exists_one", "map", "filter"]);
                    let help = suggest::help(
                        &call.func_name,
                        names,
                        "use size, contains, startsWith, endsWith, matches, exists or all",
                    );
                    return wrong(
                        format!("when: there is no function {}", call.func_name),
                        help,
                    );
                };
                cost += weight;
                if call.func_name == "matches" {
                    literal_regex(call.args.last())?;
                }
                if call.func_name == "_[_]"
                    && let [operand, index] = call.args.as_slice()
                    && let Some(key) = literal_text(index)
                    && let Some(names) = self.outer_name(operand)
                {
                    let fields: Vec<&str> =
                        names[1..].iter().map(String::as_str).chain([key]).collect();
                    self.variable(&names[0], &fields, false)?;
                    return Ok((
                        IdedExpr {
                            id,
                            expr: Expr::Call(call),
                        },
                        Weight { cost, size },
                    ));
                }
                if let Some(target) = call.target.take() {
                    let (target, more) = self.expression(*target, depth + 1)?;
                    cost += more.cost;
                    call.target = Some(Box::new(target));
                }
                let mut args = Vec::with_capacity(call.args.len());
                let mut held: u64 = 0;
                for arg in call.args {
                    let (arg, more) = self.expression(arg, depth + 1)?;
                    cost += more.cost;
                    held = held.saturating_add(more.size);
                    args.push(arg);
                }
                call.args = args;
                // All others make a number, a truth value or a text out of one argument.
                if matches!(call.func_name.as_str(), "_+_" | "_?_:_" | "_[_]" | "dyn") {
                    size = held;
                }
                Expr::Call(call)
            }
            Expr::List(mut list) => {
                let mut elements = Vec::with_capacity(list.elements.len());
                size = 0;
                for element in list.elements {
                    let (element, more) = self.expression(element, depth + 1)?;
                    self.holds(&element, more, (&mut cost, &mut size));
                    elements.push(element);
                }
                list.elements = elements;
                Expr::List(list)
            }
            Expr::Map(mut map) => {
                size = 0;
                for entry in &mut map.entries {
                    let EntryExpr::MapEntry(entry) = &mut entry.expr else {
                        return wrong("when: it makes a structure", "write a mapping or a list");
                    };
                    for part in [&mut entry.key, &mut entry.value] {
                        let (checked, more) = self.expression(std::mem::take(part), depth + 1)?;
                        self.holds(&checked, more, (&mut cost, &mut size));
                        *part = checked;
                    }
                }
                Expr::Map(map)
            }
            Expr::Struct(_) => {
                return wrong("when: it makes a structure", "write a mapping or a list");
            }
            Expr::Comprehension(mut it) => {
                let (range, over) = self.expression(it.iter_range, depth + 1)?;
                let (init, begun) = self.expression(it.accu_init, depth + 1)?;
                cost += over.cost + begun.cost;
                let outer = self.scope.len();
                self.scope.push((it.accu_var.clone(), begun.size));
                self.scope.push((it.iter_var.clone(), over.size));
                let second = it.iter_var2.clone().map(|name| (name, over.size));
                self.scope.extend(second);
                let (condition, a) = self.expression(it.loop_cond, depth + 1)?;
                let (step, b) = self.expression(it.loop_step, depth + 1)?;
                self.scope.truncate(outer);
                // Over all rounds, each element comes in once.
                self.scope.push((it.accu_var.clone(), b.size));
                let (result, more) = self.expression(it.result, depth + 1)?;
                self.scope.truncate(outer);
                cost += more.cost;
                size = more.size;
                let (a, b) = (a.cost, b.cost);
                it.iter_range = engine::charged(range, a.saturating_add(b));
                it.accu_init = init;
                it.loop_cond = condition;
                it.loop_step = step;
                it.result = result;
                Expr::Comprehension(it)
            }
        };
        if size > SIZE_MAX {
            let message = format!("when: it makes more than {SIZE_MAX} copies of what it reads");
            return wrong(message, "make lists and texts once, outside of map");
        }
        Ok((IdedExpr { id, expr }, Weight { cost, size }))
    }

    /// Adds what an element of a list or mapping weighs. Literals weigh nothing beside what is sent.
    fn holds(&self, element: &IdedExpr, more: Weight, (cost, size): (&mut u64, &mut u64)) {
        *cost += more.cost;
        if matches!(element.expr, Expr::Literal(_)) {
            *size = (*size).max(1);
        } else {
            *cost += COPY_COST;
            *size = size.saturating_add(more.size);
        }
    }

    /// `a.b.c` and `a["b"]` as names, if `a` is a variable of ours and not of a loop.
    fn outer_name(&self, expr: &IdedExpr) -> Option<Vec<String>> {
        match &expr.expr {
            Expr::Ident(name) if !self.scope.iter().any(|(own, _)| own == name) => {
                Some(vec![name.clone()])
            }
            Expr::Select(select) if !select.test => {
                let mut names = self.outer_name(&select.operand)?;
                names.push(select.field.clone());
                Some(names)
            }
            Expr::Call(call) if call.func_name == "_[_]" => {
                let [operand, index] = call.args.as_slice() else {
                    return None;
                };
                let key = literal_text(index)?.to_owned();
                let mut names = self.outer_name(operand)?;
                names.push(key);
                Some(names)
            }
            _ => None,
        }
    }

    /// Notes that a variable is read, with the fields behind it. `test`: by `has(…)`.
    fn variable(&mut self, name: &str, fields: &[&str], test: bool) -> Result<()> {
        if self.scope.iter().any(|(own, _)| own == name) {
            return Ok(());
        }
        let only_http = |what: &str| match self.allowed.protocol {
            None | Some(Protocol::Http | Protocol::Http2) => Ok(()),
            Some(Protocol::Grpc) if what == "request" => Ok(()),
            Some(Protocol::Grpc) => wrong(
                format!("when: grpc has no {what}"),
                "ask after request.path, request.headers, source, destination or now",
            ),
            Some(protocol) => wrong(
                format!("when: {protocol} has no {what}"),
                "ask after source, destination or now",
            ),
        };
        match name {
            "request" => {
                only_http("request")?;
                let field = field_of("request", fields, &REQUEST)?;
                match field {
                    "method" => self.needs.method = true,
                    "path" => self.needs.path = true,
                    "host" => self.needs.host = true,
                    "query" => keys(&mut self.needs.query, fields.get(1).copied()),
                    _ => {
                        if let Some(name) = fields.get(1)
                            && name.bytes().any(|b| b.is_ascii_uppercase())
                        {
                            let message = format!("when: header {name} is written in capitals");
                            let help = format!("write {}", name.to_ascii_lowercase());
                            return wrong(message, help);
                        }
                        keys(&mut self.needs.headers, fields.get(1).copied());
                    }
                }
            }
            "path" => {
                only_http("path")?;
                let Some(&name) = fields.first() else {
                    let help = "write path.NAME for a segment {NAME}, or request.path";
                    return wrong("when: path is not read as a whole", help);
                };
                let Some(known) = self.allowed.names.get(name) else {
                    let names = self.allowed.names.iter().map(|name| &**name);
                    let otherwise = "name a segment of the rule's own pattern, such as /{id}";
                    let help = suggest::help(name, names, otherwise);
                    return wrong(format!("when: the pattern has no segment {{{name}}}"), help);
                };
                self.needs.names.insert(known.clone());
            }
            "source" | "destination" => {
                let field = field_of(name, fields, &PARTY)?;
                let party = match name {
                    "source" => &mut self.needs.source,
                    _ => &mut self.needs.destination,
                };
                note(party, field);
            }
            "now" => {
                if !fields.is_empty() || test {
                    let help =
                        "compare it with timestamp('2027-01-31T00:00:00Z'), or call now.getHours()";
                    return wrong("when: now has no fields", help);
                }
                self.needs.now = true;
            }
            "task" => self.needs.task = true,
            "args" => {
                if let Some(protocol) = self.allowed.protocol {
                    let help = "ask after request, path or body: args are of protocols with calls";
                    return wrong(format!("when: {protocol} has no args"), help);
                }
                self.needs.args = true;
            }
            "body" => {
                only_http("body")?;
                self.needs.body = true;
                let members = fields.iter().map(|&field| field.into());
                self.needs.members.extend(members);
            }
            other => {
                let otherwise = format!("it is one of {}", VARIABLES.join(", "));
                let help = suggest::help(other, VARIABLES, &otherwise);
                return wrong(format!("when: there is no {other}"), help);
            }
        }
        Ok(())
    }
}

/// The first of `fields`, which must be one of `known`.
fn field_of<'n>(name: &str, fields: &[&'n str], known: &[&'n str]) -> Result<&'n str> {
    let Some(&field) = fields.first() else {
        let help = format!("read one of its fields: {}", known.join(", "));
        return wrong(format!("when: {name} is not read as a whole"), help);
    };
    if known.contains(&field) {
        return Ok(field);
    }
    let otherwise = format!("it has {}", known.join(", "));
    let help = suggest::help(field, known.iter().copied(), &otherwise);
    wrong(format!("when: {name} has no {field}"), help)
}

fn keys(keys: &mut Keys, key: Option<&str>) {
    match key {
        Some(key) => keys.add(key),
        None => *keys = Keys::All,
    }
}

fn note(party: &mut Party, field: &str) {
    match field {
        "name" => party.name = true,
        "kind" => party.kind = true,
        "id" => party.id = true,
        "owner" => party.owner = true,
        _ => party.labels = true,
    }
}

fn literal_text(expr: &IdedExpr) -> Option<&str> {
    match &expr.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}

fn literal_regex(pattern: Option<&IdedExpr>) -> Result<()> {
    let Some(text) = pattern.and_then(literal_text) else {
        let help = "write the pattern in quotes: what a workload sends is never a pattern";
        return wrong("when: matches takes a literal", help);
    };
    match engine::regex(text) {
        Ok(_) => Ok(()),
        Err(error) => {
            let words = error.to_string();
            let last = words.lines().last().unwrap_or("it is no pattern").trim();
            wrong(
                format!("when: the pattern of matches: {last}"),
                "write it in RE2 syntax",
            )
        }
    }
}
