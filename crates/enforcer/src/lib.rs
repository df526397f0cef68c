//! The data plane. Contract skeleton; the author of this crate replaces it and splits it into files.
#![forbid(unsafe_code)]
#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use ringfence_model::{Estate, HostName, Name, VirtualAddr};
use serde::{Deserialize, Serialize};

/// What the node hands over with each generation, as JSON in a sealed memory file (`FromNode::Load`).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Assignment {
    pub node: String,
    pub zone: HostName,
    pub estate: Estate,
    pub addresses: BTreeMap<Name, VirtualAddr>,
    /// Contents of the PEM files that endpoints name, by path (the enforcer cannot open them). `system` anchors
    /// are under the path [`SYSTEM_ANCHORS`].
    pub files: BTreeMap<PathBuf, String>,
}

/// Key of the host's trust bundle in [`Assignment::files`].
pub const SYSTEM_ANCHORS: &str = "system";

/// Body of the hidden verb `ringfence enforcer`: opens the log in `log_dir`, confines itself (uid, capabilities,
/// Landlock, seccomp), speaks with the node on `control`, serves until told to stop or until the node is gone.
/// Returns the process's exit code.
pub fn serve(control: OwnedFd, log_dir: PathBuf, run_as: Option<u32>) -> u8 {
    let _ = (control, log_dir, run_as);
    1
}
