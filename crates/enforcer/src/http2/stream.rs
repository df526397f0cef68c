//! One stream, and all of a connection.

use std::sync::Arc;
use std::time::Instant;

use ringfence_model::CanonicalPath;
use ringfence_wire::http2::{HeaderList, Violation};

use super::limits::{STREAM_WINDOW, STREAMS};
use crate::memory::{Loan, Memory};

/// One stream, between its first header block and its end on both sides.
pub(super) struct Stream<P, L> {
    /// Towards the client.
    pub(super) id: u32,
    /// Towards the service; 0: nothing has gone there.
    pub(super) up: u32,
    pub(super) phase: Phase<P, L>,
    /// From the client to the service.
    pub(super) there: Way,
    /// From the service to the client.
    pub(super) back: Way,
    pub(super) to_head: bool,
    /// The client has the head of an answer.
    pub(super) answered: bool,
    /// Interim answers so far.
    pub(super) interims: u32,
    /// Trailers of the request go on.
    pub(super) trailers: bool,
    /// The service wants no more of the request.
    pub(super) enough: bool,
    /// When something came or went last.
    pub(super) touched: Instant,
}

pub(super) enum Phase<P, L> {
    /// Its body is read before it is decided.
    Early(Box<Early<L>>),
    /// Admitted, and the service has no connection or no room yet.
    Waiting { permit: P, head: Box<Head> },
    /// With the service.
    Open { permit: P },
    /// On its way from one of the others to the next.
    Gone,
}

/// A request whose body is being read.
pub(super) struct Early<L> {
    pub(super) list: HeaderList,
    pub(super) held: Option<L>,
    /// For the list, where it may have to wait for the service.
    pub(super) loan: Option<Loan>,
    /// For the record, if it is never decided.
    pub(super) what: String,
    pub(super) since: Instant,
}

/// A request that was admitted and is yet to be written.
pub(super) struct Head {
    pub(super) list: HeaderList,
    pub(super) path: CanonicalPath,
    pub(super) expect_continue: bool,
    pub(super) arrived: Instant,
    /// For the list.
    pub(super) loan: Loan,
}

impl<P, L> Phase<P, L> {
    pub(super) fn permit(&self) -> Option<&P> {
        match self {
            Self::Early(_) | Self::Gone => None,
            Self::Waiting { permit, .. } | Self::Open { permit } => Some(permit),
        }
    }
}

/// One direction of a stream.
#[derive(Debug)]
pub(super) struct Way {
    /// Bytes that its reader takes.
    pub(super) window: i64,
    /// Bytes that its writer may still send.
    pub(super) room: i64,
    /// Bytes taken on and not given back to the writer.
    pub(super) owed: u32,
    /// Not taken yet by the reader, from `done` on.
    queue: Vec<u8>,
    done: usize,
    /// Of what is queued, how much was given back to the writer before: it was read early.
    prepaid: u32,
    pub(super) end: End,
    /// For trailers that wait behind what is queued.
    loan: Option<Loan>,
    /// What is left of the announced length.
    pub(super) left: Option<u64>,
}

/// How far a direction has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Its writer may go on.
    Open,
    /// Its writer has ended; what is queued comes first, and trailers last.
    Due(Option<Box<[u8]>>),
    /// Its reader has the end.
    Sent,
}

/// Bytes of a queue that were taken and are in front of others still, before they are taken out.
const COMPACT_FROM: usize = STREAM_WINDOW as usize / 2;

impl Way {
    pub(super) fn new(window: i64, left: Option<u64>) -> Self {
        Self {
            window,
            room: i64::from(STREAM_WINDOW),
            owed: 0,
            queue: Vec::new(),
            done: 0,
            prepaid: 0,
            end: End::Open,
            loan: None,
            left,
        }
    }

    /// Its writer has sent `weight` bytes more, padding included.
    pub(super) fn arrive(&mut self, weight: u32) -> Result<(), Violation> {
        if self.end != End::Open {
            return Err(Violation::Closed);
        }
        self.room -= i64::from(weight);
        match self.room < 0 {
            true => Err(Violation::WindowExceeded),
            false => Ok(()),
        }
    }

    pub(super) fn queued(&self) -> &[u8] {
        self.queue.get(self.done..).unwrap_or_default()
    }

    pub(super) fn push(&mut self, data: &[u8]) {
        self.queue.extend_from_slice(data);
    }

    /// Keeps data of which the writer was given the window back already.
    pub(super) fn push_prepaid(&mut self, data: &[u8]) {
        self.prepaid += data.len() as u32;
        self.push(data);
    }

    /// The reader has taken `count` bytes of the queue; gives how many of them are owed to the writer.
    pub(super) fn taken(&mut self, count: usize) -> u32 {
        self.window -= count as i64;
        self.done += count;
        if self.done >= self.queue.len() {
            self.queue = Vec::new();
            self.done = 0;
        } else if self.done >= COMPACT_FROM {
            // A reader that is slow all the time lets it never be empty.
            self.queue.drain(..self.done);
            self.done = 0;
        }
        let count = count as u32;
        let paid = self.prepaid.min(count);
        self.prepaid -= paid;
        count - paid
    }

