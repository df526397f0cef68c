//! `ringfence policy …` over files of a test's own.
#![allow(dead_code, reason = "no test needs all of it")]

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// A directory whose one file is `text`.
pub(crate) fn estate(text: &str) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("estate.yaml"), text).unwrap();
    root
}

/// `ringfence policy VERB --config ROOT ARGS`.
pub(crate) fn policy(verb: &str, root: &TempDir, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringfence"))
        .args(["policy", verb, "--config"])
        .arg(root.path())
        .args(args)
        .output()
        .unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// One JSON object a line.
pub(crate) fn lines(output: &Output) -> Vec<Value> {
    stdout(output)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}
