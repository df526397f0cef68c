//! Many streams of HTTP/2 that live and move, and when the last byte of each came.
//!
//! A client and a server of their own, of as many frames as that takes: what is measured is how soon somebody between the two
//! ends a stream, to a frame. Both are told what to do by lines on standard input, and answer each with a line.

use std::collections::HashMap;
use std::io::{self, BufRead, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

/// Opens as many connections as a line of standard input says, each with its streams, and sends a byte on one stream after
/// another until it is told otherwise. `0` closes them.
#[derive(clap::Args)]
pub(crate) struct StreamsArgs {
    /// Server, HOST:PORT
    #[arg(long)]
    to: String,
    /// Streams of each connection to the path /cut
    #[arg(long, default_value_t = 100)]
    streams: usize,
    /// Streams of each connection to the path /kept
    #[arg(long, default_value_t = 0)]
    kept: usize,
    /// Bytes a second
    #[arg(long, default_value_t = 2000)]
    rate: u64,
}

/// Takes streams, answers each with 200 and nothing more, and for each line of standard input says which have ended since
/// the last one, and when.
#[derive(clap::Args)]
pub(crate) struct StreamSinkArgs {
    /// Address to listen at
    #[arg(long)]
    at: String,
}

/// How long a stream may take to be answered.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of DATA after which the other side's window is opened by as many.
const WINDOW_STEP: u32 = 16 * 1024;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// Types and flags of frames (RFC 9113, 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    // What is sent here is far below any limit of length.
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// The first whole frame of `bytes`, and its length.
fn first(bytes: &[u8]) -> Option<(u8, u8, u32, &[u8], usize)> {
    let (head, rest) = bytes.split_first_chunk::<9>()?;
    let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
    let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
    Some((head[3], head[4], stream, rest.get(..length)?, 9 + length))
}

/// The header block of a request, nothing compressed but names (RFC 7541, appendix A).
fn request(authority: &str, path: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    for (name, value) in [(4, path), (1, authority)] {
        block.push(name);
        block.push(u8::try_from(value.len()).unwrap_or(0) & 0x7f);
        block.extend_from_slice(value.as_bytes());
    }
    block
}

/// Whether a header block begins with `:status: 200`: by its place in the static table, or with the name's and the digits.
fn is_200(block: &[u8]) -> bool {
    match block {
        [0x88, ..] => true,
        // A table of no size (RFC 7541, 6.3).
        [0x20, rest @ ..] => is_200(rest),
        // Literal, indexed or not: only the first bits tell.
        [0x08 | 0x18 | 0x48, 3, digits @ ..] => digits.starts_with(b"200"),
        _ => false,
    }
}

/// Nanoseconds of the clock that all processes of a machine share.
fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec * 1_000_000_000 + now.tv_nsec).unwrap_or(0)
}

fn held<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn say(what: &Value) -> io::Result<()> {
    writeln!(io::stdout(), "{what}")
}

/// Reads frames and hands them on until the connection ends. What is given back is sent; `Err` ends it.
fn read_frames(
    mut from: &TcpStream,
    mut take: impl FnMut(u8, u8, u32, &[u8], &mut Vec<u8>) -> io::Result<()>,
    send: impl Fn(&[u8]) -> io::Result<()>,
    skip: &[u8],
) -> io::Result<()> {
    let (mut bytes, mut here) = (vec![0; 64 * 1024], 0);
    let (mut out, mut skip, mut unacknowledged) = (Vec::new(), skip.len(), 0_u32);
    loop {
        let count = from.read(&mut bytes[here..])?;
        if count == 0 {
            return Ok(());
        }
        here += count;
        let skipped = skip.min(here);
        let mut at = skipped;
        skip -= skipped;
        while let Some((kind, flags, stream, payload, length)) = first(&bytes[at..here]) {
            match (kind, flags & ACK) {
                (SETTINGS, 0) => frame(SETTINGS, ACK, 0, &[], &mut out),
                (PING, 0) => frame(PING, ACK, 0, payload, &mut out),
                (SETTINGS | PING | WINDOW_UPDATE, _) => {}
                (GOAWAY, _) => return Ok(()),
                _ => {
                    if kind == DATA {
                        unacknowledged += u32::try_from(payload.len()).unwrap_or(0);
                    }
                    take(kind, flags, stream, payload, &mut out)?;
                }
            }
            at += length;
        }
        bytes.copy_within(at..here, 0);
        here -= at;
        if here == bytes.len() {
            return Err(io::Error::other("a frame larger than was allowed"));
        }
        if unacknowledged >= WINDOW_STEP {
            frame(WINDOW_UPDATE, 0, 0, &unacknowledged.to_be_bytes(), &mut out);
            unacknowledged = 0;
        }
        if !out.is_empty() {
            send(&out)?;
            out.clear();
        }
    }
}

