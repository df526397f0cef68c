//! Decisions of the policy engine, one at a time, beside two peers on the same questions: a plain scan of the asking agent's
//! rules, and, for conditions, the evaluator alone.

use std::collections::HashMap;
use std::hint::black_box;
use std::io;
use std::time::Instant;

use allocation_counter::measure;
use cel::{Context, Env, Program, Value};
use jiff::Timestamp;
use ringfence_model::operation::Pattern;
use ringfence_model::path::Allowances;
use ringfence_model::{CanonicalPath, Estate, Generation, HostName, Protocol};
use ringfence_policy::{
    Body, Moment, Operation, Request, Seen, Snapshot, WorkloadIx, provisional_addresses,
};
use serde_json::{Value as Json, json};

use crate::estate::{Size, concrete};
use crate::spread::Spread;

/// Decides, and lets the peers decide the same.
#[derive(clap::Args)]
pub(crate) struct DecideArgs {
    #[arg(long, default_value_t = 10_000)]
    agents: usize,
    /// Services that each agent's policy names
    #[arg(long, default_value_t = 10)]
    rules: usize,
    /// Operations of each of them
    #[arg(long, default_value_t = 10)]
    operations: usize,
    /// Agents of the estate whose every operation has a condition
    #[arg(long, default_value_t = 100)]
    agents_with_when: usize,
    #[arg(long, default_value_t = 200_000)]
    questions: usize,
}

/// What every operation of the second estate asks, and what the requests of its questions carry: three in four below it.
const WHEN: &str = "int(request.headers['x-amount']) <= 300";
const AMOUNTS: [&str; 4] = ["12", "120", "300", "1200"];

/// Of five questions, one is about an operation that no rule has.
const ALLOWED_OF_FIVE: usize = 4;

struct Question {
    from: WorkloadIx,
    to: WorkloadIx,
    agent: usize,
    service: usize,
    method: &'static str,
    path: CanonicalPath,
    amount: &'static str,
    allowed: bool,
}

pub(crate) fn run(args: &DecideArgs) -> io::Result<Json> {
    let size = Size {
        agents: args.agents,
        rules: args.rules,
        operations: args.operations,
    };
    let plain = Compiled::of(size, None)?;
    let questions = plain.questions(args.questions)?;
    let scan = Scan::of(&plain.estate)?;
    let now = Timestamp::now();
    let ours = ask(&questions, |question| {
        let moment = Moment::at(now, Seen::Nothing);
        plain.decide(question, &moment) == question.allowed
    })?;
    let scanned = ask(&questions, |question| {
        scan.decide(question) == question.allowed
    })?;

    let conditional = Compiled::of(
        Size {
            agents: args.agents_with_when,
            ..size
        },
        Some(WHEN),
    )?;
    let questions = conditional.questions(args.questions)?;
    let expected = |question: &Question| question.allowed && question.amount != AMOUNTS[3];
    let with_when = ask(&questions, |question| {
        let headers = [("x-amount", question.amount.as_bytes())];
        let request = Request {
            host: "s0",
            query: None,
            headers: &headers,
            body: Body::None,
        };
        let moment = Moment::at(now, Seen::Request(&request));
        conditional.decide(question, &moment) == expected(question)
    })?;
    let env = std::sync::Arc::new(Env::stdlib());
    let program = Program::compile(WHEN).map_err(other)?;
    let alone = ask(&questions, |question| {
        holds(&env, &program, question.amount) == (question.amount != AMOUNTS[3])
    })?;
    Ok(json!({
        "plain": { "estate": plain.told(), "ours": ours, "linear scan": scanned },
        "when": { "estate": conditional.told(), "ours": with_when, "cel alone": alone },
        "clock_ns": clock_costs(),
    }))
}

