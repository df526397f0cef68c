//! `kind: Service`.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::cross::{Draft, Offer};
use super::fields::{Fields, Reader};
use super::shapes;
use super::tree::{Mark, Node};
use crate::resource::{
    ClientCert, Endpoint, EndpointHost, EndpointTls, Exemption, Labels, Service, TrustAnchors,
};
use crate::{HostName, Name, Protocol};

/// What an endpoint without mutual authentication needs.
const PROVE: &str = "give it `tls: {clientCert: {cert, key}}`, or say \
                     `mutualAuth: {exempt: \"why\", until: 2027-01-31}` on the service";
/// The same where datagrams are sent.
const EXEMPT: &str =
    "say `mutualAuth: {exempt: \"why\", until: 2027-01-31}` on the service: udp has none";
/// The same where the workloads bring TLS of their own.
const UNSEEN: &str = "say `mutualAuth: {exempt: \"why\", until: 2027-01-31}` on the service: whether \
                      its callers prove themselves inside their own TLS cannot be seen";

impl Reader<'_> {
    pub(super) fn service(
        &mut self,
        name: Name,
        at: Mark,
        spec: Option<&Node>,
        base: Option<&Path>,
    ) -> Option<Draft<Service>> {
        let at = self.at(at);
        let Some(spec) = spec else {
            let help = "add `spec: {protocol: http, port: 8080}`";
            self.report
                .push(at, format!("service {name} has no spec"), help.to_owned());
            return None;
        };
        let fields = self.fields(spec, "the service's spec", &shapes::SERVICE)?;
        let protocol = fields
            .need(self, "protocol", "`protocol: http`")
            .and_then(|node| self.protocol(node));
        let port = fields
            .need(self, "port", "`port: 8080`")
            .and_then(|node| self.port(node));
        let owner = self.optional_words(&fields, "owner");
        let path_allowances = self.paths(&fields, protocol);
        let record = self.recorded(&fields, protocol);
        let attest = self.attest(&fields);
        let limits = self.limits(&fields);
        let hosts = self.hosts(&fields);
        let endpoints = self.endpoints(&fields, base);
        let mutual_auth = fields
            .get(self, "mutualAuth")
            .and_then(|node| self.exemption(node));
        if !fields.has("mutualAuth") {
            for endpoint in &endpoints {
                if endpoint
                    .tls
                    .as_ref()
                    .is_none_or(|tls| tls.client_cert.is_none())
                {
                    let message = "an endpoint without mutual authentication".to_owned();
                    let help = match protocol {
                        Some(Protocol::Udp) => EXEMPT,
                        Some(Protocol::Tls) => UNSEEN,
                        _ => PROVE,
                    };
                    self.report
                        .push(endpoint.at.clone(), message, help.to_owned());
                }
            }
        }
        let as_written = match protocol {
            Some(Protocol::Udp) => Some((
                "tls to an endpoint that takes datagrams",
                "remove tls: datagrams are sent on as the workload wrote them",
            )),
            Some(Protocol::Tls) => Some((
                "tls to an endpoint whose callers bring their own",
                "remove tls, or let the service speak http, http2 or grpc, and its callers without TLS",
            )),
            _ => None,
        };
        if let Some((message, help)) = as_written {
            for endpoint in endpoints.iter().filter(|endpoint| endpoint.tls.is_some()) {
                let message = message.to_owned();
                self.report
                    .push(endpoint.at.clone(), message, help.to_owned());
            }
        }
        let mut references = Vec::new();
        let receive = fields
            .get(self, "receive")
            .map(|node| self.entries(node, "receive", &mut references));
        let (offer, protocol) = match protocol {
            Some(protocol) => (Offer::Known(protocol, path_allowances), protocol),
            None => (Offer::Unknown, Protocol::Tcp),
        };
        let resource = Service {
            name,
            labels: Labels::new(),
            protocol,
            port: port.unwrap_or(0),
            hosts: hosts.iter().map(|(host, _)| host.clone()).collect(),
            owner,
            path_allowances,
            record,
            endpoints,
            mutual_auth,
            receive,
            attest,
            limits,
            at,
        };
        let hosts = hosts
            .into_iter()
            .map(|(host, mark)| (host, self.at(mark)))
            .collect();
        Some(Draft {
            resource,
            offer,
            hosts,
            references,
        })
    }

    fn exemption(&mut self, node: &Node) -> Option<Exemption> {
        let fields = self.fields(node, "mutualAuth", &shapes::EXEMPTION)?;
        let reason = fields
            .need(self, "exempt", "`exempt: \"why\"`")
            .and_then(|node| self.words(node, "exempt"));
        let until = fields
            .need(self, "until", "`until: 2027-01-31`, the last day")
            .and_then(|node| self.date(node, "until"));
        Some(Exemption {
            reason: reason?,
            until: until?,
            at: self.at(node.at),
        })
    }

    fn endpoints(&mut self, fields: &Fields<'_>, base: Option<&Path>) -> Vec<Endpoint> {
        let Some(node) = fields.get(self, "endpoints") else {
            return Vec::new();
        };
        let items = self.list(node, "endpoints").unwrap_or_default();
        if items.is_empty() {
            let help = "remove the line: without endpoints the service runs in a compartment";
            self.error(node.at, "the list of endpoints is empty", help);
        }
        items
            .iter()
            .filter_map(|item| self.endpoint(item, base))
            .collect()
    }

    fn endpoint(&mut self, node: &Node, base: Option<&Path>) -> Option<Endpoint> {
        let fields = self.fields(node, "the endpoint", &shapes::ENDPOINT)?;
        let address = fields
            .need(self, "address", "`address: \"db.internal:5432\"`")
            .and_then(|node| self.address(node));
        let tls = match fields.get(self, "tls") {
            Some(node) => Some(self.tls(node, address.as_ref().map(|(host, _)| host), base)?),
            None if fields.has("tls") => return None,
            None => None,
        };
        let (host, port) = address?;
        Some(Endpoint {
            host,
            port,
            tls,
            at: self.at(node.at),
        })
    }

    fn address(&mut self, node: &Node) -> Option<(EndpointHost, u16)> {
        let text = self.text(node, "address")?;
        let parsed = split_address(text);
        if parsed.is_none() {
            let help = "write HOST:PORT, such as \"db.internal:5432\" or \"[2001:db8::1]:443\"";
            self.error(
                node.at,
                format!("{text:?} is not an address with a port"),
                help,
            );
        }
        parsed
    }

    fn tls(
        &mut self,
        node: &Node,
        host: Option<&EndpointHost>,
        base: Option<&Path>,
    ) -> Option<EndpointTls> {
        let fields = self.fields(node, "tls", &shapes::TLS)?;
        let ca = match fields.get(self, "ca") {
            None => TrustAnchors::System,
            Some(node) => match self.file(node, "ca", base)? {
                path if path.as_os_str() == "system" => TrustAnchors::System,
                path => TrustAnchors::File(path),
            },
        };
        let name = match fields.get(self, "name") {
            Some(node) => {
                let text = self.text(node, "name")?;
                match HostName::new(text) {
                    Ok(name) => Some(name),
                    Err(_) => {
                        let help = "write the name on its certificate, such as db.internal";
                        self.error(node.at, format!("{text:?} is not a host name"), help);
                        None
                    }
                }
            }
            None => match host {
                Some(EndpointHost::Name(name)) => Some(name.clone()),
                Some(EndpointHost::Ip(_)) => {
                    let message = "tls to an address needs the name on the certificate";
                    self.error(node.at, message, "add `name: db.internal`");
                    None
                }
                None => None,
            },
        };
        let client_cert = match fields.get(self, "clientCert") {
            Some(node) => Some(self.client_cert(node, base)?),
            None if fields.has("clientCert") => return None,
            None => None,
        };
        Some(EndpointTls {
            ca,
            name: name?,
            client_cert,
        })
    }

    fn client_cert(&mut self, node: &Node, base: Option<&Path>) -> Option<ClientCert> {
        let fields = self.fields(node, "clientCert", &shapes::CLIENT_CERT)?;
        let mut file = |name: &'static str, example| {
            let node = fields.need(self, name, example)?;
            self.file(node, name, base)
        };
        let (cert, key) = (
            file("cert", "`cert: client.pem`"),
            file("key", "`key: client.key`"),
        );
        Some(ClientCert {
            cert: cert?,
            key: key?,
        })
    }

    /// A path, from the configuration directory if relative. The word `system` is left as it is.
    fn file(&mut self, node: &Node, what: &str, base: Option<&Path>) -> Option<PathBuf> {
        let text = self.text(node, what)?;
        if text.is_empty() || text.chars().any(char::is_control) {
            self.error(
                node.at,
                format!("{what} is not a file name"),
                "write the path of a PEM file",
            );
            return None;
        }
        match base {
            Some(base) if text != "system" => Some(base.join(text)),
            _ => Some(PathBuf::from(text)),
        }
    }
}

/// `host:port`, `v4:port`, `[v6]:port`.
fn split_address(text: &str) -> Option<(EndpointHost, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let port = port
        .parse()
        .ok()
        .filter(|&port: &u16| digits && port != 0)?;
    if let Some(inside) = host.strip_prefix('[') {
        let ip: IpAddr = inside.strip_suffix(']')?.parse().ok()?;
        return ip.is_ipv6().then_some((EndpointHost::Ip(ip), port));
    }
    if let Ok(ip) = host.parse::<IpAddr>() {
        return ip.is_ipv4().then_some((EndpointHost::Ip(ip), port));
    }
    // All digits and dots is a mistyped address, not a name.
    if host.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    Some((EndpointHost::Name(HostName::new(host).ok()?), port))
}
