//! A disk that fails when it writes back, which nobody can know beforehand: attempts are refused until all that it may not have is
//! written again, and none is taken in between. What was acknowledged is there afterwards, also where the page cache is gone; or
//! the log says by number what is lost. Nothing is signed that the disk has not.
//!
//! The disk is real: an ext4 on a loop device, of which a part is taken away and given back. In a mount namespace of its own; it
//! takes root, and says so where it is not.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{INSIDE, all, assert_passed, body, flow};
use ringfence_audit::tree::{self, Keeper, TreeError};
use ringfence_audit::{
    Durability, Log, LogError, Options, RECORD_LOST, RECORDS_REFUSED, Repair, Seq,
};
use ringfence_model::flow::Flow;

/// Longer than the log waits before it tries again.
const RETRY: Duration = Duration::from_millis(150);
/// Bytes of text in each record: some records to a page do not find the next one's failure.
const LARGE: usize = 9_000;

/// Runs the test `name` beside a disk that can fail. `false`: that cannot be had here.
fn on_such_a_disk(name: &str) {
    let directory = tempfile::tempdir().unwrap();
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED {name}: a loop device takes root");
        return;
    }
    let script = format!(
        "cd {} && mount -t tmpfs -o size=80m none . && cd {0} && mkdir mnt && truncate -s 64m disk && \
         mkfs.ext4 -q -b 4096 -N 128 -O ^has_journal,^resize_inode disk && \
         dd if=disk of=disk bs=4k count=64 conv=notrunc status=none && mount -o loop,errors=continue disk mnt && exec \"$@\"",
        directory.path().display()
    );
    let wrapper = ["unshare", "--mount", "sh", "-ec", &script, "sh"];
    assert_passed(&body(name, directory.path(), &wrapper).output().unwrap());
}

/// Bytes of the device before the segments: a first file takes them. What the file system knows of itself is there.
const SEGMENTS_FROM: u64 = 4 << 20;

struct Place(PathBuf);

impl Place {
    fn log(&self) -> PathBuf {
        self.0.join("mnt/log")
    }

    /// From now on the device has nothing where the segments are.
    fn break_it(&self) {
        self.limit(SEGMENTS_FROM);
    }

    fn mend(&self) {
        self.limit(0);
    }

    /// All that memory has of the file system is gone, as after a power failure. Nothing is open in it.
    fn power_failure(&self) {
        let script = "umount mnt && mount -o loop,errors=continue disk mnt";
        let mut sh = Command::new("sh");
        sh.args(["-ec", script]).current_dir(&self.0);
        assert!(sh.status().unwrap().success());
    }

    /// A log whose directories, and the first blocks, are before what is taken away.
    fn open(&self, durability: Durability) -> Log {
        fs::create_dir_all(ringfence_audit::hot_directory(&self.log())).unwrap();
        fs::write(
            self.0.join("mnt/first"),
            vec![1; usize::try_from(SEGMENTS_FROM).unwrap()],
        )
        .unwrap();
        self.sync();
        self.open_again(durability)
    }

    fn open_again(&self, durability: Durability) -> Log {
        let options = Options {
            durability,
            ..Options::default()
        };
        Log::open_with(&self.log(), options).unwrap()
    }

    fn sync(&self) {
        rustix::fs::syncfs(fs::File::open(self.0.join("mnt")).unwrap()).unwrap();
    }

    /// The kernel gives up the pages of segments that it counts as written.
    fn reclaim(&self) {
        let script = r#"
import ctypes, os, sys
libc, pid = ctypes.CDLL(None, use_errno=True), int(sys.argv[1])
pidfd = os.pidfd_open(pid)
for line in open(f"/proc/{pid}/maps"):
    if ".seg" in line:
        start, end = (int(part, 16) for part in line.split()[0].split("-"))
        vector = (ctypes.c_size_t * 2)(start, end - start)
        if libc.syscall(440, pidfd, vector, 1, 21, 0) < 0:
            sys.exit(os.strerror(ctypes.get_errno()))
"#;
        let mut python = Command::new("/usr/bin/python3");
        python
            .args(["-c", script])
            .arg(std::process::id().to_string());
        assert!(python.status().unwrap().success());
    }

    /// Gives the device so many bytes of its file; 0: all.
    fn limit(&self, bytes: u64) {
        let script = r#"
import fcntl, struct, subprocess, sys
device = subprocess.check_output(["findmnt", "-no", "SOURCE", sys.argv[1]], text=True).strip()
with open(device, "rb") as loop:
    told = bytearray(fcntl.ioctl(loop, 0x4C05, bytes(232)))
    struct.pack_into("<Q", told, 32, int(sys.argv[2]))
    fcntl.ioctl(loop, 0x4C04, bytes(told))
"#;
        let mut python = Command::new("/usr/bin/python3");
        python
            .args(["-c", script])
            .arg(self.0.join("mnt"))
            .arg(bytes.to_string());
        assert!(python.status().unwrap().success());
    }
}

