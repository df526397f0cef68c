//! What the program gives up before it looks at a question: the engine may read the log, and nothing else of the machine.

use std::io;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr,
};
use rustix::process::{Resource, getrlimit, nice, setrlimit};

/// Last in turn: whoever is behind a door of the node waits for no question.
const NICE: i32 = 19;
/// Beside what the engine counts: the program itself with its stacks, the pages it unpacks, the rows it prints.
const UNCOUNTED: u64 = 1024 * 1024 * 1024;

/// Takes its turn behind all others, and no more memory than a query that may have `memory` bytes can need.
pub fn stand_back(memory: usize) -> io::Result<()> {
    nice(NICE)?;
    let mut data = getrlimit(Resource::Data);
    let most = (memory as u64).saturating_mul(2).saturating_add(UNCOUNTED);
    data.current = Some(data.maximum.map_or(most, |maximum| maximum.min(most)));
    setrlimit(Resource::Data, data)?;
    // Where the kernel ends it, no records are left in a core file, nor, which 0 would not see to, with a program for cores.
    let mut core = getrlimit(Resource::Core);
    core.current = Some(1);
    setrlimit(Resource::Core, core)?;
    // A descriptor for each sealed file.
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    Ok(setrlimit(Resource::Nofile, files)?)
}

/// From here on, this thread and those it starts read files in `log` and open no other, and make no connection.
pub fn confine(log: &Path) -> io::Result<()> {
    let abi = ABI::V5;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let log = PathFd::new(log).map_err(io::Error::other)?;
    Ruleset::default()
        // A kernel that knows less forbids less.
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(abi)))
        .and_then(Ruleset::create)
        .and_then(|rules| rules.add_rule(PathBeneath::new(log, read)))
        .and_then(RulesetCreated::restrict_self)
        .map(|_| ())
        .map_err(io::Error::other)
}
