//! Back-pressure, end to end.

use std::future::Future;
use std::time::Duration;

use ringfence_wire::http2::Violation;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::super::gate::Ended;
use super::super::limits::{
    BLOCK_IN_TURN, CONNECTION_WINDOW, FRAMES_PER_TURN, OUT_HARD, STREAM_WINDOW, TURN_TIME,
    WRITE_STALL,
};
use super::super::stream::Way;
use super::harness::{
    Apart, DATA, END_HEADERS, HEADERS, LONG, PING, Peer, QUICK, RST_STREAM, Scene, block, frame,
    request,
};

const WINDOW: u16 = 4;

#[tokio::test]
async fn no_more_is_read_than_the_other_side_takes() {
    let mut scene = Scene::new().await;
    let mut service = scene.warm_with(&[], &[(WINDOW, 10)]).await;
    scene.client.begins(3, "POST", "/").await;
    assert!(service.next().await.starts_with("3 headers "));
    scene.client.data(3, &[b'x'; 16_000], false).await;
    assert_eq!(service.next().await, "3 data xxxxxxxxxx");
    service.silence().await;
    // A neighbour is not held up by it.
    scene.client.begins(5, "POST", "/").await;
    scene.client.data(5, b"12345", true).await;
    assert!(service.next().await.starts_with("5 headers "));
    assert_eq!(service.next().await, "5 data 12345 end");
    service.window(3, 3).await;
    assert_eq!(service.next().await, "3 data xxx");
    // What nobody has taken is not given back.
    scene.client.all = true;
    let mut sent = 16_000;
    while sent + 16_000 <= STREAM_WINDOW {
        scene.client.data(3, &[b'x'; 16_000], false).await;
        sent += 16_000;
    }
    service.window(3, 100_000).await;
    service.window(0, 100_000).await;
    let mut taken = 13;
    while taken < sent {
        let data = service.next().await;
        taken += u32::try_from(data.len() - "3 data ".len()).unwrap();
    }
    loop {
        let said = scene.client.next().await;
        if let Some(more) = said.strip_prefix("3 window ") {
            assert!(more.parse::<u32>().unwrap() >= STREAM_WINDOW / 2, "{said}");
            break;
        }
        assert!(!said.contains("reset") && said != "end", "{said}");
    }
}

#[tokio::test]
async fn an_answer_waits_for_its_client_and_its_end_comes_last() {
    let mut scene = Scene::new().await;
    let mut service = scene.warm_with(&[(WINDOW, 4)], &[]).await;
    scene.client.asks(3, "GET", "/").await;
    assert!(service.next().await.starts_with("3 headers "));
    service.answers(3).await;
    service.data(3, b"123456", false).await;
    service.headers(3, &block(&[("x-sum", "6")]), true).await;
    assert_eq!(scene.client.next().await, "3 headers :status=200");
    assert_eq!(scene.client.next().await, "3 data 1234");
    scene.client.silence().await;
    scene.client.settings(&[(WINDOW, 5)]).await;
    assert_eq!(scene.client.next().await, "3 data 5");
    scene.client.window(3, 1).await;
    assert_eq!(scene.client.next().await, "3 data 6");
    assert_eq!(scene.client.next().await, "3 headers x-sum=6 end");
}

#[tokio::test]
async fn streams_wait_where_the_service_bears_fewer() {
    let mut scene = Scene::new().await;
    let mut service = scene.warm_with(&[], &[(3, 1)]).await;
    scene.client.asks(3, "GET", "/1").await;
    scene.client.begins(5, "POST", "/2").await;
    scene.client.data(5, b"body", true).await;
    assert!(service.next().await.contains(":path=/1"));
    service.silence().await;
    service
        .headers(3, &block(&[(":status", "204")]), true)
        .await;
    assert!(service.next().await.contains(":path=/2"));
    assert_eq!(service.next().await, "5 data body end");
    assert!(scene.client.next().await.starts_with("3 headers "));
}

/// Requests that the service takes nothing of, and as much data behind each as its window has room for.
fn uploads(count: u32, last: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for nth in 0..count {
        let id = 3 + 2 * nth;
        bytes.extend(frame(HEADERS, END_HEADERS, id, &request("POST", "/", &[])));
        let whole = if nth + 1 == count {
            last
        } else {
            STREAM_WINDOW as usize
        };
        for part in vec![b'x'; whole].chunks(16_384) {
            bytes.extend(frame(DATA, 0, id, part));
        }
    }
    bytes
}

