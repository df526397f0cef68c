//! SysV memory needs no key: the kernel gives it by index, to whoever may read it.

use crate::escape::prelude::*;

pub(super) const TECHNIQUE: Technique = Technique {
    name: "sysv-by-number",
    tries: "every SysV memory of the host, by index",
    wall: "ipc namespace",
    control: Control::Caller,
    record: Record::Nothing("no such object exists inside; nothing is refused"),
    start: Start::Plain,
    attempt,
};

fn attempt(_: &Ground) -> Verdict {
    /// `SHM_STAT`: by index, not by number.
    const STAT: usize = 13;
    let mut about = [0_u64; 32];
    let indices = 0..256;
    let found = indices.filter_map(|index| {
        let place = sys::at_mut(&mut about);
        let number = sys::call(libc::SYS_shmctl, &[index, STAT, place]).ok()?;
        let read_only = libc::SHM_RDONLY as usize;
        let address = sys::call(libc::SYS_shmat, &[number as usize, 0, read_only]).ok()?;
        Some(String::from_utf8_lossy(&sys::peek(address as usize, 64)).into_owned())
    });
    let found: Vec<_> = found.collect();
    match found.is_empty() {
        true => Verdict::Held("there is none".into()),
        false => Verdict::Through(found.join(" ")),
    }
}
