//! What ends by date, or rests on the clock, ends when its time comes: within a second or two, and nothing else does.

use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use ringfence_model::flow::{Kind, Outcome};

use super::scene::{Client, Stage};

/// The clock is looked at once a second, and a machine under load takes its time.
pub(super) const IN_TIME: Duration = Duration::from_secs(4);

const LONG: &str = "GET /long HTTP/1.1\r\nHost: web\r\n\r\n";
const OTHER: &str = "GET /long/other HTTP/1.1\r\nHost: web\r\n\r\n";

fn web(operations: &str) -> String {
    format!("  initiate:\n    - service: web\n      operations: [{operations}]\n")
}

pub(super) fn today() -> Date {
    Timestamp::now().to_zoned(TimeZone::UTC).date()
}

/// Seconds from now to two seconds before the end of `day`.
pub(super) fn to_the_end_of(day: Date) -> i64 {
    let end = day.tomorrow().unwrap().to_zoned(TimeZone::UTC).unwrap();
    end.timestamp().as_second() - 2 - Timestamp::now().as_second()
}

async fn under_way(stage: &Stage, request: &str) -> Client {
    let mut client = stage.web().await;
    let answer = client.ask(request).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    client
}

/// The neighbour still has its answer coming.
async fn lives(client: &mut Client) {
    let mut byte = [0];
    let read =
        tokio::time::timeout(Duration::from_millis(1500), client.stream.peek(&mut byte)).await;
    assert!(read.is_err(), "it has ended: {read:?}");
}

fn last_close(stage: &Stage) -> (Outcome, String) {
    let close = stage.closes().pop().unwrap();
    (close.outcome(), close.reason)
}

