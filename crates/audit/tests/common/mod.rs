//! What the log's tests share: records to write, and a way to run a test's body in a process of its own.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ringfence_audit::{LogError, Reader};
use ringfence_model::flow::{Flow, Kind, Outcome};

/// A record that can be told from all others by `number`, with `padding` bytes of text.
pub(crate) fn flow(number: u64, padding: usize) -> Flow {
    Flow {
        node: "bank-1".into(),
        kind: Kind::Operation.into(),
        connection: format!("c{number}"),
        count: 1,
        source: "customer-service".into(),
        destination: "customer-data".into(),
        protocol: "http".into(),
        operation: "GET /customers/42".into(),
        outcome: Outcome::Allow.into(),
        reason: "p".repeat(padding),
        bytes_sent: number,
        ..Flow::default()
    }
}

/// Everything in the log, decoded.
pub(crate) fn all(directory: &Path) -> Result<Vec<Flow>, LogError> {
    let mut reader = Reader::open(directory)?;
    let mut flows = Vec::new();
    while let Some((seq, flow)) = reader.read()? {
        assert_eq!(seq.0, flows.len() as u64);
        flows.push(flow);
    }
    Ok(flows)
}

/// The first segment of the log in `directory`.
pub(crate) fn segment(directory: &Path) -> PathBuf {
    ringfence_audit::hot_directory(directory).join("00000000000000000000.seg")
}

/// Longer than the writer goes without a look at its file.
pub(crate) const LOOK: std::time::Duration = std::time::Duration::from_millis(20);

/// Set for the process that runs a test's body; names its directory.
pub(crate) const INSIDE: &str = "RINGFENCE_AUDIT_TEST_INSIDE";

/// A command that runs the test `name` of this binary again, with [`INSIDE`] set, by way of `wrapper`.
pub(crate) fn body(name: &str, directory: &Path, wrapper: &[&str]) -> Command {
    let own = std::env::current_exe().unwrap();
    let mut command = match wrapper {
        [] => Command::new(own),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(own);
            command
        }
    };
    command
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(INSIDE, directory);
    command
}

/// Asserts that the body ran, and ran well.
pub(crate) fn assert_passed(output: &Output) {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && stdout.contains("1 passed"),
        "{}\n{stdout}\n{stderr}",
        output.status
    );
}
