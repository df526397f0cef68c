//! Sealed memory files: how something larger than a packet travels.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, SealFlags};

/// Largest content accepted, in bytes. More is refused on both sides.
pub const MEMFD_MAX: u64 = 256 * 1024 * 1024;

const SEALS: SealFlags = SealFlags::WRITE
    .union(SealFlags::GROW)
    .union(SealFlags::SHRINK)
    .union(SealFlags::SEAL);

/// A memory file with `content`, which nobody can change any more.
pub fn sealed(name: &str, content: &[u8]) -> io::Result<OwnedFd> {
    if content.len() as u64 > MEMFD_MAX {
        return Err(too_large(content.len() as u64));
    }
    let descriptor =
        rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = File::from(descriptor);
    file.write_all(content)?;
    file.rewind()?;
    rustix::fs::fcntl_add_seals(&file, SEALS)?;
    Ok(file.into())
}

/// The content of a memory file. Refused unless sealed: the sender could change it while it is read.
pub fn read(descriptor: OwnedFd) -> io::Result<Vec<u8>> {
    let seals = rustix::fs::fcntl_get_seals(&descriptor)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not a memory file"))?;
    if !seals.contains(SEALS) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a memory file that is not sealed",
        ));
    }
    let mut file = File::from(descriptor);
    let length = file.metadata()?.len();
    if length > MEMFD_MAX {
        return Err(too_large(length));
    }
    file.rewind()?;
    let mut content = Vec::with_capacity(usize::try_from(length).map_err(io::Error::other)?);
    file.read_to_end(&mut content)?;
    Ok(content)
}

fn too_large(length: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("a memory file of {length} bytes; at most {MEMFD_MAX} are accepted"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_comes_back_and_cannot_be_changed() {
        let descriptor = sealed("test", b"content").unwrap();
        let mut again = File::from(descriptor.try_clone().unwrap());
        assert!(again.write_all(b"other").is_err());
        assert!(again.set_len(1).is_err());
        assert_eq!(read(descriptor).unwrap(), b"content");
    }

    #[test]
    fn unsealed_or_foreign_files_are_refused() {
        let open = rustix::fs::memfd_create("open", MemfdFlags::ALLOW_SEALING).unwrap();
        assert!(read(open).is_err());
        assert!(read(File::open("/dev/null").unwrap().into()).is_err());
    }

    #[test]
    fn the_largest_is_read_and_one_byte_more_is_refused_by_both_sides() {
        // Of holes: only what is read takes memory.
        let of = |length: u64| {
            let flags = MemfdFlags::ALLOW_SEALING;
            let file = File::from(rustix::fs::memfd_create("large", flags).unwrap());
            file.set_len(length).unwrap();
            rustix::fs::fcntl_add_seals(&file, SEALS).unwrap();
            OwnedFd::from(file)
        };
        assert_eq!(read(of(MEMFD_MAX)).unwrap().len() as u64, MEMFD_MAX);
        let refused = read(of(MEMFD_MAX + 1)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
        let content = vec![0; MEMFD_MAX as usize + 1];
        let refused = sealed("large", &content).unwrap_err();
        assert!(refused.to_string().contains("at most"), "{refused}");
    }
}
