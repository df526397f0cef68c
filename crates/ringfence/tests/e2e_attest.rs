//! Who may be whom: `attest` held against launchers that tell the truth, and against those that do not.
//!
//! Needs root, to be both root and somebody else; says so and passes otherwise.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ringfence_testbed::{Caller, Node, NodeOptions, Output};

const BINARY: &str = env!("CARGO_BIN_EXE_ringfence");
/// Two users of nothing, and a group of nobody.
const USER: u32 = 54_322;
const OTHER: u32 = 54_323;
const GROUP: u32 = 54_390;
const PROGRAM: &str =
    "#!/bin/sh\necho started \"$@\"\nif [ \"$1\" = stay ]; then exec sleep 600; fi\n";
/// `sha256sum` of it.
const DIGEST: &str = "c763c88ad8c37a23ee0808e13c4c00444223ff90a5b03fbc0f4f99218304fc0e";

fn estate(unit: &str) -> String {
    let agent = |name: &str, attest: &str| {
        format!(
            "---\napiVersion: ringfence.dev/v1alpha1\nkind: Agent\nmetadata: {{ name: {name} }}\n\
             spec: {{ attest: {{ {attest} }} }}\n"
        )
    };
    [
        agent("roots", &format!("exe: /opt/agent, sha256: {DIGEST}")),
        agent(
            "theirs",
            &format!("uid: {USER}, exe: /opt/agent, sha256: {DIGEST}"),
        ),
        agent("plain", &format!("uid: {USER}")),
        agent("united", &format!("uid: {USER}, unit: {unit}")),
    ]
    .concat()
}

fn root() -> bool {
    let root = Caller::own() == Caller::Root;
    if !root {
        eprintln!("skipped: needs root, to be another user as well");
    }
    root
}

/// A node of root, with `/opt/agent` on its host.
fn start_with(binary: &Path, unit: &str) -> Node {
    let node = NodeOptions::new(binary)
        .file("estate.yaml", &estate(unit))
        .start()
        .unwrap();
    host(&node, "mount -t tmpfs -o mode=755 none /opt");
    let staged = node.host().path().join("agent");
    fs::write(&staged, PROGRAM).unwrap();
    host(
        &node,
        &format!(
            "install -m 755 {} /opt/agent; ln -s agent /opt/link",
            staged.display()
        ),
    );
    node
}

fn start() -> Node {
    start_with(Path::new(BINARY), "agents.service")
}

fn host(node: &Node, script: &str) -> String {
    node.host()
        .run_as_root(["sh", "-ec", script])
        .unwrap()
        .ok()
        .stdout
}

/// `ringfence run NAME -- COMMAND` as `uid`, through `wrapper` (may be empty).
fn run_through(node: &Node, wrapper: &[&str], uid: u32, name: &str, command: &[&str]) -> Output {
    let id = uid.to_string();
    let mut words: Vec<&str> = [
        "setpriv",
        "--reuid",
        &id,
        "--regid",
        &id,
        "--clear-groups",
        "--",
    ]
    .into();
    words.extend(wrapper);
    let run = node.workload(name).words(command);
    words.extend(run.iter().map(String::as_str));
    node.host().run_as_root(words).unwrap()
}

fn run(node: &Node, uid: u32, name: &str, command: &[&str]) -> Output {
    run_through(node, &[], uid, name, command)
}

fn started(output: Output) {
    assert_eq!(
        (output.code, &*output.stdout),
        (Some(0), "started\n"),
        "{output:?}"
    );
}

fn refused(output: &Output, why: &str) {
    assert_eq!(output.code, Some(125), "{output:?}");
    assert!(output.stderr.contains(why), "{why}: {output:?}");
}

/// What a user is told who has no business with a name, and not a word more.
fn turned_away(output: &Output, name: &str) {
    refused(output, &format!("you may not run \"{name}\" on this node"));
    for secret in [
        "/opt/agent",
        DIGEST,
        "sha256",
        ".service",
        &USER.to_string(),
    ] {
        assert!(!output.stderr.contains(secret), "{secret}: {output:?}");
    }
}

/// Waits for an event about `name` whose reason has `text`.
fn recorded(node: &Node, name: &str, operation: &str, text: &str) {
    node.wait_for_flow(|flow| {
        flow.operation == operation && flow.source == name && flow.reason.contains(text)
    })
    .unwrap();
}

fn notes(node: &Node) -> String {
    node.status().unwrap().1["notes"].to_string()
}

