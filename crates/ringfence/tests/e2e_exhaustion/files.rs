//! Temporary directories: bounded in bytes and in files, by sizes of their own.

use ringfence_testbed::{Caller, Neighbour};

use crate::ground::{hoard, node, said, unnoticed};

/// Fills `place` with as many files as it takes, then with as many bytes, and tells both.
const FILL: &str = r#"
def fill(place):
    count, error = until_refused(lambda: os.close(os.open(f"{place}/{fill.number()}", os.O_CREAT | os.O_WRONLY)), 1 << 20)
    print(place, "files", count, error, flush=True)
    for name in os.listdir(place):
        if name.isdigit():
            os.unlink(f"{place}/{name}")
    big = os.open(f"{place}/big", os.O_CREAT | os.O_WRONLY)
    size, error = until_refused(lambda: os.write(big, b"x" * (1 << 20)), 1 << 12)
    print(place, "mebibytes", size, error, flush=True)
    os.close(big)
    os.unlink(f"{place}/big")

numbers = iter(range(1 << 30))
fill.number = lambda: next(numbers)
fill("/dev/shm")
fill("/run")
print("ready", flush=True)
time.sleep(600)
"#;

#[test]
fn temporary_directories_are_full_at_their_size_and_at_their_number_of_files() {
    for caller in Caller::available() {
        let node = node(caller);
        let neighbour = Neighbour::start(&node).unwrap();
        let full = unnoticed(&node, &neighbour, || hoard(&node, FILL));
        for (place, most_files, mebibytes) in [("/dev/shm", 16_384, 256), ("/run", 16_384, 64)] {
            let (files, error) = told(&said(&full, &format!("{place} files")));
            assert_eq!(error, "ENOSPC", "{place}");
            assert!(
                (most_files - 100..most_files).contains(&files),
                "{place}: {files} files"
            );
            let (size, error) = told(&said(&full, &format!("{place} mebibytes")));
            assert_eq!(error, "ENOSPC", "{place}");
            assert!(
                (mebibytes - 2..=mebibytes).contains(&size),
                "{place}: {size} MiB"
            );
        }
    }
}

fn told(text: &str) -> (i64, String) {
    let (count, error) = text.split_once(' ').unwrap();
    (count.parse().unwrap(), error.to_owned())
}
