//! Finding the program, and what it needs to start, in the tree that the workload sees.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use crate::error::{EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, OrRefuse, Refusal};

/// Longest `#!` line the kernel reads, in bytes.
const SCRIPT_LINE: usize = 256;
/// Interpreters of interpreters followed; the kernel gives up after as many.
pub(crate) const INTERPRETERS_MAX: usize = 5;
/// Most program headers looked at in an ELF file, and the longest name of a loader in it.
const ELF_HEADERS_MAX: usize = 256;
const ELF_LOADER_MAX: usize = 4096;
const ELF_HEADER_BYTES: usize = 64;
const ELF_PROGRAM_HEADER_BYTES: usize = 56;
const PT_INTERP: u32 = 3;

/// Why the program cannot be started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Missing {
    /// As it was asked for.
    pub(crate) command: OsString,
    /// The path that is not there or cannot be used; the same as the command if that has no path.
    pub(crate) path: PathBuf,
    /// What needs `path`, if it is not the command itself.
    pub(crate) needed_by: Option<PathBuf>,
    /// It is there, but cannot be executed.
    pub(crate) present: bool,
    /// In the system's words.
    pub(crate) cause: String,
}

impl Missing {
    pub(crate) fn new(command: &OsStr, path: &Path, cause: &io::Error) -> Self {
        Self {
            command: command.to_owned(),
            path: path.to_owned(),
            needed_by: None,
            present: cause.kind() != io::ErrorKind::NotFound,
            cause: cause.to_string(),
        }
    }

    /// What the user is told. `on_host` finds a path as the host sees it, if it is there.
    pub(crate) fn refusal(&self, on_host: impl Fn(&Path) -> Option<PathBuf>) -> Refusal {
        let command = self.command.to_string_lossy();
        let path = self.path.display();
        if self.present {
            return Refusal {
                code: EXIT_NOT_EXECUTABLE,
                what: format!("{command} cannot be executed: {path}: {}", self.cause),
                fix: "give a program, or make the file executable for the user of the workload"
                    .to_owned(),
            };
        }
        let needed = match &self.needed_by {
            Some(by) => format!(
                "{command} cannot be started: {} needs {path}, which",
                by.display()
            ),
            None => format!("{command}"),
        };
        let (what, fix) = match on_host(&self.path) {
            Some(host) => (
                format!("{needed} is outside what the compartment shows"),
                format!(
                    "add it to the workload's policy: `filesystem: {{ read: [{}] }}`, or a directory that holds it \
                     and what it needs",
                    host.display()
                ),
            ),
            None => (
                format!("{needed} was not found"),
                "give a program that exists; without a / it is looked for in PATH inside the compartment".to_owned(),
            ),
        };
        Refusal {
            code: EXIT_NOT_FOUND,
            what,
            fix,
        }
    }
}

/// The path to execute for `command`, looked up in `path` (as of `PATH`) if it has no slash. Everything it needs to
/// start (interpreter, loader) is there when this succeeds.
pub(crate) fn locate(command: &OsStr, path: &OsStr) -> Result<CString, Missing> {
    let found = if command.as_bytes().contains(&b'/') {
        let found = PathBuf::from(command);
        executable(&found).map_err(|cause| Missing::new(command, &found, &cause))?;
        found
    } else {
        search(command, path)?
    };
    check_needs(command, &found)?;
    CString::new(found.into_os_string().into_vec())
        .map_err(|cause| Missing::new(command, Path::new(command), &io::Error::other(cause)))
}

/// A file, known by its number while somebody holds it open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pinned {
    device: u64,
    inode: u64,
}

impl Pinned {
    /// The one behind `file`.
    pub(crate) fn of(file: &OwnedFd) -> io::Result<Self> {
        let found = rustix::fs::fstat(file)?;
        Ok(Self {
            device: found.st_dev,
            inode: found.st_ino,
        })
    }

    /// What is told when it is not this one.
    pub(crate) fn another(program: &str) -> Refusal {
        Refusal::new(
            format!(
                "{program} is another file in the compartment than on the host, where the node looked at it"
            ),
            "start the workload with a path that is the same inside and on the host",
        )
    }

    /// The path that `program` leads to, links followed, if this file lies there. That path is what must be executed:
    /// the node made sure that nobody can put another file at it, which says nothing about the links.
    pub(crate) fn insist(self, program: &CStr) -> Result<CString, Refusal> {
        const WHAT: &str = "the check of the program";
        const FIX: &str = "mount /proc on this host";
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let file = rustix::fs::open(program, flags, Mode::empty()).or_refuse(WHAT, FIX)?;
        if Self::of(&file).or_refuse(WHAT, FIX)? != self {
            return Err(Self::another(&program.to_string_lossy()));
        }
        let link = format!("/proc/self/fd/{}", file.as_raw_fd());
        let path = std::fs::read_link(link).or_refuse(WHAT, FIX)?;
        CString::new(path.into_os_string().into_vec()).or_refuse(WHAT, FIX)
    }
}

