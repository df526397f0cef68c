//! Signs the flow log, in this process: who parses hostile bytes writes records, and cannot sign.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use ringfence_audit::tree::Keeper;

use crate::NodeError;
use crate::say::warn;
use crate::told::Told;

/// How long a record may wait for the checkpoint that counts it.
const SIGN_EVERY: Duration = Duration::from_secs(1);

/// The thread that signs, until [`Evidence::end`].
#[derive(Debug)]
pub(crate) struct Evidence {
    told: Told,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Evidence {
    /// Signs the log in `log` from now on, under the name of `node` where it is a new one.
    pub(crate) fn start(log: PathBuf, node: String) -> Result<Self, NodeError> {
        let (told, stop) = (Told::default(), Arc::new(AtomicBool::new(false)));
        let thread = thread::Builder::new()
            .name("evidence".to_owned())
            .spawn({
                let (told, stop) = (told.clone(), stop.clone());
                move || sign(&log, &node, &told, &stop)
            })
            .map_err(|error| {
                NodeError::io(
                    "start signing the log",
                    error,
                    "free some memory and processes",
                )
            })?;
        Ok(Self { told, stop, thread })
    }

    /// How far it has come, from now on.
    pub(crate) fn told(&self) -> Told {
        self.told.clone()
    }

    /// Signs what is there, and ends.
    pub(crate) fn end(self) {
        self.stop.store(true, Ordering::Release);
        let thread: &Thread = self.thread.thread();
        thread.unpark();
        if self.thread.join().is_err() {
            warn("signing the flow log has failed; the next start signs what is left");
        }
    }
}

fn sign(log: &std::path::Path, node: &str, told: &Told, stop: &AtomicBool) {
    let mut keeper: Option<Keeper> = None;
    loop {
        // What comes after this is signed by the next start, or was there before.
        let last = stop.load(Ordering::Acquire);
        let turned = match keeper.take().map_or_else(|| Keeper::open(log, node), Ok) {
            Ok(mut opened) => match opened.turn() {
                Ok(behind) => {
                    told.is_well(Some(opened.signed().0), "the flow log is signed again");
                    keeper = Some(opened);
                    Ok(behind)
                }
                // Opened anew, it looks at everything again.
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        let behind = match turned {
            Ok(behind) => behind,
            Err(error) => {
                told.has_trouble(error.to_string(), |trouble| {
                    format!(
                        "the flow log is not signed any further: {trouble}; traffic is decided and recorded as before"
                    )
                });
                false
            }
        };
        if last && !behind {
            return;
        }
        if !behind {
            thread::park_timeout(SIGN_EVERY);
        }
    }
}
