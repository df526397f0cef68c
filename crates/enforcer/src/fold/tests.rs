use ringfence_audit::{Log, Reader};
use ringfence_model::flow::Flow;

use super::*;

fn alike(port: u16) -> Alike {
    let to = OriginalDst::new(std::net::SocketAddr::from(([10, 0, 0, 1], port)));
    Alike {
        original: Some(to),
        source_port: 0,
        sort: SORT,
    }
}

const SORT: Sort = Sort {
    kind: Kind::Connection,
    outcome: Outcome::Deny,
    protocol: "udp",
    cause: Cause::UnknownDestination,
};

fn flow(connection: &str) -> Record {
    Record::from(Flow {
        count: 1,
        connection: connection.to_owned(),
        ..Flow::default()
    })
}

struct Fixture {
    directory: tempfile::TempDir,
    denials: Denials,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let recorder = Arc::new(Recorder::new(Log::open(directory.path()).unwrap(), 1));
        Self {
            directory,
            denials: Denials::new(recorder),
        }
    }

    fn records(&self) -> Vec<Flow> {
        let mut reader = Reader::open(self.directory.path()).unwrap();
        std::iter::from_fn(|| reader.read().unwrap())
            .map(|(_, flow)| flow)
            .collect()
    }

    fn counts(&self) -> Vec<u64> {
        self.records().iter().map(|flow| flow.count).collect()
    }
}

#[test]
fn writes_the_first_hundred_and_folds_the_rest_with_the_exact_count() {
    let fixture = Fixture::new();
    for number in 0..1000 {
        fixture
            .denials
            .note(alike(9), "same", "", || flow(&number.to_string()));
    }
    assert_eq!(fixture.counts(), vec![1; 100]);
    fixture.denials.finish();
    let counts = fixture.counts();
    assert_eq!(counts.len(), 101);
    assert_eq!(counts.iter().sum::<u64>(), 1000);
    assert_eq!(counts[100], 900);
    // What is folded belongs to no one connection.
    let mut reader = Reader::open(fixture.directory.path()).unwrap();
    reader.go_to_last(1).unwrap();
    assert_eq!(reader.read().unwrap().unwrap().1.connection, "");
}

#[test]
fn tells_different_denials_apart() {
    let fixture = Fixture::new();
    for port in 1..=400 {
        fixture.denials.note(alike(port), "same", "", || flow(""));
        fixture.denials.note(alike(1), port, "", || flow(""));
    }
    assert_eq!(fixture.counts(), vec![1; 800]);
}

#[test]
fn begins_anew_after_a_window() {
    let fixture = Fixture::new();
    for _ in 0..150 {
        fixture.denials.note(alike(1), "", "", || flow(""));
    }
    fixture.denials.tick();
    assert_eq!(fixture.counts().len(), 100, "the window is not over");
    fixture.denials.window().since -= FOLD_WINDOW;
    fixture.denials.tick();
    assert_eq!(fixture.counts().last(), Some(&50));
    fixture.denials.note(alike(1), "", "", || flow(""));
    assert_eq!(fixture.counts().len(), 102);
}

#[test]
fn different_denials_are_itemised_up_to_the_allowance_and_then_counted_exactly() {
    let fixture = Fixture::new();
    for kind in 0..5000 {
        fixture.denials.note(alike(2), kind, "vault", || {
            let mut flow = flow("1-1");
            flow.operation = format!("GET /{kind}");
            flow.original_destination = "10.0.0.1:2".to_owned();
            flow.reason = "no".to_owned();
            flow
        });
    }
    for number in 0..20 {
        fixture.denials.note(alike(3), number, "", || flow(""));
    }
    let itemised = DENIALS_AT_ONCE as usize;
    assert_eq!(fixture.counts(), vec![1; itemised]);
    assert!(fixture.denials.window().seen.len() <= itemised);
    fixture.denials.finish();
    let mut sums = fixture.records().split_off(itemised);
    sums.sort_by_key(|flow| flow.count);
    let [unknown, vault] = &sums[..] else {
        panic!("{sums:?}");
    };
    assert_eq!((unknown.count, unknown.destination.as_str()), (20, ""));
    assert_eq!((vault.count, vault.destination.as_str()), (4000, "vault"));
    assert_eq!(
        (vault.operation.as_str(), vault.connection.as_str()),
        (UNITEMISED, "")
    );
    assert_eq!(vault.original_destination, "");
    assert!(
        vault
            .reason
            .ends_with("the first was GET /1000 to 10.0.0.1:2: no"),
        "{}",
        vault.reason
    );
}

#[test]
fn the_allowance_grows_again_with_time_and_never_beyond_what_may_be_saved_up() {
    let fixture = Fixture::new();
    let allowance = || fixture.denials.window().allowance;
    for kind in 0..2000 {
        fixture.denials.note(alike(2), kind, "", || flow(""));
    }
    assert_eq!(allowance(), 0);
    // Ending a window early, as when its compartment goes, earns nothing.
    fixture.denials.window().since = Instant::now();
    fixture.denials.finish();
    assert!(allowance() < DENIALS_PER_SECOND);
    fixture.denials.window().since -= FOLD_WINDOW;
    fixture.denials.tick();
    assert!((DENIALS_PER_SECOND..2 * DENIALS_PER_SECOND).contains(&allowance()));
    fixture.denials.window().since -= FOLD_WINDOW * 60;
    fixture.denials.tick();
    assert_eq!(allowance(), DENIALS_AT_ONCE);
}

#[test]
fn a_long_record_counts_as_several() {
    let fixture = Fixture::new();
    for kind in 0..1000 {
        fixture.denials.note(alike(2), kind, "", || {
            let mut flow = flow("");
            flow.operation = "x".repeat(9 * DENIAL_SIZE);
            flow
        });
    }
    fixture.denials.finish();
    let counts = fixture.counts();
    assert_eq!(counts.len(), DENIALS_AT_ONCE as usize / 10 + 1);
    assert_eq!(counts.iter().sum::<u64>(), 1000);
}

#[test]
fn sorts_by_destination_are_few_too() {
    let fixture = Fixture::new();
    fixture.denials.window().allowance = 0;
    for number in 0..1000 {
        let name = format!("service-{number}");
        fixture.denials.note(alike(2), number, &name, || flow(""));
    }
    fixture.denials.finish();
    let counts = fixture.counts();
    assert_eq!(counts.len(), SORTS_BY_DESTINATION + 1);
    assert_eq!(counts.iter().sum::<u64>(), 1000);
}

#[test]
fn what_a_launcher_reports_is_bounded_alike() {
    let fixture = Fixture::new();
    let wall = Sort {
        kind: Kind::Wall,
        protocol: "various",
        ..SORT
    };
    for number in 0..3000 {
        let mut flow = flow("");
        flow.operation = format!("call {number}");
        flow.count = 2;
        fixture.denials.reported(wall, flow);
    }
    fixture.denials.finish();
    let counts = fixture.counts();
    assert_eq!(counts.len(), DENIALS_AT_ONCE as usize + 1);
    assert_eq!(counts.iter().sum::<u64>(), 6000);
}

#[test]
fn writes_what_is_left_when_it_ends() {
    let fixture = Fixture::new();
    for _ in 0..101 {
        fixture.denials.note(alike(1), "", "", || flow(""));
    }
    let Fixture { directory, denials } = fixture;
    drop(denials);
    let mut reader = Reader::open(directory.path()).unwrap();
    let count = std::iter::from_fn(|| reader.read().unwrap()).count();
    assert_eq!(count, 101);
}
