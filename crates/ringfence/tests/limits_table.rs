//! `docs/limits.md` is true: every bound of the code stands in its tables with its value, and no other does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// How names of bounds end, outside of the files called `limits.rs` (there every constant is one).
const ENDINGS: &[&str] = &[
    "_MAX", "_MIN", "_TIMEOUT", "_WITHIN", "_LIMIT", "_TIME", "_EVERY", "_AFTER", "_BACKLOG",
];
/// Names that end like a bound and are none.
const NO_BOUNDS: &[&str] = &[
    // How amounts are written.
    "UNITS", // Follow from `RECORD_MAX` and from the smallest record there can be.
    "SPAN_MAX", "SPAN_MIN",
];
/// Crates of tests alone.
const TEST_CRATES: &[&str] = &["testbed"];
/// Beginnings of blocks of settings, made of constants that are listed one by one.
const BLOCKS: &[&str] = &["STANDARD"];

/// A constant of the code.
struct Constant {
    file: PathBuf,
    name: String,
    expression: String,
}

/// A name in the first column of a table.
#[derive(Debug)]
struct Listed {
    line: usize,
    places: Vec<String>,
    /// End of the path of the file that it is in, where the name alone does not tell.
    file: Option<String>,
    name: String,
    value: String,
    /// Tests that drive it to its edge.
    tests: Vec<String>,
}

