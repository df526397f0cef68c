//! What launcher, node and enforcer say to each other, and the descriptors that travel along.
//!
//! Every channel is a `SOCK_SEQPACKET` Unix socket: one message, one packet, JSON, at most [`MESSAGE_MAX`] bytes,
//! with at most [`DESCRIPTORS_MAX`] descriptors. Something larger travels as a sealed memory file. A packet that
//! is truncated, in bytes or in descriptors, closes what came along and fails.
//!
//! ```text
//!  launcher ──run.sock──▶ node          claim, grant, link (again after each restart of the enforcer); or a rehearsal
//!  node ────socketpair──▶ enforcer      load, quarantine, adopt, record, status, stop
//!  launcher ─socketpair─▶ enforcer      doors, sockets, walls   (made by the node, one end to each)
//! ```

use std::net::SocketAddr;
use std::path::PathBuf;

use ringfence_model::resource::Filesystem;
use ringfence_model::{Generation, InstanceId, Name, VirtualAddr, WorkloadId, limits};
use serde::{Deserialize, Serialize};

use crate::figures::{Facts, Figures};

/// Largest message, in bytes.
pub const MESSAGE_MAX: usize = 64 * 1024;
/// Most descriptors beside one message (the kernel's own bound is 253).
pub const DESCRIPTORS_MAX: usize = 64;
/// What this build speaks. A launcher says its version in its first message, and everything that it and node or
/// enforcer say to each other is of that version.
///
/// A field that the other side may pass over, and that has a default where it is missing, makes no new version. A
/// message, a kind of socket, or anything in a grant that a launcher must not pass over does. But for
/// [`FromLauncher::Rehearse`]: whoever sends it learns from the kind of answer whether it was understood.
pub const LINK_VERSION: u32 = 2;
/// The oldest version that a node of this build speaks: launchers outlive an upgrade with what they were started with.
pub const LINK_OLDEST: u32 = 2;

/// Launcher to node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "say")]
pub enum FromLauncher {
    /// I want to run `name`. The first message on a connection. One descriptor beside, if it is known which file will
    /// be started: that file, opened with `O_PATH`.
    Claim {
        /// [`LINK_VERSION`].
        version: u32,
        /// Agent or service.
        name: String,
        /// The program and the number of its arguments, for status and records. Never the arguments: they hold
        /// secrets.
        command: String,
        /// The instance whose doors I already hold: the node has restarted.
        resume: Option<InstanceId>,
    },
    /// What would become of a claim of `name`? The only message on its connection, with the same descriptor beside.
    /// Nothing is granted by it.
    ///
    /// A message and no field of the claim: a node that does not know it grants nothing, but answers
    /// [`ToLauncher::Refused`], which is never the answer of one that does.
    Rehearse {
        /// [`LINK_VERSION`].
        version: u32,
        /// Agent or service.
        name: String,
    },
    /// A process, a child of mine, becomes the compartment. It waits until I am answered by [`ToLauncher::Enclosed`].
    /// Said once, and only when the grant asks for it.
    Enclose {
        /// Its id.
        process: u32,
    },
}

/// Node to launcher.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "say")]
pub enum ToLauncher {
    /// Not you, or not now.
    Refused {
        /// What is wrong.
        reason: String,
        /// What to do about it.
        hint: String,
    },
    /// You are `instance` of `workload`.
    Granted(Grant),
    /// A claim would be granted.
    WouldGrant(Rehearsal),
    /// A claim would be refused.
    WouldRefuse {
        /// What is wrong.
        reason: String,
        /// What to do about it.
        hint: String,
    },
    /// The process that you showed, and all that comes from it, is bounded so.
    Enclosed(Enclosure),
    /// One descriptor beside: your end of a fresh channel to the enforcer. Hand the doors over on it.
    Link,
}

/// What a launcher needs to build one compartment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grant {
    /// Fresh, unless resumed.
    pub instance: InstanceId,
    /// Whom the compartment holds.
    pub workload: WorkloadId,
    /// Its own addresses.
    pub address: VirtualAddr,
    /// `NAME.ZONE`.
    pub fqdn: String,
    /// Unprivileged uid and gid outside, when the launcher is root; otherwise its own is used.
    pub outer_id: Option<u32>,
    /// What the policy adds to the built root.
    pub filesystem: Filesystem,
    /// Directories no compartment may be given: state and configuration.
    pub forbidden: Vec<PathBuf>,
    /// Under which policy this was granted.
    pub generation: Generation,
    /// The node looked at the file that came with the claim: it is that one that is started, or nothing.
    #[serde(default)]
    pub pinned: bool,
    /// How much of the host it may take.
    #[serde(default)]
    pub bounds: Bounds,
    /// The workload is in quarantine: it runs, and reaches nothing. Why is for operators.
    #[serde(default)]
    pub quarantined: bool,
    /// The node wants to see the compartment's first process before there is anything in it: [`FromLauncher::Enclose`]
    /// comes next. Not of an instance that is resumed.
    #[serde(default)]
    pub encloses: bool,
}

