//! Which trees a compartment shows. Decided by the launcher, before anything is mounted.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::mount::OpenTreeFlags;

use super::claim::{self, Claim};
use super::{idmap, place, scan, work};
use crate::error::{OrRefuse, Refusal};
use crate::link::Grant;
use crate::sys;

/// Where a workload works, and lives.
pub(crate) const WORK: &str = "/work";

/// Trees every workload sees, read-only, at the same place. A link of this name is shown as a link.
const BASE: &[&str] = &[
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt",
];

/// The part of `/usr` that no distribution owns.
const LOCAL: &str = "/usr/local";

/// Trees that are the compartment's own and cannot be replaced by the host's.
const OWN: &[&str] = &["/proc", "/sys", "/dev", "/tmp", "/run", "/work", "/etc"];

/// What the workload may do with a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Look and execute.
    Read,
    /// Everything but set-user-id and device nodes.
    Write,
}

/// One tree of the host, shown inside.
#[derive(Debug)]
pub(crate) struct Tree {
    /// Where on the host.
    pub(crate) source: PathBuf,
    /// Where inside.
    pub(crate) target: PathBuf,
    /// How.
    pub(crate) access: Access,
    /// What was examined. Whoever may write above `source` may put something else in its place meanwhile.
    pub(crate) examined: Examined,
    /// Cloned already, outside, with ids mapped: the child may not do that itself.
    pub(crate) prepared: Option<OwnedFd>,
}

/// A file or directory as it was when it was examined, held so that its number is given to no other.
#[derive(Debug)]
pub(crate) struct Examined {
    handle: OwnedFd,
    device: u64,
    inode: u64,
}

impl Examined {
    /// What lies at `path` (canonical) now. A link on the way, put there since, is not followed.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        let handle = rustix::fs::openat2(
            rustix::fs::CWD,
            path,
            OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::NO_SYMLINKS,
        )?;
        let found = rustix::fs::fstat(&handle)?;
        Ok(Self {
            handle,
            device: found.st_dev,
            inode: found.st_ino,
        })
    }

    /// Its owner and everything else the kernel says about it.
    pub(super) fn stat(&self) -> io::Result<rustix::fs::Stat> {
        Ok(rustix::fs::fstat(&self.handle)?)
    }

    /// Where it is reached whatever has become of its name.
    pub(super) fn handle(&self) -> &OwnedFd {
        &self.handle
    }

    /// Whether it is the file of these numbers.
    pub(super) fn is(&self, device: u64, inode: u64) -> bool {
        (self.device, self.inode) == (device, inode)
    }

    /// `DEVICE:INODE`.
    pub(super) fn identity(&self) -> String {
        format!("{}:{}", self.device, self.inode)
    }
}

/// Everything `build` needs to know.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Parents before what lies beneath them.
    pub(crate) trees: Vec<Tree>,
    /// Links of the host to repeat: name and target.
    pub(crate) links: Vec<(PathBuf, PathBuf)>,
    /// Keeps the work directory to this compartment for as long as it lives.
    pub(crate) claim: Option<Claim>,
}

impl Plan {
    /// Checks everything that was asked for. `outer` is the dynamic user of the workload, when the launcher is root.
    pub(crate) fn make(
        grant: &Grant,
        workdir: Option<&Path>,
        outer: Option<u32>,
    ) -> Result<Self, Refusal> {
        let claim = |source: &Path, examined: &Examined| Claim::take(source, examined).map(Some);
        let mut plan = Self::laid_out(grant, workdir, claim)?;
        if let Some(outer) = outer {
            let writable = plan.trees.iter_mut();
            for tree in writable.filter(|tree| tree.access == Access::Write) {
                tree.prepared = Some(idmap::mapped(&tree.source, &tree.examined, outer)?);
            }
        }
        Ok(plan)
    }

    /// The same, with nothing taken and nothing prepared: to be looked at, not to be built.
    pub(crate) fn rehearse(grant: &Grant, workdir: Option<&Path>) -> Result<Self, Refusal> {
        Self::laid_out(grant, workdir, |source, examined| {
            claim::look(source, examined).map(|()| None)
        })
    }

