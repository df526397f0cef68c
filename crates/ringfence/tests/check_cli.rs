//! `ringfence check` on machines and nodes that really lack something: each in namespaces, or under a filter, of its own.
#![allow(clippy::unwrap_used)]

#[path = "node_cli/place.rs"]
#[allow(
    dead_code,
    reason = "shared with node_cli.rs, which uses the rest of it"
)]
mod place;

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use place::{PATIENCE, Place, RINGFENCE, kill};
use serde_json::{Value, json};

const ESTATE: &str = "\
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: clerk }
spec: {}
";

/// "Operation not permitted".
const EPERM: u32 = 1;

/// Checks that every machine which holds compartments passes.
const NEEDED: &[&str] = &[
    "landlock",
    "seccomp",
    "enforcer-walls",
    "descriptors",
    "memfd",
    "socket-origin",
    "peer-process",
    "workload-user",
    "base-trees",
    "namespaces",
    "id-maps",
    "network-settings",
    "loopback",
    "firewall-log",
    "firewall",
    "door-sockets",
    "steering",
    "namespace-limits",
    "proc",
    "root",
    "terminal",
    "capabilities",
    "limits",
    "compartment",
    "user",
    "container",
    "clock",
    "clock-kept",
    "open-files",
    "memory-free",
    "state-directory",
    "disk",
    "memory",
    "file-records",
];
/// What may be wanting on a machine that passes.
const MAY_WARN: &[&str] = &[
    "landlock",
    "peer-process",
    "id-mapped-mount",
    "clock-kept",
    "memory-free",
    "disk",
    "disk-files",
    "open-files",
    "memory",
];

/// An answer of `check -o json`.
struct Found {
    code: i32,
    checks: BTreeMap<String, (String, String, String)>,
}

impl Found {
    fn of(output: &Output) -> Self {
        let answer: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {output:?}"));
        let code = output.status.code().unwrap();
        let mut checks = BTreeMap::new();
        assert_eq!(keys(&answer), ["groups", "ok"]);
        for group in answer["groups"].as_array().unwrap() {
            assert_eq!(keys(group), ["checks", "name"]);
            for check in group["checks"].as_array().unwrap() {
                assert_eq!(keys(check), ["hint", "id", "outcome", "text"]);
                let text = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
                let (id, outcome, hint) = (text("id"), text("outcome"), text("hint"));
                let needs_hint = ["warn", "fail"].contains(&outcome.as_str());
                assert!(
                    needs_hint || ["ok", "info"].contains(&outcome.as_str()),
                    "{check}"
                );
                // One hint per failure, and none where nothing has to be done.
                assert_eq!(check["hint"].is_string(), needs_hint, "{check}");
                assert!(
                    !hint.contains('\n') && !text("text").contains('\n'),
                    "{check}"
                );
                let twice = checks.insert(id, (outcome, text("text"), hint));
                assert!(twice.is_none(), "{check} is there twice");
            }
        }
        let failed = checks.values().any(|(outcome, _, _)| outcome == "fail");
        assert_eq!(answer["ok"].as_bool(), Some(!failed));
        assert_eq!(code, if failed { 4 } else { 0 }, "{output:?}");
        Self { code, checks }
    }

    fn outcome(&self, id: &str) -> &str {
        self.checks.get(id).map_or("", |(outcome, _, _)| outcome)
    }

    /// That `id` ended so, and that text and hint together say all of `words`.
    fn says(&self, id: &str, outcome: &str, words: &[&str]) {
        assert_eq!(self.differs(id, outcome, words), None, "{:#?}", self.checks);
    }

    /// In which way it does not say so.
    fn differs(&self, id: &str, outcome: &str, words: &[&str]) -> Option<String> {
        let Some((found, text, hint)) = self.checks.get(id) else {
            return Some(format!("no {id}"));
        };
        let said = format!("{id}: {found}: {text} {hint}");
        let all = found == outcome && words.iter().all(|word| said.contains(word));
        (!all).then(|| format!("not {outcome} with {words:?}: {said}"))
    }