/// How much of its host a compartment may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// Bytes of memory, all of it together.
    pub memory: u64,
    /// Processes and threads.
    pub processes: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            memory: limits::MEMORY,
            processes: limits::PROCESSES,
        }
    }
}

/// Whether a compartment is in a control group of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Enclosure {
    /// It is.
    Group {
        /// The group, or where it would be made.
        directory: PathBuf,
        /// What it is bounded by: what was granted, or less.
        bounds: Bounds,
        /// Whether it has a fair share of the processors.
        shares: bool,
    },
    /// There can be none.
    None {
        /// Why.
        why: String,
        /// What to do about it.
        fix: String,
    },
}

impl Default for Enclosure {
    fn default() -> Self {
        Self::None {
            why: "the node makes no control groups".to_owned(),
            fix: "use a node of this version".to_owned(),
        }
    }
}

/// What a claim would give: a [`Grant`] without anything that can be used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rehearsal {
    /// Whom the compartment would hold.
    pub workload: WorkloadId,
    /// The addresses it has already.
    pub address: VirtualAddr,
    /// `NAME.ZONE`.
    pub fqdn: String,
    /// Whether a launcher of root would get a user of its own for the workload.
    pub own_user: bool,
    /// What the policy adds to the built root.
    pub filesystem: Filesystem,
    /// Directories no compartment may be given.
    pub forbidden: Vec<PathBuf>,
    /// Under which policy.
    pub generation: Generation,
    /// What the claim was held to and met, in words.
    pub checked: String,
    /// The program is a part of that.
    pub pinned: bool,
    /// The workload is in quarantine.
    #[serde(default)]
    pub quarantined: bool,
    /// What would bound its memory.
    #[serde(default)]
    pub enclosure: Enclosure,
}

/// Launcher to enforcer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "say")]
pub enum ToEnforcer {
    /// Descriptors beside, in the order of `sockets`. May be sent several times before `Armed` is asked for.
    Sockets {
        /// What each descriptor is.
        sockets: Vec<Socket>,
    },
    /// All doors are with you: check them and answer [`FromEnforcer::Armed`] or [`FromEnforcer::Rejected`].
    Arm {
        /// The walls around the workload, in words, for status.
        #[serde(default)]
        walls: Vec<String>,
        /// What is not bounded or not recorded on this host, in words, for status.
        #[serde(default)]
        unbounded: Vec<String>,
        /// Version of the launcher's binary.
        #[serde(default)]
        version: String,
    },
    /// Attempts that never reached a door, or reached one while you were away.
    Attempts {
        /// In order.
        attempts: Vec<Attempt>,
    },
}

/// A socket born in a compartment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Socket {
    /// Listening TCP socket, transparent, marked, on the reserved IPv4 address.
    TcpDoor4,
    /// As above, IPv6.
    TcpDoor6,
    /// UDP socket, transparent, marked, `IP_RECVORIGDSTADDR`, on the reserved IPv4 address.
    UdpDoor4,
    /// As above, IPv6.
    UdpDoor6,
    /// Raw UDP socket, transparent, marked, bound to the reserved IPv4 address: sends datagrams to the workload from
    /// any address and port. Takes no port, so none is missing to the workload.
    Answer4,
    /// As above, IPv6.
    Answer6,
    /// TCP socket, marked, unconnected, free-bind: for one inbound connection.
    Inbound4,
    /// As above, IPv6.
    Inbound6,
    /// UDP socket, marked, unconnected, free-bind: for one flow of datagrams into the compartment.
    InboundUdp4,
    /// As above, IPv6.
    InboundUdp6,
}

impl Socket {
    /// Whether it is of the IPv6 family.
    pub(crate) fn is_v6(self) -> bool {
        match self {
            Self::TcpDoor4
            | Self::UdpDoor4
            | Self::Answer4
            | Self::Inbound4
            | Self::InboundUdp4 => false,
            Self::TcpDoor6
            | Self::UdpDoor6
            | Self::Answer6
            | Self::Inbound6
            | Self::InboundUdp6 => true,
        }
    }
}

