//! Notices that the configuration may have changed, and waits until it rests.
//!
//! inotify says it at once where it works; a slow look at names, sizes and times catches the rest: network file
//! systems, directories that were exchanged, certificate files elsewhere.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::limits::{RESCAN, SETTLE, SETTLE_MAX};
use crate::scan::Fingerprint;
use crate::supervisor::{Input, Inputs};
use crate::unrest::Spotted;

/// Reports changes of the directory `config` and of the `others` until the node ends.
pub(crate) async fn serve(
    config: PathBuf,
    mut others: watch::Receiver<Vec<PathBuf>>,
    spotted: Spotted,
    inputs: Inputs,
) {
    let stirred = Arc::new(Notify::new());
    let mut eye = Eye::new(&stirred, spotted);
    let mut rescan = interval(RESCAN);
    rescan.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = None;
    loop {
        let mut told = false;
        tokio::select! {
            () = stirred.notified() => {
                settle(&stirred).await;
                told = true;
            }
            _ = rescan.tick() => {}
            changed = others.changed() => if changed.is_err() { return },
        }
        let files = others.borrow_and_update().clone();
        let Some(now) = look(&config, files).await else {
            continue;
        };
        eye.keep_on(&config, now.root);
        let changed = seen.as_ref() != Some(&now);
        // The first look is only something to compare with: the start reads the files anyway. What inotify tells is
        // read in any case: two changes within one tick of the file system's clock look alike from outside.
        if seen.replace(now).is_some() && (changed || told) {
            inputs.send(Input::Changed).await;
        }
    }
}

/// Waits until nothing has stirred for a moment, but not for ever.
async fn settle(stirred: &Notify) {
    let end = Instant::now() + SETTLE_MAX;
    while Instant::now() < end && timeout(SETTLE, stirred.notified()).await.is_ok() {}
}

async fn look(config: &Path, others: Vec<PathBuf>) -> Option<Fingerprint> {
    let config = config.to_owned();
    match tokio::task::spawn_blocking(move || Fingerprint::take(&config, &others)).await {
        Ok(fingerprint) => Some(fingerprint),
        Err(error) => {
            crate::say::warn(&format!("looking at the configuration panicked: {error}"));
            None
        }
    }
}

/// inotify on one incarnation of the directory.
struct Eye {
    watcher: Option<RecommendedWatcher>,
    on: Option<(u64, u64)>,
    spotted: Spotted,
    complained: bool,
}

impl Eye {
    fn new(stirred: &Arc<Notify>, spotted: Spotted) -> Self {
        let (stirred, noted) = (Arc::clone(stirred), spotted.clone());
        let made = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            match event {
                // Our own reading is no change.
                Ok(event) if matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write)) =>
                    {}
                Ok(event) => {
                    note(&event, &noted);
                    stirred.notify_one();
                }
                Err(_) => stirred.notify_one(),
            }
        });
        let mut eye = Self {
            watcher: None,
            on: None,
            spotted,
            complained: false,
        };
        match made {
            Ok(watcher) => eye.watcher = Some(watcher),
            Err(error) => eye.complain(&error),
        }
        eye
    }

    /// Follows the directory when it was replaced by another one under the same name.
    fn keep_on(&mut self, config: &Path, root: Option<(u64, u64)>) {
        if root == self.on {
            return;
        }
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        if self.on.take().is_some() {
            // The old directory is gone, and most often its watch with it.
            let _ = watcher.unwatch(config);
        }
        self.spotted.forget();
        if root.is_none() {
            return;
        }
        match watcher.watch(config, RecursiveMode::Recursive) {
            Ok(()) => {
                self.on = root;
                self.complained = false;
            }
            Err(error) => self.complain(&error),
        }
    }

    fn complain(&mut self, error: &notify::Error) {
        if !std::mem::replace(&mut self.complained, true) {
            crate::say::warn(&format!(
                "changes of the configuration are seen only every {RESCAN:?}: {error}\n= help: raise \
                 fs.inotify.max_user_watches and fs.inotify.max_user_instances"
            ));
        }
    }
}

/// Keeps track of which files are being written, as far as inotify tells.
fn note(event: &notify::Event, spotted: &Spotted) {
    if event.need_rescan() {
        // Some were missed, and with them perhaps the end of a writing.
        return spotted.forget();
    }
    let written = matches!(event.kind, EventKind::Modify(ModifyKind::Data(_)));
    let over = matches!(
        event.kind,
        EventKind::Access(_) | EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_))
    );
    for path in &event.paths {
        if written {
            spotted.written(path);
        } else if over {
            spotted.closed(path);
        }
    }
}
