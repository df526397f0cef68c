//! An enforcer without namespaces, for tests: real sockets, a real log, real policy; only the doors are plain
//! loopback listeners, so that the original destination is told instead of read.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringfence_audit::{Log, Reader, hot_directory};
use ringfence_compartment::inspect::own_namespace;
use ringfence_model::flow::Flow;
use ringfence_model::{
    Generation, HostName, InstanceId, Kind, Name, OriginalDst, VirtualAddr, WorkloadId,
};
use rustix::net::{AddressFamily, SocketType, socket};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;

use crate::Assignment;
use crate::compartment::Compartment;
use crate::inbound::Kind as Inbound;
use crate::inforce::InForce;
use crate::node::Node;
use crate::record::Recorder;

/// A node with a log of its own.
pub(crate) struct World {
    log: TempDir,
    pub(crate) node: Arc<Node>,
}

/// Where a workload is found in these tests: an address of the host's loopback, so that it can be dialled from.
pub(crate) fn address(last: u8) -> VirtualAddr {
    VirtualAddr {
        v4: Ipv4Addr::new(127, 0, 77, last),
        v6: Ipv6Addr::new(0xfd52, 0x6600, 0, 0, 0, 0, 0, u16::from(last)),
    }
}

/// The n-th workload, by name, has `address(n)`, from 1.
pub(crate) fn assignment(yaml: &str, files: BTreeMap<PathBuf, String>) -> Assignment {
    let estate = ringfence_model::load::documents(&[("estate.yaml", yaml.as_bytes())])
        .unwrap_or_else(|errors| panic!("{errors}"));
    let mut names: Vec<Name> = estate
        .services
        .iter()
        .map(|service| service.name.clone())
        .collect();
    names.extend(estate.agents.iter().map(|agent| agent.name.clone()));
    names.sort();
    let addresses = names.into_iter().zip((1..).map(address)).collect();
    Assignment {
        node: "here".to_owned(),
        zone: HostName::new("ringfence.internal").unwrap(),
        estate,
        addresses,
        files,
    }
}

