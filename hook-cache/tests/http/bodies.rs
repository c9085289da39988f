//! Bodies that stream, break off or are too large.

use std::convert::Infallible;

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{Method, Response},
};
use futures::{StreamExt, stream};
use hook_cache::http::HttpCacheLayer;
use tokio::sync::oneshot;
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::support::{ask, origin, parts, streamed};

#[tokio::test(start_paused = true)]
async fn head_gets_the_fields_and_no_body_and_is_not_stored_itself() {
    let origin = origin(HttpCacheLayer::new(), &[("cache-control", "max-age=60")]);
    assert_eq!(origin.ask("HEAD", "/a", &[]).await.x_cache, "miss");
    assert_eq!(origin.get(&[]).await.x_cache, "miss");
    let head = origin.ask("HEAD", "/a", &[]).await;
    assert_eq!((head.x_cache.as_str(), head.body.as_str()), ("hit", ""));
    assert_eq!(origin.get(&[]).await.body, "body 2");
}

/// Without it axum says that there are none: RFC 9110, 8.6, forbids a length that is not that of the `GET`.
#[tokio::test(start_paused = true)]
async fn a_head_from_memory_and_a_304_tell_the_length_of_what_a_get_would_get() {
    let fields = &[("cache-control", "max-age=60"), ("etag", "\"v1\"")];
    let origin = origin(HttpCacheLayer::new(), fields);
    origin.get(&[]).await;
    for (method, condition, status) in [
        ("HEAD", "\"v0\"", 200),
        ("GET", "\"v1\"", 304),
        ("HEAD", "\"v1\"", 304),
    ] {
        let req = Request::builder()
            .method(method)
            .uri("/a")
            .header("if-none-match", condition);
        let response = origin
            .app
            .clone()
            .oneshot(req.body(Body::empty()).unwrap())
            .await
            .unwrap();
        assert_eq!(
            (
                response.headers()["x-cache"].to_str().unwrap(),
                response.status().as_u16()
            ),
            ("hit", status)
        );
        assert_eq!(response.headers()["content-length"], "6", "{method} {status}");
        assert!(to_bytes(response.into_body(), 100).await.unwrap().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn the_client_is_given_each_part_as_it_comes_and_the_whole_is_stored_at_the_end() {
    let (go, go_on) = oneshot::channel();
    let mut svc = HttpCacheLayer::new().layer(streamed(go_on));
    let mut body = parts(svc.call(ask(Method::GET)).await.unwrap());
    assert_eq!(body.next().await.unwrap(), "first ");
    go.send(()).unwrap();
    assert_eq!(body.next().await.unwrap(), "second");
    assert!(body.next().await.is_none());
    drop(body);
    let hit = svc.call(ask(Method::GET)).await.unwrap();
    assert_eq!(hit.headers()["x-cache"], "hit");
    assert_eq!(
        to_bytes(Body::new(hit.into_body()), 100).await.unwrap(),
        "first second"
    );
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_not_read_to_its_end_is_not_stored() {
    let (_go, go_on) = oneshot::channel();
    let mut svc = HttpCacheLayer::new().layer(streamed(go_on));
    let mut body = parts(svc.call(ask(Method::GET)).await.unwrap());
    body.next().await.unwrap();
    drop(body);
    assert_eq!(
        svc.call(ask(Method::GET)).await.unwrap().headers()["x-cache"],
        "miss"
    );
}

#[tokio::test(start_paused = true)]
async fn a_body_that_was_on_its_way_when_its_uri_changed_is_not_stored() {
    let layer = HttpCacheLayer::new();
    let handle = layer.handle();
    for invalidate in [true, false] {
        let (go, go_on) = oneshot::channel();
        let mut svc = layer.layer(streamed(go_on));
        let mut body = parts(svc.call(ask(Method::GET)).await.unwrap());
        body.next().await.unwrap();
        if invalidate {
            svc.call(ask(Method::PUT)).await.unwrap();
        } else {
            handle.invalidate_all();
        }
        go.send(()).unwrap();
        while body.next().await.is_some() {}
        assert_eq!(
            svc.call(ask(Method::GET)).await.unwrap().headers()["x-cache"],
            "miss"
        );
        handle.invalidate_all();
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_shorter_than_was_said_is_not_stored() {
    let svc = service_fn(|_: Request<Body>| async {
        let response = Response::builder()
            .header("cache-control", "max-age=60")
            .header("content-length", "10");
        Ok::<_, Infallible>(
            response
                .body(Body::from_stream(stream::iter([Ok::<_, Infallible>("short")])))
                .unwrap(),
        )
    });
    let mut svc = HttpCacheLayer::new().layer(svc);
    for _ in 0..2 {
        let response = svc.call(ask(Method::GET)).await.unwrap();
        assert_eq!(response.headers()["x-cache"], "miss");
        to_bytes(Body::new(response.into_body()), 100).await.unwrap();
    }
}
