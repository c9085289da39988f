//! The layer in axum's places for layers, with closures in it, over all routes and requests.
#![cfg(not(loom))]

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::Request,
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use hook_cache::CacheLayer;
use tower::{ServiceBuilder, ServiceExt, service_fn};

/// What is cached instead of a response, whose body can be read only once.
#[derive(Clone)]
struct Reply {
    status: StatusCode,
    body: Bytes,
}

impl Reply {
    async fn collect(response: Response) -> Result<Self, Infallible> {
        let status = response.status();
        Ok(match to_bytes(response.into_body(), 1 << 20).await {
            Ok(body) => Self { status, body },
            Err(_) => Self {
                status: StatusCode::BAD_GATEWAY,
                body: Bytes::new(),
            },
        })
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        (self.status, self.body).into_response()
    }
}

fn key(req: &Request) -> Option<String> {
    let open = req.method() == Method::GET && !req.headers().contains_key(header::AUTHORIZATION);
    open.then(|| req.uri().to_string())
}

async fn send(app: &Router, req: Request) -> (StatusCode, String) {
    let response = app.clone().oneshot(req).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn fetch(app: &Router, uri: &str) -> String {
    send(app, Request::get(uri).body(Body::empty()).unwrap()).await.1
}

/// A handler that answers how often it was asked.
fn counting(calls: &Arc<AtomicUsize>) -> impl Fn() -> std::future::Ready<String> + Clone + use<> {
    let calls = calls.clone();
    move || std::future::ready(calls.fetch_add(1, SeqCst).to_string())
}

#[tokio::test]
async fn one_layer_with_closures_caches_all_routes_of_a_router() {
    let (one, two) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(100)));
    let secret = "a closure that captures something".to_owned();
    let cache = CacheLayer::keyed_by(move |req: &Request| {
        assert!(!secret.is_empty());
        key(req)
    })
    .ttl(Duration::from_secs(60))
    .store_if_key(|_, reply: &Reply| reply.status.is_success());
    let handle = cache.handle();
    let app = Router::new()
        .route("/one", get(counting(&one)).post(counting(&one)))
        .route("/two", get(counting(&two)))
        .layer(
            ServiceBuilder::new()
                .map_response(Reply::into_response)
                .layer(cache)
                .and_then(Reply::collect),
        );

    assert_eq!(fetch(&app, "/one").await, "0");
    assert_eq!(fetch(&app, "/one").await, "0");
    assert_eq!(fetch(&app, "/two").await, "100");
    assert_eq!(fetch(&app, "/two").await, "100");
    assert_eq!(fetch(&app, "/one?page=2").await, "1");
    let stats = handle.stats();
    assert_eq!((stats.hits, stats.misses, stats.entries), (2, 3, 3));

    // Neither another method nor another user is served from memory.
    let post = Request::post("/one").body(Body::empty()).unwrap();
    assert_eq!(send(&app, post).await.1, "2");
    let private = Request::get("/one").header(header::AUTHORIZATION, "me");
    assert_eq!(send(&app, private.body(Body::empty()).unwrap()).await.1, "3");
    assert_eq!(handle.stats().bypassed, 2);

    assert!(handle.invalidate(&"/one".to_owned()));
    assert_eq!(fetch(&app, "/one").await, "4");
    assert_eq!(fetch(&app, "/two").await, "100");
}

#[tokio::test]
async fn what_the_judge_refuses_is_passed_on_and_not_stored() {
    let calls = Arc::new(AtomicUsize::new(0));
    let cache = CacheLayer::keyed_by(key).store_if_key(|_, reply: &Reply| reply.status.is_success());
    let handle = cache.handle();
    let failing = counting(&calls);
    let app = Router::new()
        .route(
            "/",
            get(move || async move { (StatusCode::SERVICE_UNAVAILABLE, failing().await) }),
        )
        .layer(
            ServiceBuilder::new()
                .map_response(Reply::into_response)
                .layer(cache)
                .and_then(Reply::collect),
        );
    for call in 0..3 {
        let req = Request::get("/").body(Body::empty()).unwrap();
        assert_eq!(
            send(&app, req).await,
            (StatusCode::SERVICE_UNAVAILABLE, call.to_string())
        );
    }
    assert_eq!((handle.stats().misses, handle.stats().entries), (3, 0));
}

#[tokio::test]
async fn a_service_whose_reply_can_be_cloned_is_cached_as_a_route() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let backend = service_fn(move |req: Request| {
        let call = counted.fetch_add(1, SeqCst);
        async move {
            tokio::task::yield_now().await;
            let body = format!("{} {call}", req.uri().path()).into();
            Ok::<_, Infallible>(Reply {
                status: StatusCode::OK,
                body,
            })
        }
    });
    let cache = CacheLayer::keyed_by(key);
    let cached = ServiceBuilder::new()
        .map_response(Reply::into_response)
        .layer(cache.clone())
        .service(backend);
    let app = Router::new()
        .route_service("/a/{name}", cached.clone())
        .nest_service("/b", cached);

    let together = futures::future::join_all((0..8).map(|_| fetch(&app, "/a/x"))).await;
    assert!(together.iter().all(|body| body == "/a/x 0"));
    assert_eq!(fetch(&app, "/b/y").await, "/y 1");
    assert_eq!(fetch(&app, "/b/y").await, "/y 1");
    assert_eq!(calls.load(SeqCst), 2);
    assert_eq!(
        (cache.handle().stats().coalesced, cache.handle().stats().hits),
        (7, 1)
    );
}
