//! Pages can be moved between the nodes of a machine; which ones move tells where they are.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "pages-of-others",
    tries: "move pages between the machine's nodes",
    wall: "system calls",
    control: Control::Caller,
    record: Record::DeniedEach(&["move_pages", "migrate_pages"]),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    let moved = sys::call(libc::SYS_move_pages, &[0, 0, 0, 0, 0, 0]);
    let nodes = [1_usize; 2];
    let place = sys::at(&nodes);
    let migrated = sys::call(libc::SYS_migrate_pages, &[0, 64, place, place]);
    Verdict::any([
        ("move_pages".into(), Verdict::of(moved)),
        ("migrate_pages".into(), Verdict::of(migrated)),
    ])
}
