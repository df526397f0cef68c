//! Counts the instructions, or the system calls, that running processes make, one at a time.
//!
//! Most virtual machines have no counters of the processor to ask. Here the kernel stops each thread behind each instruction
//! (`PTRACE_SINGLESTEP`) or before and behind each system call (`PTRACE_SYSCALL`): exact, in user space, of a process as it was
//! started and confined, with nothing put into it or under it. It costs the process a factor of a thousand, so what is counted
//! must not depend on time.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde_json::{Value, json};

/// Stops processes at each instruction until standard input ends, and counts.
#[derive(clap::Args)]
pub(crate) struct StepArgs {
    /// Processes, with all their threads
    #[arg(long, required = true)]
    pid: Vec<i32>,
    /// Count system calls instead
    #[arg(long)]
    calls: bool,
    /// Where to write how often which address was executed, a line each: address, count
    #[arg(long, conflicts_with = "calls")]
    addresses: Option<PathBuf>,
}

/// How often the tracer is woken once it is to end: a process that rests comes to no stop by itself.
const NUDGE: Duration = Duration::from_millis(20);

pub(crate) fn run(args: &StepArgs) -> io::Result<Value> {
    let over = Arc::new(AtomicBool::new(false));
    let mut tracer = Tracer {
        calls: args.calls,
        over: Arc::clone(&over),
        threads: HashMap::new(),
        count: 0,
        addresses: args.addresses.as_ref().map(|_| HashMap::new()),
    };
    for &pid in &args.pid {
        tracer.attach(pid)?;
    }
    let pids = args.pid.clone();
    thread::spawn(move || {
        let _however_it_ends = io::copy(&mut io::stdin(), &mut io::sink());
        over.store(true, Ordering::Release);
        // Whoever is traced stops at any signal; this one does nothing to who is not stopped.
        loop {
            for &pid in &pids {
                let _unless_it_ended = kill(Pid::from_raw(pid), Signal::SIGCONT);
            }
            thread::sleep(NUDGE);
        }
    });
    writeln!(io::stdout(), "stepping")?;
    let began = Instant::now();
    tracer.run()?;
    let took = began.elapsed().as_secs_f64();
    if let (Some(path), Some(addresses)) = (&args.addresses, &tracer.addresses) {
        let mut lines = String::new();
        for (address, count) in addresses {
            lines.push_str(&format!("{address:x} {count}\n"));
        }
        fs::write(path, lines)?;
    }
    let what = if args.calls { "calls" } else { "instructions" };
    Ok(json!({ what: tracer.count, "seconds": took }))
}

/// One thread that is traced.
#[derive(Default)]
struct Thread {
    /// Where its next instruction is: the same one again is a repetition of it (`rep movs`), not another.
    at: u64,
    /// It is within a system call.
    inside: bool,
}

struct Tracer {
    calls: bool,
    over: Arc<AtomicBool>,
    threads: HashMap<Pid, Thread>,
    count: u64,
    addresses: Option<HashMap<u64, u64>>,
}

impl Tracer {
    /// All threads of a process. They are stopped at once, and begin to be counted when [`Tracer::run`] lets them go on.
    fn attach(&mut self, pid: i32) -> io::Result<()> {
        // Threads may be born while the list is read; once a thread is traced, so is what it begets.
        let mut more = true;
        while std::mem::take(&mut more) {
            for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
                let name = entry?.file_name();
                let number: i32 = name
                    .to_str()
                    .and_then(|name| name.parse().ok())
                    .ok_or_else(|| io::Error::other("a thread without a number"))?;
                let thread = Pid::from_raw(number);
                if self.threads.contains_key(&thread) {
                    continue;
                }
                let options = Options::PTRACE_O_TRACECLONE | Options::PTRACE_O_TRACESYSGOOD;
                match ptrace::seize(thread, options).and_then(|()| ptrace::interrupt(thread)) {
                    Ok(()) => {
                        self.threads.insert(thread, Thread::default());
                        more = true;
                    }
                    // It has ended, or was born of one that is traced.
                    Err(Errno::ESRCH | Errno::EPERM) if number != pid => {}
                    Err(cause) => return Err(cause.into()),
                }
            }
        }
        Ok(())
    }

    /// Lets all threads go on, from stop to stop, until it is over; then lets each go for good at its next stop.
    fn run(&mut self) -> io::Result<()> {
        // Of this thread alone: nobody else's children are waited for.
        let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        while !self.threads.is_empty() {
            let (thread, signal) = match waitpid(None, Some(flags)) {
                Ok(WaitStatus::Exited(thread, _) | WaitStatus::Signaled(thread, ..)) => {
                    self.threads.remove(&thread);
                    continue;
                }
                // The end of a step; or a real trap, which nothing that is measured makes.
                Ok(WaitStatus::Stopped(thread, Signal::SIGTRAP)) => {
                    self.stepped(thread)?;
                    (thread, None)
                }
                Ok(WaitStatus::PtraceSyscall(thread)) => {
                    let here = self.threads.entry(thread).or_default();
                    here.inside = !here.inside;
                    self.count += u64::from(here.inside);
                    (thread, None)
                }
                Ok(WaitStatus::Stopped(thread, signal)) => {
                    let ours = signal == Signal::SIGCONT && self.over.load(Ordering::Acquire);
                    (thread, (!ours).then_some(signal))
                }
                // A birth, or the stop that was asked for: neither is an instruction.
                Ok(WaitStatus::PtraceEvent(thread, ..)) => {
                    self.threads.entry(thread).or_default();
                    (thread, None)
                }
                Ok(WaitStatus::Continued(_) | WaitStatus::StillAlive) => continue,
                Err(Errno::EINTR) => continue,
                Err(cause) => return Err(cause.into()),
            };
            let went_on = if self.over.load(Ordering::Acquire) {
                self.let_go(thread, signal)
            } else if self.calls {
                ptrace::syscall(thread, signal)
            } else {
                ptrace::step(thread, signal)
            };
            match went_on {
                // Killed meanwhile; its end is reported next.
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(cause) => return Err(cause.into()),
            }
        }
        Ok(())
    }

    fn stepped(&mut self, thread: Pid) -> io::Result<()> {
        let here = self.threads.entry(thread).or_default();
        let now = instruction_pointer(thread)?;
        if here.at != now {
            self.count += 1;
            if let Some(addresses) = &mut self.addresses {
                *addresses.entry(here.at).or_default() += 1;
            }
        }
        here.at = now;
        Ok(())
    }

    /// This thread, which is stopped; and all that run are stopped, to be let go as well.
    fn let_go(&mut self, thread: Pid, signal: Option<Signal>) -> Result<(), Errno> {
        if awaits_trap(thread) {
            // The step that it had begun ends with a trap that has not come yet, and would kill who is not traced.
            return ptrace::cont(thread, signal);
        }
        self.threads.remove(&thread);
        for other in self.threads.keys() {
            let _unless_it_ended = ptrace::interrupt(*other);
        }
        ptrace::detach(thread, signal)
    }
}

