//! Body of `ringfence up`: everything that can refuse a start is done first, then the node runs until a signal.

use std::ffi::OsString;
use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use ringfence_audit::Durability;
use ringfence_compartment::sockets::{self, ADMIN_SOCKET, METRICS_SOCKET, RUN_SOCKET};
use ringfence_model::HostName;
use rustix::fs::Mode;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::NodeError;
use crate::cgroup::Prefix;
use crate::claim::Owner;
use crate::counters::Counters;
use crate::enforcer::EXE;
use crate::evidence::Evidence;
use crate::generation::Desk;
use crate::ids::IdMap;
use crate::instances::Instances;
use crate::limits::{ASK_EVERY, ENFORCER_ID};
use crate::packets::Listener;
use crate::quarantine::{Moment, Quarantines};
use crate::scrape::{Loopback, Scrapes};
use crate::sealing::Sealing;
use crate::state::{State, config_path, default_dir, keep_apart};
use crate::supervisor::{Fixed, Input, Inputs, Supervisor, outer_ids_exist};
use crate::sweep::{self, Making};
use crate::told::Told;
use crate::vouch::LauncherGroup;
use crate::{format, takeover};

/// Inputs that wait for the supervisor. Senders wait when it is full.
const INPUTS: usize = 256;

/// What `ringfence up` was asked for.
#[derive(Clone, Debug)]
pub struct UpOptions {
    /// Directory with the resource files.
    pub config: PathBuf,
    /// State directory; the default when `None`.
    pub state: Option<PathBuf>,
    /// Zone to serve.
    pub zone: HostName,
    /// Name of the node in records; the host name when `None`.
    pub node: Option<String>,
    /// Port of the loopback for monitors, beside the Unix socket.
    pub metrics: Option<Loopback>,
    /// Group that may use the monitors' Unix socket, beside root; a node of root only.
    pub metrics_gid: Option<u32>,
    /// When a record counts as kept.
    pub durability: Durability,
    /// Replace the node that serves the state now, if one does.
    pub takeover: bool,
}

