//! `/dev/net/tun` makes a network device out of a file: packets that no rule has seen.

use std::os::fd::AsRawFd;

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "tunnel-device",
    tries: "a tunnel device through /dev/net/tun",
    wall: "mount namespace",
    control: Control::Root,
    record: Record::Nothing(
        "the device does not exist inside; making it is refused by the kernel, which tells nobody",
    ),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const SET_INTERFACE: usize = 0x4004_54ca;
    const TUN_WITHOUT_INFO: u16 = 0x1001;
    // Character device 10:200, in whatever place lets it be made.
    let places = ["/dev/net/tun", "/tmp/tun", "/work/tun", "/dev/shm/tun"];
    Verdict::any(places.map(|place| {
        let path = format!("{place}\0");
        let device = 10 << 8 | 200;
        let mode = libc::S_IFCHR as usize | 0o666;
        let _ = sys::call(libc::SYS_mknod, &[sys::at(path.as_str()), mode, device]);
        let opened = std::fs::File::options().read(true).write(true).open(place);
        let tried = opened.and_then(|file| {
            let mut request = [0_u8; 40];
            request[..4].copy_from_slice(b"way2");
            request[16..18].copy_from_slice(&TUN_WITHOUT_INFO.to_ne_bytes());
            let fd = file.as_raw_fd() as usize;
            sys::call(
                libc::SYS_ioctl,
                &[fd, SET_INTERFACE, sys::at_mut(&mut request)],
            )
        });
        (place.to_owned(), Verdict::of(tried))
    }))
}
