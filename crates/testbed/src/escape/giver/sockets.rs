//! Sockets of the host as standard streams, held by a process that cooperates: it sends descriptors by them.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Command;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

use super::{Gift, LOOK, changed, look};
use crate::escape::Ground;

/// A Unix socket for input, a connection of TCP for output, datagrams of UDP for errors.
pub(super) struct Sockets {
    near: [OwnedFd; 3],
    far: [OwnedFd; 3],
    /// Those that have ended.
    ended: [bool; 3],
    before: Vec<(&'static str, String)>,
    felt: Vec<String>,
}

impl Sockets {
    pub(super) fn new(ground: &Ground) -> io::Result<Self> {
        let (near_unix, far_unix) = UnixStream::pair()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let far_tcp = TcpStream::connect(listener.local_addr()?)?;
        let (near_tcp, _) = listener.accept()?;
        let (near_udp, far_udp) = (
            UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?,
            UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?,
        );
        far_udp.connect(near_udp.local_addr()?)?;
        let near = [near_unix.into(), near_tcp.into(), near_udp.into()];
        // A file, a directory, and a socket that can be connected to anything on the host.
        let file = File::open(&ground.file)?;
        let directory = File::open(ground.file.parent().unwrap_or(&ground.file))?;
        let socket = rustix::net::socket(
            rustix::net::AddressFamily::INET,
            rustix::net::SocketType::STREAM,
            None,
        )?;
        send_rights(&near[0], &[file.as_fd(), directory.as_fd(), socket.as_fd()])?;
        Ok(Self {
            near,
            far: [far_unix.into(), far_tcp.into(), far_udp.into()],
            ended: [false; 3],
            before: Vec::new(),
            felt: Vec::new(),
        })
    }

    fn looks(&self) -> Vec<(&'static str, String)> {
        let streams = ["flags of input", "flags of output", "flags of errors"];
        let flags = |socket| look(rustix::fs::fcntl_getfl(socket));
        streams
            .into_iter()
            .zip(self.far.iter().map(flags))
            .collect()
    }
}

/// Sends a line with descriptors beside it.
pub(super) fn send_rights(
    socket: &OwnedFd,
    rights: &[std::os::fd::BorrowedFd<'_>],
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(rights)) {
        return Err(io::Error::other("no room for the descriptors"));
    }
    let line = [IoSlice::new(b"take these\n")];
    rustix::net::sendmsg(socket, &line, &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// What came by a socket, and how many descriptors beside it. Does not wait.
pub(super) fn take(socket: &OwnedFd) -> io::Result<(Vec<u8>, usize)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = vec![0; 65_536];
    let received = rustix::net::recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut bytes)],
        &mut control,
        RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC,
    )?;
    bytes.truncate(received.bytes);
    let mut rights = 0;
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = part {
            rights += descriptors.count();
        }
    }
    Ok((bytes, rights))
}

impl Gift for Sockets {
    fn give(&mut self, command: &mut Command) -> io::Result<()> {
        let [input, output, errors] = &self.far;
        command
            .stdin(input.try_clone()?)
            .stdout(output.try_clone()?)
            .stderr(errors.try_clone()?);
        self.before = self.looks();
        Ok(())
    }

    fn hear(&mut self) -> io::Result<Vec<u8>> {
        let patience = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(LOOK.subsec_nanos()),
        };
        let open = |index: &usize| !self.ended[*index];
        let open: Vec<usize> = (0..self.near.len()).filter(open).collect();
        let mut waiting: Vec<_> = open
            .iter()
            .map(|index| PollFd::new(&self.near[*index], PollFlags::IN))
            .collect();
        rustix::event::poll(&mut waiting, Some(&patience))?;
        let ready: Vec<usize> = open
            .iter()
            .zip(&waiting)
            .filter(|(_, polled)| !polled.revents().is_empty())
            .map(|(index, _)| *index)
            .collect();
        let mut heard = Vec::new();
        for index in ready {
            match take(&self.near[index]) {
                Ok((bytes, rights)) => {
                    self.ended[index] = bytes.is_empty();
                    heard.extend(bytes);
                    if rights > 0 {
                        self.felt
                            .push(format!("{rights} descriptors came by stream {index}"));
                    }
                }
                // A connection that was reset, or whose peer is another one now.
                Err(_) => self.ended[index] = true,
            }
        }
        Ok(heard)
    }

    fn felt(&mut self) -> io::Result<Vec<String>> {
        let mut felt = std::mem::take(&mut self.felt);
        felt.extend(changed(&self.before, &self.looks()));
        Ok(felt)
    }
}
