//! A node under a service manager: the tests play systemd, with a real datagram socket.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "node_cli/place.rs"]
#[allow(
    dead_code,
    reason = "shared with node_cli.rs, which uses the rest of it"
)]
mod place;

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use place::{Node, PATIENCE, Place, RINGFENCE};

const ESTATE: &str = "\
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: clerk }
spec: {}
";

/// The socket a service manager would listen on.
struct Manager {
    socket: UnixDatagram,
    name: String,
}

impl Manager {
    fn at_path(place: &Place) -> Self {
        let path = place.temp.path().join("notify");
        Self {
            socket: UnixDatagram::bind(&path).unwrap(),
            name: path.to_str().unwrap().to_owned(),
        }
    }

    fn abstract_one() -> Self {
        let name = format!("ringfence-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        Self {
            socket: UnixDatagram::bind_addr(&address).unwrap(),
            name: format!("@{name}"),
        }
    }

    /// Starts a node under it.
    fn up<'a>(&self, place: &'a Place, watchdog: Option<Duration>) -> Node<'a> {
        let mut command = Command::new(RINGFENCE);
        command
            .arg("up")
            .arg("--config")
            .arg(place.config())
            .arg("--state")
            .arg(place.state())
            .env("NOTIFY_SOCKET", &self.name)
            .env("LISTEN_FDS", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(watchdog) = watchdog {
            command.env("WATCHDOG_USEC", watchdog.as_micros().to_string());
        }
        place.serving(command.spawn().unwrap())
    }

    /// The next word, if it comes within `time`.
    fn hear(&self, time: Duration) -> Option<String> {
        self.socket
            .set_read_timeout(Some(time.max(Duration::from_millis(1))))
            .unwrap();
        let mut buffer = [0; 4096];
        match self.socket.recv(&mut buffer) {
            Ok(length) => Some(String::from_utf8(buffer[..length].to_vec()).unwrap()),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// The next word that `wanted` picks; others pass.
    fn until(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + 2 * PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let word = self
                .hear(left)
                .unwrap_or_else(|| panic!("{what} did not come"));
            if wanted(&word) {
                return word;
            }
        }
    }

    /// Whether a `WATCHDOG=1` comes within `time`.
    fn is_fed(&self, time: Duration) -> bool {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            match self.hear(left) {
                Some(word) if word == "WATCHDOG=1" => return true,
                Some(_) => {}
                None => return false,
            }
        }
    }
}

fn signal(name: &str, pid: u64) {
    let sent = Command::new("kill").args([name, &pid.to_string()]).status();
    assert!(sent.unwrap().success());
}

fn monotonic_usec() -> u128 {
    // Both count from the boot, without the time asleep.
    let text = std::fs::read_to_string("/proc/uptime").unwrap();
    let seconds: f64 = text.split(' ').next().unwrap().parse().unwrap();
    (seconds * 1e6) as u128
}

#[test]
fn says_ready_once_it_serves_and_stopping_at_the_end_at_a_path_and_an_abstract_name() {
    let place = Place::new(ESTATE);
    for manager in [Manager::at_path(&place), Manager::abstract_one()] {
        let node = manager.up(&place, None);
        manager.until("READY", |word| word == "READY=1");
        let line = manager.until("STATUS", |word| word.starts_with("STATUS="));
        assert!(
            line.starts_with("STATUS=generation ") && line.ends_with(", 0 workloads"),
            "{line}"
        );
        // Without a watchdog, nobody is fed.
        assert!(!manager.is_fed(Duration::from_secs(3)));
        node.signal("-TERM");
        manager.until("STOPPING", |word| word == "STOPPING=1");
        let (code, _, err) = node.end();
        assert_eq!(code, Some(0), "{err}");
    }
}

#[test]
fn a_reload_is_announced_and_its_end_too_whatever_comes_of_it() {
    let place = Place::new(ESTATE);
    let manager = Manager::at_path(&place);
    let node = manager.up(&place, None);
    manager.until("READY", |word| word == "READY=1");
    let other = ESTATE.replace("clerk", "teller");
    let broken = ESTATE.replace("Agent", "Agnt");
    for (files, generation) in [(other.as_str(), 2), (broken.as_str(), 2), (ESTATE, 3)] {
        place.save(files);
        let before = monotonic_usec();
        node.signal("-HUP");
        let word = manager.until("RELOADING", |word| word.starts_with("RELOADING=1"));
        let usec: u128 = word
            .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
            .unwrap()
            .parse()
            .unwrap();
        assert!(
            usec + 1_000_000 >= before && usec <= monotonic_usec() + 1_000_000,
            "{usec} {before}"
        );
        manager.until("READY again", |word| word == "READY=1");
        // By then it is done: nobody has to wait for it any more.
        let (_, status) = place.status();
        assert_eq!(status["policy"]["generation"], generation, "{status:#}");
        assert_eq!(
            !status["policy"]["rejected"].is_null(),
            files == broken,
            "{status:#}"
        );
    }
    // A save that nobody asked to be told of is no reload of the manager's.
    place.save(&other);
    place.until("generation 4", |status| status["policy"]["generation"] == 4);
    while let Some(word) = manager.hear(Duration::from_millis(1500)) {
        assert!(word.starts_with("STATUS="), "{word}");
    }
}