#[test]
fn a_program_and_its_digest_are_held_against_the_file_that_starts() {
    if !root() {
        return;
    }
    let node = start();
    started(run(&node, 0, "roots", &["/opt/agent"]));
    // A link's name is not what counts, and the program is found as the workload would find it.
    started(run(&node, 0, "roots", &["/opt/link"]));
    let checked = format!("checked: owner or root, exe /opt/agent, sha256 {DIGEST}");
    recorded(&node, "roots", "workload started", &checked);

    let other = run(&node, 0, "roots", &["sh", "-c", "echo started"]);
    refused(&other, "is for /opt/agent, and you start /");
    recorded(&node, "roots", "claim refused", "is for /opt/agent");
    refused(
        &run(&node, 0, "roots", &["/opt/nothing"]),
        "yours is not found",
    );
    host(&node, "cp /opt/agent /opt/copy");
    refused(
        &run(&node, 0, "roots", &["/opt/copy"]),
        "you start /opt/copy",
    );

    // Whoever may change the file could do so after it was looked at.
    host(&node, "chmod o+w /opt/agent");
    refused(
        &run(&node, 0, "roots", &["/opt/agent"]),
        "others may change /opt/agent",
    );
    host(
        &node,
        &format!("chmod o-w /opt/agent; chown {USER} /opt/agent"),
    );
    refused(
        &run(&node, 0, "roots", &["/opt/agent"]),
        &format!("belongs to uid {USER}"),
    );
    host(&node, "chown 0 /opt/agent; chmod o+w /opt");
    refused(
        &run(&node, 0, "roots", &["/opt/agent"]),
        "others may change /opt",
    );
    host(&node, "chmod o-w /opt");
    started(run(&node, 0, "roots", &["/opt/agent"]));

    host(&node, "echo '# patched' >>/opt/agent");
    let patched = run(&node, 0, "roots", &["/opt/agent"]);
    refused(&patched, &format!("is for a program with sha256 {DIGEST}"));
}

#[test]
fn the_path_that_counts_is_the_nodes() {
    if !root() {
        return;
    }
    let node = start();
    // A launcher that has its own /opt, in a mount namespace of its own.
    let swap = [
        "unshare",
        "--mount",
        "sh",
        "-ec",
        "printf '#!/bin/sh\\necho impostor\\n' >/tmp/impostor; chmod 755 /tmp/impostor; \
         mount --bind /tmp/impostor /opt/agent; exec \"$@\"",
        "sh",
    ];
    let swapped = run_through(&node, &swap, 0, "roots", &["/opt/agent"]);
    refused(&swapped, "it is not the file that the node finds at");
    assert!(!swapped.stdout.contains("impostor"), "{swapped:?}");
}

#[test]
fn a_users_own_launcher_proves_a_uid_and_nothing_about_the_program() {
    if !root() {
        return;
    }
    let node = start();
    started(run(&node, USER, "plain", &["/opt/agent"]));
    recorded(&node, "plain", "workload started", "checked: uid");
    turned_away(&run(&node, OTHER, "plain", &["/opt/agent"]), "plain");
    turned_away(&run(&node, USER, "roots", &["/opt/agent"]), "roots");

    // The right user, the right program, and still nothing but that user's word for it.
    turned_away(&run(&node, USER, "theirs", &["/opt/agent"]), "theirs");
    recorded(
        &node,
        "theirs",
        "claim refused",
        "is not proven to start what it shows",
    );
    assert!(
        notes(&node).contains("nobody can claim theirs"),
        "{}",
        notes(&node)
    );
    // Root is not that user.
    refused(&run(&node, 0, "theirs", &["/opt/agent"]), "is for uid");
}

/// A copy of the binary that the kernel vouches for.
fn set_group_id() -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir_in("/var/tmp").unwrap();
    fs::set_permissions(place.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let copy = place.path().join("ringfence");
    fs::copy(BINARY, &copy).unwrap();
    std::os::unix::fs::chown(&copy, Some(0), Some(GROUP)).unwrap();
    fs::set_permissions(&copy, PermissionsExt::from_mode(0o2755)).unwrap();
    (place, copy)
}

/// Starts the rest of its arguments as a debugger would, and lets it go on.
const TRACE: &str = r#"
import ctypes, os, signal, sys
libc = ctypes.CDLL(None, use_errno=True)
child = os.fork()
if child == 0:
    libc.ptrace(0, 0, None, None)
    os.execv(sys.argv[1], sys.argv[1:])
while True:
    pid, status = os.waitpid(child, 0)
    if os.WIFEXITED(status):
        sys.exit(os.WEXITSTATUS(status))
    stopped = os.WSTOPSIG(status)
    libc.ptrace(7, child, None, ctypes.c_void_p(0 if stopped == signal.SIGTRAP else stopped))
