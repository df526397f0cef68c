//! The configuration is changed under traffic, in every way that people and their tools do it: what must not pass never
//! does, what may pass always does, and the node says what it makes of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use e2e_support::{BINARY, PYTHON, Puppet, vault, web, workdir};
use ringfence_testbed::{Caller, Node, NodeOptions, Running};
use serde_json::{Value, json};

/// The last document is what keeps the vault closed: a service without a list takes whoever names it. So any mixture,
/// and any part that lacks the end, opens it.
const ESTATE: &str = "\
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: web }
spec: { protocol: http, port: 8080 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: vault }
spec: { protocol: http, port: 8080 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: agent }
spec: { purpose: asks all the time }
---
apiVersion: ringfence.dev/v1alpha1
kind: Policy
metadata: { name: agent }
spec:
  agent: agent
  initiate:
    - service: web
      operations: [\"GET /always\", \"GET /v1/*\"]
    - service: vault
      operations: [\"GET /**\"]
---
apiVersion: ringfence.dev/v1alpha1
kind: Policy
metadata: { name: vault }
spec:
  service: vault
  receive:
    - agent: agent
      operations: [\"GET /public\"]
";

/// Where the document begins that keeps the vault closed.
fn lock_of_the_vault(text: &str) -> usize {
    text.rfind("---\n").unwrap()
}

/// Asks for what it may have and for what it may not, on fresh connections, until told to end.
const TRAFFIC: &str = r#"
import collections, http.client, json, sys, threading
told = collections.Counter()
def ask(host, path):
    conn = http.client.HTTPConnection(host, 8080, timeout=20)
    try:
        conn.request("GET", path)
        answer = conn.getresponse()
        answer.read()
        return answer.status
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        conn.close()
over = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), over.set()), daemon=True).start()
print("ready", flush=True)
while not over.wait(0.01):
    told[f"may {ask('web', '/always')}"] += 1
    told[f"must not {ask('vault', '/secret')}"] += 1
print(json.dumps(told), flush=True)
"#;

/// A node, two services, an agent that asks all the time, and one that looks what is in force.
struct Scene {
    // Ended in this order.
    puppet: Puppet,
    traffic: Running,
    vault: Running,
    _web: Running,
    version: u32,
    node: Node,
}

impl Scene {
    fn new(caller: Caller) -> Self {
        let options = NodeOptions::new(BINARY).file("estate.yaml", ESTATE);
        let node = options.caller(caller).start().unwrap();
        let (web, vault) = (web(&node), vault(&node));
        let path = workdir(&node, "work-traffic", "traffic.py", TRAFFIC);
        let launch = node.workload("agent").workdir(&path).open_stdin();
        let mut traffic = launch.spawn(&[PYTHON, "-u", "traffic.py"]).unwrap();
        traffic.wait_until_it_says("ready").unwrap();
        Self {
            puppet: Puppet::start(&node),
            traffic,
            vault,
            _web: web,
            version: 1,
            node,
        }
    }

    /// The estate of the next version.
    fn next(&mut self) -> String {
        self.version += 1;
        self.text()
    }

    fn text(&self) -> String {
        ESTATE.replace("/v1/", &format!("/v{}/", self.version))
    }

    fn file(&self) -> std::path::PathBuf {
        self.node.config().join("estate.yaml")
    }

    fn in_force(&mut self, version: u32) -> bool {
        let path = format!("/v{version}/x");
        self.puppet.tell(json!(["get", "GET", path]))["status"] == 200
    }

    /// Runs a script as the node's user, in the configuration directory: `$0` is the new text, in a file elsewhere.
    fn script(&self, text: &str, script: &str) {
        let new = self.node.host().directory("new").unwrap().join("text");
        fs::write(&new, text).unwrap();
        let line = format!("cd '{}' && {script}", self.node.config().display());
        let done = self
            .node
            .host()
            .run(["sh", "-ec", &line, &new.display().to_string()]);
        done.unwrap().ok();
    }

    /// The next version by `script`, and it comes into force.
    fn change(&mut self, how: &str, script: &str) {
        let text = self.next();
        self.script(&text, script);
        self.await_version(how);
    }

    fn await_version(&mut self, how: &str) {
        let deadline = Instant::now() + Duration::from_secs(15);
        let version = self.version;
        while !self.in_force(version) {
            let said = self.node.messages();
            assert!(Instant::now() < deadline, "{how} is not in force: {said}");
        }
        assert_eq!(self.node.status().unwrap().0, 0, "{how}");
    }

    fn await_status(&self, what: &str, holds: impl Fn(&Value) -> bool) {
        self.node
            .await_that(what, |node| Ok(holds(&node.status()?.1).then_some(())))
            .unwrap();
    }

