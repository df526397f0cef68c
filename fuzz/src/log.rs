//! The flow log: a file that somebody else may have written to.

use std::cell::OnceCell;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use ringfence_audit::{FILE_NAME, Log, LogError, Reader, Repair, Seq};
use ringfence_model::flow::Flow;
use tempfile::TempDir;

use crate::target::Target;

pub(crate) const TARGET: Target = Target {
    name: "log",
    holds: "a damaged log is read up to the damage and no further; opening it keeps every whole record, or the whole file aside, and takes new ones behind",
    length_max: 4096,
    run,
};

thread_local! {
    static PLACE: OnceCell<TempDir> = const { OnceCell::new() };
}

/// An empty directory, in memory where there is such a place.
fn with_directory(run: impl FnOnce(&Path)) {
    PLACE.with(|place| {
        let place = place.get_or_init(|| {
            let memory = Path::new("/dev/shm");
            let made = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir());
            made.expect("a directory to work in")
        });
        for entry in fs::read_dir(place).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        run(place.path());
    });
}

/// All records, and what stopped the reading.
fn read(path: &Path) -> (Vec<Flow>, Result<u64, String>) {
    let mut reader = Reader::open_file(path).unwrap();
    let mut flows = Vec::new();
    loop {
        match reader.read() {
            Ok(Some((seq, flow))) => {
                assert_eq!(seq, Seq(flows.len() as u64));
                flows.push(flow);
            }
            Ok(None) => return (flows, Ok(reader.unfinished())),
            Err(error) => {
                assert!(matches!(error, LogError::Corrupt { .. }), "{error}");
                // It stays where it is: a second look is no way past.
                assert!(reader.read().is_err(), "read on behind damage");
                return (flows, Err(error.to_string()));
            }
        }
    }
}

fn run(bytes: &[u8]) {
    with_directory(|directory| {
        let path = directory.join(FILE_NAME);
        fs::write(&path, bytes).unwrap();
        let (before, ended) = read(&path);
        let log = Log::open(directory).expect("any file can be mended");
        let aside = match log.repairs() {
            [] => {
                assert_eq!(fs::read(&path).unwrap(), bytes, "mended without a word");
                false
            }
            [Repair::CutOff { bytes: cut, kept }] => {
                assert_eq!(*kept, before.len() as u64);
                let kept = fs::read(&path).unwrap();
                assert!(bytes.starts_with(&kept));
                assert_eq!(kept.len() as u64 + cut, bytes.len() as u64);
                assert_eq!(ended, Ok(*cut));
                false
            }
            [Repair::MovedAside { to, .. }] => {
                assert_eq!(
                    fs::read(to).unwrap(),
                    bytes,
                    "what is damaged is kept whole"
                );
                true
            }
            more => panic!("{more:?}"),
        };
        // What stops a reader does not stay in the log, and nothing else leaves it.
        assert_eq!(aside, ended.is_err());
        let mended = log.repairs().len();
        let seq = log.record(&Flow {
            operation: "GET /".to_owned(),
            ..Flow::default()
        });
        // Each repair is recorded first.
        let whole = if aside {
            0
        } else {
            log.head().0 - 1 - mended as u64
        };
        assert_eq!(seq.ok(), Some(Seq(whole + mended as u64)));
        drop(log);
        assert!(fs::metadata(&path).unwrap().size() > 0);
        let (after, ended) = read(&path);
        assert_eq!(ended, Ok(0), "what was mended is damaged");
        assert_eq!(after.len() as u64, whole + mended as u64 + 1);
        if !aside {
            assert_eq!(after[..before.len()], before[..], "a record was changed");
        }
        assert!(Log::open(directory).unwrap().repairs().is_empty());
    });
}
