//! Logs that earlier versions wrote and signed are read, and prove what they proved, for ever.
//!
//! `golden/schema-N` was made by the log's own writer and keeper when they wrote records of schema N: the segment, the tiles, the
//! checkpoint, the verifier key, a proof, and beside them the records as JSON. It is never made again: a new schema gets a new one.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};

use prost::Message;
use ringfence_archive::{SealedReader, seal};
use ringfence_audit::tree::{Keeper, Stretch, Verifier, check_proof, proof};
use ringfence_audit::{Log, Reader, Seq, hot_directory, void_leaf};
use ringfence_model::flow::Flow;
use ringfence_model::{FLOW_SCHEMA, FlowRecord};

/// Records before the one that was never completed.
const WHOLE: u64 = 300;
/// The record that the kept proof is about.
const PROVEN: u64 = 42;

fn golden(schema: u32) -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    tests.join(format!("schema-{schema}"))
}

/// A copy that may be written to.
fn copy(schema: u32) -> tempfile::TempDir {
    fn copy_into(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let to = to.join(entry.file_name());
            if entry.path().is_dir() {
                copy_into(&entry.path(), &to);
            } else {
                fs::copy(entry.path(), to).unwrap();
            }
        }
    }
    let directory = tempfile::tempdir().unwrap();
    copy_into(&golden(schema).join("log"), directory.path());
    directory
}

fn leaves(log: &Path) -> Vec<Vec<u8>> {
    let mut reader = Reader::open(log).unwrap();
    let mut leaves = Vec::new();
    while let Some((seq, leaf)) = reader.leaf().unwrap() {
        assert_eq!(seq, Seq(leaves.len() as u64));
        leaves.push(leaf.to_vec());
    }
    leaves
}

fn key(schema: u32) -> String {
    fs::read_to_string(golden(schema).join("log/key.pub")).unwrap()
}

/// What is wrong with a log, by the kept key.
fn doubts(log: &Path, schema: u32) -> (Vec<String>, u64, u64) {
    let everything = Stretch {
        from: 0,
        to: u64::MAX,
    };
    let mut verifier = Verifier::open(log, Some(&key(schema)), everything);
    let kept = fs::read(golden(schema).join("log/checkpoint")).unwrap();
    verifier.kept(&kept, Some(&key(schema)));
    verifier.segments(true);
    let report = verifier.finish();
    let doubts = report.doubts.into_iter().map(|doubt| doubt.what).collect();
    (doubts, report.checked, report.void)
}

#[test]
fn the_schema_that_is_written_has_a_golden_log() {
    let written = fs::read_dir(golden(1).parent().unwrap()).unwrap().count();
    assert_eq!(written, FLOW_SCHEMA as usize);
    let directory = tempfile::tempdir().unwrap();
    let log = Log::open(directory.path()).unwrap();
    log.record(&Flow::default()).unwrap();
    let flow = Reader::open(directory.path()).unwrap().read().unwrap();
    assert_eq!(flow.unwrap().1.schema, FLOW_SCHEMA);
}

#[test]
fn a_log_of_each_schema_is_read_as_it_was_written() {
    for schema in 1..=FLOW_SCHEMA {
        let log = copy(schema);
        let lines = fs::read_to_string(golden(schema).join("records.jsonl")).unwrap();
        let lines: Vec<&str> = lines.lines().collect();
        let leaves = leaves(log.path());
        assert_eq!((leaves.len(), lines.len() as u64), (lines.len(), WHOLE + 3));
        for (seq, (leaf, line)) in leaves.iter().zip(lines).enumerate() {
            let flow = Flow::decode(&leaf[..]).unwrap();
            assert_eq!(flow.schema, schema);
            let record = FlowRecord::new(seq as u64, &flow).unwrap();
            assert_eq!(serde_json::to_string(&record).unwrap(), line);
            let back: FlowRecord = serde_json::from_str(line).unwrap();
            assert_eq!(&back.to_flow().encode_to_vec(), leaf, "record {seq}");
        }
        assert_eq!(leaves[WHOLE as usize], void_leaf());
    }
}

#[test]
fn a_log_of_each_schema_verifies_and_its_proof_proves() {
    for schema in 1..=FLOW_SCHEMA {
        let log = copy(schema);
        assert_eq!(doubts(log.path(), schema), (vec![], WHOLE + 3, 1));
        let kept = fs::read_to_string(golden(schema).join("42.tlog-proof")).unwrap();
        let leaf = &leaves(log.path())[PROVEN as usize];
        let (seq, proven, _) = check_proof(&kept, &key(schema)).unwrap();
        assert_eq!((seq, &proven), (Seq(PROVEN), leaf));
        // Byte for byte, also what is made today.
        assert_eq!(proof(log.path(), Seq(PROVEN), leaf).unwrap(), kept);
        // And it goes on being one.
        let writer = Log::open(log.path()).unwrap();
        assert_eq!(writer.repairs(), []);
        assert_eq!(writer.record(&flow(7)).unwrap(), Seq(WHOLE + 3));
        drop(writer);
        assert_eq!(doubts(log.path(), schema), (vec![], WHOLE + 4, 1));
    }
}

