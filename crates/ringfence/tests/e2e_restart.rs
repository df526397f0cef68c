//! Everything that can end and start again does, in every order: nothing opens, and everything heals.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;

use std::time::{Duration, Instant};

use e2e_support::{Puppet, options, policy_without_cache, start, vault, web};
use ringfence_testbed::{Node, Running};
use serde_json::json;

#[derive(Clone, Copy, Debug)]
enum Part {
    Node,
    Enforcer,
    Launcher,
    Workload,
    Service,
}

const PARTS: [Part; 5] = [
    Part::Node,
    Part::Enforcer,
    Part::Launcher,
    Part::Workload,
    Part::Service,
];

struct Scene {
    // Ended in this order.
    puppet: Puppet,
    web: Running,
    vault: Running,
    node: Node,
}

impl Scene {
    fn restart(&mut self, part: Part) {
        match part {
            Part::Node => {
                self.node.kill().unwrap();
                self.node.up().unwrap();
            }
            Part::Enforcer => {
                self.node.kill_enforcer().unwrap();
            }
            Part::Launcher => {
                let pid = self.puppet.running.pid;
                self.node.host().signal("KILL", pid).unwrap();
                self.puppet = Puppet::start(&self.node);
            }
            Part::Workload => {
                self.puppet.running.process.close_stdin();
                self.puppet.running.wait().unwrap().ok();
                self.puppet = Puppet::start(&self.node);
            }
            Part::Service => {
                self.node.host().signal("KILL", self.web.pid).unwrap();
                self.web.wait().unwrap();
                self.web = web(&self.node);
            }
        }
        self.try_what_is_denied();
    }

    fn try_what_is_denied(&mut self) {
        let by_name = self.puppet.tell(json!(["open_tcp", "x", "vault", 8080]));
        assert!(by_name["error"].is_string(), "{by_name}");
        // The third name has the third address, also when nobody was told.
        for host in ["100.64.0.3", "fd52:6600::3"] {
            let request = "GET /secret HTTP/1.1\r\nHost: vault\r\n\r\n";
            let reached = self.puppet.tell(json!(["tcp", host, 8080, 1, request]));
            assert!(!self.vault.process.stdout().contains("GET"), "{reached}");
        }
    }

    fn heals(&mut self, after: &[Part]) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let told = self.puppet.tell(json!(["get", "GET", "/items/1"]));
            if told["status"] == 200 {
                break;
            }
            let said = self.node.messages();
            assert!(Instant::now() < deadline, "{after:?}: {told}\n{said}");
        }
        self.try_what_is_denied();
    }
}

#[test]
fn after_every_restart_and_every_two_nothing_opens_and_everything_heals() {
    let node = start();
    let mut scene = Scene {
        puppet: Puppet::start(&node),
        web: web(&node),
        vault: vault(&node),
        node,
    };
    scene.heals(&[]);
    for one in PARTS {
        scene.restart(one);
        scene.heals(&[one]);
        for other in PARTS {
            scene.restart(one);
            scene.restart(other);
            scene.heals(&[one, other]);
        }
    }
    let steady = scene.node.flows_where(0, |r| {
        r.destination == "vault" && r.outcome == ringfence_model::Outcome::Allow
    });
    assert_eq!(steady.unwrap(), []);
}

#[test]
fn a_generation_that_cannot_be_kept_is_said_and_kept_as_soon_as_it_can_be() {
    let mut node = options().state_size("8m").start().unwrap();
    // Seen from inside the host: the file system is mounted there.
    let kept = |node: &Node| {
        let file = node.state().join("generation.json").display().to_string();
        node.host().run(["cat", &file]).unwrap().ok().stdout
    };
    let before = kept(&node);
    // Room for the numbers, which come first, and not for the generation: 4 KiB pages.
    let fill = node.state().join("fill").display().to_string();
    let filled = node
        .host()
        .run(["dd", "if=/dev/zero", &format!("of={fill}"), "bs=4k"])
        .unwrap();
    assert!(filled.stderr.contains("No space left"), "{filled:?}");
    let room = node.host().run(["truncate", "-s", "-32k", &fill]);
    room.unwrap().ok();
    let many: String = (0..900).map(|n| format!("\"GET /much/{n}\", ")).collect();
    let text = policy_without_cache().replace("[\"GET /**\"", &format!("[{many}\"GET /**\""));
    node.write("policy.yaml", &text).unwrap();
    node.await_that("said", |node| {
        let status = node.status()?.1;
        let said = status["degraded"]
            .to_string()
            .contains("generation 2 is not kept");
        Ok((said && status["policy"]["generation"] == 2).then_some(()))
    })
    .unwrap();
    assert_eq!(node.status().unwrap().0, 5);
    assert_eq!(kept(&node), before);
    let state = node.state().display().to_string();
    let left = node.host().run(["ls", "-A", &state]).unwrap().ok().stdout;
    assert!(!left.contains(".new"), "{left}");

    node.host().run(["rm", &fill]).unwrap().ok();
    node.await_that("kept", |node| Ok((node.status()?.0 == 0).then_some(())))
        .unwrap();
    let said = node.messages();
    assert_eq!(said.matches("cannot be kept").count(), 1, "{said}");
    assert!(said.contains("generation 2 is kept"), "{said}");
    // So a start with broken files does not go back to what allowed more.
    node.kill().unwrap();
    node.write("policy.yaml", "kind: Nonsense\n").unwrap();
    node.up().unwrap();
    let status = node.status().unwrap().1;
    assert_eq!(
        (&status["policy"]["generation"], &status["policy"]["origin"]),
        (&json!(2), &json!("last-good"))
    );
}