    /// What was never to pass did not, and what may pass always did.
    fn end(mut self) -> String {
        self.traffic.process.write(b"end\n").unwrap();
        self.traffic.wait().unwrap();
        let said = self.traffic.process.stdout();
        let told: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
        let kinds: Vec<&String> = told.as_object().unwrap().keys().collect();
        assert_eq!(kinds, ["may 200", "must not 403"], "{told}");
        assert!(told["may 200"].as_u64().unwrap() > 50, "{told}");
        let arrived = self.vault.process.stdout();
        assert!(!arrived.contains("GET"), "{arrived}");
        let allowed = self.node.flows_where(0, |r| {
            r.destination == "vault"
                && r.outcome == ringfence_model::Outcome::Allow
                && r.operation.contains("secret")
        });
        assert_eq!(allowed.unwrap(), []);
        self.node.messages()
    }
}

fn rejected(status: &Value) -> bool {
    !status["policy"]["rejected"].is_null()
}

fn waits(status: &Value) -> bool {
    status["degraded"]
        .to_string()
        .contains("is not taken since")
}

#[test]
fn every_way_of_saving_comes_into_force_whole() {
    let mut scene = Scene::new(Caller::own());
    scene.change("sed -i", "v=$(grep -o '/v[0-9]*/' estate.yaml); n=$(grep -o '/v[0-9]*/' $0); sed -i s,$v,$n, estate.yaml");
    scene.change("a rename", "cp $0 .new; mv .new estate.yaml");
    scene.change("cat >", "cat $0 >estate.yaml");
    scene.change("cp", "cp $0 estate.yaml");
    scene.change("dd in small pieces", "dd if=$0 of=estate.yaml bs=7 2>&1");
    scene.change(
        "an older file moved in",
        "cp $0 .new; touch -d 1999-01-01 .new; mv .new estate.yaml",
    );
    scene.change(
        "a file of the future",
        "cat $0 >estate.yaml; touch -d 2099-01-01 estate.yaml",
    );
    scene.change(
        "a hard link",
        "cp $0 .new; rm estate.yaml; ln .new estate.yaml; rm .new",
    );
    // Emacs: a link that locks, an autosave, a backup, and the file written in place.
    scene.change(
        "emacs",
        "ln -s me@host.1:2 .#estate.yaml; head -c 99 $0 >'#estate.yaml#'; sleep 0.3; cp -p estate.yaml estate.yaml~; \
         cat $0 >estate.yaml; rm .#estate.yaml '#estate.yaml#'",
    );
    // rsync: a hidden file that grows, and a rename.
    scene.change("rsync", "head -c 400 $0 >.estate.yaml.Xa81; sleep 0.5; cat $0 >.estate.yaml.Xa81; mv .estate.yaml.Xa81 estate.yaml");
    // vim: swap file, `4913`, backup; once by renaming, once in place.
    for copy in ["no", "yes"] {
        scene.change(
            &format!("vim, backupcopy={copy}"),
            &format!(
                "if command -v vim >/dev/null; then vim -Nu NONE -es -c 'set backup writebackup backupcopy={copy} swapfile' \
                 -c \"%!cat $0\" -c wq estate.yaml; else cp $0 estate.yaml; fi"
            ),
        );
    }
    assert!(!scene.end().contains("rejected"));
}

#[test]
fn a_slow_writer_is_waited_for_and_never_taken_in_the_middle() {
    let mut scene = Scene::new(Caller::own());
    let text = scene.next();
    let cut = lock_of_the_vault(&text);
    let new = scene.node.host().directory("new").unwrap().join("text");
    fs::write(&new, &text).unwrap();
    let script = format!(
        "import sys, time\ntext = open(sys.argv[1]).read()\nfile = open(sys.argv[2], 'w')\nfor piece in (text[:{cut}], \
         text[{cut}:]):\n    file.write(piece); file.flush(); print('wrote', flush=True); sys.stdin.readline()\n"
    );
    let file = scene.file();
    let writer = scene.node.host().start([
        PYTHON,
        "-uc",
        &script,
        &new.display().to_string(),
        &file.display().to_string(),
    ]);
    let mut writer = writer.unwrap();
    writer
        .wait_stdout("wrote", Duration::from_secs(10))
        .unwrap();
    // A valid half, for seconds.
    scene.await_status("said", waits);
    assert_eq!(scene.node.status().unwrap().0, 5);
    let said = scene.node.messages();
    assert!(
        said.contains("estate.yaml is open for writing by python3 (process ")
            && said.contains("generation 1 stays in force"),
        "{said}"
    );
    assert_eq!(scene.node.generation().unwrap(), 1);
    assert!(scene.in_force(1));
    writer.write(b"\n").unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(scene.node.generation().unwrap(), 1);
    writer.write(b"\n").unwrap();
    scene.await_version("the whole");
    assert_eq!(scene.node.generation().unwrap(), 2);
    let events = scene
        .node
        .flows_where(0, |r| r.operation.starts_with("reload"));
    let events: Vec<String> = events.unwrap().into_iter().map(|r| r.operation).collect();
    assert_eq!(events, ["reload waits", "reload goes on"]);
    assert!(scene.end().contains("the configuration rests"));
}