/// Records until one is refused; how many were taken before.
fn until_refused(log: &Log, from: u64) -> (u64, LogError) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut number = from;
    loop {
        match log.record(&flow(number, LARGE)) {
            Ok(_) => number += 1,
            Err(refusal) => return (number, refusal),
        }
        assert!(Instant::now() < deadline, "it takes everything");
        sleep(Duration::from_millis(20));
    }
}

/// Waits until the log takes a record again. Gives its number.
fn until_taken(log: &Log, number: u64) -> Seq {
    let since = Instant::now();
    loop {
        match log.record(&flow(number, LARGE)) {
            Ok(seq) => return seq,
            Err(refusal) => assert!(since.elapsed() < Duration::from_secs(10), "{refusal}"),
        }
        sleep(RETRY);
    }
}

/// The records with these numbers of ours are there, once each.
fn assert_there(flows: &[Flow], numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        let connection = format!("c{number}");
        let found = flows.iter().filter(|flow| flow.connection == connection);
        assert_eq!(found.count(), 1, "record of {connection}");
    }
}

/// Signs all of it, and finds it whole.
fn sign_and_verify(place: &Place) {
    let mut keeper = Keeper::open(&place.log(), "bank-1").unwrap();
    while keeper.turn().unwrap() {}
    let report = tree::verify(&place.log());
    assert_eq!((report.doubts, report.unsigned), (vec![], 0));
}

/// Nothing is taken for a while, however often it is asked.
fn takes_nothing(log: &Log, time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        let again = log.record(&flow(1_000_000, LARGE));
        assert!(again.is_err(), "taken although the disk fails");
        sleep(Duration::from_millis(30));
    }
}

fn fails_and_recovers(place: &Place, durability: Durability) {
    let log = place.open(durability);
    log.attend().unwrap();
    for number in 0..20 {
        log.record(&flow(number, LARGE)).unwrap();
    }
    // What the file system knows of itself has its room: a file system that fails is another matter.
    place.sync();
    place.break_it();
    let (taken, refusal) = until_refused(&log, 20);
    let failed = |error: &LogError| matches!(error, LogError::Io(_));
    assert!(failed(&refusal), "{refusal}");
    println!("{} records after it broke: {refusal}", taken - 20);
    assert!(log.trouble().is_some());
    takes_nothing(&log, Duration::from_secs(2));

    place.mend();
    until_taken(&log, 2_000_000);
    for number in taken + 1..taken + 20 {
        log.record(&flow(number, LARGE)).unwrap();
    }
    assert_eq!(log.lost(), None);
    // What came after it recovered was written back.
    sleep(Duration::from_millis(2500));
    let head = log.head();
    drop(log);
    place.power_failure();
    let flows = all(&place.log()).unwrap();
    assert_eq!(flows.len() as u64, head.0, "gapless");
    assert_there(&flows, 0..taken);
    assert_there(&flows, taken + 1..taken + 20);
    assert!(flows.iter().all(|flow| flow.operation != RECORD_LOST));
    let says = |operation: &str, word: &str| {
        flows
            .iter()
            .any(|flow| flow.operation == operation && flow.reason.contains(word))
    };
    assert!(says("flow log repaired", "were written again"));
    // The refused one stands in the log where it waited for the disk, and is named.
    let stands = flows
        .iter()
        .position(|flow| flow.connection == format!("c{taken}"));
    match durability {
        Durability::Memory => assert_eq!(stands, None),
        Durability::Disk => {
            let seq = stands.unwrap();
            assert!(says(
                RECORDS_REFUSED,
                &format!("records {seq} to {seq} stand")
            ));
        }
    }
    let log = place.open_again(durability);
    assert_eq!((log.repairs(), log.head()), (&[][..], head));
    drop(log);
    sign_and_verify(place);
}

/// A log of twenty records that the disk has, and that fails from then on.
fn broken_behind_twenty(place: &Place, durability: Durability, attended: bool) -> Log {
    let log = place.open(durability);
    if attended {
        log.attend().unwrap();
    }
    for number in 0..20 {
        log.record(&flow(number, LARGE)).unwrap();
    }
    place.sync();
    place.break_it();
    log
}

/// Runs `inside` on a disk that can fail.
fn on(name: &str, inside: impl FnOnce(&Place)) {
    match std::env::var_os(INSIDE) {
        Some(place) => inside(&Place(Path::new(&place).into())),
        None => on_such_a_disk(name),
    }
}

