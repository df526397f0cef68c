//! Settings in `/proc/sys` name programs that the kernel starts as root of the host, and open networks. In the
//! control they are opened, not written.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "kernel-settings",
    tries: "settings of the kernel, opened for writing",
    wall: "read-only /proc/sys, Landlock",
    control: Control::Root,
    record: Record::Nothing("accesses to files that are refused are not recorded"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let names = [
        "kernel/core_pattern",
        "kernel/modprobe",
        "kernel/hotplug",
        "kernel/sysrq",
        "kernel/hostname",
        "kernel/domainname",
        "kernel/ns_last_pid",
        "kernel/shmmax",
        "vm/drop_caches",
        "vm/overcommit_memory",
        "fs/file-max",
        "fs/mqueue/queues_max",
        "user/max_user_namespaces",
        "user/max_net_namespaces",
        "net/ipv4/ip_forward",
        "net/ipv4/conf/all/route_localnet",
        "net/ipv4/ip_unprivileged_port_start",
    ];
    let settings = names.map(|name| format!("/proc/sys/{name}"));
    let others = ["/proc/sysrq-trigger", "/proc/irq/default_smp_affinity"].map(str::to_owned);
    Verdict::any(settings.into_iter().chain(others).map(|path| {
        let opened = sys::open(&path, libc::O_WRONLY);
        (path, Verdict::of(opened))
    }))
}
