//! What the node hands over with each generation.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ringfence_model::{Estate, HostName, Name, VirtualAddr};
use serde::{Deserialize, Serialize};

/// One generation, as JSON in a sealed memory file (`FromNode::Load`).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Assignment {
    /// Name of the node, for records.
    pub node: String,
    /// Zone whose names the door answers.
    pub zone: HostName,
    /// All resources of the generation.
    pub estate: Estate,
    /// Where each workload is found.
    pub addresses: BTreeMap<Name, VirtualAddr>,
    /// Contents of the PEM files that endpoints name, by path: the enforcer cannot open them. The host's bundle
    /// is under [`SYSTEM_ANCHORS`].
    pub files: BTreeMap<PathBuf, String>,
}

/// Key of the host's trust bundle in [`Assignment::files`].
pub const SYSTEM_ANCHORS: &str = "system";