#[test]
fn a_disk_that_fails_to_write_back_denies_and_loses_nothing() {
    on(
        "a_disk_that_fails_to_write_back_denies_and_loses_nothing",
        |place| fails_and_recovers(place, Durability::Memory),
    );
}

#[test]
fn with_disk_nothing_is_taken_while_the_disk_fails_and_what_was_refused_is_named() {
    on(
        "with_disk_nothing_is_taken_while_the_disk_fails_and_what_was_refused_is_named",
        |place| fails_and_recovers(place, Durability::Disk),
    );
}

/// The same where nobody attends to the log.
#[test]
fn with_disk_it_recovers_in_the_record_that_needs_it() {
    on(
        "with_disk_it_recovers_in_the_record_that_needs_it",
        |place| {
            let log = broken_behind_twenty(place, Durability::Disk, false);
            log.record(&flow(20, LARGE)).unwrap_err();
            takes_nothing(&log, Duration::from_millis(500));
            place.mend();
            let seq = until_taken(&log, 21);
            drop(log);
            place.power_failure();
            let flows = all(&place.log()).unwrap();
            assert_eq!(flows.len() as u64, seq.0 + 1);
            assert_there(&flows, 0..=21);
            sign_and_verify(place);
        },
    );
}

/// The log goes on in other segments before anyone knows that the disk fails.
#[test]
fn segments_that_were_full_by_then_are_written_again_as_well() {
    on(
        "segments_that_were_full_by_then_are_written_again_as_well",
        |place| {
            let log = place.open(Durability::Memory);
            log.attend().unwrap();
            for number in 0..20 {
                log.record(&flow(number, LARGE)).unwrap();
            }
            while log.room() < 4 << 20 {
                sleep(Duration::from_millis(10));
            }
            place.sync();
            place.break_it();
            // More than a megabyte.
            for number in 20..200 {
                log.record(&flow(number, LARGE)).unwrap();
            }
            let (taken, _) = until_refused(&log, 200);
            takes_nothing(&log, Duration::from_millis(500));
            place.mend();
            let seq = until_taken(&log, 1_000_000);
            drop(log);
            place.power_failure();
            let flows = all(&place.log()).unwrap();
            assert!(flows.len() as u64 >= seq.0 - 3);
            assert_there(&flows, 0..taken);
            place.open_again(Durability::Memory);
            sign_and_verify(place);
        },
    );
}

/// The enforcer ends while the disk fails, and then the power fails.
fn ends_before_it_recovers(place: &Place, durability: Durability) {
    let log = broken_behind_twenty(place, durability, true);
    until_refused(&log, 20);
    takes_nothing(&log, Duration::from_millis(300));
    drop(log);
    place.mend();
    place.power_failure();
    let log = place.open_again(durability);
    println!("{:?}", log.repairs());
    let seq = log.record(&flow(500, LARGE)).unwrap();
    let flows = all(&place.log()).unwrap();
    assert_eq!(flows.len() as u64, seq.0 + 1);
    assert_there(&flows, (0..20).chain([500]));
    drop(log);
    sign_and_verify(place);
}

#[test]
fn in_memory_numbers_have_no_gap_where_the_power_fails_as_well() {
    on(
        "in_memory_numbers_have_no_gap_where_the_power_fails_as_well",
        |place| ends_before_it_recovers(place, Durability::Memory),
    );
}

#[test]
fn with_disk_numbers_have_no_gap_where_the_power_fails_as_well() {
    on(
        "with_disk_numbers_have_no_gap_where_the_power_fails_as_well",
        |place| ends_before_it_recovers(place, Durability::Disk),
    );
}

#[test]
fn what_memory_has_no_more_is_named_by_its_numbers() {
    on("what_memory_has_no_more_is_named_by_its_numbers", |place| {
        let log = broken_behind_twenty(place, Durability::Memory, true);
        let (taken, _) = until_refused(&log, 20);
        assert!(taken > 20);
        place.reclaim();
        // What the disk cannot even be asked for is not given up.
        takes_nothing(&log, Duration::from_millis(500));
        assert_eq!(log.lost(), None);
        place.mend();
        let seq = until_taken(&log, 1_000_000);
        let lost = log.lost().unwrap();
        // The kernel gives up what it likes, and nothing that it counts as changed.
        let stretches = lost.split(", ").map(|stretch| {
            let (from, to) = stretch.split_once(" to ").unwrap_or((stretch, stretch));
            from.parse::<u64>().unwrap()..=to.parse().unwrap()
        });
        let gone: Vec<u64> = stretches.flatten().collect();
        assert!(
            gone.iter().all(|number| (20..taken).contains(number)),
            "{lost}"
        );
        sleep(Duration::from_millis(1500));
        drop(log);
        place.power_failure();
        let flows = all(&place.log()).unwrap();
        assert_eq!(flows.len() as u64, seq.0 + 1);
        assert_there(&flows, (0..taken).filter(|number| !gone.contains(number)));
        for (number, flow) in flows.iter().enumerate() {
            let number = number as u64;
            let expected = gone.contains(&number);
            assert_eq!(flow.operation == RECORD_LOST, expected, "record {number}");
        }
        let said = flows
            .iter()
            .find(|flow| flow.reason.contains(&format!("records {lost} are lost")));
        assert_eq!(said.unwrap().operation, "flow log repaired");
        sign_and_verify(place);
    });
}