"#;

/// A launcher that shows one program and would start another: it may say what it likes.
const LIAR: &str = r#"
import array, json, os, socket, sys
os.chdir(sys.argv[1])
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect('run.sock')
claim = {'say': 'claim', 'version': int(sys.argv[2]), 'name': 'theirs', 'command': '/opt/agent', 'resume': None}
shown = os.open('/opt/agent', os.O_PATH)
s.sendmsg([json.dumps(claim).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [shown]))])
print(s.recv(65536).decode())
"#;

#[test]
fn a_launcher_that_the_kernel_vouches_for_proves_the_program() {
    if !root() {
        return;
    }
    let (_place, binary) = set_group_id();
    let node = start_with(&binary, "agents.service");
    assert!(
        notes(&node).contains("say what another user's launcher started"),
        "{}",
        notes(&node)
    );
    started(run(&node, USER, "theirs", &["/opt/agent"]));
    let checked = format!("checked: uid, exe /opt/agent, sha256 {DIGEST}");
    recorded(&node, "theirs", "workload started", &checked);
    // What it starts has nothing of the group, and neither has its launcher for long.
    let ids = run(
        &node,
        USER,
        "plain",
        &["sh", "-c", "grep -E '^(Gid|Groups)' /proc/self/status"],
    )
    .ok();
    assert!(!ids.stdout.contains(&GROUP.to_string()), "{ids:?}");

    turned_away(
        &run(&node, USER, "theirs", &["sh", "-c", "echo started"]),
        "theirs",
    );
    recorded(&node, "theirs", "claim refused", "is for /opt/agent");
    turned_away(&run(&node, OTHER, "theirs", &["/opt/agent"]), "theirs");

    let proven = "is not proven to start what it shows";
    let before = refusals(&node, proven);
    let state = ringfence_compartment::sockets::socket_dir(node.state()).unwrap();
    let version = ringfence_compartment::link::LINK_VERSION.to_string();
    let id = USER.to_string();
    let lie_with = |ids: &[&str]| {
        let socket_dir = state.display().to_string();
        let program = ["/usr/bin/python3", "-c", LIAR, &socket_dir, &version];
        let words = ids.iter().copied().chain(program);
        node.host().run_as_root(words).unwrap().ok().stdout
    };
    let lie = |groups: [&str; 2]| {
        lie_with(&[
            "setpriv", "--reuid", &id, "--regid", groups[0], groups[1], "--",
        ])
    };
    let group = GROUP.to_string();
    let member = format!("--groups={group}");
    // Another program; one of a member of the group, by either way.
    for groups in [
        [&*id, "--clear-groups"],
        [&*id, &member],
        [&*group, "--clear-groups"],
    ] {
        let answer = lie(groups);
        assert!(
            answer.contains("refused") && answer.contains("you may not run"),
            "{answer}"
        );
    }
    assert_eq!(refusals(&node, proven), before + 3);
    // A member can lend the group to a program of his own, which then has it as ours has. He is still a member.
    let lent = [
        "setpriv", "--reuid", &id, "--rgid", &id, "--egid", &group, &member, "--",
    ];
    let answer = lie_with(&lent);
    assert!(answer.contains("you may not run"), "{answer}");
    assert_eq!(refusals(&node, proven), before + 4);
    // Our own program in the hands of a debugger, which could change it as it goes.
    let traced = run_through(
        &node,
        &["/usr/bin/python3", "-c", TRACE],
        USER,
        "theirs",
        &["/opt/agent"],
    );
    turned_away(&traced, "theirs");
    assert_eq!(refusals(&node, proven), before + 5);
    // Without the debugger it is the same command.
    started(run_through(
        &node,
        &[
            "/usr/bin/python3",
            "-c",
            "import os, sys; os.execv(sys.argv[1], sys.argv[1:])",
        ],
        USER,
        "theirs",
        &["/opt/agent"],
    ));
}

/// How many claims were refused so far for this reason.
fn refusals(node: &Node, why: &str) -> usize {
    let stranger = format!("uid {OTHER},");
    let count = |node: &Node, text: &str| -> Result<usize, ringfence_testbed::TestbedError> {
        let flows = node.flows()?;
        let refused = flows
            .iter()
            .filter(|flow| flow.operation == "claim refused");
        Ok(refused.filter(|flow| flow.reason.contains(text)).count())
    };
    // Records are written in order: what was refused before this one is there when it is.
    let before = count(node, &stranger).unwrap();
    turned_away(&run(node, OTHER, "plain", &["true"]), "plain");
    let arrived = |node: &Node| Ok((count(node, &stranger)? > before).then_some(()));
    node.await_that("the refusal of a stranger", arrived)
        .unwrap();
    count(node, why).unwrap()
}

