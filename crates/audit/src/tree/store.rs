//! Tiles as files, in the layout of C2SP tlog-tiles: `tile/LEVEL/INDEX`, unfinished ones `tile/LEVEL/INDEX.p/WIDTH`.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use tlog_tiles::{HASH_SIZE, Hash, Tile};

use super::TreeError;
use super::frontier::{TILE_HEIGHT, TILE_WIDTH};

/// Beginning of paths in tlog-tiles, and of the library's own, which name the height as well.
const TILES: &str = "tile";
/// How often a tile is looked for that a wider one may replace at the same time.
const LOOKS: u32 = 5;

/// The tiles of the log in a directory.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    log: PathBuf,
}

impl Store {
    pub(crate) fn new(log: &Path) -> Self {
        Self {
            log: log.to_owned(),
        }
    }

    /// Where a tile is.
    pub(crate) fn path(&self, level: u8, index: u64, width: usize) -> PathBuf {
        let tile = Tile::new(TILE_HEIGHT, level, index, width as u32, false);
        let path = tile.path();
        let own = format!("{TILES}/{TILE_HEIGHT}/");
        let rest = path.strip_prefix(&own).unwrap_or(&path);
        self.log.join(TILES).join(rest)
    }

    /// Writes a tile, in place of what is there. It is on the disk when the file that is given back is synced.
    pub(crate) fn write(
        &self,
        level: u8,
        index: u64,
        hashes: &[Hash],
    ) -> Result<PathBuf, TreeError> {
        let path = self.path(level, index, hashes.len());
        let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
        put(&path, &bytes).map_err(at(&path))?;
        Ok(path)
    }

    /// The hashes of a tile of `width`. One that is wider begins with the same, and takes its place while somebody reads.
    pub(crate) fn read(&self, level: u8, index: u64, width: usize) -> Result<Vec<Hash>, TreeError> {
        let path = self.path(level, index, width);
        let mut looks = 1;
        loop {
            let missing = match fs::read(&path) {
                Ok(bytes) => return hashes(&path, &bytes, width, width),
                Err(e) if e.kind() == io::ErrorKind::NotFound && width < TILE_WIDTH => e,
                Err(e) => return Err(at(&path)(e)),
            };
            for wider in self.wider(level, index, width) {
                let path = self.path(level, index, wider);
                if let Ok(bytes) = fs::read(&path) {
                    return hashes(&path, &bytes, wider, width);
                }
            }
            if looks == LOOKS {
                return Err(at(&path)(missing));
            }
            looks += 1;
        }
    }

    /// Widths of the tiles at `(level, index)` that begin with one of `width`.
    fn wider(&self, level: u8, index: u64, width: usize) -> Vec<usize> {
        let path = self.path(level, index, width);
        let entries = path.parent().and_then(|parent| fs::read_dir(parent).ok());
        let mut widths: Vec<usize> = (entries.into_iter().flatten().flatten())
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|wider| (width..TILE_WIDTH).contains(wider))
            .collect();
        widths.push(TILE_WIDTH);
        widths
    }

    /// Removes unfinished tiles at `(level, index)` other than the one of `width`.
    pub(crate) fn remove_narrower(&self, level: u8, index: u64, width: usize) {
        let path = self.path(level, index, 1);
        let Some(directory) = path.parent() else {
            return;
        };
        let Ok(entries) = fs::read_dir(directory) else {
            return;
        };
        for entry in entries.flatten() {
            if entry.file_name() != *width.to_string() {
                // A left-over is in nobody's way.
                let _left = fs::remove_file(entry.path());
            }
        }
        if width == TILE_WIDTH {
            let _left = fs::remove_dir(directory);
        }
    }
}

/// The first `width` hashes of the tile `path`, which is `whole` wide.
fn hashes(path: &Path, bytes: &[u8], whole: usize, width: usize) -> Result<Vec<Hash>, TreeError> {
    if bytes.len() != whole * HASH_SIZE {
        return Err(TreeError::Inconsistent(format!(
            "{} has {} bytes instead of {}",
            path.display(),
            bytes.len(),
            whole * HASH_SIZE
        )));
    }
    Ok(bytes
        .chunks_exact(HASH_SIZE)
        .take(width)
        .map(|chunk| {
            let mut hash = [0; HASH_SIZE];
            hash.copy_from_slice(chunk);
            Hash(hash)
        })
        .collect())
}

/// Writes `bytes` under a name, whole or not at all, with what directories that takes.
fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = write_beside(path, bytes)?.1;
    fs::rename(&temporary, path)
}

/// Writes `bytes` into a file that is to have the name `path`, and where it is until then.
fn write_beside(path: &Path, bytes: &[u8]) -> io::Result<(File, PathBuf)> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let temporary = path.with_extension("new");
    let open = || {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)
    };
    let mut file = match open() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)?;
            open()?
        }
        opened => opened?,
    };
    file.write_all(bytes)?;
    Ok((file, temporary))
}

/// The same, and on the disk: the bytes before the name, so that after a power failure it is not an empty file that has it.
pub(crate) fn put_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (file, temporary) = write_beside(path, bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

pub(crate) fn at(path: &Path) -> impl Fn(io::Error) -> TreeError {
    let path = path.to_owned();
    move |cause| TreeError::File {
        path: path.clone(),
        cause,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_where_tlog_tiles_has_them() {
        let store = Store::new(Path::new("log"));
        let path = |level, index, width| store.path(level, index, width).display().to_string();
        assert_eq!(path(0, 0, 256), "log/tile/0/000");
        assert_eq!(path(0, 1_234_067, 256), "log/tile/0/x001/x234/067");
        assert_eq!(path(1, 4, 17), "log/tile/1/004.p/17");
    }
}
