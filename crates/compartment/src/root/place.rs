//! Where a tree really lies: in which file system, and where within it. A bind mount gives a directory a second path,
//! and nothing about that path tells what it lies in, or what is mounted beneath it.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, StatxFlags};

use super::plan::Examined;

/// One tree of one file system, as the kernel's table of mounts names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// `MAJOR:MINOR`.
    device: String,
    /// From the root of that file system on.
    path: PathBuf,
}

impl Place {
    /// Whether one lies in the other, or both are the same.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.contains(other) || other.contains(self)
    }

    fn contains(&self, other: &Self) -> bool {
        self.device == other.device && other.path.starts_with(&self.path)
    }

    /// A name of fixed length for it. Whoever finds two places with one name gets in their own way only.
    pub(super) fn name(&self) -> String {
        // FNV-1a, 128 bits: the same in every build.
        const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
        const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
        let path = self.path.as_os_str().as_encoded_bytes();
        let bytes = self.device.bytes().chain([0]).chain(path.iter().copied());
        let hash = bytes.fold(BASIS, |hash, byte| {
            (hash ^ u128::from(byte)).wrapping_mul(PRIME)
        });
        format!("{hash:032x}")
    }

    /// The places it lies in, without itself.
    pub(super) fn above(&self) -> impl Iterator<Item = Self> {
        self.path.ancestors().skip(1).map(|path| Self {
            device: self.device.clone(),
            path: path.to_owned(),
        })
    }
}

/// The places that `tree` (canonical, and `examined`) shows: its own, and those of what is mounted beneath it. None lies
/// in another of them.
pub(super) fn shown(tree: &Path, examined: &Examined) -> io::Result<Vec<Place>> {
    let id = rustix::fs::statx(
        examined.handle(),
        "",
        AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC,
        StatxFlags::MNT_ID,
    )?
    .stx_mnt_id;
    let table = std::fs::read("/proc/thread-self/mountinfo")?;
    among(&table, id, tree).ok_or_else(|| {
        io::Error::other("the table of mounts (/proc/self/mountinfo) does not have its mount")
    })
}

/// The same, of the mount `id` and those beneath `tree` in a table of mounts.
fn among(table: &[u8], id: u64, tree: &Path) -> Option<Vec<Place>> {
    let mounts: Vec<Mount> = table
        .split(|byte| *byte == b'\n')
        .filter_map(Mount::read)
        .collect();
    let holding = mounts.iter().find(|mount| mount.id == id)?;
    let own = holding.place(tree.strip_prefix(&holding.point).ok()?);
    let beneath = mounts
        .iter()
        // One that is covered by another counts as well: it may come to light.
        .filter(|mount| mount.id != id && mount.point.starts_with(tree))
        .map(|mount| mount.place(Path::new("")));
    let mut places: Vec<Place> = Vec::new();
    for place in std::iter::once(own).chain(beneath) {
        if !places.iter().any(|held| held.contains(&place)) {
            places.retain(|held| !place.contains(held));
            places.push(place);
        }
    }
    Some(places)
}

/// A line of `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
struct Mount {
    id: u64,
    device: String,
    root: PathBuf,
    point: PathBuf,
}

impl Mount {
    fn read(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|byte| *byte == b' ');
        let text = |field: &[u8]| String::from_utf8(field.to_vec()).ok();
        let id = text(fields.next()?)?.parse().ok()?;
        let device = text(fields.nth(1)?)?;
        let (root, point) = (unescaped(fields.next()?), unescaped(fields.next()?));
        Some(Self {
            id,
            device,
            root,
            point,
        })
    }

    fn place(&self, below: &Path) -> Place {
        Place {
            device: self.device.clone(),
            // Joined with nothing a path gets a slash at its end, which comparisons do not see and hashes do.
            path: self.root.join(below).components().collect(),
        }
    }
}

/// Blanks, tabs, line ends and backslashes stand as three octal digits.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        let escape = (first == b'\\').then(|| after.get(..3)).flatten();
        let value = escape
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(value.unwrap_or(first));
        rest = match value {
            Some(_) => &after[3..],
            None => after,
        };
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
                         22 21 8:1 /srv/a/b /mnt/with\\040blank rw - ext4 /dev/sda1 rw\n\
                         23 21 0:30 / /srv/a/tmp rw - tmpfs none rw\n\
                         24 23 8:1 /other /srv/a/tmp/bound rw - ext4 /dev/sda1 rw\n\
                         25 21 8:1 /srv/a/b /srv/a/again rw - ext4 /dev/sda1 rw\n";

    fn at(id: u64, tree: &str) -> Vec<Place> {
        among(TABLE.as_bytes(), id, Path::new(tree)).unwrap()
    }

    fn place(device: &str, path: &str) -> Place {
        Place {
            device: device.to_owned(),
            path: path.into(),
        }
    }

    #[test]
    fn a_bind_mount_lies_where_its_original_lies() {
        let bound = at(22, "/mnt/with blank/c");
        assert_eq!(bound, [place("8:1", "/srv/a/b/c")]);
        let [only] = at(21, "/srv/a/b").try_into().unwrap();
        assert!(only.overlaps(&bound[0]) && bound[0].overlaps(&only));
        let names: Vec<_> = bound[0].above().map(|above| above.name()).collect();
        assert!(names.contains(&only.name()));
        assert!(!only.overlaps(&place("8:1", "/srv/a/bc")) && !only.overlaps(&place("8:2", "/")));
    }

    #[test]
    fn what_is_mounted_beneath_counts_and_nothing_counts_twice() {
        assert_eq!(
            at(21, "/srv/a"),
            [
                place("8:1", "/srv/a"),
                place("0:30", "/"),
                place("8:1", "/other")
            ]
        );
        assert_eq!(at(22, "/mnt/with blank"), [place("8:1", "/srv/a/b")]);
        assert!(among(TABLE.as_bytes(), 99, Path::new("/srv")).is_none());
    }
}
