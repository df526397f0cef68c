mod edges;
mod names;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use ringfence_model::resource::ClientCert;
use ringfence_model::{HostName, Position};
use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::{TlsAcceptor, server};

use super::*;
use crate::upstream::Upstream;

type ServerTls = server::TlsStream<TcpStream>;

struct Ca {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    /// Certificate and key for `name`, PEM.
    fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        (
            params.signed_by(&key, &self.issuer).unwrap().pem(),
            key.serialize_pem(),
        )
    }

    fn store(&self) -> RootCertStore {
        let mut store = RootCertStore::empty();
        store
            .add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap())
            .unwrap();
        store
    }
}

/// A TLS server with `identity`, asking callers for a certificate of `callers` when given.
fn server_config((cert, key): (String, String), callers: Option<&Ca>) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match callers {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let roots = Arc::new(ca.store());
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let chain = vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    Arc::new(builder.with_single_cert(chain, key).unwrap())
}

/// Accepts one connection after another, handing each handshake's outcome to `then`.
async fn serve<F, T>(config: Arc<ServerConfig>, then: F) -> (u16, JoinHandle<()>)
where
    F: Fn(io::Result<ServerTls>) -> T + Send + Sync + 'static,
    T: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            then(TlsAcceptor::from(Arc::clone(&config)).accept(tcp).await).await;
        }
    });
    (port, serving)
}

fn endpoint(port: u16, tls: Option<EndpointTls>) -> Endpoint {
    let host = EndpointHost::Ip(IpAddr::from(Ipv4Addr::LOCALHOST));
    Endpoint {
        host,
        port,
        tls,
        at: Position::default(),
    }
}

fn tls(name: &str, client_cert: Option<ClientCert>) -> EndpointTls {
    let ca = TrustAnchors::File("ca.pem".into());
    EndpointTls {
        ca,
        name: HostName::new(name).unwrap(),
        client_cert,
    }
}

fn client_cert() -> ClientCert {
    ClientCert {
        cert: "client.pem".into(),
        key: "client.key".into(),
    }
}

fn files(all: &[(&str, &str)]) -> BTreeMap<PathBuf, String> {
    all.iter()
        .map(|&(path, text)| (path.into(), text.to_owned()))
        .collect()
}

async fn dial_one(declared: Endpoint, files: &BTreeMap<PathBuf, String>) -> io::Result<Upstream> {
    let target = Target::new(&declared, Protocol::Tcp, files).unwrap();
    let (_, stream) = dial(&[target]).await?;
    Ok(Upstream::new(stream, Arc::default()))
}

async fn echo_once(tls: io::Result<ServerTls>) {
    if let Ok(mut tls) = tls {
        let mut byte = [0];
        tls.read_exact(&mut byte).await.unwrap();
        tls.write_all(&byte).await.unwrap();
        tls.shutdown().await.unwrap();
    }
}

async fn echoed(mut upstream: Upstream) -> io::Result<u8> {
    upstream.write_all(b"x").await?;
    upstream.flush().await?;
    upstream.read_u8().await
}

#[tokio::test]
async fn both_ends_prove_who_they_are() {
    let ca = Ca::new();
    let config = server_config(ca.issue("db.internal", |_| ()), Some(&ca));
    let (port, _serving) = serve(config, echo_once).await;
    let (cert, key) = ca.issue("ringfence", |_| ());
    let files = files(&[
        ("ca.pem", &ca.pem),
        ("client.pem", &cert),
        ("client.key", &key),
    ]);
    let with = endpoint(port, Some(tls("db.internal", Some(client_cert()))));
    assert_eq!(
        echoed(dial_one(with, &files).await.unwrap()).await.unwrap(),
        b'x'
    );
    // Without our certificate the same server turns us away: the test above tests something.
    let without = endpoint(port, Some(tls("db.internal", None)));
    let refused = match dial_one(without, &files).await {
        Ok(upstream) => echoed(upstream).await.map(drop),
        Err(cause) => Err(cause),
    };
    assert!(refused.is_err());
}