    fn laid_out(
        grant: &Grant,
        workdir: Option<&Path>,
        claim: impl FnOnce(&Path, &Examined) -> Result<Option<Claim>, Refusal>,
    ) -> Result<Self, Refusal> {
        let mut plan = Self {
            trees: Vec::new(),
            links: Vec::new(),
            claim: None,
        };
        plan.add_base(grant.filesystem.sockets)?;
        let named = |paths: &[PathBuf], access| {
            paths
                .iter()
                .map(|path| named_tree(path, access, grant))
                .collect::<Result<Vec<_>, _>>()
        };
        plan.trees
            .extend(named(&grant.filesystem.read, Access::Read)?);
        let mut writable = named(&grant.filesystem.write, Access::Write)?;
        if let Some(directory) = workdir {
            let source = work::check(directory, &grant.forbidden)?;
            let examined = examine(&source)?;
            if let Some(forbidden) = shows(&source, &examined, &grant.forbidden)? {
                return Err(Refusal::new(
                    format!(
                        "the work directory {} shows {} of the node, by a mount",
                        source.display(),
                        forbidden.display()
                    ),
                    "give a directory of its own, such as one made by `mkdir`",
                ));
            }
            plan.claim = claim(&source, &examined)?;
            if !grant.filesystem.sockets {
                scan::refuse_sockets(&source, &examined)?;
            }
            writable.push(Tree {
                source,
                target: WORK.into(),
                access: Access::Write,
                examined,
                prepared: None,
            });
        }
        plan.trees.extend(writable);
        // Stable: of two for one place the later stays on top, and writable trees come later.
        plan.trees
            .sort_by_key(|tree| tree.target.components().count());
        Ok(plan)
    }

    fn add_base(&mut self, sockets: bool) -> Result<(), Refusal> {
        for name in BASE {
            let path = Path::new(name);
            let Ok(found) = std::fs::symlink_metadata(path) else {
                continue;
            };
            if found.is_symlink() {
                let target = std::fs::read_link(path).or_refuse(
                    "the built root",
                    "make the top-level links of this host readable",
                )?;
                self.links.push((path.to_owned(), target));
            } else if found.is_dir() {
                let examined = examine(path)?;
                // Packages put programs here, and sometimes the sockets of their daemons.
                if *name == "/opt" && !sockets {
                    scan::refuse_sockets(path, &examined)?;
                }
                // So do programs that were built on the host.
                let local = Path::new(LOCAL);
                if *name == "/usr" && !sockets && local.is_dir() && !local.is_symlink() {
                    scan::refuse_sockets(local, &examine(local)?)?;
                }
                self.trees.push(Tree {
                    source: path.to_owned(),
                    target: path.to_owned(),
                    access: Access::Read,
                    examined,
                    prepared: None,
                });
            }
        }
        Ok(())
    }
}

