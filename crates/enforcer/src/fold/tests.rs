use ringfence_audit::{Log, Reader};
use ringfence_model::flow::Flow;

use super::*;

fn to(host: u8, port: u16) -> Option<OriginalDst> {
    let to = std::net::SocketAddr::from(([10, 0, 0, host], port));
    Some(OriginalDst::new(to))
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
            .note(SORT, ("", to(1, 9)), "same", || flow(&number.to_string()));
    }
    assert_eq!(fixture.counts(), vec![1; 100]);
    fixture.denials.finish();
    let counts = fixture.counts();
    assert_eq!(counts.len(), 101);
    assert_eq!(counts.iter().sum::<u64>(), 1000);
    assert_eq!(counts[100], 900);
    // What is folded belongs to no one connection.
    assert_eq!(fixture.records()[100].connection, "");
}

/// At a time, as the enforcer's records are.
fn now(original: Option<OriginalDst>) -> Record {
    let mut flow = flow("1-1");
    flow.time_ns = now_ns();
    flow.original_destination = original.map(|to| to.to_string()).unwrap_or_default();
    flow
}

#[test]
fn a_folded_record_has_the_times_of_its_first_and_its_last_attempt() {
    let fixture = Fixture::new();
    let mut attempts = Vec::new();
    let mut attempt = |port| {
        let before = now_ns();
        let to = to(1, port);
        fixture.denials.note(SORT, ("vault", to), "", || now(to));
        attempts.push((before, now_ns()));
    };
    (0..102).for_each(|_| attempt(9));
    std::thread::sleep(std::time::Duration::from_millis(30));
    (0..48).for_each(|_| attempt(9));
    fixture.denials.finish();
    let records = fixture.records();
    let (folded, itemised) = records.split_last().unwrap();
    assert_eq!((itemised.len(), folded.count), (100, 50));
    assert!(itemised.iter().all(|flow| flow.last_time_ns == 0));
    let within = |time, (from, to): (u64, u64)| (from..=to).contains(&time);
    assert!(within(folded.time_ns, attempts[100]), "{folded:?}");
    assert!(within(folded.last_time_ns, attempts[149]), "{folded:?}");
    assert_eq!(folded.original_destination, "10.0.0.1:9");
}

#[test]
fn one_more_than_a_hundred_is_not_folded() {
    let fixture = Fixture::new();
    for _ in 0..101 {
        fixture
            .denials
            .note(SORT, ("", to(1, 9)), "", || now(to(1, 9)));
    }
    fixture.denials.finish();
    let records = fixture.records();
    assert_eq!(records.len(), 101);
    assert_eq!((records[100].count, records[100].last_time_ns), (1, 0));
}

#[test]
fn denials_that_differ_in_their_ports_alone_are_identical() {
    let fixture = Fixture::new();
    for port in 1..=5000 {
        let to = to(1, port);
        fixture.denials.note(SORT, ("vault", to), "no", || now(to));
    }
    fixture.denials.finish();
    let records = fixture.records();
    let (folded, itemised) = records.split_last().unwrap();
    assert_eq!((itemised.len(), folded.count), (100, 4900));
    // The ports of the first hundred are there to be seen.
    assert_eq!(itemised[99].original_destination, "10.0.0.1:100");
    assert_eq!(folded.original_destination, "10.0.0.1:0");
    assert_eq!(folded.reason, itemised[0].reason);
}

#[test]
fn tells_different_denials_apart() {
    let fixture = Fixture::new();
    let of = |cause| Sort { cause, ..SORT };
    for number in 0..200 {
        let note = |sort, to: (&str, _), text| fixture.denials.note(sort, to, text, || flow(""));
        note(SORT, ("", to(number, 1)), 0);
        let name = number.to_string();
        note(SORT, (&name, to(1, 1)), 0);
        note(SORT, ("", to(1, 1)), 1000 + u32::from(number));
        if number < 100 {
            note(SORT, ("", to(1, 1)), 1);
            note(of(Cause::Limit), ("", to(1, 1)), 1);
        }
    }
    assert_eq!(fixture.counts(), vec![1; 800]);
}

#[test]
fn begins_anew_after_a_window() {
    let fixture = Fixture::new();
    for _ in 0..150 {
        fixture.denials.note(SORT, ("", to(1, 1)), "", || flow(""));
    }
    fixture.denials.tick();
    assert_eq!(fixture.counts().len(), 100, "the window is not over");
    fixture.denials.window().since -= FOLD_WINDOW;
    fixture.denials.tick();
    assert_eq!(fixture.counts().last(), Some(&50));
    fixture.denials.note(SORT, ("", to(1, 1)), "", || flow(""));
    assert_eq!(fixture.counts().len(), 102);
}

#[test]
fn different_denials_are_itemised_up_to_the_allowance_and_then_counted_exactly() {
    let fixture = Fixture::new();
    for kind in 0..5000 {
        fixture.denials.note(SORT, ("vault", to(1, 2)), kind, || {
            let mut flow = flow("1-1");
            flow.operation = format!("GET /{kind}");
            flow.original_destination = "10.0.0.1:2".to_owned();
            flow.reason = "no".to_owned();
            flow
        });
    }
    for number in 0..20 {
        fixture
            .denials
            .note(SORT, ("", to(1, 3)), number, || flow(""));
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
    assert!(vault.last_time_ns > 0 && unknown.last_time_ns > vault.last_time_ns);
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
        fixture
            .denials
            .note(SORT, ("", to(1, 2)), kind, || flow(""));
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
        fixture.denials.note(SORT, ("", to(1, 2)), kind, || {
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
        fixture
            .denials
            .note(SORT, (&name, to(1, 2)), number, || flow(""));
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
        (flow.time_ns, flow.last_time_ns) = (1000 + number, 5000 + number);
        fixture.denials.reported(wall, flow);
    }
    fixture.denials.finish();
    let counts = fixture.counts();
    assert_eq!(counts.len(), DENIALS_AT_ONCE as usize + 1);
    assert_eq!(counts.iter().sum::<u64>(), 6000);
    let records = fixture.records();
    let sum = records.last().unwrap();
    let first = 1000 + DENIALS_AT_ONCE.cast_unsigned();
    assert_eq!((sum.time_ns, sum.last_time_ns), (first, 5000 + 2999));
}

#[test]
fn writes_what_is_left_when_it_ends() {
    let fixture = Fixture::new();
    for _ in 0..101 {
        fixture.denials.note(SORT, ("", to(1, 1)), "", || flow(""));
    }
    let Fixture { directory, denials } = fixture;
    drop(denials);
    let mut reader = Reader::open(directory.path()).unwrap();
    let count = std::iter::from_fn(|| reader.read().unwrap()).count();
    assert_eq!(count, 101);
}
