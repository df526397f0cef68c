//! Sockets as an attacker uses them: any family, any option, any address, and a short wait for an answer.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Ground, Verdict, sys};

/// How long an answer, or a connection, is waited for. What is denied over UDP is silence.
const PATIENCE_MS: i64 = 300;
/// What is sent when the words do not matter.
pub(super) const KNOCK: &[u8] = b"knock";
/// Index of the loopback device, in every network namespace.
pub(super) const LOOPBACK: u32 = 1;

/// A socket, by its number. Never closed: an attempt is short.
#[derive(Clone, Copy, Debug)]
pub(super) struct Socket(pub(super) usize);

/// Any socket. Neither sending nor receiving waits long.
pub(super) fn socket(family: i32, kind: i32, protocol: i32) -> io::Result<Socket> {
    let made = sys::call(
        libc::SYS_socket,
        &[family as usize, kind as usize, protocol as usize],
    )?;
    let socket = Socket(made as usize);
    let patience: Vec<u8> = [0, PATIENCE_MS * 1000]
        .iter()
        .flat_map(|part: &i64| part.to_ne_bytes())
        .collect();
    // Not every family has both; then its calls are not waited for.
    for option in [libc::SO_RCVTIMEO, libc::SO_SNDTIMEO] {
        let _ = socket.set(libc::SOL_SOCKET, option, &patience);
    }
    Ok(socket)
}

/// One for datagrams to `to`.
pub(super) fn udp(to: impl Into<IpAddr>) -> io::Result<Socket> {
    socket(family(to.into()), libc::SOCK_DGRAM, 0)
}

/// One for a connection to `to`.
pub(super) fn tcp(to: impl Into<IpAddr>) -> io::Result<Socket> {
    socket(family(to.into()), libc::SOCK_STREAM, 0)
}

/// Only whether it can be made.
pub(super) fn can_be_made(family: i32, kind: i32, protocol: i32) -> Verdict {
    Verdict::of(socket(family, kind, protocol))
}

fn family(address: IpAddr) -> i32 {
    match address {
        IpAddr::V4(_) => libc::AF_INET,
        IpAddr::V6(_) => libc::AF_INET6,
    }
}

impl Socket {
    /// `setsockopt`.
    pub(super) fn set(self, level: i32, option: i32, value: &[u8]) -> io::Result<()> {
        let arguments = [
            self.0,
            level as usize,
            option as usize,
            sys::at(value),
            value.len(),
        ];
        sys::call(libc::SYS_setsockopt, &arguments).map(drop)
    }

    /// The same with a number.
    pub(super) fn set_number(self, level: i32, option: i32, value: i32) -> io::Result<()> {
        self.set(level, option, &value.to_ne_bytes())
    }

    /// `bind`.
    pub(super) fn bind(self, address: SocketAddr) -> io::Result<()> {
        let bytes = address_bytes(address);
        sys::call(libc::SYS_bind, &[self.0, sys::at(&bytes[..]), bytes.len()]).map(drop)
    }

    /// `listen`.
    pub(super) fn listen(self) -> io::Result<()> {
        sys::call(libc::SYS_listen, &[self.0, 8]).map(drop)
    }

    /// `connect`.
    pub(super) fn connect(self, address: SocketAddr) -> io::Result<()> {
        self.connect_bytes(&address_bytes(address))
    }

    /// The same with an address of any family.
    pub(super) fn connect_bytes(self, address: &[u8]) -> io::Result<()> {
        sys::call(
            libc::SYS_connect,
            &[self.0, sys::at(address), address.len()],
        )
        .map(drop)
    }

    /// `sendmsg`, with control messages and to an address, where given.
    pub(super) fn send(
        self,
        to: Option<SocketAddr>,
        bytes: &[u8],
        flags: i32,
        control: &[u8],
    ) -> io::Result<()> {
        let to = to.map(address_bytes).unwrap_or_default();
        let pieces = [sys::at(bytes), bytes.len()];
        let header = [
            sys::at(&to[..]),
            to.len(),
            sys::at(&pieces),
            1,
            sys::at(control),
            control.len(),
            0,
        ];
        // A socket that was reset says so by an error, not by a signal.
        let flags = (flags | libc::MSG_NOSIGNAL) as usize;
        sys::call(libc::SYS_sendmsg, &[self.0, sys::at(&header), flags]).map(drop)
    }

