//! The layer in `axum::Router::layer`, with closures in it, and its state shared by routes and requests.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use axum::{
    Router,
    body::Body,
    http::{Method, Request, Response, StatusCode},
    routing::get,
};
use hook_retry::{NoWait, RetryLayer, RetryPolicy};
use tower::ServiceExt;

/// A copy of a request that has no body and may be repeated.
fn bodyless(req: &Request<Body>) -> Option<Request<Body>> {
    if req.method() != Method::GET {
        return None;
    }
    let mut copy = Request::new(Body::empty());
    *copy.method_mut() = req.method().clone();
    *copy.uri_mut() = req.uri().clone();
    *copy.version_mut() = req.version();
    *copy.headers_mut() = req.headers().clone();
    *copy.extensions_mut() = req.extensions().clone();
    Some(copy)
}

#[tokio::test]
async fn the_layer_goes_into_a_router_and_counts_over_routes_and_requests() {
    let layer = RetryLayer::new(
        RetryPolicy::new()
            .retries(1)
            .backoff(NoWait)
            .retry_if(|result: Result<&Response<Body>, &Infallible>| {
                result.is_ok_and(|res| res.status() == StatusCode::SERVICE_UNAVAILABLE)
            })
            .clone_with(bodyless),
    );
    let figures = layer.handle();

    let tries = Arc::new(AtomicU32::new(0));
    // Every second request of either route is good.
    let flaky = move || async move {
        if tries.fetch_add(1, Relaxed) % 2 == 0 {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            StatusCode::OK
        }
    };
    let router = Router::new()
        .route("/one", get(flaky.clone()).post(flaky.clone()))
        .route("/two", get(flaky))
        .layer(layer);

    let status = async |method: Method, path: &str| {
        let req = Request::builder()
            .method(method)
            .uri(path)
            .body(Body::empty())
            .unwrap();
        router.clone().oneshot(req).await.unwrap().status()
    };
    for path in ["/one", "/two", "/one"] {
        assert_eq!(status(Method::GET, path).await, StatusCode::OK);
    }
    let seen = figures.snapshot();
    assert_eq!(
        (seen.calls(), seen.retries, seen.successful_with_retry),
        (3, 3, 3)
    );

    assert_eq!(
        status(Method::POST, "/one").await,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(figures.snapshot().unrepeatable, 1);
    assert_eq!(status(Method::GET, "/none").await, StatusCode::NOT_FOUND);
}
