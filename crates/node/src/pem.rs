//! The certificate files that endpoints name, read on behalf of the enforcer, which cannot open them.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ringfence_enforcer::SYSTEM_ANCHORS;
use ringfence_model::resource::{Endpoint, TrustAnchors};
use ringfence_model::{Diagnostic, Estate, Position};
use rustix::fs::OFlags;

use crate::limits::{PEM_MAX, PEM_TOTAL_MAX};

/// Where distributions keep their bundle of trust anchors, most common first. `SSL_CERT_FILE` goes before.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Contents by path as the estate names it, and the paths on disk that a change must be looked for at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PemFiles {
    pub(crate) contents: BTreeMap<PathBuf, String>,
    pub(crate) watched: Vec<PathBuf>,
}

/// Reads every file that an endpoint of `estate` names; relative paths are relative to `config`.
///
/// What cannot be read is left out and reported, at the endpoint that wants it.
pub(crate) fn read(config: &Path, estate: &Estate) -> (PemFiles, Vec<Diagnostic>) {
    let mut files = PemFiles::default();
    let mut errors = Vec::new();
    let mut total = 0;
    for (named, at) in wanted(estate) {
        if files.contents.contains_key(&named) {
            continue;
        }
        let places = if named == Path::new(SYSTEM_ANCHORS) {
            system_bundles()
        } else {
            vec![config.join(&named)]
        };
        let read = match places
            .iter()
            .find(|place| place.exists())
            .or(places.first())
        {
            Some(place) if place.exists() || places.len() == 1 => read_one(place),
            _ => Err((
                "this machine has no bundle of trust anchors".to_owned(),
                "install ca-certificates, or name a PEM file with `ca:`",
            )),
        };
        files.watched.extend(places);
        match read {
            Ok(text) if total + text.len() as u64 > PEM_TOTAL_MAX => errors.push(error(
                at,
                format!("the certificate files of all endpoints are larger than {PEM_TOTAL_MAX} bytes together"),
                "name smaller bundles",
            )),
            Ok(text) => {
                total += text.len() as u64;
                files.contents.insert(named, text);
            }
            Err((message, help)) => errors.push(error(at, message, help)),
        }
    }
    (files, errors)
}

fn error(at: &Position, message: String, help: &str) -> Diagnostic {
    Diagnostic {
        at: Some(at.clone()),
        message,
        text: None,
        help: Some(help.to_owned()),
        also: None,
    }
}

fn wanted(estate: &Estate) -> Vec<(PathBuf, &Position)> {
    let endpoints = estate
        .services
        .iter()
        .flat_map(|service| &service.endpoints);
    endpoints.flat_map(wanted_by).collect()
}

fn wanted_by(endpoint: &Endpoint) -> Vec<(PathBuf, &Position)> {
    let Some(tls) = &endpoint.tls else {
        return Vec::new();
    };
    let mut paths = vec![match &tls.ca {
        TrustAnchors::System => PathBuf::from(SYSTEM_ANCHORS),
        TrustAnchors::File(path) => path.clone(),
    }];
    if let Some(client) = &tls.client_cert {
        paths.extend([client.cert.clone(), client.key.clone()]);
    }
    paths.into_iter().map(|path| (path, &endpoint.at)).collect()
}

fn system_bundles() -> Vec<PathBuf> {
    match std::env::var_os("SSL_CERT_FILE") {
        Some(named) => vec![PathBuf::from(named)],
        None => SYSTEM_BUNDLES.iter().map(PathBuf::from).collect(),
    }
}

