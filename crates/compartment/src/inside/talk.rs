//! What launcher, init, workload-to-be and keeper say to each other, over channels made before the clone.

use serde::{Deserialize, Serialize};

use super::program::Missing;
use crate::error::Refusal;
use crate::link::Socket;

/// Launcher to init.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum ToInit {
    /// The id maps are written. Said to what stands in for init when a machine is probed.
    Mapped,
    /// The enforcer is armed: the workload may start.
    Start,
    /// Pass a signal on: to the workload's first process, or to its whole process group.
    Signal {
        /// Number of the signal.
        signal: i32,
        /// Whether the group gets it.
        group: bool,
    },
    /// Stop every process inside.
    Freeze,
    /// Let them go on.
    Thaw,
}

/// Init to launcher.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum FromInit {
    /// There. Descriptor beside, from init: its network namespace.
    Born,
    /// Descriptors beside: the sockets in this order, then the firewall's log.
    Doors(Vec<Socket>),
    /// The walls stand. Descriptor beside if a terminal was asked for: its master side.
    Built,
    /// A wall could not be built.
    Failed(Refusal),
    /// The workload's first process ended, as `waitpid` put it.
    Exited {
        /// Exit code, if it exited.
        code: Option<i32>,
        /// Signal, if one ended it.
        signal: Option<i32>,
    },
}

/// The workload's process, before it becomes the workload, to the launcher. The end of this channel without a
/// failure means that the program runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum FromWorkload {
    /// Descriptor beside: refused system calls are read from it.
    Listener,
    /// A wall could not be built.
    Failed(Refusal),
    /// The program cannot be found or run.
    Missing(Missing),
}

/// Launcher to keeper.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ToKeeper {
    /// How many of [`Socket::Inbound4`].
    pub(crate) inbound4: u32,
    /// How many of [`Socket::Inbound6`].
    pub(crate) inbound6: u32,
    /// How many of [`Socket::InboundUdp4`].
    pub(crate) udp4: u32,
    /// How many of [`Socket::InboundUdp6`].
    pub(crate) udp6: u32,
}

/// Keeper to launcher. The sockets are beside, in this order; fewer than asked for when the kernel gave no more.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct FromKeeper {
    /// What each descriptor is.
    pub(crate) sockets: Vec<Socket>,
}
