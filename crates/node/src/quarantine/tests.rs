use super::*;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn by() -> Asker {
    Asker::of(0, 0)
}

fn moment(wall: &str, boot: &str, up_ms: u64) -> Moment {
    Moment {
        wall: wall.parse().unwrap(),
        boot: boot.to_owned(),
        up_ms,
    }
}

const NOON: &str = "2026-11-29T12:00:00Z";

/// One quarantined for an hour at noon, 1000 s after boot `a`; as the next start finds it.
fn hour(dir: &Path) -> Moment {
    let now = moment(NOON, "a", 1_000_000);
    let mut all = Quarantines::open(dir, &now).unwrap();
    all.impose(&name("x"), "odd".to_owned(), by(), Some(3600), &now)
        .unwrap();
    all.keep().unwrap();
    now
}

fn in_force(dir: &Path, now: &Moment) -> bool {
    let mut all = Quarantines::open(dir, now).unwrap();
    all.take_ended(now);
    all.get(&name("x")).is_some()
}

#[test]
fn survives_a_start_and_says_who_and_why() {
    let dir = tempfile::tempdir().unwrap();
    let now = Moment::now();
    let mut all = Quarantines::open(dir.path(), &now).unwrap();
    assert!(all.is_empty());
    let before = all.impose(&name("x"), "odd".to_owned(), by(), None, &now);
    assert_eq!(before, Ok(None));
    all.keep().unwrap();
    let again = Quarantines::open(dir.path(), &Moment::now()).unwrap();
    assert_eq!(again.by_name, all.by_name);
    let why = &again.told()[0].why;
    assert!(
        why.starts_with("since 20") && why.ends_with(" by root (uid 0): odd"),
        "{why}"
    );
    // Said again: since when it stands stays, what was said is replaced.
    let mut again = again;
    let before = again.impose(&name("x"), "worse".to_owned(), by(), Some(60), &now);
    let before = before.unwrap().unwrap();
    let one = again.get(&name("x")).unwrap();
    assert_eq!(
        (before.reason.as_str(), one.reason.as_str()),
        ("odd", "worse")
    );
    assert_eq!(one.since, before.since);
    assert!(again.lift(&name("x")).is_some() && again.lift(&name("x")).is_none());
}

#[test]
fn ends_by_the_time_that_has_passed_whatever_the_wall_clock_says() {
    let dir = tempfile::tempdir().unwrap();
    hour(dir.path());
    let at = |wall, up| in_force(dir.path(), &moment(wall, "a", up));
    assert!(at("2026-11-29T12:59:00Z", 4_540_000));
    assert!(!at("2026-11-29T13:00:00Z", 4_600_000));
    // Set forward, it does not end early; set back, it ends all the same.
    assert!(at("2030-01-01T00:00:00Z", 1_001_000));
    assert!(!at("2001-01-01T00:00:00Z", 4_600_000));
}

#[test]
fn over_a_reboot_the_wall_clock_counts_and_never_makes_it_shorter_than_it_may_be() {
    let dir = tempfile::tempdir().unwrap();
    hour(dir.path());
    // The node was down, the machine too.
    assert!(!in_force(
        dir.path(),
        &moment("2026-11-29T13:00:01Z", "b", 5_000)
    ));
    let half = moment("2026-11-29T12:30:00Z", "b", 5_000);
    let mut all = Quarantines::open(dir.path(), &half).unwrap();
    let later = |up_ms| Moment {
        up_ms,
        ..half.clone()
    };
    assert_eq!(all.take_ended(&later(1_804_000)), []);
    assert_eq!(all.take_ended(&later(1_805_000)).len(), 1);
    // A clock that lost the time: an hour from now, and not fifty years.
    let lost = moment("1970-01-01T00:00:09Z", "c", 9_000);
    let mut all = Quarantines::open(dir.path(), &lost).unwrap();
    let later = |up_ms| Moment {
        up_ms,
        ..lost.clone()
    };
    assert_eq!(all.take_ended(&later(3_608_000)), []);
    assert_eq!(all.take_ended(&later(3_609_000)).len(), 1);
}

#[test]
fn a_damaged_file_frees_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let now = hour(dir.path());
    let file = dir.path().join(FILE);
    let whole = std::fs::read_to_string(&file).unwrap();
    let one = whole.split_once('[').unwrap().1.rsplit_once(']').unwrap().0;
    for damage in [
        whole[..whole.len() / 2].to_owned(),
        String::new(),
        "{}".to_owned(),
        whole.replace("\"x\"", "\"X y\""),
        whole.replace("odd", "odd\\u001b[2J"),
        whole.replace("\"reason\"", "\"reasons\""),
        format!("{{\"quarantined\":[{one},{one}]}}"),
        whole.replace("odd", &"o".repeat(QUARANTINE_REASON_MAX + 1)),
        whole.split_once(",\"ends\"").unwrap().0.to_owned() + "}]}",
    ] {
        std::fs::write(&file, &damage).unwrap();
        let error = Quarantines::open(dir.path(), &now).unwrap_err();
        assert!(
            matches!(error, NodeError::Damaged { .. }),
            "{damage}: {error}"
        );
        assert!(error.fix().contains("put it right"), "{damage}");
    }
}

#[test]
fn there_are_only_so_many_and_each_may_still_be_changed() {
    let dir = tempfile::tempdir().unwrap();
    let now = Moment::now();
    let mut all = Quarantines::open(dir.path(), &now).unwrap();
    for number in 0..QUARANTINES_MAX {
        let one = all.impose(
            &name(&format!("n{number}")),
            "odd".to_owned(),
            by(),
            None,
            &now,
        );
        assert_eq!(one, Ok(None));
    }
    assert_eq!(
        all.impose(&name("more"), "odd".to_owned(), by(), None, &now),
        Err(())
    );
    assert!(
        all.impose(&name("n7"), "odd".to_owned(), by(), None, &now)
            .unwrap()
            .is_some()
    );
    all.keep().unwrap();
    assert_eq!(
        Quarantines::open(dir.path(), &now).unwrap().names().count(),
        QUARANTINES_MAX
    );
}

#[test]
fn a_binary_that_knows_no_quarantine_is_kept_from_a_state_that_has_one() {
    let dir = tempfile::tempdir().unwrap();
    format::claim(dir.path(), format::FIRST).unwrap();
    let says = || std::fs::read_to_string(dir.path().join("format.json")).unwrap();
    hour(dir.path());
    assert!(says().contains("\"format\":2"), "{}", says());
    let mut all = Quarantines::open(dir.path(), &Moment::now()).unwrap();
    all.lift(&name("x"));
    all.keep().unwrap();
    assert!(says().contains("\"format\":1"), "{}", says());
}
