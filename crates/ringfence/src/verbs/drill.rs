//! `ringfence drill quarantine`: how long it takes here from the command to the last byte.

pub(crate) mod peer;

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use ringfence_node::begin_drill;
use ringfence_node::containment::{Outcome, Spread, What, Wish, contain};
use ringfence_node::drill::Pair;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::output::{EXIT_CHECK, Failure, Form, finish, safe};
use crate::verbs::configuration::state_dir;
use crate::verbs::quarantine::unmet_words;
use peer::{Opened, Report, now};

/// What a quarantine may take. Over it the drill has failed.
const MAY_TAKE: Duration = Duration::from_secs(1);
/// After this the quarantine of a drill ends, should nobody be there to end it.
const TTL: u64 = 30;
/// How long a workload of the drill may take to end.
const END: Duration = Duration::from_secs(20);

const EXAMPLES: &str = "\
Examples:
  ringfence drill quarantine                     with two workloads that exist for the drill alone
  ringfence drill quarantine --connections 500 --rounds 10 -o json
  ringfence drill quarantine billing-agent --yes with a workload that runs: its connections ARE CUT

Without NAME the node takes two workloads of its own into policy, beside those of the files, for as long as the drill lasts. \
One sends on many connections all the time, the other notes when the last byte came; then the first is quarantined, and \
released, in each round. Nobody else is touched. With NAME the workload is quarantined once, for a moment, and released; \
what is told then is when the enforcer had closed its connections, which is no earlier than their last byte. Whatever ends \
the drill, Ctrl-C too, ends what it began: the node sees to that.

Exit code 0; 4 when the last byte came later than a second after the command, or one was not cut; 1 when it could not be tried. docs/quarantine.md has a \
section about it.";

const DRILLS: &str = "\
Examples:
  ringfence drill quarantine --rounds 10
  ringfence drill quarantine --help              what it does, and to whom

Exit code 0 when it went as it should, 4 when it did not, 1 when it could not be tried. docs/quarantine.md tells of it.";

/// Rehearses an emergency on the running node, and measures it.
#[derive(Debug, clap::Args)]
#[command(after_help = DRILLS)]
pub(crate) struct DrillArgs {
    #[command(subcommand)]
    what: Drill,
}

#[derive(Debug, clap::Subcommand)]
enum Drill {
    Quarantine(QuarantineArgs),
}

/// From the command to the last byte
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
struct QuarantineArgs {
    /// A workload that runs, whose connections are cut [default: one that exists for the drill]
    #[arg(value_name = "NAME", requires = "yes")]
    name: Option<String>,
    /// It is known that the connections of NAME are cut
    #[arg(long, requires = "name")]
    yes: bool,
    /// State directory of the node [default: as `ringfence up` chooses it]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Connections of the drill's own workload
    #[arg(long, value_name = "N", default_value = "64", conflicts_with = "name",
          value_parser = clap::value_parser!(u16).range(1..=500))]
    connections: u16,
    /// How often it is quarantined and released
    #[arg(long, value_name = "N", default_value = "5", conflicts_with = "name",
          value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// For people, or one JSON object
    #[arg(short, long, value_enum, value_name = "FORM", default_value = "table")]
    output: Form,
}

/// What was measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Measured {
    workload: String,
    rounds: u16,
    connections: u64,
    /// From the command to the last byte that the other end took, of all connections.
    last_byte: Option<Spread>,
    /// From the command until both ends were reset.
    reset: Option<Spread>,
    /// From the enforcer's being told until its connections were closed; of the last round.
    closed: Option<Spread>,
    /// From the command to its answer; of the slowest round.
    command_ns: u64,
    /// Those that were not cut in time.
    left: u64,
    /// It took a second at most, and all were cut.
    passed: bool,
}

/// What the drill's own workloads saw.
#[derive(Debug, Default)]
struct Seen {
    /// From each command to the last byte of each connection.
    last: Vec<u64>,
    /// From each command until each had ended.
    ended: Vec<u64>,
    /// Those that had not ended long after the command, or that the enforcer had not closed when it answered.
    left: u64,
}

