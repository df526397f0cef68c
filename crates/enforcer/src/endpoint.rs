//! Dials services that are outside compartments, at the addresses their resource declares.
//!
//! A declared endpoint is the operator's word: it may be any address, the host's own loopback included. What an
//! agent says never chooses one; it names the service, and the service's endpoints are tried in order.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ringfence_model::Protocol;
use ringfence_model::resource::{Endpoint, EndpointHost, EndpointTls, TrustAnchors};
use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::SYSTEM_ANCHORS;
use crate::limits::{CONNECT_TIMEOUT, ENDPOINT_KEEPALIVE, HANDSHAKE_TIMEOUT};
use crate::upstream::Stream;

mod lookup;

use lookup::Lookup;

/// HTTP/2, by ALPN. An endpoint that is to speak it has to say so: other protocols may not notice what they are sent.
const HTTP2: &[u8] = b"h2";

/// An endpoint, ready to be dialled.
pub(crate) struct Target {
    declared: Endpoint,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// Fingerprint of the PEM files behind `tls`.
    files: u64,
    lookup: Lookup,
}

/// Why an endpoint cannot be used. The whole generation is rejected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndpointError {
    /// The node did not send it.
    #[error("{0} was not handed over; check that the node may read it")]
    Missing(String),
    /// Not PEM, or not what it should be.
    #[error("{file} does not hold {what}: {cause}; give a PEM file that does")]
    Pem {
        file: String,
        what: &'static str,
        cause: String,
    },
    /// No anchor at all.
    #[error("{0} holds no certificate that can serve as trust anchor; give a PEM file with one")]
    NoAnchors(String),
    /// Key and certificate do not belong together, or the key is of an unknown kind.
    #[error("{cert} and {key} do not work as a client certificate: {cause}")]
    ClientCert {
        cert: String,
        key: String,
        cause: rustls::Error,
    },
    /// A name no certificate can carry.
    #[error("{0:?} cannot be verified in a certificate; set endpoints.tls.name to a host name")]
    Name(String),
    /// rustls without TLS 1.3.
    #[error("TLS 1.3 cannot be set up: {0}")]
    Protocol(rustls::Error),
}

impl Target {
    /// Prepares `declared`. `files` are the PEM files by path.
    pub(crate) fn new(
        declared: &Endpoint,
        protocol: Protocol,
        files: &BTreeMap<PathBuf, String>,
    ) -> Result<Self, EndpointError> {
        let tls = match &declared.tls {
            None => None,
            Some(tls) => {
                let name = ServerName::try_from(tls.name.as_str().to_owned())
                    .map_err(|_| EndpointError::Name(tls.name.to_string()))?;
                Some((Arc::new(client_config(tls, protocol, files)?), name))
            }
        };
        let files = fingerprint(declared, files);
        Ok(Self {
            declared: declared.clone(),
            tls,
            files,
            lookup: Lookup::default(),
        })
    }

    /// Whether `other` asks for the same address with the same guarantees, down to the contents of its PEM files;
    /// where it is written does not matter.
    pub(crate) fn is(&self, other: &Target) -> bool {
        self.declared.host == other.declared.host
            && self.declared.port == other.declared.port
            && self.declared.tls == other.declared.tls
            && self.files == other.files
    }

    /// Whether it is dialled with TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// What an HTTP request to it names as its authority.
    pub(crate) fn authority(&self) -> String {
        let (host, usual) = match (&self.declared.tls, &self.declared.host) {
            (Some(tls), _) => (tls.name.to_string(), 443),
            (None, EndpointHost::Name(name)) => (name.to_string(), 80),
            (None, EndpointHost::Ip(ip)) if ip.is_ipv6() => (format!("[{ip}]"), 80),
            (None, EndpointHost::Ip(ip)) => (ip.to_string(), 80),
        };
        if self.declared.port == usual {
            host
        } else {
            format!("{host}:{}", self.declared.port)
        }
    }

    async fn dial(&self) -> io::Result<Stream> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in self.addresses().await? {
            match self.dial_address(address).await {
                Ok(stream) => return Ok(stream),
                Err(cause) => last = named(cause, format_args!("{address}")),
            }
        }
        Err(last)
    }

    /// Where it is now: at most [`ADDRESSES_PER_ENDPOINT`](crate::limits::ADDRESSES_PER_ENDPOINT) addresses.
    pub(crate) async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        match &self.declared.host {
            EndpointHost::Ip(ip) => Ok(vec![SocketAddr::new(*ip, self.declared.port)]),
            EndpointHost::Name(name) => self.lookup.find(name, self.declared.port).await,
        }
    }

    async fn dial_address(&self, address: SocketAddr) -> io::Result<Stream> {
        let tcp = timeout(CONNECT_TIMEOUT, TcpStream::connect(address))
            .await
            .map_err(|_| late("connect", CONNECT_TIMEOUT))??;
        tcp.set_nodelay(true)?;
        // As at the doors: an urgent byte stays in the stream.
        rustix::net::sockopt::set_socket_oobinline(&tcp, true)?;
        rustix::net::sockopt::set_socket_keepalive(&tcp, true)?;
        rustix::net::sockopt::set_tcp_keepidle(&tcp, ENDPOINT_KEEPALIVE)?;
        let Some((config, name)) = &self.tls else {
            return Ok(Stream::Plain(tcp.into()));
        };
        let handshake = TlsConnector::from(Arc::clone(config)).connect(name.clone(), tcp.into());
        let tls = timeout(HANDSHAKE_TIMEOUT, handshake)
            .await
            .map_err(|_| late("shake hands", HANDSHAKE_TIMEOUT))??;
        let agreed = tls.get_ref().1.alpn_protocol();
        if config.alpn_protocols.iter().any(|it| it == HTTP2) && agreed != Some(HTTP2) {
            return Err(io::Error::other("it does not speak HTTP/2: no h2 by ALPN"));
        }
        Ok(Stream::Tls(Box::new(tls)))
    }
}

