//! A compartment stands, as root and as somebody; what it shows, and what `run` says when it will not.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use support::{Host, User, able, open_to_all, texts};

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

#[test]
fn a_grant_for_one_program_starts_no_other() {
    if !able() {
        return;
    }
    let host = Host::new();
    let tools = tempfile::tempdir_in("/opt").unwrap();
    open_to_all(tools.path());
    let program = |name: &str| {
        let path = tools.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\necho {name}\n")).unwrap();
        open_to_all(&path);
        path
    };
    let (shown, other) = (program("shown"), program("other"));
    let link = tools.path().join("link");
    std::os::unix::fs::symlink(&shown, &link).unwrap();
    let run = || texts(&host.run(User::Somebody, &[link.to_str().unwrap()]));
    host.pin_and(|| {});
    assert_eq!(run().0, "shown\n");
    // The link leads elsewhere once the node has looked.
    let changed = link.clone();
    host.pin_and(move || {
        std::fs::remove_file(&changed).unwrap();
        std::os::unix::fs::symlink(&other, &changed).unwrap();
    });
    let (out, err) = run();
    assert!(
        out.is_empty() && err.contains("is another file in the compartment"),
        "{out} {err}"
    );
    // Without a pin it is whatever is found.
    assert_eq!(run().0, "other\n");
}
