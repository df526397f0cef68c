//! Where a host name is: one look-up of it at a time, whose outcome all get who came meanwhile.
//!
//! A look-up occupies a thread for as long as the name server likes, and cannot be called off. Were each connection to
//! make its own, a workload could fill all threads, and the queue before them for minutes, by connecting again and again
//! to a service whose name server is silent. So an endpoint has one at most, whoever asks: nobody makes more of them than
//! operators declared.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use ringfence_model::HostName;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::limits::{ADDRESSES_PER_ENDPOINT, LOOKUP_TIMEOUT};

/// The look-ups of one endpoint.
#[derive(Default)]
pub(super) struct Lookup {
    under_way: Mutex<Option<watch::Receiver<Option<Outcome>>>>,
}

/// What all who wait are given. An [`io::Error`] cannot be had twice.
type Outcome = Result<Vec<SocketAddr>, (io::ErrorKind, String)>;

impl Lookup {
    /// The addresses of `name`, with `port`: at most [`ADDRESSES_PER_ENDPOINT`], within [`LOOKUP_TIMEOUT`].
    pub(super) async fn find(&self, name: &HostName, port: u16) -> io::Result<Vec<SocketAddr>> {
        let mut outcome = self.join(name, port);
        let found = match timeout(LOOKUP_TIMEOUT, outcome.wait_for(Option::is_some)).await {
            // `None` does not come: it is what was waited for.
            Ok(Ok(outcome)) => outcome.clone().unwrap_or(Ok(Vec::new())),
            Ok(Err(_)) => Err((io::ErrorKind::Other, "the look-up broke off".to_owned())),
            Err(_) => {
                let what = format!("{name} did not resolve within {LOOKUP_TIMEOUT:?}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, what));
            }
        };
        found.map_err(|(kind, cause)| {
            io::Error::new(kind, format!("{name} does not resolve: {cause}"))
        })
    }

    /// The look-up that is under way, or a new one.
    fn join(&self, name: &HostName, port: u16) -> watch::Receiver<Option<Outcome>> {
        let mut under_way = self
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(outcome) = &*under_way
            && outcome.borrow().is_none()
            && outcome.has_changed().is_ok()
        {
            return outcome.clone();
        }
        let (told, outcome) = watch::channel(None);
        *under_way = Some(outcome.clone());
        let name = name.to_string();
        tokio::spawn(async move {
            let found = tokio::net::lookup_host((name.as_str(), port)).await;
            told.send_replace(Some(match found {
                Ok(found) => Ok(found.take(ADDRESSES_PER_ENDPOINT).collect()),
                Err(cause) => Err((cause.kind(), cause.to_string())),
            }));
        });
        outcome
    }
}
