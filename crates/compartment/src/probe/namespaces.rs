//! The walls, one by one, in namespaces of their own: the steps that launcher and init take, in their order.

use std::io;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::thread::CapabilitySet;

use super::aside::{Teller, aside, exit_code};
use super::{Finding, PATIENCE, RootIds};
use crate::error::{OrRefuse, Refusal};
use crate::inside::talk::{FromInit, ToInit};
use crate::inside::{limits, network};
use crate::launch::{Ids, NAMESPACES, clone_refused, sysctl_in_the_way, trial_grant};
use crate::link::{Grant, Socket};
use crate::root::{self, Identity, Plan};
use crate::{channel, datagram, privileges, sys};

const FIX: &str = "report this with the kernel's version (`uname -r`)";
/// For walls whose trial did not come to its end.
const BROKE_OFF: &str = "walls";
/// Where nobody is (RFC 5737, RFC 3849).
const ELSEWHERE: [&str; 2] = ["192.0.2.1:9", "[2001:db8::1]:9"];
/// How long a packet may take to a door of the same machine.
const PACKET_TIME: Duration = Duration::from_secs(5);

pub(super) fn look(ids: RootIds) -> Vec<Finding> {
    let mut found = aside(BROKE_OFF, "the walls", PATIENCE, |teller| {
        let _first_refusal = outside(ids, teller);
    });
    if let Some(id) = ids.workload {
        found.extend(aside(
            "id-mapped-mount",
            "an id-mapped mount",
            PATIENCE,
            |teller| {
                teller.tell(mapped(id));
            },
        ));
    }
    found
}

/// The launcher's part. `None` when a step failed, which was told.
fn outside(ids: RootIds, teller: &Teller) -> Option<()> {
    let grant = trial_grant(ids.workload);
    let root = rustix::process::geteuid().is_root();
    let owner = Ids::decide(&grant, None).map_err(|refusal| match ids.workload {
        None if root => few_ids(),
        _ => refusal,
    });
    let text = match &owner {
        Ok(Ids {
            dynamic: Some(_), ..
        }) => "workloads that root starts get users of their own",
        _ => "workloads run as the user who starts them",
    };
    let owner = teller.step("workload-user", owner, text)?;
    let plan = Plan::make(&grant, None, owner.dynamic);
    let plan = teller.step(
        "base-trees",
        plan,
        "the programs of this machine can be shown inside",
    )?;
    let channel = channel::pair().or_refuse("a channel", FIX);
    let (control, far) = match channel {
        Ok(pair) => pair,
        Err(refusal) => {
            teller.tell(Finding::refused("namespaces", &refusal));
            return None;
        }
    };
    let cloned = sys::clone_process(NAMESPACES).map_err(|cause| clone_refused(&cause));
    let pid = match cloned {
        Ok(sys::Cloned::Child) => {
            // The standard streams are /dev/null, as `aside` left them.
            let keep = [0, 1, 2, far.as_raw_fd(), teller.number()];
            if sys::close_all_but(&keep).is_ok() {
                let _first_refusal = inside(&grant, &owner, &plan, &far, teller);
                sys::exit_now(0)
            }
            sys::exit_now(1)
        }
        Ok(sys::Cloned::Parent { pid, .. }) => pid,
        Err(refusal) => {
            teller.tell(Finding::refused("namespaces", &refusal));
            return None;
        }
    };
    drop(far);
    let text = "user, network, mount, pid, ipc, uts and cgroup namespaces can be made";
    teller.tell(Finding::ok("namespaces", text));
    let mapped = born(&control)
        .and_then(|()| owner.write_maps(pid))
        .map_err(by_sysctl);
    if teller
        .step("id-maps", mapped, "user ids can be mapped")
        .is_some()
    {
        // It goes on, and speaks for itself from here on.
        let _ = channel::send(&control, &ToInit::Mapped, &[]);
        let _ = channel::recv::<()>(&control);
    }
    drop(control);
    // One that ended in the middle has told nothing of it: silence must not look like success.
    let ended = match exit_code(pid) {
        Ok(0) => return Some(()),
        Ok(code) => format!("it ended with code {code}"),
        Err(cause) => cause.to_string(),
    };
    let text = format!("the first process in the namespaces broke off: {ended}");
    teller.tell(Finding::fail(BROKE_OFF, text, FIX));
    None
}