    /// What comes, as text.
    pub(super) fn hear(self) -> io::Result<String> {
        self.hear_bytes()
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// What comes.
    pub(super) fn hear_bytes(self) -> io::Result<Vec<u8>> {
        let mut buffer = [0_u8; 2048];
        let room = buffer.len();
        let length = sys::call(
            libc::SYS_recvfrom,
            &[self.0, sys::at_mut(&mut buffer), room],
        )?;
        match length {
            0 => Err(io::Error::other("the other end is closed")),
            length => Ok(buffer[..length as usize].to_vec()),
        }
    }

    /// Sends a datagram and waits for an answer.
    pub(super) fn ask(self, to: SocketAddr) -> io::Result<String> {
        self.send(Some(to), KNOCK, 0, &[])?;
        self.hear()
    }

    /// Connects and listens to what is said.
    pub(super) fn call(self, to: SocketAddr) -> io::Result<String> {
        self.connect(to)?;
        self.hear()
    }
}

/// TCP and UDP to the canary's port at `address`.
pub(super) fn knock(ground: &Ground, address: impl Into<IpAddr>) -> Verdict {
    knock_at(ground.canary(address))
}

/// TCP and UDP to one address.
pub(super) fn knock_at(to: SocketAddr) -> Verdict {
    Verdict::any([
        (
            "tcp".to_owned(),
            Verdict::of(tcp(to.ip()).and_then(|s| s.call(to))),
        ),
        (
            "udp".to_owned(),
            Verdict::of(udp(to.ip()).and_then(|s| s.ask(to))),
        ),
    ])
}

/// Gives the address to this namespace's loopback, where one may, and knocks there: outside the canary answers at it,
/// in a compartment it is nobody's.
pub(super) fn knock_at_own(ground: &Ground, address: impl Into<IpAddr>) -> Verdict {
    let address = address.into();
    let given = give(address);
    match knock(ground, address) {
        Verdict::Held(why) => Verdict::Held(format!("{why}; the address: {given:?}")),
        through @ Verdict::Through(_) => through,
    }
}

/// Adds an address to the loopback device.
pub(super) fn give(address: IpAddr) -> io::Result<()> {
    const NEW_ADDRESS: u16 = 20;
    const LOCAL: u16 = 2;
    const ADDRESS: u16 = 1;
    const WITHOUT_DETECTION: u8 = 2;
    let octets = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let bits = octets.len() as u8 * 8;
    let mut body = vec![family(address) as u8, bits, WITHOUT_DETECTION, 0];
    body.extend(LOOPBACK.to_ne_bytes());
    body.extend(attribute(LOCAL, &octets));
    body.extend(attribute(ADDRESS, &octets));
    route_request(NEW_ADDRESS, libc::NLM_F_CREATE | libc::NLM_F_REPLACE, &body)
}

/// Brings a device up.
pub(super) fn bring_up(device: u32) -> io::Result<()> {
    const NEW_LINK: u16 = 16;
    let mut body = vec![0; 4];
    body.extend(device.to_ne_bytes());
    // Flags, and which of them are meant.
    let up = (libc::IFF_UP as u32).to_ne_bytes();
    body.extend([up, up].concat());
    route_request(NEW_LINK, 0, &body)
}

/// A request to the routing part of netlink; its acknowledgement.
pub(super) fn route_request(kind: u16, flags: i32, body: &[u8]) -> io::Result<()> {
    let socket = socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE)?;
    netlink(socket, kind, flags | libc::NLM_F_ACK, body).map(drop)
}

/// `RTM_NEWROUTE`.
pub(super) const NEW_ROUTE: u16 = 24;

/// `struct rtmsg`: a route to everywhere, in this table, that leads to this host.
pub(super) fn route(family: i32, table: u8) -> Vec<u8> {
    const BOOT: u8 = 3;
    const ON_HOST: u8 = 254;
    const LOCAL: u8 = 2;
    let family = family as u8;
    let mut body = vec![family, 0, 0, 0, table, BOOT, ON_HOST, LOCAL, 0, 0, 0, 0];
    // Through this device.
    body.extend(attribute(4, &LOOPBACK.to_ne_bytes()));
    body
}