#[tokio::test]
async fn a_download_ends_with_its_rule() {
    let day = today();
    let rule = format!(r#"{{ allow: "GET /long", until: {day} }}, "GET /long/other""#);
    let stage = Stage::new(&web(&rule), "").await;
    stage.world.node.clock.set_ahead(to_the_end_of(day));
    let mut neighbour = under_way(&stage, OTHER).await;
    under_way(&stage, LONG).await.ends_in_a_reset(IN_TIME).await;
    let (outcome, reason) = last_close(&stage);
    assert_eq!(outcome, Outcome::Deny);
    assert!(
        reason.starts_with("its time is over: rule GET /long ended at "),
        "{reason}"
    );
    lives(&mut neighbour).await;
    let (status, flow) = stage.ask(LONG).await;
    assert_eq!(status, 403, "{}", flow.reason);
}

#[tokio::test]
async fn opaque_and_idle_connections_end_with_their_rule() {
    let day = today();
    let policy = format!(
        "  initiate:\n    - service: web\n      until: {day}\n      operations: [\"GET /**\"]\n    - service: echo\n      operations: [{{ allow: connect, until: {day} }}]\n"
    );
    let stage = Stage::new(&policy, "").await;
    stage.world.node.clock.set_ahead(to_the_end_of(day));
    let idle = stage.web().await;
    let mut opaque = stage.echo().await;
    opaque.until("!").await;
    tokio::join!(
        idle.ends_in_a_reset(IN_TIME),
        opaque.ends_in_a_reset(IN_TIME)
    );
    assert_eq!(stage.closes().len(), 2);
    assert!(
        stage
            .closes()
            .iter()
            .all(|close| close.outcome() == Outcome::Deny
                && close.reason.starts_with("its time is over: "))
    );
}

#[tokio::test]
async fn a_download_ends_when_a_condition_on_the_clock_turns() {
    let end = (Timestamp::now() + 3.seconds())
        .round(jiff::Unit::Second)
        .unwrap();
    let rule =
        format!(r#"{{ allow: "GET /long", when: 'now < timestamp("{end}")' }}, "GET /long/other""#);
    let stage = Stage::new(&web(&rule), "").await;
    let mut neighbour = under_way(&stage, OTHER).await;
    under_way(&stage, LONG)
        .await
        .ends_in_a_reset(IN_TIME + Duration::from_secs(3))
        .await;
    let after = Timestamp::now();
    assert!(after >= end, "{after} {end}");
    let (_, reason) = last_close(&stage);
    assert!(
        reason.starts_with("its time is over: condition of rule GET /long is false"),
        "{reason}"
    );
    lives(&mut neighbour).await;
}

#[tokio::test]
async fn a_download_ends_when_a_guardrail_on_the_clock_begins_to_forbid() {
    let from = (Timestamp::now() + 3.seconds())
        .round(jiff::Unit::Second)
        .unwrap();
    let guardrail = format!(
        "---\napiVersion: ringfence.dev/v1alpha1\nkind: Guardrail\nmetadata: {{ name: night }}\n\
         spec: {{ owner: security, reason: closed, from: [\"*\"], to: [web], deny: [\"GET /long\"], when: 'now >= timestamp(\"{from}\")' }}\n"
    );
    let stage = Stage::new(&web(r#""GET /**""#), &guardrail).await;
    under_way(&stage, LONG)
        .await
        .ends_in_a_reset(IN_TIME + Duration::from_secs(3))
        .await;
    let (_, reason) = last_close(&stage);
    assert!(
        reason.starts_with("its time is over: guardrail night forbids GET /long: closed"),
        "{reason}"
    );
}

#[tokio::test]
async fn what_only_a_mode_let_pass_ends_with_it() {
    let day = today();
    let policy = format!(
        "  mode: learn\n  until: {day}\n{}",
        web(r#""GET /long/other""#)
    );
    let stage = Stage::new(&policy, "").await;
    stage.world.node.clock.set_ahead(to_the_end_of(day));
    let mut neighbour = under_way(&stage, OTHER).await;
    let mut opaque = stage.echo().await;
    opaque.until("!").await;
    let learnt = under_way(&stage, LONG).await;
    tokio::join!(
        learnt.ends_in_a_reset(IN_TIME),
        opaque.ends_in_a_reset(IN_TIME)
    );
    assert!(stage.closes().iter().all(|close| {
        close
            .reason
            .starts_with("its time is over: no rule of policy agent")
    }));
    lives(&mut neighbour).await;
}

#[tokio::test]
async fn an_exemption_that_lapses_ends_what_rests_on_it() {
    let day = today();
    let (service, port) = super::listener().await;
    let more = format!(
        "---\napiVersion: ringfence.dev/v1alpha1\nkind: Service\nmetadata: {{ name: outside }}\n\
         spec: {{ protocol: tcp, port: 700, endpoints: [{{ address: \"127.0.0.1:{port}\" }}], mutualAuth: {{ exempt: a test, until: {day} }} }}\n"
    );
    let policy = "  initiate:\n    - service: outside\n      operations: [connect]\n";
    let stage = Stage::new(policy, &more).await;
    stage.world.node.clock.set_ahead(to_the_end_of(day));
    // By name: `agent` 1, `echo` 2, `outside` 3.
    let (stream, serving) = super::knock(&stage.world, &stage.home, stage.world.at(3, 700)).await;
    let (_inside, _) = service.accept().await.unwrap();
    Client { stream, serving }.ends_in_a_reset(IN_TIME).await;
    let (_, reason) = last_close(&stage);
    assert!(
        reason.starts_with("its time is over: the exemption of service outside"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_clock_that_is_set_forward_ends_what_has_ended() {
    let day = today().checked_add(400.days()).unwrap();
    let stage = Stage::new(
        &web(&format!(r#"{{ allow: "GET /long", until: {day} }}"#)),
        "",
    )
    .await;
    let mut client = under_way(&stage, LONG).await;
    lives(&mut client).await;
    stage
        .world
        .node
        .clock
        .set_ahead(to_the_end_of(day) + 100_000);
    client.ends_in_a_reset(IN_TIME).await;
}

#[tokio::test]
async fn a_clock_that_is_set_back_is_noticed() {
    let rule = format!(
        r#"{{ allow: "GET /long", when: 'now > timestamp("{}")' }}"#,
        Timestamp::now()
    );
    let policy = format!(
        "  mode: shadow\n  until: {}\n{}",
        today().checked_add(30.days()).unwrap(),
        web(r#""GET /other""#)
    );
    // One rests on a condition, the other on a mode that holds from 30 days before its end.
    let stage = Stage::new(&web(&rule), "").await;
    let mut client = under_way(&stage, LONG).await;
    stage.world.node.clock.set_ahead(-10);
    client.ends_in_a_reset(IN_TIME).await;
    let stage = Stage::new(&policy, "").await;
    client = under_way(&stage, LONG).await;
    stage.world.node.clock.set_ahead(-86_400);
    client.ends_in_a_reset(IN_TIME).await;
}

#[tokio::test]
async fn a_request_under_way_is_decided_again_with_all_it_carried() {
    let posted = "POST /long HTTP/1.1\r\nHost: web\r\nX-Team: crm\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"amount\": 5}";
    let rule = |when: &str| web(&format!(r#"{{ allow: "POST /long", when: '{when}' }}"#));
    let mut stage = Stage::new(&rule("body.amount < 10"), "").await;
    let mut client = under_way(&stage, posted).await;
    for still in [
        r#"request.headers["x-team"] == "crm""#,
        "body.amount == 5 && !has(request.query.a)",
        "true",
    ] {
        stage.load(&rule(still), "");
        lives(&mut client).await;
    }
    // Another rule than before allows it: untouched.
    stage.load(&web(r#""* /**""#), "");
    lives(&mut client).await;
    stage.load(&rule("body.amount < 5"), "");
    client.ends_in_a_reset(IN_TIME).await;
    let (_, reason) = last_close(&stage);
    assert!(
        reason.starts_with("revoked by generation 6: condition of rule POST /long is false"),
        "{reason}"
    );
}

#[tokio::test]
async fn what_was_not_kept_cannot_be_asked_and_denies() {
    let posted = "POST /long HTTP/1.1\r\nHost: web\r\nX-Team: crm\r\nContent-Length: 13\r\n\r\n{\"amount\": 5}";
    for (before, reason) in [
        (r#""POST /long""#, "depends on body"),
        (
            r#"{ allow: "POST /long", when: 'request.headers["x-team"] == "crm"' }"#,
            "the body was not read",
        ),
    ] {
        let mut stage = Stage::new(&web(before), "").await;
        let client = under_way(&stage, posted).await;
        stage.load(
            &web(r#"{ allow: "POST /long", when: "body.amount < 10" }"#),
            "",
        );
        client.ends_in_a_reset(IN_TIME).await;
        let (outcome, told) = last_close(&stage);
        assert_eq!(outcome, Outcome::Deny);
        assert!(told.contains(reason), "{told}");
    }
    // Who asks after nothing that is in a request, is answered.
    let mut stage = Stage::new(&web(r#""POST /long""#), "").await;
    let mut client = under_way(&stage, posted).await;
    stage.load(
        &web(r#"{ allow: "POST /long", when: 'source.labels.team == "crm"' }"#),
        "",
    );
    lives(&mut client).await;
    assert!(
        stage
            .world
            .flows()
            .iter()
            .all(|flow| flow.kind() != Kind::Close)
    );
}
