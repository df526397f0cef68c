//! Seals the flow log, and prunes it on an operator's word, in a thread of this process: who parses hostile bytes writes
//! segments, and touches nothing that is sealed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ringfence_audit::Seq;
use ringfence_history::{Keep, Pruned, SealError, Sealing as Work, prunable, prune};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::NodeError;
use crate::admin::Refused;
use crate::quarantine::Asker;
use crate::supervisor::{Input, Inputs};
use crate::told::Told;

/// How often it is looked for a segment that can be sealed.
const SEAL_EVERY: Duration = Duration::from_secs(1);
/// How long an enforcer may take to remove segments that are sealed, before it is told of as trouble.
const RELEASE_WITHIN: Duration = Duration::from_secs(60);
/// Sealing is in no hurry: whatever else runs on the machine comes first.
const NICE: i32 = 10;

/// What an operator wants pruned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PruneWish {
    /// What is to be kept.
    pub keep: Keep,
    /// Nothing is to be done: only to be told what would be.
    pub dry_run: bool,
}

/// The way back to an operator.
pub(crate) type Answer = oneshot::Sender<Result<Pruned, Refused>>;

/// Something else for the thread to do.
pub(crate) struct Order {
    pub(crate) wish: PruneWish,
    pub(crate) by: Asker,
    pub(crate) answer: Answer,
}

/// The way to the thread.
#[derive(Clone)]
pub(crate) struct Orders(Option<Sender<Order>>);

impl Orders {
    /// To no thread: every order is refused.
    #[cfg(test)]
    pub(crate) fn nowhere() -> Self {
        Self(None)
    }

    /// Gives an order; it is answered when it is done.
    pub(crate) fn put(&self, order: Order) {
        let given = match &self.0 {
            Some(orders) => orders.send(order).map_err(|mpsc::SendError(order)| order),
            None => Err(order),
        };
        if let Err(order) = given {
            let refused = Refused::new(
                "the thread that seals and prunes has ended",
                "restart the node",
            );
            // Whoever asked may have hung up.
            let _ = order.answer.send(Err(refused));
        }
    }
}

/// The thread that seals, until [`Sealing::end`].
pub(crate) struct Sealing {
    stop: Arc<AtomicBool>,
    orders: Sender<Order>,
    thread: JoinHandle<()>,
}

impl Sealing {
    /// Seals the log in `log` from now on.
    pub(crate) fn start(log: PathBuf, told: Told, inputs: Inputs) -> Result<Self, NodeError> {
        let stop = Arc::new(AtomicBool::new(false));
        let (orders, ordered) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("sealing".to_owned())
            .spawn({
                let stop = stop.clone();
                move || {
                    // Without it, sealing takes its turns like everybody else.
                    let _as_it_is = rustix::process::nice(NICE);
                    work(&log, &told, &inputs, &ordered, &stop);
                }
            })
            .map_err(|error| {
                NodeError::io(
                    "start sealing the log",
                    error,
                    "free some memory and processes",
                )
            })?;
        Ok(Self {
            stop,
            orders,
            thread,
        })
    }

    /// The way to it.
    pub(crate) fn orders(&self) -> Orders {
        Orders(Some(self.orders.clone()))
    }

    /// Leaves what it is at, and ends: the next start begins it anew.
    pub(crate) fn end(self) {
        self.stop.store(true, Ordering::Release);
        drop(self.orders);
        if self.thread.join().is_err() {
            crate::say::warn("sealing the flow log has failed; the next start seals what is left");
        }
    }
}

fn work(log: &Path, told: &Told, inputs: &Inputs, ordered: &Receiver<Order>, stop: &AtomicBool) {
    let mut sealing = Work::new(log);
    let mut waiting: Option<(Seq, Instant)> = None;
    loop {
        if stop.load(Ordering::Acquire) {
            return;
        }
        match seal(&mut sealing, stop, &mut waiting, RELEASE_WITHIN) {
            Ok(release) => {
                if let Some(before) = release {
                    inputs.tell(Input::Sealed(before));
                }
                told.is_well(Some(sealing.sealed().0), "the flow log is sealed again");
            }
            Err(SealError::Stopped) => return,
            Err(error) => told.has_trouble(error.to_string(), |trouble| {
                format!(
                    "the flow log is not sealed any further: {trouble}; it is recorded and read as before, and takes more room"
                )
            }),
        }
        match ordered.recv_timeout(SEAL_EVERY) {
            Ok(order) => obey(log, inputs, order),
            Err(RecvTimeoutError::Timeout) => {}
            // All ways to it are gone, and the node with them.
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Seals all that can be. Gives before which record segments can be removed, if there are such.
fn seal(
    sealing: &mut Work,
    stop: &AtomicBool,
    waiting: &mut Option<(Seq, Instant)>,
    within: Duration,
) -> Result<Option<Seq>, SealError> {
    let go_on = || !stop.load(Ordering::Acquire);
    while sealing.turn(&go_on)?.is_some() {}
    let release = sealing.to_release()?;
    *waiting = release.map(|before| match *waiting {
        Some((same, since)) if same == before => (before, since),
        _ => (before, Instant::now()),
    });
    match *waiting {
        Some((before, since)) if since.elapsed() > within => {
            Err(SealError::Kept { before: before.0 })
        }
        _ => Ok(release),
    }
}

fn obey(log: &Path, inputs: &Inputs, order: Order) {
    let Order { wish, by, answer } = order;
    let done = if wish.dry_run {
        prunable(log, wish.keep)
    } else {
        prune(log, wish.keep, &by.to_string())
    };
    let answered = match done {
        Ok(pruned) => {
            if let (false, Some(first), Some(last)) = (wish.dry_run, pruned.first, pruned.last) {
                let reason = format!(
                    "records {first} to {last}, {} sealed files, {} bytes, by {by}",
                    pruned.files, pruned.bytes
                );
                inputs.tell(Input::Pruned(reason));
            }
            Ok(pruned)
        }
        Err(error) => Err(Refused::new(
            format!("not everything was pruned: {error}"),
            "mend that and prune again; what is gone by now was signed as pruned",
        )),
    };
    // Whoever asked may have hung up.
    let _ = answer.send(answered);
}

#[cfg(test)]
mod tests {
    use ringfence_audit::Log;
    use ringfence_audit::tree::Keeper;
    use ringfence_model::flow::Flow;

    use super::*;

    #[test]
    fn segments_that_stay_are_told_of() {
        let directory = tempfile::tempdir().unwrap();
        let log = Log::open(directory.path()).unwrap();
        for _ in 0..100 {
            let reason = "x".repeat(20_000);
            log.record(&Flow {
                reason,
                ..Flow::default()
            })
            .unwrap();
        }
        let mut keeper = Keeper::open(directory.path(), "node").unwrap();
        while keeper.turn().unwrap() {}
        let (mut sealing, mut waiting) = (Work::new(directory.path()), None);
        let stop = AtomicBool::new(false);
        let mut look = |within| seal(&mut sealing, &stop, &mut waiting, within);
        let before = look(RELEASE_WITHIN).unwrap().unwrap();
        thread::sleep(Duration::from_millis(2));
        assert_eq!(look(RELEASE_WITHIN).unwrap(), Some(before));
        let told = look(Duration::from_millis(1));
        assert!(matches!(told, Err(SealError::Kept { .. })), "{told:?}");
        assert_eq!(log.release(before).unwrap(), 1);
        assert_eq!(look(Duration::from_millis(1)).unwrap(), None);
    }
}
