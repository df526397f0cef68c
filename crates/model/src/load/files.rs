//! Reads the files of a directory: bounded, without ever blocking, and with nothing skipped in silence.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::report::{Report, Text, quote};
use super::{DIRECTORY_DEPTH_MAX, FILE_MAX, FILES_MAX, TOTAL_MAX, cross};
use crate::{Diagnostic, Diagnostics, Estate, Position};

/// SHA-256 over names and contents of all files, and over what could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The files of a configuration as they were at one moment, readable or not.
#[derive(Clone, Debug)]
pub struct Sources {
    files: Vec<(Arc<str>, Arc<str>)>,
    /// What could not be read.
    problems: Vec<Diagnostic>,
    digest: Digest,
    base: Option<PathBuf>,
}

/// Reads a directory. What could not be read is an error of [`Sources::load`].
pub fn read(directory: &Path) -> Sources {
    let mut walk = Walk::default();
    let base = match std::path::absolute(directory) {
        Ok(base) => base,
        Err(_) => directory.to_owned(),
    };
    walk.root(&base);
    Sources::new(walk.files, walk.problems, Some(base))
}

impl Sources {
    pub(super) fn from_memory(files: &[(&str, &[u8])]) -> Self {
        let mut texts = Vec::new();
        let mut problems = Vec::new();
        for (name, bytes) in files {
            match decode(name, bytes) {
                Ok(text) => texts.push(((*name).into(), text)),
                Err(problem) => problems.push(*problem),
            }
        }
        Self::new(texts, problems, None)
    }

    fn new(
        mut files: Vec<(Arc<str>, Arc<str>)>,
        problems: Vec<Diagnostic>,
        base: Option<PathBuf>,
    ) -> Self {
        files.sort();
        let mut hash = Sha256::new();
        let mut part = |text: &str| {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        };
        for (name, text) in &files {
            part(name);
            part(text);
        }
        for problem in &problems {
            part(&problem.to_string());
        }
        Self {
            files,
            problems,
            digest: Digest(hash.finalize().into()),
            base,
        }
    }

    /// Tells two states of a directory apart, also when neither loads.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Name, relative to the directory, and text of every file that could be read.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .map(|(name, text)| (name.as_ref(), text.as_ref()))
    }

    /// Checks everything: the whole estate, or all that is wrong.
    pub fn load(&self) -> Result<Estate, Diagnostics> {
        let report = Report::with(self.problems.clone());
        cross::load(&self.files, self.base.as_deref(), report)
    }

    /// Adds the line of text to errors that were found later, by who compiles the estate.
    pub fn quote(&self, mut diagnostics: Diagnostics) -> Diagnostics {
        let wanted = |name: &Arc<str>| {
            diagnostics
                .0
                .iter()
                .any(|d| d.at.as_ref().is_some_and(|at| at.file == *name))
        };
        let texts: HashMap<Arc<str>, Text> = self
            .files
            .iter()
            .filter(|(name, _)| wanted(name))
            .map(|(name, text)| (name.clone(), Text::new(name.clone(), text.clone())))
            .collect();
        diagnostics
            .0
            .iter_mut()
            .for_each(|diagnostic| quote(&texts, diagnostic));
        diagnostics
    }
}

/// Whether a name is that of a resource file. Hidden files are not, and with them the temporary ones of editors.
pub fn is_resource(name: &str) -> bool {
    let suffix = name
        .rsplit_once('.')
        .map(|(_, suffix)| suffix.to_ascii_lowercase());
    !name.starts_with('.') && matches!(suffix.as_deref(), Some("yaml" | "yml"))
}

#[derive(Default)]
struct Walk {
    files: Vec<(Arc<str>, Arc<str>)>,
    problems: Vec<Diagnostic>,
    /// Files and directories so far.
    seen: usize,
    bytes: u64,
    /// A bound was passed, and that was said.
    over: bool,
}

fn problem(name: &str, message: String, help: &str) -> Diagnostic {
    let at = (!name.is_empty()).then(|| Position {
        file: name.into(),
        line: 1,
        column: 1,
    });
    Diagnostic {
        at,
        message,
        text: None,
        help: Some(help.to_owned()),
        also: None,
    }
}

/// In words that fit a sentence, and with what to do.
fn io_words(error: &io::Error) -> (String, &'static str) {
    match error.kind() {
        io::ErrorKind::NotFound => ("does not exist".into(), "create it, or name another"),
        io::ErrorKind::PermissionDenied => (
            "may not be read by this user".into(),
            "give read permission, or run as its owner",
        ),
        io::ErrorKind::NotADirectory => (
            "is not a directory".into(),
            "name the directory that holds the resource files",
        ),
        _ if error.raw_os_error() == Some(libc::ELOOP) => {
            ("is a loop of symbolic links".into(), "remove the link")
        }
        _ => (
            format!("cannot be read: {error}"),
            "make it readable, or move it away",
        ),
    }
}

impl Walk {
    fn say(&mut self, name: &str, message: String, help: &str) {
        self.problems.push(problem(name, message, help));
    }

    fn root(&mut self, directory: &Path) {
        match fs::metadata(directory).and_then(|meta| Ok((meta, fs::read_dir(directory)?))) {
            Ok((meta, entries)) => self.entries(entries, "", &mut vec![(meta.dev(), meta.ino())]),
            Err(error) => {
                let (words, help) = io_words(&error);
                let shown = directory.display().to_string().escape_debug().to_string();
                self.say(
                    "",
                    format!("the configuration directory {shown} {words}"),
                    help,
                );
            }
        }
    }

