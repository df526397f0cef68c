//! Every bound of the data plane, in one place. `docs/limits.md` repeats this file as a table for people.
//!
//! A bound that is reached costs the workload that reached it: its attempt is refused and recorded. None of them
//! opens anything.

use std::time::Duration;

/// Live connections of one compartment, those it opened and those into it together, at most. Over it: a new one
/// is reset and recorded. Lower where the process may open few descriptors: see [`SHARE_OF_ONE`].
pub(crate) const CONNECTIONS_PER_COMPARTMENT: usize = 4096;

/// Part of all connections the process can hold (as one over this) that a single compartment may take, so that
/// one cannot use up every descriptor of the node.
pub(crate) const SHARE_OF_ONE: usize = 4;

/// Descriptors kept for doors, pools, log and runtime; the rest is for connections.
pub(crate) const DESCRIPTORS_RESERVED: u64 = 512;

/// Descriptors one connection may need: its two ends, and a spare while it dials.
pub(crate) const DESCRIPTORS_PER_CONNECTION: u64 = 3;

/// Live flows of datagrams of one compartment, those it began and those into it together, at most. Over it: the datagram
/// that would begin one is refused and recorded. Lower where the process may open few descriptors, as for connections.
pub(crate) const FLOWS_PER_COMPARTMENT: usize = 4096;

/// Live flows of datagrams of the node, at most. Each is a connection among all others too, for its descriptor. Over it:
/// the datagram that would begin one is refused and recorded.
pub(crate) const FLOWS: usize = 16_384;

/// Wait after `accept` failed for want of descriptors or memory. Meanwhile connections queue in the kernel.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long a client of a `tls` service may take for its ClientHello; then it is reset.
pub(crate) const HELLO_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of a ClientHello that are read at once.
pub(crate) const HELLO_CHUNK: usize = 4 * 1024;

/// Bytes read at once from one side of a relayed connection.
pub(crate) const RELAY_CHUNK: usize = 64 * 1024;

/// Bytes that the kernel is asked to move at once from one side of a relayed connection to the other.
pub(crate) const RELAY_SHIFT: usize = 128 * 1024;

/// Time for one attempt to connect to one address of an endpoint, or to a port inside a compartment. Over it:
/// the next address is tried.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Time for the TLS handshake with an endpoint. Over it: the next address is tried.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Time to resolve an endpoint's host name. Over it: the next endpoint is tried.
pub(crate) const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Addresses of one endpoint's host name that are tried. Further ones are ignored.
pub(crate) const ADDRESSES_PER_ENDPOINT: usize = 4;

/// Host name look-ups under way at once in the process. Over it: they queue, within [`LOOKUP_TIMEOUT`].
pub(crate) const LOOKUP_THREADS: usize = 16;

/// Idle time after which the kernel probes a connection to an endpoint.
pub(crate) const ENDPOINT_KEEPALIVE: Duration = Duration::from_secs(60);

/// Inbound sockets of one family held ready for one compartment.
pub(crate) const INBOUND_POOL: usize = 32;

/// Inbound sockets of one family a launcher may have handed over unused. More are closed, and the link with them.
pub(crate) const INBOUND_POOL_MAX: usize = 256;

/// Time a connection waits for an inbound socket while the pool is empty. Over it: reset, outcome `error`.
pub(crate) const INBOUND_WAIT: Duration = Duration::from_secs(2);

/// Time from adoption until a launcher must have asked to be armed. Over it: its link is closed.
pub(crate) const ARM_TIMEOUT: Duration = Duration::from_secs(30);

/// Time for a message to a launcher to be taken. Over it: its link is closed.
pub(crate) const LINK_SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// Compartments adopted at once. Over it: the link is closed, recorded as an event.
pub(crate) const COMPARTMENTS: usize = 4096;

/// Datagrams taken from a door, or moved by a flow, before others get their turn.
pub(crate) const DATAGRAMS_PER_TURN: usize = 64;

/// Largest DNS query taken over UDP, in bytes. Longer ones are cut by the kernel and refused as malformed.
pub(crate) const DNS_DATAGRAM: usize = 4096;

/// DNS queries of one compartment answered within a second. Over it: silence, folded into one record.
pub(crate) const DNS_PER_SECOND: u32 = 1000;

/// Tasks of one compartment, each a connection or a flow of datagrams, that are in the runtime's queue or run at a time.
/// Further ones that are ready wait in a queue of the compartment's own, and keep nobody else waiting.
pub(crate) const TURNS_PER_COMPARTMENT: usize = 8;