fn other(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

/// The condition by the evaluator alone, its variables made as anybody would make them.
fn holds(env: &std::sync::Arc<Env>, program: &Program, amount: &str) -> bool {
    let headers = HashMap::from([("x-amount".to_owned(), Value::from(amount))]);
    let request = HashMap::from([("headers".to_owned(), Value::from(headers))]);
    let mut context = Context::with_env(std::sync::Arc::clone(env));
    context.add_variable_from_value("request", request);
    program.execute(&context) == Ok(Value::from(true))
}

/// An estate, compiled, and what that took.
struct Compiled {
    size: Size,
    estate: Estate,
    snapshot: Snapshot,
    load_seconds: f64,
    compile_seconds: f64,
    bytes: i64,
}

impl Compiled {
    fn of(size: Size, when: Option<&str>) -> io::Result<Self> {
        let zone = HostName::new("ringfence.internal").map_err(other)?;
        let began = Instant::now();
        let estate = size.load(when).map_err(other)?;
        let load_seconds = began.elapsed().as_secs_f64();
        let addresses = provisional_addresses(&estate);
        let mut compiled = None;
        let counted = measure(|| {
            let began = Instant::now();
            let snapshot = Snapshot::compile(Generation(1), &zone, &estate, &addresses);
            compiled = Some((snapshot, began.elapsed().as_secs_f64()));
        });
        let Some((Ok(snapshot), compile_seconds)) = compiled else {
            return Err(other("the estate does not compile"));
        };
        Ok(Self {
            size,
            estate,
            snapshot,
            load_seconds,
            compile_seconds,
            bytes: counted.bytes_current,
        })
    }

    fn told(&self) -> Json {
        json!({
            "agents": self.size.agents,
            "services": self.size.services(),
            "rules_per_agent": self.size.rules,
            "operations_per_rule": self.size.operations,
            "load_seconds": self.load_seconds,
            "compile_seconds": self.compile_seconds,
            "snapshot_bytes": self.bytes,
        })
    }

    /// Spread over the whole estate, so that caches help as little as they do a busy node.
    fn questions(&self, count: usize) -> io::Result<Vec<Question>> {
        let index = |name: String| {
            let found = self.snapshot.find(&name);
            found.ok_or_else(|| other(format!("{name} is not there")))
        };
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut random = move |below: usize| {
            // xorshift64: the questions are the same in every run.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below as u64) as usize
        };
        (0..count)
            .map(|number| {
                let (agent, rule) = (random(self.size.agents), random(self.size.rules));
                let service = self.size.service(agent, rule);
                let allowed = number % 5 < ALLOWED_OF_FIVE;
                let (method, path) =
                    concrete(random(self.size.operations), random(1_000_000), allowed);
                Ok(Question {
                    from: index(format!("a{agent}"))?,
                    to: index(format!("s{service}"))?,
                    agent,
                    service,
                    method,
                    path: CanonicalPath::new(path.as_bytes(), Allowances::default())
                        .map_err(other)?,
                    amount: AMOUNTS[random(AMOUNTS.len())],
                    allowed,
                })
            })
            .collect()
    }

    fn decide(&self, question: &Question, moment: &Moment<'_>) -> bool {
        let (method, path) = (question.method, &question.path);
        let operation = Operation::Http { method, path };
        self.snapshot
            .decide(question.from, question.to, operation, moment)
            .is_allowed()
    }
}

/// Each agent's rules in a row, in their order: what is left when nothing is compiled but patterns.
struct Scan(HashMap<String, Vec<(String, Pattern)>>);

impl Scan {
    fn of(estate: &Estate) -> io::Result<Self> {
        let mut agents = HashMap::new();
        for policy in &estate.policies {
            let mut rules = Vec::new();
            for entry in &policy.initiate {
                for operation in &entry.operations {
                    let pattern =
                        Pattern::parse(&operation.text, Protocol::Http, Allowances::default())
                            .map_err(other)?;
                    rules.push((entry.peer.name.to_string(), pattern));
                }
            }
            agents.insert(policy.subject.name.to_string(), rules);
        }
        Ok(Self(agents))
    }

    fn decide(&self, question: &Question) -> bool {
        // Names on the stack: the peer is not charged for making text of numbers.
        let (agent, service) = (
            Word::of('a', question.agent),
            Word::of('s', question.service),
        );
        self.0.get(agent.as_str()).is_some_and(|rules| {
            rules.iter().any(|(peer, pattern)| {
                peer == service.as_str()
                    && matches!(pattern, Pattern::Http(http) if http.matches(question.method, &question.path))
            })
        })
    }
}

/// A letter and a number.
struct Word([u8; 24], usize);

impl Word {
    fn of(letter: char, number: usize) -> Self {
        let mut digits = [0; 24];
        let mut at = digits.len();
        let mut left = number;
        loop {
            at -= 1;
            digits[at] = b'0' + (left % 10) as u8;
            left /= 10;
            if left == 0 {
                break;
            }
        }
        at -= 1;
        digits[at] = letter as u8;
        Self(digits, at)
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0[self.1..]).unwrap_or_default()
    }
}

/// Asks every question once to warm up and twice more: one by one for the spread, then all together for the mean and the
/// allocations. `decide` says whether the answer was the right one.
fn ask(questions: &[Question], decide: impl Fn(&Question) -> bool) -> io::Result<Json> {
    for question in questions {
        if !decide(question) {
            return Err(other(format!(
                "a wrong answer: a{} to s{}: {} {}, amount {}",
                question.agent,
                question.service,
                question.method,
                question.path.as_str(),
                question.amount
            )));
        }
    }
    let mut spread = Spread::with_capacity(questions.len());
    for question in questions {
        let began = Instant::now();
        black_box(decide(black_box(question)));
        spread.note(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    let mut took = 0.0;
    let counted = measure(|| {
        let began = Instant::now();
        for question in questions {
            black_box(decide(black_box(question)));
        }
        took = began.elapsed().as_secs_f64();
    });
    let count = questions.len() as f64;
    let mut told = spread.told();
    told["mean_ns"] = json!(took * 1e9 / count);
    told["allocations"] = json!(counted.count_total as f64 / count);
    Ok(told)
}

/// What looking at the clock twice adds to each duration told.
fn clock_costs() -> u64 {
    let mut spread = Spread::with_capacity(10_000);
    for _ in 0..10_000 {
        let began = Instant::now();
        spread.note(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    spread.at(500)
}
