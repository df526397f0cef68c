//! The rule set of a compartment, loaded in one transaction.
//!
//! ```text
//! table inet ringfence {
//!   chain in  { type filter hook prerouting priority mangle; policy drop;
//!     meta mark OURS accept                     replies of the doors, connections we make into the compartment
//!     ip daddr 127.0.0.0/8 accept               the workload talking to itself
//!     ip6 daddr ::1 accept
//!     tcp and udp, v4 and v6: tproxy to the door, accept
//!     meta l4proto { tcp, udp } accept          replies to what is no door's: tproxy finds their socket and lets go
//!     log group 1                               the rest is dropped by the chain's policy
//!   }
//!   chain out { type filter hook output priority filter; policy drop;
//!     meta mark OURS accept
//!     ip daddr 127.0.0.0/8 accept
//!     ip6 daddr ::1 accept
//!     ip daddr 224.0.0.0/4, 255.255.255.255, ip6 daddr ff00::/8: log group 1, drop
//!     ip hdrlength != 5, exthdr rt exists, tcp option md5sig or ao exists: log group 1, drop
//!                                               steered to a door, the kernel would lose these without a word
//!     meta l4proto { tcp, udp } accept
//!     log group 1
//!   }
//! }
//! ```

use std::io;
use std::net::Ipv6Addr;

use rustix::net::netlink;

use super::{Message, open, transact};
use crate::address::{DOOR_PORT, DOOR_V4, DOOR_V6, LOG_GROUP, MARK};

const TABLE: &str = "ringfence";
const IN: &str = "in";
const OUT: &str = "out";

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const NEW_TABLE: u16 = SUBSYSTEM << 8;
const NEW_CHAIN: u16 = SUBSYSTEM << 8 | 3;
const NEW_RULE: u16 = SUBSYSTEM << 8 | 6;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;
const FAMILY_INET: u8 = 1;
const FAMILY_IPV4: u8 = 2;
const FAMILY_IPV6: u8 = 10;

const HOOK_PREROUTING: u32 = 0;
const HOOK_OUTPUT: u32 = 3;
const PRIORITY_MANGLE: i32 = -150;
const PRIORITY_FILTER: i32 = 0;
const DROP: u32 = 0;
const ACCEPT: u32 = 1;

/// First general register, 16 bytes wide.
const R1: u32 = 1;
/// Second general register.
const R2: u32 = 2;
const META_MARK: u32 = 3;
const META_NFPROTO: u32 = 15;
const META_L4PROTO: u32 = 16;
const NETWORK_HEADER: u32 = 1;
const DESTINATION_V4: (u32, u32) = (16, 4);
const DESTINATION_V6: (u32, u32) = (24, 16);

/// Length of an IPv4 header, in the low half of its first byte; five words is one without options.
const HEADER_LENGTH_V4: (u32, u32) = (0, 1);
const WORDS_V4: u8 = 5;
/// Kinds of header that `exthdr` looks for: extensions of IPv6, options of TCP.
const IN_IPV6: u32 = 0;
const IN_TCP: u32 = 1;
const ROUTING: u8 = 43;
/// RFC 2385, RFC 5925: signatures that a door has no key for.
const SIGNATURES: [u8; 2] = [19, 29];
/// `NFT_EXTHDR_F_PRESENT`: not what is in it, but whether it is there.
const PRESENT: u32 = 1;

const EQUAL: u32 = 0;
const DIFFERENT: u32 = 1;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Loads the rules into this network namespace. All of them stand, or none.
pub(crate) fn load() -> io::Result<()> {
    let socket = open(Some(netlink::NETFILTER))?;
    transact(socket, &batch())
}

fn batch() -> Vec<Message> {
    let mut messages = vec![
        Message::request(BATCH_BEGIN, 0, &header(0, SUBSYSTEM)),
        Message::acknowledged(NEW_TABLE, CREATE, &header(FAMILY_INET, 0)).put_text(1, TABLE),
        chain(IN, HOOK_PREROUTING, PRIORITY_MANGLE),
        chain(OUT, HOOK_OUTPUT, PRIORITY_FILTER),
    ];
    messages.extend(inwards().into_iter().map(|rule| rule.message(IN)));
    messages.extend(outwards().into_iter().map(|rule| rule.message(OUT)));
    messages.push(Message::request(BATCH_END, 0, &header(0, SUBSYSTEM)));
    messages
}