/// Why root has no id to give to a workload.
fn few_ids() -> Refusal {
    Refusal::new(
        "this user namespace has not the user ids that workloads of root get (from 2000000000 up)",
        "run the node outside of the container, give the container the whole range of ids, or run node and workloads as \
         an ordinary user",
    )
}

fn born(control: &OwnedFd) -> Result<(), Refusal> {
    match channel::recv::<FromInit>(control).or_refuse("the namespaces", FIX)? {
        Some(packet) if matches!(packet.message, FromInit::Born) => Ok(()),
        _ => Err(Refusal::wall(
            "the namespaces",
            &"the first process in them ended",
            FIX,
        )),
    }
}

/// Where a switch of this machine is known to stand in the way, that is the fix.
fn by_sysctl(refusal: Refusal) -> Refusal {
    match sysctl_in_the_way() {
        Some(fix) => Refusal {
            fix: fix.to_owned(),
            ..refusal
        },
        None => refusal,
    }
}

/// Init's part.
fn inside(
    grant: &Grant,
    owner: &Ids,
    plan: &Plan,
    control: &OwnedFd,
    teller: &Teller,
) -> Option<()> {
    let identity = Identity {
        name: grant.workload.name.to_string(),
        fqdn: grant.fqdn.clone(),
        uid: owner.inside.0,
        gid: owner.inside.1,
    };
    let mapped = mapped_user(&identity, control).map_err(by_sysctl);
    if let Err(refusal) = &mapped {
        teller.tell(Finding::refused("id-maps", refusal));
        return None;
    }
    let settings = network::settings().map_err(by_sysctl);
    teller.step(
        "network-settings",
        settings,
        "the network inside can be set up",
    )?;
    let loopback = network::loopback(&grant.address).map_err(by_sysctl);
    let text = "every address leads back inside (loopback device, routes)";
    teller.step("loopback", loopback, text)?;
    let text = "refused packets are told (nfnetlink_log)";
    let _log = teller.step("firewall-log", network::log(), text)?;
    let text = "the firewall can be loaded (nftables with tproxy and log, IPv4 and IPv6)";
    teller.step("firewall", network::firewall(), text)?;
    let text = "doors can be opened (marked, transparent sockets, IPv4 and IPv6)";
    let doors = teller.step("door-sockets", network::doors(), text)?;
    let text =
        "TCP and UDP to anywhere, by IPv4 and IPv6, end at the doors and keep their destination";
    teller.step("steering", steered(&doors), text)?;
    drop(doors);

    let switches = limits::NamespaceSwitches::open();
    let text = "further namespaces can be forbidden inside";
    let switches = teller.step("namespace-limits", switches, text)?;
    let text = "a fresh /proc can be mounted inside";
    teller.step("proc", root::own_proc().map(drop), text)?;
    let text = "a root of allowed trees can be built (mount_setattr, open_tree, pivot_root)";
    teller.step("root", root::build(plan, &identity), text)?;
    if let Err(refusal) = switches.close() {
        teller.tell(Finding::refused("namespace-limits", &refusal));
        return None;
    }
    let terminal = root::open_terminal().or_refuse("the terminal", FIX);
    teller.step(
        "terminal",
        terminal.map(drop),
        "terminals can be opened inside",
    )?;
    let dropped = privileges::drop_all_but(CapabilitySet::empty())
        .or_refuse("the dropping of capabilities", FIX);
    teller.step(
        "capabilities",
        dropped,
        "capabilities can be given up for good",
    )?;
    let text = "processes, open files, locked memory and core files can be bounded";
    teller.step(
        "limits",
        limits::apply(ringfence_model::limits::PROCESSES),
        text,
    )
}