    fn failed(&self) -> Vec<&str> {
        let all = self.checks.iter();
        all.filter(|(_, (outcome, _, _))| outcome == "fail")
            .map(|(id, _)| id.as_str())
            .collect()
    }
}

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    keys
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

fn run(command: &mut Command) -> Output {
    command
        .stdin(Stdio::null())
        .env_remove("NO_COLOR")
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap()
}

/// `check --pre` where nothing is, on this very machine.
fn pre(state: &Path) -> Output {
    let mut command = Command::new(RINGFENCE);
    run(command
        .args(["check", "--pre", "-o", "json", "--state"])
        .arg(state))
}

/// `check` of a place.
fn check(place: &Place) -> Found {
    let mut command = Command::new(RINGFENCE);
    Found::of(&run(command
        .args(["check", "-o", "json", "--state"])
        .arg(place.state())))
}

/// A shell in namespaces of its own, which runs `script`; `$RINGFENCE` is the binary, `$1` the state directory.
fn within(namespaces: &[&str], script: &str, state: &Path) -> Output {
    let mut command = Command::new("unshare");
    command
        .args(namespaces)
        .args(["sh", "-euc", script, "sh"])
        .arg(state)
        .env("RINGFENCE", RINGFENCE);
    run(&mut command)
}

/// As root, a mount namespace; as anyone else with a user namespace around it, in which we are nobody special.
fn mounts() -> &'static [&'static str] {
    if is_root() {
        &["-m"]
    } else {
        &["-U", "-r", "-m"]
    }
}

#[test]
fn a_healthy_machine_passes_with_every_check_made() {
    let temp = tempfile::tempdir().unwrap();
    let found = Found::of(&pre(&temp.path().join("state")));
    assert_eq!((found.code, found.failed()), (0, vec![]));
    for id in NEEDED {
        assert!(found.checks.contains_key(*id), "{id}: {:#?}", found.checks);
    }
    for (id, (outcome, text, _)) in &found.checks {
        assert!(
            outcome != "warn" || MAY_WARN.contains(&id.as_str()),
            "{id}: {text}"
        );
    }
    // What is not bounded is never said to be, and what is was tried.
    match found.outcome("memory") {
        "ok" => found.says("memory", "ok", &["by a control group of its own"]),
        _ => found.says("memory", "warn", &["not bounded"]),
    }
    found.says("file-records", "info", &["not recorded"]);
    assert!(!temp.path().join("state").exists());
}

#[test]
fn nothing_is_left_behind() {
    let temp = tempfile::tempdir().unwrap();
    let script = "mounts=$(wc -l < /proc/self/mountinfo); \"$RINGFENCE\" check --pre --state \"$1\" >&2; \
                  test \"$mounts\" = \"$(wc -l < /proc/self/mountinfo)\"; \
                  for p in /proc/[0-9]*; do [ $p = /proc/1 ] || { read comm < $p/comm; echo $comm; }; done";
    let namespaces = [mounts(), &["-p", "-f", "--mount-proc"]].concat();
    if !is_root() {
        return; // A user namespace of one id is no place for a whole compartment of root.
    }
    let output = within(&namespaces, script, &temp.path().join("state"));
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{output:?}");
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
}

#[test]
fn a_bound_on_namespaces_is_found_and_named() {
    let temp = tempfile::tempdir().unwrap();
    let script = "echo 0 > /proc/sys/user/max_user_namespaces; exec \"$RINGFENCE\" check --pre -o json --state \"$1\"";
    let output = within(
        &["-U", "--map-user=1000", "--map-group=1000", "--keep-caps"],
        script,
        temp.path(),
    );
    let found = Found::of(&output);
    found.says(
        "namespaces",
        "fail",
        &["namespaces cannot be set up", "user.max_user_namespaces"],
    );
    // What rests on it is not tried.
    for id in ["id-maps", "steering", "compartment"] {
        assert_eq!(found.outcome(id), "", "{id}");
    }
}

#[test]
fn root_of_a_namespace_with_few_ids_is_told_what_is_missing() {
    let temp = tempfile::tempdir().unwrap();
    let script = "exec \"$RINGFENCE\" check --pre -o json --state \"$1\"/state";
    let found = Found::of(&within(&["-U", "-r"], script, temp.path()));
    found.says(
        "workload-user",
        "fail",
        &["from 2000000000 up", "ordinary user"],
    );
    assert_eq!(found.failed(), ["workload-user"]);
}

