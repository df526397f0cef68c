//! Conditions, guardrails and modes at a live door: what is asked is what was sent, and what is sent is what was asked.

use ringfence_model::flow::{Kind, Outcome};

use super::scene::Stage;

/// A policy with these operations towards `web`.
fn web(operations: &str) -> String {
    format!("  initiate:\n    - service: web\n      operations: [{operations}]\n")
}

fn get(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: web\r\n{fields}\r\n")
}

fn post(path: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: web\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{fields}\r\n{body}"
    )
}

#[tokio::test]
async fn a_condition_sees_the_head_that_the_service_sees() {
    let stage = Stage::new(
        &web(concat!(
            r#"{ allow: "GET /team", when: 'request.headers["x-team"] == source.labels.team' }, "#,
            r#"{ allow: "GET /page", when: 'int(request.query.limit) <= 100' }, "#,
            r#"{ allow: "GET /host", when: 'request.host == "web.ringfence.internal"' }, "#,
            r#"{ allow: "GET /of/{who}", when: 'path.who == request.headers["x-team"]' }"#
        )),
        "",
    )
    .await;
    let crm = "X-TEAM: crm\r\n";
    for (request, reason) in [
        (get("/team", crm), None),
        (get("/team", "x-team: sales\r\n"), Some("is false")),
        (get("/team", ""), Some("x-team is absent")),
        (
            get("/team", "x-team: crm\r\nX-Team: crm\r\n"),
            Some("header x-team is sent more than once"),
        ),
        (
            get("/team", "X_Team: crm\r\n"),
            Some("header x-team is sent in another spelling"),
        ),
        (get("/page?limit=100&limitless=1", ""), None),
        (get("/page?limit=101", ""), Some("is false")),
        (
            get("/page?limit=1&limit=100000", ""),
            Some("parameter limit is sent more than once"),
        ),
        (
            get("/page?limit=1&l%69mit=100000", ""),
            Some("parameter limit is sent more than once"),
        ),
        (get("/page", ""), Some("limit is absent")),
        (
            get("/page?limit=tenfold", ""),
            Some("cannot take its argument"),
        ),
        (
            get("/host", "").replace("Host: web", "Host: WEB.ringfence.internal"),
            None,
        ),
        (get("/host", ""), Some("is false")),
        (get("/of/crm", crm), None),
        (get("/of/sales", crm), Some("is false")),
    ] {
        let reached = stage.reached.lock().unwrap().len();
        let (status, flow) = stage.ask(&request).await;
        let passed = stage.reached.lock().unwrap().len() - reached;
        match reason {
            None => {
                assert_eq!(
                    (status, flow.outcome(), passed),
                    (200, Outcome::Allow, 1),
                    "{request}{}",
                    flow.reason
                );
                assert_eq!(flow.rule, "estate.yaml:24", "{request}");
            }
            Some(reason) => {
                assert_eq!(
                    (status, flow.outcome(), passed),
                    (403, Outcome::Deny, 0),
                    "{request}{}",
                    flow.reason
                );
                assert!(flow.reason.contains(reason), "{request}{}", flow.reason);
                // What a request holds may be secret; the log says what was wrong with it, not what it was.
                assert!(
                    !flow.reason.contains("100000") && !flow.reason.contains("tenfold"),
                    "{}",
                    flow.reason
                );
            }
        }
    }
}

