//! A compartment stands, as root and as somebody; what it shows, and what `run` says when it will not.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use support::{Host, User, able, texts};

#[test]
fn a_workload_runs_as_root_and_as_somebody() {
    if !able() {
        return;
    }
    let host = Host::new();
    for user in [User::Root, User::Somebody] {
        let output = host.run(user, &["/bin/sh", "-c", "echo hello; id -u; exit 7"]);
        let (out, err) = texts(&output);
        assert_eq!(output.status.code(), Some(7), "{user:?}: {out} {err}");
        let id = if user == User::Root {
            1000
        } else {
            support::SOMEBODY
        };
        assert_eq!(out, format!("hello\n{id}\n"), "{user:?}: {err}");
    }
    assert!(
        host.notes().rejected.is_empty(),
        "{:?}",
        host.notes().rejected
    );
}
