//! Every bound of the supervisor, with its unit and what happens at the edge.

use std::time::Duration;

/// Quiet time after a change in the configuration directory before it is read.
pub const SETTLE: Duration = Duration::from_millis(150);
/// Longest wait for quiet: a directory that never rests is tried after this, and taken only if it held still meanwhile.
pub const SETTLE_MAX: Duration = Duration::from_secs(1);
/// Looks at a configuration that is not whole, one every [`SETTLE`], after which a start goes on with what an earlier
/// run left; further looks come every [`UNSETTLED_PAUSE`].
pub const UNSETTLED_STARTS: u32 = 20;
/// See [`UNSETTLED_STARTS`]. A file that is closed is noticed at once, where inotify works.
pub const UNSETTLED_PAUSE: Duration = Duration::from_secs(1);
/// A configuration that is not whole for this long: that is said, and the node is degraded until it is.
pub const UNSETTLED_SAID: Duration = Duration::from_secs(3);
/// How long a file that was seen being written counts as open, where the kernel does not tell.
pub const SPOTTED_FOR: Duration = Duration::from_secs(30);
/// Files noted as seen being written. Beyond it, further ones are not.
pub const SPOTTED_MAX: usize = 1024;
/// How often the configuration is looked at without having been told of a change: network file systems and
/// replaced directories send no word.
pub const RESCAN: Duration = Duration::from_secs(2);
/// Directory entries looked at per scan. Beyond it the rest is not watched; the loader's own bound rejects such a
/// directory.
pub const SCAN_ENTRIES_MAX: usize = 20_000;
/// Depth of directories looked at per scan.
pub const SCAN_DEPTH_MAX: usize = 32;

/// Bytes of one PEM file that an endpoint names. A larger one rejects the generation.
pub const PEM_MAX: u64 = 1024 * 1024;
/// Bytes of all PEM files of a generation together. Beyond it the generation is rejected.
pub const PEM_TOTAL_MAX: u64 = 16 * 1024 * 1024;

/// Bytes of one of our own state files. A larger one is taken as damaged.
pub const STATE_FILE_MAX: u64 = 256 * 1024 * 1024;

/// Waits between restarts of an enforcer that keeps dying; the last repeats.
pub const BACK_OFF: [Duration; 7] = [
    Duration::ZERO,
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_millis(800),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(5),
];
/// An enforcer that served this long starts the back-off anew.
pub const HEALTHY_AFTER: Duration = Duration::from_secs(10);
/// Ends of enforcers in a row, none of which served for [`HEALTHY_AFTER`], after which that is said once instead of each
/// time, and the node is degraded until one stays up.
pub const LOOP_SAID: usize = 5;
/// From start to `Ready`. An enforcer that takes longer is killed and started again.
pub const READY_WITHIN: Duration = Duration::from_secs(20);
/// From an assignment to its `Loaded`. Later than this is said, and the node is degraded until it comes.
pub const LOADED_WITHIN: Duration = Duration::from_secs(30);
/// Deaths of an enforcer while it takes one and the same generation, after which that generation is dropped.
pub const POISON_DEATHS: u32 = 2;
/// From `Stop` to the end of the enforcer. Then it is killed.
pub const STOP_WITHIN: Duration = Duration::from_secs(5);
/// From a running node's yes to its end, when another one takes over. It has [`STOP_WITHIN`] for its enforcer, twice. Then
/// the one that waits gives up, and says how to end the other.
pub const HAND_OVER_WITHIN: Duration = Duration::from_secs(20);
/// From the end of a process's channel to its own. A killed one closes its channel a moment before it has ended; an
/// enforcer that lives on is killed after this, a launcher may come back.
pub const LAST_BREATH: Duration = Duration::from_millis(300);
/// Questions in a row that the enforcer leaves without an answer, one every [`ASK_EVERY`], after which it is taken as
/// hung: that is said, the node is degraded, and new claims wait.
pub const HUNG_AFTER: u32 = 5;
/// As many as this, and it is killed and started again: a hung enforcer obeys no new policy.
pub const KILLED_AFTER: u32 = 15;
/// Messages waiting for the enforcer to read them. One that lets more pile up is taken as hung and killed. A fresh one is
/// told of [`EVENTS_KEPT`] events and [`INSTANCES_MAX`] launchers at once.
pub const ENFORCER_BACKLOG: usize = 4096;
/// Events kept while no enforcer can record them. Beyond it the oldest go, and their number is said in a record.
pub const EVENTS_KEPT: usize = 1024;