#[tokio::test]
async fn more_data_than_the_windows_have_room_for_is_a_breach() {
    let stream = STREAM_WINDOW as usize;
    let connection = CONNECTION_WINDOW as usize;
    let full = connection / stream;
    for (streams, last, held) in [
        (1, stream, true),
        (1, stream + 1, false),
        (full + 1, connection - full * stream, true),
        (full + 1, connection - full * stream + 1, false),
    ] {
        let mut scene = Scene::new().await;
        let mut service = scene.warm_with(&[], &[(WINDOW, 0)]).await;
        let bytes = uploads(u32::try_from(streams).unwrap(), last);
        let reading = tokio::spawn(async move { service.until_gone().await });
        scene.client.bytes(&bytes).await;
        if held {
            scene.client.silence().await;
            assert_eq!(scene.leave().await, Ended::ClientGone);
        } else {
            let (said, ended) = scene.broken().await;
            assert_eq!(ended, Ended::Violation(Violation::WindowExceeded));
            assert!(said.last().unwrap().ends_with(" 3"), "{said:?}");
        }
        let heard = reading.await.unwrap();
        assert!(
            !heard.iter().any(|frame| frame.contains(" data x")),
            "{heard:?}"
        );
    }
}

#[tokio::test]
async fn who_reads_nothing_is_read_no_more_and_cut_in_the_end() {
    let mut scene = Scene::within(QUICK, false, true).await;
    scene.client.greet(&[]).await;
    // Each is answered, and nobody takes the answers: what the relay holds of them has a bound.
    let refused = frame(
        HEADERS,
        END_HEADERS | 1,
        1,
        &request("GET", "/forbidden", &[]),
    );
    let mut sent = 0;
    let most = 40 * (OUT_HARD + 16 * 1024 * 1024) / refused.len();
    let stuck = async {
        for nth in 0..most as u32 {
            let mut one = refused.clone();
            one[5..9].copy_from_slice(&(2 * nth + 1).to_be_bytes());
            if scene.client.io.write_all(&one).await.is_err() {
                return;
            }
            sent += 1;
        }
    };
    // It waits for room, until the relay has had enough of it.
    let waited = std::time::Instant::now();
    timeout(Duration::from_secs(60), stuck)
        .await
        .expect("an end");
    assert!(sent < most, "all of {sent} were taken");
    assert!(waited.elapsed() >= QUICK.write);
    assert_eq!(scene.ended().await, Ended::Stalled);
    assert!(WRITE_STALL > QUICK.write);
}

/// Takes all that has been written to a peer, and gives how many bytes that was.
async fn drained(peer: &mut Peer) -> usize {
    let mut all = 0;
    let mut piece = vec![0; 1 << 20];
    while let Ok(read) = timeout(Duration::from_millis(100), peer.io.read(&mut piece)).await {
        match read {
            Ok(count @ 1..) => all += count,
            _ => break,
        }
    }
    all
}

/// A peer says `next(1)`, `next(2)` and so on, as long as it is taken. Gives how many requests were decided.
async fn say_until_stuck<R>(apart: &mut Apart<R>, mut next: impl FnMut(u32) -> Vec<u8>) -> usize
where
    R: Future<Output = Ended>,
{
    let (mut seen, mut still) = (0, 0);
    let (mut said, mut rest) = (0, Vec::new());
    loop {
        loop {
            if rest.is_empty() {
                said += 1;
                rest = next(said);
            }
            match apart.client.io.try_write(&rest) {
                Ok(count) => drop(rest.drain(..count)),
                Err(full) => {
                    assert_eq!(full.kind(), std::io::ErrorKind::WouldBlock);
                    break;
                }
            }
        }
        apart.rest().await;
        let decided = apart.gate.entries().len();
        still = if decided == seen { still + 1 } else { 0 };
        if still == 5 {
            return decided;
        }
        seen = decided;
        assert!(seen < 20_000, "all are taken");
    }
}

