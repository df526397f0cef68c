//! The second wall around files: what the built root does not show, Landlock does not allow either.

use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
};

/// The rules are written for this version of Landlock (Linux 6.12); older kernels enforce what they know of it.
const WRITTEN_FOR: ABI = ABI::V6;

/// A path and what may be done beneath it.
pub(crate) struct Grant<'a> {
    pub(crate) path: &'a Path,
    /// `false`: read, list, execute. `true`: everything.
    pub(crate) writable: bool,
    /// A path that is not there is passed over.
    pub(crate) optional: bool,
}

/// Restricts this thread, and what it starts, to `grants`. `scoped` adds: no signals to, and no abstract Unix sockets
/// of, processes outside.
///
/// An error when the kernel has no Landlock at all: a wall that does not stand is not passed over.
pub(crate) fn restrict(grants: &[Grant<'_>], scoped: bool) -> Result<(), String> {
    let all = AccessFs::from_all(WRITTEN_FOR);
    let words = |cause: &dyn std::fmt::Display| cause.to_string();
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)
        .map_err(|cause| words(&cause))?;
    let ruleset = if scoped {
        ruleset
            .scope(Scope::from_all(WRITTEN_FOR))
            .map_err(|cause| words(&cause))?
    } else {
        ruleset
    };
    let mut created = ruleset.create().map_err(|cause| words(&cause))?;
    for grant in grants {
        let path = match PathFd::new(grant.path) {
            Ok(path) => path,
            Err(_) if grant.optional && !grant.path.exists() => continue,
            Err(cause) => return Err(words(&cause)),
        };
        created = created
            .add_rule(PathBeneath::new(path, rights(grant)))
            .map_err(|cause| words(&cause))?;
    }
    let status = created.restrict_self().map_err(|cause| words(&cause))?;
    match status.ruleset {
        RulesetStatus::NotEnforced => Err("this kernel does not enforce Landlock".to_owned()),
        // What an older kernel does not know of it is told by `scopes`.
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
    }
}

fn rights(grant: &Grant<'_>) -> BitFlags<AccessFs> {
    let all = AccessFs::from_all(WRITTEN_FOR);
    let rights = if grant.writable {
        all
    } else {
        AccessFs::from_read(WRITTEN_FOR)
    };
    if grant.path.is_dir() {
        rights
    } else {
        rights & AccessFs::from_file(WRITTEN_FOR)
    }
}

/// What to do where Landlock is missing.
pub(crate) const FIX: &str = "boot a kernel with CONFIG_SECURITY_LANDLOCK (Linux 5.13 or later) and `landlock` in its \
                              list of security modules (lsm= on the kernel's command line)";

/// First version that keeps signals and abstract Unix sockets inside.
const SCOPES_SINCE: i64 = 6;

/// Which version of Landlock this kernel enforces; `None` when it has none.
pub(crate) fn version() -> Option<i64> {
    crate::sys::landlock_version()
}

/// Whether signals and abstract Unix sockets are kept inside by Landlock too, on this kernel.
pub(crate) fn scopes() -> bool {
    version().is_some_and(|version| version >= SCOPES_SINCE)
}
