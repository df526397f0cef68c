//! The simulation itself: what a host isolates, and that nothing of it stays.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::{Duration, Instant};

use ringfence_testbed::{Caller, Host};

fn every_caller(test: impl Fn(Caller, &Host)) {
    for caller in Caller::available() {
        test(caller, &Host::new(caller).unwrap());
    }
}

#[test]
fn a_host_has_a_loopback_device_and_nothing_else() {
    every_caller(|_, host| {
        let links = host.run(["ip", "-o", "link"]).unwrap().ok().stdout;
        assert_eq!(links.lines().count(), 1, "{links}");
        assert!(links.contains("lo") && links.contains("UP"), "{links}");
        assert_eq!(host.run(["ip", "route"]).unwrap().ok().stdout, "");
    });
}

#[test]
fn an_ordinary_caller_has_no_capability_and_root_has() {
    every_caller(|caller, host| {
        let status = host.run(["cat", "/proc/self/status"]).unwrap().ok().stdout;
        let line = status
            .lines()
            .find(|line| line.starts_with("CapEff:"))
            .unwrap();
        let none = line.ends_with("\t0000000000000000");
        let uid = host.run(["id", "-u"]).unwrap().ok().stdout;
        match caller {
            Caller::Ordinary => assert!(none && uid.trim() != "0", "{line}, uid {uid}"),
            Caller::Root => assert!(!none && uid.trim() == "0", "{line}, uid {uid}"),
        }
        // Whatever the caller is, setting the host up is possible.
        host.run_as_root(["ip", "addr", "add", "10.9.9.9/32", "dev", "lo"])
            .unwrap()
            .ok();
    });
}

#[test]
fn the_callers_directory_is_writable_and_the_environment_is_bare() {
    every_caller(|_, host| {
        let directory = host.directory("here").unwrap();
        let script = format!("echo yes >{}/file && env", directory.display());
        let env = host.run(["sh", "-c", &script]).unwrap().ok().stdout;
        assert_eq!(
            std::fs::read_to_string(directory.join("file")).unwrap(),
            "yes\n"
        );
        assert!(!env.contains("CARGO"), "{env}");
    });
}

#[test]
fn all_callers_processes_share_one_user_namespace() {
    every_caller(|_, host| {
        let namespace = || {
            host.run(["readlink", "/proc/self/ns/user"])
                .unwrap()
                .ok()
                .stdout
        };
        assert_eq!(namespace(), namespace());
    });
}

#[test]
fn a_dropped_host_takes_its_processes_and_files_with_it() {
    let host = Host::new(Caller::own()).unwrap();
    let marker = format!("71{}", std::process::id());
    let mut sleeper = host
        .start_as_root(["sh", "-c", &format!("echo on; sleep {marker} & wait")])
        .unwrap();
    sleeper.wait_stdout("on", Duration::from_secs(10)).unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    while !host
        .processes()
        .unwrap()
        .iter()
        .any(|(_, line)| line == &format!("sleep {marker}"))
    {
        assert!(Instant::now() < deadline, "{:?}", host.processes());
    }
    assert!(sleeper.is_running().unwrap());
    let path = host.path().to_owned();
    drop(host);
    assert!(!path.exists());
    let deadline = Instant::now() + Duration::from_secs(5);
    while runs_here(&marker) {
        assert!(Instant::now() < deadline, "sleep {marker} is still there");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a `sleep MARKER` runs anywhere on this machine.
fn runs_here(marker: &str) -> bool {
    let wanted = format!("sleep\0{marker}\0");
    let processes = std::fs::read_dir("/proc").unwrap();
    processes.flatten().any(|entry| {
        std::fs::read_to_string(entry.path().join("cmdline")).is_ok_and(|line| line == wanted)
    })
}

#[test]
fn dropping_a_process_ends_it_and_not_only_what_stands_before_it() {
    every_caller(|_, host| {
        let marker = format!("72{}", std::process::id());
        let mut sleeper = host
            .start(["sh", "-c", &format!("echo on; exec sleep {marker}")])
            .unwrap();
        sleeper.wait_stdout("on", Duration::from_secs(10)).unwrap();
        assert!(sleeper.is_running().unwrap());
        drop(sleeper);
        let deadline = Instant::now() + Duration::from_secs(5);
        while runs_here(&marker) {
            assert!(Instant::now() < deadline, "sleep {marker} is still there");
            std::thread::sleep(Duration::from_millis(10));
        }
    });
}

#[test]
fn a_command_that_fails_says_so() {
    let host = Host::new(Caller::own()).unwrap();
    let output = host
        .run(["sh", "-c", "echo out; echo err >&2; exit 7"])
        .unwrap();
    assert_eq!(
        (output.code, output.stdout.as_str(), output.stderr.as_str()),
        (Some(7), "out\n", "err\n")
    );
    let output = host.run(["sh", "-c", "kill -9 $$"]).unwrap();
    assert!(
        output.signal == Some(9) || output.code == Some(137),
        "{output:?}"
    );
}
