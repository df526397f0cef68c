//! Whoever judges a call by what lies in memory judges what another thread may change before the kernel reads it. Ours
//! judges by registers alone: the family of a socket is in one, its address is not asked for.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "arguments-changed-while-waiting",
    tries: "a call whose memory changes while it waits",
    wall: "system calls",
    control: Control::Root,
    record: Record::Denied("socket AF_PACKET"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    // Flags of clone3 and open_how of openat2: memory that holds what a filter would want to know.
    const NEW_NETWORK: u64 = libc::CLONE_NEWNET as u64;
    static FLAGS: AtomicU64 = AtomicU64::new(0);
    static DONE: AtomicBool = AtomicBool::new(false);
    let changer = std::thread::spawn(|| {
        while !DONE.load(Ordering::Relaxed) {
            FLAGS.store(NEW_NETWORK, Ordering::Relaxed);
            FLAGS.store(0, Ordering::Relaxed);
        }
    });
    let own = std::fs::read_link("/proc/self/ns/net");
    let mut through = None;
    for _ in 0..500 {
        let mut arguments = [0_u64; 11];
        arguments[0] = FLAGS.load(Ordering::Relaxed);
        arguments[4] = libc::SIGCHLD as u64;
        if let Ok(child) = sys::clone3(&arguments) {
            through = Some(format!("clone3 made {child}"));
            break;
        }
        let packet = [libc::AF_PACKET as usize, libc::SOCK_RAW as usize];
        if let Ok(socket) = sys::call(libc::SYS_socket, &packet) {
            through = Some(format!("socket {socket}"));
            break;
        }
    }
    DONE.store(true, Ordering::Relaxed);
    let _ = changer.join();
    match through {
        Some(evidence) => Verdict::Through(evidence),
        None => Verdict::Held(format!("every one, in {own:?}")),
    }
}