impl World {
    /// Under generation 1.
    pub(crate) fn new(yaml: &str) -> Self {
        let log = tempfile::tempdir().unwrap();
        let recorder = Arc::new(Recorder::new(Log::open(log.path()).unwrap(), 7));
        let node = Node::new(recorder, own_namespace().unwrap(), 2000);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let ticking = Arc::clone(&node);
            runtime.spawn(async move { ticking.clock.run(&ticking.current).await });
        }
        let world = Self { log, node };
        world.load(1, yaml);
        world
    }

    /// Puts another generation in force.
    pub(crate) fn load(&self, generation: u64, yaml: &str) {
        self.load_with(generation, yaml, BTreeMap::new());
    }

    /// As [`World::load`], with PEM files.
    pub(crate) fn load_with(&self, generation: u64, yaml: &str, files: BTreeMap<PathBuf, String>) {
        let assignment = assignment(yaml, files);
        let next = InForce::compile(Generation(generation), &assignment)
            .unwrap_or_else(|unfit| panic!("{unfit}"));
        self.node.current.replace(next);
    }

    /// A compartment of `name` whose doors are the test's own.
    pub(crate) fn compartment(&self, kind: Kind, name: &str) -> Arc<Compartment> {
        let workload = WorkloadId {
            kind,
            name: Name::new(name).unwrap(),
        };
        let instance = InstanceId(format!("{name}-1-1").into());
        Compartment::new(&self.node, instance, workload, false)
    }

    /// A compartment of service `name` that connections can be made into.
    pub(crate) fn running(&self, name: &str) -> Arc<Compartment> {
        self.running_as(Kind::Service, name)
    }

    /// The same, of an agent or a service.
    pub(crate) fn running_as(&self, kind: Kind, name: &str) -> Arc<Compartment> {
        let compartment = self.compartment(kind, name);
        self.node
            .registry
            .enter_beside_others(&compartment, own_namespace().unwrap());
        for _ in 0..20 {
            compartment
                .inbound
                .put(
                    Inbound::Tcp4,
                    unconnected(AddressFamily::INET, SocketType::STREAM),
                )
                .unwrap();
            compartment
                .inbound
                .put(
                    Inbound::Tcp6,
                    unconnected(AddressFamily::INET6, SocketType::STREAM),
                )
                .unwrap();
            compartment
                .inbound
                .put(
                    Inbound::Udp4,
                    unconnected(AddressFamily::INET, SocketType::DGRAM),
                )
                .unwrap();
            compartment
                .inbound
                .put(
                    Inbound::Udp6,
                    unconnected(AddressFamily::INET6, SocketType::DGRAM),
                )
                .unwrap();
        }
        compartment
    }

    /// The n-th workload's address with `port`.
    pub(crate) fn at(&self, last: u8, port: u16) -> OriginalDst {
        OriginalDst::new(SocketAddr::new(address(last).v4.into(), port))
    }

    /// All records so far.
    pub(crate) fn log_directory(&self) -> &std::path::Path {
        self.log.path()
    }

    pub(crate) fn flows(&self) -> Vec<Flow> {
        let mut reader = Reader::open(self.log.path()).unwrap();
        let mut flows = Vec::new();
        while let Some((_, flow)) = reader.read().unwrap() {
            flows.push(flow);
        }
        flows
    }

    /// Waits until there are at least `count` records.
    pub(crate) async fn flows_when(&self, count: usize) -> Vec<Flow> {
        let until = Instant::now() + Duration::from_secs(5);
        loop {
            let flows = self.flows();
            if flows.len() >= count {
                return flows;
            }
            assert!(
                Instant::now() < until,
                "{count} records are expected, there are: {flows:#?}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Makes the log take nothing from now on.
    pub(crate) async fn break_log(&self) {
        for entry in std::fs::read_dir(hot_directory(self.log.path())).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ext| ext == "seg") {
                let segment = std::fs::File::options().write(true).open(path);
                segment.unwrap().set_len(0).unwrap();
            }
        }
        let until = Instant::now() + Duration::from_secs(5);
        while self.node.recorder.before(&Flow::default().into()).is_ok() {
            assert!(
                Instant::now() < until,
                "the log does not notice that its segment was cut"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Time that passes only when it is told to, so that a wait can be driven to its very end in no time. Sockets and threads
/// are real, and are waited for with [`until`].
pub(crate) struct Stopped {
    /// While a thread of the runtime is busy, its time does not pass by itself.
    _busy: std::sync::mpsc::Sender<()>,
}

impl Stopped {
    /// Stops the time of the present runtime, which has one thread.
    pub(crate) fn now() -> Self {
        tokio::time::pause();
        let (busy, over) = std::sync::mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || {
            // Nothing is ever sent: the end of the sender is the news.
            let _its_end = over.recv();
        });
        Self { _busy: busy }
    }

    /// Lets `time` pass, and everybody act on it who waited for less or as much.
    pub(crate) async fn pass(&self, time: Duration) {
        tokio::time::advance(time).await;
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    /// Drives `work`, which waits by now, to the end of a wait of `bound`: it must not end earlier, and must end then.
    pub(crate) async fn ends_after<T>(&self, bound: Duration, work: &tokio::task::JoinHandle<T>) {
        const LITTLE: Duration = Duration::from_millis(1);
        self.pass(bound - LITTLE).await;
        assert!(!work.is_finished(), "it ended before {bound:?}");
        self.pass(LITTLE * 2).await;
        until("it ends", || work.is_finished()).await;
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        tokio::time::resume();
    }
}

/// Waits, in the time of the world outside, until `is_so`.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < end, "not within 20 s: {what}");
        tokio::task::yield_now().await;
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Whether this is a process of the test's own, in network and mount namespaces of its own; otherwise makes one, which is
/// to pass, and gives `false`. `test` is the whole path of the test; `prepare` a line of shell that is run there before,
/// where `$DIR` is an empty directory. The socket that stands for its input is of the namespace outside.
pub(crate) fn alone(test: &str, prepare: &str) -> bool {
    const ALONE: &str = "RINGFENCE_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let (_, test) = test.split_once("::").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let script = format!("set -e; ip link set lo up; {prepare}\nexec \"$@\"");
    let mut command = std::process::Command::new("unshare");
    command.args(["--net", "--mount"]);
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    let outside = unconnected(AddressFamily::UNIX, SocketType::DGRAM);
    command
        .args(["sh", "-c", &script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(ALONE, "1")
        .env("DIR", directory.path())
        .stdin(outside);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    false
}

/// No further descriptor can be had in this process, which is the test's own, until this is dropped.
pub(crate) struct WantOfDescriptors {
    before: Rlimit,
}

impl WantOfDescriptors {
    pub(crate) fn now() -> Self {
        let before = getrlimit(Resource::Nofile);
        // The lowest that is free is the one that would be given out next.
        let next = unconnected(AddressFamily::UNIX, SocketType::DGRAM);
        let current = u64::try_from(next.as_raw_fd()).unwrap();
        let maximum = before.maximum;
        let low = Rlimit {
            current: Some(current),
            maximum,
        };
        setrlimit(Resource::Nofile, low).unwrap();
        Self { before }
    }
}

impl Drop for WantOfDescriptors {
    fn drop(&mut self) {
        setrlimit(Resource::Nofile, self.before).unwrap();
    }
}

fn unconnected(family: AddressFamily, kind: SocketType) -> OwnedFd {
    socket(family, kind, None).unwrap()
}
