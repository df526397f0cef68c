//! How far long work is, told to whoever waits at a terminal.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use crate::output::say;

/// How often it is told.
const PROGRESS_EVERY: Duration = Duration::from_secs(3);

/// Counts steps.
pub(super) struct Progress {
    /// `%` stands for how many are done.
    words: String,
    done: usize,
    said: Instant,
    watched: bool,
}

impl Progress {
    pub(super) fn new(words: String) -> Self {
        Self {
            words,
            done: 0,
            said: Instant::now(),
            watched: io::stderr().is_terminal(),
        }
    }

    pub(super) fn step(&mut self) {
        self.done += 1;
        if self.watched && self.said.elapsed() >= PROGRESS_EVERY {
            self.said = Instant::now();
            say(self.words.replacen('%', &self.done.to_string(), 1));
        }
    }
}
