//! hyper's server, on a connection that is all there at once.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;

use super::{Ended, Request, Seen};

/// Polls that a connection may take. Nothing is ever waited for, so one more than a few means that it is stuck.
const TURNS: usize = 1000;

pub(super) fn read(stream: &[u8]) -> Seen {
    let requests = Rc::new(RefCell::new(Vec::new()));
    let begun = Rc::new(RefCell::new(0_usize));
    let wire = Wire {
        stream: stream.to_vec(),
        at: 0,
    };
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let requests = Rc::clone(&requests);
        *begun.borrow_mut() += 1;
        async move {
            let (head, body) = request.into_parts();
            let mut read = Request {
                method: head.method.as_str().as_bytes().to_vec(),
                target: head.uri.to_string().into_bytes(),
                fields: head
                    .headers
                    .iter()
                    .map(|(name, value)| (name.as_str().into(), value.as_bytes().into()))
                    .collect(),
                body: Vec::new(),
            };
            let mut body = pin!(body);
            while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
                // An error ends the connection, and with it this.
                let frame = frame?;
                if let Some(data) = frame.data_ref() {
                    read.body.extend_from_slice(data);
                }
            }
            requests.borrow_mut().push(read);
            Ok::<_, hyper::Error>(hyper::Response::new(Nothing))
        }
    });
    let mut connection = pin!(
        Builder::new()
            .half_close(true)
            .max_headers(128)
            .serve_connection(wire, service)
    );
    let mut cx = Context::from_waker(Waker::noop());
    let outcome = (0..TURNS)
        .map(|_| connection.as_mut().poll(&mut cx))
        .find_map(|poll| match poll {
            Poll::Ready(outcome) => Some(outcome),
            Poll::Pending => None,
        });
    let ended = match outcome {
        None => Ended::Waiting,
        Some(Err(error)) if error.is_incomplete_message() => Ended::Waiting,
        Some(Err(_)) => Ended::Rejected,
        // It reads no further behind a request that is the last one.
        Some(Ok(())) if *begun.borrow() > requests.borrow().len() => Ended::Rejected,
        Some(Ok(())) => Ended::Closed,
    };
    let requests = requests.take();
    Seen { requests, ended }
}

/// Brings a stream, and takes answers without looking.
struct Wire {
    stream: Vec<u8>,
    at: usize,
}

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let rest = &self.stream[self.at..];
        let count = rest.len().min(into.remaining());
        into.put_slice(&rest[..count]);
        self.at += count;
        Poll::Ready(Ok(()))
    }
}

impl Write for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// An empty answer.
struct Nothing;

impl Body for Nothing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }
}
