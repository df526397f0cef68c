//! A module is the kernel. What is offered here is none, so that nothing is loaded even where it is allowed.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "kernel-modules",
    tries: "load and unload modules of the kernel",
    wall: "system calls",
    control: Control::Lacking("nothing that a kernel takes is safe to load"),
    record: Record::DeniedEach(&["init_module", "finit_module", "delete_module"]),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let none = sys::at(c"");
    Verdict::any([
        (
            "init".into(),
            Verdict::of(sys::call(libc::SYS_init_module, &[none, 1, none])),
        ),
        (
            "finit".into(),
            Verdict::of(sys::call(libc::SYS_finit_module, &[usize::MAX, none, 0])),
        ),
        (
            "delete".into(),
            Verdict::of(sys::call(
                libc::SYS_delete_module,
                &[sys::at(c"no_such_module"), 0],
            )),
        ),
    ])
}