/// One connection of the client.
struct Line {
    stream: TcpStream,
    /// Held while a frame is written.
    writing: Mutex<()>,
    /// Streams that were answered and have not ended.
    open: Mutex<Vec<u32>>,
    /// Streams that were refused or ended.
    ended: Mutex<usize>,
    lives: AtomicBool,
}

impl Line {
    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let _whole_frames = held(&self.writing);
        (&self.stream).write_all(bytes)
    }

    fn open(args: &StreamsArgs) -> io::Result<Arc<Self>> {
        let stream = TcpStream::connect(&args.to)?;
        stream.set_nodelay(true)?;
        let line = Arc::new(Self {
            stream,
            writing: Mutex::default(),
            open: Mutex::default(),
            ended: Mutex::default(),
            lives: AtomicBool::new(true),
        });
        let mut hello = PREFACE.to_vec();
        frame(SETTINGS, 0, 0, &[], &mut hello);
        for number in 0..args.streams + args.kept {
            let path = if number < args.streams {
                "/cut"
            } else {
                "/kept"
            };
            let id = u32::try_from(2 * number + 1).map_err(io::Error::other)?;
            frame(
                HEADERS,
                END_HEADERS,
                id,
                &request(&args.to, path),
                &mut hello,
            );
        }
        line.send(&hello)?;
        let reads = Arc::clone(&line);
        thread::spawn(move || reads.read());
        Ok(line)
    }

    fn read(&self) {
        let _however_it_ended = read_frames(
            &self.stream,
            |kind, flags, id, payload, _| {
                if kind == HEADERS && flags & END_STREAM == 0 {
                    if !is_200(payload) {
                        return Err(io::Error::other("an answer that is no plain 200"));
                    }
                    held(&self.open).push(id);
                } else if kind == RST_STREAM || flags & END_STREAM != 0 {
                    held(&self.open).retain(|one| *one != id);
                    *held(&self.ended) += 1;
                }
                Ok(())
            },
            |bytes| self.send(bytes),
            &[],
        );
        // Nobody reads it any more.
        let _unless_it_went = self.stream.shutdown(Shutdown::Both);
        self.lives.store(false, Ordering::Release);
        held(&self.open).clear();
    }
}

pub(crate) fn source(args: &StreamsArgs) -> io::Result<Value> {
    crate::open_many()?;
    let lines: Arc<Mutex<Vec<Arc<Line>>>> = Arc::default();
    let (moves, rate) = (Arc::clone(&lines), args.rate.max(1));
    thread::spawn(move || keep_moving(&moves, rate));
    say(&json!({ "ready": true }))?;
    for order in io::stdin().lock().lines() {
        let wanted: usize = order?.trim().parse().map_err(io::Error::other)?;
        if wanted == 0 {
            for line in held(&lines).drain(..) {
                // One that was cut has gone already.
                let _unless_it_went = line.stream.shutdown(Shutdown::Both);
            }
        }
        while held(&lines).len() < wanted {
            let line = Line::open(args)?;
            let (began, all) = (Instant::now(), args.streams + args.kept);
            let settled = || held(&line.open).len() + *held(&line.ended) >= all;
            while !settled() && line.lives.load(Ordering::Acquire) && began.elapsed() < PATIENCE {
                thread::sleep(Duration::from_millis(1));
            }
            held(&lines).push(line);
        }
        let open: usize = held(&lines).iter().map(|line| held(&line.open).len()).sum();
        say(&json!({ "open": open }))?;
    }
    Ok(json!({ "ended": true }))
}

