//! A damaged file is an error with a place, never a panic, and never more memory than a sound one needs.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::ops::Range;
use std::path::{Path, PathBuf};

use common::{Chance, mixed};
use parquet::file::reader::{FileReader, SerializedFileReader};
use ringfence_archive::{ArchiveError, COLUMNS, SealedReader, seal};
use sha2::{Digest, Sha256};

/// What reading any file may take: one row group's bytes and values, within their bounds.
const MEMORY_MAX: u64 = 512 << 20;

struct Sound {
    bytes: Vec<u8>,
    /// Where its row groups are.
    groups: Vec<Range<usize>>,
    /// Where the columns of them are, one after the other.
    columns: Vec<Range<usize>>,
    leaves: Vec<Vec<u8>>,
}

fn sound(rows: usize) -> Sound {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sound.parquet");
    let leaves = mixed(rows);
    seal(100, &leaves, [1; 32], &path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let metadata = SerializedFileReader::new(std::fs::File::open(&path).unwrap()).unwrap();
    let groups = metadata.metadata().row_groups();
    let mut start = 4;
    let mut behind = |length: i64| {
        let end = start + usize::try_from(length).unwrap();
        std::mem::replace(&mut start, end)..end
    };
    let columns = groups.iter().flat_map(|group| group.columns());
    let columns: Vec<Range<usize>> = columns
        .map(|column| behind(column.compressed_size()))
        .collect();
    let each = columns.chunks(COLUMNS.len());
    Sound {
        groups: each
            .map(|group| group[0].start..group[COLUMNS.len() - 1].end)
            .collect(),
        columns,
        bytes,
        leaves,
    }
}

/// A file of its own for each trial: errors have to name it.
struct Trial {
    directory: tempfile::TempDir,
}

impl Trial {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("trial.parquet")
    }

    fn read(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, ArchiveError> {
        let path = self.path();
        std::fs::write(&path, bytes).unwrap();
        let mut read = Ok(Vec::new());
        let used = allocation_counter::measure(|| read = read_all(&path));
        assert!(used.bytes_max < MEMORY_MAX, "{} bytes", used.bytes_max);
        if let Err(error) = &read {
            let said = error.to_string();
            assert!(said.contains("trial.parquet"), "{said}");
        }
        read
    }
}

fn read_all(path: &Path) -> Result<Vec<Vec<u8>>, ArchiveError> {
    SealedReader::open(path)?
        .map(|read| read.map(|(_, leaf)| leaf))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes down the hashes of what is there now, as whoever damages a file on purpose would.
fn notes_the_hashes(sound: &Sound, damaged: &mut [u8]) {
    let noted = |bytes: &[u8]| {
        let hashes = sound.columns.iter().map(|column| &bytes[column.clone()]);
        let hashes: Vec<String> = hashes.map(|bytes| hex(&Sha256::digest(bytes))).collect();
        hashes.join(",")
    };
    let old = noted(&sound.bytes);
    let mut places = sound.bytes.windows(old.len());
    let at = places.position(|window| window == old.as_bytes()).unwrap();
    let new = noted(damaged);
    damaged[at..at + new.len()].copy_from_slice(new.as_bytes());
}

#[test]
fn any_changed_byte_of_the_rows_is_noticed_and_has_its_place() {
    let sound = sound(500);
    let trial = Trial::new();
    assert_eq!(trial.read(&sound.bytes).unwrap(), sound.leaves);
    for at in sound.groups[0].clone() {
        let mut damaged = sound.bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        let error = trial.read(&damaged).unwrap_err();
        assert!(
            matches!(&error, ArchiveError::Damaged { row: 0, .. }),
            "{error}"
        );
        assert!(error.to_string().contains("damaged at row 0"), "{error}");
    }
}

/// Who asks for few columns reads and hashes no others.
#[test]
fn a_changed_byte_of_a_column_is_noticed_by_who_reads_the_column() {
    let sound = sound(500);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("trial.parquet");
    for (damaged, place) in sound.columns.iter().enumerate() {
        let mut bytes = sound.bytes.clone();
        bytes[place.start + place.len() / 2] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        for (asked, column) in COLUMNS.iter().enumerate() {
            let mut reader = SealedReader::open(&path).unwrap();
            match reader.read_columns(&[asked]) {
                Ok(Some(block)) => assert!(damaged != asked && block.rows().len() == 500),
                Ok(None) => panic!("no rows"),
                Err(error) => {
                    assert_eq!(damaged, asked, "{error}");
                    let said = error.to_string();
                    let told = format!("column {} of the 500 rows from there on", column.name);
                    assert!(said.contains(&told), "{said}");
                    assert!(reader.read_columns(&[asked]).unwrap().is_none());
                }
            }
        }
        assert!(read_all(&path).is_err());
    }
}

#[test]
fn damage_in_a_later_row_group_leaves_the_rows_before_it() {
    let rows = ringfence_archive::GROUP_ROWS + 50;
    let sound = sound(rows);
    let mut damaged = sound.bytes.clone();
    damaged[sound.groups[1].start + 40] ^= 4;
    let trial = Trial::new();
    std::fs::write(trial.path(), &damaged).unwrap();
    let mut reader = SealedReader::open(&trial.path()).unwrap();
    for leaf in &sound.leaves[..ringfence_archive::GROUP_ROWS] {
        assert_eq!(reader.read().unwrap().unwrap().1, leaf);
    }
    let error = reader.read().unwrap_err();
    assert!(
        matches!(error, ArchiveError::Damaged { row, .. } if row == ringfence_archive::GROUP_ROWS as u64),
        "{error}"
    );
    assert!(reader.read().unwrap().is_none());
}

#[test]
fn damage_whose_hash_was_noted_as_well_breaks_nothing() {
    let sound = sound(400);
    let trial = Trial::new();
    let mut chance = Chance(1);
    let (mut refused, mut passed) = (0, 0);
    for _ in 0..6000 {
        let mut damaged = sound.bytes.clone();
        for _ in 0..1 + chance.below(3) {
            let range = &sound.groups[0];
            let at = range.start + chance.below(range.len());
            damaged[at] = match chance.below(3) {
                0 => damaged[at] ^ 1 << chance.below(8),
                1 => 0xff,
                _ => chance.below(256) as u8,
            };
        }
        notes_the_hashes(&sound, &mut damaged);
        match trial.read(&damaged) {
            Ok(_) => passed += 1,
            Err(ArchiveError::Damaged { .. }) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    // What remains changes a value into another one; only the tree can tell.
    assert!(
        refused > 1000 && passed > 0,
        "{refused} refused, {passed} passed"
    );
}

#[test]
fn a_damaged_footer_breaks_nothing() {
    let sound = sound(400);
    let trial = Trial::new();
    let mut chance = Chance(2);
    let footer = sound.groups[0].end..sound.bytes.len();
    let mut refused = 0;
    for round in 0..6000 {
        let mut damaged = sound.bytes.clone();
        for _ in 0..1 + chance.below(3) {
            let at = footer.start + chance.below(footer.len());
            damaged[at] = match chance.below(3) {
                0 => damaged[at] ^ 1 << chance.below(8),
                1 => [0x00, 0xff, 0x7f, 0x80][chance.below(4)],
                _ => chance.below(256) as u8,
            };
        }
        if round % 4 == 0 {
            let at = footer.start + chance.below(footer.len());
            damaged.drain(at..(at + 1 + chance.below(20)).min(sound.bytes.len()));
        }
        refused += usize::from(trial.read(&damaged).is_err());
    }
    assert!(refused > 1000, "{refused} refused");
}

#[test]
fn a_cut_file_is_refused_at_every_length() {
    let sound = sound(30);
    let trial = Trial::new();
    for length in 0..sound.bytes.len() {
        assert!(
            trial.read(&sound.bytes[..length]).is_err(),
            "{length} bytes"
        );
    }
}

#[test]
fn rows_of_another_place_are_not_taken() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("moved.parquet");
    let leaves = mixed(20);
    seal(7, &leaves, [0; 32], &path).unwrap();
    // First and last by the footer are others than by the rows.
    let mut bytes = std::fs::read(&path).unwrap();
    let change = |bytes: &mut [u8], from: &str, to: &str| {
        let at = bytes
            .windows(from.len())
            .position(|window| window == from.as_bytes())
            .unwrap();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    };
    change(
        &mut bytes,
        "ringfence.first_seq\u{18}\u{1}7",
        "ringfence.first_seq\u{18}\u{1}9",
    );
    change(
        &mut bytes,
        "ringfence.last_seq\u{18}\u{2}26",
        "ringfence.last_seq\u{18}\u{2}28",
    );
    std::fs::write(&path, bytes).unwrap();
    let error = read_all(&path).unwrap_err();
    assert!(
        error.to_string().contains("it is record 7, not 9"),
        "{error}"
    );
}

#[test]
fn another_version_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("newer.parquet");
    seal(0, mixed(3), [0; 32], &path).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let form = b"ringfence.sealed\x18\x013";
    let at = bytes
        .windows(form.len())
        .position(|window| window == form)
        .unwrap();
    // Earlier forms have another hash, and a later one is not known.
    let no_hash = "not a sealed file of a flow log: it has no ringfence.group_sha256";
    for (form_of, told) in [
        (
            b'0',
            "ringfence.sealed is 0, this program reads 1 to 3; use the version that wrote it",
        ),
        (b'1', no_hash),
        (b'2', no_hash),
        (
            b'4',
            "ringfence.sealed is 4, this program reads 1 to 3; use the version that wrote it",
        ),
    ] {
        bytes[at + form.len() - 1] = form_of;
        std::fs::write(&path, &bytes).unwrap();
        let error = read_all(&path).unwrap_err();
        assert!(error.to_string().ends_with(told), "{error}");
    }
}