fn search(command: &OsStr, path: &OsStr) -> Result<PathBuf, Missing> {
    let mut refused = None;
    for directory in std::env::split_paths(path) {
        let candidate = directory.join(command);
        match executable(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
            Err(cause) => {
                refused.get_or_insert_with(|| Missing::new(command, &candidate, &cause));
            }
        }
    }
    Err(refused.unwrap_or_else(|| {
        Missing::new(command, Path::new(command), &io::ErrorKind::NotFound.into())
    }))
}

fn executable(path: &Path) -> io::Result<()> {
    let found = std::fs::metadata(path)?;
    if found.is_dir() {
        return Err(io::Error::other("it is a directory"));
    }
    if !found.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    Ok(rustix::fs::accessat(
        rustix::fs::CWD,
        path,
        rustix::fs::Access::EXEC_OK,
        rustix::fs::AtFlags::EACCESS,
    )?)
}

fn check_needs(command: &OsStr, program: &Path) -> Result<(), Missing> {
    let mut program = program.to_owned();
    for _ in 0..INTERPRETERS_MAX {
        let next = match interpreter(&program) {
            Ok(Some(next)) => next,
            // Not readable, or of a format we do not know: the kernel will tell.
            Ok(None) | Err(_) => return Ok(()),
        };
        executable(&next).map_err(|cause| Missing {
            needed_by: Some(program.clone()),
            ..Missing::new(command, &next, &cause)
        })?;
        program = next;
    }
    Ok(())
}

