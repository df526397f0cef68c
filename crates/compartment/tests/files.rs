//! What a workload sees of the host's files beyond the built root: paths of the policy, and the work directory.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::path::Path;

use ringfence_model::resource::Filesystem;
use support::{BOTH, Host, SOMEBODY, User, able, texts};

#[test]
fn paths_of_the_policy_are_shown_as_it_says() {
    if !able() {
        return;
    }
    let host = Host::new();
    let (read, write) = (
        host.state.path().join("models"),
        host.state.path().join("out"),
    );
    for directory in [&read, &write] {
        std::fs::create_dir(directory).unwrap();
        support::open_to_all(directory);
        std::fs::write(directory.join("file"), "content").unwrap();
    }
    std::os::unix::fs::chown(&write, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
    host.filesystem(Filesystem {
        read: vec![read.clone(), "/etc/passwd-".into()]
            .into_iter()
            .filter(|p| p.exists())
            .collect(),
        write: vec![write.clone()],
        sockets: false,
    });
    for user in BOTH {
        let program = format!(
            "import os
print(open('{0}/file').read())
for d in '{0}', '{1}':
    try: open(d + '/new', 'w').write('n'); print('written', os.stat(d + '/new').st_uid == os.getuid())
    except OSError as e: print(e.errno)
print(sorted(os.listdir('{2}')))",
            read.display(),
            write.display(),
            host.state.path().display()
        );
        let out = host.python(user, &program);
        let mut lines = out.lines();
        assert_eq!(lines.next(), Some("content"));
        assert_eq!(lines.next(), Some("30"), "read-only");
        assert_eq!(lines.next(), Some("written True"));
        assert_eq!(
            lines.next(),
            Some("['models', 'out']"),
            "nothing beside them"
        );
        let owner =
            std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(write.join("new")).unwrap());
        assert_eq!(owner, SOMEBODY, "{user:?}");
        std::fs::remove_file(write.join("new")).unwrap();
    }
}

#[test]
fn a_tree_with_a_host_socket_or_fifo_refuses_the_start() {
    if !able() {
        return;
    }
    let host = Host::new();
    let tree = host.state.path().join("tree");
    let deep = tree.join("a/b");
    std::fs::create_dir_all(&deep).unwrap();
    let speaks = deep.join("daemon.sock");
    let listener = std::os::unix::net::UnixListener::bind(&speaks).unwrap();
    let allow = |sockets| Filesystem {
        read: vec![tree.clone()],
        write: vec![],
        sockets,
    };
    for user in BOTH {
        host.filesystem(allow(false));
        let output = host.run(user, &["true"]);
        let (_, err) = texts(&output);
        assert_eq!(output.status.code(), Some(125), "{err}");
        assert!(
            err.contains("the socket")
                && err.contains("daemon.sock")
                && err.contains("sockets: true"),
            "{err}"
        );
        host.filesystem(allow(true));
        assert_eq!(host.run(user, &["true"]).status.code(), Some(0));
    }
    drop(listener);
    std::fs::remove_file(&speaks).unwrap();
    let fifo = deep.join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o666),
        0,
    )
    .unwrap();
    host.filesystem(allow(false));
    let (_, err) = texts(&host.run(User::Somebody, &["true"]));
    assert!(err.contains("the FIFO"), "{err}");
}

#[test]
fn a_work_directory_is_written_as_its_owner() {
    if !able() {
        return;
    }
    let host = Host::new();
    for (user, owner) in [
        (User::Root, 0),
        (User::Root, SOMEBODY),
        (User::Somebody, SOMEBODY),
    ] {
        let work = host.state.path().join(format!("work-{user:?}-{owner}"));
        std::fs::create_dir(&work).unwrap();
        std::os::unix::fs::chown(&work, Some(owner), Some(owner)).unwrap();
        let workdir = work.to_str().unwrap();
        let output = host
            .command(
                user,
                &["--workdir", workdir],
                &[
                    "/bin/sh",
                    "-c",
                    "echo x > f; mkdir d; cat f; stat -c %U f; pwd",
                ],
            )
            .output()
            .unwrap();
        let (out, err) = texts(&output);
        assert_eq!(out, "x\nagent\n/work\n", "{user:?} {owner}: {err}");
        let found = std::fs::metadata(work.join("d")).unwrap();
        assert_eq!(std::os::unix::fs::MetadataExt::uid(&found), owner);
    }
}

#[test]
fn a_work_directory_that_is_not_its_own_is_refused() {
    if !able() {
        return;
    }
    let host = Host::new();
    let config = host.state.path().join("config");
    std::fs::create_dir_all(config.join("inner")).unwrap();
    host.forbid(&config);
    let home = std::env::var("HOME").unwrap();
    for (path, word) in [
        ("/", "may not be /"),
        ("/etc", "part of /etc"),
        ("/usr/local", "part of /usr"),
        ("/root", "home"),
        (home.as_str(), "home"),
        ("/nowhere", "cannot be used"),
        (config.to_str().unwrap(), "of the node"),
        (config.join("inner").to_str().unwrap(), "of the node"),
        (host.state.path().to_str().unwrap(), "of the node"),
    ] {
        assert!(Path::new(path).is_absolute());
        let output = host
            .command(User::Root, &["--workdir", path], &["true"])
            .output()
            .unwrap();
        let (_, err) = texts(&output);
        assert_eq!(output.status.code(), Some(125), "{path}: {err}");
        assert!(err.contains(word) && err.contains("help:"), "{path}: {err}");
    }
}

#[test]
fn a_file_given_as_a_stream_cannot_be_opened_anew() {
    if !able() {
        return;
    }
    let host = Host::new();
    for user in BOTH {
        // Append-only for the workload; the file itself is anybody's.
        let path = host.state.path().join("append");
        std::fs::write(&path, "kept").unwrap();
        std::os::unix::fs::chown(&path, Some(SOMEBODY), None).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        std::fs::set_permissions(&path, mode).unwrap();
        let file = std::fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap();
        let program = "
for mode in 'r', 'w', 'r+':
    try: open('/proc/self/fd/1', mode); print('opened', mode)
    except OSError as e: print(e.errno)";
        let output = host
            .command(user, &[], &["/usr/bin/python3", "-c", program])
            .stdout(file)
            .stderr(std::process::Stdio::piped())
            .spawn()
            .and_then(std::process::Child::wait_with_output)
            .unwrap();
        assert!(output.status.success(), "{}", texts(&output).1);
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "kept13\n13\n13\n",
            "{user:?}"
        );
    }
}