#[tokio::test]
async fn who_is_to_speak_http2_has_to_say_so() {
    let ca = Ca::new();
    let files = files(&[("ca.pem", &ca.pem)]);
    for (offered, protocol, taken) in [
        (&[][..], Protocol::Http2, false),
        (&[], Protocol::Grpc, false),
        (&["h2"], Protocol::Http2, true),
        (&["http/1.1", "h2"], Protocol::Grpc, true),
        (&[], Protocol::Http, true),
    ] {
        let mut config = server_config(ca.issue("db.internal", |_| ()), None);
        let offers = offered.iter().map(|it: &&str| it.as_bytes().to_vec());
        Arc::get_mut(&mut config).unwrap().alpn_protocols = offers.collect();
        let (port, _serving) = serve(config, echo_once).await;
        let declared = endpoint(port, Some(tls("db.internal", None)));
        let target = Target::new(&declared, protocol, &files).unwrap();
        let dialled = dial(&[target]).await.map(drop);
        assert_eq!(
            dialled.is_ok(),
            taken,
            "{offered:?} {protocol}: {dialled:?}"
        );
    }
}

#[tokio::test]
async fn refuses_who_does_not_prove_it() {
    let (ca, other) = (Ca::new(), Ca::new());
    let files = files(&[("ca.pem", &ca.pem)]);
    let past = |params: &mut CertificateParams| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    };
    for (identity, what) in [
        (other.issue("db.internal", |_| ()), "another authority"),
        (ca.issue("other.internal", |_| ()), "another name"),
        (ca.issue("db.internal", past), "expired"),
    ] {
        let (port, _serving) = serve(server_config(identity, None), echo_once).await;
        let dialled = dial_one(endpoint(port, Some(tls("db.internal", None))), &files).await;
        let cause = dialled
            .err()
            .unwrap_or_else(|| panic!("{what} is accepted"));
        assert_eq!(cause.kind(), io::ErrorKind::InvalidData, "{what}: {cause}");
    }
    // The same with the right certificate: it is the certificate that made the difference.
    let (port, _serving) = serve(
        server_config(ca.issue("db.internal", |_| ()), None),
        echo_once,
    )
    .await;
    let right = dial_one(endpoint(port, Some(tls("db.internal", None))), &files)
        .await
        .unwrap();
    assert_eq!(echoed(right).await.unwrap(), b'x');
}

#[tokio::test]
async fn plain_text_is_not_taken_for_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        tcp.write_all(b"220 welcome\r\n").await.unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
    });
    let files = files(&[("ca.pem", &Ca::new().pem)]);
    assert!(
        dial_one(endpoint(port, Some(tls("db.internal", None))), &files)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn every_handshake_is_a_full_one() {
    let ca = Ca::new();
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let config = server_config(ca.issue("db.internal", |_| ()), None);
    let (port, _serving) = serve(config, move |tls| {
        let told = told.clone();
        async move {
            let tls = tls.unwrap();
            let connection = tls.get_ref().1;
            told.send((connection.handshake_kind(), connection.protocol_version()))
                .unwrap();
            echo_once(Ok(tls)).await;
        }
    })
    .await;
    let files = files(&[("ca.pem", &ca.pem)]);
    let declared = endpoint(port, Some(tls("db.internal", None)));
    let target = Target::new(&declared, Protocol::Tcp, &files).unwrap();
    let targets = [target];
    for _ in 0..3 {
        let (_, stream) = dial(&targets).await.unwrap();
        // Read to the end, so that tickets the server sent have been seen.
        echoed(Upstream::new(stream, Arc::default())).await.unwrap();
        let (kind, version) = heard.recv().await.unwrap();
        // With a hybrid key share both sides may need a second hello, which is a full handshake too.
        assert!(matches!(
            kind,
            Some(HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest)
        ));
        assert_eq!(version, Some(rustls::ProtocolVersion::TLSv1_3));
    }
}

#[tokio::test]
async fn an_end_without_goodbye_is_an_error() {
    let ca = Ca::new();
    let config = server_config(ca.issue("db.internal", |_| ()), None);
    let (port, _serving) = serve(config, |tls| async move {
        let mut tls = tls.unwrap();
        tls.write_all(b"half of it").await.unwrap();
        tls.flush().await.unwrap();
        tls.get_mut().0.shutdown().await.unwrap();
    })
    .await;
    let files = files(&[("ca.pem", &ca.pem)]);
    let declared = endpoint(port, Some(tls("db.internal", None)));
    let mut upstream = dial_one(declared, &files).await.unwrap();
    let cut = upstream.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn an_urgent_byte_of_an_endpoint_is_not_lost() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let far = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        rustix::net::send(&stream, b"ab", rustix::net::SendFlags::empty()).unwrap();
        rustix::net::send(&stream, b"X", rustix::net::SendFlags::OOB).unwrap();
        rustix::net::send(&stream, b"cd", rustix::net::SendFlags::empty()).unwrap();
    });
    let mut upstream = dial_one(endpoint(port, None), &BTreeMap::new())
        .await
        .unwrap();
    let mut heard = Vec::new();
    upstream.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"abXcd");
    far.await.unwrap();
}

