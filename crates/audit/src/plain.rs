//! Opens files that somebody else may have made: who writes the log may read hostile bytes, and a copy of one may be anybody's.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// Opens a file that somebody names, perhaps by a link, for reading. A pipe, whose opening would wait for somebody, is refused.
pub fn follow(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("not a regular file; move it away"))
    }
}

/// All bytes of a small file; an error where it has more than `at_most`.
pub fn read(path: &Path, at_most: u64) -> io::Result<Vec<u8>> {
    whole(follow(path)?, at_most)
}

/// The same, which is text.
pub(crate) fn text(path: &Path, at_most: u64) -> io::Result<String> {
    whole_text(follow(path)?, at_most)
}

/// The same of something that is open, a pipe perhaps.
pub fn whole_text(from: impl Read, at_most: u64) -> io::Result<String> {
    String::from_utf8(whole(from, at_most)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no text"))
}

fn whole(from: impl Read, at_most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(at_most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > at_most {
        let what = format!("it is longer than {at_most} bytes, which none of its kind is");
        return Err(io::Error::other(what));
    }
    Ok(bytes)
}
