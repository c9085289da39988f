//! The rules of RFC 9111, one row a case, over axum's own responses; and the faults of other HTTP caches by name.
#![cfg(all(feature = "http", not(loom)))]

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::Request,
    http::{Method, Response, StatusCode},
    routing::any,
};
use futures::{StreamExt, stream};
use hook_cache::http::{CacheBody, HttpCacheLayer};
use tokio::{sync::oneshot, time::advance};
use tower::{Layer, Service, ServiceExt, service_fn};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A cache in front of an origin that answers with fixed header fields and counts its calls in the body.
struct Origin {
    app: Router,
    calls: Arc<AtomicUsize>,
    status: Arc<Mutex<StatusCode>>,
}

type Fields = &'static [(&'static str, &'static str)];

fn origin(layer: HttpCacheLayer, fields: Fields) -> Origin {
    let calls = Arc::new(AtomicUsize::new(0));
    let status = Arc::new(Mutex::new(StatusCode::OK));
    let (counted, code) = (calls.clone(), status.clone());
    let handler = move || {
        let call = counted.fetch_add(1, SeqCst) + 1;
        let status = *code.lock().unwrap();
        async move {
            let mut response = Response::new(Body::from(format!("body {call}")));
            *response.status_mut() = status;
            for (name, value) in fields {
                response.headers_mut().append(*name, value.parse().unwrap());
            }
            response
        }
    };
    let app = Router::new().route("/{*path}", any(handler)).layer(layer);
    Origin { app, calls, status }
}

#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    x_cache: String,
    age: Option<String>,
    body: String,
}

