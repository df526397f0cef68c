//! Sealed files of the flow log: files that somebody else may have written to, and leaves of any bytes.

use std::cell::OnceCell;
use std::fs;
use std::ops::Range;
use std::path::PathBuf;

use prost::Message;
use ringfence_archive::{ArchiveError, COLUMNS, SEALED_MAGIC as MAGIC, SealedReader, seal};
use ringfence_model::flow::Flow;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::target::Target;

pub(crate) const TARGET: Target = Target {
    name: "sealed",
    holds: "a sealed file of any bytes is read or refused, by leaves and by columns, in bounded time; any leaves come back from it byte for byte",
    length_max: 4096,
    run,
};

/// Rows of the sound file that is damaged.
const ROWS: u64 = 90;
const FIRST: u64 = 700;
/// A hash in the footer, and the comma behind it.
const EACH: usize = 65;

struct Ground {
    directory: TempDir,
    sound: Vec<u8>,
    /// Where its columns are, one after the other.
    columns: Vec<Range<usize>>,
    /// Where the footer notes their hashes, one after the other.
    noted: usize,
    leaves: Vec<Vec<u8>>,
}

thread_local! {
    static GROUND: OnceCell<Ground> = const { OnceCell::new() };
}

impl Ground {
    fn new() -> Self {
        let memory = tempfile::tempdir_in("/dev/shm");
        let directory = memory
            .or_else(|_| tempfile::tempdir())
            .expect("a directory to work in");
        let flow = |n: u64| Flow {
            schema: 1,
            time_ns: 1_795_000_000_000_000_000 + n * 1_000_003,
            node: "node".into(),
            kind: 1 + (n % 5) as i32,
            count: 1 + n % 3,
            source: format!("agent-{}", n % 7),
            destination: if n.is_multiple_of(4) {
                String::new()
            } else {
                "library".into()
            },
            operation: format!("GET /{}", n % 50),
            outcome: 1 + (n % 4) as i32,
            bytes_sent: if n.is_multiple_of(9) { u64::MAX } else { n },
            ..Flow::default()
        };
        let leaves: Vec<Vec<u8>> = (0..ROWS).map(|n| flow(n).encode_to_vec()).collect();
        let path = directory.path().join("sound.parquet");
        seal(FIRST, &leaves, [7; 32], &path).unwrap();
        let sound = fs::read(&path).unwrap();
        let place_of = |text: &str| {
            sound
                .windows(text.len())
                .position(|words| words == text.as_bytes())
        };
        let mut columns: Vec<Range<usize>> = Vec::new();
        let mut noted = None;
        while columns.len() < COLUMNS.len() {
            let start = columns.last().map_or(MAGIC.len(), |column| column.end);
            // Each is as long as its hash says.
            let end = (start + 1..sound.len()).find(|end| {
                let hash = hash(&sound[start..*end]);
                match noted {
                    None => {
                        noted = place_of(&hash);
                        noted.is_some()
                    }
                    Some(first) => {
                        sound[first + columns.len() * EACH..].starts_with(hash.as_bytes())
                    }
                }
            });
            columns.push(start..end.expect("the hash of the column in the footer"));
        }
        Self {
            directory,
            columns,
            noted: noted.expect("hashes in the footer"),
            sound,
            leaves,
        }
    }

    /// Where the bytes of the rows are.
    fn rows(&self) -> Range<usize> {
        MAGIC.len()..self.columns.last().map_or(0, |column| column.end)
    }

    /// Notes the hashes of the columns as they are now.
    fn note(&self, bytes: &mut [u8]) {
        for (number, column) in self.columns.iter().enumerate() {
            let now = hash(&bytes[column.clone()]);
            let at = self.noted + number * EACH;
            bytes[at..at + now.len()].copy_from_slice(now.as_bytes());
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("trial.parquet")
    }

    /// Where the footer begins.
    fn footer(&self) -> usize {
        let at = self.sound.len() - 8;
        let mut length = [0; 4];
        length.copy_from_slice(&self.sound[at..at + 4]);
        at - u32::from_le_bytes(length) as usize
    }
}

fn hash(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// All leaves of a file. Only these errors can be.
fn leaves(path: &std::path::Path) -> Option<Vec<Vec<u8>>> {
    let refused = |error: &ArchiveError| {
        let expected = matches!(
            error,
            ArchiveError::Foreign { .. } | ArchiveError::Damaged { .. }
        );
        assert!(
            expected || matches!(error, ArchiveError::Io { .. }),
            "{error}"
        );
    };
    let mut reader = match SealedReader::open(path) {
        Ok(reader) => reader,
        Err(error) => {
            refused(&error);
            return None;
        }
    };
    let (first, records) = (reader.first_seq(), reader.records());
    let mut leaves = Vec::new();
    loop {
        match reader.read() {
            Ok(Some((seq, leaf))) => {
                assert_eq!(seq, first + leaves.len() as u64);
                leaves.push(leaf.to_vec());
                assert!(leaves.len() as u64 <= records);
            }
            Ok(None) => break,
            Err(error) => {
                refused(&error);
                assert!(
                    matches!(reader.read(), Ok(None)),
                    "something behind an error"
                );
                return None;
            }
        }
    }
    assert_eq!(leaves.len() as u64, records);
    Some(leaves)
}

/// All columns of a file.
fn columns(path: &std::path::Path) {
    let Ok(mut reader) = SealedReader::open(path) else {
        return;
    };
    let all: Vec<usize> = (0..COLUMNS.len()).collect();
    while let Ok(Some(block)) = reader.read_columns(&all) {
        for column in 0..all.len() {
            let Some(texts) = block.texts(column) else {
                continue;
            };
            for row in block.rows() {
                let _text = texts.get(row);
            }
        }
    }
}

/// The first byte says what the rest is: a whole file; leaves, each behind its length; or changes of a sound file, each of two bytes
/// for the place and one for the value: of its rows, with their hashes noted again, or of its footer.
fn run(bytes: &[u8]) {
    let Some((mode, rest)) = bytes.split_first() else {
        return;
    };
    GROUND.with(|ground| {
        let ground = ground.get_or_init(Ground::new);
        let path = ground.path();
        let _none_yet = fs::remove_file(&path);
        match mode % 4 {
            0 => fs::write(&path, rest).unwrap(),
            1 => {
                let mut given = Vec::new();
                let mut rest = rest;
                while let Some((length, behind)) = rest.split_first() {
                    let (leaf, behind) = behind.split_at(behind.len().min(usize::from(*length)));
                    given.push(leaf.to_vec());
                    rest = behind;
                }
                if given.is_empty() || seal(FIRST, &given, [1; 32], &path).is_err() {
                    return;
                }
                assert_eq!(leaves(&path), Some(given), "a leaf was changed");
            }
            mode => {
                let footer = ground.footer();
                let mut changed = ground.sound.clone();
                let range = if mode == 2 {
                    ground.rows()
                } else {
                    footer..changed.len()
                };
                for change in rest.chunks_exact(3) {
                    let place = usize::from(change[0]) | usize::from(change[1]) << 8;
                    changed[range.start + place % range.len()] = change[2];
                }
                if mode == 2 {
                    ground.note(&mut changed);
                }
                fs::write(&path, &changed).unwrap();
                let read = leaves(&path);
                if changed == ground.sound {
                    assert_eq!(read.as_ref(), Some(&ground.leaves));
                }
            }
        }
        if path.exists() {
            leaves(&path);
            columns(&path);
        }
    });
}
