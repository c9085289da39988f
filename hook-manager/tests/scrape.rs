//! All five layers in one stack, and what a scrape of it looks like to a strict reader, to the dashboard and to the
//! alert rules.

#[path = "../examples/stack.rs"]
#[allow(dead_code, reason = "its `main` is not called")]
mod example;
#[path = "../../hook-monitor/tests/scrape/mod.rs"]
mod scrape;

use std::collections::BTreeSet;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, StatusCode, header},
};
use scrape::Scrape;
use tower::ServiceExt;

const DASHBOARD: &str = include_str!("../../hook-monitor/grafana/hook.json");
const ALERTS: &str = include_str!("../../hook-monitor/alerts/hook.rules.yml");

async fn get(app: &Router, path: &str) -> (StatusCode, Option<String>, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE);
    let kind = kind.map(|kind| kind.to_str().unwrap().to_owned());
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, kind, String::from_utf8(body.to_vec()).unwrap())
}

async fn scraped(app: &Router) -> Scrape {
    let (status, kind, text) = get(app, "/metrics").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(kind.as_deref(), Some("text/plain; version=0.0.4; charset=utf-8"));
    Scrape::parse(&text).unwrap_or_else(|why| panic!("{why}\n{text}"))
}

/// The names of metrics in queries: what begins as ours and the process' do.
fn names(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with("hook_") || word.starts_with("process_"))
        .collect()
}

/// The texts under the key `expr`, wherever they are.
fn queries(json: &serde_json::Value, into: &mut Vec<String>) {
    match json {
        serde_json::Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    serde_json::Value::String(text) if key == "expr" || key == "query" => {
                        into.push(text.clone());
                    }
                    _ => queries(value, into),
                }
            }
        }
        serde_json::Value::Array(values) => values.iter().for_each(|value| queries(value, into)),
        _ => {}
    }
}

#[tokio::test]
async fn a_scrape_of_all_five_layers_is_read_by_a_strict_reader_from_the_first_on() {
    let app = example::app().await.unwrap();
    let first = scraped(&app).await;
    for (word, status, answer) in [
        ("hello", StatusCode::OK, "HELLO"),
        ("hello", StatusCode::OK, "HELLO"),
        ("fail", StatusCode::BAD_GATEWAY, ""),
    ] {
        let (got, _, body) = get(&app, &format!("/upper/{word}")).await;
        assert_eq!(got, status, "{body}");
        assert!(body.starts_with(answer), "{body}");
    }
    // The second call opens the circuit, or finds it open.
    for _ in 0..2 {
        let (got, _, _) = get(&app, "/upper/fail").await;
        assert!(got.is_server_error());
    }
    let (refused, _, _) = get(&app, "/upper/fail").await;
    assert_eq!(refused, StatusCode::SERVICE_UNAVAILABLE);

    let seen = scraped(&app).await;
    assert_eq!(
        first.names(),
        seen.names(),
        "a series that is not there from the beginning"
    );
    assert_eq!(first.series(), seen.series());
    let is = |name: &str, labels: &[(&str, &str)]| {
        seen.get(name, labels)
            .unwrap_or_else(|| panic!("{name} {labels:?}"))
    };
    assert_eq!(
        is("hook_calls_total", &[("outcome", "ok"), ("name", "backend")]),
        2.0
    );
    assert!(is("hook_calls_total", &[("outcome", "rejected")]) >= 1.0);
    assert_eq!(is("hook_cache_gets_total", &[("result", "hit")]), 1.0);
    assert_eq!(
        is("hook_retry_calls_total", &[("kind", "successful_without_retry")]),
        1.0
    );
    assert_eq!(is("hook_breaker_state", &[("state", "open")]), 1.0);
    assert_eq!(is("hook_breaker_state", &[("state", "closed")]), 0.0);
    assert_eq!(
        is("hook_pool_use_seconds_bucket", &[("le", "+Inf")]),
        is("hook_pool_use_seconds_count", &[])
    );
    assert!(is("hook_pool_created_total", &[]) >= 2.0);
    // At most forty series for each layer, a histogram's buckets not counted one by one.
    let not_buckets: usize = seen
        .names()
        .iter()
        .filter(|name| !name.ends_with("_bucket"))
        .map(|name| seen.samples(name).count())
        .sum();
    assert!(not_buckets <= 5 * 40, "{not_buckets}");
    let ones = seen
        .samples("hook_breaker_state")
        .filter(|(_, on)| *on == 1.0)
        .count();
    assert_eq!(ones, 1, "one state at a time");
}

#[tokio::test]
async fn every_metric_of_the_dashboard_and_of_the_alerts_is_in_a_scrape() {
    let seen = scraped(&example::app().await.unwrap()).await;
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
    let mut asked = Vec::new();
    queries(&dashboard, &mut asked);
    assert!(asked.len() > 20, "{asked:?}");
    let mut wanted: BTreeSet<&str> = asked.iter().flat_map(|query| names(query)).collect();
    let alerts = names(ALERTS);
    assert!(wanted.len() > 20 && alerts.len() > 8, "{wanted:?} {alerts:?}");
    wanted.extend(alerts);

    let told = seen.names();
    let missing: Vec<_> = wanted.difference(&told).collect();
    assert!(missing.is_empty(), "nobody tells {missing:?}");
}
