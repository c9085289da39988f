//! The faults of other HTTP caches, by name.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{Method, Response},
};
use futures::stream;
use hook_cache::http::HttpCacheLayer;
use tower::{Layer, Service, service_fn};

use crate::support::{ask, origin};

#[tokio::test(start_paused = true)]
async fn axum_response_cache_caches_any_method() {
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let origin = origin(HttpCacheLayer::new(), &[("cache-control", "max-age=60")]);
        for _ in 0..2 {
            assert_eq!(origin.ask(method, "/a", &[]).await.x_cache, "bypass");
        }
        assert_eq!(origin.calls(), 2);
    }
}

/// rustango#1259 too: another user is given the first one's cookie.
#[tokio::test(start_paused = true)]
async fn axum_response_cache_replays_set_cookie() {
    let origin = origin(
        HttpCacheLayer::new(),
        &[("cache-control", "max-age=60"), ("set-cookie", "session=1")],
    );
    origin.get(&[]).await;
    origin.get(&[]).await;
    assert_eq!(origin.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn axum_response_cache_ignores_vary() {
    let origin = origin(
        HttpCacheLayer::new(),
        &[("cache-control", "max-age=60"), ("vary", "accept")],
    );
    let html = origin.get(&[("accept", "text/html")]).await;
    let json = origin.get(&[("accept", "application/json")]).await;
    assert_ne!(html.body, json.body);
}

#[tokio::test(start_paused = true)]
async fn axum_response_cache_ignores_authorization() {
    let origin = origin(HttpCacheLayer::new(), &[("cache-control", "max-age=60")]);
    let mine = origin.get(&[("authorization", "me")]).await;
    let yours = origin.get(&[("authorization", "you")]).await;
    let public = origin.get(&[]).await;
    assert_eq!(
        [&mine, &yours, &public].map(|answer| answer.x_cache.as_str()),
        ["bypass", "bypass", "miss"]
    );
    assert_eq!(origin.calls(), 3);
}

/// A limit of 16 bytes and a body of 55: the client gets all 55 with 200, and nothing is stored.
#[tokio::test(start_paused = true)]
async fn axum_response_cache_answers_500_on_a_large_body() {
    for known in [true, false] {
        let calls = Arc::new(AtomicBool::new(false));
        let called = calls.clone();
        let svc = service_fn(move |_: Request<Body>| {
            called.store(true, SeqCst);
            async move {
                let body = if known {
                    Body::from("x".repeat(55))
                } else {
                    Body::from_stream(stream::iter((0..55).map(|_| Ok::<_, Infallible>("x"))))
                };
                let response = Response::builder().header("cache-control", "max-age=60");
                Ok::<_, Infallible>(response.body(body).unwrap())
            }
        });
        let mut svc = HttpCacheLayer::new().body_limit(16).layer(svc);
        for _ in 0..2 {
            calls.store(false, SeqCst);
            let response = svc.call(ask(Method::GET)).await.unwrap();
            assert_eq!(response.status(), 200);
            assert_eq!(
                to_bytes(Body::new(response.into_body()), 100)
                    .await
                    .unwrap()
                    .len(),
                55
            );
            assert!(calls.load(SeqCst), "it was stored");
        }
    }
}
