//! The evaluator's environment: its functions, and the bounds on what an evaluation may cost.
//!
//! Cost is counted in steps. Each node of an expression costs its weight once; a loop (`all`, `exists`, `map`, …) costs the
//! weight of its body for each element, taken before it starts, so the bound holds whatever `||` does to errors.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue};
use cel::common::types::{CelBool, CelInt, CelString, DYN_TYPE, INT_TYPE, STRING_TYPE};
use cel::common::value::CowVal;
use cel::{Context, Env, ExecutionError, Value};
use regex::Regex;

/// Most steps of one evaluation.
pub(crate) const COST_MAX: u64 = 100_000;
/// Largest compiled regular expression, in bytes.
pub(crate) const REGEX_MAX: usize = 256 * 1024;
/// Compiled expressions that one thread keeps.
const REGEXES_KEPT: usize = 256;

/// The name under which [`charged`] calls [`charge`]; no source text can spell it.
const CHARGE: &str = "@charge";

/// Functions a condition may call, and how much one call weighs. Operators have names of the parser's.
pub(crate) const FUNCTIONS: [(&str, u64); 43] = [
    ("_?_:_", 1),
    ("_&&_", 1),
    ("_||_", 1),
    ("!_", 1),
    ("-_", 1),
    ("_-_", 1),
    // Concatenates: at worst as much as a body holds.
    ("_+_", 1_000),
    ("_*_", 1),
    ("_/_", 1),
    ("_%_", 1),
    // Compare whole values: at worst as much as a body holds.
    ("_==_", 50),
    ("_!=_", 50),
    ("_>=_", 50),
    ("_<=_", 50),
    ("_>_", 50),
    ("_<_", 50),
    ("_[_]", 1),
    ("@in", 1_000),
    ("@not_strictly_false", 1),
    ("size", 200),
    ("contains", 200),
    ("startsWith", 50),
    ("endsWith", 50),
    ("matches", 2_000),
    ("int", 10),
    ("uint", 10),
    ("double", 10),
    ("string", 200),
    ("bool", 1),
    ("dyn", 1),
    ("type", 1),
    ("timestamp", 10),
    ("duration", 10),
    ("getFullYear", 10),
    ("getMonth", 10),
    ("getDate", 10),
    ("getDayOfMonth", 10),
    ("getDayOfWeek", 10),
    ("getDayOfYear", 10),
    ("getHours", 10),
    ("getMinutes", 10),
    ("getSeconds", 10),
    ("getMilliseconds", 10),
];

thread_local! {
    /// Steps left to the evaluation under way on this thread.
    static LEFT: Cell<u64> = const { Cell::new(0) };
    static SPENT: Cell<bool> = const { Cell::new(false) };
    static REGEXES: std::cell::RefCell<HashMap<Box<str>, Regex>> = std::cell::RefCell::default();
}

/// Why there is no value.
pub(crate) enum Fault {
    Cost,
    Evaluation(ExecutionError),
}

/// The variables of one evaluation.
pub(crate) type Variables = BTreeMap<&'static str, Value>;

pub(crate) fn evaluate(expr: &IdedExpr, variables: Variables) -> Result<Value, Fault> {
    let mut context = Context::with_env(Arc::clone(&ENV));
    for (name, value) in variables {
        context.add_variable_from_value(name, value);
    }
    LEFT.set(COST_MAX);
    SPENT.set(false);
    let value = context.resolve(expr);
    if SPENT.get() {
        return Err(Fault::Cost);
    }
    value.map_err(Fault::Evaluation)
}

/// What may be called, and how much it weighs.
pub(crate) fn weight(function: &str) -> Option<u64> {
    FUNCTIONS
        .iter()
        .find(|(name, _)| *name == function)
        .map(|(_, weight)| *weight)
}

/// A regular expression within bounds.
pub(crate) fn regex(text: &str) -> Result<Regex, regex::Error> {
    regex::RegexBuilder::new(text)
        .size_limit(REGEX_MAX)
        .dfa_size_limit(REGEX_MAX)
        .build()
}

/// `range`, charged with `weight` for each of its elements when it is evaluated.
pub(crate) fn charged(range: IdedExpr, weight: u64) -> IdedExpr {
    let id = range.id;
    let weight = i64::try_from(weight).unwrap_or(i64::MAX);
    let weight = Expr::Literal(LiteralValue::Int(CelInt::from(weight)));
    let call = CallExpr {
        func_name: CHARGE.to_owned(),
        target: None,
        args: vec![range, IdedExpr { id, expr: weight }],
    };
    IdedExpr {
        id,
        expr: Expr::Call(call),
    }
}

static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    // What cannot be declared cannot be called: an expression that uses it errors, and its rule does not match.
    let declared = [
        env.add_overload(CHARGE, "charge", vec![DYN_TYPE, INT_TYPE], charge),
        env.add_member_overload(
            "matches",
            "matches_string",
            STRING_TYPE,
            vec![STRING_TYPE],
            matches,
        ),
    ];
    #[cfg(test)]
    let declared = {
        let breaks = env.add_overload(BREAKS, "breaks", Vec::new(), breaks);
        declared.into_iter().chain([breaks]).collect::<Vec<_>>()
    };
    debug_assert!(declared.iter().all(Result::is_ok), "{declared:?}");
    Arc::new(env)
});

/// A function of the tests' own, which no source text can spell.
#[cfg(test)]
pub(crate) const BREAKS: &str = "@breaks";

/// Panics, provided that the panic is contained; else it is true.
#[cfg(test)]
fn breaks<'b, 'v>(_: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    assert!(!super::panic_is_contained(), "broken on purpose");
    Ok(CowVal::owned(CelBool::from(true)))
}

/// Takes the range of a loop and the weight of its body; gives the range back if there are steps enough.
fn charge<'b, 'v>(mut arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let weight = arguments.pop().and_then(|weight| {
        weight
            .downcast_ref::<CelInt>()
            .map(|weight| *weight.inner())
    });
    let (Some(weight), Some(range)) = (weight, arguments.pop()) else {
        return Err(ExecutionError::missing_argument_or_target());
    };
    let elements = match range.as_sizer() {
        Some(sizer) => *sizer.size().inner(),
        // No range: the loop itself says so.
        None => 0,
    };
    let cost = u64::try_from(elements.saturating_mul(weight)).unwrap_or(u64::MAX);
    match LEFT.get().checked_sub(cost) {
        Some(left) => {
            LEFT.set(left);
            Ok(range)
        }
        None => {
            SPENT.set(true);
            Err(ExecutionError::function_error(CHARGE, "over the bound"))
        }
    }
}

/// RE2 syntax, unanchored, as CEL has it. Patterns are literals, checked when the policy is compiled.
fn matches<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [text, pattern] = arguments.as_slice() else {
        return Err(ExecutionError::missing_argument_or_target());
    };
    let (Some(text), Some(pattern)) = (
        text.downcast_ref::<CelString<'_>>(),
        pattern.downcast_ref::<CelString<'_>>(),
    ) else {
        return Err(ExecutionError::missing_argument_or_target());
    };
    let (text, pattern) = (text.inner(), pattern.inner());
    REGEXES.with_borrow_mut(|regexes| {
        if !regexes.contains_key(pattern) {
            if regexes.len() >= REGEXES_KEPT {
                regexes.clear();
            }
            let compiled =
                regex(pattern).map_err(|error| ExecutionError::function_error("matches", error))?;
            regexes.insert(pattern.into(), compiled);
        }
        let found = regexes
            .get(pattern)
            .is_some_and(|regex| regex.is_match(text));
        Ok(CowVal::owned(CelBool::from(found)))
    })
}