/// A request over netlink, and the first part of the answer without its header. An error in it is an error.
pub(super) fn netlink(socket: Socket, kind: u16, flags: i32, body: &[u8]) -> io::Result<Vec<u8>> {
    const HEADER: usize = 16;
    let mut message = ((HEADER + body.len()) as u32).to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend(((libc::NLM_F_REQUEST | flags) as u16).to_ne_bytes());
    message.extend([1, 0, 0, 0, 0, 0, 0, 0]);
    message.extend(body);
    socket.send(None, &message, 0, &[])?;
    acknowledged(socket)
}

/// The first part of an answer over netlink, as above.
pub(super) fn acknowledged(socket: Socket) -> io::Result<Vec<u8>> {
    const HEADER: usize = 16;
    let mut answer = [0_u8; 4096];
    let room = answer.len();
    let length = sys::call(
        libc::SYS_recvfrom,
        &[socket.0, sys::at_mut(&mut answer), room],
    )?;
    let answer = &answer[..length as usize];
    let is_error = answer.get(4..6) == Some(&(libc::NLMSG_ERROR as u16).to_ne_bytes());
    let code = answer
        .get(HEADER..HEADER + 4)
        .and_then(|code| code.first_chunk());
    match code.map(|code| i32::from_ne_bytes(*code)) {
        Some(code @ i32::MIN..0) if is_error => Err(io::Error::from_raw_os_error(-code)),
        _ => Ok(answer.get(HEADER..).unwrap_or_default().to_vec()),
    }
}

/// An attribute of netlink, padded.
pub(super) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = (4 + value.len() as u16).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// One control message.
pub(super) fn control(level: i32, kind: i32, value: &[u8]) -> Vec<u8> {
    let mut bytes = (16 + value.len()).to_ne_bytes().to_vec();
    bytes.extend(level.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// `struct sockaddr_in` or `sockaddr_in6`.
pub(super) fn address_bytes(address: SocketAddr) -> Vec<u8> {
    let mut bytes = (family(address.ip()) as u16).to_ne_bytes().to_vec();
    bytes.extend(address.port().to_be_bytes());
    match address {
        SocketAddr::V4(address) => {
            bytes.extend(address.ip().octets());
            bytes.extend([0; 8]);
        }
        SocketAddr::V6(address) => {
            bytes.extend([0; 4]);
            bytes.extend(address.ip().octets());
            bytes.extend(address.scope_id().to_ne_bytes());
        }
    }
    bytes
}

/// Index of a device, if there is one of this name here.
pub(super) fn device_index(name: &str) -> io::Result<u32> {
    const INDEX_OF_NAME: usize = 0x8933;
    let socket = socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    let mut request = [0_u8; 40];
    request[..name.len()].copy_from_slice(name.as_bytes());
    sys::call(
        libc::SYS_ioctl,
        &[socket.0, INDEX_OF_NAME, sys::at_mut(&mut request)],
    )?;
    Ok(request[16..20]
        .first_chunk()
        .map_or(0, |index| u32::from_ne_bytes(*index)))
}

/// The doors' port at each of their addresses and on all, with what lets sockets share one, alone and together. `make`
/// gives a socket for an address, `take` takes what comes to it.
pub(super) fn bind_beside_the_doors(
    make: fn(IpAddr) -> io::Result<Socket>,
    take: fn(Socket) -> io::Result<()>,
) -> Verdict {
    const DOOR_PORT: u16 = 15001;
    const FLAGS: &[&[i32]] = &[
        &[],
        &[libc::SO_REUSEADDR],
        &[libc::SO_REUSEPORT],
        &[libc::SO_REUSEADDR, libc::SO_REUSEPORT],
    ];
    let places: [IpAddr; 4] = [
        Ipv4Addr::UNSPECIFIED.into(),
        Ipv4Addr::new(198, 18, 0, 1).into(),
        Ipv6Addr::UNSPECIFIED.into(),
        Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 1).into(),
    ];
    let steal = |place: IpAddr, flags: &[i32]| {
        let socket = make(place)?;
        for flag in flags {
            socket.set_number(libc::SOL_SOCKET, *flag, 1)?;
        }
        socket.bind(SocketAddr::new(place, DOOR_PORT))?;
        take(socket)?;
        io::Result::Ok("the door's port is ours".to_owned())
    };
    let tried = places
        .into_iter()
        .flat_map(|place| FLAGS.iter().map(move |flags| (place, *flags)));
    Verdict::any(tried.map(|(place, flags)| {
        (
            format!("{place} {flags:?}"),
            Verdict::of(steal(place, flags)),
        )
    }))
}