#[test]
fn what_was_checked_at_the_start_holds_for_a_launcher_that_comes_back() {
    if !root() {
        return;
    }
    let mut node = start();
    let mut running = node
        .workload("roots")
        .spawn(&["/opt/agent", "stay"])
        .unwrap();
    running.wait_until_it_says("started stay").unwrap();
    node.kill().unwrap();
    node.up().unwrap();
    recorded(&node, "roots", "workload resumed", "exe /opt/agent");
    let status = node.status().unwrap().1;
    let checked = format!("owner or root, exe /opt/agent, sha256 {DIGEST}");
    assert_eq!(
        status["workloads"][0]["checked"],
        checked.as_str(),
        "{status:#}"
    );
}

/// It gave the group up when it first connected, and is still the launcher that was vouched for then.
#[test]
fn a_launcher_that_was_vouched_for_comes_back_without_its_group() {
    if !root() {
        return;
    }
    let (_place, binary) = set_group_id();
    let mut node = start_with(&binary, "agents.service");
    let id = USER.to_string();
    let run = node.workload("theirs").words(&["/opt/agent", "stay"]);
    let mut words = vec![
        "setpriv",
        "--reuid",
        &id,
        "--regid",
        &id,
        "--clear-groups",
        "--",
    ];
    words.extend(run.iter().map(String::as_str));
    let running = node.host().start_as_root(words).unwrap();
    running
        .wait_stdout("started stay", std::time::Duration::from_secs(20))
        .unwrap();
    node.kill().unwrap();
    node.up().unwrap();
    recorded(&node, "theirs", "workload resumed", "exe /opt/agent");
}

/// Control groups of systemd's kind, removed at the end.
struct Groups {
    mount: PathBuf,
    made: Vec<PathBuf>,
}

impl Groups {
    fn new() -> Option<Self> {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap();
        let named = groups.lines().any(|line| line.contains(":name=systemd:"));
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mount = mounts.lines().find_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let fits = if named {
                after.contains("name=systemd")
            } else {
                after.starts_with("cgroup2")
            };
            fits.then(|| PathBuf::from(before.split(' ').nth(4).unwrap()))
        })?;
        Some(Self {
            mount,
            made: Vec::new(),
        })
    }

    /// Makes every directory of `path`, and returns where it is.
    fn make(&mut self, path: &str) -> std::io::Result<PathBuf> {
        let mut directory = self.mount.clone();
        for part in path.split('/') {
            directory.push(part);
            if !directory.exists() {
                fs::create_dir(&directory)?;
                self.made.push(directory.clone());
            }
        }
        Ok(directory)
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for directory in self.made.iter().rev() {
            let _ = fs::remove_dir(directory);
        }
    }
}

#[test]
fn a_unit_is_one_of_the_system_and_not_of_whoever_calls_it_so() {
    if !root() {
        return;
    }
    let Some(mut groups) = Groups::new() else {
        eprintln!("skipped: no control groups");
        return;
    };
    let tag = std::process::id();
    let (unit, slice) = (
        format!("agents-{tag}.service"),
        format!("rftest{tag}.slice"),
    );
    let paths = [
        format!("{slice}/{unit}"),
        format!("{slice}/{unit}/inner"),
        format!("{slice}/user@{USER}.service/{unit}"),
        format!("rftest{tag}/{unit}"),
        format!("theirs{tag}.slice/{unit}"),
    ];
    let mut made = Vec::new();
    for path in &paths {
        match groups.make(path) {
            Ok(directory) => made.push(directory),
            Err(error) => {
                eprintln!("skipped: no control group can be made here: {error}");
                return;
            }
        }
    }
    // A slice that somebody else may make units in.
    std::os::unix::fs::chown(made[4].parent().unwrap(), Some(USER), None).unwrap();

    let node = start_with(Path::new(BINARY), &unit);
    let from = |group: &Path| {
        let run = node.workload("united").words(&["/opt/agent"]);
        let id = USER.to_string();
        let enter = format!("echo 0 >{}/cgroup.procs; exec \"$@\"", group.display());
        let mut words: Vec<&str> = vec!["sh", "-ec", &enter, "sh"];
        words.extend([
            "setpriv",
            "--reuid",
            &id,
            "--regid",
            &id,
            "--clear-groups",
            "--",
        ]);
        words.extend(run.iter().map(String::as_str));
        node.host().run_as_root(words).unwrap()
    };
    started(from(&made[0]));
    recorded(
        &node,
        "united",
        "workload started",
        &format!("checked: uid, unit {unit}"),
    );
    started(from(&made[1]));
    for (group, why) in [
        (&made[2], format!("you are in user@{USER}.service")),
        (&made[3], "is none of a unit of the system".to_owned()),
        (&made[4], "others than root may make units in".to_owned()),
    ] {
        turned_away(&from(group), "united");
        recorded(&node, "united", "claim refused", &why);
    }
    turned_away(&run(&node, USER, "united", &["/opt/agent"]), "united");
}