/// Whether a trap is pending for this thread alone.
fn awaits_trap(thread: Pid) -> bool {
    let bit = 1_u64 << (Signal::SIGTRAP as i32 - 1);
    let status = fs::read_to_string(format!("/proc/{thread}/status")).unwrap_or_default();
    let pending = status.lines().find_map(|line| line.strip_prefix("SigPnd:"));
    pending
        .is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & bit != 0))
}

#[cfg(target_arch = "x86_64")]
fn instruction_pointer(thread: Pid) -> io::Result<u64> {
    Ok(ptrace::getregs(thread)?.rip)
}

#[cfg(not(target_arch = "x86_64"))]
fn instruction_pointer(_thread: Pid) -> io::Result<u64> {
    Err(io::Error::other("instructions are counted on x86-64 alone"))
}

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
mod tests {
    use super::*;

    /// The tracer waits for it, until it is gone.
    #[allow(clippy::zombie_processes)]
    fn counted(rounds: u32, calls: bool) -> u64 {
        let script = format!(
            "read x; i=0; while [ $i -lt {rounds} ]; do i=$((i+1)); umask 22; done; kill -9 $$"
        );
        let mut child = std::process::Command::new("sh")
            .args(["-c", &script])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // All that comes before is done when it waits for its line, by name of the call.
        let at = format!("/proc/{}/syscall", child.id());
        while !fs::read_to_string(&at).unwrap().starts_with("0 0x0 ") {
            thread::sleep(Duration::from_millis(5));
        }
        let mut tracer = Tracer {
            calls,
            over: Arc::default(),
            threads: HashMap::new(),
            count: 0,
            addresses: None,
        };
        tracer.attach(child.id().try_into().unwrap()).unwrap();
        child.stdin.take().unwrap().write_all(b"go\n").unwrap();
        tracer.run().unwrap();
        tracer.count
    }

    #[test]
    fn one_that_rests_is_let_go_and_lives() {
        for calls in [true, false] {
            let mut child = std::process::Command::new("cat")
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap();
            let pid = Pid::from_raw(child.id().try_into().unwrap());
            let over = Arc::new(AtomicBool::new(false));
            let mut tracer = Tracer {
                calls,
                over: Arc::clone(&over),
                threads: HashMap::new(),
                count: 0,
                addresses: None,
            };
            tracer.attach(pid.as_raw()).unwrap();
            let ends = thread::spawn(move || {
                thread::sleep(Duration::from_millis(200));
                over.store(true, Ordering::Release);
                kill(pid, Signal::SIGCONT).unwrap();
            });
            tracer.run().unwrap();
            ends.join().unwrap();
            child.stdin.take().unwrap().write_all(b"alive").unwrap();
            let output = child.wait_with_output().unwrap();
            assert!(
                output.status.success() && output.stdout == b"alive",
                "{output:?}"
            );
        }
    }

    #[test]
    fn twice_the_work_is_twice_the_instructions_and_calls() {
        // Each round is one call of `umask` at least; what is round it is the same for all lengths.
        let calls = [20, 40, 60].map(|rounds| counted(rounds, true));
        let (first, second) = (calls[1] - calls[0], calls[2] - calls[1]);
        assert!(first.abs_diff(second) <= 2, "{calls:?}");
        assert!(calls[1] - calls[0] >= 20, "{calls:?}");
        let steps = [10, 12, 14].map(|rounds| counted(rounds, false));
        let (first, second) = (steps[1] - steps[0], steps[2] - steps[1]);
        assert!(first > 1000, "{steps:?}");
        assert!(first.abs_diff(second) * 50 < first, "{steps:?}");
    }
}
