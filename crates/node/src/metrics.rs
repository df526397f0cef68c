//! How a node stands and what its enforcer has counted, as a monitor reads it.
//!
//! Names, types, units and labels are promised in `docs/metrics.md`. Labels are fixed words; none names a workload.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use ringfence_compartment::figures::{BOUNDS_NS, Figures, Timing};
use ringfence_model::Kind;
use ringfence_model::resource::ModeKind;

use crate::process::Usage;
use crate::status::{EnforcerState, Status};

/// What the supervisor has counted of itself since it started.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) reloads_accepted: u64,
    pub(crate) reloads_rejected: u64,
    pub(crate) claims_granted: u64,
    pub(crate) claims_refused: u64,
    pub(crate) quarantines: u64,
    pub(crate) releases: u64,
    pub(crate) quarantines_ended: u64,
}

/// All that is shown, as it was at one moment.
#[derive(Debug)]
pub(crate) struct Readings {
    pub(crate) status: Box<Status>,
    /// Of the enforcer; `None` while none has told.
    pub(crate) figures: Option<Box<Figures>>,
    pub(crate) counts: Counts,
}

/// The two formats that scrapers ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Prometheus text 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

impl Readings {
    /// As one page.
    pub(crate) fn page(self, format: Format) -> Result<String, fmt::Error> {
        let own = Usage::of(std::process::id());
        let enforcer = self.status.enforcer.pid.and_then(Usage::of);
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Page {
            readings: self,
            own,
            enforcer,
        }));
        let mut page = String::with_capacity(16 * 1024);
        match format {
            Format::Prometheus => prometheus_text::encode(&mut page, &registry)?,
            Format::OpenMetrics => text::encode(&mut page, &registry)?,
        }
        Ok(page)
    }
}

#[derive(Debug)]
struct Page {
    readings: Readings,
    own: Option<Usage>,
    enforcer: Option<Usage>,
}

impl Collector for Page {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut out = Out(encoder);
        self.node(&mut out)?;
        self.log(&mut out)?;
        self.processes(&mut out)?;
        match &self.readings.figures {
            Some(figures) => traffic(&mut out, figures),
            None => Ok(()),
        }
    }
}

impl Page {
    fn node(&self, out: &mut Out<'_>) -> fmt::Result {
        let Readings { status, counts, .. } = &self.readings;
        let Status {
            policy,
            enforcer,
            estate,
            workloads,
            ..
        } = &**status;
        out.0
            .encode_descriptor(
                "ringfence_build",
                "The node's binary",
                None,
                MetricType::Info,
            )?
            .encode_info(&[("version", status.version.as_str())])?;
        out.gauge(
            "ringfence_degraded_reasons",
            "Reasons for which ringfence status exits with 5; 0 when all is well",
            status.degraded.len() as f64,
        )?;
        out.gauge(
            "ringfence_generation",
            "Generation of policy in force; 0 when everything is denied",
            policy.generation.0 as f64,
        )?;
        if let Some(since) = policy.since {
            out.gauge(
                "ringfence_generation_start_time_seconds",
                "When this node put the generation in force, in seconds since the Unix epoch",
                seconds(since),
            )?;
        }
        out.gauge(
            "ringfence_configuration_rejected",
            "1 while the files say something that is not taken, and an earlier generation stays in force",
            flag(policy.rejected.is_some()),
        )?;
        out.counters(
            "ringfence_reloads",
            "Configurations that were taken, and that were not",
            "result",
            &[
                ("accepted", counts.reloads_accepted),
                ("rejected", counts.reloads_rejected),
            ],
        )?;
        out.counters(
            "ringfence_claims",
            "Launchers that asked to be a workload, by answer",
            "result",
            &[
                ("granted", counts.claims_granted),
                ("refused", counts.claims_refused),
            ],
        )?;
        out.gauge(
            "ringfence_quarantined",
            "Workloads in quarantine: both directions denied, whatever policy says",
            status.quarantined.len() as f64,
        )?;
        out.counters(
            "ringfence_quarantines",
            "Quarantines that operators asked for, ended by release, and that ended by themselves",
            "action",
            &[
                ("quarantine", counts.quarantines),
                ("release", counts.releases),
                ("ended", counts.quarantines_ended),
            ],
        )?;
        let policies = |mode: ModeKind| {
            let with = estate.iter().filter(|one| one.mode == Some(mode));
            (mode.as_str(), with.count() as f64)
        };
        out.gauges(
            "ringfence_policies",
            "Policies in force, by what they do with refusals today",
            "mode",
            &[ModeKind::Enforce, ModeKind::Learn, ModeKind::Shadow].map(policies),
        )?;
        out.gauge(
            "ringfence_reviews_overdue",
            "Policies whose reviewBy is over",
            estate.iter().filter(|one| one.review_overdue).count() as f64,
        )?;
        let running = |(kind, word): (Kind, &'static str)| {
            let of = workloads.iter().filter(|workload| workload.kind == kind);
            (word, of.count() as f64)
        };
        out.gauges(
            "ringfence_instances",
            "Running compartments, by kind of workload",
            "kind",
            &[(Kind::Agent, "agent"), (Kind::Service, "service")].map(running),
        )?;
        out.gauge(
            "ringfence_compartments_armed",
            "Compartments whose doors the enforcer watches",
            workloads.iter().filter(|workload| workload.armed).count() as f64,
        )?;
        out.gauge(
            "ringfence_enforcer_up",
            "1 while an enforcer serves and answers",
            flag(enforcer.state == EnforcerState::Running),
        )?;
        out.counter(
            "ringfence_enforcer_restarts",
            "Times an enforcer was started again",
            enforcer.restarts,
        )
    }

