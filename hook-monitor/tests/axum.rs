//! The layer, with a closure in it, around the routes of an axum server.

use std::{convert::Infallible, time::Duration};

use axum::{Router, body::Body, extract::Request, http::StatusCode, response::Response, routing::get};
use hook_monitor::{MonitorHandle, MonitorLayer, Monitored, Outcome};
use tower::{Layer, ServiceExt};

fn by_status(result: Result<&Response, &Infallible>) -> Outcome {
    match result {
        Ok(response) if response.status().is_server_error() => Outcome::Failure,
        Ok(response) if response.status().is_client_error() => Outcome::Ignored,
        Ok(_) => Outcome::Success,
        Err(never) => match *never {},
    }
}

fn server() -> (Router, MonitorHandle) {
    let served = StatusCode::OK;
    let monitor = MonitorLayer::new("api").classify_with(
        move |result: Result<&Response, &Infallible>, _took: Duration| {
            // A capture, so that the closure is one.
            if result.is_ok_and(|response| response.status() == served) {
                return Outcome::Success;
            }
            by_status(result)
        },
    );
    let calls = monitor.handle();
    let router = Router::new()
        .route("/ok", get(|| async { "fine" }))
        .route("/broken", get(|| async { StatusCode::BAD_GATEWAY }))
        .route("/slow", get(std::future::pending::<&'static str>))
        .route(
            "/panics",
            get(|| async {
                if true {
                    panic!("as asked")
                }
            }),
        )
        .layer(monitor);
    (router, calls)
}

fn request(path: &str) -> Request {
    Request::builder()
        .uri(path)
        .body(Body::empty())
        .expect("a request")
}

#[tokio::test]
async fn all_routes_and_all_requests_count_in_one_place() {
    let (router, calls) = server();
    for path in ["/ok", "/broken", "/ok", "/no/such/route", "/ok"] {
        // As a server does: a clone of the router for each connection.
        let Ok(_response) = router.clone().oneshot(request(path)).await;
    }
    let seen = calls.snapshot();
    assert_eq!((seen.successes, seen.failures, seen.ignored), (3, 1, 1));
    assert_eq!((seen.started, seen.in_flight), (5, 0));
    assert_eq!(seen.success_rate(), Some(0.75));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_is_a_cancelled_call() {
    let (router, calls) = server();
    let second = Duration::from_secs(1);
    assert!(
        tokio::time::timeout(second, router.oneshot(request("/slow")))
            .await
            .is_err()
    );
    let seen = calls.snapshot();
    assert_eq!((seen.started, seen.cancelled, seen.in_flight), (1, 1, 0));
}

#[tokio::test]
async fn a_handler_that_panics_is_a_panicked_call() {
    let (router, calls) = server();
    let panicked = tokio::spawn(router.oneshot(request("/panics"))).await;
    assert!(panicked.is_err_and(|err| err.is_panic()));
    let seen = calls.snapshot();
    assert_eq!((seen.started, seen.panicked, seen.in_flight), (1, 1, 0));
}

#[tokio::test]
async fn the_service_around_a_whole_router_counts_too() {
    let layer = MonitorLayer::new("all");
    let router: Monitored<Router> = layer.layer(Router::new().route("/ok", get(|| async { "fine" })));
    let Ok(response) = router.oneshot(request("/ok")).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(layer.handle().snapshot().successes, 1);
}