#[tokio::test]
async fn no_more_waits_for_a_client_that_reads_nothing_than_may() {
    let mut apart = Scene::apart().await;
    apart.client.greet(&[]).await;
    let refused = |nth: u32| {
        let block = request("HEAD", "/forbidden", &[]);
        frame(HEADERS, END_HEADERS | 1, 2 * nth - 1, &block)
    };
    // All answers but the first have one length.
    apart.client.bytes(&[refused(1), refused(2)].concat()).await;
    apart.rest().await;
    let mut each = 0;
    for _ in 0..2 {
        while let Some(raw) = apart.client.next_raw().await {
            each = 9 + raw.payload.len();
            if raw.kind == HEADERS {
                break;
            }
        }
    }
    let answered = say_until_stuck(&mut apart, |nth| refused(nth + 2)).await - 2;
    // What the kernel has of the answers, nobody else holds.
    let held = answered * each - drained(&mut apart.client).await;
    assert!((OUT_HARD..OUT_HARD + each).contains(&held), "{held}");
    // It is read again when it reads.
    apart.rest().await;
    assert!(apart.gate.entries().len() > answered + 2);
}

#[tokio::test]
async fn no_more_waits_for_a_service_that_reads_nothing_than_may() {
    let mut apart = Scene::apart().await;
    let mut service = apart.serve().await;
    let long = "x".repeat(15_000);
    let head = |nth: u32| {
        let block = request("POST", "/", &[("long", &long)]);
        frame(HEADERS, END_HEADERS, 2 * nth + 1, &block)
    };
    apart.client.bytes(&head(1)).await;
    apart.rest().await;
    let each = loop {
        let raw = service.next_raw().await.unwrap();
        if raw.kind == HEADERS {
            break 9 + raw.payload.len();
        }
    };
    // Who resets his streams may begin others, and what was said of them waits all the same.
    let reset = |nth: u32| frame(RST_STREAM, 0, 2 * nth + 1, &[0, 0, 0, 8]);
    let before = apart.gate.entries().len();
    let decided = say_until_stuck(&mut apart, |nth| [head(nth + 1), reset(nth + 1)].concat()).await;
    let said = (decided - before) * (each + 13);
    let held = said - drained(&mut service).await;
    // What is in the buffer below is not ours.
    let most = OUT_HARD + each + 13 + 8192;
    assert!((OUT_HARD - 13..most).contains(&held), "{held}");
}

#[tokio::test]
async fn a_service_that_reads_nothing_is_cut_in_the_end() {
    let mut scene = Scene::within(QUICK, false, true).await;
    let service = scene.warm().await;
    let long = "x".repeat(15_000);
    let mut id = 3;
    // Until it is clogged, which the client notices, and the service is given up.
    let given_up = async {
        loop {
            let block = request("POST", "/", &[("long", &long)]);
            let both = [
                frame(HEADERS, END_HEADERS, id, &block),
                frame(RST_STREAM, 0, id, &[0, 0, 0, 8]),
            ];
            scene.client.io.write_all(&both.concat()).await.unwrap();
            id += 2;
            let entries = scene.gate.entries();
            if entries
                .iter()
                .any(|it| it == "failed service takes nothing")
            {
                return;
            }
            assert!(id < 2000, "all of it is taken");
        }
    };
    timeout(Duration::from_secs(60), given_up)
        .await
        .expect("an end");
    drop(service);
}

#[test]
fn a_reader_that_is_slow_all_the_time_lets_no_more_pile_up_than_a_window() {
    let mut way = Way::new(i64::MAX, None);
    way.push(&[b'x'; STREAM_WINDOW as usize - 1000]);
    for _ in 0..1000 {
        way.push(&[b'x'; 1000]);
        assert_eq!(way.taken(1000), 1000);
    }
    assert_eq!(way.queued().len(), STREAM_WINDOW as usize - 1000);
    let most = 3 * STREAM_WINDOW as usize;
    assert!(way.memory() <= most, "{}", way.memory());
}