#[test]
fn a_covered_proc_is_found_and_the_fix_is_the_containers() {
    let temp = tempfile::tempdir().unwrap();
    let script = "mount --bind /dev/null /proc/meminfo; exec \"$RINGFENCE\" check --pre -o json --state \"$1\"";
    if !is_root() {
        return; // Covering a part of /proc takes root: a user namespace of one id would fail earlier.
    }
    let found = Found::of(&within(mounts(), script, temp.path()));
    found.says(
        "proc",
        "fail",
        &["/proc of its own", "systempaths=unconfined"],
    );
    found.says("container", "info", &["/proc/meminfo"]);
    found.says("memory-free", "warn", &["cannot be read"]);
    assert_eq!(found.outcome("steering"), "ok");
    assert_eq!(found.outcome("compartment"), "");
}

/// x86-64 and arm64 differ in the numbers of calls.
fn number(x86: u32, arm: u32) -> u32 {
    if cfg!(target_arch = "x86_64") {
        x86
    } else {
        arm
    }
}

/// Starts a program under a filter.
fn filter() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check_cli/refuse.py")
}

/// As the filter of docker does it, for who lacks `CAP_SYS_ADMIN`.
fn new_namespaces(errno: u32) -> Value {
    json!({"call": number(56, 220), "errno": errno, "arguments": [[0, 0x1000_0000, 0x1000_0000]]})
}

/// `check --pre` under a filter that refuses something.
fn without(refusals: &Value) -> Found {
    let temp = tempfile::tempdir().unwrap();
    let mut command = Command::new("/usr/bin/python3");
    command.arg(filter()).arg(refusals.to_string()).arg("--");
    command.args([RINGFENCE, "check", "--pre", "-o", "json", "--state"]);
    Found::of(&run(command.arg(temp.path().join("state"))))
}

