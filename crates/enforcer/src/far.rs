//! The other end of a connection: an instance in a compartment, or declared endpoints.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ringfence_model::{InstanceId, Name, Protocol, VirtualAddr};

use crate::cause::Cause;
use crate::compartment::Compartment;
use crate::datagrams::Place;
use crate::endpoint::{self, Target};
use crate::guests::{Full, Guest};
use crate::inforce::InForce;
use crate::registry::Registry;
use crate::upstream::Stream;

/// Whom a connection goes to. Chosen once: an instance's end is the connection's end.
pub(crate) enum Far {
    /// A compartment of this node.
    Inside(Inside),
    /// Outside of any.
    Outside(Outside),
}

/// A compartment, and the place a connection takes in it.
pub(crate) struct Inside {
    compartment: Arc<Compartment>,
    /// Given back when the connection ends.
    _guest: Guest,
}

/// Endpoints, in the order they are tried.
pub(crate) struct Outside {
    targets: Arc<[Target]>,
    /// Which of them was dialled last, from 1; 0: none.
    dialled: AtomicUsize,
}

/// Why nobody can be dialled.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Nobody {
    /// No instance.
    NotRunning(Name),
    /// The one whose turn it is has no place left.
    Crowded(Name),
    /// The one whose turn it is has given this caller as many as it leaves to others.
    Shared(Name),
}

impl Nobody {
    /// In a fixed word.
    pub(crate) fn cause(&self) -> Cause {
        match self {
            Nobody::NotRunning(_) => Cause::NotRunning,
            Nobody::Crowded(_) | Nobody::Shared(_) => Cause::Limit,
        }
    }
}

impl fmt::Display for Nobody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Nobody::NotRunning(name) => write!(f, "no instance of {name} is running"),
            Nobody::Crowded(name) => write!(f, "{name} has as many connections as it may"),
            Nobody::Shared(name) => write!(
                f,
                "{name} has as many connections of this caller as it leaves to others"
            ),
        }
    }
}

/// Who calls, and where to find the callee inside its compartment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    /// Becomes the source address.
    pub(crate) caller: VirtualAddr,
    /// The callee's own.
    pub(crate) callee: VirtualAddr,
    /// The callee's declared port.
    pub(crate) port: u16,
}

impl Far {
    /// For a connection of `caller` to `name`, which speaks `protocol`: its endpoints, or one of its instances, in turn.
    pub(crate) fn choose(
        force: &InForce,
        registry: &Registry,
        caller: &Name,
        name: &Name,
        protocol: Protocol,
    ) -> Result<Self, Nobody> {
        if let Some(targets) = force.endpoints(name) {
            let targets = Arc::clone(targets);
            return Ok(Self::Outside(Outside {
                targets,
                dialled: AtomicUsize::new(0),
            }));
        }
        let chosen = registry.choose(name);
        let compartment = chosen.ok_or_else(|| Nobody::NotRunning(name.clone()))?;
        let (guests, slots) = match protocol {
            Protocol::Udp => (&compartment.flow_guests, &compartment.flow_slots),
            Protocol::Http | Protocol::Http2 | Protocol::Grpc | Protocol::Tls | Protocol::Tcp => {
                (&compartment.guests, &compartment.slots)
            }
        };
        let guest = guests.take(slots, caller).map_err(|full| match full {
            Full::All => Nobody::Crowded(name.clone()),
            Full::Caller => Nobody::Shared(name.clone()),
        })?;
        Ok(Self::Inside(Inside {
            compartment,
            _guest: guest,
        }))
    }

    /// The compartment, if it is one.
    pub(crate) fn compartment(&self) -> Option<&Compartment> {
        match self {
            Far::Inside(inside) => Some(&inside.compartment),
            Far::Outside(_) => None,
        }
    }

    /// The instance, if it is one.
    pub(crate) fn instance(&self) -> Option<&InstanceId> {
        self.compartment().map(|compartment| &compartment.instance)
    }

    /// The endpoint in use, or the first in line; `None` towards a compartment.
    pub(crate) fn endpoint(&self) -> Option<&Target> {
        match self {
            Far::Inside(_) => None,
            Far::Outside(outside) => {
                let dialled = outside.dialled.load(Ordering::Acquire);
                outside.targets.get(dialled.saturating_sub(1))
            }
        }
    }

    /// A fresh connection to it. `way` is only asked for towards a compartment.
    pub(crate) async fn dial(&self, way: impl FnOnce() -> io::Result<Way>) -> io::Result<Stream> {
        match self {
            Far::Inside(inside) => {
                let Way {
                    caller,
                    callee,
                    port,
                } = way()?;
                let dialled = inside
                    .compartment
                    .inbound
                    .dial(caller, callee, port)
                    .await?;
                Ok(Stream::Inside(dialled))
            }
            Far::Outside(outside) => {
                let (index, stream) = endpoint::dial(&outside.targets).await?;
                self.chose_endpoint(index);
                Ok(stream)
            }
        }
    }

    /// Where datagrams for it may be sent, in the order they are tried: those of its `part`, from 0; `None` when it
    /// has no such part. A compartment is one, and so is each endpoint. `way` is only asked for towards a compartment.
    pub(crate) async fn places(
        &self,
        part: usize,
        way: impl FnOnce() -> io::Result<Way>,
    ) -> Option<io::Result<Vec<Place>>> {
        match self {
            Far::Inside(_) if part > 0 => None,
            Far::Inside(_) => Some(way().map(|way| Place::inside(&way))),
            Far::Outside(outside) => {
                let target = outside.targets.get(part)?;
                let place = |to| Place {
                    to,
                    from: None,
                    endpoint: Some(part),
                };
                let found = target.addresses().await;
                Some(found.map(|all| all.into_iter().map(place).collect()))
            }
        }
    }

    /// Notes which endpoint is in use, by its place in the list.
    pub(crate) fn chose_endpoint(&self, index: usize) {
        if let Far::Outside(outside) = self {
            outside.dialled.store(index + 1, Ordering::Release);
        }
    }

    /// Whether `force` would still send a connection to `name` here.
    pub(crate) fn is_declared(&self, force: &InForce, name: &Name) -> bool {
        match (self, force.endpoints(name)) {
            (Far::Inside(_), None) => true,
            (Far::Inside(_), Some(_)) | (Far::Outside(_), None) => false,
            (Far::Outside(outside), Some(declared)) => outside.is_among(declared),
        }
    }
}

impl Outside {
    fn is_among(&self, declared: &[Target]) -> bool {
        match self.dialled.load(Ordering::Acquire).checked_sub(1) {
            // Any of the old list may be dialled yet: it must be the list still.
            None => {
                self.targets.len() == declared.len()
                    && self
                        .targets
                        .iter()
                        .zip(declared)
                        .all(|(old, new)| old.is(new))
            }
            Some(dialled) => self
                .targets
                .get(dialled)
                .is_some_and(|old| declared.iter().any(|new| old.is(new))),
        }
    }
}