fn read_one(path: &Path) -> Result<String, (String, &'static str)> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| {
        (
            format!("{shown} cannot be read: {error}"),
            "name a PEM file that the node's user can read",
        )
    };
    // Non-blocking, so that a FIFO in the place of a file cannot hold the node up.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits() as i32)
        .open(path)
        .map_err(unreadable)?;
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err((format!("{shown} is not a regular file"), "name a PEM file"));
    }
    let mut bytes = Vec::new();
    file.take(PEM_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > PEM_MAX {
        return Err((
            format!("{shown} is larger than {PEM_MAX} bytes"),
            "name a smaller bundle",
        ));
    }
    match String::from_utf8(bytes) {
        Ok(text) if text.contains("-----BEGIN ") => Ok(text),
        _ => Err((
            format!("{shown} holds no PEM block"),
            "convert it, for example with `openssl x509 -inform der`",
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use ringfence_model::resource::{ClientCert, EndpointHost, EndpointTls, Service};
    use ringfence_model::{HostName, Name, Protocol};

    use super::*;

    const PEM: &str = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";

    fn estate(ca: TrustAnchors, client: Option<(&str, &str)>) -> Estate {
        let tls = EndpointTls {
            ca,
            name: HostName::new("db.internal").unwrap(),
            client_cert: client.map(|(cert, key)| ClientCert {
                cert: cert.into(),
                key: key.into(),
            }),
        };
        let at = Position {
            file: "a.yaml".into(),
            line: 7,
            column: 3,
        };
        Estate {
            services: vec![Service {
                name: Name::new("db").unwrap(),
                labels: Default::default(),
                protocol: Protocol::Tcp,
                port: 5432,
                hosts: Vec::new(),
                owner: None,
                path_allowances: Default::default(),
                record: Default::default(),
                endpoints: vec![Endpoint {
                    host: EndpointHost::Name(HostName::new("db.internal").unwrap()),
                    port: 5432,
                    tls: Some(tls),
                    at: at.clone(),
                }],
                mutual_auth: None,
                receive: None,
                attest: None,
                limits: ringfence_model::Limits::default(),
                at,
            }],
            ..Estate::default()
        }
    }

    #[test]
    fn reads_what_endpoints_name_relative_to_the_configuration() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["ca.pem", "cert.pem", "key.pem"] {
            fs::write(dir.path().join(name), PEM).unwrap();
        }
        let estate = estate(
            TrustAnchors::File("ca.pem".into()),
            Some(("cert.pem", "key.pem")),
        );
        let (files, errors) = read(dir.path(), &estate);
        assert_eq!(errors, []);
        assert_eq!(files.contents.len(), 3);
        assert_eq!(files.contents[Path::new("key.pem")], PEM);
        assert!(files.watched.contains(&dir.path().join("ca.pem")));
    }

    #[test]
    fn all_files_together_are_so_large_at_most() {
        let dir = tempfile::tempdir().unwrap();
        let whole = PEM_TOTAL_MAX / PEM_MAX;
        let mut all = Estate::default();
        for number in 0..=whole {
            let name = format!("{number}.pem");
            // Zeros are text.
            let path = dir.path().join(&name);
            fs::write(&path, PEM).unwrap();
            let file = fs::File::options().append(true).open(path).unwrap();
            file.set_len(PEM_MAX).unwrap();
            let one = estate(TrustAnchors::File(name.into()), None);
            all.services.extend(one.services);
        }
        let (files, errors) = read(dir.path(), &all);
        assert_eq!(files.contents.len() as u64, whole);
        let [error] = &errors[..] else {
            panic!("{errors:?}");
        };
        let words = format!("larger than {PEM_TOTAL_MAX} bytes together");
        assert!(error.message.contains(&words), "{}", error.message);
        // One that several endpoints name counts once.
        all.services.pop();
        all.services.extend(all.services.clone());
        assert_eq!(read(dir.path(), &all).1, []);
    }

    #[test]
    fn what_cannot_be_read_is_reported_at_its_endpoint() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("der"), [0x30, 0x82]).unwrap();
        fs::write(dir.path().join("huge"), vec![b'-'; PEM_MAX as usize + 1]).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            dir.path().join("fifo"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        for (name, why) in [
            ("absent", "cannot be read"),
            ("der", "no PEM block"),
            ("huge", "larger"),
            ("fifo", "not a regular file"),
        ] {
            let (files, errors) = read(dir.path(), &estate(TrustAnchors::File(name.into()), None));
            assert!(files.contents.is_empty(), "{name}");
            assert_eq!(errors.len(), 1, "{name}");
            assert!(
                errors[0].message.contains(why),
                "{name}: {}",
                errors[0].message
            );
            assert_eq!(errors[0].at.as_ref().map(|at| at.line), Some(7));
        }
    }
}
