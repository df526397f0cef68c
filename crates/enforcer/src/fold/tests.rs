use ringfence_audit::{Log, Reader};
use ringfence_model::flow::Flow;

use super::*;

fn alike(port: u16) -> Alike {
    let to = OriginalDst::new(std::net::SocketAddr::from(([10, 0, 0, 1], port)));
    Alike {
        original: Some(to),
        source_port: 0,
        protocol: "udp",
    }
}

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

    fn counts(&self) -> Vec<u64> {
        let mut reader = Reader::open(self.directory.path()).unwrap();
        std::iter::from_fn(|| reader.read().unwrap())
            .map(|(_, flow)| flow.count)
            .collect()
    }
}

#[test]
fn writes_the_first_hundred_and_folds_the_rest_with_the_exact_count() {
    let fixture = Fixture::new();
    for number in 0..1000 {
        fixture
            .denials
            .note(alike(9), "same", || flow(&number.to_string()));
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
    for port in 1..=500 {
        fixture.denials.note(alike(port), "same", || flow(""));
        fixture.denials.note(alike(1), port, || flow(""));
    }
    assert_eq!(fixture.counts(), vec![1; 1000]);
}

#[test]
fn begins_anew_after_a_window() {
    let fixture = Fixture::new();
    for _ in 0..150 {
        fixture.denials.note(alike(1), "", || flow(""));
    }
    fixture.denials.tick();
    assert_eq!(fixture.counts().len(), 100, "the window is not over");
    fixture.denials.window().since -= FOLD_WINDOW;
    fixture.denials.tick();
    assert_eq!(fixture.counts().last(), Some(&50));
    fixture.denials.note(alike(1), "", || flow(""));
    assert_eq!(fixture.counts().len(), 102);
}

#[test]
fn forgets_nothing_when_there_are_more_kinds_than_it_keeps() {
    let fixture = Fixture::new();
    for _ in 0..150 {
        fixture.denials.note(alike(1), "flood", || flow(""));
    }
    for kind in 0..FOLD_KEYS {
        fixture.denials.note(alike(2), kind, || flow(""));
        assert!(fixture.denials.window().seen.len() <= FOLD_KEYS);
    }
    fixture.denials.finish();
    assert_eq!(fixture.counts().iter().sum::<u64>(), 150 + FOLD_KEYS as u64);
}

#[test]
fn writes_what_is_left_when_it_ends() {
    let fixture = Fixture::new();
    for _ in 0..101 {
        fixture.denials.note(alike(1), "", || flow(""));
    }
    let Fixture { directory, denials } = fixture;
    drop(denials);
    let mut reader = Reader::open(directory.path()).unwrap();
    let count = std::iter::from_fn(|| reader.read().unwrap()).count();
    assert_eq!(count, 101);
}
