//! The filter of system calls itself, and the launcher that answers for it.

mod arguments_changed_while_waiting;
mod die_while_waiting;
mod filter_off;
mod interrupted_while_waiting;
mod many_wait_at_once;
mod own_filter;
mod own_landlock;
mod own_listener;
mod user_dispatch;

use crate::escape::prelude::*;

pub(super) const ALL: &[&Technique] = &[
    &arguments_changed_while_waiting::TECHNIQUE,
    &die_while_waiting::TECHNIQUE,
    &filter_off::TECHNIQUE,
    &interrupted_while_waiting::TECHNIQUE,
    &many_wait_at_once::TECHNIQUE,
    &own_filter::TECHNIQUE,
    &own_landlock::TECHNIQUE,
    &own_listener::TECHNIQUE,
    &user_dispatch::TECHNIQUE,
];

/// Whether the launcher still refuses: an empty place of the listener shows as a call that the kernel does not have.
fn still_answered() -> Verdict {
    const SESSION_KEYRING: usize = -3_isize as usize;
    match sys::call(libc::SYS_keyctl, &[0, SESSION_KEYRING, 1]) {
        Err(cause) if cause.raw_os_error() == Some(libc::EPERM) => {
            Verdict::Held("refused to the end".to_owned())
        }
        other => Verdict::Through(format!("{other:?}")),
    }
}