#[test]
fn what_is_wrong_stands_in_the_status_line() {
    let place = Place::new(ESTATE);
    let manager = Manager::at_path(&place);
    let _node = manager.up(&place, None);
    manager.until("READY", |word| word == "READY=1");
    place.save(&ESTATE.replace("Agent", "Ag\u{1b}nt"));
    let line = manager.until("a line that says it", |word| {
        word.starts_with("STATUS=degraded: the configuration is rejected")
    });
    assert!(!line.chars().any(char::is_control), "{line:?}");
    place.save(ESTATE);
    manager.until("a line that says it is well", |word| {
        word.starts_with("STATUS=generation 1,")
    });
}

#[test]
fn the_watchdog_is_fed_while_the_enforcer_answers_and_starves_while_it_hangs() {
    let place = Place::new(ESTATE);
    let manager = Manager::at_path(&place);
    let node = manager.up(&place, Some(Duration::from_secs(4)));
    manager.until("READY", |word| word == "READY=1");
    for _ in 0..4 {
        assert!(manager.is_fed(PATIENCE));
    }
    let enforcer = node.enforcer();
    signal("-STOP", enforcer);
    // One answer may have been under way.
    manager.is_fed(Duration::from_secs(1));
    assert!(
        !manager.is_fed(Duration::from_secs(7)),
        "the node itself runs all the while"
    );
    // The node replaces it, and the new one answers.
    assert!(manager.is_fed(3 * PATIENCE));
    assert_ne!(node.enforcer(), enforcer);
}

#[test]
fn the_watchdog_starves_when_no_enforcer_can_be_had_and_the_node_says_why() {
    let place = Place::new(ESTATE);
    let manager = Manager::at_path(&place);
    let node = manager.up(&place, Some(Duration::from_secs(4)));
    manager.until("READY", |word| word == "READY=1");
    let enforcer = node.enforcer();
    // No log can be opened where a file is: the next enforcer ends at once, and the one after it.
    let log = place.state().join("log");
    std::fs::rename(&log, place.state().join("log.away")).unwrap();
    std::fs::write(&log, "").unwrap();
    signal("-KILL", enforcer);
    manager.is_fed(Duration::from_secs(2));
    assert!(!manager.is_fed(Duration::from_secs(7)));
    let (code, status) = place.status();
    assert_eq!(
        (code, &status["enforcer"]["serving"]),
        (5, &false.into()),
        "{status:#}"
    );
    std::fs::remove_file(&log).unwrap();
    std::fs::rename(place.state().join("log.away"), &log).unwrap();
    assert!(manager.is_fed(3 * PATIENCE));
}

#[test]
fn a_manager_that_does_not_read_holds_up_nothing() {
    let place = Place::new(ESTATE);
    let manager = Manager::at_path(&place);
    // Its queue is full before the node says its first word.
    let flood = UnixDatagram::unbound().unwrap();
    flood.set_nonblocking(true).unwrap();
    while flood.send_to(b"X=1", &manager.name).is_ok() {}
    let node = manager.up(&place, Some(Duration::from_secs(4)));
    place.granted("clerk", None);
    assert_eq!(place.status().0, 0);
    // Once it reads again, it learns what it missed.
    manager.until("READY", |word| word == "READY=1");
    node.signal("-TERM");
    assert_eq!(node.end().0, Some(0));
}

#[test]
fn the_enforcer_inherits_no_way_to_speak_for_the_node() {
    let place = Place::new(ESTATE);
    let manager = Manager::at_path(&place);
    let node = manager.up(&place, Some(Duration::from_secs(30)));
    let names = |pid: u64| -> Option<Vec<String>> {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
        let text = String::from_utf8_lossy(&environment).into_owned();
        Some(
            text.split('\0')
                .filter_map(|one| one.split_once('='))
                .map(|(name, _)| name.to_owned())
                .collect(),
        )
    };
    let own = names(node.child.id().into()).unwrap();
    assert!(own.iter().any(|name| name == "NOTIFY_SOCKET"));
    // An enforcer is closed to all but root's eyes.
    match names(node.enforcer()) {
        Some(enforcers) => {
            assert!(enforcers.iter().any(|name| name == "PATH"), "{enforcers:?}");
            for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS"] {
                assert!(own.iter().any(|own| own == name));
                assert!(!enforcers.iter().any(|own| own == name), "{enforcers:?}");
            }
        }
        None => assert_ne!(
            std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()),
            0,
            "root can read it"
        ),
    }
}
