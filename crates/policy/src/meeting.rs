//! Whether two may meet at all, from texts.

use jiff::Timestamp;

use crate::condition::{Moment, Seen};
use crate::explain::{Explanation, quoted};
use crate::snapshot::Snapshot;

impl Snapshot {
    /// As [`Snapshot::explain_text`], before an operation is known: whether any could be allowed between the two.
    pub fn explain_meeting(&self, from: &str, to: &str, now: Timestamp) -> Explanation {
        let find = |name: &str| {
            self.find(name)
                .or_else(|| self.resolve(name))
                .ok_or_else(|| format!("no agent or service is called {}", quoted(name)))
        };
        match find(from).and_then(|from| Ok((from, find(to)?))) {
            Ok((from, to)) => self.explain(from, to, None, &Moment::at(now, Seen::Connection)),
            Err(reason) => Explanation::denied(reason),
        }
    }
}