impl Seen {
    /// What one more report says of the connections of a command that was given at `began`; how many have ended by it.
    /// `Err`: so many had ended before it, and it cut them off from nothing.
    fn take(&mut self, began: u64, report: &Report) -> Result<usize, usize> {
        let early = report.ended.iter().filter(|at| **at < began).count();
        if early > 0 {
            return Err(early);
        }
        let since = |at: &u64| at.saturating_sub(began);
        self.last.extend(report.last.iter().map(since));
        self.ended.extend(report.ended.iter().map(since));
        Ok(report.ended.len())
    }

    /// Whether all were cut, and in time.
    fn passed(&self, last: &Spread) -> bool {
        self.left == 0 && u128::from(last.max_ns) <= MAY_TAKE.as_nanos()
    }
}

pub(crate) fn run(args: DrillArgs) -> ExitCode {
    let Drill::Quarantine(args) = args.what;
    finish(quarantine(&args))
}

fn quarantine(args: &QuarantineArgs) -> Result<ExitCode, Failure> {
    let state = state_dir(args.state.as_ref())?;
    let measured = match &args.name {
        Some(name) => of_one(&state, name)?,
        None => of_a_pair(&state, args)?,
    };
    let mut out = io::stdout().lock();
    match args.output {
        Form::Json => {
            let json = serde_json::to_string(&measured).map_err(io::Error::from)?;
            writeln!(out, "{json}")?;
        }
        Form::Table => table(&mut out, &measured)?,
    }
    out.flush()?;
    Ok(match measured.passed {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(EXIT_CHECK),
    })
}

fn table(out: &mut impl Write, measured: &Measured) -> io::Result<()> {
    let Measured {
        workload,
        rounds,
        connections,
        ..
    } = measured;
    writeln!(
        out,
        "{}, connections {connections}, rounds {rounds}, in milliseconds:",
        safe(workload)
    )?;
    let ms = |ns: u64| format!("{:>9.2}", Duration::from_nanos(ns).as_secs_f64() * 1000.0);
    writeln!(
        out,
        "{:<44}{:>9}{:>9}{:>9}{:>9}",
        "", "p50", "p90", "p99", "max"
    )?;
    for (what, spread) in [
        ("from the command to the last byte", measured.last_byte),
        ("from the command to the reset", measured.reset),
        (
            "from the enforcer's word to the closed socket",
            measured.closed,
        ),
    ] {
        if let Some(spread) = spread {
            let Spread {
                p50_ns,
                p90_ns,
                p99_ns,
                max_ns,
            } = spread;
            let figures = [p50_ns, p90_ns, p99_ns, max_ns].map(ms).concat();
            writeln!(out, "{what:<44}{figures}")?;
        }
    }
    writeln!(
        out,
        "{:<44}{:>36}",
        "from the command to its answer",
        ms(measured.command_ns)
    )?;
    let verdict = match (measured.passed, measured.left) {
        (true, _) => "passed: within a second, and all were cut".to_owned(),
        (false, 0) => "FAILED: it took longer than a second".to_owned(),
        (false, left) => format!("FAILED: {left} were not cut in time"),
    };
    writeln!(out, "{verdict}")
}

fn ask(state: &Path, name: &str, what: What, dry_run: bool) -> Result<Outcome, Failure> {
    let wish = Wish {
        name: name.to_owned(),
        what,
        reason: "a drill".to_owned(),
        dry_run,
    };
    contain(state, wish).map_err(|unmet| unmet_words(unmet, state))
}

/// Quarantines and releases. Gives the answer, and how long the command took.
fn once(state: &Path, name: &str) -> Result<(Outcome, u64), Failure> {
    let began = now();
    // It ends by itself, should this process not get to the release.
    let what = What::Quarantine { seconds: Some(TTL) };
    let outcome = ask(state, name, what, false)?;
    Ok((outcome, now() - began))
}

/// With a workload that runs.
fn of_one(state: &Path, name: &str) -> Result<Measured, Failure> {
    let what = What::Quarantine { seconds: Some(TTL) };
    if ask(state, name, what, true)?.before.is_some() {
        return Err(Failure::new(
            format!("{name} is in quarantine, and a drill would end that"),
            "drill with another one",
        ));
    }
    let (outcome, command_ns) = once(state, name)?;
    ask(state, name, What::Release, false)?;
    if let Some(away) = outcome.away {
        return Err(Failure::new(
            away,
            "try again when `ringfence status` says that it runs",
        ));
    }
    let cut = outcome.cut.unwrap_or_default();
    Ok(Measured {
        workload: name.to_owned(),
        rounds: 1,
        connections: cut.connections + cut.flows,
        last_byte: None,
        reset: None,
        closed: outcome.spread,
        command_ns,
        left: outcome.left,
        passed: outcome.left == 0 && u128::from(command_ns) <= MAY_TAKE.as_nanos(),
    })
}