impl Origin {
    async fn ask(&self, method: &str, uri: &str, fields: &[(&str, &str)]) -> Answer {
        let mut req = Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            req = req.header(*name, *value);
        }
        let response = self
            .app
            .clone()
            .oneshot(req.body(Body::empty()).unwrap())
            .await
            .unwrap();
        let field = |name: &str| {
            response
                .headers()
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        let (x_cache, age, status) = (
            field("x-cache").unwrap(),
            field("age"),
            response.status().as_u16(),
        );
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        Answer {
            status,
            x_cache,
            age,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    async fn get(&self, fields: &[(&str, &str)]) -> Answer {
        self.ask("GET", "/a", fields).await
    }

    fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }
}

/// Asked twice in the same way: whether the second one was served from memory.
#[tokio::test(start_paused = true)]
async fn what_may_be_stored_and_what_not() {
    const FRESH: (&str, &str) = ("cache-control", "max-age=60");
    // Section of RFC 9111, response fields, request fields, whether it is stored and served.
    let cases: &[(&str, Fields, Fields, bool)] = &[
        ("3: explicit freshness", &[FRESH], &[], true),
        ("3: none, and no default", &[], &[], false),
        (
            "3.5: a request with Authorization",
            &[FRESH],
            &[("authorization", "me")],
            false,
        ),
        (
            "3.5: a response that says public to it",
            &[("cache-control", "public, max-age=60")],
            &[("authorization", "me")],
            false,
        ),
        (
            "safe: a request with a cookie",
            &[FRESH],
            &[("cookie", "id=1")],
            false,
        ),
        (
            "safe: a response that sets one",
            &[FRESH, ("set-cookie", "id=1")],
            &[],
            false,
        ),
        (
            "3.3: a request for a part",
            &[FRESH],
            &[("range", "bytes=0-1")],
            false,
        ),
        (
            "3.3: a part",
            &[FRESH, ("content-range", "bytes 0-1/5")],
            &[],
            false,
        ),
        ("4.1: Vary: *", &[FRESH, ("vary", "*")], &[], false),
        ("4.1: * among others", &[FRESH, ("vary", "accept, *")], &[], false),
        (
            "4.1: Vary, the same field",
            &[FRESH, ("vary", "Accept")],
            &[("accept", "text/html")],
            true,
        ),
        (
            "4.1: Vary, the field absent twice",
            &[FRESH, ("vary", "Accept")],
            &[],
            true,
        ),
        (
            "4.2.1: s-maxage before max-age",
            &[("cache-control", "max-age=60, s-maxage=0")],
            &[],
            false,
        ),
        (
            "4.2.1: s-maxage alone",
            &[("cache-control", "s-maxage=60")],
            &[],
            true,
        ),
        (
            "4.2.1: max-age before Expires",
            &[FRESH, ("expires", "0")],
            &[],
            true,
        ),
        (
            "4.2.1: of two, the shorter",
            &[("cache-control", "max-age=60"), ("cache-control", "max-age=0")],
            &[],
            false,
        ),
        (
            "4.2.1: what is no number is stale",
            &[("cache-control", "max-age=soon")],
            &[],
            false,
        ),
        (
            "5.2: names are not case sensitive",
            &[("cache-control", "MAX-AGE=60")],
            &[],
            true,
        ),
        (
            "5.2: a number in quotes",
            &[("cache-control", "max-age=\"60\"")],
            &[],
            true,
        ),
        (
            "5.2: an unknown directive",
            &[("cache-control", "max-age=60, x=\"no-store, private\"")],
            &[],
            true,
        ),
        (
            "4.2.3: it was as old already",
            &[FRESH, ("age", "60")],
            &[],
            false,
        ),
        ("4.2.3: it was younger", &[FRESH, ("age", "59")], &[], true),
        (
            "5.2.1.4: the client says no-cache",
            &[FRESH],
            &[("cache-control", "no-cache")],
            false,
        ),
        (
            "5.2.1.1: the client says max-age=0",
            &[FRESH],
            &[("cache-control", "max-age=0")],
            false,
        ),
        (
            "5.2.1.5: the client says no-store",
            &[FRESH],
            &[("cache-control", "no-store")],
            false,
        ),
        ("5.4: Pragma", &[FRESH], &[("pragma", "no-cache")], false),
        (
            "5.4: Cache-Control comes before Pragma",
            &[FRESH],
            &[("pragma", "no-cache"), ("cache-control", "x")],
            true,
        ),
        (
            "5.2.2.4: no-cache",
            &[("cache-control", "max-age=60, no-cache")],
            &[],
            false,
        ),
        (
            "5.2.2.5: no-store",
            &[("cache-control", "max-age=60, no-store")],
            &[],
            false,
        ),
        (
            "5.2.2.5: no-store in a field of its own",
            &[FRESH, ("cache-control", "no-store")],
            &[],
            false,
        ),
        (
            "5.2.2.7: private",
            &[("cache-control", "private, max-age=60")],
            &[],
            false,
        ),
        (
            "5.2.2.7: private for a field",
            &[("cache-control", "private=\"x-user\", max-age=60")],
            &[],
            false,
        ),
        (
            "5.3: Expires in the future",
            &[
                ("date", "Mon, 01 Jan 2024 00:00:00 GMT"),
                ("expires", "Mon, 01 Jan 2024 00:01:00 GMT"),
            ],
            &[],
            true,
        ),
        (
            "5.3: Expires in the past",
            &[
                ("date", "Mon, 01 Jan 2024 00:00:00 GMT"),
                ("expires", "Sun, 31 Dec 2023 00:00:00 GMT"),
            ],
            &[],
            false,
        ),
        ("5.3: Expires: 0", &[("expires", "0")], &[], false),
    ];
    for (case, response, request, stored) in cases {
        let origin = origin(HttpCacheLayer::new(), response);
        let first = origin.get(request).await;
        let second = origin.get(request).await;
        assert_ne!(first.x_cache, "hit", "{case}");
        assert_eq!(second.x_cache == "hit", *stored, "{case}: {second:?}");
        assert_eq!(origin.calls(), if *stored { 1 } else { 2 }, "{case}");
        assert_eq!(second.body, if *stored { "body 1" } else { "body 2" }, "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn which_statuses_are_stored() {
    for (status, stored) in [
        (200, true),
        (203, true),
        (204, true),
        (301, true),
        (404, true),
        (410, true),
        (201, false),
        (206, false),
        (302, false),
        (304, false),
        (400, false),
        (500, false),
        (503, false),
    ] {
        let origin = origin(HttpCacheLayer::new(), &[("cache-control", "max-age=60")]);
        *origin.status.lock().unwrap() = StatusCode::from_u16(status).unwrap();
        origin.get(&[]).await;
        let second = origin.get(&[]).await;
        assert_eq!((second.status, second.x_cache == "hit"), (status, stored));
    }
}

#[tokio::test(start_paused = true)]
async fn age_grows_until_the_end_and_then_the_origin_is_asked() {
    let origin = origin(
        HttpCacheLayer::new(),
        &[("cache-control", "max-age=60"), ("age", "10")],
    );
    assert_eq!(origin.get(&[]).await.x_cache, "miss");
    for (wait, age) in [(0, "10"), (20, "30"), (29, "59")] {
        advance(secs(wait)).await;
        let hit = origin.get(&[]).await;
        assert_eq!((hit.x_cache.as_str(), hit.age.as_deref()), ("hit", Some(age)));
    }
    advance(secs(1)).await;
    assert_eq!(origin.get(&[]).await.x_cache, "miss");
}

#[tokio::test(start_paused = true)]
async fn a_default_is_for_those_that_say_nothing() {
    let origin = origin(HttpCacheLayer::new().default_ttl(secs(5)), &[]);
    origin.get(&[]).await;
    advance(secs(4)).await;
    assert_eq!(origin.get(&[]).await.x_cache, "hit");
    advance(secs(1)).await;
    assert_eq!(origin.get(&[]).await.x_cache, "miss");
}

#[tokio::test(start_paused = true)]
async fn variants_are_told_apart_and_bounded() {
    let layer = HttpCacheLayer::new();
    let handle = layer.handle();
    let origin = origin(
        layer,
        &[
            ("cache-control", "max-age=60"),
            ("vary", "accept-language, Accept"),
        ],
    );
    let ask = |language: &'static str| {
        origin.ask(
            "GET",
            "/a",
            Box::leak(Box::new([("accept-language", language)])) as Fields,
        )
    };
    let (en, de) = (ask("en").await.body, ask("de").await.body);
    assert_ne!(en, de);
    for n in 0..200 {
        let language = n.to_string();
        let fields = [("accept-language", language.as_str())];
        let first = origin.ask("GET", "/a", &fields).await;
        let again = origin.ask("GET", "/a", &fields).await;
        assert_eq!((first.x_cache.as_str(), again.x_cache.as_str()), ("miss", "hit"));
        assert_eq!(first.body, again.body);
    }
    assert!(
        handle.stats().entries <= 9,
        "{} entries for one URI",
        handle.stats().entries
    );
    handle.invalidate("/a");
    assert_eq!(
        origin
            .ask("GET", "/a", &[("accept-language", "199")])
            .await
            .x_cache,
        "miss"
    );
}

/// http-cache-tower: PUT, PATCH or DELETE that succeeds makes a GET of that URI load again; OPTIONS is never stored;
/// HEAD after GET may hit.
#[tokio::test(start_paused = true)]
async fn a_method_that_changes_things_invalidates_its_uri() {
    for (method, status, reloads) in [
        ("PUT", 200, true),
        ("PATCH", 204, true),
        ("DELETE", 200, true),
        ("POST", 303, true),
        ("PUT", 400, false),
        ("DELETE", 500, false),
        ("OPTIONS", 200, false),
        ("HEAD", 200, false),
    ] {
        let origin = origin(HttpCacheLayer::new(), &[("cache-control", "max-age=60")]);
        origin.ask("GET", "/a?b=1", &[]).await;
        origin.ask("GET", "/other", &[]).await;
        *origin.status.lock().unwrap() = StatusCode::from_u16(status).unwrap();
        let change = origin.ask(method, "/a?b=1", &[]).await;
        assert_eq!(change.x_cache, if method == "HEAD" { "hit" } else { "bypass" });
        *origin.status.lock().unwrap() = StatusCode::OK;
        let again = origin.ask("GET", "/a?b=1", &[]).await;
        assert_eq!(again.x_cache == "miss", reloads, "{method} {status}");
        assert_eq!(origin.ask("GET", "/other", &[]).await.x_cache, "hit");
    }
}

#[tokio::test(start_paused = true)]
async fn head_gets_the_fields_and_no_body_and_is_not_stored_itself() {
    let origin = origin(HttpCacheLayer::new(), &[("cache-control", "max-age=60")]);
    assert_eq!(origin.ask("HEAD", "/a", &[]).await.x_cache, "miss");
    assert_eq!(origin.get(&[]).await.x_cache, "miss");
    let head = origin.ask("HEAD", "/a", &[]).await;
    assert_eq!((head.x_cache.as_str(), head.body.as_str()), ("hit", ""));
    assert_eq!(origin.get(&[]).await.body, "body 2");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_it_already_is_told_so() {
    let origin = origin(
        HttpCacheLayer::new(),
        &[("cache-control", "max-age=60"), ("etag", "\"v1\"")],
    );
    origin.get(&[]).await;
    for (tag, status) in [
        ("\"v1\"", 304),
        ("W/\"v1\"", 304),
        ("\"v0\", \"v1\"", 304),
        ("*", 304),
        ("\"v2\"", 200),
    ] {
        let answer = origin.get(&[("if-none-match", tag)]).await;
        assert_eq!((answer.status, answer.x_cache.as_str()), (status, "hit"), "{tag}");
        assert_eq!(answer.body.is_empty(), status == 304);
    }
    assert_eq!(
        origin
            .get(&[("if-modified-since", "Mon, 01 Jan 2024 00:00:00 GMT")])
            .await
            .x_cache,
        "bypass"
    );
}

#[tokio::test(start_paused = true)]
async fn only_if_cached_never_asks_the_origin() {
    let origin = origin(HttpCacheLayer::new(), &[("cache-control", "max-age=60")]);
    let only = [("cache-control", "only-if-cached")];
    assert_eq!(origin.get(&only).await.status, 504);
    origin.get(&[]).await;
    assert_eq!(origin.get(&only).await.x_cache, "hit");
    assert_eq!(origin.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_stale_stands_in_for_an_error_unless_that_is_forbidden() {
    for (fields, stale) in [
        (&[("cache-control", "max-age=10")] as Fields, true),
        (&[("cache-control", "max-age=10, must-revalidate")], false),
        (&[("cache-control", "max-age=10, proxy-revalidate")], false),
    ] {
        let origin = origin(HttpCacheLayer::new().stale_if_error(secs(60)), fields);
        origin.get(&[]).await;
        *origin.status.lock().unwrap() = StatusCode::SERVICE_UNAVAILABLE;
        advance(secs(20)).await;
        let answer = origin.get(&[]).await;
        let expected = if stale {
            ("stale", 200, Some("20"))
        } else {
            ("miss", 503, None)
        };
        assert_eq!(
            (answer.x_cache.as_str(), answer.status, answer.age.as_deref()),
            expected
        );
        assert_eq!(origin.calls(), 2);
        advance(secs(50)).await;
        assert_eq!(origin.get(&[]).await.status, 503);
    }
}

#[tokio::test(start_paused = true)]
async fn hosts_are_told_apart() {
    let origin = origin(HttpCacheLayer::new(), &[("cache-control", "max-age=60")]);
    let one = origin.get(&[("host", "one.example")]).await;
    let two = origin.get(&[("host", "two.example")]).await;
    assert_ne!(one.body, two.body);
    assert_eq!(origin.get(&[("host", "ONE.example")]).await.body, one.body);
}

/// One chunk now, the rest when it is told to go on.
fn streaming(go_on: oneshot::Receiver<()>) -> Body {
    let first = stream::once(async { Ok::<_, Infallible>(Bytes::from_static(b"first ")) });
    let second = stream::once(async {
        let _ = go_on.await;
        Ok(Bytes::from_static(b"second"))
    });
    Body::from_stream(first.chain(second))
}

fn streamed(
    go_on: oneshot::Receiver<()>,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone {
    let bodies = Arc::new(Mutex::new(Some(streaming(go_on))));
    service_fn(move |_| {
        let body = bodies
            .lock()
            .unwrap()
            .take()
            .unwrap_or_else(|| Body::from("another"));
        async {
            Ok(Response::builder()
                .header("cache-control", "max-age=60")
                .body(body)
                .unwrap())
        }
    })
}

/// A body's parts, one after the other.
fn parts(response: Response<CacheBody<Body>>) -> impl futures::Stream<Item = Bytes> + Unpin {
    Body::new(response.into_body())
        .into_data_stream()
        .map(Result::unwrap)
}

fn ask(method: Method) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri("/a")
        .body(Body::empty())
        .unwrap()
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

// ===== faults of the peers =====

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

#[tokio::test(start_paused = true)]
async fn a_path_alone_is_invalidated_on_every_host_and_with_a_host_on_that_one() {
    let layer = HttpCacheLayer::new();
    let handle = layer.handle();
    let origin = origin(layer, &[("cache-control", "max-age=60")]);
    let hosts = ["a.example", "B.example"];
    let ask = async |host: &str| origin.ask("GET", "/report", &[("host", host)]).await.x_cache;
    for (uri, expected) in [
        ("/report", ["miss", "miss"]),
        ("/other", ["hit", "hit"]),
        ("b.example/report", ["hit", "miss"]),
    ] {
        for host in hosts {
            ask(host).await;
        }
        handle.invalidate(uri);
        assert_eq!([ask(hosts[0]).await, ask(hosts[1]).await], expected, "{uri}");
    }
}
