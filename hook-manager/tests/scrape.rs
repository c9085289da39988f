//! All five layers in one stack, and what a scrape of it looks like to a strict reader, to the dashboard and to the
//! alert rules.

#[path = "../examples/stack.rs"]
#[allow(dead_code, reason = "its `main` is not called")]
mod example;
#[path = "../../hook-monitor/tests/scrape/mod.rs"]
mod scrape;

use std::{collections::BTreeSet, time::Duration};

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
    for (name, labels) in [
        (
            "hook_anomaly_active",
            &[("target", "backend"), ("signal", "latency")][..],
        ),
        ("hook_health_check_duration_seconds", &[("check", "pool")]),
        ("process_cpu_seconds_total", &[]),
    ] {
        assert!(is(name, labels) >= 0.0);
    }
    assert!(is("process_start_time_seconds", &[]) > 1.6e9, "since 1970");
    assert!(is("process_resident_memory_bytes", &[]) > 0.0);
    // "hello" once at the backend; of the failing calls the first had three attempts.
    assert_eq!(
        is("hook_retry_attempts_bucket", &[("le", "1")]),
        first_attempts(&seen)
    );
    assert!(
        is("hook_retry_attempts_bucket", &[("le", "3")])
            >= is("hook_retry_attempts_bucket", &[("le", "2")]) + 1.0
    );
    // At most forty series for each layer, a histogram's buckets not counted one by one.
    let of_layers = [
        "hook_calls_",
        "hook_call_",
        "hook_cache_",
        "hook_breaker_",
        "hook_retry_",
        "hook_pool_",
    ];
    let not_buckets: usize = seen
        .names()
        .iter()
        .filter(|name| of_layers.iter().any(|layer| name.starts_with(layer)))
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

/// Calls that ended with their first attempt, by the other figure that tells.
fn first_attempts(seen: &Scrape) -> f64 {
    ["successful_without_retry", "failed_without_retry"]
        .iter()
        .filter_map(|kind| seen.get("hook_retry_calls_total", &[("kind", kind)]))
        .sum()
}

/// Asks until the answer is what is waited for.
async fn until(app: &Router, path: &str, is_it: impl Fn(StatusCode, &str) -> bool) -> String {
    let asking = async {
        loop {
            let (status, _, body) = get(app, path).await;
            if is_it(status, &body) {
                return body;
            }
            tokio::task::yield_now().await;
        }
    };
    let bound = Duration::from_secs(60);
    let answer = tokio::time::timeout(bound, asking).await;
    answer.unwrap_or_else(|_| panic!("{path} never became what it should"))
}

#[tokio::test]
async fn the_health_of_all_five_layers_is_told_beside_their_figures() {
    let app = example::app().await.unwrap();
    until(&app, "/readyz", |status, _| status == StatusCode::OK).await;
    let (alive, kind, _) = get(&app, "/livez").await;
    assert_eq!(alive, StatusCode::OK);
    assert_eq!(kind.as_deref(), Some("application/health+json"));
    let healthy = |status, body: &str| status == StatusCode::OK && body.contains(r#""status":"healthy""#);
    let report = until(&app, "/health", |status, body| {
        healthy(status, body) && !body.contains("degraded")
    })
    .await;
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["status"], "healthy");
    for check in ["backend", "circuit", "pool"] {
        assert_eq!(report["checks"][check]["status"], "healthy", "{report}");
    }
    let seen = scraped(&app).await;
    let of = |seen: &Scrape, component, status| {
        let labels = [("component", component), ("status", status)];
        seen.get("hook_health_status", &labels)
    };
    assert_eq!(of(&seen, "circuit", "healthy"), Some(1.0));
    assert_eq!(of(&seen, "circuit", "degraded"), Some(0.0));

    // An open circuit is for the eye, and no reason to take the process away.
    for _ in 0..4 {
        get(&app, "/upper/fail").await;
    }
    let report = until(&app, "/health", |_, body| body.contains("degraded")).await;
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["status"], "degraded", "{report}");
    assert_eq!(report["checks"]["circuit"]["status"], "degraded", "{report}");
    let (status, _, _) = get(&app, "/health").await;
    assert_eq!(status, StatusCode::OK);
    let (ready, _, _) = get(&app, "/readyz").await;
    assert_eq!(ready, StatusCode::OK);
    assert_eq!(of(&scraped(&app).await, "circuit", "degraded"), Some(1.0));
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