#[tokio::test]
async fn the_next_endpoint_is_tried() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed_port = closed.local_addr().unwrap().port();
    drop(closed);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let plain = |port| Target::new(&endpoint(port, None), Protocol::Tcp, &files(&[])).unwrap();
    let (index, _) = dial(&[plain(closed_port), plain(port)]).await.unwrap();
    assert_eq!(index, 1);
    let cause = dial(&[plain(closed_port)]).await.err().unwrap();
    assert_eq!(cause.kind(), io::ErrorKind::ConnectionRefused);
    assert!(
        cause
            .to_string()
            .contains(&format!("127.0.0.1:{closed_port}")),
        "{cause}"
    );
}

#[tokio::test]
async fn host_names_are_resolved_here() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let named = |name| Endpoint {
        host: EndpointHost::Name(HostName::new(name).unwrap()),
        ..endpoint(port, None)
    };
    dial_one(named("localhost"), &files(&[])).await.unwrap();
    let cause = dial_one(named("does-not-exist.invalid"), &files(&[]))
        .await
        .err()
        .unwrap();
    assert!(
        cause.to_string().contains("does-not-exist.invalid"),
        "{cause}"
    );
}

#[test]
fn unusable_files_reject_the_generation() {
    let (ca, other) = (Ca::new(), Ca::new());
    let (cert, key) = ca.issue("ringfence", |_| ());
    let (_, foreign_key) = other.issue("ringfence", |_| ());
    let with = endpoint(1, Some(tls("db.internal", Some(client_cert()))));
    let verdict = |all: &[(&str, &str)]| {
        Target::new(&with, Protocol::Tcp, &files(all))
            .err()
            .map(|cause| cause.to_string())
    };
    let (good_ca, good_cert, good_key) = (
        ("ca.pem", ca.pem.as_str()),
        ("client.pem", cert.as_str()),
        ("client.key", key.as_str()),
    );
    assert_eq!(verdict(&[good_ca, good_cert, good_key]), None);
    for (all, what) in [
        (vec![good_cert, good_key], "ca.pem was not handed over"),
        (vec![good_ca, good_cert], "client.key was not handed over"),
        (
            vec![("ca.pem", "hello"), good_cert, good_key],
            "ca.pem holds no certificate",
        ),
        (
            vec![good_ca, good_cert, ("client.key", "hello")],
            "a private key",
        ),
        (
            vec![good_ca, good_cert, ("client.key", &foreign_key)],
            "client certificate",
        ),
    ] {
        let said = verdict(&all).unwrap_or_else(|| panic!("accepted, although {what}"));
        assert!(said.contains(what), "{said}");
    }
}

#[test]
fn names_itself_as_the_endpoint_expects() {
    let authority = |declared: Endpoint, files: &BTreeMap<PathBuf, String>| {
        Target::new(&declared, Protocol::Http, files)
            .unwrap()
            .authority()
    };
    let files = files(&[("ca.pem", &Ca::new().pem)]);
    assert_eq!(
        authority(endpoint(443, Some(tls("api.example.com", None))), &files),
        "api.example.com"
    );
    assert_eq!(
        authority(endpoint(8443, Some(tls("api.example.com", None))), &files),
        "api.example.com:8443"
    );
    assert_eq!(authority(endpoint(80, None), &files), "127.0.0.1");
    let six = EndpointHost::Ip("2001:db8::1".parse().unwrap());
    assert_eq!(
        authority(
            Endpoint {
                host: six,
                ..endpoint(81, None)
            },
            &files
        ),
        "[2001:db8::1]:81"
    );
}

#[test]
fn another_certificate_in_the_same_file_is_another_endpoint() {
    let declared = endpoint(443, Some(tls("api.example.com", None)));
    let target =
        |pem: &str| Target::new(&declared, Protocol::Http, &files(&[("ca.pem", pem)])).unwrap();
    let (one, two) = (Ca::new().pem, Ca::new().pem);
    assert!(target(&one).is(&target(&one)));
    assert!(!target(&one).is(&target(&two)));
}