/// Runs a node in the foreground until SIGTERM or SIGINT.
///
/// Uses the current process as its own: it sets the umask, and starts `/proc/self/exe enforcer …` as its child.
pub fn up(options: UpOptions) -> Result<(), NodeError> {
    // Sockets and files are made closed; what others may use is opened on purpose.
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    ringfence_compartment::raise_open_files().map_err(|error| {
        NodeError::io(
            "raise the limit on open files",
            error,
            "raise its hard limit (`ulimit -Hn`), or leave it alone",
        )
    })?;
    let default = default_dir();
    let dir = match &options.state {
        Some(dir) => dir.clone(),
        None => default?,
    };
    let state_option = match default_dir() {
        Ok(default) if default == dir => String::new(),
        _ => format!(" --state {}", shell_word(&absolute(&dir))),
    };
    let config = config_path(&options.config);
    keep_apart(&dir, &config)?;
    let node = options.node.unwrap_or_else(host_name);
    let owner = Owner(rustix::process::geteuid().as_raw());
    let (uids, gids) = IdMap::of_this_process()
        .map_err(|error| NodeError::io("read /proc/self/uid_map", error, "mount /proc"))?;
    let own_user = owner.0 == 0 && uids.covers(ENFORCER_ID, 1) && gids.covers(ENFORCER_ID, 1);
    let run_as = own_user.then_some(ENFORCER_ID);
    let enforcer_args = |log: &Path| {
        let mut args: Vec<OsString> = vec!["enforcer".into(), "--log".into(), log.into()];
        if let Some(id) = run_as {
            args.extend(["--run-as".into(), id.to_string().into()]);
        }
        args.extend(["--durability", options.durability.as_str()].map(OsString::from));
        args
    };
    let (state, predecessor) = match State::open(&dir) {
        Err(NodeError::Locked { dir, pid }) if options.takeover => {
            let rehearsal = || {
                format::check(&dir)?;
                Quarantines::open(&dir, &Moment::now())?;
                takeover::rehearse_port(&dir, options.metrics)?;
                let (config, zone) = (config.clone(), options.zone.clone());
                let counters = Counters::read(&dir)?;
                let desk = Desk::open(&dir, config, zone, node.clone(), counters)?;
                takeover::rehearse(desk, &dir, enforcer_args)
            };
            (takeover::take(&dir, pid, rehearsal)?, pid)
        }
        other => (other?, None),
    };
    format::check(state.dir())?;
    let quarantines = Quarantines::open(state.dir(), &Moment::now())?;
    format::claim(state.dir(), quarantines.format())?;
    // Once more, now that every symbolic link in it can be followed.
    keep_apart(state.dir(), &config)?;

    let counters = Counters::next_start(state.dir())?;
    let desk = Desk::open(
        state.dir(),
        config.clone(),
        options.zone.clone(),
        node.clone(),
        counters,
    )?;
    if !desk.has_last_good() && !config.is_dir() {
        return Err(NodeError::no_config(config));
    }
    let nothing = desk.nothing().map_err(|errors| {
        NodeError::io(
            "prepare a node without policy",
            std::io::Error::other(errors),
            "name the node with `--node NAME`",
        )
    })?;

    let (sockets, making) = socket_dir(state.dir(), owner)?;
    let run_mode = if owner.0 == 0 { 0o666 } else { 0o600 };
    let run = listen(&sockets, RUN_SOCKET, run_mode)?;
    let admin = listen(&sockets, ADMIN_SOCKET, 0o600)?;
    let monitors = monitors(
        &sockets,
        options.metrics,
        options.metrics_gid,
        owner,
        predecessor.is_some(),
    )?;
    if let (Some(making), Some(parent)) = (making, sockets.parent()) {
        drop(making);
        if let Err(error) = sweep::sweep(parent) {
            crate::say::warn(&format!(
                "what killed nodes left in {} stays: {error}",
                parent.display()
            ));
        }
    }

    let evidence = Evidence::start(state.log_dir(), node.clone())?;
    let (inputs, queue) = mpsc::channel(INPUTS);
    let inputs = Inputs(inputs);
    let sealed = Told::default();
    let sealing = Sealing::start(state.log_dir(), sealed.clone(), inputs.clone())?;
    let group = LauncherGroup::of_this_binary();
    let fixed = Fixed {
        node,
        zone: options.zone,
        state: state.dir().to_owned(),
        state_id: state.id(),
        log: state.log_dir(),
        durability: options.durability,
        evidence: evidence.told(),
        sealed: sealed.clone(),
        sealing: sealing.orders(),
        config: config.clone(),
        sockets: sockets.clone(),
        metrics: monitors.addresses.clone(),
        exe: EXE.into(),
        enforcer_args: enforcer_args(&state.log_dir()),
        run_as,
        owner,
        group,
        groups: Prefix::of(state.id()),
        outer_ids: owner.0 == 0 && outer_ids_exist(&uids, &gids),
        state_option,
        since: Timestamp::now(),
        predecessor,
    };
    let (instances, gone, trouble) = Instances::open(state.dir(), counters.starts);
    if let Some(trouble) = trouble {
        crate::say::warn(&trouble);
    }

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            NodeError::io("start the node", error, "free some descriptors and memory")
        })?;
    let ran = runtime.block_on(async move {
        watch_signals(&inputs)?;
        let register = |error| {
            NodeError::io(
                "listen on the node's sockets",
                error,
                "free some descriptors",
            )
        };
        monitors.serve(&inputs).map_err(register)?;
        let (run, admin) = (
            Listener::new(run).map_err(register)?,
            Listener::new(admin).map_err(register)?,
        );
        let (watched, others) = watch::channel(Vec::new());
        let spotted = desk.spotted.clone();
        tokio::spawn(crate::watch::serve(config, others, spotted, inputs.clone()));
        tokio::spawn(crate::run_socket::serve(
            run,
            uids,
            group,
            owner,
            fixed.groups.clone(),
            inputs.clone(),
        ));
        tokio::spawn(crate::admin::serve(admin, owner.0, inputs.clone()));
        tokio::spawn(tick(inputs.clone()));
        let mut supervisor = Supervisor::new(
            fixed,
            inputs,
            desk,
            nothing,
            (instances, quarantines),
            watched,
        );
        supervisor.record_stopped(gone);
        supervisor.sweep_groups();
        supervisor.run(queue).await;
        Ok(())
    });
    // The enforcer has ended: what it recorded is all there.
    sealing.end();
    evidence.end();
    // A read of the configuration may hang on a dead file server; the end does not wait for it.
    runtime.shutdown_timeout(Duration::from_millis(100));
    for name in [RUN_SOCKET, ADMIN_SOCKET, METRICS_SOCKET] {
        // The next start replaces what is left.
        let _ = std::fs::remove_file(sockets.join(name));
    }
    if sockets != state.dir() {
        let _ = std::fs::remove_dir(&sockets);
    }
    drop(state);
    ran
}

