//! Messages between launcher, node, enforcer and operator, over the socket that carries them.

use std::fmt::Debug;
use std::io;
use std::os::fd::OwnedFd;

use ringfence_compartment::channel::{self, try_recv};
use ringfence_compartment::link::{
    FromEnforcer, FromLauncher, FromNode, MESSAGE_MAX, ToEnforcer, ToLauncher, ToNode,
};
use rustix::net::{SendFlags, send};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::target::Target;

pub(crate) const TARGET: Target = Target {
    name: "link",
    holds: "a packet is a message or an error, never a wait; a message that is said again is the same message",
    length_max: 4096,
    run,
};

thread_local! {
    static ENDS: (OwnedFd, OwnedFd) = channel::pair().expect("a pair of sockets");
}

fn run(bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    ENDS.with(|(near, far)| {
        // Launcher to node.
        // As anything at first, for its version; a number of another version need not survive that.
        assert_eq!(send(near, bytes, SendFlags::DONTWAIT), Ok(bytes.len()));
        let _ = try_recv::<serde_json::Value>(far);
        heard::<FromLauncher>(near, far, bytes);
        // Operator to node.
        heard::<ringfence_node::Request>(near, far, bytes);
        // Launcher to enforcer.
        heard::<ToEnforcer>(near, far, bytes);
        // Enforcer to node.
        heard::<ToNode>(near, far, bytes);
        // To launchers, and to the enforcer.
        heard::<ToLauncher>(near, far, bytes);
        heard::<FromEnforcer>(near, far, bytes);
        heard::<FromNode>(near, far, bytes);
    });
}

fn heard<T: Serialize + DeserializeOwned + PartialEq + Debug>(
    near: &OwnedFd,
    far: &OwnedFd,
    bytes: &[u8],
) {
    assert_eq!(send(near, bytes, SendFlags::DONTWAIT), Ok(bytes.len()));
    let message = match try_recv::<T>(far) {
        Ok(packet) => packet.expect("the other side is there").message,
        Err(error) => return assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}"),
    };
    match channel::send(near, &message, &[]) {
        Ok(()) => {}
        Err(error) => {
            // Escapes may make it longer than a packet.
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
            assert!(bytes.len() > MESSAGE_MAX / 8);
            return;
        }
    }
    let again = try_recv::<T>(far)
        .expect("our own message")
        .expect("the other side is there");
    assert_eq!(again.message, message);
    assert!(again.descriptors.is_empty());
}