fn inwards() -> Vec<Rule> {
    let mut rules = own_traffic();
    for protocol in [TCP, UDP] {
        rules.push(
            Rule::default()
                .family(FAMILY_IPV4)
                .protocol(protocol)
                .door(FAMILY_IPV4, &DOOR_V4.octets())
                .verdict(ACCEPT),
        );
        rules.push(
            Rule::default()
                .family(FAMILY_IPV6)
                .protocol(protocol)
                .door(FAMILY_IPV6, &DOOR_V6.octets())
                .verdict(ACCEPT),
        );
    }
    rules.extend([TCP, UDP].map(|protocol| Rule::default().protocol(protocol).verdict(ACCEPT)));
    rules.push(Rule::default().log());
    rules
}

fn outwards() -> Vec<Rule> {
    let mut rules = own_traffic();
    rules.extend([
        Rule::default()
            .towards_v4([224, 0, 0, 0], [240, 0, 0, 0])
            .log()
            .verdict(DROP),
        Rule::default()
            .towards_v4([255; 4], [255; 4])
            .log()
            .verdict(DROP),
        Rule::default()
            .towards_v6(
                Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0),
                Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0),
            )
            .log()
            .verdict(DROP),
    ]);
    rules.extend(lost_at_a_door());
    rules.extend([TCP, UDP].map(|protocol| Rule::default().protocol(protocol).verdict(ACCEPT)));
    rules.push(Rule::default().log());
    rules
}

/// What would be steered to a door and dropped by the kernel between here and there, where nobody would be told: packets
/// that name their own route, and segments signed with a key that a door has not.
fn lost_at_a_door() -> Vec<Rule> {
    let mut rules = vec![
        Rule::default()
            .family(FAMILY_IPV4)
            .part(HEADER_LENGTH_V4, vec![0xf])
            .compares(DIFFERENT, vec![WORDS_V4]),
        Rule::default()
            .family(FAMILY_IPV6)
            .contains(IN_IPV6, ROUTING),
    ];
    rules.extend(SIGNATURES.map(|option| Rule::default().protocol(TCP).contains(IN_TCP, option)));
    rules
        .into_iter()
        .map(|rule| rule.log().verdict(DROP))
        .collect()
}

/// Ours by the mark; the workload's own by a loopback destination.
fn own_traffic() -> Vec<Rule> {
    vec![
        Rule::default().marked(MARK).verdict(ACCEPT),
        Rule::default()
            .towards_v4([127, 0, 0, 0], [255, 0, 0, 0])
            .verdict(ACCEPT),
        Rule::default()
            .towards_v6(Ipv6Addr::LOCALHOST, Ipv6Addr::from([255; 16]))
            .verdict(ACCEPT),
    ]
}

fn header(family: u8, resource: u16) -> Vec<u8> {
    let mut header = vec![family, 0];
    header.extend(resource.to_be_bytes());
    header
}

fn chain(name: &str, hook: u32, priority: i32) -> Message {
    Message::acknowledged(NEW_CHAIN, CREATE, &header(FAMILY_INET, 0))
        .put_text(1, TABLE)
        .put_text(3, name)
        .nest(4, |message| {
            message.put_be32(1, hook).put_be32(2, priority as u32)
        })
        .put_be32(5, DROP)
        .put_text(7, "filter")
}

/// Writes the attributes of one expression.
type Fill = Box<dyn FnOnce(Message) -> Message>;

/// Expressions in order; each may end the rule when it does not match.
#[derive(Default)]
struct Rule {
    expressions: Vec<(&'static str, Fill)>,
}

impl Rule {
    fn push(mut self, name: &'static str, fill: impl FnOnce(Message) -> Message + 'static) -> Self {
        self.expressions.push((name, Box::new(fill)));
        self
    }