/// Connections of one compartment that were accepted and not yet judged. Beyond it the kernel's queue fills.
pub(crate) const ARRIVING: usize = 16;

/// Turns that a worker thread gives before it looks again at which sockets have become ready.
pub(crate) const TURNS_PER_LOOK: u32 = 16;

/// Chunks that a direction of a relayed connection moves before others get their turn.
pub(crate) const RELAY_TURN: usize = 4;

/// Idle time after which a DNS connection over TCP is closed.
pub(crate) const DNS_TCP_IDLE: Duration = Duration::from_secs(10);

/// Bodies of one compartment that are held because a decision rests on them, each at most twice its bound. One more
/// request of that kind is refused.
pub(crate) const BODIES_PER_COMPARTMENT: usize = 128;

/// Bytes that requests of one compartment take beyond what each of its connections may hold by itself: what conditions may
/// ask about again, what waits for a service, windows of connections of HTTP/2 above 65,535 bytes.
pub(crate) const HELD_PER_COMPARTMENT: usize = 64 * 1024 * 1024;

/// DNS connections over TCP of one compartment at once. Over it: reset and recorded.
pub(crate) const DNS_TCP_CONNECTIONS: usize = 32;

/// Identical denials of one workload within [`FOLD_WINDOW`] that get a record each; the rest share one.
pub(crate) const FOLD_AFTER: u64 = 100;

/// Length of the window in which denials are told to be identical.
pub(crate) const FOLD_WINDOW: Duration = Duration::from_secs(1);

/// Records of different denials that a compartment may cause in a second, in the long run, and how many it may have saved
/// up. Over it: denials are counted by what they have in common, in one record for each sort of them and window.
pub(crate) const DENIALS_PER_SECOND: i64 = 200;
pub(crate) const DENIALS_AT_ONCE: i64 = 1000;

/// Bytes of a denial's record that count as one of [`DENIALS_PER_SECOND`]; a longer one counts as several.
pub(crate) const DENIAL_SIZE: usize = 1024;

/// Sorts of denials over [`DENIALS_PER_SECOND`] that are told apart by destination in a window too. Over it: by the rest
/// of what they have in common, of which there are few.
pub(crate) const SORTS_BY_DESTINATION: usize = 64;

/// Bytes of one text field of a record. Longer texts are cut at a character and end in `…`.
pub(crate) const RECORD_TEXT: usize = 4096;

/// Bytes of an operation in a record: method, path, and nothing else of a request.
pub(crate) const RECORD_OPERATION: usize = 12 * 1024;

/// Values of an operation that stand in its record. Further ones are counted.
pub(crate) const RECORD_FIELDS_MAX: usize = 32;

/// Bytes of the text that has them. What does not fit is counted.
pub(crate) const RECORD_FIELDS: usize = 8 * 1024;

/// Bytes of a value that stands in a record in clear. A longer one stands there as HMAC.
pub(crate) const FIELD_CLEAR: usize = 256;

/// By how much the wall clock and the time that has passed may differ between two looks, a second apart, before the
/// clock counts as set: then every live connection is checked again. Whatever ends by date is cut within a second of it.
pub(crate) const CLOCK_STEP: Duration = Duration::from_secs(1);

/// Time that connections and flows get to close once they are cut by a quarantine, before the operator is told that some
/// have not. They pass nothing meanwhile.
pub(crate) const CUT_WITHIN: Duration = Duration::from_secs(2);
/// Pairs of workloads named in the answer to a quarantine. Further ones are counted with the rest.
pub(crate) const PEERS_TOLD: usize = 32;

/// Time that closes get to be recorded when the node stops.
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Worker threads of the runtime, at most.
pub(crate) const WORKERS: usize = 4;

/// Texts in each list of what a launcher says of its compartment: walls, and what is not bounded. Further ones are
/// passed over.
pub(crate) const SAID_TEXTS: usize = 16;
/// Bytes of one such text. A longer one is cut.
pub(crate) const SAID_BYTES: usize = 200;

/// Connections that a door of another user's launcher has accepted and nobody has taken yet. Beyond it the kernel's queue
/// fills.
pub(crate) const APART_QUEUE: usize = 16;
/// Stack of the thread of such a door, and of one that closes a connection into such a compartment, in bytes.
pub(crate) const APART_STACK: usize = 128 * 1024;
/// Between two tries to get such a thread out of a call that waits, once its door is closed.
pub(crate) const INTERRUPT_EVERY: Duration = Duration::from_millis(20);
