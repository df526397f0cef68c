//! What a machine lacks: namespaces, parts of its kernel, descriptors.

use super::*;

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