    fn message(self, chain: &str) -> Message {
        Message::acknowledged(NEW_RULE, CREATE | APPEND, &header(FAMILY_INET, 0))
            .put_text(1, TABLE)
            .put_text(2, chain)
            .nest(4, |mut list| {
                for (name, fill) in self.expressions {
                    list = list.nest(1, |element| element.put_text(1, name).nest(2, fill));
                }
                list
            })
    }

    /// Compares a piece of metadata with a value in host order.
    fn meta(self, key: u32, value: Vec<u8>) -> Self {
        self.push("meta", move |data| data.put_be32(1, R1).put_be32(2, key))
            .equals(value)
    }

    fn equals(self, value: Vec<u8>) -> Self {
        self.compares(EQUAL, value)
    }

    fn compares(self, how: u32, value: Vec<u8>) -> Self {
        self.push("cmp", move |data| {
            data.put_be32(1, R1)
                .put_be32(2, how)
                .nest(3, |nested| nested.put(1, &value))
        })
    }

    fn marked(self, mark: u32) -> Self {
        self.meta(META_MARK, mark.to_ne_bytes().to_vec())
    }

    fn family(self, family: u8) -> Self {
        self.meta(META_NFPROTO, vec![family])
    }

    fn protocol(self, protocol: u8) -> Self {
        self.meta(META_L4PROTO, vec![protocol])
    }

    fn towards_v4(self, network: [u8; 4], mask: [u8; 4]) -> Self {
        self.family(FAMILY_IPV4)
            .destination(DESTINATION_V4, network.to_vec(), mask.to_vec())
    }

    fn towards_v6(self, network: Ipv6Addr, mask: Ipv6Addr) -> Self {
        self.family(FAMILY_IPV6).destination(
            DESTINATION_V6,
            network.octets().to_vec(),
            mask.octets().to_vec(),
        )
    }

    fn destination(self, place: (u32, u32), network: Vec<u8>, mask: Vec<u8>) -> Self {
        self.part(place, mask).equals(network)
    }

    /// Some bytes of the network header, of which the bits of `mask` count.
    fn part(self, (offset, length): (u32, u32), mask: Vec<u8>) -> Self {
        let nothing = vec![0; mask.len()];
        self.push("payload", move |data| {
            data.put_be32(1, R1)
                .put_be32(2, NETWORK_HEADER)
                .put_be32(3, offset)
                .put_be32(4, length)
        })
        .push("bitwise", move |data| {
            data.put_be32(1, R1)
                .put_be32(2, R1)
                .put_be32(3, length)
                .nest(4, |nested| nested.put(1, &mask))
                .nest(5, |nested| nested.put(1, &nothing))
        })
    }

    /// There is an extension header, or an option, of this kind.
    fn contains(self, place: u32, kind: u8) -> Self {
        self.push("exthdr", move |data| {
            data.put_be32(1, R1)
                .put(2, &[kind])
                .put_be32(3, 0)
                .put_be32(4, 1)
                .put_be32(5, PRESENT)
                .put_be32(6, place)
        })
        .equals(vec![1])
    }

    fn immediate(self, register: u32, value: Vec<u8>) -> Self {
        self.push("immediate", move |data| {
            data.put_be32(1, register)
                .nest(2, |nested| nested.put(1, &value))
        })
    }

    /// Steers to the door's socket; does not match where the packet belongs to a connection that is no door's.
    fn door(self, family: u8, address: &[u8]) -> Self {
        self.immediate(R1, address.to_vec())
            .immediate(R2, DOOR_PORT.to_be_bytes().to_vec())
            .push("tproxy", move |data| {
                data.put_be32(1, u32::from(family))
                    .put_be32(2, R1)
                    .put_be32(3, R2)
            })
    }

    fn log(self) -> Self {
        self.push("log", |data| data.put(1, &LOG_GROUP.to_be_bytes()))
    }

    fn verdict(self, verdict: u32) -> Self {
        self.push("immediate", move |data| {
            data.put_be32(1, 0)
                .nest(2, |nested| nested.nest(2, |code| code.put_be32(1, verdict)))
        })
    }
}
