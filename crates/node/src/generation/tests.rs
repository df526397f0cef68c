use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use super::*;

const ESTATE: &str = "\
apiVersion: ringfence.dev/v1alpha1
kind: Service
metadata: { name: payments }
spec: { protocol: http, port: 8080 }
---
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: clerk }
spec: { purpose: files invoices }
---
apiVersion: ringfence.dev/v1alpha1
kind: Policy
metadata: { name: clerk }
spec:
  agent: clerk
  initiate:
    - service: payments
      operations: [\"GET /v1/payments\"]
  tests:
    - { to: payments, allow: \"GET /v1/payments\" }
";

struct Place {
    temp: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self {
            temp: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(place.config()).unwrap();
        fs::create_dir(place.state()).unwrap();
        place.write("a.yaml", ESTATE);
        place
    }

    fn config(&self) -> PathBuf {
        self.temp.path().join("config")
    }

    fn state(&self) -> PathBuf {
        self.temp.path().join("state")
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.config().join(name), text).unwrap();
    }

    /// A fresh start of a node on this state.
    fn start(&self) -> Desk {
        self.start_on(self.config())
    }

    fn start_on(&self, config: PathBuf) -> Desk {
        let counters = Counters::next_start(&self.state()).unwrap();
        let zone = HostName::new("ringfence.internal").unwrap();
        Desk::open(&self.state(), config, zone, "node".to_owned(), counters).unwrap()
    }

    /// What the supervisor does when the enforcer takes `serving`.
    fn taken(&self, desk: &Desk, serving: &Serving) {
        keep(&self.state(), &desk.config, &desk.zone, serving).unwrap();
    }
}

fn offered(attempt: Attempt) -> Serving {
    match attempt {
        Attempt::Offer(serving) => *serving,
        Attempt::Rejected(errors) => panic!("rejected: {errors}"),
        Attempt::Unchanged => panic!("unchanged"),
        Attempt::Unsettled(unrest) => panic!("unsettled: {unrest}"),
    }
}

fn rejected(attempt: Attempt) -> String {
    match attempt {
        Attempt::Rejected(errors) => errors.to_string(),
        Attempt::Offer(serving) => panic!("offered generation {}", serving.generation),
        Attempt::Unchanged => panic!("unchanged"),
        Attempt::Unsettled(unrest) => panic!("unsettled: {unrest}"),
    }
}

#[test]
fn the_same_content_makes_no_new_generation() {
    let place = Place::new();
    let mut desk = place.start();
    let first = offered(desk.read("", &[]));
    assert_eq!(
        (first.generation, first.origin),
        (Generation(1), Origin::Config)
    );
    assert!(matches!(desk.read(&first.digest, &[]), Attempt::Unchanged));
    // Comments that move nothing are no new content; a rule on another line is: records name lines.
    place.write("a.yaml", &format!("{ESTATE}# the end\n"));
    assert!(matches!(desk.read(&first.digest, &[]), Attempt::Unchanged));
    place.write("a.yaml", &format!("# the start\n{ESTATE}"));
    assert_eq!(
        offered(desk.read(&first.digest, &[])).generation,
        Generation(2)
    );
}

#[test]
fn numbers_go_on_across_restarts() {
    let place = Place::new();
    let mut desk = place.start();
    let first = offered(desk.read("", &[]));
    place.taken(&desk, &first);
    // Unchanged files go on under their number, changed ones get the next.
    let again = offered(place.start().read("", &[]));
    assert_eq!(
        (again.generation, &again.digest),
        (Generation(1), &first.digest)
    );
    place.write(
        "b.yaml",
        &ESTATE
            .replace("clerk", "other")
            .replace("payments", "invoices"),
    );
    let second = offered(place.start().read("", &[]));
    assert_eq!(second.generation, Generation(2));
    // Offered, but never taken: its number is not used for anything else.
    fs::remove_file(place.config().join("b.yaml")).unwrap();
    let third = offered(place.start().read("", &[]));
    assert_eq!(
        (third.generation, third.digest),
        (Generation(3), first.digest)
    );
}

#[test]
fn the_last_good_generation_serves_when_the_files_are_rejected() {
    let place = Place::new();
    let mut desk = place.start();
    assert!(!desk.has_last_good() && desk.last_good().is_none());
    let first = offered(desk.read("", &[]));
    place.taken(&desk, &first);
    place.write("a.yaml", "kind: Nonsense\n");
    let mut desk = place.start();
    rejected(desk.read("", &[]));
    let (last, missing) = desk.last_good().unwrap().unwrap();
    assert_eq!(
        (last.generation, last.origin),
        (Generation(1), Origin::LastGood)
    );
    assert_eq!(
        (last.estate, last.addresses),
        (first.estate, first.addresses)
    );
    assert!(missing.is_empty());
    // Another directory does not inherit it, and does not reuse its number.
    let other = place.temp.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("a.yaml"), ESTATE).unwrap();
    let mut desk = place.start_on(other);
    assert!(!desk.has_last_good());
    assert_eq!(offered(desk.read("", &[])).generation, Generation(2));
}

