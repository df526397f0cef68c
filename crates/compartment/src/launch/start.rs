//! From a grant to a compartment whose doors are armed, and whose workload may start.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::thread::CapabilitySet;

use super::enclose::{self, Enclosed, Score};
use super::environment::Environment;
use super::hints::Said;
use super::link::Link;
use super::node::{Claimed, answer};
use super::pump::Pump;
use super::streams::Streams;
use super::terminal::Terminal;
use super::{LaunchRequest, birth};
use crate::doors::DOORS;
use crate::error::{OrRefuse, Refusal};
use crate::inside::init::{self, Setup};
use crate::inside::keeper::{self, Keeper, Namespaces};
use crate::inside::program::Pinned;
use crate::inside::talk::{FromInit, ToInit};
use crate::link::{FromEnforcer, Grant, Socket};
use crate::root::{Identity, Plan};
use crate::{channel, privileges, seccomp, sys};

/// User and group inside for a caller who is root outside: nobody is root inside without asking for it.
const INSIDE_ID: u32 = 1000;
/// How long process 1 may take to notice that it is to end. Then it is killed.
const PATIENCE: Duration = Duration::from_secs(2);

/// All that a compartment is made of, in one `clone`: for a machine that is probed.
pub(crate) const NAMESPACES: i32 = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;

/// Process 1 of the compartment, as the launcher holds it.
pub(super) struct Init {
    pub(super) pid: i32,
    pub(super) process: OwnedFd,
    pub(super) control: OwnedFd,
}

/// A compartment that stands.
pub(super) struct Started {
    pub(super) grant: Grant,
    pub(super) node: OwnedFd,
    pub(super) link: Link,
    pub(super) init: Init,
    /// From the workload's process, until the program runs.
    pub(super) report: OwnedFd,
    pub(super) keeper: Keeper,
    /// The four doors.
    pub(super) doors: Vec<(Socket, OwnedFd)>,
    /// The sockets that answer DNS.
    pub(super) answers: Vec<(Socket, OwnedFd)>,
    pub(super) log: OwnedFd,
    pub(super) terminal: Option<Terminal>,
    pub(super) pumps: Vec<Pump>,
    /// What bounds it from outside.
    pub(super) enclosed: Enclosed,
    /// What an enforcer is told about it.
    pub(super) said: Said,
    /// Keeps the work directory to this compartment.
    pub(super) plan: Plan,
}

/// What the caller gave, and this process was.
pub(super) struct Given {
    pub(super) streams: Streams,
    pub(super) environment: Environment,
    pub(super) ignored_signals: Vec<i32>,
    pub(super) score: Score,
}

