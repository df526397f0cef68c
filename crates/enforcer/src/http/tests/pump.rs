//! How much a pump moves at a time, at the edges.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use ringfence_wire::http1::Framing;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::super::buffer::Buffer;
use super::super::limits::{BUFFER_MAX, BUFFER_MIN, COALESCE_MAX, PUMP_TURN};
use super::super::pump::Pump;

/// Says the same again and again; how much room each read had.
struct Source {
    text: &'static [u8],
    rooms: Vec<usize>,
}

impl AsyncRead for Source {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buffer.remaining();
        self.rooms.push(room);
        for _ in 0..room / self.text.len() {
            buffer.put_slice(self.text);
        }
        Poll::Ready(Ok(()))
    }
}

/// Takes everything, and remembers each piece.
#[derive(Default)]
struct Sink(Vec<Vec<u8>>);

impl AsyncWrite for Sink {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.push(bytes.to_vec());
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One turn; it must be neither the last nor one that nobody follows with another.
fn turn(pump: &mut Pump, source: &mut Source, inbound: &mut Buffer, sink: &mut Sink) {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let polled = pump.poll(&mut Context::from_waker(&waker), source, inbound, sink);
    assert!(polled.is_pending());
    assert!(woken.0.load(Ordering::Relaxed), "nobody calls it again");
}

async fn holding(bytes: usize) -> Buffer {
    let mut buffer = Buffer::default();
    let all = vec![b'b'; bytes];
    let mut left = &all[..];
    while !left.is_empty() {
        buffer.fill(&mut left).await.unwrap();
    }
    buffer
}

/// `COALESCE_MAX`: a small body leaves with its head; a longer one is not copied.
#[tokio::test]
async fn a_body_leaves_with_its_head_when_it_is_small_enough() {
    for (length, together) in [(COALESCE_MAX, true), (COALESCE_MAX + 1, false)] {
        let mut inbound = holding(length).await;
        let framing = Framing::Length(length as u64);
        let mut pump = Pump::new(b"head".to_vec(), framing, framing, &mut inbound);
        let mut sink = Sink::default();
        let mut empty = tokio::io::empty();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(
            pump.poll(&mut cx, &mut empty, &mut inbound, &mut sink)
                .is_ready()
        );
        let pieces: Vec<_> = sink.0.iter().map(Vec::len).collect();
        let expected = if together {
            vec![4 + length]
        } else {
            vec![4, length]
        };
        assert_eq!(pieces, expected);
    }
}

/// `PUMP_TURN`, in chunks: the smallest there are.
#[test]
fn so_many_chunks_are_moved_before_others_have_their_turn() {
    let mut source = Source {
        text: b"1\r\nc\r\n",
        rooms: Vec::new(),
    };
    let (mut inbound, mut sink) = (Buffer::default(), Sink::default());
    let chunked = Framing::Chunked;
    let mut pump = Pump::new(Vec::new(), chunked, chunked, &mut inbound);
    for _ in 0..5 {
        let before = sink.0.concat().len();
        turn(&mut pump, &mut source, &mut inbound, &mut sink);
        let moved = (sink.0.concat().len() - before) / source.text.len();
        // What is read counts as well, a KiB as a chunk.
        assert!(
            (PUMP_TURN / 2..=PUMP_TURN).contains(&moved),
            "{moved} chunks"
        );
    }
}

/// `PUMP_TURN` in KiB, and `BUFFER_MIN` to `BUFFER_MAX`, which a read is given room for and no more.
#[test]
fn so_much_is_moved_before_others_have_their_turn_through_a_buffer_that_grows_so_far() {
    let mut source = Source {
        text: b"x",
        rooms: Vec::new(),
    };
    let (mut inbound, mut sink) = (Buffer::default(), Sink::default());
    let length = Framing::Length(u64::MAX >> 1);
    let mut pump = Pump::new(Vec::new(), length, length, &mut inbound);
    for _ in 0..5 {
        let before: usize = sink.0.iter().map(Vec::len).sum();
        turn(&mut pump, &mut source, &mut inbound, &mut sink);
        let moved = sink.0.iter().map(Vec::len).sum::<usize>() - before;
        // What is read last is moved with the next turn.
        let most = PUMP_TURN * 1024 + 2 * BUFFER_MAX;
        assert!((most / 2..=most).contains(&moved), "{moved} bytes");
    }
    let (first, largest) = (source.rooms[0], *source.rooms.iter().max().unwrap());
    assert_eq!(first, BUFFER_MIN);
    assert!((BUFFER_MAX..2 * BUFFER_MAX).contains(&largest), "{largest}");
}