#[tokio::test]
async fn so_many_frames_are_handled_and_others_have_their_turn() {
    let mut apart = Scene::apart().await;
    apart.client.greet(&[]).await;
    let pings = FRAMES_PER_TURN + 100;
    apart
        .client
        .bytes(&frame(PING, 0, 0, &[0; 8]).repeat(pings))
        .await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    apart.client.all = true;
    let mut answered = 0;
    let mut turns = 0;
    while answered < pings {
        apart.turn();
        turns += 1;
        assert!(turns < 1000, "only {answered}");
        let mut here = 0;
        while let Ok(said) = timeout(Duration::from_millis(50), apart.client.next()).await {
            here += usize::from(said == "pong");
        }
        assert!(here <= FRAMES_PER_TURN, "{here} in one turn");
        answered += here;
    }
    assert!(turns >= 2);
    // Requests, behind which there are decisions, count more.
    let requests = 2 * FRAMES_PER_TURN / BLOCK_IN_TURN;
    for nth in 0..requests as u32 {
        let refused = request("GET", "/forbidden", &[]);
        apart.client.headers(2 * nth + 1, &refused, true).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut answered = 0;
    while answered < requests {
        apart.turn();
        let mut here = 0;
        while let Ok(said) = timeout(Duration::from_millis(50), apart.client.next()).await {
            here += usize::from(said.contains(" headers :status=403"));
        }
        assert!(
            here <= FRAMES_PER_TURN / BLOCK_IN_TURN,
            "{here} in one turn"
        );
        answered += here;
    }
}

#[tokio::test]
async fn so_much_time_is_one_turn_and_others_have_theirs() {
    assert!(LONG > TURN_TIME);
    let mut apart = Scene::apart().await;
    apart.client.greet(&[]).await;
    let long = |nth: u32| {
        let block = request("GET", "/forbidden/long", &[]);
        frame(HEADERS, END_HEADERS | 1, 2 * nth + 1, &block)
    };
    let many: Vec<u8> = (0..5).flat_map(long).collect();
    apart.client.bytes(&many).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    for decided in 1..=5 {
        apart.turn();
        assert_eq!(apart.gate.entries().len(), decided);
    }
}

/// As much as a peer can say without anybody reading.
async fn filled(io: &tokio::net::TcpStream) -> usize {
    let (mut all, mut still) = (0, 0);
    while still < 5 {
        match io.try_write(&[b'x'; 65_536]) {
            Ok(count) => (all, still) = (all + count, 0),
            Err(_) => {
                still += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    all
}

#[tokio::test]
async fn a_flood_of_a_connection_that_is_being_closed_lets_others_have_their_turn() {
    // Sockets that hold more than a turn.
    let mut apart = Scene::apart_with(4 << 20).await;
    apart.client.greet(&[]).await;
    apart.client.say(DATA, 0, 0, b"x").await;
    apart.rest().await;
    assert_eq!(apart.client.next().await, "goaway 0 1");
    let held = filled(&apart.client.io).await;
    apart.client.io.shutdown().await.unwrap();
    let turns = apart.turns_to_its_end().await;
    // The last read of a turn may be more than what was left of it.
    let most = (2 * FRAMES_PER_TURN) << 10;
    assert!(
        held > most && turns * most >= held,
        "{turns} turns for {held}"
    );
}

#[tokio::test]
async fn a_download_that_nobody_reads_is_held_within_the_windows() {
    let mut scene = Scene::new().await;
    // The client takes all there is, and reads none of it.
    let mut service = scene.warm_with(&[(WINDOW, 0x7fff_ffff)], &[]).await;
    scene.client.window(0, 0x7fff_0000).await;
    scene.client.asks(3, "GET", "/").await;
    assert!(service.next().await.starts_with("3 headers "));
    service.answers(3).await;
    // A service that keeps to the windows that it is given.
    service.all = true;
    let (mut stream, mut connection) = (i64::from(STREAM_WINDOW), i64::from(CONNECTION_WINDOW));
    let mut sent = 0;
    loop {
        while stream.min(connection) >= 16_000 {
            service.data(3, &[b'x'; 16_000], false).await;
            stream -= 16_000;
            connection -= 16_000;
            sent += 16_000;
        }
        match timeout(Duration::from_secs(2), service.next()).await {
            Ok(said) => {
                let words: Vec<_> = said.split(' ').collect();
                if let [id, "window", more] = words[..] {
                    let more: i64 = more.parse().unwrap();
                    if id == "0" {
                        connection += more
                    } else {
                        stream += more
                    }
                }
            }
            Err(_) => break,
        }
        assert!(sent < 64 << 20, "it takes without end");
    }
    // What the kernel holds, it holds; then the stream's window closes.
    assert!(stream < 16_000, "{stream}");
}
