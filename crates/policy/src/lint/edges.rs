//! Who may come in at all, and how they prove themselves.

use ringfence_model::resource::{Endpoint, Service};
use ringfence_model::{Kind, Protocol};

use super::codes::{
    EXEMPTION_ENDED, EXEMPTION_ENDS, IDLE_EXEMPTION, NO_MUTUAL_AUTH, NO_POLICY, OPEN_SERVICE,
    UNSEEN,
};
use super::view::{Receives, View};
use super::{EXEMPTION_NOTICE_DAYS, Finding};

pub(super) fn find(view: &View<'_>, findings: &mut Vec<Finding>) {
    for service in &view.estate.services {
        exemption(view, service, findings);
    }
    for workload in view.workloads.values() {
        if let (Some(service), Receives::Anyone) = (workload.service, &workload.receives) {
            findings.push(Finding::new(
                &OPEN_SERVICE,
                workload.id.to_string(),
                &service.at,
                "it has no receive list, so whoever's policy names it gets in",
                "add `receive: [{agent: NAME, operations: [...]}]` to it, or to its policy",
            ));
        }
    }
    for workload in view.workloads.values() {
        if matches!(workload.serves, Some((Protocol::Tls, _))) {
            findings.push(Finding::new(
                &UNSEEN,
                workload.id.to_string(),
                workload.at,
                "it speaks tls: who may connect is decided, and what they do inside cannot be seen",
                "let it speak http, http2 or grpc, so that each operation is decided and recorded; its callers then \
                 come without TLS of their own",
            ));
        }
    }
    for agent in &view.estate.agents {
        let known = view.workloads.get(&agent.name);
        if known.is_some_and(|it| it.id.kind == Kind::Agent && it.policy.is_none()) {
            findings.push(Finding::new(
                &NO_POLICY,
                format!("agent {}", agent.name),
                &agent.at,
                "it has no policy: it may start nothing and receives nothing",
                "add a Policy with `agent:` and its name, or remove the agent",
            ));
        }
    }
}

fn proves_itself(endpoint: &Endpoint) -> bool {
    endpoint
        .tls
        .as_ref()
        .is_some_and(|tls| tls.client_cert.is_some())
}

fn exemption(view: &View<'_>, service: &Service, findings: &mut Vec<Finding>) {
    let Some(exemption) = &service.mutual_auth else {
        return;
    };
    let resource = format!("service {}", service.name);
    let Some(unproven) = service
        .endpoints
        .iter()
        .find(|endpoint| !proves_itself(endpoint))
    else {
        findings.push(Finding::new(
            &IDLE_EXEMPTION,
            resource,
            &exemption.at,
            "nothing here goes without mutual authentication",
            "remove `mutualAuth`, so that a later endpoint without it is an error",
        ));
        return;
    };
    let until = exemption.until;
    let left = super::days(view.today, until);
    let help = "give its endpoints `tls: {clientCert: {cert, key}}`, or move `until` if that is not possible yet";
    let (code, message) = if until < view.today {
        (
            &EXEMPTION_ENDED,
            format!(
                "its exemption from mutual authentication ended with {until}: everything to it is denied"
            ),
        )
    } else if left <= EXEMPTION_NOTICE_DAYS {
        (
            &EXEMPTION_ENDS,
            format!(
                "its exemption from mutual authentication ends with {until}: everything to it is denied {}",
                super::from_then(left)
            ),
        )
    } else {
        (
            &NO_MUTUAL_AUTH,
            format!(
                "what goes to it is not mutually authenticated until {until}: {:?}",
                crate::explain::cut(&exemption.reason)
            ),
        )
    };
    findings
        .push(Finding::new(code, resource, &exemption.at, message, help).also(Some(&unproven.at)));
}
