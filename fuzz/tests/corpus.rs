//! Every input that was worth keeping goes through its target, without an engine.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests; a test that fails should panic"
)]

use std::collections::BTreeSet;
use std::fs;
use std::panic::{catch_unwind, set_hook, take_hook};
use std::path::{Path, PathBuf};

use ringfence_fuzz::{TARGETS, Target, is_contained};

/// Most bytes of all inputs together: they are in every clone.
const CORPUS_MAX: u64 = 2 * 1024 * 1024;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn inputs(target: &Target) -> Vec<PathBuf> {
    let directory = corpus().join(target.name);
    let entries =
        fs::read_dir(&directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
    let mut inputs: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    inputs
}

#[test]
fn every_kept_input_passes_its_target() {
    // Code of others that breaks down is no find, and a report of each would bury those.
    let report = take_hook();
    set_hook(Box::new(move |panic| {
        if !is_contained() {
            report(panic);
        }
    }));
    let mut failed = Vec::new();
    for target in TARGETS {
        let inputs = inputs(target);
        assert!(
            inputs.len() >= 3,
            "{}: a corpus of {}",
            target.name,
            inputs.len()
        );
        for path in inputs {
            let bytes = fs::read(&path).unwrap();
            if catch_unwind(|| (target.run)(&bytes)).is_err() {
                failed.push(path);
            }
        }
    }
    assert!(
        failed.is_empty(),
        "these inputs break their targets: {failed:#?}"
    );
}

#[test]
fn every_folder_of_inputs_belongs_to_a_target_and_all_are_small() {
    let names: BTreeSet<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(names.len(), TARGETS.len(), "a name stands twice");
    let folders: BTreeSet<String> = fs::read_dir(corpus())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(folders.iter().map(String::as_str).eq(names.iter().copied()));
    for entry in fs::read_dir(corpus().with_file_name("dictionaries")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let of = name.strip_suffix(".dict");
        assert!(
            of.is_some_and(|of| names.contains(of)),
            "dictionary {name} is nobody's"
        );
    }
    let mut bytes = 0;
    for target in TARGETS {
        for path in inputs(target) {
            let length = fs::metadata(&path).unwrap().len();
            assert!(length <= target.length_max as u64, "{}", path.display());
            bytes += length;
        }
    }
    assert!(bytes <= CORPUS_MAX, "{bytes} bytes");
}