#[test]
fn a_directory_that_vanishes_is_rejected_and_recovers() {
    let place = Place::new();
    let mut desk = place.start();
    let first = offered(desk.read("", &[]));
    fs::rename(place.config(), place.temp.path().join("away")).unwrap();
    rejected(desk.read(&first.digest, &[]));
    fs::rename(place.temp.path().join("away"), place.config()).unwrap();
    assert!(matches!(desk.read(&first.digest, &[]), Attempt::Unchanged));
}

#[test]
fn a_failing_test_and_a_half_written_file_are_rejected() {
    let place = Place::new();
    let mut desk = place.start();
    let first = offered(desk.read("", &[]));
    place.write(
        "a.yaml",
        &ESTATE.replace(
            "allow: \"GET /v1/payments\" }",
            "deny: \"GET /v1/payments\" }",
        ),
    );
    assert!(rejected(desk.read(&first.digest, &[])).contains("a.yaml"));
    place.write("a.yaml", &ESTATE[..ESTATE.len() - 30]);
    assert!(rejected(desk.read(&first.digest, &[])).contains("a.yaml"));
    place.write("a.yaml", ESTATE);
    assert!(matches!(desk.read(&first.digest, &[]), Attempt::Unchanged));
}

#[test]
fn a_file_that_changes_while_it_is_read_is_not_taken() {
    let place = Place::new();
    let mut desk = place.start();
    let file = place.config().join("a.yaml");
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for mode in (0..).map(|n| if n % 2 == 0 { 0o644 } else { 0o600 }) {
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    return;
                }
                fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            }
        });
        let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
        let mut unsettled = false;
        while !unsettled && std::time::Instant::now() < end {
            unsettled = matches!(desk.read("", &[]), Attempt::Unsettled(_));
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(unsettled);
    });
    offered(desk.read("", &[]));
}

#[test]
fn a_file_that_somebody_writes_is_not_taken_even_if_it_is_valid_so_far() {
    let place = Place::new();
    let mut desk = place.start();
    let policy = ESTATE.rfind("---").unwrap();
    let mut file = fs::File::create(place.config().join("a.yaml")).unwrap();
    file.write_all(&ESTATE.as_bytes()[..policy]).unwrap();
    assert!(
        matches!(desk.read("", &[]), Attempt::Unsettled(Unrest::Writing(path)) if path.ends_with("a.yaml"))
    );
    file.write_all(&ESTATE.as_bytes()[policy..]).unwrap();
    drop(file);
    assert_eq!(offered(desk.read("", &[])).estate.policies.len(), 1);
}

#[test]
fn a_file_that_lost_its_last_line_end_is_taken_for_cut_off() {
    let place = Place::new();
    let mut desk = place.start();
    let first = offered(desk.read("", &[]));
    place.taken(&desk, &first);
    // Valid, and without its last line a policy that says less.
    let cut = ESTATE.find("  tests:").unwrap() - 1;
    place.write("a.yaml", &ESTATE[..cut]);
    let says_so = |attempt: Attempt| match attempt {
        Attempt::Rejected(errors) => errors.to_string(),
        _ => panic!("taken"),
    };
    let said = says_so(desk.read(&first.digest, &[]));
    assert!(
        said.contains("a.yaml:18:39: the file looks cut off"),
        "{said}"
    );
    // Also by the next node.
    assert!(says_so(place.start().read("", &[])).contains("cut off"));
    place.write("a.yaml", &ESTATE[..=cut]);
    assert_eq!(
        offered(desk.read(&first.digest, &[])).generation,
        Generation(2)
    );
    // A file that never had one is left alone.
    place.write("b.yaml", "# nothing\n# yet");
    assert!(!matches!(desk.read("", &[]), Attempt::Rejected(_)));
    place.write("b.yaml", "# nothing");
    assert!(!matches!(desk.read("", &[]), Attempt::Rejected(_)));
}

