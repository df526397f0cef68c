//! Memory, disks, loop devices, virtual machines and file systems in user space: each has a node in `/dev` of the
//! host. A compartment has six harmless ones.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "host-devices",
    tries: "devices of the host by their nodes",
    wall: "built root",
    control: Control::Superuser,
    record: Record::Nothing("accesses to files that are refused are not recorded"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let names = [
        "mem",
        "port",
        "kmsg",
        "console",
        "tty0",
        "ttyS0",
        "fuse",
        "kvm",
        "net/tun",
        "loop-control",
        "loop0",
        "vda",
        "sda",
        "nvme0n1",
        "dm-0",
        "mapper/control",
        "userfaultfd",
        "vhost-net",
        "vhost-vsock",
        "vsock",
        "uinput",
        "input/event0",
        "hpet",
        "rtc0",
        "hwrng",
        "snapshot",
        "cpu_dma_latency",
        "autofs",
        "btrfs-control",
        "ptp0",
        "nvram",
        "vfio/vfio",
        "dri/card0",
        "snd/seq",
        "mqueue",
        "hugepages",
    ];
    let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY;
    Verdict::any(names.map(|name| {
        (
            name.to_owned(),
            Verdict::of(sys::open(format!("/dev/{name}"), flags)),
        )
    }))
}
