//! Requests that some receiver reads otherwise than a condition does: an error wherever the condition reads that part.

use super::*;
use crate::condition::facts::host_name;

#[test]
fn a_host_has_one_spelling() {
    for authority in ["Tools.internal", "tools.internal.", "TOOLS.INTERNAL.:8080"] {
        assert_eq!(host_name(authority), "tools.internal", "{authority}");
    }
    assert_eq!(host_name("[FD00::1]:80"), "[fd00::1]");
    assert_eq!(host_name("[fd00::1]"), "[fd00::1]");
}

fn on_query(text: &str, query: &str) -> Asked {
    let sent = Sent {
        query,
        ..Sent::default()
    };
    ask_with(text, &sent)
}

fn on_headers(text: &str, headers: &[(&str, &str)]) -> Asked {
    let sent = Sent {
        headers,
        ..Sent::default()
    };
    ask_with(text, &sent)
}

fn is_other_spelling(asked: &Asked) -> bool {
    matches!(asked, Asked::Errored(ConditionError::OtherSpelling(_)))
}

#[test]
fn parameters_that_some_server_takes_for_the_one_that_is_read_are_errors() {
    for other in [
        "limit%5B%5D=9",
        "limit[]=9",
        "limit[0]=9",
        "LIMIT=9",
        "limit%00x=9",
        "+limit=9",
        "%20limit=9",
        "li.mit=9",
        "li_mit=9",
        "l%c4%b1mit=9",
    ] {
        for query in [
            format!("limit=10&{other}"),
            format!("{other}&limit=10"),
            other.to_owned(),
        ] {
            for text in [
                "request.query.limit == '10'",
                "!has(request.query.limit)",
                "true || request.query.limit == '10'",
            ] {
                let asked = on_query(text, &query);
                assert!(is_other_spelling(&asked), "{text} {query}: {asked:?}");
            }
        }
        let all = on_query("size(request.query) > 0", &format!("limit=10&{other}"));
        assert!(is_other_spelling(&all), "{other}: {all:?}");
    }
    // Others disturb nobody, and a name with brackets can be read.
    let text = "request.query.limit == '10' && request.query['f[a]'] == 'x'";
    assert_eq!(on_query(text, "limit=10&limits=9&f[a]=x"), Asked::Holds);
}

#[test]
fn a_query_that_some_server_splits_at_semicolons_is_an_error() {
    for query in ["x=1;limit=1000&limit=10", "limit=10;", "limit=10&x=1;y"] {
        let asked = on_query("request.query.limit == '10'", query);
        assert!(matches!(asked, Asked::Errored(_)), "{query}: {asked:?}");
    }
    assert_eq!(
        on_query("request.query.limit == '1;0'", "limit=1%3B0"),
        Asked::Holds
    );
    assert_eq!(on_query("request.method == 'GET'", "a;b"), Asked::Holds);
}

#[test]
fn headers_that_a_gateway_takes_for_the_one_that_is_read_are_errors() {
    let read = "request.headers['x-team'] == 'crm'";
    for other in ["x_team", "X_Team", "x.team", "X~TEAM"] {
        let pair = [("x-team", "crm"), (other, "root")];
        for headers in [&pair[..], &[pair[1], pair[0]], &pair[1..]] {
            for text in [read, &format!("true || {read}")] {
                let asked = on_headers(text, headers);
                assert!(is_other_spelling(&asked), "{text} {other}: {asked:?}");
            }
        }
        let all = on_headers("'x-team' in request.headers", &pair);
        assert!(is_other_spelling(&all), "{other}: {all:?}");
    }
    let others = [("x-team", "crm"), ("x-team_", "root"), ("xteam", "root")];
    assert_eq!(on_headers(read, &others), Asked::Holds);
}

