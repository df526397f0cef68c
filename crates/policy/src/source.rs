//! What the two kinds of workload have in common, read from their resources.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use ringfence_model::resource::{Agent, Endpoint, Mode, Service};
use ringfence_model::{HostName, Kind, Name, Position, VirtualAddr, WorkloadId};

use crate::snapshot::{Facts, Lapse, Others, Soft, Workload};

/// A workload's resource.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    Service(&'a Service),
    Agent(&'a Agent),
}

impl<'a> Source<'a> {
    pub(crate) fn name(&self) -> &'a Name {
        match self {
            Self::Service(service) => &service.name,
            Self::Agent(agent) => &agent.name,
        }
    }

    pub(crate) fn at(&self) -> &'a Position {
        match self {
            Self::Service(service) => &service.at,
            Self::Agent(agent) => &agent.at,
        }
    }

    pub(crate) fn id(&self) -> WorkloadId {
        let kind = match self {
            Self::Service(_) => Kind::Service,
            Self::Agent(_) => Kind::Agent,
        };
        WorkloadId {
            kind,
            name: self.name().clone(),
        }
    }

    pub(crate) fn hosts(&self) -> &'a [HostName] {
        match self {
            Self::Service(service) => &service.hosts,
            Self::Agent(agent) => &agent.hosts,
        }
    }

    pub(crate) fn endpoints(&self) -> &'a [Endpoint] {
        match self {
            Self::Service(service) => &service.endpoints,
            Self::Agent(_) => &[],
        }
    }

    /// Before any policy is known.
    pub(crate) fn facts(&self, zone: &HostName) -> Facts {
        let (others, lapse) = match self {
            Self::Agent(_) => (Others::NoPolicy, None),
            Self::Service(service) => {
                let others = match service.receive {
                    None => Others::Welcome,
                    Some(_) => Others::NotListed,
                };
                (others, lapse(service))
            }
        };
        let (owner, labels) = match self {
            Self::Service(service) => (&service.owner, &service.labels),
            Self::Agent(agent) => (&agent.owner, &agent.labels),
        };
        let id = self.id();
        Facts {
            policy: None,
            soft: None,
            receives_by_policy: !matches!(self, Self::Service(service) if service.receive.is_some()),
            spiffe_id: format!("spiffe://{zone}/{}/{}", id.kind, id.name).into(),
            owner: owner.as_deref().map(Into::into),
            labels: labels.clone(),
            others,
            lapse,
            initiate: Vec::new(),
            receive: Vec::new(),
        }
    }

    pub(crate) fn workload(&self, address: VirtualAddr, names: Vec<HostName>) -> Workload {
        let (serves, path_allowances, record, purpose) = match self {
            Self::Service(service) => (
                Some((service.protocol, service.port)),
                service.path_allowances,
                service.record.clone(),
                None,
            ),
            Self::Agent(agent) => (
                agent
                    .serves
                    .as_ref()
                    .map(|serves| (serves.protocol, serves.port)),
                agent
                    .serves
                    .as_ref()
                    .map(|serves| serves.path_allowances)
                    .unwrap_or_default(),
                agent
                    .serves
                    .as_ref()
                    .map(|serves| serves.record.clone())
                    .unwrap_or_default(),
                agent.purpose.clone(),
            ),
        };
        Workload {
            id: self.id(),
            address,
            serves,
            names,
            path_allowances,
            record,
            endpoints: self.endpoints().to_vec(),
            purpose,
        }
    }
}

/// When a service that has an endpoint without mutual authentication is denied. One without an exemption always is.
fn lapse(service: &Service) -> Option<Lapse> {
    let mutual =
        |endpoint: &Endpoint| matches!(&endpoint.tls, Some(tls) if tls.client_cert.is_some());
    let unproven = service
        .endpoints
        .iter()
        .find(|endpoint| !mutual(endpoint))?;
    let never = Lapse {
        from: Timestamp::MIN,
        last_day: Date::MIN,
        at: unproven.at.clone(),
    };
    let Some(exemption) = &service.mutual_auth else {
        return Some(never);
    };
    Some(Lapse {
        from: day_after(exemption.until),
        last_day: exemption.until,
        at: exemption.at.clone(),
    })
}

/// The first second (UTC) after `day`; before all time where the calendar ends.
pub(crate) fn day_after(day: Date) -> Timestamp {
    day.tomorrow()
        .and_then(|day| day.to_zoned(TimeZone::UTC))
        .map_or(Timestamp::MIN, |midnight| midnight.timestamp())
}

/// When a mode softens its policy's refusals.
pub(crate) fn soft(mode: &Mode) -> Option<Soft> {
    let (first, last) = mode.window()?;
    let from = first.to_zoned(TimeZone::UTC).ok()?.timestamp();
    Some(Soft {
        kind: mode.kind,
        from,
        end: day_after(last),
    })
}
