//! News for a connection that has many requests under way at once: one listener for all of them.

use ringfence_model::Generation;
use ringfence_policy::Recheck;
use tokio::sync::watch::Receiver;

use crate::connection::{Connection, Cut};
use crate::far::Far;
use crate::request::UnderWay;

/// Hears of all that may change a decision. What changes from its making on is not missed.
pub(crate) struct Watch {
    generations: Receiver<u64>,
    home: Receiver<Option<&'static str>>,
    /// The compartment at the other end, once it is known which.
    far: Option<Receiver<Option<&'static str>>>,
    /// When something ends by itself.
    due: Recheck,
    /// The generation under which all has passed, and the one before that.
    passed: Option<Generation>,
    before: Option<Generation>,
}

impl Watch {
    pub(crate) fn new(connection: &Connection) -> Self {
        Self {
            generations: connection.node().current.subscribe(),
            home: connection.home().departure(),
            far: None,
            due: Recheck::default(),
            passed: None,
            before: None,
        }
    }

    /// Resolves when something has changed since the last [`Watch::check`], or what it found ends by itself.
    pub(crate) async fn changed(&mut self, connection: &Connection) {
        let Self {
            generations,
            home,
            far,
            due,
            ..
        } = self;
        let far = async {
            match far {
                Some(far) => drop(far.changed().await),
                None => std::future::pending().await,
            }
        };
        // None of the senders can be gone: the connection holds them all.
        tokio::select! {
            _ = generations.changed() => {}
            _ = home.changed() => {}
            () = far => {}
            () = connection.node().clock.reached(*due) => {}
        }
    }

    /// Whether the connection may go on, which is asked first; then, whether each request of it may.
    pub(crate) fn check(
        &mut self,
        connection: &Connection,
        request: Option<&UnderWay>,
    ) -> Result<(), Cut> {
        if request.is_none() {
            let far = connection.far().and_then(Far::compartment);
            if self.far.is_none()
                && let Some(far) = far
            {
                self.far = Some(far.departure());
            }
            self.due = Recheck::default();
            self.before = self.passed;
        }
        let (generation, recheck) = connection.check(request, self.before)?;
        if request.is_none() {
            self.passed = Some(generation);
        }
        self.note(recheck);
        Ok(())
    }

    /// Something ends by itself.
    pub(crate) fn note(&mut self, recheck: Recheck) {
        self.due = self.due.and(recheck);
    }
}
