//! The examples of `docs/policy.md` and `docs/conditions.md` load, compile and mean what the pages say.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::*;
use ringfence_model::load;
use ringfence_model::operation::{Concrete, Pattern};
use ringfence_model::path::Allowances;
use ringfence_model::{CanonicalPath, Protocol};

const PAGE: &str = include_str!("../../../docs/policy.md");
const CONDITIONS: &str = include_str!("../../../docs/conditions.md");

/// Whole resources; parts of them are shown too.
fn examples(page: &str) -> Vec<&str> {
    page.split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .filter(|text| text.starts_with("apiVersion"))
        .collect()
}

/// Its tests hold, or it would not compile.
#[test]
fn the_example_of_conditions_holds() {
    let [example] = examples(CONDITIONS)[..] else {
        panic!()
    };
    let estate = load::documents(&[("a.yaml", example.as_bytes())]).unwrap();
    let tests: usize = estate
        .policies
        .iter()
        .map(|policy| policy.tests.len())
        .sum();
    assert_eq!(tests, 4);
    try_compile(&estate).unwrap_or_else(|errors| panic!("{errors}"));
}

#[test]
fn the_examples_load_and_decide_as_told() {
    let examples = examples(PAGE);
    assert_eq!(examples.len(), 3);
    let files: Vec<(String, &[u8])> = examples
        .iter()
        .enumerate()
        .map(|(n, text)| (format!("{n}.yaml"), text.as_bytes()))
        .collect();
    let files: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(name, text)| (name.as_str(), *text))
        .collect();
    let estate = load::documents(&files).unwrap_or_else(|errors| panic!("{errors}"));
    let snapshot = try_compile(&estate).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(allows(
        &snapshot,
        "customer-service",
        "customer-data",
        "PATCH /customers/1/notes"
    ));
    assert!(!allows(&snapshot, "customer-service", "model-api", "GET /"));
    assert_eq!(estate.guardrails.len(), 1);
}

/// The table of patterns: what each matches and does not.
#[test]
fn the_table_of_patterns_is_true() {
    let table = PAGE.split("| pattern | matches |").nth(1).unwrap();
    let mut rows = 0;
    for row in table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
    {
        let cells: Vec<&str> = row.split(" | ").collect();
        let codes = |cell: &'static str| cell.split('`').skip(1).step_by(2);
        let pattern = codes(cells[0]).next().unwrap();
        let pattern = Pattern::parse(pattern, Protocol::Http, Allowances::default()).unwrap();
        for (cell, wanted) in [(cells[1], true), (cells[2], false)] {
            for operation in codes(cell) {
                let operation = Concrete::parse(operation, Protocol::Http, Allowances::default());
                let exact = Pattern::parse(
                    &operation.unwrap().to_string(),
                    Protocol::Http,
                    Allowances::default(),
                );
                assert_eq!(pattern.overlaps(&exact.unwrap()), wanted, "{row}");
                rows += 1;
            }
        }
    }
    assert_eq!(rows, 13);
}

/// The table of refused paths: each is refused, and the form that opts in opens it.
#[test]
fn the_table_of_refused_paths_is_true() {
    let table = PAGE.split("| refused | example | opt in |").nth(1).unwrap();
    let mut opened = 0;
    for row in table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
    {
        let cells: Vec<&str> = row.split(" | ").collect();
        let form = cells[2].split('`').nth(1);
        for path in cells[1].split('`').skip(1).step_by(2) {
            assert!(
                CanonicalPath::new(path.as_bytes(), Allowances::default()).is_err(),
                "{row}"
            );
            let mut allowances = Allowances::default();
            match form {
                Some("encoded-slash") => allowances.encoded_slash = true,
                Some("encoded-backslash") => allowances.encoded_backslash = true,
                Some("empty-segment") => allowances.empty_segment = true,
                Some("semicolon") => allowances.semicolon = true,
                Some("raw-non-ascii") => allowances.raw_non_ascii = true,
                Some("double-escape") => allowances.double_escape = true,
                Some("not-utf-8") => allowances.not_utf8 = true,
                Some(other) => panic!("{other}"),
                None => continue,
            }
            assert!(
                CanonicalPath::new(path.as_bytes(), allowances).is_ok(),
                "{row}"
            );
            opened += 1;
        }
    }
    assert_eq!(opened, 7);
}

#[test]
fn the_bounds_are_those_of_the_code() {
    use ringfence_model::{operation, path};
    for (row, value) in [
        ("one file | 1 MiB", load::FILE_MAX == 1 << 20),
        ("all files | 64 MiB", load::TOTAL_MAX == 64 << 20),
        ("files and directories | 10,000", load::FILES_MAX == 10_000),
        (
            "nesting of directories | 32",
            load::DIRECTORY_DEPTH_MAX == 32,
        ),
        (
            "nesting of lists and mappings | 32",
            load::NESTING_MAX == 32,
        ),
        (
            "aliases expanded | 1,000,000",
            load::VALUES_MAX == 1_000_000,
        ),
        ("errors told | 1,000", load::DIAGNOSTICS_MAX == 1_000),
        ("`exempt` | 1,024 bytes", load::TEXT_MAX == 1_024),
        ("path of an operation | 8 KiB", path::PATH_MAX == 8 << 10),
        (
            "segments of a pattern | 256",
            operation::PATTERN_SEGMENTS_MAX == 256,
        ),
        ("method | 64 bytes", operation::METHOD_MAX == 64),
    ] {
        assert!(value && PAGE.contains(row), "{row}");
    }
}
