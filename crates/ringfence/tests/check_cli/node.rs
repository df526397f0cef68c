//! What a node lacks: its state directory, its disk, its files, its enforcer, its doors.

use super::*;

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