#[test]
fn members_that_some_reader_takes_for_the_one_that_is_read_are_errors() {
    const JSON: &str = "application/json";
    for body in [
        r#"{"amount": 1, "Amount": 999}"#,
        r#"{"AMOUNT": 999}"#,
        r#"{"amount": 1, "amount\u0000x": 999}"#,
        r#"{"amount": 1, "a_mount": 999}"#,
        r#"{"amount": 1, "nested": [{"aMount": 1}]}"#,
    ] {
        for text in [
            "body.amount <= 100",
            "!has(body.amount)",
            "body['amount'] <= 100",
            "body.exists(name, name == 'amount')",
            "true || body.amount == 1",
        ] {
            let asked = on_body(text, JSON, body);
            assert!(
                matches!(asked, Asked::Errored(ConditionError::Body(words)) if words.contains("spelling")),
                "{text} {body}: {asked:?}"
            );
        }
    }
    // The long s and the sign of Kelvin, which Go folds.
    let asked = on_body("!has(body.task)", JSON, "{\"ta\u{17f}\u{212a}\": 1}");
    assert!(
        matches!(asked, Asked::Errored(ConditionError::Body(_))),
        "{asked:?}"
    );
    // What nobody asks about may be spelled as it likes; what is asked about in both spellings, too.
    let body = r#"{"amount": 1, "Other": 1, "other": 2}"#;
    assert_eq!(on_body("body.amount == 1", JSON, body), Asked::Holds);
    let text = "body.Other == 1 && body.other == 2";
    assert_eq!(on_body(text, JSON, body), Asked::Holds);
}

#[test]
fn a_body_of_two_types_or_charsets_is_not_read() {
    for kind in [
        "application/x-www-form-urlencoded,application/a+json",
        "application/x-www-form-urlencoded application/a+json",
        "application/json, text/plain",
        "application/json,application/json",
        "application/json; charset=utf-8; charset=utf-7",
        "application/json; charset =utf-7",
        "application/json; charset*=utf-7''",
        "application/json; Charset='utf-7'",
        "application/+json/x",
        "text/x+json",
    ] {
        let asked = on_body("has(body.amount)", kind, r#"{"amount": 1}"#);
        assert!(
            matches!(asked, Asked::Errored(ConditionError::Body(_))),
            "{kind}: {asked:?}"
        );
    }
    for more in [
        &[
            ("content-type", "application/json"),
            ("content_type", "text/plain"),
        ][..],
        &[("content_type", "application/json")][..],
        &[
            ("content-type", "application/json"),
            ("content-encoding", "identity"),
            ("content-encoding", "deflate"),
        ][..],
        &[
            ("content-type", "application/json"),
            ("Content_Encoding", "deflate"),
        ][..],
    ] {
        let sent = Sent {
            headers: more,
            body: Body::Bytes(br#"{"amount": 1}"#),
            ..Sent::default()
        };
        let asked = ask_with("has(body.amount)", &sent);
        assert!(
            matches!(asked, Asked::Errored(ConditionError::Body(_))),
            "{more:?}: {asked:?}"
        );
    }
}

#[test]
fn numbers_and_texts_that_readers_round_or_cut_are_errors() {
    for body in [
        r#"{"amount": 1e400}"#,
        r#"{"amount": -1e400}"#,
        r#"{"amount": 1e300}"#,
        r#"{"amount": Infinity}"#,
        r#"{"amount": 0x10}"#,
        r#"{"amount": +1}"#,
        r#"{"amount": 1.}"#,
        r#"{"amount": 1, "x": "\ud800"}"#,
        "\u{feff}{\"amount\": 1}",
        "{\"amount\": 1}\0",
        "{\"amount\": 1} // more",
        "{/* */\"amount\": 1}",
        "{'amount': 1}",
        "{\"amount\": 1,}",
    ] {
        let asked = on_body("body.amount <= 100", "application/json", body);
        assert!(
            matches!(asked, Asked::Errored(ConditionError::Body(_))),
            "{body}: {asked:?}"
        );
    }
    for (body, text) in [
        (
            r#"{"amount": 1E2}"#,
            "body.amount == 100 && body.amount <= 100",
        ),
        (r#"{"amount": -0}"#, "body.amount == 0"),
        (r#"{"amount": 100.0}"#, "body.amount == 100"),
    ] {
        assert_eq!(
            on_body(text, "application/json", body),
            Asked::Holds,
            "{body}"
        );
    }
}
