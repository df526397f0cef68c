//! One group: made with its bounds, filled with one process, ended with all that are in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::child::Child;
use super::place::{Lacking, Place};
use ringfence_compartment::link::Bounds;

/// A group of this node's making. It stays until [`Group::end`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    path: PathBuf,
    /// What it was bounded by.
    pub(crate) bounds: Bounds,
    /// Whether it has a fair share of the processors.
    pub(crate) shares: bool,
}

/// Which bounds of a group were reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reached {
    /// It was killed for want of memory.
    pub(crate) memory: bool,
    /// How often a process was refused.
    pub(crate) processes: u64,
}

impl Group {
    /// Makes the group `name` with `bounds`, or less where a group that it would have been in has less.
    pub(crate) fn make(place: &Place, name: &str, bounds: Bounds) -> Result<Self, Lacking> {
        let path = place.directory.join(name);
        let lacking = |what: &str, cause: &io::Error| {
            Lacking::new(
                format!("{what} {}: {cause}", path.display()),
                "look at the kernel's bounds on control groups (cgroup.max.descendants), and at what else manages them",
            )
        };
        fs::create_dir(&path).map_err(|cause| lacking("the control group", &cause))?;
        let group = Self {
            bounds: place.least(bounds),
            shares: place.shares,
            path: path.clone(),
        };
        if let Err(cause) = group.bound() {
            let mut lacking = lacking("the bounds of the control group", &cause);
            if let Err(cause) = group.end() {
                lacking.why = format!("{}; it stays: {cause}", lacking.why);
            }
            return Err(lacking);
        }
        Ok(group)
    }

    /// The group at `path`, made earlier.
    pub(crate) fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            bounds: Bounds::default(),
            shares: false,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn bound(&self) -> io::Result<()> {
        self.write("memory.max", &self.bounds.memory.to_string())?;
        match self.write("memory.swap.max", "0") {
            // A kernel that does not count swap.
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
        // One that has lost a process to its bound is of no use, and would be killed one by one.
        self.write("memory.oom.group", "1")?;
        self.write("pids.max", &self.bounds.processes.to_string())
    }

    fn write(&self, file: &str, text: &str) -> io::Result<()> {
        // Not created where it is missing: no controller, no file.
        let mut file = fs::OpenOptions::new()
            .write(true)
            .open(self.path.join(file))?;
        io::Write::write_all(&mut file, text.as_bytes())
    }

    /// Puts a process into it.
    pub(super) fn take_in(&self, child: &Child) -> io::Result<()> {
        // Looked at before as well: what lies between is too short for its id to become another's.
        child.check_alive()?;
        self.write("cgroup.procs", &child.pid.to_string())?;
        // While it lives, its id is its own, and was when it was written.
        child.check_alive()
    }

    /// Which bounds were reached so far.
    pub(crate) fn reached(&self) -> Reached {
        let count = |file: &str, event: &str| {
            let text = fs::read_to_string(self.path.join(file)).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix(event))?;
            line.trim().parse::<u64>().ok()
        };
        Reached {
            memory: count("memory.events", "oom_kill ").is_some_and(|kills| kills > 0),
            processes: count("pids.events", "max ").unwrap_or(0),
        }
    }

    /// Kills what is in it and removes it. An error when something of it is still there: to be tried again.
    pub(crate) fn end(&self) -> io::Result<()> {
        match self.write("cgroup.kill", "1") {
            // Gone already; or before Linux 5.14, where the end of process 1 has to do.
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
        match fs::remove_dir(&self.path) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}