#[test]
fn a_certificate_file_is_part_of_the_content_and_never_stored() {
    const SECRET: &str = "PLANTEDSECRETPLANTEDSECRET";
    let place = Place::new();
    let pem =
        |text: &str| format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
    for name in ["ca.pem", "cert.pem", "key.pem"] {
        place.write(name, &pem(SECRET));
    }
    let spec = "protocol: tcp, port: 5432, endpoints: [{ address: \"db.internal:5432\", tls: { ca: ca.pem, clientCert: \
                { cert: cert.pem, key: key.pem } } }]";
    place.write(
        "db.yaml",
        &format!("apiVersion: ringfence.dev/v1alpha1\nkind: Service\nmetadata: {{ name: db }}\nspec: {{ {spec} }}\n"),
    );
    let mut desk = place.start();
    let first = offered(desk.read("", &[]));
    assert!(String::from_utf8_lossy(&first.assignment).contains(SECRET));
    assert!(desk.watched.iter().any(|path| path.ends_with("key.pem")));
    place.taken(&desk, &first);
    for entry in fs::read_dir(place.state()).unwrap() {
        let path = entry.unwrap().path();
        assert!(
            !fs::read_to_string(&path).unwrap().contains(SECRET),
            "{}",
            path.display()
        );
    }
    assert!(matches!(desk.read(&first.digest, &[]), Attempt::Unchanged));
    place.write("key.pem", &pem("OTHER"));
    let second = offered(desk.read(&first.digest, &[]));
    assert_eq!(second.generation, Generation(2));
    fs::remove_file(place.config().join("key.pem")).unwrap();
    assert!(rejected(desk.read(&second.digest, &[])).contains("key.pem"));
}

#[test]
fn without_room_for_its_numbers_a_generation_is_rejected() {
    let place = Place::new();
    let mut desk = place.start();
    // Where addresses.json would go, something that cannot be replaced.
    fs::create_dir_all(place.state().join("addresses.json/in the way")).unwrap();
    let errors = rejected(desk.read("", &[]));
    assert!(errors.contains("cannot be written"), "{errors}");
    fs::remove_dir_all(place.state().join("addresses.json")).unwrap();
    assert_eq!(offered(desk.read("", &[])).generation, Generation(1));
}

#[test]
fn damage_to_the_state_is_found_at_the_start() {
    let place = Place::new();
    fs::write(place.state().join("generation.json"), "{").unwrap();
    let zone = HostName::new("z").unwrap();
    let opened = Desk::open(
        &place.state(),
        place.config(),
        zone,
        "node".to_owned(),
        Counters::default(),
    );
    assert!(matches!(opened.err(), Some(NodeError::Damaged { .. })));
}

#[test]
fn with_nothing_in_force_there_is_nobody() {
    let place = Place::new();
    let nothing = place.start().nothing().unwrap();
    assert_eq!(
        (nothing.generation, nothing.origin),
        (Generation(0), Origin::Nothing)
    );
    let assignment: Assignment = serde_json::from_slice(&nothing.assignment).unwrap();
    assert_eq!(assignment.estate, Estate::default());
}

#[test]
fn a_last_good_generation_with_something_unknown_in_it_is_not_used() {
    let place = Place::new();
    let mut desk = place.start();
    let first = offered(desk.read("", &[]));
    place.taken(&desk, &first);
    let file = place.state().join("generation.json");
    let kept = fs::read_to_string(&file).unwrap();
    assert!(place.start().has_last_good());
    // As a later version might have written it, within a policy: passed over, it would allow more than it should.
    let at = kept.find("\"initiate\"").unwrap();
    let later = format!("{}\"never\":[\"GET /x\"],{}", &kept[..at], &kept[at..]);
    fs::write(&file, later).unwrap();
    let mut desk = place.start();
    assert!(!desk.has_last_good());
    assert_eq!(offered(desk.read("", &[])).generation, Generation(2));
    // As an earlier version might have.
    fs::write(&file, kept.replacen("\"digest\"", "\"digests\"", 1)).unwrap();
    assert!(!place.start().has_last_good());
    fs::write(&file, "{\"half").unwrap();
    let opened = std::panic::catch_unwind(|| place.start());
    assert!(opened.is_err(), "damage stops a start");
}
