//! The shipped units under a real systemd, in namespaces of its own: it starts the node as hardened as the file says, tells
//! its workload by user, program and unit, and neither a restart nor a hang of the node ends that.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const SYSTEMD: &str = "/lib/systemd/systemd";
/// What runs on that host: see the scripts.
const BOOT: &str = include_str!("service_real/boot.sh");
const TELL: &str = include_str!("service_real/tell.sh");

fn copy(from: &Path, to: &Path, mode: u32) {
    std::fs::copy(from, to).unwrap();
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// A control group below our own in the hierarchy that systemd uses: what it makes there is seen by nobody else, and goes
/// with it.
struct Group(PathBuf);

impl Group {
    fn new() -> Self {
        let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap();
        let find = |start: &str| {
            groups
                .lines()
                .find_map(|line| line.split_once(start))
                .map(|(_, path)| path)
        };
        let (mount, path) = match (find(":name=systemd:"), find("0::")) {
            (Some(path), _) => ("/sys/fs/cgroup/systemd", path),
            (None, Some(path)) => ("/sys/fs/cgroup", path),
            (None, None) => panic!("no control groups for systemd: {groups}"),
        };
        let own = Path::new(mount).join(path.trim_start_matches('/'));
        let group = own.join(format!("ringfence-test-{}", std::process::id()));
        std::fs::create_dir(&group).unwrap();
        Self(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // What was in it has been killed, and takes a moment to go.
        for _ in 0..50 {
            let removed = Command::new("find")
                .arg(&self.0)
                .args(["-depth", "-type", "d", "-delete"])
                .stderr(Stdio::null())
                .status();
            if removed.is_ok_and(|status| status.success()) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }
}

#[test]
fn the_units_work_as_shipped() {
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        // A system's systemd is root's. What an ordinary user can test is in service_unit.rs and service_manager.rs.
        return;
    }
    assert!(
        Path::new(SYSTEMD).exists(),
        "install systemd: scripts/deps test"
    );
    let place = tempfile::Builder::new()
        .prefix("ringfence-systemd-")
        .tempdir_in("/var/tmp")
        .unwrap();
    let root = place.path();
    std::fs::set_permissions(root, std::fs::Permissions::from_mode(0o755)).unwrap();
    for name in ["units", "bin", "etc", "work"] {
        std::fs::create_dir(root.join(name)).unwrap();
    }
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/systemd");
    for name in ["ringfence.service", "ringfence@.service"] {
        copy(&shipped.join(name), &root.join("units").join(name), 0o644);
    }
    // As docs/operating.md has it installed: by its group, the node knows a launcher that nobody could attach to.
    let binary = root.join("bin/ringfence");
    copy(Path::new(env!("CARGO_BIN_EXE_ringfence")), &binary, 0o755);
    std::os::unix::fs::chown(&binary, None, Some(777)).unwrap();
    std::fs::set_permissions(&binary, std::fs::Permissions::from_mode(0o2755)).unwrap();
    for (name, text) in [("boot.sh", BOOT), ("tell.sh", TELL)] {
        std::fs::write(root.join(name), text).unwrap();
    }
    let group = Group::new();
    let output = Command::new("sh")
        .args(["-c", r#"echo $$ >"$0/cgroup.procs" && exec "$@""#])
        .arg(&group.0)
        .arg("timeout")
        .args(["-s", "KILL", "150", "unshare"])
        .args([
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--net",
            "--uts",
            "--cgroup",
        ])
        .args(["--propagation", "private", "bash"])
        .arg(root.join("boot.sh"))
        .arg(root)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let read = |name: &str| std::fs::read_to_string(root.join(name)).unwrap_or_default();
    let (told, said) = (
        read("told"),
        format!("{output:?}\n{}\n{}", read("systemd"), read("said")),
    );
    let fact = |name: &str| {
        let line = told
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("nothing about {name}:\n{told}\n{said}"))
            .to_owned()
    };
    assert_eq!(fact("node"), "active", "{told}\n{said}");
    assert!(fact("line").starts_with("generation 1, "), "{told}");
    // setgid setuid kill chown dac_read_search sys_ptrace, and seccomp with no_new_privs.
    assert_eq!(fact("capabilities"), "00000000000800e5", "{told}");
    assert_eq!(
        (fact("seccomp").as_str(), fact("nnp").as_str()),
        ("2", "1"),
        "{told}"
    );
    assert_eq!(fact("enforcer"), "1999999999 0000000000000000", "{told}");
    assert_eq!(fact("workload"), "active", "{told}\n{said}");
    assert_eq!(fact("armed"), "true", "{told}\n{said}");
    assert_eq!(
        fact("elsewhere"),
        "125",
        "the same user and program outside of the unit: {told}"
    );
    assert_eq!(fact("reload"), "0", "{told}");
    assert_eq!(
        (fact("restart").as_str(), fact("same").as_str()),
        ("0", "yes"),
        "{told}\n{said}"
    );
    assert_eq!(
        fact("watchdog"),
        "another node, the same workload",
        "{told}\n{said}"
    );
}