/// Builds everything, in order, and hands the doors over. The workload starts when the enforcer says it is armed.
pub(super) fn start(
    request: &LaunchRequest,
    claimed: Claimed,
    given: Given,
    signals: &OwnedFd,
) -> Result<Started, Refusal> {
    let Claimed {
        node,
        grant,
        program,
        mut link,
    } = claimed;
    let Given {
        streams,
        environment,
        ignored_signals,
        mut score,
    } = given;
    let ids = Ids::decide(&grant, request.user)?;
    if ids.dynamic.is_some() {
        streams.open_pipes().or_refuse(
            "the standard streams",
            "redirect them to files or /dev/null",
        )?;
    }
    let plan = Plan::make(&grant, request.workdir.as_deref(), ids.dynamic)?;
    let (control, far_control) = channel::pair().or_refuse("a channel", FIX)?;
    let (report, far_report) = channel::pair().or_refuse("a channel", FIX)?;
    let setup = Setup {
        plan,
        identity: Identity {
            name: grant.workload.name.to_string(),
            fqdn: grant.fqdn.clone(),
            uid: ids.inside.0,
            gid: ids.inside.1,
        },
        address: grant.address,
        command: request.command.clone(),
        pinned: program
            .as_ref()
            .map(Pinned::of)
            .transpose()
            .or_refuse("the program", FIX)?,
        environment: environment.variables,
        path: environment.path,
        streams: streams.given,
        ignored_signals,
        processes: grant.bounds.processes,
        control: far_control,
        report: far_report,
    };
    if setup.command.is_empty() {
        return Err(Refusal::new("no program is named", "give one after --"));
    }
    let users = birth::user_namespace(|pid| ids.write_maps(pid), signals)?;
    let mut enclosed = Enclosed::nowhere();
    score.raise()?;
    let enclose = |process: i32| {
        score.restore()?;
        if grant.encloses {
            let (found, newer) = enclose::ask(&node, process, signals)?;
            enclosed = found;
            if let Some(newer) = newer {
                link = newer;
            }
        }
        Ok(())
    };
    let pid = birth::process_1(&users, enclose, || init::run(&setup))?;
    enclosed.scored = enclose::has_score(pid);
    let own_user = ids.dynamic.is_some();
    let said = Said::of(own_user, &enclosed.enclosure, enclosed.scored);
    let init = Init {
        pid,
        process: birth::descriptor(pid).or_refuse("process 1", FIX)?,
        control,
    };
    let Setup {
        plan,
        control,
        report: its_report,
        streams: given,
        ..
    } = setup;
    // The child's ends, by which its end is noticed, and what is the workload's alone.
    drop((control, its_report, given));

    let namespaces = Namespaces {
        user: users,
        network: expect_born(&init, signals)?,
    };
    let keeper = keeper::start(&namespaces, ids.inside).or_refuse("the keeper", FIX)?;
    drop(namespaces);

    let (sockets, log) = expect_doors(&init, signals)?;
    let master = expect_built(&init, signals)?;
    let mut pumps = streams.pumps;
    let terminal = match (streams.terminal, master) {
        (Some(outer), Some(master)) => {
            let (terminal, more) = Terminal::tie(outer, master, streams.interactive)
                .or_refuse("the terminal", "redirect the standard streams")?;
            pumps.extend(more);
            Some(terminal)
        }
        _ => None,
    };

    let mut link = Link::new(link).or_refuse("the link to the enforcer", FIX)?;
    link.hand_over(
        sockets
            .iter()
            .map(|(socket, descriptor)| (*socket, descriptor)),
        &said,
    )
    .or_refuse(
        "the hand-over of the doors",
        "look at what `ringfence up` says",
    )?;
    match answer::<FromEnforcer>(link.descriptor(), signals, "the enforcer")?.message {
        FromEnforcer::Armed => link.armed(),
        FromEnforcer::Rejected { reason } => {
            return Err(Refusal::new(
                format!("the enforcer does not take the doors: {reason}"),
                "restart the older of `ringfence up` and `ringfence run` if their versions differ",
            ));
        }
        other => {
            return Err(Refusal::new(
                format!("the enforcer answered {other:?} when it was to say that it is armed"),
                "restart the older of `ringfence up` and `ringfence run` if their versions differ",
            ));
        }
    }
    let (doors, others): (Vec<_>, Vec<_>) = sockets
        .into_iter()
        .partition(|(socket, _)| DOORS.contains(socket));
    let answers = others
        .into_iter()
        .filter(|(socket, _)| matches!(socket, Socket::Answer4 | Socket::Answer6))
        .collect();
    // Held so far, so that no other file gets its number. From here on the workload's process sees to it itself.
    harden().or_refuse("the launcher's own walls", FIX)?;
    tell(&init, ToInit::Start)?;
    Ok(Started {
        grant,
        node,
        link,
        init,
        report,
        keeper,
        doors,
        answers,
        log,
        terminal,
        pumps,
        enclosed,
        said,
        plan,
    })
}

pub(super) const FIX: &str = "report this with the kernel's version (`uname -r`)";

/// Who the workload is, inside and outside.
pub(crate) struct Ids {
    pub(crate) inside: (u32, u32),
    outside: (u32, u32),
    /// The outer id, when it is the workload's alone.
    pub(crate) dynamic: Option<u32>,
}

/// User and group of this process.
pub(super) fn own_ids() -> (u32, u32) {
    (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    )
}

/// What they are inside, where nothing else was `asked` for.
pub(super) fn ids_inside((uid, gid): (u32, u32), asked: Option<(u32, u32)>) -> (u32, u32) {
    let inside = |id| if id == 0 { INSIDE_ID } else { id };
    asked.unwrap_or((inside(uid), inside(gid)))
}

pub(super) fn no_user_of_its_own() -> Refusal {
    Refusal::new(
        "the node gave no user of its own to a workload that root starts",
        "use a node of root (`sudo ringfence up`), or start the workload as the node's user",
    )
}

impl Ids {
    /// As the grant and this process's own user have it, and as it was `asked` to look inside.
    pub(crate) fn decide(grant: &Grant, asked: Option<(u32, u32)>) -> Result<Self, Refusal> {
        let own = own_ids();
        let inside = ids_inside(own, asked);
        if own.0 != 0 {
            return Ok(Self {
                inside,
                outside: own,
                dynamic: None,
            });
        }
        let Some(outer) = grant.outer_id.filter(|id| *id != 0) else {
            return Err(no_user_of_its_own());
        };
        // Root's groups would come along otherwise.
        rustix::thread::set_thread_groups(&[]).or_refuse("the dropping of groups", FIX)?;
        Ok(Self {
            inside,
            outside: (outer, outer),
            dynamic: Some(outer),
        })
    }

    /// Gives the user namespace of process `pid` its one id.
    pub(crate) fn write_maps(&self, pid: i32) -> Result<(), Refusal> {
        let fix =
            "in a container, give it the whole range of user ids, or run ringfence outside of it";
        let write = |name: &str, text: String| {
            std::fs::write(format!("/proc/{pid}/{name}"), text).or_refuse("the user namespace", fix)
        };
        write("setgroups", "deny".to_owned())?;
        write(
            "uid_map",
            format!("{} {} 1\n", self.inside.0, self.outside.0),
        )?;
        write(
            "gid_map",
            format!("{} {} 1\n", self.inside.1, self.outside.1),
        )
    }
}