    /// `above`: device and inode of each directory on the way here, this one included.
    fn entries(&mut self, entries: fs::ReadDir, prefix: &str, above: &mut Vec<(u64, u64)>) {
        let mut found = Vec::new();
        for entry in entries {
            match entry {
                Ok(entry) => found.push((entry.file_name(), entry.path())),
                Err(error) => {
                    let (words, help) = io_words(&error);
                    let place = if prefix.is_empty() {
                        "the configuration directory"
                    } else {
                        prefix
                    };
                    self.say("", format!("{place} {words}"), help);
                }
            }
        }
        found.sort();
        for (name, path) in found {
            if self.over {
                return;
            }
            let name = name.to_string_lossy();
            if name.starts_with('.') {
                continue;
            }
            let shown: String = name.chars().flat_map(|c| c.escape_debug()).collect();
            let shown = format!("{prefix}{shown}");
            let meta = match fs::metadata(&path) {
                Ok(meta) => meta,
                // Gone since it was listed, or a link to nowhere.
                Err(error) if is_resource(&name) || error.raw_os_error() == Some(libc::ELOOP) => {
                    let (words, help) = io_words(&error);
                    self.say(&shown, format!("the file {words}"), help);
                    continue;
                }
                Err(_) => continue,
            };
            if meta.is_dir() {
                self.directory(&path, &meta, &shown, above);
            } else if is_resource(&name) {
                self.count();
                self.file(&path, &meta, &shown);
            }
        }
    }

    fn count(&mut self) {
        self.seen += 1;
        if self.seen > FILES_MAX && !self.over {
            self.over = true;
            let message =
                format!("the configuration has more than {FILES_MAX} files and directories");
            self.say(
                "",
                message,
                "name a directory that holds resource files only",
            );
        }
    }

    fn directory(
        &mut self,
        path: &Path,
        meta: &fs::Metadata,
        shown: &str,
        above: &mut Vec<(u64, u64)>,
    ) {
        let own = (meta.dev(), meta.ino());
        self.count();
        if above.contains(&own) {
            self.say(
                shown,
                "the directory leads back to one that holds it".into(),
                "remove the symbolic link",
            );
        } else if above.len() > DIRECTORY_DEPTH_MAX {
            let message = format!("directories are nested more than {DIRECTORY_DEPTH_MAX} deep");
            self.say(shown, message, "move the files up");
        } else {
            match fs::read_dir(path) {
                Ok(entries) => {
                    above.push(own);
                    self.entries(entries, &format!("{shown}/"), above);
                    above.pop();
                }
                Err(error) => {
                    let (words, help) = io_words(&error);
                    self.say(shown, format!("the directory {words}"), help);
                }
            }
        }
    }

    fn file(&mut self, path: &Path, meta: &fs::Metadata, shown: &str) {
        if self.over {
            return;
        }
        if let Some(kind) = irregular(meta) {
            self.say(
                shown,
                format!("{kind} is not a resource file"),
                "move it out of the configuration",
            );
            return;
        }
        let bytes = match open(path).and_then(|file| contents(file, FILE_MAX)) {
            Ok(bytes) => bytes,
            Err(error) => {
                let (words, help) = io_words(&error);
                self.say(shown, format!("the file {words}"), help);
                return;
            }
        };
        let Some(bytes) = bytes else {
            let message = format!("the file is larger than {FILE_MAX} bytes");
            self.say(
                shown,
                message,
                "split it, or move it out of the configuration",
            );
            return;
        };
        self.bytes += bytes.len() as u64;
        if self.bytes > TOTAL_MAX {
            self.over = true;
            let message = format!("the configuration is larger than {TOTAL_MAX} bytes");
            self.say(
                shown,
                message,
                "name a directory that holds resource files only",
            );
            return;
        }
        match decode(shown, &bytes) {
            Ok(text) => self.files.push((shown.into(), text)),
            Err(problem) => self.problems.push(*problem),
        }
    }
}

fn irregular(meta: &fs::Metadata) -> Option<&'static str> {
    let kind = meta.file_type();
    match () {
        () if kind.is_file() => None,
        () if kind.is_fifo() => Some("a FIFO"),
        () if kind.is_socket() => Some("a socket"),
        () if kind.is_block_device() || kind.is_char_device() => Some("a device"),
        () => Some("this"),
    }
}

/// Does not wait for the other end of a FIFO that has taken the file's place since it was looked at.
fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    match irregular(&file.metadata()?) {
        None => Ok(file),
        Some(kind) => Err(io::Error::other(format!("{kind} took its place"))),
    }
}

/// `None`: more than `limit`. At most one byte more is read.
fn contents(file: File, limit: u64) -> io::Result<Option<Vec<u8>>> {
    if file.metadata()?.len() > limit {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

/// As text, without byte order mark.
fn decode(name: &str, bytes: &[u8]) -> Result<Arc<str>, Box<Diagnostic>> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{FEFF}').unwrap_or(text),
        Err(error) => {
            let before = &bytes[..error.valid_up_to()];
            let line = before.iter().filter(|&&byte| byte == b'\n').count() as u32 + 1;
            let start = before
                .iter()
                .rposition(|&byte| byte == b'\n')
                .map_or(0, |at| at + 1);
            let column = String::from_utf8_lossy(&before[start..]).chars().count() as u32 + 1;
            return Err(Box::new(Diagnostic {
                at: Some(Position {
                    file: name.into(),
                    line,
                    column,
                }),
                ..problem(name, "the file is not UTF-8".into(), "save it as UTF-8")
            }));
        }
    };
    // A file that is being written is empty for a moment; taking it for "no resources" would throw policies away.
    if text.trim().is_empty() {
        return Err(Box::new(problem(
            name,
            "the file is empty".into(),
            "write a resource into it, or remove it; a comment is enough",
        )));
    }
    Ok(text.into())
}
