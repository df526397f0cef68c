//! Real servers that tell what they really read: in compartments, and bare on the host for the control.

use std::path::{Path, PathBuf};

use ringfence_testbed::{Host, Node, Process, Running};

use crate::e2e_support::PYTHON;

/// The port they serve on in a compartment.
const PORT: u16 = 8080;
/// What a server says is one line of a file of this name.
const SEEN: &str = "seen";

const FILES: [(&str, &str); 6] = [
    ("nginx.conf", include_str!("servers/nginx.conf")),
    ("haproxy.cfg", include_str!("servers/haproxy.cfg")),
    ("haproxy.lua", include_str!("servers/haproxy.lua")),
    ("apache.conf", include_str!("servers/apache.conf")),
    ("plain.py", include_str!("servers/plain.py")),
    ("wsgi.py", include_str!("servers/wsgi.py")),
];

/// A server that the tests know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    Nginx,
    Haproxy,
    /// As a proxy, with one of `plain.py` behind it that tells what it passed on.
    Apache,
    /// `http.server` of Python.
    Plain,
    /// A WSGI application in Gunicorn.
    Gunicorn,
}

impl Server {
    pub(crate) const ALL: [Self; 5] = [
        Self::Nginx,
        Self::Haproxy,
        Self::Apache,
        Self::Plain,
        Self::Gunicorn,
    ];

    /// Its name as a service.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Apache => "apache",
            Self::Plain => "plain",
            Self::Gunicorn => "gunicorn",
        }
    }

    /// What is executed, by `sh`, to serve on `port` with the files in `place`.
    fn script(self, place: &str, port: u16) -> String {
        match self {
            Self::Nginx => format!("exec nginx -e stderr -p {place} -c {place}/nginx.conf"),
            Self::Haproxy => format!("exec haproxy -db -f {place}/haproxy.cfg"),
            Self::Apache => format!(
                "{PYTHON} -u {place}/plain.py 1{port} behind & exec apache2 -X -f {place}/apache.conf"
            ),
            Self::Plain => format!("exec {PYTHON} -u {place}/plain.py {port}"),
            Self::Gunicorn => format!(
                "exec gunicorn --worker-class gthread --threads 4 --keep-alive 20 --log-level warning --limit-request-line 0 --limit-request-field_size 0 \
                 --chdir {place} -b 0.0.0.0:{port} wsgi:application"
            ),
        }
    }

    /// Writes its files, which will be at `place` and speak of `port`, to a new directory of the host.
    fn prepare(self, host: &Host, name: &str, place: &str, port: u16) -> PathBuf {
        let directory = host.directory(name).unwrap();
        for (file, text) in FILES {
            let text = text
                .replace("PLACE", place)
                .replace("@PORT@", &port.to_string());
            let path = directory.join(file);
            std::fs::write(&path, text).unwrap();
            host.own(&path).unwrap();
        }
        directory
    }

    /// Starts it as the service of its name.
    pub(crate) fn start(self, node: &Node) -> Serving<Running> {
        let name = format!("served-{}", self.name());
        let directory = self.prepare(node.host(), &name, "/work", PORT);
        let script = format!(
            "export PATH=$PATH:/usr/sbin; {}",
            self.script("/work", PORT)
        );
        let launch = node.workload(self.name()).workdir(&directory).open_stdin();
        let running = launch.spawn(&["sh", "-c", &script]).unwrap();
        Serving {
            server: self,
            address: format!("{}:{PORT}", self.name()),
            directory,
            running,
        }
    }

    /// Starts it as a plain process of the host.
    pub(crate) fn start_bare(self, host: &Host, port: u16) -> Serving<Process> {
        let name = format!("bare-{}", self.name());
        let place = host.path().join(&name).display().to_string();
        let directory = self.prepare(host, &name, &place, port);
        let running = host
            .start(["sh", "-c", &self.script(&place, port)])
            .unwrap();
        Serving {
            server: self,
            address: format!("127.0.0.1:{port}"),
            directory,
            running,
        }
    }
}

/// A server that was started.
pub(crate) struct Serving<R> {
    pub(crate) server: Server,
    /// `host:port`.
    pub(crate) address: String,
    directory: PathBuf,
    #[allow(dead_code, reason = "ends when dropped")]
    running: R,
}

impl<R> Serving<R> {
    /// What it has seen, by case.
    pub(crate) fn seen(&self) -> Vec<(String, Vec<Seen>)> {
        by_case(&self.directory.join(SEEN), self.server.name())
    }

    /// `NAME=HOST:PORT`, for `client.py`.
    pub(crate) fn word(&self) -> String {
        format!("{}={}", self.server.name(), self.address)
    }
}

/// One request, as a server read it. Bytes that are not printable stand as `\xHH`, nothing as `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// As it came.
    pub(crate) target: String,
    /// The path that decides what serves it: decoded, without the query.
    pub(crate) route: String,
    /// In small letters, without port; `{host}` where it is the server's own name.
    pub(crate) host: String,
    /// All of `x-forwarded-client-cert`; the server's own name in it as in `host`.
    pub(crate) caller: String,
    /// `None` where the server does not look at it.
    pub(crate) body: Option<String>,
}

impl Seen {
    fn parse(line: &str, own_name: &str) -> Self {
        let columns: Vec<_> = line.split('\t').map(str::to_owned).collect();
        let [method, target, route, host, caller, body] = columns.try_into().unwrap();
        Self {
            method,
            target,
            route,
            host: if host == own_name {
                "{host}".into()
            } else {
                host
            },
            caller: caller.replace(&format!("/service/{own_name}"), "/service/{host}"),
            body: match body.as_str() {
                "*" => None,
                "" => Some("-".into()),
                _ => Some(body),
            },
        }
    }

    /// Whether two servers read the same, as far as both looked.
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        let without_body = |seen: &Self| Self {
            body: None,
            ..seen.clone()
        };
        without_body(self) == without_body(other)
            && (self.body == other.body || self.body.is_none() || other.body.is_none())
    }
}

/// Whether two servers saw the same requests.
pub(crate) fn agree(one: &[Seen], other: &[Seen]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(a, b)| a.agrees_with(b))
}

/// Cuts what a server has seen at the markers that `client.py` sends behind each case.
fn by_case(path: &Path, own_name: &str) -> Vec<(String, Vec<Seen>)> {
    let text = String::from_utf8(std::fs::read(path).unwrap()).unwrap();
    let mut cases = Vec::new();
    let mut present = Vec::new();
    for line in text.lines() {
        let seen = Seen::parse(line, own_name);
        match seen.target.strip_prefix("/marker/") {
            // What went before was to see whether it serves.
            Some("start") => present.clear(),
            Some(case) => cases.push((case.to_owned(), std::mem::take(&mut present))),
            None => present.push(seen),
        }
    }
    cases
}