/// What the kernel starts in place of, or before, this program: the `#!` line's, or an ELF file's loader.
pub(crate) fn interpreter(program: &Path) -> io::Result<Option<PathBuf>> {
    let mut file = File::open(program)?;
    let mut head = vec![0; SCRIPT_LINE];
    let mut filled = 0;
    while filled < head.len() {
        match file.read(&mut head[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    head.truncate(filled);
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let name = line
            .split(|byte| matches!(byte, b' ' | b'\t' | b'\r' | 0))
            .find(|word| !word.is_empty());
        return Ok(name.map(|name| PathBuf::from(OsStr::from_bytes(name))));
    }
    elf_loader(&mut file, &head)
}

fn elf_loader(file: &mut File, head: &[u8]) -> io::Result<Option<PathBuf>> {
    // 64-bit, little-endian: the only programs the system call filter lets run.
    if head.len() < ELF_HEADER_BYTES || !head.starts_with(b"\x7fELF\x02\x01") {
        return Ok(None);
    }
    let half = |bytes: &[u8], at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let long = |bytes: &[u8], at: usize| {
        bytes
            .get(at..)
            .and_then(|rest| rest.first_chunk::<8>())
            .map_or(0, |eight| u64::from_le_bytes(*eight))
    };
    let (offset, size, count) = (
        long(head, 32),
        usize::from(half(head, 54)),
        usize::from(half(head, 56)),
    );
    if size != ELF_PROGRAM_HEADER_BYTES || count > ELF_HEADERS_MAX {
        return Ok(None);
    }
    let mut headers = vec![0; size * count];
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(&mut headers)?;
    for header in headers.chunks_exact(size) {
        if u32::from_le_bytes([header[0], header[1], header[2], header[3]]) != PT_INTERP {
            continue;
        }
        let (place, length) = (long(header, 8), long(header, 32) as usize);
        if length > ELF_LOADER_MAX {
            return Ok(None);
        }
        let mut name = vec![0; length];
        file.seek(SeekFrom::Start(place))?;
        file.read_exact(&mut name)?;
        while name.last() == Some(&0) {
            name.pop();
        }
        return Ok(Some(PathBuf::from(OsString::from_vec(name))));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn finds_programs_and_their_loaders() {
        let path = OsStr::new("/usr/bin:/bin");
        assert!(locate(OsStr::new("sh"), path).is_ok());
        assert!(locate(OsStr::new("/bin/sh"), path).is_ok());
        let loader = interpreter(Path::new("/bin/sh")).unwrap().unwrap();
        assert!(loader.to_string_lossy().contains("ld-"), "{loader:?}");
    }

    #[test]
    fn tells_missing_from_not_executable() {
        let missing = locate(OsStr::new("no-such-program"), OsStr::new("/usr/bin")).unwrap_err();
        assert_eq!(missing.refusal(|_| None).code, EXIT_NOT_FOUND);
        let refused = locate(OsStr::new("/etc/passwd"), OsStr::new("")).unwrap_err();
        // Root may execute nothing that no one may.
        assert_eq!(refused.refusal(|_| None).code, EXIT_NOT_EXECUTABLE);
        let directory = locate(OsStr::new("/usr"), OsStr::new("")).unwrap_err();
        assert_eq!(directory.refusal(|_| None).code, EXIT_NOT_EXECUTABLE);
    }

    #[test]
    fn insists_on_the_file_that_was_looked_at_and_on_its_own_path() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().canonicalize().unwrap();
        let (agent, link) = (place.join("agent"), place.join("link"));
        std::fs::write(&agent, "").unwrap();
        std::os::unix::fs::symlink(&agent, &link).unwrap();
        let c = |path: &Path| CString::new(path.as_os_str().as_bytes()).unwrap();
        let held = OwnedFd::from(File::open(&agent).unwrap());
        let pinned = Pinned::of(&held).unwrap();
        assert_eq!(pinned.insist(&c(&link)).unwrap(), c(&agent));
        // Another file at the same place, another place with the same text.
        std::fs::remove_file(&agent).unwrap();
        std::fs::write(&agent, "").unwrap();
        let refusal = pinned.insist(&c(&link)).unwrap_err();
        assert!(refusal.what.contains("another file"), "{}", refusal.what);
        pinned.insist(&c(&place.join("nothing"))).unwrap_err();
    }

    #[test]
    fn names_the_path_to_add() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("agent");
        std::fs::write(&script, "#! /nowhere/python3 -u\n").unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        let missing = locate(script.as_os_str(), OsStr::new("")).unwrap_err();
        assert_eq!(missing.path, Path::new("/nowhere/python3"));
        let refusal = missing.refusal(|path| Some(path.to_owned()));
        assert_eq!(refusal.code, EXIT_NOT_FOUND);
        assert!(
            refusal
                .fix
                .contains("filesystem: { read: [/nowhere/python3] }"),
            "{}",
            refusal.fix
        );
        assert!(
            refusal.what.contains(&*script.to_string_lossy()),
            "{}",
            refusal.what
        );
    }

    /// Scripts that are each other's interpreters: `count` of them, the last one's being `end`. The first is given.
    fn chain(directory: &Path, count: usize, end: &Path) -> PathBuf {
        let mut next = end.to_owned();
        for number in 0..count {
            let script = directory.join(format!("script-{count}-{number}"));
            let text = format!("#!{}\n", next.display());
            // By another process: a descriptor of ours, open for writing, could leak into another test's child.
            let made = std::process::Command::new("sh")
                .args(["-c", r#"printf '%s' "$0" >"$1" && chmod 755 "$1""#, &text])
                .arg(&script)
                .status();
            assert!(made.unwrap().success());
            next = script;
        }
        next
    }

    #[test]
    fn as_many_interpreters_are_followed_as_the_kernel_follows() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let program = OsStr::new("/bin/true");
        for (count, runs) in [(INTERPRETERS_MAX, true), (INTERPRETERS_MAX + 1, false)] {
            let first = chain(directory, count, Path::new(program));
            let ran = std::process::Command::new(&first).status();
            assert_eq!(ran.is_ok_and(|status| status.success()), runs, "{count}");
        }
        let nowhere = Path::new("/nowhere/at/all");
        let followed = chain(directory, INTERPRETERS_MAX, nowhere);
        let missing = locate(followed.as_os_str(), OsStr::new("")).unwrap_err();
        assert_eq!(missing.path, nowhere);
        let further = chain(directory, INTERPRETERS_MAX + 1, nowhere);
        // That it cannot start, the kernel says.
        assert!(locate(further.as_os_str(), OsStr::new("")).is_ok());
    }

    /// A program of `headers` program headers, the last of which names a loader of `name` bytes, its zero included.
    fn program(headers: usize, name: usize) -> tempfile::NamedTempFile {
        let mut bytes = vec![0; ELF_HEADER_BYTES];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[32..40].copy_from_slice(&(ELF_HEADER_BYTES as u64).to_le_bytes());
        bytes[54..56].copy_from_slice(&(ELF_PROGRAM_HEADER_BYTES as u16).to_le_bytes());
        bytes[56..58].copy_from_slice(&(headers as u16).to_le_bytes());
        let end = ELF_HEADER_BYTES + headers * ELF_PROGRAM_HEADER_BYTES;
        let last = end - ELF_PROGRAM_HEADER_BYTES;
        bytes.resize(end, 0);
        bytes[last..last + 4].copy_from_slice(&PT_INTERP.to_le_bytes());
        bytes[last + 8..last + 16].copy_from_slice(&(end as u64).to_le_bytes());
        bytes[last + 32..last + 40].copy_from_slice(&(name as u64).to_le_bytes());
        bytes.extend(vec![b'x'; name - 1]);
        bytes.push(0);
        let mut file = tempfile::NamedTempFile::new().unwrap();
        io::Write::write_all(&mut file, &bytes).unwrap();
        file
    }

    #[test]
    fn a_loader_is_named_up_to_so_many_headers_and_so_long_a_name() {
        let loader = |headers, name| interpreter(program(headers, name).path()).unwrap();
        let named = loader(ELF_HEADERS_MAX, 8);
        assert_eq!(named.as_deref(), Some(Path::new("xxxxxxx")));
        assert_eq!(loader(ELF_HEADERS_MAX + 1, 8), None);
        let named = loader(1, ELF_LOADER_MAX).unwrap();
        assert_eq!(named.as_os_str().len(), ELF_LOADER_MAX - 1);
        assert_eq!(loader(1, ELF_LOADER_MAX + 1), None);
    }
}