    fn log(&self, out: &mut Out<'_>) -> fmt::Result {
        let log = &self.readings.status.log;
        let known = [
            (
                "ringfence_log_head",
                "Sequence number of the next record",
                log.head,
            ),
            (
                "ringfence_log_bytes",
                "Records written since the segment that the enforcer opened the log at",
                log.bytes,
            ),
            (
                "ringfence_log_reserved_bytes",
                "Bytes that the disk has given already for records to come",
                log.reserved,
            ),
            (
                "ringfence_log_free_bytes",
                "Bytes free on the file system of the flow log",
                log.free,
            ),
        ];
        for (name, help, value) in known {
            if let Some(value) = value {
                out.gauge(name, help, value as f64)?;
            }
        }
        out.gauge(
            "ringfence_log_accepting",
            "1 while the flow log takes records; 0 means that every new attempt is denied",
            flag(log.trouble.is_none() && log.head.is_some()),
        )
    }

    fn processes(&self, out: &mut Out<'_>) -> fmt::Result {
        let status = &self.readings.status;
        if let Some(own) = &self.own {
            own.encode(out, "process")?;
        }
        out.gauge(
            "process_start_time_seconds",
            "When the process started, in seconds since the Unix epoch",
            seconds(status.since),
        )?;
        if let Some(enforcer) = &self.enforcer {
            enforcer.encode(out, "ringfence_enforcer")?;
        }
        match status.enforcer.since {
            Some(since) => out.gauge(
                "ringfence_enforcer_start_time_seconds",
                "When the enforcer started, in seconds since the Unix epoch; its counters begin anew then",
                seconds(since),
            ),
            None => Ok(()),
        }
    }
}