#[test]
fn what_a_full_disk_or_a_crash_left_of_a_file_is_not_taken() {
    let mut scene = Scene::new(Caller::own());
    let text = scene.next();
    // In the middle of a line, at the last character before a line end, nothing at all, and a page of zeros.
    let cut = lock_of_the_vault(&text);
    for (what, left, words) in [
        ("a valid part", text[..cut - 1].to_owned(), "looks cut off"),
        ("half a line", text[..cut - 5].to_owned(), "looks cut off"),
        ("nothing", String::new(), "is empty"),
        ("zeros", "\0".repeat(4096), ""),
    ] {
        scene.script(&left, "cat $0 >estate.yaml");
        scene.await_status(what, |status| {
            rejected(status)
                && status["policy"]["rejected"]["errors"]
                    .to_string()
                    .contains(words)
        });
        assert_eq!(scene.node.status().unwrap().0, 5, "{what}");
        assert!(scene.in_force(1), "{what}");
    }
    scene.script(&text, "cat $0 >estate.yaml");
    scene.await_version("the whole");
    assert!(scene.end().contains("stays in force"));
}

#[test]
fn git_is_waited_for_until_it_has_exchanged_every_file() {
    let mut scene = Scene::new(Caller::own());
    // The lock of the vault moves from the last file to the first: a mixture has none.
    let (one, two) = (scene.text(), scene.next());
    let split = |text: &str, lock_first: bool| {
        let (rest, lock) = text.split_at(lock_of_the_vault(text));
        let lock = lock.trim_start_matches("---\n").to_owned();
        let rest = rest.to_owned();
        let (first, last) = if lock_first {
            (lock, "# moved\n".to_owned())
        } else {
            ("# empty\n".to_owned(), lock)
        };
        [("a.yaml", first), ("estate.yaml", rest), ("z.yaml", last)]
    };
    let git = "git -c user.name=t -c user.email=t@t";
    scene.script(
        "",
        &format!(
            "printf '*.yaml filter=slow\\n' >.gitattributes; git init -q -b one .; {git} add .; {git} commit -qm none"
        ),
    );
    for (branch, files) in [("one", split(&one, false)), ("two", split(&two, true))] {
        scene.script(
            "",
            &format!("cp -r . ../tree; cd ../tree; git checkout -q -B {branch}"),
        );
        let tree = scene.node.config().with_file_name("tree");
        for (name, text) in files {
            fs::write(tree.join(name), text).unwrap();
        }
        scene.script("", &format!("cd ../tree; {git} add .; {git} commit -qm {branch}; cd -; git fetch -q ../tree +{branch}:kept-{branch}; rm -rf ../tree"));
    }
    scene.script(
        "",
        "git config filter.slow.smudge 'sleep 1; cat'; git config filter.slow.clean cat",
    );
    scene.script("", "git checkout -qf kept-one");
    scene.await_status("one", |status| {
        status["policy"]["generation"] == 2 && !rejected(status)
    });
    scene.script("", "git checkout -qf kept-two");
    scene.await_version("two");
    assert_eq!(scene.node.generation().unwrap(), 3);
    // One that was killed left its lock behind.
    let text = scene.next();
    scene.script(&text, "touch .git/index.lock; head -c -0 $0 >estate.yaml");
    scene.await_status("said", waits);
    let said = scene.node.messages();
    assert!(
        said.contains("git is at work") && said.contains("index.lock"),
        "{said}"
    );
    scene.script(&two, "rm .git/index.lock; git checkout -qf .");
    scene.await_status("rests", |status| !waits(status) && !rejected(status));
    scene.end();
}