/// Dials `targets` in order; the first that answers as it must is it. Gives its place in the list.
pub(crate) async fn dial(targets: &[Target]) -> io::Result<(usize, Stream)> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no endpoint is declared");
    for (index, target) in targets.iter().enumerate() {
        match target.dial().await {
            Ok(stream) => return Ok((index, stream)),
            Err(cause) => last = cause,
        }
    }
    Err(last)
}

/// Tells one version of an endpoint's PEM files from the next. Our own operator's files: no adversary to withstand.
fn fingerprint(declared: &Endpoint, files: &BTreeMap<PathBuf, String>) -> u64 {
    let mut hasher = DefaultHasher::new();
    if let Some(tls) = &declared.tls {
        let anchors = match &tls.ca {
            TrustAnchors::System => Path::new(SYSTEM_ANCHORS),
            TrustAnchors::File(path) => path,
        };
        files.get(anchors).hash(&mut hasher);
        if let Some(client) = &tls.client_cert {
            files.get(&client.cert).hash(&mut hasher);
            files.get(&client.key).hash(&mut hasher);
        }
    }
    hasher.finish()
}

fn late(what: &str, limit: std::time::Duration) -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        format!("did not {what} within {limit:?}"),
    )
}

fn named(cause: io::Error, what: std::fmt::Arguments<'_>) -> io::Error {
    io::Error::new(cause.kind(), format!("{what}: {cause}"))
}

/// TLS 1.3 only, our provider only, nothing resumed: a resumed session outlives the identity it was made with.
fn client_config(
    tls: &EndpointTls,
    protocol: Protocol,
    files: &BTreeMap<PathBuf, String>,
) -> Result<ClientConfig, EndpointError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(EndpointError::Protocol)?
        .with_root_certificates(anchors(&tls.ca, files)?);
    let mut config = match &tls.client_cert {
        None => builder.with_no_client_auth(),
        Some(client) => {
            let chain = certificates(&client.cert, files)?;
            let text = file(&client.key, files)?;
            let key = PrivateKeyDer::from_pem_slice(text.as_bytes())
                .map_err(|cause| not_pem(&client.key, "a private key", &cause))?;
            builder.with_client_auth_cert(chain, key).map_err(|cause| {
                EndpointError::ClientCert {
                    cert: client.cert.display().to_string(),
                    key: client.key.display().to_string(),
                    cause,
                }
            })?
        }
    };
    config.resumption = Resumption::disabled();
    config.alpn_protocols = match protocol {
        Protocol::Http => vec![b"http/1.1".to_vec()],
        Protocol::Http2 | Protocol::Grpc => vec![b"h2".to_vec()],
        Protocol::Tls | Protocol::Tcp | Protocol::Udp => Vec::new(),
    };
    Ok(config)
}

fn anchors(
    ca: &TrustAnchors,
    files: &BTreeMap<PathBuf, String>,
) -> Result<RootCertStore, EndpointError> {
    let mut store = RootCertStore::empty();
    let path = match ca {
        TrustAnchors::File(path) => {
            for certificate in certificates(path, files)? {
                store
                    .add(certificate)
                    .map_err(|cause| not_pem(path, "a usable trust anchor", &cause))?;
            }
            path.as_path()
        }
        TrustAnchors::System => {
            let path = Path::new(SYSTEM_ANCHORS);
            // A host's bundle may hold anchors of kinds that are not supported; they simply anchor nothing.
            store.add_parsable_certificates(certificates(path, files)?);
            path
        }
    };
    if store.is_empty() {
        return Err(EndpointError::NoAnchors(path.display().to_string()));
    }
    Ok(store)
}

fn certificates(
    path: &Path,
    files: &BTreeMap<PathBuf, String>,
) -> Result<Vec<CertificateDer<'static>>, EndpointError> {
    let found = CertificateDer::pem_slice_iter(file(path, files)?.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|cause| not_pem(path, "certificates", &cause))?;
    if found.is_empty() {
        return Err(EndpointError::NoAnchors(path.display().to_string()));
    }
    Ok(found)
}

fn file<'f>(path: &Path, files: &'f BTreeMap<PathBuf, String>) -> Result<&'f str, EndpointError> {
    files
        .get(path)
        .map(String::as_str)
        .ok_or_else(|| EndpointError::Missing(path.display().to_string()))
}

fn not_pem(path: &Path, what: &'static str, cause: &dyn std::fmt::Display) -> EndpointError {
    EndpointError::Pem {
        file: path.display().to_string(),
        what,
        cause: cause.to_string(),
    }
}

#[cfg(test)]
mod tests;