/// A byte on one stream after another, of one connection after another.
fn keep_moving(lines: &Mutex<Vec<Arc<Line>>>, rate: u64) {
    let (mut turn, mut due) = (0_usize, Instant::now());
    let step = Duration::from_nanos(1_000_000_000 / rate);
    loop {
        let now = Instant::now();
        // What was missed while nothing was open is not made up for.
        due = due.max(now.checked_sub(Duration::from_millis(20)).unwrap_or(now));
        while due <= now {
            due += step;
            turn = turn.wrapping_add(1);
            let all = held(lines).clone();
            let Some(line) = all.get(turn % all.len().max(1)) else {
                break;
            };
            let id = {
                let open = held(&line.open);
                open.get(turn / all.len() % open.len().max(1)).copied()
            };
            if let Some(id) = id {
                let mut bytes = Vec::with_capacity(10);
                frame(DATA, 0, id, b"x", &mut bytes);
                // Who reads learns that it has ended.
                let _unless_it_ended = line.send(&bytes);
            }
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// What the server saw.
#[derive(Default)]
struct Seen {
    live: usize,
    kept: usize,
    /// When the last byte came of each that has ended, and when it ended.
    last: Vec<u64>,
    ended: Vec<u64>,
    kept_ended: usize,
    /// Bytes that came on streams to /kept.
    kept_bytes: u64,
}

/// One stream at the server: when its last byte came, and whether it is to be kept.
struct Sunk {
    last: u64,
    kept: bool,
}

impl Seen {
    fn end(&mut self, stream: &Sunk, at: u64) {
        if stream.kept {
            self.kept -= 1;
            self.kept_ended += 1;
        } else {
            self.live -= 1;
            self.last.push(stream.last);
            self.ended.push(at);
        }
    }
}

pub(crate) fn sink(args: &StreamSinkArgs) -> io::Result<Value> {
    crate::open_many()?;
    let listener = TcpListener::bind(&args.at)?;
    let seen: Arc<Mutex<Seen>> = Arc::default();
    let accepts = Arc::clone(&seen);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let seen = Arc::clone(&accepts);
            thread::spawn(move || serve(&stream, &seen));
        }
    });
    say(&json!({ "ready": true }))?;
    for order in io::stdin().lock().lines() {
        order?;
        let mut seen = held(&seen);
        say(&json!({
            "live": seen.live,
            "kept": seen.kept,
            "last": std::mem::take(&mut seen.last),
            "ended": std::mem::take(&mut seen.ended),
            "kept_ended": std::mem::take(&mut seen.kept_ended),
            "kept_bytes": std::mem::take(&mut seen.kept_bytes),
        }))?;
    }
    Ok(json!({ "ended": true }))
}

fn serve(stream: &TcpStream, seen: &Mutex<Seen>) {
    let mut streams: HashMap<u32, Sunk> = HashMap::new();
    let mut hello = Vec::new();
    // SETTINGS_MAX_CONCURRENT_STREAMS
    frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 16, 0], &mut hello);
    let send = |bytes: &[u8]| {
        let mut stream = stream;
        stream.write_all(bytes)
    };
    // A connection that does not last has no streams.
    let _unless_it_went = stream.set_nodelay(true).and_then(|()| send(&hello));
    let _however_it_ended = read_frames(
        stream,
        |kind, flags, id, payload, out| {
            match kind {
                HEADERS if !streams.contains_key(&id) => {
                    let kept = payload.windows(5).any(|word| word == b"/kept");
                    streams.insert(id, Sunk { last: now(), kept });
                    let mut seen = held(seen);
                    *if kept { &mut seen.kept } else { &mut seen.live } += 1;
                    drop(seen);
                    frame(HEADERS, END_HEADERS, id, &[0x88], out);
                }
                DATA => {
                    if let Some(stream) = streams.get_mut(&id)
                        && !payload.is_empty()
                    {
                        stream.last = now();
                        if stream.kept {
                            held(seen).kept_bytes += payload.len() as u64;
                        }
                    }
                }
                _ => {}
            }
            let ends =
                kind == RST_STREAM || matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0;
            if ends && let Some(stream) = streams.remove(&id) {
                held(seen).end(&stream, now());
            }
            Ok(())
        },
        send,
        PREFACE,
    );
    let at = now();
    let mut seen = held(seen);
    for stream in streams.values() {
        seen.end(stream, at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_as_it_was_written_and_not_before_it_is_whole() {
        let mut bytes = Vec::new();
        frame(DATA, END_STREAM, 7, b"abc", &mut bytes);
        frame(PING, 0, 0, &[9; 8], &mut bytes);
        assert_eq!(first(&bytes), Some((DATA, END_STREAM, 7, &b"abc"[..], 12)));
        assert_eq!(first(&bytes[12..]), Some((PING, 0, 0, &[9; 8][..], 17)));
        assert_eq!(first(&bytes[..11]), None);
        assert_eq!(first(&bytes[..8]), None);
    }

    #[test]
    fn a_plain_200_is_known_in_either_spelling_and_no_other_status() {
        assert!(is_200(&[0x88]) && is_200(&[0x20, 0x88]));
        assert!(is_200(b"\x08\x03200\x0f"));
        assert!(!is_200(b"\x08\x03403"));
        assert!(!is_200(&[0x8d]));
    }

    #[test]
    fn streams_that_end_are_told_once_with_their_last_byte() {
        let mut seen = Seen {
            live: 2,
            kept: 1,
            ..Seen::default()
        };
        for (last, kept) in [(5, false), (6, true), (7, false)] {
            seen.end(&Sunk { last, kept }, 9);
        }
        assert_eq!((seen.live, seen.kept, seen.kept_ended), (0, 0, 1));
        assert_eq!((seen.last, seen.ended), (vec![5, 7], vec![9, 9]));
    }
}