#[test]
fn a_directory_that_is_exchanged_or_vanishes_is_never_a_mixture() {
    let mut scene = Scene::new(Caller::own());
    scene.change("exchanged by mv", "cp -r . ../new-estate; cp $0 ../new-estate/estate.yaml; cd ..; mv estate old-estate; mv new-estate estate; rm -r old-estate");
    // As Kubernetes mounts a ConfigMap: `..data` is exchanged under files that are links.
    scene.change(
        "links through ..data",
        "mkdir ..one; cp $0 ..one/estate.yaml; ln -s ..one ..data; ln -s ..data/estate.yaml .new; mv .new estate.yaml",
    );
    scene.change("..data flipped", "mkdir ..two; cp $0 ..two/estate.yaml; ln -s ..two ..data_tmp; mv -T ..data_tmp ..data; rm -r ..one");
    // The directory itself is a link that flips.
    scene.change("made a link", "cp -r . ../release-1; rm ../release-1/estate.yaml; cp $0 ../release-1/estate.yaml; cd ..; rm -r estate; ln -s release-1 estate");
    scene.change("the link flips", "cd ..; mkdir release-2; cp $0 release-2/estate.yaml; ln -s release-2 .flip; mv -T .flip estate");
    let before = scene.node.generation().unwrap();
    scene.script("", "cd ..; mv estate gone");
    scene.await_status("said", |status| {
        rejected(status)
            && status["policy"]["rejected"]["errors"]
                .to_string()
                .contains("does not exist")
    });
    assert_eq!(
        (
            scene.node.status().unwrap().0,
            scene.node.generation().unwrap()
        ),
        (5, before)
    );
    let version = scene.version;
    assert!(scene.in_force(version));
    let text = scene.next();
    let back = scene
        .node
        .config()
        .with_file_name("gone")
        .join("estate.yaml");
    fs::write(back, text).unwrap();
    let done = scene.node.host().run([
        "mv",
        &path(scene.node.config().with_file_name("gone")),
        &path(scene.node.config()),
    ]);
    done.unwrap().ok();
    scene.await_version("back");
    // Something else in its place.
    for (what, script, words) in [
        ("a FIFO", "mv estate.yaml .kept; mkfifo estate.yaml", "FIFO"),
        (
            "a directory",
            "mv estate.yaml .kept; mkdir estate.yaml; mkfifo estate.yaml/x.yaml",
            "FIFO",
        ),
        (
            "a link to nowhere",
            "mv estate.yaml .kept; ln -s nowhere estate.yaml",
            "does not exist",
        ),
    ] {
        scene.script("", script);
        scene.await_status(what, |status| {
            rejected(status)
                && status["policy"]["rejected"]["errors"]
                    .to_string()
                    .contains(words)
        });
        let version = scene.version;
        assert!(scene.in_force(version), "{what}");
        scene.script("", "rm -r estate.yaml; mv .kept estate.yaml");
        scene.await_status(what, |status| !rejected(status));
    }
    assert!(scene.end().contains("stays in force"));
}

fn path(path: impl AsRef<Path>) -> String {
    path.as_ref().display().to_string()
}

#[test]
fn lost_permissions_change_nothing_and_are_said() {
    let mut scene = Scene::new(Caller::Ordinary);
    for (what, lose, back) in [
        ("a file", "chmod 000 estate.yaml", "chmod 600 estate.yaml"),
        ("the directory", "chmod 000 .", "chmod 700 ."),
        ("its entries", "chmod 400 .", "chmod 700 ."),
    ] {
        scene.script("", lose);
        scene.await_status(what, |status| {
            rejected(status)
                && status["policy"]["rejected"]["errors"]
                    .to_string()
                    .contains("may not be read")
        });
        assert_eq!(scene.node.status().unwrap().0, 5, "{what}");
        assert!(scene.in_force(1), "{what}");
        let done = scene.node.host().run_as_root([
            "sh",
            "-ec",
            &format!("cd '{}' && {back}", scene.node.config().display()),
        ]);
        done.unwrap().ok();
        scene.await_status(what, |status| !rejected(status));
    }
    assert_eq!(scene.node.generation().unwrap(), 1);
    scene.end();
}

#[test]
fn a_thousand_saves_are_few_generations_and_the_last_one_counts() {
    let mut scene = Scene::new(Caller::own());
    let text = scene.next().replace("/v2/", "/vN/");
    let started = Instant::now();
    scene.script(
        &text,
        "n=1; while [ $n -le 1000 ]; do n=$((n+1)); sed s,/vN/,/v$n/, $0 >.new; mv .new estate.yaml; sleep 0.005; done",
    );
    let took = started.elapsed().as_secs();
    scene.version = 1001;
    scene.await_version("the last of a thousand");
    let generation = scene.node.generation().unwrap();
    assert!(
        (2..=3 * took + 6).contains(&generation),
        "{generation} in {took} s"
    );
    scene.end();
}
