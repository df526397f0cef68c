//! A connection that is kept hears of all that may end it, after any number of requests, at rest and under way.

use super::scene::{SOON, Stage};

const ALLOWS: &str = "  initiate: [{ service: web, operations: [\"GET /a\", \"GET /long\"] }]\n";
const SHORT: &str = "GET /a HTTP/1.1\r\nHost: web\r\n\r\n";
const LONG: &str = "GET /long HTTP/1.1\r\nHost: web\r\n\r\n";
/// More than any list that holds one entry for each.
const REQUESTS: usize = 40;

#[derive(Clone, Copy, Debug)]
enum News {
    Generation,
    CallerLeaves,
    FarEndLeaves,
}

async fn ends_by(news: News, under_way: bool, requests: usize) {
    let mut stage = Stage::new(ALLOWS, "").await;
    let mut client = stage.web().await;
    for _ in 0..requests {
        let answer = client.ask(SHORT).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        // News that changes nothing for it is heard, and listened beyond.
        stage.load(ALLOWS, "");
    }
    if under_way {
        client.ask(LONG).await;
    }
    match news {
        News::Generation => stage.load("  initiate: []\n", ""),
        News::CallerLeaves => stage.home.leave("it has ended"),
        News::FarEndLeaves => stage.service.leave("it has ended"),
    }
    client.ends_in_a_reset(SOON).await;
    assert_eq!(stage.closes().len(), 1, "{news:?}, {under_way}");
}

#[tokio::test]
async fn one_that_is_kept_hears_all_news_at_rest_and_under_way() {
    for under_way in [false, true] {
        for news in [News::Generation, News::CallerLeaves, News::FarEndLeaves] {
            for requests in [1, REQUESTS] {
                ends_by(news, under_way, requests).await;
            }
        }
    }
}

/// What was known of the two under one generation says nothing under the next.
#[tokio::test]
async fn who_is_meant_is_asked_anew_under_each_generation() {
    let mut stage = Stage::new(ALLOWS, "").await;
    let mut client = stage.web().await;
    for round in 0..4 {
        // By name behind the others, whose addresses stay.
        let more = (0..round).map(|n| {
            format!("---\napiVersion: ringfence.dev/v1alpha1\nkind: Agent\nmetadata: {{ name: z{n} }}\nspec: {{}}\n")
        });
        stage.load(ALLOWS, &more.collect::<String>());
        let answer = client.ask(SHORT).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{round}: {answer}");
        let refused = client.ask("GET /b HTTP/1.1\r\nHost: web\r\n\r\n").await;
        assert!(refused.starts_with("HTTP/1.1 403"), "{round}: {refused}");
    }
}