#[test]
fn each_missing_part_of_a_kernel_is_found_under_its_own_name() {
    const EINVAL: u32 = 22;
    const ENOSYS: u32 = 38;
    const ENOPROTOOPT: u32 = 92;
    const EPROTONOSUPPORT: u32 = 93;
    const EOPNOTSUPP: u32 = 95;
    let option = |call: u32, option: u32, errno: u32| json!({"call": call, "errno": errno, "arguments": [[2, 0xffff_ffff_u32, option]]});
    let (get, set) = (number(55, 209), number(54, 208));
    // What is refused, the check that must find it, how, and what it must say.
    let cases: [(Value, &str, &str, &[&str]); 12] = [
        (
            json!({"call": 444, "errno": ENOSYS}),
            "landlock",
            "fail",
            &["CONFIG_SECURITY_LANDLOCK", "lsm="],
        ),
        (
            // The listener of a filter.
            json!({"call": number(317, 277), "errno": EINVAL, "arguments": [[1, 8, 8]]}),
            "seccomp",
            "fail",
            &["user notification", "Linux 5.9"],
        ),
        (
            new_namespaces(EPERM),
            "namespaces",
            "fail",
            &["namespaces cannot be set up", "run ringfence outside of it"],
        ),
        (
            json!({"call": number(41, 198), "errno": EPROTONOSUPPORT, "arguments": [[0, 255, 16], [2, 255, 12]]}),
            "firewall-log",
            "fail",
            &["modprobe nfnetlink_log"],
        ),
        (
            // Batches of rules are long; nothing else that is sent by this call is.
            json!({"call": number(44, 206), "errno": EOPNOTSUPP, "arguments": [[2, 0x1000, 0x1000]]}),
            "firewall",
            "fail",
            &["modprobe -a nf_tables nft_tproxy"],
        ),
        (
            option(set, 19, EPERM),
            "door-sockets",
            "fail",
            &["transparent sockets"],
        ),
        (
            option(get, 77, ENOPROTOOPT),
            "peer-process",
            "warn",
            &["SO_PEERPIDFD", "Linux 6.5"],
        ),
        (
            option(get, 71, ENOPROTOOPT),
            "socket-origin",
            "fail",
            &["Linux 5.14"],
        ),
        (
            json!({"call": number(319, 279), "errno": ENOSYS}),
            "memfd",
            "fail",
            &["sealed memory file", "seccomp"],
        ),
        (
            json!({"call": 442, "errno": ENOSYS}),
            "root",
            "fail",
            &["built root", "Linux 5.14"],
        ),
        (
            json!({"call": number(155, 41), "errno": EPERM}),
            "root",
            "fail",
            &["pivot_root"],
        ),
        (
            json!({"call": number(159, 171), "errno": EPERM, "and": number(305, 266)}),
            "clock-kept",
            "warn",
            &["cannot be asked"],
        ),
    ];
    let mut wrong = Vec::new();
    for (refusal, id, outcome, words) in cases {
        // The C library has two ways to ask for the clock.
        let mut other = refusal.clone();
        other["call"] = refusal.get("and").unwrap_or(&refusal["call"]).clone();
        let found = without(&json!([refusal, other]));
        wrong.extend(found.differs(id, outcome, words));
        wrong.extend(found.differs("container", "info", &["seccomp filter"]));
        // A compartment is not tried where a part of it is known to fail.
        if outcome == "fail" && !found.outcome("compartment").is_empty() {
            wrong.push(format!("{id}: a compartment was tried"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn the_switch_that_forbids_namespaces_to_users_is_named() {
    if !is_root() {
        return; // Only root can put other switches in the place of this kernel's.
    }
    let temp = tempfile::tempdir().unwrap();
    fs::set_permissions(temp.path(), Permissions::from_mode(0o755)).unwrap();
    fs::copy(RINGFENCE, temp.path().join("ringfence")).unwrap();
    fs::copy(filter(), temp.path().join("refuse.py")).unwrap();
    // Refuses new namespaces to an ordinary user, and has the switch that says so.
    let refusal = json!([new_namespaces(EPERM)]).to_string();
    let of = |switch: &str, value: &str| {
        let script = format!(
            "mount -t tmpfs none /proc/sys; mkdir -m 755 /proc/sys/kernel; echo {value} > /proc/sys/kernel/{switch}; cd \"$1\"; \
             exec setpriv --reuid=65534 --regid=65534 --clear-groups /usr/bin/python3 refuse.py '{refusal}' -- \
             ./ringfence check --pre -o json --state \"$1\"/none/state"
        );
        Found::of(&within(mounts(), &script, temp.path()))
    };
    for (switch, value, fix) in [
        ("apparmor_restrict_unprivileged_userns", "1", "AppArmor"),
        ("unprivileged_userns_clone", "0", "this host forbids"),
    ] {
        let found = of(switch, value);
        found.says(
            "namespaces",
            "fail",
            &[
                fix,
                &format!("kernel.{switch}={}", 1 - value.parse::<i32>().unwrap()),
            ],
        );
        found.says("user", "info", &["uid 65534", "ordinary user"]);
        // Nor may this user make the directory.
        found.says("state-directory", "fail", &["cannot be made", "install -d"]);
    }
    // The other position of the switch is not the cause.
    let found = of("apparmor_restrict_unprivileged_userns", "0");
    found.says("namespaces", "fail", &["run ringfence outside of it"]);
}

#[test]
fn a_trial_that_breaks_off_or_hangs_is_a_failure_and_no_silence() {
    // The first process in the namespaces cannot close what it must not have, and ends without a word.
    let found = without(&json!([{"call": 436, "errno": 1}]));
    found.says("walls", "fail", &["broke off"]);
    assert_eq!(found.outcome("compartment"), "");

    // The directory that the enforcer would write to is a pipe that nobody ever opens.
    let temp = tempfile::tempdir().unwrap();
    let pipe = temp.path().join("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let mut command = Command::new(RINGFENCE);
    command
        .env("TMPDIR", &pipe)
        .args(["check", "--pre", "-o", "json", "--state"]);
    let found = Found::of(&run(command.arg(temp.path().join("state"))));
    found.says("enforcer-walls", "fail", &["has not ended after 15 s"]);
    assert_eq!(found.outcome("steering"), "ok");
}

#[test]
fn a_state_directory_that_is_not_private_or_not_ours_fails() {
    let temp = tempfile::tempdir().unwrap();
    let state = temp.path().join("state");
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, Permissions::from_mode(0o755)).unwrap();
    Found::of(&pre(&state)).says("state-directory", "fail", &["mode 0755", "chmod 700"]);
    fs::set_permissions(&state, Permissions::from_mode(0o700)).unwrap();
    Found::of(&pre(&state)).says("state-directory", "ok", &[]);
    // The trial of writing left nothing.
    assert_eq!(fs::read_dir(&state).unwrap().count(), 0);
    Found::of(&pre(&state.join("a/b"))).says("state-directory", "ok", &["does not exist yet"]);
    if is_root() {
        std::os::unix::fs::chown(&state, Some(12345), None).unwrap();
        Found::of(&pre(&state)).says("state-directory", "fail", &["uid 12345"]);
    }
    fs::remove_dir(&state).unwrap();
    fs::write(&state, "").unwrap();
    Found::of(&pre(&state)).says("state-directory", "fail", &["not a directory"]);
}

#[test]
fn a_disk_that_is_full_or_read_only_fails_and_a_small_one_warns() {
    let temp = tempfile::tempdir().unwrap();
    let state = temp.path().join("state");
    fs::create_dir(&state).unwrap();
    let on = |options: &str, then: &str| {
        let script = format!(
            "mount -t tmpfs -o mode=700,{options} none \"$1\"; {then}; exec \"$RINGFENCE\" check --pre -o json --state \"$1\""
        );
        Found::of(&within(mounts(), &script, &state))
    };
    let found = on("size=1m", "head -c 2m /dev/zero > \"$1/fill\" || true");
    found.says("disk", "fail", &["0.0 KiB", "make room"]);
    found.says("state-directory", "fail", &["cannot be written"]);
    on("size=8m", "true").says("disk", "fail", &["8.0 MiB"]);
    on("size=100m", "true").says("disk", "warn", &["100.0 MiB"]);
    let found = on("size=2g", "mount -o remount,bind,ro \"$1\"");
    found.says(
        "state-directory",
        "fail",
        &["read-only file system", "remount,rw"],
    );
    found.says("disk", "ok", &[]);
    on("size=2g,nr_inodes=10", "true").says("disk-files", "fail", &["df -i"]);
    on("size=2g,nr_inodes=500", "true").says("disk-files", "warn", &["df -i"]);
}

#[test]
fn files_that_a_node_would_reject_fail_before_it_starts() {
    let place = Place::new(ESTATE);
    let with = |state: &Path| {
        let mut command = Command::new(RINGFENCE);
        command
            .args(["check", "--pre", "-o", "json", "--config"])
            .arg(place.config());
        Found::of(&run(command.arg("--state").arg(state)))
    };
    let found = with(&place.state());
    found.says("configuration", "ok", &["0 services, 1 agent"]);
    found.says("apart", "ok", &[]);
    with(&place.config().join("state")).says(
        "apart",
        "fail",
        &["inside one another", "--state DIR"],
    );
    place.save(&ESTATE.replace("kind: Agent", "kind: Agnet"));
    let found = with(&place.state());
    found.says(
        "configuration",
        "fail",
        &["estate.yaml", "ringfence policy lint --config"],
    );
    assert_eq!(found.failed(), ["configuration"]);
    fs::remove_dir_all(place.config()).unwrap();
    with(&place.state()).says("configuration", "fail", &["config"]);
}

#[test]
fn few_descriptors_warn_with_what_they_are_enough_for() {
    let temp = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    let script = "ulimit -n 1024; exec \"$RINGFENCE\" check --pre -o json --state \"$1\"";
    command
        .args(["-euc", script, "sh"])
        .arg(temp.path().join("state"));
    let found = Found::of(&run(command.env("RINGFENCE", RINGFENCE)));
    found.says(
        "open-files",
        "warn",
        &["1024 files", "170 connections", "LimitNOFILE"],
    );
}

#[test]
fn a_healthy_node_passes_and_a_missing_one_says_how_to_start() {
    let place = Place::new(ESTATE);
    let found = check(&place);
    found.says(
        "node",
        "fail",
        &["no node is running", "ringfence up --config"],
    );
    assert_eq!((found.code, found.failed()), (4, vec!["node"]));
    let node = place.up();
    node.enforcer();
    let found = check(&place);
    assert_eq!(
        (found.code, found.failed()),
        (0, vec![]),
        "{:#?}",
        found.checks
    );
    let enforcer = format!("process {}", node.enforcer());
    found.says("node", "ok", &[&format!("process {}", node.child.id())]);
    found.says("enforcer", "ok", &[&enforcer]);
    found.says("generation", "ok", &["generation 1", "1 agent"]);
    found.says(
        "configuration",
        "ok",
        &[&place.config().display().to_string()],
    );
    found.says("doors", "ok", &["no workload runs"]);
    found.says("log", "ok", &["takes records"]);
    found.says("state-directory", "ok", &["private"]);
}

#[test]
fn a_node_whose_state_was_opened_to_others_fails() {
    let place = Place::new(ESTATE);
    let node = place.up();
    node.enforcer();
    fs::set_permissions(place.state(), Permissions::from_mode(0o711)).unwrap();
    check(&place).says("state-directory", "fail", &["mode 0711", "chmod 700"]);
}

#[test]
fn who_may_not_ask_is_told_whom_to_be() {
    if !is_root() {
        return; // Takes two users.
    }
    let place = Place::new(ESTATE);
    let node = place.up();
    node.enforcer();
    fs::set_permissions(place.temp.path(), Permissions::from_mode(0o755)).unwrap();
    let copy = place.temp.path().join("ringfence");
    fs::copy(RINGFENCE, &copy).unwrap();
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(copy)
        .args(["check", "-o", "json", "--state"]);
    let found = Found::of(&run(command.arg(place.state())));
    found.says(
        "node",
        "fail",
        &["cannot be asked", "as root or as the owner"],
    );
    found.says("state-directory", "info", &["only its owner and root"]);
    found.says("user", "info", &["uid 65534"]);
    // Its own walls are tried, whoever's the node is.
    found.says("compartment", "ok", &[]);
    found.says("shared-user", "info", &["share one user"]);
}

#[test]
fn what_killed_nodes_left_is_told() {
    if !is_root() {
        return; // Only nodes of root keep anything outside their state.
    }
    let place = Place::new(ESTATE);
    let node = place.up();
    node.enforcer();
    drop(node);
    check(&place).says(
        "leftovers",
        "info",
        &["/run/ringfence", "killed nodes left"],
    );
}

#[test]
fn root_is_told_whether_launchers_of_others_are_proven() {
    if !is_root() {
        eprintln!("skipped: needs root, to make a binary set-group-id");
        return;
    }
    let place = tempfile::tempdir_in("/var/tmp").unwrap();
    let binary = place.path().join("ringfence");
    fs::copy(RINGFENCE, &binary).unwrap();
    let found = |gid: u32, mode: u32| {
        std::os::unix::fs::chown(&binary, Some(0), Some(gid)).unwrap();
        fs::set_permissions(&binary, Permissions::from_mode(mode)).unwrap();
        let state = place.path().join("state");
        let mut command = Command::new(&binary);
        Found::of(&run(command
            .args(["check", "--pre", "-o", "json", "--state"])
            .arg(state)))
    };
    let chmod = format!("chmod 2755 {}", binary.display());
    found(0, 0o755).says("launcher-group", "info", &["not set-group-id", &chmod]);
    found(54_390, 0o2755).says("launcher-group", "ok", &["54390", "no members"]);
    found(54_390, 0o2775).says("launcher-group", "warn", &["mode 2775", &chmod]);
    found(0, 0o2755).says("launcher-group", "warn", &["gid 0", "groupadd"]);
}

#[test]
fn a_stopped_enforcer_fails_and_says_how_to_go_on() {
    let place = Place::new(ESTATE);
    let node = place.up();
    let enforcer = node.enforcer();
    let signal = |name: &str| {
        let sent = Command::new("kill")
            .args([name, &enforcer.to_string()])
            .status();
        assert!(sent.unwrap().success());
    };
    signal("-STOP");
    let found = check(&place);
    signal("-CONT");
    found.says(
        "enforcer",
        "fail",
        &["is stopped", &format!("kill -CONT {enforcer}")],
    );
}

#[test]
fn an_enforcer_that_ended_once_warns_and_one_that_keeps_ending_fails() {
    let place = Place::new(ESTATE);
    let node = place.up();
    kill(node.enforcer());
    place.until("another enforcer", |status| {
        status["enforcer"]["restarts"] == 1 && status["enforcer"]["serving"] == true
    });
    check(&place).says(
        "enforcer",
        "warn",
        &["1 restart;", "SIGKILL", "standard error"],
    );

    // From now on each one is killed as soon as it is seen.
    let state = place.state();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let status = ringfence_node::ask_status(&state).unwrap().unwrap();
                if let Some(pid) = status.enforcer.pid {
                    // It may have ended by itself meanwhile: it is the node's child, and the node reaps it.
                    let _ = Command::new("kill").args(["-9", &pid.to_string()]).output();
                }
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        });
        place.until("several deaths", |status| {
            status["enforcer"]["restarts"].as_u64() > Some(2)
        });
        let found = check(&place);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        found.says("enforcer", "fail", &["enforcer", "standard error"]);
        assert_eq!(found.code, 4);
    });
}

#[test]
fn rejected_files_warn_while_the_last_good_ones_are_in_force() {
    let place = Place::new(ESTATE);
    let node = place.up();
    node.enforcer();
    place.save("kind: Nonsense\n");
    place.until("rejected", |status| !status["policy"]["rejected"].is_null());
    let found = check(&place);
    found.says("generation", "ok", &["generation 1"]);
    found.says(
        "configuration",
        "warn",
        &["rejected", "estate.yaml", "ringfence policy lint --config"],
    );
    assert_eq!(found.code, 0, "{:#?}", found.checks);
    drop(node);
    // The next start has nothing but what was good last.
    let node = place.up();
    node.enforcer();
    check(&place).says("generation", "warn", &["earlier run", "policy lint"]);
}

#[test]
fn a_node_without_any_policy_fails() {
    let place = Place::new("kind: Nonsense\n");
    let node = place.up();
    node.enforcer();
    let found = check(&place);
    found.says("generation", "fail", &["everything is denied"]);
    found.says("configuration", "warn", &["rejected"]);
}

#[test]
fn doors_of_a_running_workload_are_armed_and_missed_when_they_are_not() {
    let place = Place::new(ESTATE);
    let node = place.up();
    node.enforcer();
    // Claims, and hands no doors over.
    let mut launcher = place::other_process(&place, "clerk");
    place.until("claimed", |status| {
        !status["workloads"].as_array().unwrap().is_empty()
    });
    let found = check(&place);
    launcher.kill().unwrap();
    launcher.wait().unwrap();
    found.says("doors", "fail", &["clerk", "not watched"]);

    place.until("gone", |status| {
        status["workloads"].as_array().unwrap().is_empty()
    });
    let mut workload = Command::new(RINGFENCE)
        .args(["run", "clerk", "--state"])
        .arg(place.state())
        .args(["--", "sleep", "60"])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    place.until("armed", |status| status["workloads"][0]["armed"] == true);
    let found = check(&place);
    workload.kill().unwrap();
    workload.wait().unwrap();
    found.says("doors", "ok", &["1 running workload armed"]);
}

#[test]
fn waiting_ends_when_the_node_is_well_or_time_is_up() {
    let place = Place::new(ESTATE);
    let wait = |time: &str| {
        let mut command = Command::new(RINGFENCE);
        command.args(["check", "--wait", time, "-o", "json", "--state"]);
        command
    };
    let begun = Instant::now();
    let found = Found::of(&run(wait("1s").arg(place.state())));
    assert_eq!(found.failed(), ["node"]);
    assert!(begun.elapsed().as_secs() >= 1);

    let waiting = wait("60s")
        .arg(place.state())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let _node = place.up();
    let output = waiting.wait_with_output().unwrap();
    assert_eq!(Found::of(&output).failed(), Vec::<&str>::new());
    assert!(begun.elapsed() < 2 * PATIENCE);
}

#[test]
fn people_get_groups_marks_and_one_hint_below_each_trouble() {
    let place = Place::new(ESTATE);
    let plain = |locale: &str| {
        let mut command = Command::new(RINGFENCE);
        command.args(["check", "--state"]).arg(place.state());
        let output = command
            .env("LC_ALL", locale)
            .env("TERM", "xterm")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(4));
        assert!(output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let text = plain("C.UTF-8");
    // No colours for a pipe.
    assert!(!text.contains('\x1b'), "{text}");
    for heading in [
        "kernel\n------\n",
        "\nnode\n----\n",
        "not bounded or not recorded here",
    ] {
        assert!(text.contains(heading), "{heading}: {text}");
    }
    let lines: Vec<_> = text.lines().collect();
    let mut troubles = 0;
    for (at, line) in lines.iter().enumerate() {
        let is_hint = |at: usize| {
            lines
                .get(at)
                .is_some_and(|line| line.starts_with("  hint: "))
        };
        let trouble = line.starts_with("× ") || line.starts_with("‼ ");
        assert_eq!(trouble, is_hint(at + 1), "{line}");
        assert!(!(is_hint(at) && is_hint(at + 1)), "{line}");
        troubles += usize::from(trouble);
    }
    assert!(troubles >= 2, "{text}");
    assert!(text.contains("\n× no node is running"), "{text}");
    assert!(text.contains("1 check failed"), "{text}");

    let ascii = plain("C");
    let own = ascii
        .lines()
        .filter(|line| line.contains("no node is running"));
    assert_eq!(own.collect::<Vec<_>>().len(), 1);
    assert!(ascii.contains("\nfail no node is running"), "{ascii}");
    assert!(ascii.is_ascii(), "{ascii}");
}

#[test]
fn colours_are_for_terminals_and_not_where_forbidden() {
    let place = Place::new(ESTATE);
    let on_a_terminal = |forbidden: &str| {
        let line = format!(
            "{RINGFENCE} check --pre --state {}/none",
            place.state().display()
        );
        let mut command = Command::new("script");
        command
            .args(["-qec", &line, "/dev/null"])
            .env("TERM", "xterm")
            .env("LC_ALL", "C.UTF-8");
        let output = command
            .env("NO_COLOR", forbidden)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(on_a_terminal("").contains("\x1b[32m√\x1b[0m"));
    let plain = on_a_terminal("1");
    assert!(plain.contains("√ ") && !plain.contains('\x1b'), "{plain}");
}

#[test]
fn wrong_usage_is_told_from_failure() {
    let code = |arguments: &[&str]| {
        let mut command = Command::new(RINGFENCE);
        run(command.arg("check").args(arguments)).status.code()
    };
    assert_eq!(code(&["--pre", "--wait", "1s"]), Some(2));
    assert_eq!(code(&["--wait", "soon"]), Some(2));
    assert_eq!(code(&["-o", "xml"]), Some(2));
    assert_eq!(code(&["--config", "estate"]), Some(2));
    assert_eq!(code(&["--help"]), Some(0));
}

#[test]
fn every_check_has_its_section_in_the_manual() {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/check.md");
    let manual = fs::read_to_string(manual).unwrap();
    let place = Place::new(ESTATE);
    let node = place.up();
    node.enforcer();
    let found = check(&place);
    let rare = [
        "apart",
        "launcher-group",
        "leftovers",
        "walls",
        "degraded",
        "landlock-scopes",
        "shared-user",
        "id-mapped-mount",
    ];
    for id in found.checks.keys().map(String::as_str).chain(rare) {
        assert!(manual.contains(&format!("\n### `{id}`\n")), "{id}");
    }
    // And no section is about a check that there is not.
    let known = |id: &str| found.checks.contains_key(id) || rare.contains(&id);
    let sections = manual.lines().filter_map(|line| line.strip_prefix("### `"));
    for id in sections.filter_map(|rest| rest.strip_suffix('`')) {
        assert!(known(id), "{id}");
    }
}