/// Where monitors ask, before the node runs: an address in use, or a group that cannot be, refuses the start.
struct Monitors {
    unix: std::os::unix::net::UnixListener,
    port: Option<std::net::TcpListener>,
    addresses: Vec<String>,
}

fn monitors(
    sockets: &Path,
    port: Option<Loopback>,
    gid: Option<u32>,
    owner: Owner,
    took_over: bool,
) -> Result<Monitors, NodeError> {
    let path = sockets.join(METRICS_SOCKET);
    let fault = |what: String, error, fix: &str| NodeError::io(what, error, fix);
    if gid.is_some() && owner.0 != 0 {
        return Err(fault(
            format!("open {} to a group", path.display()),
            std::io::Error::other("only a node of root has its sockets where others reach them"),
            "leave `--metrics-gid` out, and use `--metrics 127.0.0.1:PORT`",
        ));
    }
    let listening = sockets::listen_stream(sockets, METRICS_SOCKET, Mode::RUSR | Mode::WUSR);
    let listening = listening.map_err(|error| {
        let what = format!("listen on {}", path.display());
        fault(
            what,
            error,
            "the state must be on a file system that takes sockets, and /proc must be mounted",
        )
    })?;
    let unix = std::os::unix::net::UnixListener::from(listening);
    if let Some(gid) = gid {
        // First the group, then the mode: never open to a group that was not meant.
        std::os::unix::fs::chown(&path, None, Some(gid))
            .and_then(|()| {
                let open = std::os::unix::fs::PermissionsExt::from_mode(0o660);
                std::fs::set_permissions(&path, open)
            })
            .map_err(|error| {
                let what = format!("give {} to group {gid}", path.display());
                fault(what, error, "name a group that is mapped here")
            })?;
    }
    let mut addresses = vec![path.display().to_string()];
    let mut listener = None;
    if let Some(port) = port {
        let address = port.socket_addr();
        let bound = std::net::TcpListener::bind(address)
            .and_then(|bound| Ok((bound.local_addr()?, bound)))
            .map_err(|error| {
                let what = format!("serve metrics on {address}");
                fault(what, error, "name another port with `--metrics`")
            });
        match bound {
            Ok((address, bound)) => {
                addresses.push(format!("http://{address}/metrics"));
                listener = Some(bound);
            }
            // The node before has ended for this one: whoever monitors must not keep it from serving.
            Err(error) if took_over => {
                crate::say::warn(&format!("{error}; it serves without that port"));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Monitors {
        unix,
        port: listener,
        addresses,
    })
}

impl Monitors {
    /// Accepts from now on, within the runtime.
    fn serve(self, inputs: &Inputs) -> std::io::Result<()> {
        self.unix.set_nonblocking(true)?;
        let unix = tokio::net::UnixListener::from_std(self.unix)?;
        tokio::spawn(Scrapes::new(inputs.clone()).unix(unix));
        if let Some(port) = self.port {
            port.set_nonblocking(true)?;
            let port = tokio::net::TcpListener::from_std(port)?;
            tokio::spawn(Scrapes::new(inputs.clone()).tcp(port));
        }
        Ok(())
    }
}

fn host_name() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

fn listen(directory: &Path, name: &str, mode: u32) -> Result<std::os::fd::OwnedFd, NodeError> {
    sockets::listen(directory, name, Mode::from_raw_mode(mode)).map_err(|error| {
        NodeError::io(
            format!("listen on {}", directory.join(name).display()),
            error,
            "the state must be on a file system that takes sockets, and /proc must be mounted",
        )
    })
}

/// The directory of the sockets. For a node of root it is outside the state, which is closed to others: then it is
/// made here, and refused when somebody else could exchange what is in it. No sweep takes it before the word that
/// comes along is dropped.
fn socket_dir(state: &Path, owner: Owner) -> Result<(PathBuf, Option<Making>), NodeError> {
    let fix = "make /run writable for root, or run the node as an ordinary user";
    let dir = sockets::socket_dir(state).map_err(|error| {
        NodeError::io(
            format!("find the sockets of {}", state.display()),
            error,
            fix,
        )
    })?;
    if dir == state {
        return Ok((dir, None));
    }
    let own = |path: &Path| {
        match DirBuilder::new().mode(0o755).create(path) {
            Ok(()) => {
                // The umask closed it; other users' launchers pass through here.
                let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
                std::fs::set_permissions(path, open)
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
        .map_err(|error| NodeError::io(format!("make {}", path.display()), error, fix))?;
        let meta = std::fs::symlink_metadata(path)
            .map_err(|error| NodeError::io(format!("look at {}", path.display()), error, fix))?;
        if !meta.is_dir() || meta.uid() != owner.0 || meta.mode() & 0o022 != 0 {
            return Err(NodeError::io(
                format!("trust {}", path.display()),
                std::io::Error::other("others could exchange the sockets in it"),
                "remove it: it must be a directory that only root can write",
            ));
        }
        Ok(())
    };
    let mut making = None;
    if let Some(parent) = dir.parent() {
        own(parent)?;
        let held = sweep::making(parent)
            .map_err(|error| NodeError::io(format!("lock {}", parent.display()), error, fix))?;
        making = Some(held);
    }
    own(&dir)?;
    Ok((dir, making))
}

/// As seen from the directory the node was started in.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// `path` so that a shell reads it as one word, on one line.
fn shell_word(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    if text.chars().all(plain) {
        text.into_owned()
    } else if text.chars().any(char::is_control) {
        let escaped: String = text
            .chars()
            .map(|c| match c {
                '\'' | '\\' => format!("\\{c}"),
                c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
                c => c.to_string(),
            })
            .collect();
        format!("$'{escaped}'")
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

fn watch_signals(inputs: &Inputs) -> Result<(), NodeError> {
    let on = |kind: SignalKind, make: fn() -> Input| {
        let mut stream = signal(kind)
            .map_err(|error| NodeError::io("listen to signals", error, "free some descriptors"))?;
        let inputs = inputs.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                inputs.send(make()).await;
            }
        });
        Ok(())
    };
    on(SignalKind::terminate(), || {
        Input::Stop("on SIGTERM".to_owned())
    })?;
    on(SignalKind::interrupt(), || {
        Input::Stop("on SIGINT".to_owned())
    })?;
    on(SignalKind::hangup(), || Input::Reload)
}

async fn tick(inputs: Inputs) {
    let mut every = tokio::time::interval(ASK_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        inputs.send(Input::Tick).await;
    }
}
