//! Socket options and datagram control messages.

use std::io;
use std::mem::{MaybeUninit, size_of, size_of_val};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libc::c_int;
use ringfence_model::OriginalDst;

use super::check;
use crate::datagram::Received;

/// Room for the control messages of one datagram, in bytes. The kernel flags what did not fit.
const CONTROL_BYTES: usize = 256;

/// A control buffer aligned for `cmsghdr`.
#[repr(C, align(8))]
struct Control([u8; CONTROL_BYTES]);

/// Sets an option whose value is an `int`.
pub(crate) fn set_option(
    socket: BorrowedFd<'_>,
    level: c_int,
    option: c_int,
    value: c_int,
) -> io::Result<()> {
    // SAFETY: the pointer and length describe `value`, which outlives the call.
    check(i64::from(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    }))?;
    Ok(())
}

/// Reads an option whose value is plain data of a fixed size.
fn get<T: Copy>(socket: BorrowedFd<'_>, level: c_int, option: c_int, zero: T) -> io::Result<T> {
    let mut value = zero;
    let mut length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to `value`; every `T` used here is integers only.
    check(i64::from(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw mut value).cast(),
            &raw mut length,
        )
    }))?;
    if length as usize != size_of::<T>() {
        return Err(io::Error::other(format!(
            "socket option {level}/{option} has {length} bytes"
        )));
    }
    Ok(value)
}

/// Reads an option whose value is an `int`.
pub(crate) fn option(socket: BorrowedFd<'_>, level: c_int, option: c_int) -> io::Result<c_int> {
    get(socket, level, option, 0)
}

/// `SO_NETNS_COOKIE`: the network namespace a socket was born in. Unique since boot, never reused.
pub(crate) fn namespace_cookie(socket: BorrowedFd<'_>) -> io::Result<u64> {
    get(socket, libc::SOL_SOCKET, libc::SO_NETNS_COOKIE, 0)
}

/// `SO_MEMINFO`: how many packets the kernel dropped at this very socket, for want of room. Wraps at 2^32.
pub(crate) fn socket_drops(socket: BorrowedFd<'_>) -> io::Result<u32> {
    /// Index of the drop counter in the array (`SK_MEMINFO_DROPS`).
    const DROPS: usize = 8;
    let values: [u32; 9] = get(socket, libc::SOL_SOCKET, libc::SO_MEMINFO, [0; 9])?;
    Ok(values[DROPS])
}

/// `SO_PEERCRED`.
pub(crate) fn peer_credentials(socket: BorrowedFd<'_>) -> io::Result<libc::ucred> {
    let zero = libc::ucred {
        pid: 0,
        uid: u32::MAX,
        gid: u32::MAX,
    };
    get(socket, libc::SOL_SOCKET, libc::SO_PEERCRED, zero)
}

/// `SO_PEERPIDFD`.
pub(crate) fn peer_pidfd(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let raw = get(socket, libc::SOL_SOCKET, libc::SO_PEERPIDFD, -1)?;
    if raw < 0 {
        return Err(io::Error::other("the kernel gave no peer descriptor"));
    }
    // SAFETY: a fresh descriptor that the kernel just made for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Receives one datagram with its original destination. Never waits.
pub(crate) fn recv_datagram(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    let mut name = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut control = Control([0; CONTROL_BYTES]);
    let mut part = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: all zeroes is a valid msghdr.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_name = name.as_mut_ptr().cast();
    header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = CONTROL_BYTES;
    // SAFETY: every pointer in the header is valid for the length beside it, for the whole call.
    let length =
        check(
            unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_DONTWAIT) }
                as i64,
        )? as usize;
    // SAFETY: the storage was zeroed, so it is initialised whatever the kernel wrote.
    let name = unsafe { name.assume_init() };
    let source = address(&name, header.msg_namelen as usize)
        .ok_or_else(|| invalid("a datagram without a source"))?;

    let mut destination = None;
    // SAFETY: the header describes a control buffer that the kernel filled; the macros stay within it.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
    while !next.is_null() {
        // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR return pointers to a whole header or null.
        let message = unsafe { *next };
        // SAFETY: as above; the data follows the header.
        let data = unsafe { libc::CMSG_DATA(next) };
        // SAFETY: pure arithmetic.
        let head = unsafe { libc::CMSG_LEN(0) } as usize;
        let size = message.cmsg_len.saturating_sub(head);
        if matches!(
            (message.cmsg_level, message.cmsg_type),
            (libc::SOL_IP, libc::IP_ORIGDSTADDR) | (libc::SOL_IPV6, libc::IPV6_ORIGDSTADDR)
        ) {
            let mut storage = MaybeUninit::<libc::sockaddr_storage>::zeroed();
            let size = size.min(size_of::<libc::sockaddr_storage>());
            // SAFETY: `size` bytes follow the header within the control buffer, and fit the zeroed storage.
            let storage = unsafe {
                std::ptr::copy_nonoverlapping(data, storage.as_mut_ptr().cast(), size);
                storage.assume_init()
            };
            destination = address(&storage, size);
        }
        // SAFETY: `next` points into the control buffer of this header.
        next = unsafe { libc::CMSG_NXTHDR(&raw const header, next) };
    }
    let destination = destination
        .map(OriginalDst::new)
        .ok_or_else(|| invalid("a datagram without its original destination"))?;
    Ok(Received {
        length,
        cut: header.msg_flags & libc::MSG_TRUNC != 0,
        source,
        destination,
    })
}