/// What is built needs no builder: from here on the launcher only watches. As root it keeps the right to end what runs
/// as another user, for itself and for the kernel that does it in its name when it dies.
fn harden() -> io::Result<()> {
    let kept = rustix::thread::capabilities(None)?.permitted & CapabilitySet::KILL;
    privileges::drop_all_but(kept)?;
    sys::install_filter(&seccomp::enforcer_program())
}

fn tell(init: &Init, message: ToInit) -> Result<(), Refusal> {
    channel::send(&init.control, &message, &[]).or_refuse("the talk with init", FIX)
}

/// The next message of init; its refusal is ours.
fn hear(init: &Init, signals: &OwnedFd) -> Result<channel::Packet<FromInit>, Refusal> {
    let packet = answer::<FromInit>(&init.control, signals, "process 1 of the compartment")?;
    match packet.message {
        FromInit::Failed(refusal) => Err(refusal),
        _ => Ok(packet),
    }
}

fn out_of_turn(message: &FromInit) -> Refusal {
    Refusal::wall(
        "the compartment",
        &format!("init said {message:?} out of turn"),
        FIX,
    )
}

/// Its network namespace.
fn expect_born(init: &Init, signals: &OwnedFd) -> Result<OwnedFd, Refusal> {
    let mut packet = hear(init, signals)?;
    match (packet.message, packet.descriptors.pop()) {
        (FromInit::Born, Some(network)) => Ok(network),
        (other, _) => Err(out_of_turn(&other)),
    }
}

/// Sockets by kind, and the firewall's log.
type Doors = (Vec<(Socket, OwnedFd)>, OwnedFd);

fn expect_doors(init: &Init, signals: &OwnedFd) -> Result<Doors, Refusal> {
    let mut packet = hear(init, signals)?;
    match (packet.message, packet.descriptors.pop()) {
        (FromInit::Doors(sockets), Some(log)) if sockets.len() == packet.descriptors.len() => {
            Ok((sockets.into_iter().zip(packet.descriptors).collect(), log))
        }
        (other, _) => Err(out_of_turn(&other)),
    }
}

fn expect_built(init: &Init, signals: &OwnedFd) -> Result<Option<OwnedFd>, Refusal> {
    let mut packet = hear(init, signals)?;
    match packet.message {
        FromInit::Built => Ok(packet.descriptors.pop()),
        other => Err(out_of_turn(&other)),
    }
}

impl Init {
    /// Ends the compartment: process 1 goes when its control socket does, and the kernel takes all others along.
    /// Returns once nothing of it is left.
    pub(super) fn end(self) -> io::Result<()> {
        self.end_within(PATIENCE)
    }

    fn end_within(self, patience: Duration) -> io::Result<()> {
        drop(self.control);
        let mut waiting = [rustix::event::PollFd::new(
            &self.process,
            rustix::event::PollFlags::IN,
        )];
        let patience = rustix::event::Timespec {
            tv_sec: patience.as_secs() as i64,
            tv_nsec: i64::from(patience.subsec_nanos()),
        };
        if !matches!(rustix::event::poll(&mut waiting, Some(&patience)), Ok(1)) {
            match rustix::process::pidfd_send_signal(&self.process, rustix::process::Signal::KILL) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(cause) => return Err(cause.into()),
            }
        }
        match sys::reap(self.pid) {
            Err(cause) if cause.raw_os_error() == Some(libc::ECHILD) => Ok(()),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// Somebody in the place of process 1.
    #[expect(clippy::zombie_processes, reason = "what is tested waits for it")]
    fn init(program: &[&str]) -> (Init, OwnedFd) {
        let (control, far) = channel::pair().unwrap();
        let child = std::process::Command::new(program[0])
            .args(&program[1..])
            .stdin(far.try_clone().unwrap())
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let process = birth::descriptor(pid).unwrap();
        let init = Init {
            pid,
            process,
            control,
        };
        (init, far)
    }

    #[test]
    fn a_process_1_that_does_not_notice_its_end_is_killed_and_one_that_does_is_waited_for() {
        let (deaf, _far) = init(&["sleep", "600"]);
        let (pid, patience) = (deaf.pid, Duration::from_millis(80));
        let start = Instant::now();
        deaf.end_within(patience).unwrap();
        assert!(start.elapsed() >= patience);
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
        // It ends with its stdin, as init does with its channel, and long before it would be killed.
        let (listening, far) = init(&["cat"]);
        drop(far);
        let pid = listening.pid;
        let start = Instant::now();
        listening.end_within(Duration::from_secs(600)).unwrap();
        assert!(start.elapsed() < Duration::from_secs(300));
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    }
}
