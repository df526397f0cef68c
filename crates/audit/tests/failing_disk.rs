//! A disk that fails when it writes back, which nobody can know beforehand: attempts are refused, and taken again once it works.
//! With [`Durability::Disk`] none is taken in between.
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

use common::{INSIDE, assert_passed, body, flow};
use ringfence_audit::{Durability, Log, LogError, Options};

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

fn fails_and_recovers(place: &Place, durability: Durability) {
    let options = Options {
        durability,
        ..Options::default()
    };
    // Its directories, and the first blocks, are before what is taken away.
    fs::create_dir_all(ringfence_audit::hot_directory(&place.log())).unwrap();
    fs::write(place.0.join("mnt/first"), vec![1; SEGMENTS_FROM as usize]).unwrap();
    rustix::fs::syncfs(fs::File::open(place.log().parent().unwrap()).unwrap()).unwrap();
    let log = Log::open_with(&place.log(), options).unwrap();
    log.attend().unwrap();
    for number in 0..20 {
        log.record(&flow(number, LARGE)).unwrap();
    }
    // What the file system knows of itself has its room: a file system that fails is another matter.
    rustix::fs::syncfs(fs::File::open(place.log()).unwrap()).unwrap();
    place.break_it();
    let (taken, refusal) = until_refused(&log, 20);
    let failed = |error: &LogError| matches!(error, LogError::Io(_));
    assert!(failed(&refusal), "{refusal}");
    println!("{} records after it broke: {refusal}", taken - 20);
    assert!(log.trouble().is_some());
    let end = Instant::now() + Duration::from_secs(1);
    while Instant::now() < end {
        let again = log.record(&flow(1_000_000, LARGE));
        // In memory it is tried anew ten times a second, and known to have failed at the next write-back.
        assert!(again.is_err() || durability == Durability::Memory);
        sleep(Duration::from_millis(30));
    }

    place.mend();
    let mended = Instant::now();
    while let Err(refusal) = log.record(&flow(2_000_000, LARGE)) {
        assert!(mended.elapsed() < Duration::from_secs(5), "{refusal}");
        sleep(RETRY);
    }
    for number in taken..taken + 20 {
        log.record(&flow(number, LARGE)).unwrap();
    }
}

#[test]
fn a_disk_that_fails_to_write_back_denies_and_ends_nobody() {
    let name = "a_disk_that_fails_to_write_back_denies_and_ends_nobody";
    match std::env::var_os(INSIDE) {
        Some(inside) => fails_and_recovers(&Place(Path::new(&inside).into()), Durability::Memory),
        None => on_such_a_disk(name),
    }
}

#[test]
fn with_disk_nothing_is_taken_while_the_disk_fails() {
    match std::env::var_os(INSIDE) {
        Some(inside) => fails_and_recovers(&Place(Path::new(&inside).into()), Durability::Disk),
        None => on_such_a_disk("with_disk_nothing_is_taken_while_the_disk_fails"),
    }
}