/// From a launcher's connect to its claim. A connection that says nothing is closed.
pub const CLAIM_WITHIN: Duration = Duration::from_secs(10);
/// Bytes of a program whose digest `attest.sha256` asks for. A larger one cannot be claimed with.
pub const PROGRAM_MAX: u64 = 1024 * 1024 * 1024;
/// Time the node takes to look at a program. Later than this, the claim is refused.
pub const PROGRAM_WITHIN: Duration = Duration::from_secs(20);
/// Programs looked at at a time. Others wait, within their own [`PROGRAM_WITHIN`].
pub const PROGRAMS_AT_A_TIME: usize = 4;
/// How long a claim waits for the enforcer before it is refused.
pub const ENFORCER_WAIT: Duration = Duration::from_secs(10);
/// Connections to `run.sock` that have claimed nothing yet, per user. The next one is closed at once.
pub const UNCLAIMED_PER_USER: usize = 64;
/// How long a running instance may be without doors that the enforcer watches before the node is degraded by it.
pub const UNARMED_SAID: Duration = Duration::from_secs(12);
/// Processes whose claims could not be read or were of another version, remembered so that each is told of once.
/// Beyond it they are forgotten, and told of again.
pub const STRANGERS_MAX: usize = 256;
/// Refused claims of one user that are recorded one by one in a window. Further ones are counted, and their number is
/// recorded at its end.
pub const REFUSALS_PER_USER: usize = 100;
/// Such a window.
pub const REFUSALS_WINDOW: Duration = Duration::from_secs(10);
/// Users told apart in it. Refused claims of others count together.
pub const REFUSALS_USERS: usize = 256;
/// Connections to `run.sock` in all. The next one is closed at once.
pub const CONNECTIONS_MAX: usize = 4096;
/// Those of them that only root and the owner of the node get: as many as they can have. Nobody else can keep a launcher
/// of theirs out, with however many users.
pub const CONNECTIONS_KEPT: usize = 1152;
/// Messages waiting for one launcher to read them. One that lets more pile up is cut off.
pub const LAUNCHER_BACKLOG: usize = 64;
/// Running instances of one workload. The next claim is refused.
pub const INSTANCES_PER_WORKLOAD: usize = 256;
/// Running instances on the node. The next claim is refused.
pub const INSTANCES_MAX: usize = 1024;
/// Those of them that only launchers of root and the owner get.
pub const INSTANCES_KEPT: usize = 256;
/// Porters of one user's launchers that were told to end and have not: a descriptor that they were sent cannot be closed.
/// No further launcher of that user gets to the enforcer.
pub const STUCK_PORTERS_PER_USER: usize = 8;
/// Bytes of one text of an event; the rest is cut, and ends in `…`.
pub const EVENT_TEXT: usize = 4096;
/// Bytes of the name, and of the instance, that a launcher claims. What is longer is no workload's, and is cut.
pub const CLAIMED_MAX: usize = 256;
/// Characters of a launcher's command kept for status and records; the rest is cut.
pub const COMMAND_MAX: usize = 200;

/// First uid and gid given to compartments of a root node, outside.
pub const OUTER_ID_FIRST: u32 = 2_000_000_000;
/// Outer ids there are. They go round, skipping those in use.
pub const OUTER_IDS: u32 = 1_000_000;
/// Uid and gid of the enforcer of a root node.
pub const ENFORCER_ID: u32 = 1_999_999_999;

/// Workloads in quarantine at a time. One more is refused.
pub const QUARANTINES_MAX: usize = 1024;
/// Bytes of the reason for a quarantine or a release. A longer one is refused.
pub const QUARANTINE_REASON_MAX: usize = 512;
/// Seconds after which a quarantine may end by itself, at most. A longer time is refused.
pub const QUARANTINE_TTL_MAX: u64 = 366 * 86_400;
/// From a list of quarantines to the enforcer's word that it is in force and all is cut. One that does not say so is
/// killed: what it serves ends with it.
pub const QUARANTINE_WITHIN: Duration = Duration::from_secs(5);
/// From an operator's wish to prune to its answer: sealing is waited for, and every sealed file is looked at. Longer than two
/// [`QUARANTINE_WITHIN`].
pub const PRUNE_WITHIN: Duration = Duration::from_secs(60);

/// From the wish for a drill until its workloads are in force. Then it is refused.
pub const DRILL_BEGINS_WITHIN: Duration = Duration::from_secs(20);
/// Length of a drill. After it its workloads leave policy, whatever the operator does.
pub const DRILL_WITHIN: Duration = Duration::from_secs(300);

/// Time an operator's connection may take for its request, and the enforcer for its part of the answer.
pub const ADMIN_WITHIN: Duration = Duration::from_secs(2);
/// Operators' connections at a time. For the next one, the one that has been silent for longest is closed; where all have
/// asked and wait for their answers, the next one itself.
pub const ADMIN_CONNECTIONS: usize = 32;
/// Characters of the line that the service manager shows. The rest is cut.
pub const MANAGER_STATUS_MAX: usize = 500;
/// Bytes of the head of a request for metrics. A longer one gets 431.
pub const SCRAPE_HEAD_MAX: usize = 8 * 1024;
/// Time a monitor's connection may take in all. Then it is closed.
pub const SCRAPE_WITHIN: Duration = Duration::from_secs(5);
/// Monitors' connections at a time, at each listener. The next one is closed at once.
pub const SCRAPES: usize = 8;
/// Different texts of launchers about what is not bounded, shown as notes of the node. Further ones stand with their
/// instances only.
pub const NOTES_UNBOUNDED: usize = 16;
/// How often the enforcer is asked how it stands.
pub const ASK_EVERY: Duration = Duration::from_secs(1);