/// Something a workload tried that no door saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Nanoseconds since the Unix epoch.
    pub time_ns: u64,
    /// `true`: refused by a wall (record kind `wall`). `false`: a connection reset while the enforcer was away
    /// (record kind `connection`, reason `enforcer away`).
    pub wall: bool,
    /// `system call`, `icmp`, `igmp`, `tcp`, …
    pub protocol: String,
    /// `socket AF_PACKET`, `icmp to 10.0.0.1`, …
    pub operation: String,
    /// Where to, if an address is known.
    pub destination: Option<SocketAddr>,
    /// Why it was refused, for an operator.
    pub reason: String,
    /// How many alike this stands for.
    pub count: u64,
    /// When the last of them happened; 0: at the same time.
    #[serde(default)]
    pub last_ns: u64,
}

impl Attempt {
    /// Takes on one that is alike and came later.
    pub fn join(&mut self, later: &Self) {
        self.count = self.count.saturating_add(later.count);
        self.last_ns = self.last_ns.max(later.last_ns).max(later.time_ns);
    }
}

/// Enforcer to launcher.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "say")]
pub enum FromEnforcer {
    /// The doors are watched. The workload may start.
    Armed,
    /// A descriptor is not what it should be.
    Rejected {
        /// Which, and why.
        reason: String,
    },
    /// Make more inbound sockets.
    Need {
        /// [`Socket::Inbound4`].
        inbound4: u32,
        /// [`Socket::Inbound6`].
        inbound6: u32,
        /// [`Socket::InboundUdp4`].
        #[serde(default)]
        udp4: u32,
        /// [`Socket::InboundUdp6`].
        #[serde(default)]
        udp6: u32,
    },
    /// The log has taken this many of the attempts you sent, counted in messages of [`ToEnforcer::Attempts`].
    Recorded {
        /// Messages since the link was made.
        messages: u64,
    },
}

/// Node to enforcer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "say")]
pub enum FromNode {
    /// One descriptor beside: a sealed memory file with an [`Assignment`](https://docs.rs/) as JSON, defined by
    /// the enforcer. Answered by [`ToNode::Loaded`] or [`ToNode::Rejected`].
    Load {
        /// Its generation.
        generation: Generation,
    },
    /// One descriptor beside: the enforcer's end of a channel to a launcher whose identity is established.
    Adopt {
        /// Which compartment.
        instance: InstanceId,
        /// Who is in it.
        workload: WorkloadId,
        /// User that launched it.
        uid: u32,
        /// The launcher's process id, for people.
        pid: u32,
    },
    /// Record an event of the node.
    Event(Event),
    /// One descriptor beside: a sealed memory file with all who are quarantined from now on, a list of [`Quarantine`] as
    /// JSON. Answered by [`ToNode::Quarantined`] once those who were not before are cut off.
    Quarantine {
        /// Given back in the answer.
        id: u64,
        /// To be recorded once they are denied.
        event: Option<Event>,
    },
    /// Answer with [`ToNode::WouldCut`].
    AskCut {
        /// Given back in the answer.
        id: u64,
        /// Whom it is about.
        name: Name,
    },
    /// Delete keys of values that stand in records as HMACs, and record that. Answered by [`ToNode::Redacted`].
    Redact {
        /// Given back in the answer.
        id: u64,
        /// Lowest number of a key.
        first: u64,
        /// Highest number of a key.
        last: u64,
        /// Only keys that were not used at this time (nanoseconds since 1970) or later.
        before_ns: Option<u64>,
        /// Nothing is to be done: only to be told what would be.
        dry_run: bool,
        /// Who wants it, and why, for the record.
        by: String,
    },
    /// Answer with [`ToNode::Compartments`], if there are any, and [`ToNode::Status`].
    AskStatus {
        /// Given back in the answer.
        id: u64,
    },
    /// Remove the segments of the log whose records all come before this one: they are sealed.
    Release {
        /// That record.
        before: u64,
    },
    /// Close everything, record the closes, exit 0.
    Stop,
}

/// Something the node did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// `reload rejected`, `quarantine`, …
    pub operation: String,
    /// In words.
    pub reason: String,
    /// The workload it is about, if any.
    pub subject: Option<String>,
    /// `false` records outcome `error`.
    pub ok: bool,
}

/// A workload that nothing may reach, and that may reach nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// Which.
    pub name: Name,
    /// For records: who said so, and why.
    pub why: String,
}

/// Live connections and flows of datagrams that have a certain workload at one end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Touched {
    /// Connections.
    pub connections: u64,
    /// Flows of datagrams.
    pub flows: u64,
    /// Between whom, the most first; not all of them where there are many.
    pub peers: Vec<Peer>,
}

/// How long it took until connections and flows were closed, in nanoseconds; all zero when there were none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spread {
    /// Half of them.
    pub p50_ns: u64,
    /// Nine of ten.
    pub p90_ns: u64,
    /// Ninety-nine of a hundred.
    pub p99_ns: u64,
    /// All of them.
    pub max_ns: u64,
}