/// A path that policy adds.
fn named_tree(path: &Path, access: Access, grant: &Grant) -> Result<Tree, Refusal> {
    let word = match access {
        Access::Read => "read",
        Access::Write => "write",
    };
    let field = format!("filesystem.{word}");
    if !path.is_absolute()
        || path
            .components()
            .any(|part| part == std::path::Component::ParentDir)
    {
        return Err(Refusal::new(
            format!(
                "{field} names {}, which is not a plain absolute path",
                path.display()
            ),
            "give the path from / on, without ..",
        ));
    }
    let own = |path: &Path| {
        path == Path::new("/")
            || OWN.iter().any(|own| {
                // Single files and directories within /etc and /run may be added; what replaces them whole may not.
                if matches!(*own, "/etc" | "/run" | "/tmp") {
                    path == Path::new(own)
                } else {
                    path.starts_with(own)
                }
            })
    };
    let source = std::fs::canonicalize(path).map_err(|cause| {
        Refusal::new(
            format!(
                "{field} names {}, which cannot be shown: {cause}",
                path.display()
            ),
            format!(
                "create it, or take it out of {field} in the policy of {}",
                grant.workload.name
            ),
        )
    })?;
    if own(path) || own(&source) {
        return Err(Refusal::new(
            format!(
                "{field} names {}, which every compartment has of its own",
                path.display()
            ),
            "name what is needed beneath it, or copy it to the work directory",
        ));
    }
    for forbidden in &grant.forbidden {
        let forbidden = std::fs::canonicalize(forbidden).unwrap_or_else(|_| forbidden.clone());
        if source.starts_with(&forbidden) || forbidden.starts_with(&source) {
            return Err(Refusal::new(
                format!(
                    "{field} names {}, which overlaps {} of the node",
                    path.display(),
                    forbidden.display()
                ),
                "no workload may see the node's state or configuration; name something else",
            ));
        }
    }
    let examined = examine(&source)?;
    if let Some(forbidden) = shows(&source, &examined, &grant.forbidden)? {
        return Err(Refusal::new(
            format!(
                "{field} names {}, which shows {} of the node, by a mount",
                path.display(),
                forbidden.display()
            ),
            "no workload may see the node's state or configuration; name something else",
        ));
    }
    if !grant.filesystem.sockets {
        scan::refuse_sockets(&source, &examined)?;
    }
    Ok(Tree {
        source,
        target: path.to_owned(),
        access,
        examined,
        prepared: None,
    })
}

/// The first of `forbidden` that overlaps with what `tree` shows, whatever either is mounted as.
fn shows<'p>(
    tree: &Path,
    examined: &Examined,
    forbidden: &'p [PathBuf],
) -> Result<Option<&'p Path>, Refusal> {
    let unseen = |cause: io::Error| {
        Refusal::new(
            format!("where {} lies cannot be found out: {cause}", tree.display()),
            "mount /proc on this host",
        )
    };
    let shown = place::shown(tree, examined).map_err(unseen)?;
    for path in forbidden {
        // One that is not there, or not for this user's eyes, was compared by its path.
        let Ok(canonical) = std::fs::canonicalize(path) else {
            continue;
        };
        let Ok(examined) = Examined::at(&canonical) else {
            continue;
        };
        let places = place::shown(&canonical, &examined).map_err(unseen)?;
        if places
            .iter()
            .any(|place| shown.iter().any(|other| place.overlaps(other)))
        {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

fn examine(source: &Path) -> Result<Examined, Refusal> {
    Examined::at(source).map_err(|cause| {
        Refusal::new(
            format!("{} cannot be examined: {cause}", source.display()),
            "name a path that exists and that nobody changes while the workload starts",
        )
    })
}

/// A detached copy of a tree of the host and everything mounted in it, restricted before it is visible anywhere.
pub(super) fn detach(source: &Path, access: Access) -> io::Result<OwnedFd> {
    detach_handle(&Examined::at(source)?.handle, access)
}

/// The same, and an error when something else lies at `source` than what was examined. (A handle of another mount
/// namespace cannot be copied: the child has to go by the name once more.)
pub(super) fn detach_examined(
    source: &Path,
    examined: &Examined,
    access: Access,
) -> io::Result<OwnedFd> {
    let now = Examined::at(source)?;
    if (now.device, now.inode) != (examined.device, examined.inode) {
        return Err(io::Error::other(
            "something else was put in its place during the start",
        ));
    }
    detach_handle(&now.handle, access)
}

fn detach_handle(handle: &OwnedFd, access: Access) -> io::Result<OwnedFd> {
    let tree = rustix::mount::open_tree(
        handle,
        "",
        OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_RECURSIVE
            | OpenTreeFlags::AT_EMPTY_PATH,
    )?;
    restrict(&tree, access)?;
    Ok(tree)
}

/// Puts the attributes of `access` on a detached tree.
pub(super) fn restrict(tree: &OwnedFd, access: Access) -> io::Result<()> {
    use std::os::fd::AsFd;
    let attributes = sys::NO_SUID | sys::NO_DEV;
    sys::restrict_tree(
        tree.as_fd(),
        match access {
            Access::Read => attributes | sys::READ_ONLY,
            Access::Write => attributes,
        },
    )
}