#[tokio::test]
async fn a_body_is_judged_whole_and_goes_on_byte_for_byte() {
    let stage = Stage::new(
        &web(r#"{ allow: "POST /refund", when: "body.amount <= 100" }"#),
        "",
    )
    .await;
    let odd = "{ \"amount\" :\t7.0,\r\n\"note\": \"\\u00e4 \u{e4}\" }";
    let (status, _) = stage.ask(&post("/refund", "", odd)).await;
    assert_eq!(status, 200);
    let chunked = "POST /refund HTTP/1.1\r\nHost: web\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n\
         9\r\n{\"amount\"\r\n3;x=y\r\n:5}\r\n0\r\nX-Amount: 1000\r\n\r\n";
    let (status, flow) = stage.ask(chunked).await;
    assert_eq!(status, 200, "{}", flow.reason);
    {
        let reached = stage.reached.lock().unwrap();
        assert_eq!(reached[0].1, odd.as_bytes());
        assert_eq!(reached[1].1, b"{\"amount\":5}");
        assert!(
            !reached[1].0.contains("chunked")
                && reached[1].0.contains("\r\ncontent-length: 12\r\n")
        );
    }
    let long = format!("{{\"amount\": 1, \"note\": \"{}\"}}", "x".repeat(64 * 1024));
    let plain = post("/refund", "", "{\"amount\": 1}").replace("application/json", "text/plain");
    for (request, reason) in [
        (post("/refund", "", "{\"amount\": 1000}"), "is false"),
        (
            post("/refund", "", "{\"amount\": 1, \"amount\": 1000}"),
            "could not be evaluated: the body",
        ),
        (
            post("/refund", "", "{\"amount\": 1} {\"amount\": 1000}"),
            "could not be evaluated: the body",
        ),
        (post("/refund", "", ""), "body is absent"),
        (
            post("/refund", "Content-Encoding: gzip\r\n", "{\"amount\": 1}"),
            "the body is encoded",
        ),
        (
            post(
                "/refund",
                "Content-Encoding: identity\r\nContent-Encoding: gzip\r\n",
                "{\"amount\": 1}",
            ),
            "the body is encoded",
        ),
        (plain, "not declared as application/json"),
        (post("/refund", "", &long), "longer than"),
    ] {
        let (status, flow) = stage.ask(&request).await;
        assert_eq!(
            (status, flow.outcome()),
            (403, Outcome::Deny),
            "{}",
            flow.reason
        );
        assert!(flow.reason.contains(reason), "{reason}: {}", flow.reason);
    }
    assert_eq!(stage.reached.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_body_is_waited_for_only_where_its_condition_would_be_asked() {
    let stage = Stage::new(
        &web(r#""POST /up/**", { allow: "POST /*/refund", when: "body.amount <= 100" }"#),
        "",
    )
    .await;
    let head =
        |path: &str| format!("POST {path} HTTP/1.1\r\nHost: web\r\nContent-Length: 3\r\n\r\n");
    // Another rule allows it whatever it holds: it is decided, and goes on as it comes.
    let mut client = stage.web().await;
    client.say(&head("/up/refund")).await;
    stage.world.flows_when(2).await;
    assert_eq!(stage.operations()[0].outcome(), Outcome::Allow);
    client.ask("abc").await;
    let mut waiting = stage.web().await;
    waiting.say(&head("/down/refund")).await;
    let heard = tokio::time::timeout(
        std::time::Duration::from_millis(300),
        waiting.stream.readable(),
    );
    assert!(heard.await.is_err());
    assert_eq!(stage.operations().len(), 1);
}

#[tokio::test]
async fn the_record_is_there_before_a_judged_body_moves() {
    let stage = Stage::new(
        &web(r#"{ allow: "POST /refund", when: "body.amount <= 100" }"#),
        "",
    )
    .await;
    let mut client = stage.web().await;
    stage.world.flows_when(1).await;
    stage.world.break_log().await;
    let answer = client.ask(&post("/refund", "", "{\"amount\": 1}")).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(stage.reached.lock().unwrap().is_empty());
}

#[tokio::test]
async fn refusals_look_alike_whatever_their_cause() {
    let stage = Stage::new(
        &web(concat!(
            r#"{ allow: "GET /false", when: 'request.query.a == "b"' }, "#,
            r#"{ allow: "GET /error", when: 'int(request.query.a) > 1' }, "#,
            r#"{ allow: "GET /cost", when: '[1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b, [1,2,3,4,5,6,7,8,9,10].all(c, !request.query.a.matches("^a*$"))))' }, "#,
            r#""GET /guarded", "GET /fine""#
        )),
        "---\napiVersion: ringfence.dev/v1alpha1\nkind: Guardrail\nmetadata: { name: none }\n\
         spec: { owner: security, reason: nobody reads it, from: [\"*\"], to: [web], deny: [\"GET /guarded\"] }\n",
    )
    .await;
    let mut client = stage.web().await;
    let mut answers = Vec::new();
    for path in ["/no-rule", "/false", "/error", "/cost", "/guarded"] {
        answers.push(client.ask(&get(&format!("{path}?a=secret"), "")).await);
        // The enforcer lives, and so does the connection.
        assert!(
            client
                .ask(&get("/fine", ""))
                .await
                .starts_with("HTTP/1.1 200 ")
        );
    }
    assert!(
        answers[0].starts_with("HTTP/1.1 403 ")
            && answers.iter().all(|answer| *answer == answers[0]),
        "{answers:?}"
    );
    let denied: Vec<_> = stage
        .operations()
        .into_iter()
        .filter(|flow| flow.outcome() == Outcome::Deny)
        .map(|flow| flow.reason)
        .collect();
    for (reason, expected) in denied.iter().zip([
        "no rule of policy agent",
        "condition of rule GET /false is false",
        "condition of rule GET /error could not be evaluated",
        "it costs more than 100000 steps",
        "guardrail none forbids GET /guarded: nobody reads it",
    ]) {
        assert!(
            reason.contains(expected) && !reason.contains("secret"),
            "{reason}"
        );
    }
    assert_eq!(denied.len(), 5);
}

#[tokio::test]
async fn a_guardrail_whose_condition_errs_forbids() {
    let guardrail = "---\napiVersion: ringfence.dev/v1alpha1\nkind: Guardrail\nmetadata: { name: small }\n\
         spec: { owner: security, reason: large ones are reviewed, from: [agent], to: [web], deny: [\"POST /**\"], when: 'body.amount > 100' }\n";
    let stage = Stage::new(&web(r#""POST /pay", "GET /**""#), guardrail).await;
    for (request, status, reason) in [
        (post("/pay", "", "{\"amount\": 100}"), 200, "allowed"),
        (
            post("/pay", "", "{\"amount\": 101}"),
            403,
            "guardrail small forbids POST /pay: large ones",
        ),
        (
            post("/pay", "", "{}"),
            403,
            "guardrail small forbids POST /pay, because its condition could not be evaluated: amount is absent",
        ),
        (get("/pay", ""), 200, "allowed"),
    ] {
        let (got, flow) = stage.ask(&request).await;
        assert_eq!(got, status, "{}", flow.reason);
        assert!(flow.reason.contains(reason), "{}", flow.reason);
    }
}

#[tokio::test]
async fn what_would_be_denied_passes_and_says_so() {
    let until = jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date();
    for mode in ["learn", "shadow"] {
        let policy = format!(
            "  mode: {mode}\n  until: {until}\n{}",
            web(r#""GET /named", { allow: "GET /if", when: 'request.query.a == "b"' }"#)
        );
        let forbid = "---\napiVersion: ringfence.dev/v1alpha1\nkind: Guardrail\nmetadata: { name: none }\n\
             spec: { owner: security, reason: never, from: [\"*\"], to: [\"*\"], deny: [\"GET /never\"] }\n";
        let stage = Stage::new(&policy, forbid).await;
        for (path, status, outcome, reason, told) in [
            (
                "/named",
                200,
                Outcome::Allow,
                "allowed by both ends",
                "enforce",
            ),
            (
                "/other",
                200,
                Outcome::WouldDeny,
                "no rule of policy agent for service web allows GET /other",
                mode,
            ),
            (
                "/if?a=c",
                200,
                Outcome::WouldDeny,
                "condition of rule GET /if is false",
                mode,
            ),
            (
                "/never",
                403,
                Outcome::Deny,
                "guardrail none forbids",
                "enforce",
            ),
        ] {
            let (got, flow) = stage.ask(&get(path, "")).await;
            assert_eq!(
                (got, flow.outcome(), flow.mode.as_str()),
                (status, outcome, told),
                "{path} {}",
                flow.reason
            );
            assert!(flow.reason.contains(reason), "{}", flow.reason);
        }
        // A service that the policy does not name: its name resolves, its connection opens, both on record.
        let (code, address) = super::dns::ask(&stage.world, &stage.home, "echo", 1);
        assert!(code == 0 && address.is_some(), "its name does not resolve");
        let mut echo = stage.echo().await;
        assert_eq!(echo.until("!").await, "!");
        let flows = stage.world.flows();
        let would: Vec<_> = flows
            .iter()
            .filter(|flow| flow.destination == "echo")
            .map(|flow| (flow.kind(), flow.outcome(), flow.mode.as_str()))
            .collect();
        assert_eq!(
            would,
            [
                (Kind::Operation, Outcome::WouldDeny, mode),
                (Kind::Connection, Outcome::WouldDeny, mode)
            ]
        );
        assert!(
            flows
                .last()
                .unwrap()
                .reason
                .contains("no rule of policy agent names service echo")
        );
    }
}

#[tokio::test]
async fn a_mode_softens_only_its_own_policy() {
    let until = jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date();
    let yesterday = until.yesterday().unwrap();
    let too_far = until.checked_add(jiff::Span::new().days(31)).unwrap();
    for over in [yesterday, too_far] {
        let policy = format!("  mode: learn\n  until: {over}\n{}", web(r#""GET /named""#));
        let stage = Stage::new(&policy, "").await;
        let (status, flow) = stage.ask(&get("/other", "")).await;
        assert_eq!((status, flow.mode.as_str()), (403, "enforce"), "{over}");
    }
    // The other end's list denies still.
    let policy = format!("  mode: learn\n  until: {until}\n{}", web(r#""GET /**""#));
    let theirs = "---\napiVersion: ringfence.dev/v1alpha1\nkind: Policy\nmetadata: { name: web }\n\
         spec: { service: web, receive: [{ agent: agent, operations: [\"GET /named\"] }] }\n";
    let stage = Stage::new(&policy, theirs).await;
    assert_eq!(stage.ask(&get("/named", "")).await.0, 200);
    let (status, flow) = stage.ask(&get("/other", "")).await;
    assert_eq!(
        (status, flow.outcome()),
        (403, Outcome::Deny),
        "{}",
        flow.reason
    );
}

#[tokio::test]
async fn opaque_connections_have_conditions_too() {
    let policy = |when: &str| {
        format!(
            "  initiate:\n    - service: echo\n      operations: [{{ allow: connect, when: '{when}' }}]\n"
        )
    };
    let mut stage = Stage::new(&policy(r#"source.labels.team == "crm""#), "").await;
    let mut echo = stage.echo().await;
    assert_eq!(echo.until("!").await, "!");
    stage.load(&policy(r#"source.labels.team == "sales""#), "");
    echo.ends_in_a_reset(std::time::Duration::from_secs(2))
        .await;
    // There is no request to ask about.
    for (when, reason) in [
        (r#"source.labels.team == "sales""#, "is false"),
        (r#"source.labels.town == "sales""#, "town is absent"),
    ] {
        stage.load(&policy(when), "");
        stage
            .echo()
            .await
            .ends_in_a_reset(std::time::Duration::from_secs(2))
            .await;
        let flows = stage.world.flows();
        let last = flows.last().unwrap();
        assert_eq!(
            (last.kind(), last.outcome()),
            (Kind::Connection, Outcome::Deny)
        );
        assert!(last.reason.contains(reason), "{}", last.reason);
    }
}

/// Slow bodies cost whoever sends them; nobody else waits, and no more than so many are held.
#[tokio::test]
async fn bodies_that_decisions_wait_for_are_bounded() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let stage = Stage::new(
        &web(r#"{ allow: "POST /refund", when: "body.amount <= 100" }, "GET /free""#),
        "",
    )
    .await;
    let whole = post("/refund", "", r#"{"amount": 1}"#);
    let (begun, rest) = whole.split_at(whole.len() - 1);
    let mut slow = Vec::new();
    for _ in 0..crate::limits::BODIES_PER_COMPARTMENT {
        let mut client = stage.web().await;
        client.stream.write_all(begun.as_bytes()).await.unwrap();
        slow.push(client);
    }
    let full = async || {
        while stage.home.body_slots.taken() < stage.home.body_slots.limit() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(super::scene::SOON, full())
        .await
        .unwrap();
    let (status, flow) = stage.ask(&whole).await;
    assert_eq!((status, flow.outcome()), (503, Outcome::Deny));
    assert!(flow.reason.contains("128 bodies held"), "{}", flow.reason);
    // Others are not held up, and the slow ones are served when they are complete.
    assert_eq!(stage.ask(&get("/free", "")).await.0, 200);
    let first = &mut slow[0].stream;
    first.write_all(rest.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    first.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    // Its place is free again, though its connection lives.
    let freed = async || {
        while stage.home.body_slots.taken() == stage.home.body_slots.limit() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(super::scene::SOON, freed())
        .await
        .unwrap();
    assert_eq!(stage.ask(&whole).await.0, 200);
}

/// Who has thousands of requests under way does not make the node keep the heads of all of them.
#[tokio::test]
async fn what_conditions_may_ask_about_again_is_kept_while_there_is_memory_for_it() {
    let stage = Stage::new(
        &web(r#"{ allow: "GET /host", when: 'request.host == "web"' }"#),
        "",
    )
    .await;
    let memory = &stage.home.memory;
    let asked = get("/host", &format!("x-a: {}\r\n", "y".repeat(1000)));
    assert_eq!(stage.ask(&asked).await.0, 200);
    let all_but_little = memory.lend(crate::limits::HELD_PER_COMPARTMENT - 1000);
    assert!(all_but_little.is_some(), "something was not given back");
    let (status, flow) = stage.ask(&asked).await;
    assert_eq!((status, flow.outcome()), (503, Outcome::Deny));
    let reason = "has requests under way that hold 67108864 bytes already";
    assert!(flow.reason.contains(reason), "{}", flow.reason);
    // A short one is kept.
    assert_eq!(stage.ask(&get("/host", "")).await.0, 200);
    drop(all_but_little);
    assert_eq!(stage.ask(&asked).await.0, 200);
}
