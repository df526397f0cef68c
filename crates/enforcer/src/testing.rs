//! An enforcer without namespaces, for tests: real sockets, a real log, real policy; only the doors are plain
//! loopback listeners, so that the original destination is told instead of read.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringfence_audit::{Log, Reader};
use ringfence_compartment::inspect::own_namespace;
use ringfence_model::flow::Flow;
use ringfence_model::{
    Generation, HostName, InstanceId, Kind, Name, OriginalDst, VirtualAddr, WorkloadId,
};
use rustix::net::{AddressFamily, SocketType, socket};
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
        for entry in std::fs::read_dir(self.log.path()).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
        let until = Instant::now() + Duration::from_secs(5);
        while self.node.recorder.before(&Flow::default().into()).is_ok() {
            assert!(
                Instant::now() < until,
                "the log does not notice that its file is gone"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn unconnected(family: AddressFamily, kind: SocketType) -> OwnedFd {
    socket(family, kind, None).unwrap()
}
