//! The unit files that are shipped: systemd understands every line, and a node lives with what they leave it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "node_cli/place.rs"]
#[allow(
    dead_code,
    reason = "shared with node_cli.rs, which uses the rest of it"
)]
mod place;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use place::{Place, RINGFENCE, kill, say_from_another_process};

/// Exposure that `systemd-analyze security` may find, in tenths of its points of ten.
const EXPOSURE_MAX: u32 = 35;

fn units() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/systemd")
}

fn unit(name: &str) -> String {
    std::fs::read_to_string(units().join(name)).unwrap()
}

/// What a unit sets `name` to, all lines of it.
fn setting<'u>(unit: &'u str, name: &str) -> Vec<&'u str> {
    let of = unit.lines().filter_map(|line| line.split_once('='));
    of.filter(|(found, _)| *found == name)
        .map(|(_, value)| value)
        .collect()
}

#[test]
fn systemd_understands_every_line() {
    for (name, user) in [
        ("ringfence.service", false),
        ("ringfence@.service", false),
        ("user/ringfence.service", true),
    ] {
        let place = tempfile::tempdir().unwrap();
        // It looks for the program, which is not installed here.
        let text = unit(name).replace("/usr/local/bin/ringfence", RINGFENCE);
        let file = place.path().join(Path::new(name).file_name().unwrap());
        std::fs::write(&file, text).unwrap();
        // The template wants the node's own unit.
        let node = unit("ringfence.service").replace("/usr/local/bin/ringfence", RINGFENCE);
        if name == "ringfence@.service" {
            std::fs::write(place.path().join("ringfence.service"), node).unwrap();
        }
        let output = Command::new("systemd-analyze")
            .args(["verify", "--man=no", "--recursive-errors=no"])
            .arg(if user { "--user" } else { "--system" })
            .arg(&file)
            .env("XDG_RUNTIME_DIR", place.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let about_it = |line: &&str| {
            (line.contains("ringfence") || line.contains(&*file.to_string_lossy()))
                // A foreign unit of the distribution is not ours to mend.
                && !line.contains("/lib/systemd/system/")
        };
        let complaints: Vec<_> = said.lines().filter(about_it).collect();
        assert!(
            output.status.success() && complaints.is_empty(),
            "{name}: {said}"
        );
    }
}

#[test]
fn the_node_of_root_is_exposed_no_more_than_it_must_be() {
    let output = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager"])
        .arg(format!("--threshold={EXPOSURE_MAX}"))
        .arg(units().join("ringfence.service"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("Overall exposure level"), "{said}");
}

#[test]
fn what_workloads_need_is_left_to_launchers_and_the_node_has_a_watchdog() {
    let node = unit("ringfence.service");
    assert_eq!(setting(&node, "Type"), ["notify"]);
    assert_eq!(setting(&node, "WatchdogSec"), ["30"]);
    assert_eq!(setting(&node, "KillMode"), ["mixed"]);
    assert_eq!(setting(&node, "RestrictNamespaces"), ["yes"]);
    // It makes openat2 fail, and with it every look at a program.
    for name in ["ringfence.service", "user/ringfence.service"] {
        assert!(
            setting(&unit(name), "RestrictSUIDSGID").is_empty(),
            "{name}"
        );
    }
    let launcher = unit("ringfence@.service");
    for forbidden in [
        "RestrictNamespaces",
        "ProtectKernelTunables",
        "ProtectProc",
        "ProcSubset",
        "SystemCallFilter",
        "SystemCallArchitectures",
        "NoNewPrivileges",
        "LockPersonality",
        "RestrictRealtime",
        "Requires",
        "BindsTo",
        "PartOf",
    ] {
        assert!(setting(&launcher, forbidden).is_empty(), "{forbidden}");
    }
}

const ESTATE: &str = "\
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: clerk }
spec: { attest: { uid: 54321 } }
";

/// Of all that root may, only what the unit keeps: it serves, tells users apart, replaces its enforcer, stops in order.
#[test]
fn a_node_of_root_lives_with_the_capabilities_that_its_unit_keeps() {
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        // Nothing to take away from an ordinary user: such a node has no capability at all, as in every other test.
        return;
    }
    let text = unit("ringfence.service");
    let kept = setting(&text, "CapabilityBoundingSet")[0].to_lowercase();
    let kept: Vec<_> = kept
        .split(' ')
        .map(|name| format!("+{}", name.strip_prefix("cap_").unwrap()))
        .collect();
    let place = Place::new(ESTATE);
    let child = Command::new("setpriv")
        .arg(format!("--bounding-set=-all,{}", kept.join(",")))
        .args(["--inh-caps=-all", "--no-new-privs", RINGFENCE, "up"])
        .arg("--config")
        .arg(place.config())
        .arg("--state")
        .arg(place.state())
        .args(["--metrics-gid", "54321"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let node = place.serving(child);
    assert!(
        node.line.starts_with("ringfence is up: generation 1"),
        "{}",
        node.line
    );
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.child.id())).unwrap();
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:\t"));
    let held = u64::from_str_radix(effective.unwrap(), 16).unwrap();
    assert_eq!(held.count_ones() as usize, kept.len(), "{status}");
    // By user 54321, and by nobody else.
    assert!(say_from_another_process(&place, "clerk", None, Some(54321)).contains("granted"));
    assert!(say_from_another_process(&place, "clerk", None, Some(54322)).contains("refused"));
    let enforcer = node.enforcer();
    let of = std::fs::metadata(format!("/proc/{enforcer}/stat")).unwrap();
    // Closed to others: its files in /proc are root's, whoever it is.
    assert_eq!(of.uid(), 0);
    kill(enforcer);
    place.until("another enforcer", |status| {
        status["enforcer"]["serving"] == true && status["enforcer"]["pid"] != enforcer
    });
    node.signal("-TERM");
    let (code, _, err) = node.end();
    assert_eq!(code, Some(0), "{err}");
    assert!(!err.contains("cannot"), "{err}");
}
