//! Resource files as they were in a revision, read from the objects of git: no work tree is touched, no hook runs.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use ringfence_model::load::{self, FILE_MAX, FILES_MAX, TOTAL_MAX, is_resource};
use ringfence_model::{Diagnostics, Estate};

use crate::output::Failure;

/// The files below `path` in `revision`. Names are told from `path`, as for a directory.
pub(super) fn estate(revision: &str, path: &Path) -> Result<Result<Estate, Diagnostics>, Failure> {
    if revision.is_empty() || revision.starts_with('-') {
        return Err(Failure::Usage {
            what: format!("{revision:?} is no revision"),
            fix: "name a commit, a branch or a tag, such as HEAD or origin/main".to_owned(),
        });
    }
    let (directory, only) = match path.is_file() {
        true => (
            path.parent()
                .filter(|parent| !parent.as_os_str().is_empty())
                .map_or_else(|| PathBuf::from("."), Path::to_owned),
            path.file_name(),
        ),
        false => (path.to_owned(), None),
    };
    let mut list = git(&directory);
    list.args(["ls-tree", "-r", "-z", revision]);
    list.arg("--").args(only);
    let listed = output(list, revision)?;
    let mut wanted: Vec<(String, String)> = Vec::new();
    for entry in listed.split(|byte| *byte == 0).filter(|it| !it.is_empty()) {
        let entry = String::from_utf8_lossy(entry);
        let (about, name) = entry.split_once('\t').unwrap_or((&entry, ""));
        let hidden = name.split('/').any(|part| part.starts_with('.'));
        let last = name.rsplit('/').next().unwrap_or(name);
        if hidden || !is_resource(last) {
            continue;
        }
        let mut words = about.split(' ');
        let (mode, id) = (words.next().unwrap_or(""), words.nth(1).unwrap_or(""));
        if !mode.starts_with("100") {
            return Err(Failure::new(
                format!("{name} is no file in {revision}, but a link or a module of git"),
                "compare two directories: git worktree add ../old REV",
            ));
        }
        wanted.push((name.to_owned(), id.to_owned()));
    }
    if wanted.is_empty() {
        return Err(Failure::new(
            format!("{} has no resource files in {revision}", path.display()),
            "name a path that existed then",
        ));
    }
    if wanted.len() > FILES_MAX {
        return Err(Failure::plain(format!(
            "{revision} has more than {FILES_MAX} resource files there"
        )));
    }
    let ids: Vec<&str> = wanted.iter().map(|(_, id)| id.as_str()).collect();
    let contents = contents(&directory, &ids)?;
    let files: Vec<(&str, &[u8])> = wanted
        .iter()
        .zip(&contents)
        .map(|((name, _), bytes)| (name.as_str(), bytes.as_slice()))
        .collect();
    Ok(load::documents(&files))
}

fn git(directory: &Path) -> Command {
    let mut git = Command::new("git");
    git.arg("-C").arg(directory);
    // A repository may name a program to run for this.
    git.args(["-c", "core.fsmonitor=false"]);
    git.env("GIT_OPTIONAL_LOCKS", "0");
    git.stdin(Stdio::null());
    git
}

fn not_there(error: &std::io::Error) -> Failure {
    Failure::new(
        format!("git cannot be run: {error}"),
        "install git, or name two directories",
    )
}

fn output(mut git: Command, revision: &str) -> Result<Vec<u8>, Failure> {
    let output = git.output().map_err(|e| not_there(&e))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().next().unwrap_or("it says nothing").to_owned();
    Err(Failure::new(
        format!("git does not show {revision}: {said}"),
        "name a revision of the repository that NEW is in",
    ))
}

/// Of each object, in order.
fn contents(directory: &Path, ids: &[&str]) -> Result<Vec<Vec<u8>>, Failure> {
    let mut git = git(directory);
    git.args(["cat-file", "--batch"]);
    git.stdin(Stdio::piped()).stdout(Stdio::piped());
    git.stderr(Stdio::null());
    let mut child = git.spawn().map_err(|e| not_there(&e))?;
    let read = exchange(&mut child, ids);
    let _gone = child.kill();
    child.wait().map_err(|e| not_there(&e))?;
    read
}

fn exchange(child: &mut Child, ids: &[&str]) -> Result<Vec<Vec<u8>>, Failure> {
    let broken = || Failure::plain("git ended before it had shown every file");
    let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(broken());
    };
    let mut output = std::io::BufReader::new(output);
    let (mut all, mut total) = (Vec::with_capacity(ids.len()), 0);
    for id in ids {
        // One by one: neither side ever waits for the other with a full pipe.
        writeln!(input, "{id}").map_err(|_| broken())?;
        let mut head = Vec::new();
        loop {
            let mut byte = [0];
            output.read_exact(&mut byte).map_err(|_| broken())?;
            if byte[0] == b'\n' {
                break;
            }
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let size: u64 = head
            .rsplit(' ')
            .next()
            .and_then(|size| size.parse().ok())
            .ok_or_else(|| Failure::plain(format!("git does not have an object: {head}")))?;
        total += size;
        if size > FILE_MAX || total > TOTAL_MAX {
            return Err(Failure::plain(format!(
                "a file of that revision is larger than {FILE_MAX} bytes, or all are larger than {TOTAL_MAX}"
            )));
        }
        let mut bytes = vec![0; size as usize + 1];
        output.read_exact(&mut bytes).map_err(|_| broken())?;
        bytes.pop();
        all.push(bytes);
    }
    Ok(all)
}