/// With two that exist for the drill.
fn of_a_pair(state: &Path, args: &QuarantineArgs) -> Result<Measured, Failure> {
    let drill = begin_drill(state).map_err(|unmet| unmet_words(unmet, state))?;
    let Pair { source, sink, port } = &drill.pair;
    let port = port.to_string();
    // No two compartments share a directory.
    let programs = (Program::copy("sink")?, Program::copy("source")?);
    let mut sink_peer = Peer::start(
        state,
        sink.as_str(),
        &programs.0,
        &["sink", "--port", &port],
    )?;
    let _ready: Report = sink_peer.answer()?;
    let words = ["source", "--to", sink.as_str(), "--port", &port];
    let mut source_peer = Peer::start(state, source.as_str(), &programs.1, &words)?;
    let (mut seen, mut rounds) = (Seen::default(), 0);
    let (mut command_ns, mut closed) = (0, None);
    for _ in 0..args.rounds {
        let opened: Opened = source_peer.ask(&args.connections.to_string())?;
        if let Some(trouble) = opened.trouble {
            return Err(Failure::new(
                format!(
                    "only {} connections could be opened: {trouble}",
                    opened.open
                ),
                "try fewer with `--connections`; `ringfence observe --from ringfence-drill-source` says why",
            ));
        }
        // In full traffic.
        std::thread::sleep(Duration::from_millis(200));
        let began = now();
        let (outcome, took) = once(state, source.as_str())?;
        if let Some(away) = outcome.away {
            return Err(Failure::new(
                away,
                "try again when `ringfence status` says that it runs",
            ));
        }
        command_ns = command_ns.max(took);
        closed = outcome.spread;
        let deadline = Instant::now() + MAY_TAKE * 3;
        let mut living = usize::from(args.connections);
        while living > 0 {
            let report: Report = sink_peer.ask("report")?;
            let ended = seen.take(began, &report).map_err(|early| {
                Failure::new(
                    format!("{early} connections had ended before the quarantine"),
                    "`ringfence observe --from ringfence-drill-source` says why; then try again",
                )
            })?;
            living = living.saturating_sub(ended);
            if living > 0 && Instant::now() > deadline {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        seen.left += outcome.left.max(living as u64);
        rounds += 1;
        ask(state, source.as_str(), What::Release, false)?;
        if seen.left > 0 {
            // Those that live on would be counted with the next ones.
            break;
        }
    }
    let last_byte = Spread::of(seen.last.clone());
    let reset = Spread::of(seen.ended.clone());
    Ok(Measured {
        workload: source.to_string(),
        rounds,
        connections: args.connections.into(),
        passed: seen.passed(&last_byte),
        last_byte: Some(last_byte),
        reset: Some(reset),
        closed,
        command_ns,
        left: seen.left,
    })
}

/// This program, where a compartment can be given it.
struct Program(PathBuf);

impl Program {
    fn copy(role: &str) -> Result<Self, Failure> {
        // By chance, not by number of process: what a killed drill has left there, or somebody has put there, is in nobody's way.
        let mut chance = [0; 8];
        rustix::rand::getrandom(&mut chance, rustix::rand::GetRandomFlags::empty())
            .map_err(|error| Failure::new(format!("no random bytes: {error}"), "try again"))?;
        let chance = u64::from_ne_bytes(chance);
        let directory = std::env::temp_dir().join(format!("ringfence-drill-{chance:016x}-{role}"));
        let made = fs::DirBuilder::new()
            .mode(0o755)
            .create(&directory)
            .and_then(|()| {
                let program = Self(directory.clone());
                let file = directory.join("ringfence");
                fs::copy("/proc/self/exe", &file)?;
                fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
                Ok(program)
            });
        made.map_err(|error| {
            Failure::new(
                format!("{} cannot be made: {error}", directory.display()),
                "make room there, or name another place in TMPDIR",
            )
        })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // What stays is a copy of a program in a directory for such.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A workload of the drill. It ends when its standard input does, and so at the latest with this process.
struct Peer {
    launcher: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    name: String,
}

impl Peer {
    fn start(state: &Path, name: &str, program: &Program, words: &[&str]) -> Result<Self, Failure> {
        let cannot = |error: io::Error| {
            Failure::new(
                format!("{name} cannot be started: {error}"),
                "see whether `ringfence check` is content",
            )
        };
        let mut launcher = Command::new("/proc/self/exe")
            .arg("run")
            .arg("--state")
            .arg(state)
            .arg("--workdir")
            .arg(&program.0)
            .args([name, "--", "/work/ringfence", "drill-peer"])
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(cannot)?;
        let (orders, answers) = (launcher.stdin.take(), launcher.stdout.take());
        let answers = answers.ok_or_else(|| cannot(io::ErrorKind::BrokenPipe.into()))?;
        Ok(Self {
            launcher,
            orders,
            answers: BufReader::new(answers),
            name: name.to_owned(),
        })
    }

    fn ask<T: DeserializeOwned>(&mut self, order: &str) -> Result<T, Failure> {
        if let Some(orders) = &mut self.orders {
            let said = writeln!(orders, "{order}");
            said.map_err(|error| self.broken(&error))?;
        }
        self.answer()
    }

    fn answer<T: DeserializeOwned>(&mut self) -> Result<T, Failure> {
        let mut line = String::new();
        let read = self.answers.read_line(&mut line);
        match read {
            Ok(1..) => serde_json::from_str(&line).map_err(|error| self.broken(&error.into())),
            Ok(_) => Err(self.broken(&io::ErrorKind::UnexpectedEof.into())),
            Err(error) => Err(self.broken(&error)),
        }
    }

    fn broken(&self, error: &io::Error) -> Failure {
        Failure::new(
            format!("{} does not take part: {error}", self.name),
            "what it said is above; `ringfence observe --last 20` has the rest",
        )
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.orders = None;
        // It ends by itself, and it is waited for so that nothing of it is left.
        let deadline = Instant::now() + END;
        while Instant::now() < deadline {
            match self.launcher.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(10)),
                Ok(Some(_)) | Err(_) => return,
            }
        }
        let _ended_already = self.launcher.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn report(last: &[u64], ended: &[u64]) -> Report {
        Report {
            last: last.to_vec(),
            ended: ended.to_vec(),
            live: 0,
        }
    }

    /// Verdict and words over what was seen of connections of a command at 7 s.
    fn told(report: &Report, left: u64) -> (bool, String) {
        let mut seen = Seen {
            left,
            ..Seen::default()
        };
        assert_eq!(seen.take(7 * SECOND, report), Ok(report.ended.len()));
        let last_byte = Spread::of(seen.last.clone());
        let measured = Measured {
            workload: "x".to_owned(),
            rounds: 1,
            connections: 2,
            passed: seen.passed(&last_byte),
            last_byte: Some(last_byte),
            reset: None,
            closed: None,
            command_ns: 1,
            left: seen.left,
        };
        let mut out = Vec::new();
        table(&mut out, &measured).unwrap();
        let text = String::from_utf8(out).unwrap();
        (measured.passed, text.lines().last().unwrap().to_owned())
    }

    #[test]
    fn a_cut_that_comes_late_or_never_fails_and_says_so() {
        let in_time = report(&[6 * SECOND, 8 * SECOND], &[7 * SECOND, 8 * SECOND]);
        let passed = "passed: within a second, and all were cut".to_owned();
        assert_eq!(told(&in_time, 0), (true, passed));
        let late = report(&[7 * SECOND, 8 * SECOND + 1], &[8 * SECOND, 9 * SECOND]);
        let words = "FAILED: it took longer than a second".to_owned();
        assert_eq!(told(&late, 0), (false, words));
        let never = report(&[7 * SECOND], &[7 * SECOND]);
        let words = "FAILED: 1 were not cut in time".to_owned();
        assert_eq!(told(&never, 1), (false, words));
    }

    #[test]
    fn what_had_ended_before_the_command_was_not_cut_by_it() {
        let early = report(&[6 * SECOND; 2], &[7 * SECOND - 1, 7 * SECOND]);
        assert_eq!(Seen::default().take(7 * SECOND, &early), Err(1));
    }
}