impl Spread {
    /// Of so many durations.
    pub fn of(mut durations: Vec<u64>) -> Self {
        durations.sort_unstable();
        let part = |percent: usize| {
            let at = (durations.len() * percent).div_ceil(100).saturating_sub(1);
            durations.get(at).copied().unwrap_or_default()
        };
        Self {
            p50_ns: part(50),
            p90_ns: part(90),
            p99_ns: part(99),
            max_ns: part(100),
        }
    }
}

/// What lives between two workloads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    /// The caller.
    pub from: Name,
    /// The callee.
    pub to: Name,
    /// Connections.
    pub connections: u64,
    /// Flows of datagrams.
    pub flows: u64,
}

/// Enforcer to node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "say")]
pub enum ToNode {
    /// Confined, log open, waiting for [`FromNode::Load`].
    Ready,
    /// In force from now on.
    Loaded {
        /// As asked.
        generation: Generation,
    },
    /// Not taken; what was in force stays.
    Rejected {
        /// As asked.
        generation: Generation,
        /// Why.
        reason: String,
    },
    /// The list is in force.
    Quarantined {
        /// As asked.
        id: u64,
        /// What lived when it came into force, of those who were not quarantined before.
        touched: Touched,
        /// How many of these are not closed yet. They pass nothing.
        left: u64,
        /// From the message to the end of the last one, in nanoseconds.
        took_ns: u64,
        /// The same of those in between.
        spread: Spread,
        /// Whether the log took the event.
        recorded: bool,
    },
    /// What a quarantine of the workload would cut at this moment.
    WouldCut {
        /// As asked.
        id: u64,
        /// These.
        touched: Touched,
    },
    /// Keys are deleted, or would be.
    Redacted {
        /// As asked.
        id: u64,
        /// How many.
        keys: u64,
        /// The lowest and the highest of their numbers.
        numbers: Option<(u64, u64)>,
        /// Why not all that were meant, or none.
        trouble: Option<String>,
    },
    /// Armed compartments: comes in as many messages as it takes, right before the [`ToNode::Status`] they belong to.
    Compartments {
        /// Each once.
        compartments: Vec<Facts>,
    },
    /// How it stands.
    Status {
        /// As asked.
        id: u64,
        /// In force; `None` before the first.
        generation: Option<Generation>,
        /// Sequence number the next record will get.
        log_head: u64,
        /// Why the log takes nothing, if so. New attempts are denied meanwhile.
        log_trouble: Option<String>,
        /// The numbers of records that the disk did not keep and memory had no more, if there are any since it was started.
        #[serde(default)]
        log_lost: Option<String>,
        /// Bytes of the log.
        #[serde(default)]
        log_bytes: u64,
        /// Bytes allocated ahead for records to come; `None`: the file system cannot.
        #[serde(default)]
        log_room: Option<u64>,
        /// Live connections.
        connections: u64,
        /// What it has counted.
        #[serde(default)]
        figures: Box<Figures>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_of_all_of_them() {
        assert_eq!(Spread::of(Vec::new()), Spread::default());
        let spread = Spread::of((1..=200).rev().collect());
        assert_eq!((spread.p50_ns, spread.p90_ns), (100, 180));
        assert_eq!((spread.p99_ns, spread.max_ns), (198, 200));
        assert_eq!(Spread::of(vec![7]).p50_ns, 7);
    }

    /// What a launcher of version 2 may send. A kind more, or less, is another version: raise [`LINK_VERSION`], and
    /// [`LINK_OLDEST`] with it unless the enforcer still takes the earlier kinds.
    #[test]
    fn kinds_of_sockets_belong_to_their_version() {
        let name = |socket: Socket| match socket {
            Socket::TcpDoor4 => "tcp-door4",
            Socket::TcpDoor6 => "tcp-door6",
            Socket::UdpDoor4 => "udp-door4",
            Socket::UdpDoor6 => "udp-door6",
            Socket::Answer4 => "answer4",
            Socket::Answer6 => "answer6",
            Socket::Inbound4 => "inbound4",
            Socket::Inbound6 => "inbound6",
            Socket::InboundUdp4 => "inbound-udp4",
            Socket::InboundUdp6 => "inbound-udp6",
        };
        for socket in [Socket::TcpDoor4, Socket::Answer6, Socket::InboundUdp4] {
            let said = serde_json::to_string(&socket).unwrap();
            assert_eq!(said, format!("\"{}\"", name(socket)));
        }
        assert_eq!((LINK_OLDEST, LINK_VERSION), (2, 2));
        // What version 1 handed over is not taken for anything else.
        assert!(serde_json::from_str::<Socket>("\"dns-reply4\"").is_err());
    }
}
