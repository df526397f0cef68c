//! A drill: its pair of workloads comes into policy, and leaves it when the operator's conversation ends.

use tokio::sync::oneshot;

use super::Supervisor;
use crate::admin::Refused;
use crate::drill::{self, Pair};
use crate::generation::Origin;

/// The way back to an operator.
pub(crate) type Answer = oneshot::Sender<Result<Pair, Refused>>;

/// How far a drill has come.
pub(super) enum Drill {
    /// The pair is on its way into force.
    Wanted(Answer),
    /// It is in force.
    On,
}

impl Supervisor {
    pub(super) fn begin_drill(&mut self, answer: Answer) {
        let refused = if self.drill.is_some() {
            Some(Refused::new(
                "a drill is under way already",
                "wait until it has ended",
            ))
        } else if self.rejected.is_some() || self.serving.origin != Origin::Config {
            Some(Refused::new(
                "a drill puts its workloads beside those of the files, and those are not in force",
                "mend the configuration; or drill with a workload that runs: `ringfence drill quarantine NAME --yes`",
            ))
        } else {
            None
        };
        match refused {
            // Whoever asked may have hung up.
            Some(refused) => drop(answer.send(Err(refused))),
            None => {
                self.drill = Some(Drill::Wanted(answer));
                self.start_reading();
            }
        }
    }

    /// What is in force has changed.
    pub(super) fn drill_taken(&mut self) {
        if !self.serving.drill {
            return;
        }
        let wanted = self
            .drill
            .take_if(|drill| matches!(drill, Drill::Wanted(_)));
        if let Some(Drill::Wanted(answer)) = wanted {
            self.drill = Some(Drill::On);
            self.record(
                "drill began",
                "its workloads are in force".to_owned(),
                None,
                true,
            );
            let pair = drill::pair().ok_or_else(|| Refused::new("there is no pair", "report it"));
            // Whoever asked may have hung up: then the end follows.
            let _ = answer.send(pair);
        }
    }

    /// The files, or the pair beside them, are not acceptable.
    pub(super) fn drill_refused(&mut self, why: &str) {
        if let Some(Drill::Wanted(answer)) = self
            .drill
            .take_if(|drill| matches!(drill, Drill::Wanted(_)))
        {
            // Whoever asked may have hung up.
            let _ = answer.send(Err(Refused::new(
                format!("the drill's workloads cannot come into force: {why}"),
                "mend the configuration; or drill with a workload that runs: `ringfence drill quarantine NAME --yes`",
            )));
        }
    }

    /// The operator's conversation has ended, one way or another.
    pub(super) fn end_drill(&mut self) {
        if self.drill.take().is_none() {
            return;
        }
        if let Some(pair) = drill::pair() {
            self.free_after_drill(&pair.source);
        }
        self.record("drill ended", "its workloads leave".to_owned(), None, true);
        self.start_reading();
    }
}
