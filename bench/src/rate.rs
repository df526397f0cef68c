//! An HTTP/1.1 client that asks at a fixed rate, whatever the answers do.
//!
//! A request is due at a time that was set before anything began, and its delay counts from then: when answers are slow and
//! requests wait for a connection, that wait is part of what is told (no coordinated omission).

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, epoll};
use rustix::thread::set_current_timer_slack;
use serde_json::{Value, json};

use crate::spread::Spread;

/// Asks at a fixed rate; delays count from when each request was due.
#[derive(clap::Args)]
pub(crate) struct RateArgs {
    /// Server, HOST:PORT
    #[arg(long)]
    to: String,
    /// Path to ask for
    #[arg(long, default_value = "/")]
    path: String,
    /// Connections that are kept open
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Requests per second
    #[arg(long, default_value_t = 1000)]
    rate: u64,
    /// How long
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Requests whose delay is not counted, at the start
    #[arg(long, default_value_t = 100)]
    warm_up: u64,
}

/// Answers still owed at the end are waited for so long.
const PATIENCE: Duration = Duration::from_secs(5);

struct Lane {
    stream: TcpStream,
    /// When the request under way was due, and its number.
    due: Option<(Instant, u64)>,
    answer: Vec<u8>,
}

pub(crate) fn run(args: &RateArgs) -> io::Result<Value> {
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\n\r\n",
        args.path,
        args.to.trim_end_matches(":80")
    );
    let mut lanes = (0..args.connections)
        .map(|_| Lane::open(&args.to))
        .collect::<io::Result<Vec<_>>>()?;
    // The kernel lets a timer be late by this much, 50 µs unless told otherwise.
    set_current_timer_slack(NonZeroU64::new(1))?;
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    for (number, lane) in lanes.iter().enumerate() {
        let data = epoll::EventData::new_u64(number as u64);
        epoll::add(&poll, &lane.stream, data, epoll::EventFlags::IN)?;
    }
    let (total, step) = (args.rate * args.seconds, 1_000_000_000 / args.rate.max(1));
    let mut delays = Spread::with_capacity(usize::try_from(total).unwrap_or(0));
    let mut lateness = Spread::with_capacity(usize::try_from(total).unwrap_or(0));
    let mut free: Vec<usize> = (0..lanes.len()).rev().collect();
    let mut waiting: VecDeque<(Instant, u64)> = VecDeque::new();
    let (mut sent, mut answered, mut refused) = (0_u64, 0_u64, 0_u64);
    let mut events = Vec::with_capacity(lanes.len().max(1));
    let began = Instant::now();
    let due_at = |number: u64| began + Duration::from_nanos(number * step);
    let end = due_at(total) + PATIENCE;
    while answered < total {
        let now = Instant::now();
        if now > end {
            break;
        }
        while sent < total && due_at(sent) <= now {
            waiting.push_back((due_at(sent), sent));
            sent += 1;
        }
        while let (Some(&due), Some(number)) = (waiting.front(), free.last().copied()) {
            waiting.pop_front();
            free.pop();
            lanes[number].ask(&request, due)?;
            if due.1 >= args.warm_up {
                lateness.note(nanoseconds(due.0.elapsed()));
            }
        }
        let until = if sent < total { due_at(sent) } else { end };
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        // `epoll_wait` counts in milliseconds, which would make each request up to one late.
        rustix::event::poll(&mut [PollFd::new(&poll, PollFlags::IN)], Some(&timeout))?;
        events.clear();
        epoll::wait(
            &poll,
            spare_capacity(&mut events),
            Some(&Timespec::default()),
        )?;
        for event in &events {
            let number = usize::try_from(event.data.u64()).map_err(io::Error::other)?;
            let lane = &mut lanes[number];
            let Some(status) = lane.read()? else { continue };
            let arrived = Instant::now();
            let Some((due, request)) = lane.due.take() else {
                return Err(io::Error::other("an answer that nobody asked for"));
            };
            if request >= args.warm_up {
                delays.note(nanoseconds(arrived - due));
            }
            answered += 1;
            refused += u64::from(status != 200);
            free.push(number);
        }
    }
    Ok(json!({
        "asked": sent,
        "answered": answered,
        "not_200": refused,
        "delay": delays.told(),
        "client_late": lateness.told(),
    }))
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Lane {
    fn open(to: &str) -> io::Result<Self> {
        let address = to
            .to_socket_addrs()?
            .next()
            .ok_or_else(|| io::Error::other("the name has no address"))?;
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            due: None,
            answer: Vec::with_capacity(4096),
        })
    }

    /// A request is smaller than any socket's buffer, and the lane is idle: this does not wait.
    fn ask(&mut self, request: &str, due: (Instant, u64)) -> io::Result<()> {
        self.due = Some(due);
        self.stream.write_all(request.as_bytes())
    }

    /// Reads once; the status, when the answer is whole.
    fn read(&mut self) -> io::Result<Option<u16>> {
        let mut bytes = [0; 4096];
        let count = self.stream.read(&mut bytes)?;
        if count == 0 {
            return Err(io::Error::other("the server closed the connection"));
        }
        self.answer.extend_from_slice(&bytes[..count]);
        let status = whole(&self.answer)?;
        if status.is_some() {
            self.answer.clear();
        }
        Ok(status)
    }
}

/// The status of an answer with a `content-length`, if it is here in full.
pub(crate) fn whole(answer: &[u8]) -> io::Result<Option<u16>> {
    let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&answer[..head]).map_err(io::Error::other)?;
    let length = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok())
        .ok_or_else(|| io::Error::other(format!("an answer without length: {text}")))?;
    let status = text.split(' ').nth(1).and_then(|word| word.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("no status: {text}")))?;
    Ok((answer.len() >= head + 4 + length).then_some(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_with_its_last_byte() {
        let answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno";
        assert_eq!(whole(answer).unwrap(), Some(403));
        assert_eq!(whole(&answer[..answer.len() - 1]).unwrap(), None);
        assert_eq!(whole(&answer[..30]).unwrap(), None);
        assert!(whole(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