fn mapped_user(identity: &Identity, control: &OwnedFd) -> Result<(), Refusal> {
    rustix::process::setsid().or_refuse("init's session", FIX)?;
    sys::prctl(libc::PR_SET_DUMPABLE, [1, 0, 0, 0]).or_refuse("the user namespace", FIX)?;
    channel::send(control, &FromInit::Born, &[]).or_refuse("the talk with the launcher", FIX)?;
    channel::recv::<ToInit>(control).or_refuse("the talk with the launcher", FIX)?;
    privileges::become_user(identity.uid, identity.gid)
        .or_refuse("the user of the workload", FIX)?;
    privileges::die_with_parent().or_refuse("the parent-death signal", FIX)?;
    sys::set_host_name(&identity.name).or_refuse("the host name", FIX)
}

/// Sends to addresses of nobody, as a workload would, and looks at what arrives at the doors.
fn steered(doors: &[(Socket, OwnedFd)]) -> Result<(), Refusal> {
    let fix = "load the kernel modules nft_tproxy, nf_tproxy_ipv4 and nf_tproxy_ipv6; report this with the kernel's \
               version (`uname -r`) if they are";
    let of = |wanted: Socket| {
        doors
            .iter()
            .find(|(socket, _)| *socket == wanted)
            .map(|(_, door)| door)
            .ok_or_else(|| io::Error::other("a door is missing"))
    };
    let kinds = [
        (ELSEWHERE[0], Socket::TcpDoor4, Socket::UdpDoor4),
        (ELSEWHERE[1], Socket::TcpDoor6, Socket::UdpDoor6),
    ];
    for (destination, tcp, udp) in kinds {
        let steer = || -> io::Result<()> {
            let destination: SocketAddr = destination.parse().map_err(io::Error::other)?;
            connect(destination, of(tcp)?)?;
            send(destination, of(udp)?)
        };
        steer().or_refuse(&format!("the way from {destination} to a door"), fix)?;
    }
    Ok(())
}

fn connect(destination: SocketAddr, door: &OwnedFd) -> io::Result<()> {
    let _connection = TcpStream::connect_timeout(&destination, PACKET_TIME)?;
    await_readable(door)?;
    let accepted = rustix::net::accept(door)?;
    let arrived = SocketAddr::try_from(rustix::net::getsockname(&accepted)?)?;
    keeps(destination, arrived)
}

fn send(destination: SocketAddr, door: &OwnedFd) -> io::Result<()> {
    let any: SocketAddr = if destination.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        ([0_u16; 8], 0).into()
    };
    UdpSocket::bind(any)?.send_to(b"x", destination)?;
    await_readable(door)?;
    let received = datagram::recv_original(door, &mut [0; 16])?;
    let arrived = received.destination;
    keeps(destination, SocketAddr::new(arrived.ip(), arrived.port()))
}

fn keeps(destination: SocketAddr, arrived: SocketAddr) -> io::Result<()> {
    if destination == arrived {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "what was sent to {destination} arrived as {arrived}"
    )))
}

fn await_readable(door: &OwnedFd) -> io::Result<()> {
    let patience = Timespec {
        tv_sec: PACKET_TIME.as_secs() as i64,
        tv_nsec: 0,
    };
    let mut waiting = [PollFd::new(door, PollFlags::IN)];
    match rustix::event::poll(&mut waiting, Some(&patience))? {
        0 => Err(io::Error::other("nothing arrived")),
        _ => Ok(()),
    }
}

/// Root's way to let a workload write in a directory of somebody else.
fn mapped(id: u32) -> Finding {
    const ID: &str = "id-mapped-mount";
    let directory = std::env::temp_dir();
    match root::try_on(&directory, id) {
        Ok(()) => Finding::ok(
            ID,
            format!(
                "work directories on the file system of {} can be given to workloads of root (id-mapped mounts)",
                directory.display()
            ),
        ),
        Err(refusal) => Finding::warn(ID, refusal.what, refusal.fix),
    }
}
