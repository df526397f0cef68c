//! Generations on their way into force.
//!
//! They are compiled one after another beside everything else, so that neither a quarantine nor a question of the node
//! waits for a large estate.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use ringfence_compartment::memfd;
use ringfence_model::Generation;
use tokio::sync::oneshot;

use crate::Assignment;
use crate::inforce::InForce;

/// In the order in which they came.
#[derive(Default)]
pub(crate) struct Loads {
    under_way: Option<(Generation, oneshot::Receiver<Result<InForce, String>>)>,
    waiting: VecDeque<(Generation, Option<OwnedFd>)>,
}

impl Loads {
    /// One more, after all others.
    pub(crate) fn put(&mut self, generation: Generation, memory: Option<OwnedFd>) {
        self.waiting.push_back((generation, memory));
        self.begin();
    }

    fn begin(&mut self) {
        if self.under_way.is_none()
            && let Some((generation, memory)) = self.waiting.pop_front()
        {
            let (told, compiling) = oneshot::channel();
            // Parsing and compiling take time that connections need. Not among the runtime's threads: look-ups take
            // those, for as long as a name server is silent, and policy does not wait for one.
            let thread = std::thread::Builder::new().name("generation".to_owned());
            let begun = thread.spawn(move || {
                // Whoever asked has gone only when all of this process ends.
                let _nobody_waits = told.send(compile(generation, memory));
            });
            // Without a thread the sender is gone, which is the answer.
            drop(begun);
            self.under_way = Some((generation, compiling));
        }
    }

    /// The next that is done. May be dropped and called again: nothing is lost.
    pub(crate) async fn next(&mut self) -> (Generation, Result<InForce, String>) {
        let Some((generation, compiling)) = &mut self.under_way else {
            return std::future::pending().await;
        };
        let (generation, compiled) = (*generation, compiling.await);
        self.under_way = None;
        self.begin();
        let broke_off =
            |_| Err("it could not be compiled: there was no thread, or it broke off".to_owned());
        let compiled = compiled.unwrap_or_else(broke_off);
        (generation, compiled)
    }
}

fn compile(generation: Generation, memory: Option<OwnedFd>) -> Result<InForce, String> {
    let memory = memory.ok_or("the generation came without its content")?;
    let bytes = memfd::read(memory).map_err(|cause| cause.to_string())?;
    let assignment: Assignment =
        serde_json::from_slice(&bytes).map_err(|cause| cause.to_string())?;
    InForce::compile(generation, &assignment).map_err(|unfit| unfit.to_string())
}
