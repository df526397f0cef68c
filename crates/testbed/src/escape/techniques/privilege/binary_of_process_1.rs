//! A process that is started inside is a copy of the launcher until it becomes the workload, and its program file is
//! the host's. Whoever can open it may run it inside, or write to it: a container runtime was taken over so
//! (CVE-2019-5736).

use std::os::unix::fs::PermissionsExt;

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "binary-of-process-1",
    tries: "the program of process 1: read, run as an interpreter, written to",
    wall: "closed to others, Landlock",
    control: Control::Root,
    record: Record::Nothing("what files refuse is not recorded"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    const PROGRAM: &str = "/proc/1/exe";
    let script = std::env::temp_dir().join(format!("interpreted-{}", std::process::id()));
    let run = std::fs::write(&script, "#!/proc/1/exe --version\n")
        .and_then(|()| std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)))
        .and_then(|()| std::process::Command::new(&script).output())
        .map(|output| output.status);
    let _ = std::fs::remove_file(&script);
    let written = std::fs::File::options().append(true).open(PROGRAM);
    let mapped = std::fs::read_to_string("/proc/1/maps");
    Verdict::any([
        ("named".into(), Verdict::of(std::fs::read_link(PROGRAM))),
        ("opened".into(), Verdict::of(std::fs::File::open(PROGRAM))),
        ("written".into(), Verdict::of(written)),
        ("run".into(), Verdict::of(run)),
        ("map".into(), Verdict::of(mapped.map(|text| text.len()))),
    ])
}