    /// Bytes of memory that its queue takes.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.queue.capacity()
    }

    /// How much of what is queued counts against the writer.
    pub(super) fn held(&self) -> u32 {
        (self.queued().len() as u32).saturating_sub(self.prepaid)
    }

    /// Whether something waits for its reader.
    pub(super) fn is_pending(&self) -> bool {
        !self.queued().is_empty() || matches!(self.end, End::Due(_))
    }

    /// Its writer has ended, with `trailers`, or none. Where they are kept in `memory`, because something is before them or
    /// `waits` says so, and it has no room for them, that is `false`.
    pub(super) fn ends_with(
        &mut self,
        trailers: Option<Box<[u8]>>,
        waits: bool,
        memory: &Arc<Memory>,
    ) -> bool {
        if let Some(block) = &trailers
            && (waits || !self.queued().is_empty())
        {
            self.loan = memory.lend(block.len());
            if self.loan.is_none() {
                return false;
            }
        }
        self.end = End::Due(trailers);
        true
    }

    /// Its reader has the end, behind which nothing is kept.
    pub(super) fn ended(&mut self) {
        self.end = End::Sent;
        self.loan = None;
    }

    /// Counts `count` bytes of data, the last if `end`; whether they are as many as were announced.
    pub(super) fn measure(&mut self, count: usize, end: bool) -> bool {
        let Some(left) = &mut self.left else {
            return true;
        };
        match left.checked_sub(count as u64) {
            Some(rest) => {
                *left = rest;
                !end || rest == 0
            }
            None => false,
        }
    }
}

/// Where a stream is found while it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(usize);

/// The streams of a connection. Numbers only grow, so both lists stay in order by themselves.
pub(super) struct Streams<P, L> {
    places: Vec<Option<Box<Stream<P, L>>>>,
    by_id: Vec<(u32, Place)>,
    by_up: Vec<(u32, Place)>,
}

impl<P, L> Default for Streams<P, L> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            by_id: Vec::new(),
            by_up: Vec::new(),
        }
    }
}

impl<P, L> Streams<P, L> {
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() >= STREAMS
    }

    /// How many the service has.
    pub(super) fn with_service(&self) -> usize {
        self.by_up.len()
    }

    /// Enters a stream whose number is above all others'.
    pub(super) fn enter(&mut self, stream: Stream<P, L>) -> Place {
        let id = stream.id;
        let free = self.places.iter().position(Option::is_none);
        let place = Place(free.unwrap_or(self.places.len()));
        let stream = Some(Box::new(stream));
        match self.places.get_mut(place.0) {
            Some(free) => *free = stream,
            None => self.places.push(stream),
        }
        self.by_id.push((id, place));
        place
    }

    /// Notes its number towards the service, which is above all others'.
    pub(super) fn send_as(&mut self, place: Place, up: u32) {
        if let Some(stream) = self.get_mut(place) {
            stream.up = up;
            self.by_up.push((up, place));
        }
    }

    pub(super) fn get_mut(&mut self, place: Place) -> Option<&mut Stream<P, L>> {
        self.places.get_mut(place.0)?.as_deref_mut()
    }

    pub(super) fn by_id(&self, id: u32) -> Option<Place> {
        find(&self.by_id, id)
    }

    pub(super) fn by_up(&self, up: u32) -> Option<Place> {
        find(&self.by_up, up)
    }

    pub(super) fn remove(&mut self, place: Place) -> Option<Box<Stream<P, L>>> {
        let stream = self.places.get_mut(place.0)?.take()?;
        forget(&mut self.by_id, stream.id);
        if stream.up != 0 {
            forget(&mut self.by_up, stream.up);
        }
        Some(stream)
    }

    /// All places, the oldest stream first.
    pub(super) fn all(&self) -> Vec<Place> {
        self.by_id.iter().map(|(_, place)| *place).collect()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream<P, L>> {
        self.places.iter_mut().flatten().map(|stream| &mut **stream)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Stream<P, L>> {
        self.places.iter().flatten().map(|stream| &**stream)
    }

    /// The service is gone, and its numbers with it.
    pub(super) fn forget_service(&mut self) {
        self.by_up.clear();
        for stream in self.iter_mut() {
            stream.up = 0;
        }
    }
}

fn find(list: &[(u32, Place)], number: u32) -> Option<Place> {
    let at = list.binary_search_by_key(&number, |(number, _)| *number);
    list.get(at.ok()?).map(|(_, place)| *place)
}

fn forget(list: &mut Vec<(u32, Place)>, number: u32) {
    if let Ok(at) = list.binary_search_by_key(&number, |(number, _)| *number) {
        list.remove(at);
    }
}
