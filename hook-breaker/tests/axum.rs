//! Acceptance: the layer, closures and all, on an axum router.

use std::{convert::Infallible, future::pending, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use hook_breaker::{CircuitBreaker, CircuitBreakerLayer, DroppedCall, Outcome, Rejected, State};
use tower::ServiceExt;

fn unavailable(rejected: Rejected) -> Response {
    let seconds = rejected.retry_after().unwrap_or_default().as_secs();
    (
        StatusCode::SERVICE_UNAVAILABLE,
        [("retry-after", seconds.to_string())],
    )
        .into_response()
}

fn router() -> (Router, CircuitBreaker) {
    let layer = CircuitBreakerLayer::new()
        .consecutive_failures(2)
        .open_for(Duration::from_secs(7))
        .probes(1)
        .dropped_call(DroppedCall::Neutral)
        .classify_with(
            |result: Result<&Response, &Infallible>, _took: Duration| match result {
                Ok(response) if response.status().is_server_error() => Outcome::Failure,
                _ => Outcome::Success,
            },
        )
        .respond_with(unavailable);
    let circuit = layer.handle();
    let router = Router::new()
        .route("/well", get(|| async { "well" }))
        .route("/ill", get(|| async { StatusCode::INTERNAL_SERVER_ERROR }))
        .route("/hangs", get(pending::<StatusCode>))
        .route("/sick", get(|| async { StatusCode::BAD_GATEWAY }))
        .layer(layer);
    (router, circuit)
}

async fn status(router: &Router, path: &str) -> StatusCode {
    send(router, path).await.status()
}

async fn send(router: &Router, path: &str) -> Response {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let Ok(response) = router.clone().oneshot(request).await;
    response
}

#[tokio::test(start_paused = true)]
async fn a_breaker_declared_once_over_two_routes_trips_for_both() {
    let (router, circuit) = router();
    assert_eq!(status(&router, "/well").await, StatusCode::OK);
    assert_eq!(status(&router, "/ill").await, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(status(&router, "/sick").await, StatusCode::BAD_GATEWAY);
    assert_eq!(circuit.state(), State::Open);

    for path in ["/well", "/ill", "/sick"] {
        let response = send(&router, path).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(response.headers()["retry-after"], "7");
    }
    assert_eq!(circuit.snapshot().not_permitted, 3);

    tokio::time::advance(Duration::from_secs(7)).await;
    assert_eq!(status(&router, "/well").await, StatusCode::OK);
    assert_eq!(circuit.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn an_operator_closes_the_circuit_of_a_running_router() {
    let (router, circuit) = router();
    for _ in 0..2 {
        status(&router, "/ill").await;
    }
    assert_eq!(status(&router, "/well").await, StatusCode::SERVICE_UNAVAILABLE);
    circuit.reset();
    assert_eq!(status(&router, "/well").await, StatusCode::OK);
}

/// They hang up, and say nothing about the routes by it.
#[tokio::test(start_paused = true)]
async fn impatient_clients_close_no_route_to_the_others() {
    let (router, circuit) = router();
    for _ in 0..3 {
        let call = status(&router, "/hangs");
        assert!(
            tokio::time::timeout(Duration::from_millis(150), call)
                .await
                .is_err()
        );
    }
    assert_eq!((circuit.state(), circuit.snapshot().ignored), (State::Closed, 3));
    assert_eq!(status(&router, "/well").await, StatusCode::OK);
}
