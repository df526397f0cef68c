//! What DuckDB and pyarrow, which nobody here wrote, find in a sealed file.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::path::Path;
use std::process::Command;

use prost::Message;
use ringfence_archive::{COLUMNS, GROUP_ROWS, seal};
use ringfence_model::FlowRecord;
use serde_json::Value;

/// Runs `foreign.py`, with the readers that `scripts/deps test` puts there.
fn python(arguments: &[&str]) -> Vec<Value> {
    let peers = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .unwrap()
        .join("test/peers");
    assert!(
        peers.join("duckdb").is_dir(),
        "no DuckDB in {}: run `make deps`",
        peers.display()
    );
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign.py");
    let output = Command::new("python3")
        .arg(script)
        .args(arguments)
        .env("PYTHONPATH", peers)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let lines = String::from_utf8(output.stdout).unwrap();
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn foreign_readers_see_the_json_of_every_record() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("flows.parquet");
    let flows = common::flows(3000);
    seal(
        50,
        flows.iter().map(Message::encode_to_vec),
        [0xEE; 32],
        &path,
    )
    .unwrap();
    let expected: Vec<Value> = (50..)
        .zip(&flows)
        .map(|(seq, flow)| {
            let mut record = serde_json::to_value(FlowRecord::new(seq, flow).unwrap()).unwrap();
            record["time"] = flow.time_ns.into();
            if flow.last_time_ns != 0 {
                record["lastTime"] = flow.last_time_ns.into();
            }
            record
        })
        .collect();
    for reader in ["duckdb", "pyarrow"] {
        let rows = python(&[reader, path.to_str().unwrap()]);
        assert_eq!(rows.len(), expected.len(), "{reader}");
        for (row, expected) in rows.iter().zip(&expected) {
            assert_eq!(row, expected, "{reader}");
        }
    }
}

#[test]
fn foreign_readers_see_types_statistics_and_what_the_file_says_of_itself() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("flows.parquet");
    let leaves = common::mixed(2 * GROUP_ROWS + 5);
    let summary = seal(0, &leaves, [0xEE; 32], &path).unwrap();
    let about = &python(&["about", path.to_str().unwrap()])[0];
    let names: Vec<&str> = COLUMNS.iter().map(|column| column.name).collect();
    assert_eq!(about["columns"], serde_json::to_value(&names).unwrap());
    assert_eq!(about["time"], "timestamp[ns, tz=UTC]");
    assert_eq!(about["metadata"]["ringfence.sealed"], "3");
    assert_eq!(about["metadata"]["ringfence.schema"], "1");
    assert_eq!(about["metadata"]["ringfence.first_seq"], "0");
    assert_eq!(
        about["metadata"]["ringfence.last_seq"],
        (leaves.len() - 1).to_string()
    );
    assert_eq!(
        about["metadata"]["ringfence.records"],
        leaves.len().to_string()
    );
    assert_eq!(about["metadata"]["ringfence.root"], "ee".repeat(32));
    // Row groups can be passed over by number, and say how many leaves are kept whole.
    let groups = about["groups"].as_array().unwrap();
    let seqs: Vec<(u64, u64)> = groups
        .iter()
        .map(|group| {
            (
                group["seq"][0].as_u64().unwrap(),
                group["seq"][1].as_u64().unwrap(),
            )
        })
        .collect();
    let rows = GROUP_ROWS as u64;
    assert_eq!(
        seqs,
        [
            (0, rows - 1),
            (rows, 2 * rows - 1),
            (2 * rows, 2 * rows + 4)
        ]
    );
    assert_eq!(about["whole"], summary.kept_whole);
}