/// What the enforcer has counted.
fn traffic(out: &mut Out<'_>, figures: &Figures) -> fmt::Result {
    let mut decisions = out.0.encode_descriptor(
        "ringfence_decisions",
        "Attempts on record, by kind of record, protocol, outcome and fixed word for the reason",
        None,
        MetricType::Counter,
    )?;
    for one in &figures.decisions {
        let labels = [
            ("kind", one.kind.as_str()),
            ("protocol", one.protocol.as_str()),
            ("outcome", one.outcome.as_str()),
            ("reason", one.reason.as_str()),
        ];
        decisions
            .encode_family(&labels)?
            .encode_counter::<NoLabelSet, _, f64>(&one.count, None)?;
    }
    let connections = &figures.connections;
    let opened: Vec<_> = connections
        .iter()
        .map(|one| (one.protocol.as_str(), one.opened))
        .collect();
    let closed: Vec<_> = connections
        .iter()
        .map(|one| (one.protocol.as_str(), one.closed))
        .collect();
    let open: Vec<_> = connections
        .iter()
        .map(|one| {
            (
                one.protocol.as_str(),
                one.opened.saturating_sub(one.closed) as f64,
            )
        })
        .collect();
    out.counters(
        "ringfence_connections_opened",
        "Connections that were let in",
        "protocol",
        &opened,
    )?;
    out.counters(
        "ringfence_connections_closed",
        "Connections that were let in and have ended",
        "protocol",
        &closed,
    )?;
    out.gauges(
        "ringfence_connections_open",
        "Connections that live",
        "protocol",
        &open,
    )?;
    out.counters(
        "ringfence_relayed_bytes",
        "Payload relayed: sent towards services, received from them",
        "direction",
        &[
            ("sent", figures.bytes_sent),
            ("received", figures.bytes_received),
        ],
    )?;
    let dns: Vec<_> = figures
        .dns
        .iter()
        .map(|(word, count)| (word.as_str(), *count))
        .collect();
    out.counters(
        "ringfence_dns_queries",
        "Queries at the doors, by what became of them",
        "result",
        &dns,
    )?;
    out.counters(
        "ringfence_log_unrecorded",
        "What the flow log did not take: attempts denied for that, and denials and closes that had happened",
        "of",
        &[
            ("denied", figures.unrecorded_denied),
            ("happened", figures.unrecorded_after),
        ],
    )?;
    out.histogram(
        "ringfence_decision_duration_seconds",
        "Time that decisions took",
        &figures.decide,
    )?;
    out.histogram(
        "ringfence_log_append_duration_seconds",
        "Time that the flow log took for a record",
        &figures.append,
    )?;
    out.histogram(
        "ringfence_http_request_delay_seconds",
        "From the last byte of a request's head to the first byte sent on, a dial included",
        &figures.delay,
    )
}

/// Families of one shape each.
pub(crate) struct Out<'a>(DescriptorEncoder<'a>);

impl Out<'_> {
    pub(crate) fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.0
            .encode_descriptor(name, help, None, MetricType::Gauge)?
            .encode_gauge(&value)
    }

    /// `name` without `_total`, which the format appends.
    pub(crate) fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.0
            .encode_descriptor(name, help, None, MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, f64>(&value, None)
    }

    pub(crate) fn counter_of_seconds(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.0
            .encode_descriptor(name, help, None, MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, f64>(&value, None)
    }

    fn counters(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: &[(&str, u64)],
    ) -> fmt::Result {
        let mut family = self
            .0
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        values.iter().try_for_each(|(word, value)| {
            family
                .encode_family(&[(label, *word)])?
                .encode_counter::<NoLabelSet, _, f64>(value, None)
        })
    }

    fn gauges(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: &[(&str, f64)],
    ) -> fmt::Result {
        let mut family = self
            .0
            .encode_descriptor(name, help, None, MetricType::Gauge)?;
        values.iter().try_for_each(|(word, value)| {
            family.encode_family(&[(label, *word)])?.encode_gauge(value)
        })
    }

    fn histogram(&mut self, name: &str, help: &str, timing: &Timing) -> fmt::Result {
        let bounds = BOUNDS_NS.iter().map(|ns| *ns as f64 / 1e9);
        let buckets: Vec<(f64, u64)> = bounds
            .chain([f64::INFINITY])
            .zip(timing.buckets.iter().copied())
            .collect();
        self.0
            .encode_descriptor(name, help, None, MetricType::Histogram)?
            .encode_histogram::<NoLabelSet>(
                timing.sum_ns as f64 / 1e9,
                timing.count(),
                &buckets,
                None,
            )
    }
}

fn seconds(at: jiff::Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1e3
}

fn flag(set: bool) -> f64 {
    f64::from(u8::from(set))
}