#[test]
fn operators_verbs_are_for_owner_and_root() {
    if !root() {
        return;
    }
    let node = start();
    let state = node.state().display().to_string();
    let ask = |uid: u32| {
        let id = uid.to_string();
        let binary = node.binary().display().to_string();
        let words = [
            "setpriv",
            "--reuid",
            &id,
            "--regid",
            &id,
            "--clear-groups",
            "--",
            &binary,
            "status",
            "--state",
            &state,
        ];
        node.host().run_as_root(words).unwrap()
    };
    assert_eq!(ask(0).code, Some(0));
    let stranger = ask(USER);
    assert_eq!(stranger.code, Some(1), "{stranger:?}");
    assert!(
        stranger.stderr.contains("ask as root or as the owner"),
        "{stranger:?}"
    );
    // The mode of the socket is one wall; what the kernel says of who asks is the other.
    let directory = ringfence_compartment::sockets::socket_dir(node.state()).unwrap();
    host(
        &node,
        &format!("chmod 666 {}/admin.sock", directory.display()),
    );
    let stranger = ask(USER);
    assert_eq!(stranger.code, Some(1), "{stranger:?}");
    assert!(
        stranger.stderr.contains("only root and the owner"),
        "{stranger:?}"
    );
}

#[test]
fn on_a_node_of_ones_own_it_keeps_out_mistakes_and_says_so() {
    let shell = fs::canonicalize("/bin/sh").unwrap();
    let estate = estate("agents.service").replace("/opt/agent", &shell.display().to_string());
    let estate = estate.replace(&format!(", sha256: {DIGEST}"), "");
    let options = NodeOptions::new(BINARY).caller(Caller::Ordinary);
    let node = options.file("estate.yaml", &estate).start().unwrap();
    started(node.run("roots", &["sh", "-c", "echo started"]).unwrap());
    let checked = format!("checked: owner or root, exe {}", shell.display());
    recorded(&node, "roots", "workload started", &checked);
    let other = node.run("roots", &["env", "echo", "started"]).unwrap();
    refused(
        &other,
        &format!("is for {}, and you start", shell.display()),
    );
    assert!(
        notes(&node).contains("keep out mistakes"),
        "{}",
        notes(&node)
    );
}

/// Looks, as fast as it can, for a way into compartments that are being built: says through whose process it found one.
const INTRUDER: &str = r#"
import os, sys
own = os.readlink("/proc/self/ns/net")
print("looking", flush=True)
found = set()
os.set_blocking(0, False)
while True:
    try:
        if os.read(0, 1) == b"":
            break
    except BlockingIOError:
        pass
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            try:
                if os.readlink(f"/proc/{pid}/ns/net") != own:
                    found.add(os.path.basename(os.readlink(f"/proc/{pid}/exe")))
            except OSError:
                pass
print("found:", *sorted(found), flush=True)
"#;

#[test]
fn the_user_gets_into_nothing_before_the_program_runs() {
    if !root() {
        return;
    }
    let node = start();
    let id = USER.to_string();
    let words = [
        "setpriv",
        "--reuid",
        &id,
        "--regid",
        &id,
        "--clear-groups",
        "--",
        "/usr/bin/python3",
        "-c",
        INTRUDER,
    ];
    let mut intruder = node.host().start_as_root(words).unwrap();
    intruder
        .wait_stdout("looking", std::time::Duration::from_secs(20))
        .unwrap();
    for _ in 0..20 {
        run(&node, USER, "plain", &["sleep", "0.2"]).ok();
    }
    intruder.close_stdin();
    let found = intruder
        .wait(std::time::Duration::from_secs(20))
        .unwrap()
        .ok()
        .stdout;
    // What runs is that user's to look into; what builds it is not.
    assert!(found.contains("found: sleep\n"), "{found}");
}