/// Sends one datagram, in two parts, with a chosen source address. Never waits.
pub(crate) fn send_datagram(
    socket: BorrowedFd<'_>,
    parts: [&[u8]; 2],
    source: IpAddr,
    to: SocketAddr,
) -> io::Result<()> {
    let (mut name, name_length) = storage(to);
    let mut control = Control([0; CONTROL_BYTES]);
    let mut slices = parts.map(|part| libc::iovec {
        iov_base: part.as_ptr().cast_mut().cast(),
        iov_len: part.len(),
    });
    // SAFETY: all zeroes is a valid msghdr.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_name = (&raw mut name).cast();
    header.msg_namelen = name_length as libc::socklen_t;
    header.msg_iov = slices.as_mut_ptr();
    header.msg_iovlen = slices.len();
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = CONTROL_BYTES;
    let used = match (source, to) {
        (IpAddr::V4(source), SocketAddr::V4(_)) => {
            let info = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr {
                    s_addr: u32::from(source).to_be(),
                },
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            put_control(&header, libc::SOL_IP, libc::IP_PKTINFO, info)
        }
        (IpAddr::V6(source), SocketAddr::V6(_)) => {
            let info = libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr {
                    s6_addr: source.octets(),
                },
                ipi6_ifindex: 0,
            };
            put_control(&header, libc::SOL_IPV6, libc::IPV6_PKTINFO, info)
        }
        _ => return Err(invalid("source and receiver are of different families")),
    };
    header.msg_controllen = used;
    // SAFETY: every pointer in the header is valid for the length beside it; sendmsg only reads.
    check(unsafe {
        libc::sendmsg(
            socket.as_raw_fd(),
            &raw const header,
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        )
    } as i64)?;
    Ok(())
}

/// Writes one control message at the start of the header's buffer; returns how much of it is used.
fn put_control<T: Copy>(header: &libc::msghdr, level: c_int, kind: c_int, value: T) -> usize {
    const { assert!(size_of::<T>() <= 64, "control buffer too small") };
    // SAFETY: the buffer is CONTROL_BYTES long and aligned: a header and at most 64 bytes fit.
    unsafe {
        let first = libc::CMSG_FIRSTHDR(header);
        (*first).cmsg_level = level;
        (*first).cmsg_type = kind;
        (*first).cmsg_len = libc::CMSG_LEN(size_of::<T>() as u32) as usize;
        std::ptr::write_unaligned(libc::CMSG_DATA(first).cast(), value);
        libc::CMSG_SPACE(size_of::<T>() as u32) as usize
    }
}

/// The address in a `sockaddr` of `length` bytes, if it is a whole one of an IP family.
fn address(storage: &libc::sockaddr_storage, length: usize) -> Option<SocketAddr> {
    match c_int::from(storage.ss_family) {
        libc::AF_INET if length >= size_of::<libc::sockaddr_in>() => {
            // SAFETY: the family says sockaddr_in, the storage is large enough and aligned for every family.
            let v4 = unsafe { *(&raw const *storage).cast::<libc::sockaddr_in>() };
            Some(SocketAddr::V4(SocketAddrV4::new(
                Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr)),
                u16::from_be(v4.sin_port),
            )))
        }
        libc::AF_INET6 if length >= size_of::<libc::sockaddr_in6>() => {
            // SAFETY: as above, for sockaddr_in6.
            let v6 = unsafe { *(&raw const *storage).cast::<libc::sockaddr_in6>() };
            Some(SocketAddr::V6(SocketAddrV6::new(
                Ipv6Addr::from(v6.sin6_addr.s6_addr),
                u16::from_be(v6.sin6_port),
                0,
                v6.sin6_scope_id,
            )))
        }
        _ => None,
    }
}

fn storage(address: SocketAddr) -> (libc::sockaddr_storage, usize) {
    // SAFETY: all zeroes is a valid sockaddr_storage.
    let mut storage: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let length = match address {
        SocketAddr::V4(v4) => {
            let raw = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr {
                    s_addr: u32::from(*v4.ip()).to_be(),
                },
                sin_zero: [0; 8],
            };
            // SAFETY: a sockaddr_storage holds every sockaddr, aligned.
            unsafe { std::ptr::write((&raw mut storage).cast(), raw) };
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(v6) => {
            let raw = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr {
                    s6_addr: v6.ip().octets(),
                },
                sin6_scope_id: v6.scope_id(),
            };
            // SAFETY: as above.
            unsafe { std::ptr::write((&raw mut storage).cast(), raw) };
            size_of::<libc::sockaddr_in6>()
        }
    };
    (storage, length)
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
