//! The node takes claims on one socket and orders on another. Neither is shown inside; whoever reached one could ask
//! for another compartment, or for the end of this one.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "node-sockets",
    tries: "the sockets of the node",
    wall: "built root",
    control: Control::Caller,
    record: Record::Nothing("accesses to files that are refused are not recorded"),
    start: Start::Plain,
    attempt,
};

fn attempt(ground: &Ground) -> Verdict {
    let beneath = |folder: &str| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let mut folders = vec![ground.state.clone()];
    folders.extend(beneath("/run/ringfence"));
    let paths = folders
        .into_iter()
        .flat_map(|folder| ["run.sock", "admin.sock"].map(|name| folder.join(name)));
    Verdict::any(paths.map(|path| {
        // A family, and a path that ends with a zero byte.
        let mut address = vec![0_u8; 110];
        address[..2].copy_from_slice(&(libc::AF_UNIX as u16).to_ne_bytes());
        let bytes = path.as_os_str().as_encoded_bytes();
        let length = bytes.len().min(107);
        address[2..2 + length].copy_from_slice(&bytes[..length]);
        let kind = libc::SOCK_SEQPACKET as usize;
        let connected =
            sys::call(libc::SYS_socket, &[libc::AF_UNIX as usize, kind, 0]).and_then(|socket| {
                sys::call(
                    libc::SYS_connect,
                    &[socket as usize, sys::at(address.as_slice()), address.len()],
                )
            });
        (path.display().to_string(), Verdict::of(connected))
    }))
}