/// Records are in memory and not on the disk, and whoever opens the segment now is told that all is well.
fn told_to_another(place: &Place) -> (Log, Keeper) {
    // Nobody writes back by himself.
    let log = place.open(Durability::Memory);
    for number in 0..20 {
        log.record(&flow(number, LARGE)).unwrap();
    }
    place.sync();
    let mut keeper = Keeper::open(&place.log(), "bank-1").unwrap();
    while keeper.turn().unwrap() {}
    assert_eq!(keeper.signed(), Seq(20));
    place.sync();
    for number in 20..30 {
        log.record(&flow(number, LARGE)).unwrap();
    }
    place.break_it();
    let segment = || fs::File::open(common::segment(&place.log())).unwrap();
    segment().sync_data().unwrap_err();
    place.mend();
    segment().sync_data().unwrap();
    (log, keeper)
}

#[test]
fn nothing_is_signed_that_the_disk_has_not() {
    on("nothing_is_signed_that_the_disk_has_not", |place| {
        let (log, mut keeper) = told_to_another(place);
        // It had the segment open, and is told.
        let told = keeper.turn().unwrap_err();
        assert!(matches!(told, TreeError::File { .. }), "{told}");
        assert_eq!(keeper.signed(), Seq(20));
        // It is not told, and looks.
        for _ in 0..3 {
            let looked = keeper.turn().unwrap_err();
            assert!(
                matches!(looked, TreeError::NotOnDisk { from: 20, to: 29 }),
                "{looked}"
            );
            assert_eq!(keeper.signed(), Seq(20));
        }
        drop(keeper);
        let mut keeper = Keeper::open(&place.log(), "bank-1").unwrap();
        keeper.turn().unwrap_err();
        assert_eq!(keeper.signed(), Seq(20));
        drop((log, keeper));
        place.power_failure();
        assert_eq!(all(&place.log()).unwrap().len(), 20);
        assert_eq!(tree::verify(&place.log()).doubts, vec![]);
    });
}

#[test]
fn a_new_start_writes_again_what_the_one_before_left_in_memory() {
    on(
        "a_new_start_writes_again_what_the_one_before_left_in_memory",
        |place| {
            let (log, mut keeper) = told_to_another(place);
            drop(log);
            let log = place.open_again(Durability::Memory);
            assert!(
                matches!(log.repairs(), [Repair::WrittenAgain { from: 20, next: 30 }]),
                "{:?}",
                log.repairs()
            );
            // Whoever held the old file goes on in the new one.
            keeper.turn().unwrap();
            assert_eq!(keeper.signed(), Seq(30));
            drop((log, keeper));
            place.power_failure();
            assert_there(&all(&place.log()).unwrap(), 0..30);
            let log = place.open_again(Durability::Memory);
            assert_eq!(log.repairs(), []);
            log.record(&flow(30, 0)).unwrap();
            drop(log);
            sign_and_verify(place);
        },
    );
}

/// Records that were refused, and a writer that ended before it could name them.
#[test]
fn a_new_start_says_that_what_waited_for_the_disk_was_denied() {
    on(
        "a_new_start_says_that_what_waited_for_the_disk_was_denied",
        |place| {
            let log = broken_behind_twenty(place, Durability::Disk, false);
            log.record(&flow(20, LARGE)).unwrap_err();
            // One that cannot write it again either.
            drop(log);
            place.mend();
            let log = place.open_again(Durability::Disk);
            let seq = log.record(&flow(21, LARGE)).unwrap();
            drop(log);
            place.power_failure();
            let flows = all(&place.log()).unwrap();
            assert_eq!(flows.len() as u64, seq.0 + 1);
            assert_there(&flows, 0..=21);
            let said = &flows[21];
            assert_eq!(said.operation, "flow log repaired");
            assert!(
                said.reason.contains("to 20 what the disk had not"),
                "{}",
                said.reason
            );
            assert!(said.reason.contains("were denied"), "{}", said.reason);
            sign_and_verify(place);
        },
    );
}