#[test]
fn a_byte_of_a_golden_segment_that_is_changed_is_found() {
    for schema in 1..=FLOW_SCHEMA {
        let log = copy(schema);
        let path = hot_directory(log.path()).join("00000000000000000000.seg");
        let bytes = fs::read(&path).unwrap();
        // Of the slots' words, checksums, leaves and padding alike.
        for at in (0..30_000).step_by(601) {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            fs::write(&path, changed).unwrap();
            let (doubts, ..) = doubts(log.path(), schema);
            assert!(!doubts.is_empty(), "schema {schema}, byte {at}");
        }
    }
}

#[test]
fn a_log_of_each_schema_comes_back_from_its_sealed_form_byte_for_byte() {
    for schema in 1..=FLOW_SCHEMA {
        let log = copy(schema);
        let leaves = leaves(log.path());
        let sealed = log.path().join("00000000000000000000.parquet");
        let summary = seal(0, &leaves, [schema as u8; 32], &sealed).unwrap();
        // Only a row with a number that no column takes is kept beside them.
        let beyond = |leaf: &&Vec<u8>| {
            let flow = Flow::decode(leaf.as_slice()).unwrap();
            flow.bytes_received > i64::MAX as u64
        };
        let beyond = leaves.iter().filter(beyond).count() as u64;
        assert_eq!((summary.records, summary.kept_whole), (WHOLE + 3, beyond));
        let reader = SealedReader::open(&sealed).unwrap();
        let read: Vec<(u64, Vec<u8>)> = reader.map(Result::unwrap).collect();
        assert_eq!(read, (0..).zip(leaves).collect::<Vec<_>>());
    }
}

/// Every field has something now and then, and every kind, side and outcome is there.
fn flow(n: u64) -> Flow {
    let text = |of: &str, every: u64| {
        if n.is_multiple_of(every) {
            String::new()
        } else {
            format!("{of}-{}", n % 17)
        }
    };
    let kind = [1, 2, 3, 4, 5][(n % 5) as usize];
    Flow {
        schema: 1,
        time_ns: 1_795_000_000_000_000_000 + n * 1_234_567,
        node: "bank-1".into(),
        side: (n % 4) as i32,
        kind,
        connection: text("0f1e2d3c4b5a6978", 7),
        count: 1 + n % 101,
        source: text("agent", 11),
        source_instance: text("agent-1", 3),
        destination: text("service", 5),
        destination_instance: text("service-2", 4),
        original_destination: format!("100.64.0.{}:8080", n % 200),
        protocol: ["http", "grpc", "dns", "tcp", "udp", "tls"][(n % 6) as usize].into(),
        operation: format!("GET /bücher/{n}/\u{1f4b6}?\"\\\n"),
        outcome: 1 + (n % 4) as i32,
        reason: text("no rule names it; nearest: policy.yaml", 2),
        rule: text("policy.yaml:12", 3),
        generation: n / 9,
        mode: ["enforce", "learn", "shadow", ""][(n % 4) as usize].into(),
        task: text("task", 13),
        purpose: "answers customers' questions".into(),
        bytes_sent: if kind == 3 { n << 40 } else { 0 },
        bytes_received: if kind == 3 { u64::MAX - n } else { 0 },
        duration_ns: if kind == 3 { n * 999_999_937 } else { 0 },
        ..Flow::default()
    }
}

/// Run by hand, once for each schema: `cargo test -p ringfence-history --test golden -- --ignored`.
#[test]
#[ignore = "makes the golden log of a new schema"]
fn make_a_golden_log() {
    let golden = golden(FLOW_SCHEMA);
    assert!(
        !golden.exists(),
        "{} is there; golden files are never made again",
        golden.display()
    );
    let directory = golden.join("log");
    fs::create_dir_all(&golden).unwrap();
    let log = Log::open(&directory).unwrap();
    for n in 0..=WHOLE {
        log.record(&flow(n)).unwrap();
    }
    drop(log);
    // As a crash leaves it: the last record was reserved and never completed.
    let path = hot_directory(&directory).join("00000000000000000000.seg");
    let mut bytes = fs::read(&path).unwrap();
    let (mut at, mut last) = (64, 64);
    while bytes[at] != 0 || bytes[at + 1] != 0 {
        last = at;
        let length = usize::from(bytes[at]) | usize::from(bytes[at + 1]) << 8;
        at += (8 + length).next_multiple_of(8);
    }
    bytes[last + 2] = 0x0f;
    fs::write(&path, bytes).unwrap();
    let log = Log::open(&directory).unwrap();
    log.record(&flow(WHOLE + 1)).unwrap();
    drop(log);
    let mut keeper = Keeper::open(&directory, "bank-1").unwrap();
    while keeper.turn().unwrap() {}
    fs::remove_file(directory.join("key")).unwrap();
    fs::remove_file(hot_directory(&directory).join("lock")).unwrap();
    let mut lines = String::new();
    for (seq, leaf) in leaves(&directory).iter().enumerate() {
        let flow = Flow::decode(&leaf[..]).unwrap();
        let record = FlowRecord::new(seq as u64, &flow).unwrap();
        lines.push_str(&serde_json::to_string(&record).unwrap());
        lines.push('\n');
    }
    fs::write(golden.join("records.jsonl"), lines).unwrap();
    let leaf = &leaves(&directory)[PROVEN as usize];
    let proof = proof(&directory, Seq(PROVEN), leaf).unwrap();
    fs::write(golden.join(format!("{PROVEN}.tlog-proof")), proof).unwrap();
}
