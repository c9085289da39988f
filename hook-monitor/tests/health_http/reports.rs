//! What is told of the checks, to whom, and in which form.

use std::{sync::mpsc, time::Duration};

use hook_monitor::health::{About, Check, Endpoints, Health, MAX_CHECKS, Verdict};
use http::Request;
use tokio::time::{Instant as Virtual, advance, sleep};

use crate::support::{SECRET, ask, get, json, sickly};

#[tokio::test(start_paused = true)]
async fn without_checks_a_process_lives_and_is_ready_once_started() {
    let health = Health::new();
    let endpoints = Endpoints::new(health.clone());
    assert_eq!(get(&endpoints, "/livez").await.0, 200);
    let (code, _, body) = get(&endpoints, "/readyz").await;
    assert_eq!((code.as_u16(), &body[..]), (503, &br#"{"status":"fail"}"#[..]));
    health.mark_started();
    let (code, _, body) = get(&endpoints, "/readyz").await;
    assert_eq!((code.as_u16(), &body[..]), (200, &br#"{"status":"pass"}"#[..]));
    health.begin_shutdown();
    assert_eq!(get(&endpoints, "/readyz").await.0, 503);
    assert_eq!(
        get(&endpoints, "/livez").await.0,
        200,
        "a process that drains is not to be killed"
    );
    assert_eq!(get(&endpoints, "/health").await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn the_report_is_that_of_the_original_with_sorted_keys_and_no_details() {
    let endpoints = Endpoints::new(sickly().await);
    for path in ["/health", "/healthz"] {
        let (code, headers, body) = get(&endpoints, path).await;
        assert_eq!(code, 200, "degraded is no reason to take it away");
        assert_eq!(headers["content-type"], "application/json");
        assert_eq!(headers["cache-control"], "max-age=1");
        let text = std::str::from_utf8(&body).unwrap();
        let start = r#"{"checks":{"cache":{"status":"degraded"},"db":{"status":"healthy"}},"status":"degraded","timestamp":"2"#;
        assert!(text.starts_with(start), "{text}");
        for hidden in ["internal", "5432", "admin", "/etc", env!("CARGO_PKG_VERSION")] {
            let told = text.split("timestamp").next().unwrap();
            assert!(!told.contains(hidden), "{hidden} in {text}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn details_are_for_those_who_ask_and_may() {
    let health = sickly().await;
    let closed = Endpoints::new(health.clone());
    for path in [
        "/health?verbose",
        "/healthz?a=b&verbose=1",
        "/health?verbose=true",
    ] {
        let (code, _, body) = get(&closed, path).await;
        assert_eq!(code, 403);
        assert!(!body.windows(2).any(|w| w == b"db"));
    }
    assert_eq!(get(&closed, "/health?verbose=0").await.0, 200);

    let open = closed.allow_verbose(|req| req.headers.get("authorization").is_some_and(|v| v == "Bearer x"));
    assert_eq!(get(&open, "/health?verbose").await.0, 403);
    let request = || Request::get("/health?verbose").header("authorization", "Bearer x");
    let (code, headers, body) = ask(&open, request().body(()).unwrap()).await;
    assert_eq!(
        (code.as_u16(), &headers["cache-control"]),
        (200, &"no-store".parse().unwrap())
    );
    let cache = &json(&body)["checks"]["cache"];
    assert_eq!(
        (&cache["output"], &cache["reason"]),
        (&SECRET.into(), &"error".into())
    );
    assert_eq!(
        (&cache["required"], &cache["consecutive_failures"]),
        (&false.into(), &1.into())
    );

    let broken = open.allow_verbose(|_| panic!("who is it?"));
    assert_eq!(ask(&broken, request().body(()).unwrap()).await.0, 500);
}

#[tokio::test(start_paused = true)]
async fn health_json_is_given_to_who_asks_for_it() {
    let endpoints = Endpoints::new(sickly().await);
    for (accept, uri, expected) in [
        ("application/health+json", "/health", "application/health+json"),
        (
            "text/html, Application/Health+JSON;q=0.9",
            "/health",
            "application/health+json",
        ),
        ("application/health+json;q=0", "/health", "application/json"),
        ("*/*", "/health", "application/json"),
        ("*/*", "/health?format=health%2Bjson", "application/health+json"),
        (
            "application/health+json",
            "/health?format=json",
            "application/json",
        ),
    ] {
        let request = Request::get(uri).header("accept", accept).body(()).unwrap();
        let (_, headers, body) = ask(&endpoints, request).await;
        assert_eq!(headers["content-type"], expected, "{accept} {uri}");
        assert_eq!(headers["vary"], "accept");
        let body = json(&body);
        if expected == "application/health+json" {
            assert_eq!(body["status"], "warn");
            let cache = &body["checks"]["cache"][0];
            assert_eq!(
                (&cache["status"], &cache["componentType"]),
                (&"warn".into(), &"datastore".into())
            );
            assert!(cache["time"].is_string() && cache.get("output").is_none());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn unhealthy_is_503_everywhere_and_kept_by_no_cache() {
    let health = Health::new();
    health.mark_started();
    health
        .add("db", Check::new(|| async { Err::<(), _>("down") }))
        .unwrap();
    sleep(Duration::from_secs(7)).await;
    let endpoints = Endpoints::new(health);
    for path in ["/health", "/healthz", "/readyz"] {
        let (code, headers, _) = get(&endpoints, path).await;
        assert_eq!(
            (code.as_u16(), &headers["cache-control"]),
            (503, &"no-store".parse().unwrap())
        );
    }
    assert_eq!(
        get(&endpoints, "/livez").await.0,
        200,
        "a restart mends no database"
    );
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_waits_for_no_check_and_runs_none() {
    let (told, runs) = mpsc::channel();
    let health = Health::new();
    let check = Check::new(move || {
        told.send(()).unwrap();
        std::future::pending::<()>()
    });
    health.add("db", check).unwrap();
    let endpoints = Endpoints::new(health);
    sleep(Duration::from_millis(1)).await;
    let start = Virtual::now();
    for _ in 0..1_000 {
        assert_eq!(get(&endpoints, "/health").await.0, 200);
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(runs.try_iter().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dead_background_task_cannot_look_healthy() {
    let health = sickly().await;
    let endpoints = Endpoints::new(health.clone()).allow_verbose(|_| true);
    health.shutdown().await;
    assert_eq!(get(&endpoints, "/healthz").await.0, 200);
    advance(Duration::from_secs(15)).await;
    let (code, _, body) = get(&endpoints, "/healthz?verbose").await;
    assert_eq!(code, 503);
    for name in ["db", "cache"] {
        assert_eq!(json(&body)["checks"][name]["reason"], "stale");
    }
}

#[tokio::test(start_paused = true)]
async fn the_longest_report_there_can_be_is_within_64_kib() {
    let health = Health::new();
    for at in 0..MAX_CHECKS {
        let name = format!("{at:x>64}");
        let check = Check::new(|| async { Verdict::unhealthy("\"".repeat(1_000)) });
        health.add(name, check.component("datastore")).unwrap();
    }
    sleep(Duration::from_secs(7)).await;
    let endpoints = Endpoints::new(health).allow_verbose(|_| true);
    for uri in ["/health?verbose", "/health?verbose&format=health%2Bjson"] {
        let (_, _, body) = get(&endpoints, uri).await;
        assert!(body.len() > 40 << 10 && body.len() <= 64 << 10, "{}", body.len());
        assert_eq!(json(&body)["checks"].as_object().unwrap().len(), MAX_CHECKS);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_accepted_most_is_given() {
    let endpoints = Endpoints::new(sickly().await);
    for (accept, is_health) in [
        ("application/health+json", true),
        ("Application/Health+JSON; charset=utf-8", true),
        ("text/html, application/health+json;q=0.5", true),
        ("application/json, application/health+json", true),
        ("application/health+json, */*;q=0.8", true),
        ("application/health+json;q=0.9, application/*;q=0.2", true),
        ("application/json, application/health+json;q=0.5", false),
        ("application/health+json;q=0.1, */*", false),
        ("application/health+json;q=0", false),
        ("application/health+json;Q=0.0", false),
        ("application/health+json;q=NaN", false),
        ("application/health+json;q=x", false),
        ("application/json", false),
        ("*/*", false),
        (";;,,=", false),
        ("", false),
    ] {
        let request = Request::get("/health").header("accept", accept);
        let (code, headers, _) = ask(&endpoints, request.body(()).unwrap()).await;
        let content = if is_health {
            "application/health+json"
        } else {
            "application/json"
        };
        assert_eq!(code, 200);
        assert_eq!(headers["content-type"], content, "{accept}");
        assert_eq!(headers["vary"], "accept");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_process_is_is_told_in_health_json_to_who_may_see_details() {
    let health = sickly().await;
    let about = About::new()
        .version("1")
        .release_id("1.2.3")
        .service_id("orders-7")
        .description("x".repeat(10_000));
    health.describe(about);
    let endpoints = Endpoints::new(health).allow_verbose(|_| true);
    let (_, _, body) = get(&endpoints, "/health?verbose&format=health%2Bjson").await;
    let told = json(&body);
    assert_eq!(
        (&told["version"], &told["releaseId"], &told["serviceId"]),
        (&"1".into(), &"1.2.3".into(), &"orders-7".into())
    );
    assert_eq!(told["description"].as_str().unwrap().len(), 256);
    let text = std::str::from_utf8(&body).unwrap();
    let at = |key: &str| text.find(&format!("\"{key}\":")).unwrap();
    let keys = ["checks", "description", "releaseId", "serviceId", "version"];
    assert!(
        keys.windows(2).all(|pair| at(pair[0]) < at(pair[1])),
        "sorted: {text}"
    );
    for uri in ["/health", "/health?format=health%2Bjson", "/readyz", "/livez"] {
        let (_, _, body) = get(&endpoints, uri).await;
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(
            !text.contains("1.2.3") && !text.contains("orders-7"),
            "{uri}: {text}"
        );
    }
}