#[test]
fn bounds_of_the_data_plane_name_tests_that_drive_them_to_their_edges() {
    /// Where a bound without a test is a gap.
    const HELD: [&str; 2] = ["crates/enforcer/", "crates/wire/"];
    let root = root();
    let listed = listed(&fs::read_to_string(root.join("docs/limits.md")).unwrap());
    let mut tests = BTreeSet::new();
    for each in fs::read_dir(root.join("crates")).unwrap() {
        every_source(&each.unwrap().path(), &mut |text| {
            tests.extend(tests_of(text).map(str::to_owned));
        });
    }
    let mut wrong = Vec::new();
    for row in &listed {
        let at = format!("docs/limits.md:{}: {}", row.line, row.name);
        let held = |place: &String| {
            HELD.iter()
                .any(|held| format!("{place}/").starts_with(held))
        };
        if row.tests.is_empty() && row.places.iter().any(held) {
            wrong.push(format!("{at} names no test"));
        }
        for test in row.tests.iter().filter(|test| !tests.contains(*test)) {
            wrong.push(format!("{at}: {test} is no test"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The names of the tests in a file: what is a function behind `#[test]`, or the like of a runtime.
fn tests_of(text: &str) -> impl Iterator<Item = &str> {
    let marks = text.split("#[test]").skip(1);
    let marks = marks.chain(text.split("#[tokio::test").skip(1));
    marks.filter_map(|after| {
        let (_, name) = after.split_once("fn ")?;
        name.split_once(['(', '<']).map(|(name, _)| name)
    })
}

fn every_source(directory: &Path, visit: &mut impl FnMut(&str)) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            every_source(&path, visit);
        } else if path.extension().is_some_and(|it| it == "rs") {
            visit(&fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn tables_and_code_have_the_same_bounds() {
    let root = root();
    let constants = constants(&root);
    let listed = listed(&fs::read_to_string(root.join("docs/limits.md")).unwrap());
    assert!(
        constants.len() > 300 && listed.len() > 150,
        "{} {}",
        constants.len(),
        listed.len()
    );
    let mut wrong = Vec::new();
    let mut covered = BTreeSet::new();
    // Where in its cell the last value of a row was found: the next one stands behind it.
    let mut found_until: BTreeMap<usize, usize> = BTreeMap::new();
    for row in &listed {
        let meant: Vec<&Constant> = constants.iter().filter(|it| row.means(&root, it)).collect();
        let at = format!("docs/limits.md:{}: {}", row.line, row.name);
        if meant.is_empty() {
            wrong.push(format!("{at} is no constant in {:?}", row.places));
        }
        for constant in meant {
            covered.insert((constant.file.clone(), constant.name.clone()));
            let texts = match evaluate(&constant.expression, constant, &constants) {
                Some(value) => value.texts(),
                None => {
                    wrong.push(format!("{at}: {:?} cannot be read", constant.expression));
                    continue;
                }
            };
            for spellings in texts {
                let from = found_until.get(&row.line).copied().unwrap_or(0);
                match spellings
                    .iter()
                    .find_map(|it| position(&row.value, it, from))
                {
                    Some(until) => {
                        found_until.insert(row.line, until);
                    }
                    // Two names may share one value.
                    None if spellings
                        .iter()
                        .any(|it| position(&row.value, it, 0).is_some()) => {}
                    None => wrong.push(format!(
                        "{at} is {:?} in {}, and {:?} in the table",
                        spellings,
                        constant.file.display(),
                        row.value
                    )),
                }
            }
        }
    }
    for constant in constants.iter().filter(|it| it.is_bound()) {
        if !covered.contains(&(constant.file.clone(), constant.name.clone())) {
            let file = constant.file.strip_prefix(&root).unwrap().display();
            wrong.push(format!("{} of {file} stands in no table", constant.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

impl Constant {
    fn is_bound(&self) -> bool {
        let in_limits = self.file.ends_with("limits.rs");
        let named = ENDINGS.iter().any(|ending| self.name.ends_with(ending));
        (in_limits || named || matches!(&*self.name, "PATIENCE" | "BACKLOG"))
            && !NO_BOUNDS.contains(&&*self.name)
            && !BLOCKS.contains(&&*self.name)
    }
}

impl Listed {
    fn means(&self, root: &Path, constant: &Constant) -> bool {
        self.name == constant.name
            && (self.places.iter()).any(|place| constant.file.starts_with(root.join(place)))
            && self
                .file
                .as_ref()
                .is_none_or(|file| constant.file.ends_with(file))
    }
}

/// Every constant of every crate that is shipped, but for those of its tests.
fn constants(root: &Path) -> Vec<Constant> {
    let mut constants = Vec::new();
    for each in fs::read_dir(root.join("crates")).unwrap() {
        let each = each.unwrap();
        if !TEST_CRATES.iter().any(|name| each.file_name() == *name) {
            sources(&each.path().join("src"), &mut |file, text| {
                let code = text
                    .split("#[cfg(test)]\nmod tests {")
                    .next()
                    .unwrap_or_default();
                constants.extend(of_file(file, code));
            });
        }
    }
    constants
}

fn sources(directory: &Path, visit: &mut impl FnMut(&Path, &str)) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "tests" {
            sources(&path, visit);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            visit(&path, &fs::read_to_string(&path).unwrap());
        }
    }
}

fn of_file(file: &Path, code: &str) -> Vec<Constant> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find("const ") {
        let starts = rest[..at]
            .chars()
            .next_back()
            .is_none_or(|before| before.is_whitespace());
        rest = &rest[at + "const ".len()..];
        let Some((name, after)) = rest.split_once(':') else {
            break;
        };
        let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        if !starts || name.is_empty() || !name.chars().all(is_name) {
            continue;
        }
        // The type of an array has a semicolon in brackets.
        let Some((_, value)) = after.split_once(" =") else {
            continue;
        };
        let end = value.find(';').unwrap_or(value.len());
        found.push(Constant {
            file: file.to_owned(),
            name: name.to_owned(),
            expression: value[..end]
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" "),
        });
    }
    found
}

/// What a constant is.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Number(u128),
    Milliseconds(u128),
    Microseconds(u128),
    /// Options of a mount, or numbers in a row of which the last is the largest.
    Text(String),
}

impl Value {
    /// What must stand in the table: one of the spellings of each.
    fn texts(&self) -> Vec<Vec<String>> {
        match self {
            Self::Number(number) => vec![spellings(*number)],
            Self::Milliseconds(time) => vec![times(*time)],
            Self::Microseconds(time) => vec![vec![format!("{time} µs")]],
            Self::Text(text) if text.contains('=') => {
                (text.split(',').filter_map(|option| option.split_once('=')))
                    .filter(|(name, _)| matches!(*name, "size" | "nr_inodes"))
                    .map(|(_, value)| spellings(bytes(value)))
                    .collect()
            }
            Self::Text(text) => {
                vec![spellings(
                    text.split(' ').next_back().unwrap().parse().unwrap(),
                )]
            }
        }
    }
}

fn bytes(text: &str) -> u128 {
    let digits = text.trim_end_matches(char::is_alphabetic);
    let shift = match &text[digits.len()..] {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        other => panic!("unit {other:?}"),
    };
    digits.parse::<u128>().unwrap() << shift
}

fn spellings(number: u128) -> Vec<String> {
    let plain = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in plain.chars().enumerate() {
        if index > 0 && (plain.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let mut all = Vec::new();
    for (unit, size) in [("GiB", 1u128 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if number >= size && number.is_multiple_of(size) {
            all.push(format!("{} {unit}", number / size));
        }
    }
    all.extend([grouped, plain]);
    match number {
        4 => all.push("a quarter".to_owned()),
        2 => all.push("half".to_owned()),
        _ if number == i64::MAX as u128 => all.push("2^63-1".to_owned()),
        _ => {}
    }
    all
}

fn times(milliseconds: u128) -> Vec<String> {
    let mut all = vec![format!("{milliseconds} ms")];
    if milliseconds.is_multiple_of(100) {
        all.push(format!("{} s", milliseconds as f64 / 1000.0));
    }
    for (unit, size) in [("min", 60_000), ("h", 3_600_000)] {
        if milliseconds.is_multiple_of(size) {
            all.push(format!("{} {unit}", milliseconds / size));
        }
    }
    match milliseconds {
        86_400_000 => all.push("one day".to_owned()),
        1_793_491_200_000 => all.push("2026-11-01".to_owned()),
        _ => {}
    }
    all
}

/// Where `wanted` ends in `text`, from byte `from` on, if it stands there as a whole.
fn position(text: &str, wanted: &str, from: usize) -> Option<usize> {
    const UNITS: &[&str] = &[" KiB", " MiB", " GiB", " ms", " s", " min", " h"];
    let has_unit = |rest: &str| {
        UNITS.iter().any(|unit| {
            rest.strip_prefix(unit)
                .is_some_and(|after| !after.starts_with(char::is_alphanumeric))
        })
    };
    text.match_indices(wanted)
        .map(|(at, _)| at)
        .filter(|at| *at >= from)
        .find_map(|at| {
            let (before, after) = (&text[..at], &text[at + wanted.len()..]);
            let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
            let continues = |after: &str| {
                let mut chars = after.chars();
                match chars.next() {
                    Some(',' | '.') => digit(chars.next()),
                    next => digit(next),
                }
            };
            let continued = before.ends_with([',', '.', '^']) || digit(before.chars().next_back());
            let measured = wanted.ends_with(|c: char| c.is_ascii_digit()) && has_unit(after);
            (!continued && !continues(after) && !measured).then_some(at + wanted.len())
        })
}

fn evaluate(expression: &str, at: &Constant, all: &[Constant]) -> Option<Value> {
    let text = expression.trim().trim_end_matches(" as u64").trim();
    if let Some(inner) = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
    {
        return Some(Value::Text(inner.to_owned()));
    }
    if let Some(list) = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
    {
        // A row of waits: the last repeats.
        let last = list.trim_end().trim_end_matches(',').rsplit(", ").next()?;
        return evaluate(last, at, all);
    }
    for (call, unit) in [("from_secs", 1000), ("from_millis", 1)] {
        if let Some((_, inner)) = text.split_once(&format!("Duration::{call}(")) {
            let Value::Number(count) = evaluate(inner.strip_suffix(')')?, at, all)? else {
                return None;
            };
            return Some(Value::Milliseconds(count * unit));
        }
    }
    if let Some((_, count)) = text.split_once("Duration::from_micros(") {
        return Some(Value::Microseconds(count.strip_suffix(')')?.parse().ok()?));
    }
    if let Some((_, rest)) = text.split_once("Timespec { tv_sec: ") {
        let Value::Number(seconds) = evaluate(rest.split(',').next()?, at, all)? else {
            return None;
        };
        return Some(Value::Milliseconds(seconds * 1000));
    }
    if text == "i64::MAX" {
        return Some(Value::Number(i64::MAX as u128));
    }
    let mut product = 1;
    for factor in text.split(" * ") {
        let digits: String = factor.chars().filter(|c| *c != '_').collect();
        match digits.parse::<u128>() {
            Ok(number) => product *= number,
            // Another constant: of the same file, or the only one of its name.
            Err(_) => {
                let name = factor.rsplit("::").next()?;
                let mut named = all.iter().filter(|other| other.name == name);
                let other = (all.iter())
                    .find(|other| other.name == name && other.file == at.file)
                    .or_else(|| named.next())?;
                match evaluate(&other.expression, other, all)? {
                    Value::Number(number) => product *= number,
                    other if text == factor => return Some(other),
                    _ => return None,
                }
            }
        }
    }
    Some(Value::Number(product))
}

/// The names in the first columns of the tables, with the files that the heading above them names.
fn listed(page: &str) -> Vec<Listed> {
    let mut places = Vec::new();
    let mut found = Vec::new();
    for (index, line) in page.lines().enumerate() {
        if line.starts_with('#') {
            places = quoted(line)
                .into_iter()
                .filter(|it| it.starts_with("crates/"))
                .collect();
        }
        let cells: Vec<&str> = line.split(" | ").collect();
        if !line.starts_with("| `") || cells.len() != 5 {
            continue;
        }
        for word in quoted(cells[0]) {
            if word.ends_with(".rs") {
                let last: &mut Listed = found.last_mut().expect("a file stands behind a name");
                last.file = Some(word);
            } else {
                found.push(Listed {
                    line: index + 1,
                    places: places.clone(),
                    file: None,
                    name: word,
                    value: cells[1].to_owned(),
                    tests: (cells[4].rsplit_once(" (test"))
                        .map(|(_, tests)| quoted(tests))
                        .unwrap_or_default(),
                });
            }
        }
    }
    found
}

/// What stands between back quotes.
fn quoted(text: &str) -> Vec<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_value_is_found_as_a_whole_only() {
    for (text, wanted, found) in [
        ("64 KiB, 64", "64", true),
        ("64 KiB", "64", false),
        ("16,384", "384", false),
        ("16,384", "16", false),
        ("100 in 1 s", "1 s", true),
        ("1.5 s", "5 s", false),
        ("150 ms, 1 s", "150 ms", true),
        ("4096 bytes", "4096", true),
        ("2 sockets", "2", true),
    ] {
        assert_eq!(
            position(text, wanted, 0).is_some(),
            found,
            "{wanted} in {text}"
        );
    }
}
