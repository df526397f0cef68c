//! The terminal that Ringfence was started from, which a shell reads next.

mod foreground_taken;
mod hung_up;
mod line_discipline;
mod locked_modes;
mod output_held_up;
mod pasted_into_terminal;
mod terminal_as_console;
mod terminal_flags;
mod terminal_given_away;
mod terminal_modes;
mod terminal_opened_again;
mod terminal_size;
mod terminal_to_itself;
mod typed_into_terminal;

use crate::escape::{Technique, Verdict};

pub(super) const ALL: &[&Technique] = &[
    &foreground_taken::TECHNIQUE,
    &hung_up::TECHNIQUE,
    &line_discipline::TECHNIQUE,
    &locked_modes::TECHNIQUE,
    &output_held_up::TECHNIQUE,
    &pasted_into_terminal::TECHNIQUE,
    &terminal_as_console::TECHNIQUE,
    &terminal_flags::TECHNIQUE,
    &terminal_given_away::TECHNIQUE,
    &terminal_modes::TECHNIQUE,
    &terminal_opened_again::TECHNIQUE,
    &terminal_size::TECHNIQUE,
    &terminal_to_itself::TECHNIQUE,
    &typed_into_terminal::TECHNIQUE,
];

/// The standard streams.
const STREAMS: [usize; 3] = [0, 1, 2];

/// What was done to a terminal, which only its giver can tell from one of the attacker's own: whether it got through is
/// what the giver felt.
fn did(tried: impl IntoIterator<Item = std::io::Result<()>>) -> Verdict {
    let tried: Vec<String> = tried
        .into_iter()
        .map(|answer| match answer {
            Ok(()) => "done".to_owned(),
            Err(cause) => cause.to_string(),
        })
        .collect();
    Verdict::Held(format!("not felt by the caller: {}", tried.join("; ")))
}
