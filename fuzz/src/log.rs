//! The flow log: a file that somebody else may have written to.

use std::cell::OnceCell;
use std::fs;
use std::path::Path;

use prost::Message;
use ringfence_audit::{Log, LogError, Reader, Repair, SEGMENT_MAGIC, Seq, hot_directory};
use ringfence_model::flow::Flow;
use tempfile::TempDir;

use crate::target::Target;

pub(crate) const TARGET: Target = Target {
    name: "log",
    holds: "a damaged segment is read up to the damage and no further; opening the log keeps every whole record, and the damaged file aside, and takes new ones behind",
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
        let hot = hot_directory(place.path());
        if hot.exists() {
            fs::remove_dir_all(&hot).unwrap();
        }
        fs::create_dir(&hot).unwrap();
        run(place.path());
    });
}

/// A header as a writer makes it, for a segment of `length` bytes.
fn header(length: usize) -> Vec<u8> {
    let mut bytes = SEGMENT_MAGIC.to_vec();
    for number in [0, 7, length as u64] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    bytes.resize(64, 0);
    bytes
}

/// Gives every slot that is said to be complete the checksum that its leaf has.
fn mend_sums(bytes: &mut [u8]) {
    let mut at = 64;
    while at + 8 <= bytes.len() {
        let length = usize::from(bytes[at]) | usize::from(bytes[at + 1]) << 8;
        let end = at + 8 + length;
        if length == 0 || end > bytes.len() {
            return;
        }
        if bytes[at + 2] == 0x33 {
            let sum = crc32c::crc32c(&bytes[at + 8..end]).to_le_bytes();
            bytes[at + 4..at + 8].copy_from_slice(&sum);
        }
        at = end.next_multiple_of(8);
    }
}

/// All records, and what stopped the reading.
fn read(path: &Path) -> (Vec<Flow>, Result<u64, String>) {
    let mut flows = Vec::new();
    let mut reader = match Reader::open_file(path) {
        Ok(reader) => reader,
        Err(error) => return (flows, Err(error.to_string())),
    };
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

/// The first byte says how much of a segment the rest is: all of it, its slots, or its slots but for their checksums.
fn run(bytes: &[u8]) {
    let Some((mode, rest)) = bytes.split_first() else {
        return;
    };
    let file = match mode % 3 {
        0 => rest.to_vec(),
        mode => {
            let length = (64 + rest.len()).max(96).next_multiple_of(8);
            let mut file = header(length);
            file.extend(rest);
            file.resize(length, 0);
            if mode == 2 {
                mend_sums(&mut file);
            }
            file
        }
    };
    with_directory(|directory| {
        let path = hot_directory(directory).join("00000000000000000000.seg");
        fs::write(&path, &file).unwrap();
        let (before, _) = read(&path);
        let log = Log::open(directory).expect("any segment can be mended");
        for repair in log.repairs() {
            match repair {
                Repair::MovedAside { to, .. } => {
                    let kept = fs::read(to).unwrap();
                    assert_eq!(kept.len(), file.len(), "what is damaged is kept whole");
                }
                Repair::Void { seq } => assert!(*seq >= before.len() as u64),
                more => panic!("{more:?}"),
            }
        }
        let mended = log.repairs().len() as u64;
        let head = log.head();
        let seq = log.record(&Flow {
            operation: "GET /".to_owned(),
            ..Flow::default()
        });
        // Each repair is recorded first.
        assert_eq!(seq.unwrap(), Seq(head.0 + mended));
        drop(log);
        // Nothing that could be read is lost. A leaf that no schema knows is for those who read leaves.
        let mut reader = Reader::open(directory).unwrap();
        let mut after = Vec::new();
        while let Some((seq, leaf)) = reader.leaf().unwrap() {
            assert_eq!(seq, Seq(after.len() as u64));
            after.push(leaf.to_vec());
        }
        assert_eq!(after.len() as u64, head.0 + mended + 1);
        for (flow, leaf) in before.iter().zip(&after) {
            assert_eq!(
                Flow::decode(&leaf[..]).as_ref(),
                Ok(flow),
                "a record was changed"
            );
        }
        assert!(Log::open(directory).unwrap().repairs().is_empty());
    });
}
