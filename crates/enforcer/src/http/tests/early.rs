//! Bodies that have to be judged before anything moves.

use std::time::Duration;

use super::super::gate::Ended;
use super::super::limits::{EARLY_MAX, Timeouts};
use super::harness::{QUICK, Scene, Wire, counted, counting, own, refused};

const LEAVE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

fn head(path: &str, fields: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: svc\r\n{fields}\r\n")
}

/// A service that answers with the body it got, head and all checked by `expected`.
async fn echo(mut wire: Wire, body: usize) {
    let head = wire.head().await;
    assert!(
        head.contains(&format!("\r\ncontent-length: {body}\r\n")),
        "{head}"
    );
    assert!(
        !head.contains("chunked") && !head.contains("expect"),
        "{head}"
    );
    let body = wire.exactly(body).await;
    wire.say(&format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
    .await;
    wire.until_gone().await;
}

#[tokio::test]
async fn nothing_is_dialled_before_the_whole_body_was_judged() {
    let mut scene = Scene::new(|wire, _| echo(wire, 6)).await;
    scene
        .client
        .say(&head("/judged", "Content-Length: 6\r\n"))
        .await;
    scene.client.say("abc").await;
    scene.client.silence().await;
    assert_eq!(scene.gate.entries(), ["ask POST /judged"]);
    scene.client.say("de\n").await;
    assert!(
        scene
            .client
            .read_until("abcde\n")
            .await
            .starts_with("HTTP/1.1 200 ")
    );
    assert_eq!(
        scene.gate.entries(),
        ["ask POST /judged", "allow POST /judged", "dial"]
    );
    // The next request stands right behind.
    assert_eq!(scene.leave().await, Ended::Finished);
}

#[tokio::test]
async fn a_refused_body_reaches_nobody_and_the_connection_lives_on() {
    let mut scene = Scene::new(counting).await;
    let bad = head("/judged", "Content-Length: 6\r\n");
    scene
        .client
        .say(&format!("{bad}x evilGET /a HTTP/1.1\r\nHost: svc\r\n\r\n"))
        .await;
    assert_eq!(scene.client.read_until("}").await, refused(false));
    assert_eq!(scene.client.read_until("0.0").await, counted(0, 0));
    assert_eq!(
        scene.gate.entries(),
        [
            "ask POST /judged",
            "deny POST /judged",
            "allow GET /a",
            "dial"
        ]
    );
    assert_eq!(scene.leave().await, Ended::Finished);
}

#[tokio::test]
async fn chunks_are_put_together_and_go_on_with_a_length_and_without_trailers() {
    let mut scene = Scene::new(|wire, nth| async move {
        match nth {
            0 => echo(wire, 11).await,
            _ => counting(wire, nth).await,
        }
    })
    .await;
    let chunked = head(
        "/judged",
        "Transfer-Encoding: chunked\r\nTrailer: X-Admin\r\n",
    );
    scene.client.say(&chunked).await;
    for piece in [
        "5;a=b\r\nhello\r",
        "\n6\r\n wor",
        "ld\r\n0\r\nX-Admin: yes\r\n",
    ] {
        scene.client.say(piece).await;
        scene.client.silence().await;
    }
    scene
        .client
        .say("\r\nGET /a HTTP/1.1\r\nHost: svc\r\n\r\n")
        .await;
    assert!(
        scene
            .client
            .read_until("hello world")
            .await
            .starts_with("HTTP/1.1 200 ")
    );
    // What stood behind the last chunk is the next request, and nothing else is.
    assert_eq!(scene.client.read_until("1.0").await, counted(1, 0));
    scene.client.silence().await;
    assert_eq!(
        scene.gate.entries(),
        [
            "ask POST /judged",
            "allow POST /judged",
            "dial",
            "allow GET /a",
            "dial"
        ]
    );
}

#[tokio::test]
async fn evil_in_two_chunks_is_evil() {
    let mut scene = Scene::new(counting).await;
    let chunked = head("/judged", "Transfer-Encoding: chunked\r\n");
    scene
        .client
        .say(&format!("{chunked}3\r\n ev\r\n2\r\nil\r\n0\r\n\r\n"))
        .await;
    assert_eq!(scene.client.read_until("}").await, refused(false));
    scene
        .client
        .say("GET /a HTTP/1.1\r\nHost: svc\r\n\r\n")
        .await;
    assert_eq!(scene.client.read_until("0.0").await, counted(0, 0));
}

#[tokio::test]
async fn leave_to_continue_is_ours_to_give_and_not_asked_for_again() {
    let mut scene = Scene::new(|wire, _| echo(wire, 3)).await;
    let waiting = head("/judged", "Expect: 100-continue\r\nContent-Length: 3\r\n");
    scene.client.say(&waiting).await;
    assert_eq!(scene.client.head().await, LEAVE);
    scene.client.say("abc").await;
    assert!(
        scene
            .client
            .read_until("abc")
            .await
            .starts_with("HTTP/1.1 200 ")
    );
}

#[tokio::test]
async fn a_body_that_announces_too_much_is_not_waited_for() {
    let mut scene = Scene::new(counting).await;
    let length = format!(
        "Expect: 100-continue\r\nContent-Length: {}\r\n",
        EARLY_MAX + 1
    );
    scene.client.say(&head("/judged", &length)).await;
    assert_eq!(scene.client.read_until("}").await, refused(true));
    assert_eq!(
        scene.gate.entries(),
        ["ask POST /judged", "deny POST /judged"]
    );
    assert_eq!(scene.leave().await, Ended::RefusedBody);
}

#[tokio::test]
async fn a_body_of_exactly_the_bound_is_judged_and_one_byte_more_is_too_long() {
    for (size, over) in [(EARLY_MAX, false), (EARLY_MAX + 1, true)] {
        let mut scene = Scene::new(move |wire, _| echo(wire, size)).await;
        let chunked = head("/judged", "Transfer-Encoding: chunked\r\n");
        let (half, rest) = ("a".repeat(size / 2), "b".repeat(size - size / 2));
        scene
            .client
            .say(&format!(
                "{chunked}{:x}\r\n{half}\r\n{:x}\r\n{rest}\r\n",
                half.len(),
                rest.len()
            ))
            .await;
        if over {
            assert_eq!(scene.client.read_until("}").await, refused(true));
        } else {
            scene.client.silence().await;
            scene.client.say("0\r\n\r\n").await;
            assert!(
                scene
                    .client
                    .read_until("b")
                    .await
                    .starts_with("HTTP/1.1 200 ")
            );
        }
    }
}

#[tokio::test]
async fn what_is_too_long_to_judge_and_allowed_all_the_same_goes_on_whole() {
    let mut scene = Scene::new(|mut wire, _| async move {
        let head = wire.head().await;
        assert!(
            head.contains("chunked") && !head.contains("expect"),
            "{head}"
        );
        let body = wire.read_until("0\r\n\r\n").await;
        let data: String = body.chars().filter(|c| "xyz".contains(*c)).collect();
        assert_eq!(data.len(), 3 * EARLY_MAX);
        assert!(data.starts_with('x') && data.ends_with('z'));
        wire.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .await;
        wire.until_gone().await;
    })
    .await;
    let fields = "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n";
    scene.client.say(&head("/judged/any", fields)).await;
    assert_eq!(scene.client.head().await, LEAVE);
    for letter in ["x", "y", "z"] {
        let chunk = letter.repeat(EARLY_MAX);
        scene
            .client
            .say(&format!("{EARLY_MAX:x}\r\n{chunk}\r\n"))
            .await;
    }
    scene.client.say("0\r\nX-Admin: yes\r\n\r\n").await;
    assert!(
        scene
            .client
            .read_until("\r\n\r\nok")
            .await
            .starts_with("HTTP/1.1 200 ")
    );
}

#[tokio::test]
async fn slow_bodies_cost_only_who_sends_them() {
    let mut scene = Scene::within(QUICK, None, counting).await;
    scene
        .client
        .say(&head("/judged", "Content-Length: 3\r\n"))
        .await;
    scene.client.say("a").await;
    assert_eq!(
        scene.client.read_until("}").await,
        own(
            "408 Request Timeout",
            "request not complete in time",
            true,
            true
        )
    );
    assert_eq!(
        scene.gate.entries(),
        [
            "ask POST /judged",
            "malformed POST /judged: request body not complete in time"
        ]
    );
    assert_eq!(scene.leave().await, Ended::BodyTimeout);
}

#[tokio::test]
async fn a_drip_does_not_extend_the_time_for_a_body() {
    let mut scene = Scene::within(QUICK, None, counting).await;
    scene
        .client
        .say(&head("/judged", "Content-Length: 1000\r\n"))
        .await;
    let began = std::time::Instant::now();
    let (mut reading, mut writing) = scene.client.0.split();
    let drip = async {
        loop {
            if tokio::io::AsyncWriteExt::write_all(&mut writing, b"a")
                .await
                .is_err()
            {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let mut answer = [0; 12];
    tokio::select! {
        () = drip => {}
        read = tokio::io::AsyncReadExt::read_exact(&mut reading, &mut answer) => drop(read.unwrap()),
    }
    assert_eq!(&answer, b"HTTP/1.1 408");
    assert!(began.elapsed() >= QUICK.early);
}

#[tokio::test]
async fn unsound_bodies_are_refused_before_anyone_is_dialled() {
    let chunked = head("/judged", "Transfer-Encoding: chunked\r\n");
    for body in [
        "5\r\nhello0\r\n\r\n",
        "-1\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "1\r\na\r\n0\r\nX: \x01\r\n\r\n",
    ] {
        let mut scene = Scene::within(Timeouts::STANDARD, None, counting).await;
        scene.client.say(&format!("{chunked}{body}")).await;
        let answer = scene.client.read_until("}").await;
        assert!(
            answer.starts_with("HTTP/1.1 400 ") && answer.contains("connection: close"),
            "{answer}"
        );
        let entries = scene.gate.entries();
        assert_eq!(entries.len(), 2, "{entries:?}");
        assert!(
            entries[1].starts_with("malformed POST /judged: "),
            "{entries:?}"
        );
    }
}

#[tokio::test]
async fn a_client_that_leaves_within_the_body_is_on_record() {
    let mut scene = Scene::new(counting).await;
    scene
        .client
        .say(&head("/judged", "Content-Length: 3\r\n"))
        .await;
    scene.client.say("ab").await;
    let gate = std::sync::Arc::clone(&scene.gate);
    assert_eq!(scene.leave().await, Ended::ClientGone);
    assert_eq!(
        gate.entries()[1],
        "malformed POST /judged: request body cut short"
    );
}

#[tokio::test]
async fn a_request_without_body_is_not_waited_for() {
    let mut scene = Scene::new(counting).await;
    for fields in ["", "Content-Length: 0\r\n"] {
        scene.client.say(&head("/judged", fields)).await;
        assert!(scene.client.head().await.starts_with("HTTP/1.1 200 "));
        scene.client.exactly(3).await;
    }
    assert!(
        scene
            .gate
            .entries()
            .iter()
            .all(|entry| !entry.starts_with("ask"))
    );
}

#[tokio::test]
async fn trailers_end_here_where_fields_were_judged() {
    for (path, through) in [("/judged/any", false), ("/a", true)] {
        let mut scene = Scene::new(|mut wire, _| async move {
            wire.head().await;
            let tail = wire.read_until("\r\n\r\n").await;
            let seen = if tail.contains("X-Admin: yes") {
                "yes"
            } else {
                "no!"
            };
            wire.say(&format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{seen}"
            ))
            .await;
            wire.until_gone().await;
        })
        .await;
        scene
            .client
            .say(&head(path, "Transfer-Encoding: chunked\r\n"))
            .await;
        let chunk = "a".repeat(EARLY_MAX + 1);
        scene
            .client
            .say(&format!(
                "{:x}\r\n{chunk}\r\n0\r\nX-Admin: yes\r\n\r\n",
                chunk.len()
            ))
            .await;
        scene.client.head().await;
        assert_eq!(scene.client.exactly(3).await == "yes", through, "{path}");
    }
}

#[tokio::test]
async fn a_revoked_connection_is_cut_while_its_body_comes() {
    let mut scene = Scene::new(counting).await;
    scene
        .client
        .say(&head("/judged", "Content-Length: 3\r\n"))
        .await;
    scene.client.silence().await;
    scene.gate.revoke();
    scene.client.until_gone().await;
    assert_eq!(scene.ended().await, Ended::Revoked);
}
