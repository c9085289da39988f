//! The origin is asked whether what is past its time is still right (RFC 9111, 4.3).

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderMap, Method, Response, StatusCode},
};
use futures::future::join_all;
use hook_cache::http::HttpCacheLayer;
use tokio::time::advance;
use tower::{Layer, Service, service_fn, util::BoxCloneSyncService};

use crate::support::{ask, secs};

type Fields = Vec<(&'static str, &'static str)>;

type Origin = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// What the origin says next: a status and fields. What it was asked is kept.
#[derive(Clone)]
struct Script {
    next: Arc<Mutex<(u16, Fields)>>,
    asked: Arc<Mutex<Vec<HeaderMap>>>,
    bodies: Arc<AtomicUsize>,
}

impl Script {
    fn new(fields: &[(&'static str, &'static str)]) -> Self {
        Self {
            next: Arc::new(Mutex::new((200, fields.to_vec()))),
            asked: Arc::default(),
            bodies: Arc::default(),
        }
    }

    fn says(&self, status: u16, fields: &[(&'static str, &'static str)]) {
        *self.next.lock().unwrap() = (status, fields.to_vec());
    }

    fn origin(&self) -> Origin {
        let script = self.clone();
        BoxCloneSyncService::new(service_fn(move |req: Request<Body>| {
            let script = script.clone();
            async move {
                tokio::task::yield_now().await;
                script.asked.lock().unwrap().push(req.headers().clone());
                let (status, fields) = script.next.lock().unwrap().clone();
                let body = match status {
                    200 => Body::from(format!("body {}", script.bodies.fetch_add(1, SeqCst) + 1)),
                    _ => Body::empty(),
                };
                let mut response = Response::new(body);
                *response.status_mut() = StatusCode::from_u16(status).unwrap();
                for (name, value) in fields {
                    response.headers_mut().append(name, value.parse().unwrap());
                }
                Ok(response)
            }
        }))
    }

    fn calls(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    fn last(&self, name: &str) -> Option<String> {
        let asked = self.asked.lock().unwrap();
        let value = asked.last()?.get(name)?;
        Some(value.to_str().unwrap().to_owned())
    }
}

struct Got {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Got {
    fn field(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

async fn get<S>(svc: &S, fields: &[(&'static str, &'static str)]) -> Got
where
    S: Service<Request<Body>, Response = Response<hook_cache::http::CacheBody<Body>>, Error = Infallible>
        + Clone,
{
    let mut req = ask(Method::GET);
    for (name, value) in fields {
        req.headers_mut().append(*name, value.parse().unwrap());
    }
    let (parts, body) = svc.clone().call(req).await.unwrap().into_parts();
    let body = to_bytes(Body::new(body), 1 << 20).await.unwrap();
    Got {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}

const LONG_AGO: &str = "Mon, 01 Jan 2024 00:00:00 GMT";
const LATER: &str = "Tue, 02 Jan 2024 00:00:00 GMT";

/// http-cache: on a 304 the body is kept, the header fields are merged, and the freshness is renewed.
#[tokio::test(start_paused = true)]
async fn on_a_304_the_body_is_kept_the_fields_merged_and_the_time_renewed() {
    for validator in [("etag", "\"v1\""), ("last-modified", LONG_AGO)] {
        let script = Script::new(&[
            ("cache-control", "max-age=10"),
            validator,
            ("x-old", "1"),
            ("x-both", "1"),
            ("content-type", "text/plain"),
        ]);
        let svc = HttpCacheLayer::new().layer(script.origin());
        get(&svc, &[]).await;
        advance(secs(10)).await;
        script.says(
            304,
            &[
                ("cache-control", "max-age=100"),
                validator,
                ("x-both", "2"),
                ("content-length", "0"),
            ],
        );
        let renewed = get(&svc, &[]).await;
        assert_eq!((renewed.status, renewed.body.as_str()), (200, "body 1"));
        assert_eq!(renewed.field("x-cache"), "miss");
        let condition = if validator.0 == "etag" {
            "if-none-match"
        } else {
            "if-modified-since"
        };
        assert_eq!(script.last(condition).as_deref(), Some(validator.1));
        advance(secs(99)).await;
        let hit = get(&svc, &[]).await;
        assert_eq!((hit.field("x-cache"), hit.field("age")), ("hit", "99"));
        assert_eq!((hit.field("x-old"), hit.field("x-both")), ("1", "2"));
        assert_eq!(hit.field("content-length"), "");
        assert_eq!((hit.body.as_str(), script.calls()), ("body 1", 2));
    }
}

#[tokio::test(start_paused = true)]
async fn a_whole_response_takes_the_place_of_what_was_asked_about() {
    let script = Script::new(&[("cache-control", "max-age=10"), ("etag", "\"v1\"")]);
    let svc = HttpCacheLayer::new().layer(script.origin());
    get(&svc, &[]).await;
    advance(secs(10)).await;
    script.says(200, &[("cache-control", "max-age=10"), ("etag", "\"v2\"")]);
    assert_eq!(get(&svc, &[]).await.body, "body 2");
    let hit = get(&svc, &[]).await;
    assert_eq!(
        (hit.body.as_str(), hit.field("x-cache"), hit.field("etag")),
        ("body 2", "hit", "\"v2\"")
    );
}

/// http-cache: a 500 with `must-revalidate` is passed on, else what is stale is served.
#[tokio::test(start_paused = true)]
async fn an_error_in_the_place_of_an_answer_is_made_up_for_unless_that_is_forbidden() {
    for (control, status, label) in [
        ("max-age=10", 200, "stale"),
        ("max-age=10, must-revalidate", 500, "miss"),
    ] {
        let fields = [("cache-control", control), ("etag", "\"v1\"")];
        let script = Script::new(&fields);
        let layer = HttpCacheLayer::new().stale_if_error(secs(60));
        let svc = layer.layer(script.origin());
        get(&svc, &[]).await;
        advance(secs(20)).await;
        script.says(500, &[]);
        // All who wait get the same, from one call where it can be.
        let answers = join_all((0..10).map(|_| get(&svc, &[]))).await;
        for answer in answers {
            assert_eq!((answer.status, answer.field("x-cache")), (status, label));
        }
        assert_eq!(script.calls(), if status == 200 { 2 } else { 11 });
        assert_eq!(layer.handle().stats().load_errors, script.calls() as u64 - 1);
        script.says(304, &fields);
        assert_eq!(get(&svc, &[]).await.body, "body 1");
        assert_eq!(get(&svc, &[]).await.field("x-cache"), "hit");
    }
}

#[tokio::test(start_paused = true)]
async fn many_who_ask_at_the_mark_ask_the_origin_once() {
    let fields = [("cache-control", "max-age=10"), ("etag", "\"v1\"")];
    let script = Script::new(&fields);
    let svc = HttpCacheLayer::new().layer(script.origin());
    get(&svc, &[]).await;
    advance(secs(10)).await;
    script.says(304, &fields);
    let answers = join_all((0..100).map(|_| get(&svc, &[]))).await;
    assert!(
        answers
            .iter()
            .all(|got| got.body == "body 1" && got.status == 200)
    );
    assert_eq!(script.calls(), 2);
}

/// What the 304 says, and whether the next request is a hit.
#[tokio::test(start_paused = true)]
async fn what_a_304_may_and_may_not_renew() {
    const FRESH: (&str, &str) = ("cache-control", "max-age=10");
    for (case, said, hit, body) in [
        ("nothing new", &[] as &[_], true, "body 1"),
        (
            "a weak form of the same tag",
            &[("etag", "W/\"v1\"")],
            true,
            "body 1",
        ),
        ("another tag", &[("etag", "\"v9\"")], false, "body 1"),
        (
            "private from now on",
            &[("cache-control", "private")],
            false,
            "body 1",
        ),
        ("a cookie", &[("set-cookie", "a=b")], false, "body 1"),
        ("as old already", &[("age", "10")], false, "body 1"),
        ("Vary: *", &[("vary", "*")], false, "body 1"),
    ] {
        let script = Script::new(&[FRESH, ("etag", "\"v1\"")]);
        let svc = HttpCacheLayer::new().layer(script.origin());
        get(&svc, &[]).await;
        advance(secs(10)).await;
        script.says(304, said);
        let renewed = get(&svc, &[]).await;
        assert_eq!((renewed.status, renewed.body.as_str()), (200, body), "{case}");
        script.says(200, &[FRESH]);
        assert_eq!(get(&svc, &[]).await.field("x-cache") == "hit", hit, "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_expires_of_old_is_not_renewed_by_a_304_without_a_date() {
    let script = Script::new(&[("date", LONG_AGO), ("expires", LATER), ("etag", "\"v1\"")]);
    let layer = HttpCacheLayer::new().revalidate_within(secs(1_000_000));
    let svc = layer.layer(script.origin());
    get(&svc, &[]).await;
    advance(secs(86_400)).await;
    script.says(304, &[]);
    assert_eq!(get(&svc, &[]).await.body, "body 1");
    assert_eq!(get(&svc, &[]).await.field("x-cache"), "miss");
}

#[tokio::test(start_paused = true)]
async fn clients_conditions_are_answered_from_what_is_fresh() {
    let script = Script::new(&[
        ("cache-control", "max-age=60"),
        ("etag", "\"v1\""),
        ("last-modified", LATER),
    ]);
    let svc = HttpCacheLayer::new().layer(script.origin());
    get(&svc, &[]).await;
    for (fields, status) in [
        (&[("if-modified-since", LATER)] as &[_], 304),
        (&[("if-modified-since", LONG_AGO)], 200),
        (&[("if-modified-since", "yesterday")], 200),
        // If-None-Match comes first (RFC 9110, 13.2.2).
        (&[("if-none-match", "\"v0\""), ("if-modified-since", LATER)], 200),
        (
            &[("if-none-match", "\"v1\""), ("if-modified-since", LONG_AGO)],
            304,
        ),
    ] {
        let got = get(&svc, fields).await;
        assert_eq!((got.status, got.field("x-cache")), (status, "hit"), "{fields:?}");
        assert_eq!(got.body.is_empty(), status == 304);
    }
    assert_eq!(script.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_with_a_condition_of_its_own_gets_its_own_answer_when_the_origin_was_asked() {
    let fields = [("cache-control", "max-age=10"), ("etag", "\"v1\"")];
    let script = Script::new(&fields);
    let svc = HttpCacheLayer::new().layer(script.origin());
    get(&svc, &[]).await;
    for (mine, status) in [("\"v1\"", 304), ("\"v0\"", 200)] {
        advance(secs(10)).await;
        script.says(304, &fields);
        let got = get(&svc, &[("if-none-match", mine)]).await;
        assert_eq!((got.status, got.field("x-cache")), (status, "miss"));
        assert_eq!(script.last("if-none-match").as_deref(), Some("\"v1\""));
        assert_eq!(get(&svc, &[]).await.body, "body 1");
    }
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_known_a_clients_condition_is_the_origins_to_judge() {
    let script = Script::new(&[]);
    let svc = HttpCacheLayer::new().layer(script.origin());
    script.says(304, &[("etag", "\"v1\""), ("cache-control", "max-age=60")]);
    for _ in 0..2 {
        let got = get(&svc, &[("if-none-match", "\"v1\"")]).await;
        assert_eq!((got.status, got.field("x-cache")), (304, "miss"));
    }
    assert_eq!(script.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_wants_a_fresh_one_gets_what_the_origin_confirms() {
    let fields = [("cache-control", "max-age=60"), ("etag", "\"v1\"")];
    let script = Script::new(&fields);
    let svc = HttpCacheLayer::new().layer(script.origin());
    get(&svc, &[]).await;
    script.says(304, &fields);
    let got = get(&svc, &[("cache-control", "no-cache")]).await;
    assert_eq!(
        (got.status, got.body.as_str(), script.calls()),
        (200, "body 1", 2)
    );
}

#[tokio::test(start_paused = true)]
async fn each_variant_is_asked_about_by_its_own_tag() {
    let script = Script::new(&[]);
    let svc = HttpCacheLayer::new().layer(script.origin());
    let variants = [("en", "\"en\""), ("de", "\"de\"")];
    for (language, tag) in variants {
        script.says(
            200,
            &[
                ("cache-control", "max-age=10"),
                ("vary", "accept-language"),
                ("etag", tag),
            ],
        );
        get(&svc, &[("accept-language", language)]).await;
    }
    advance(secs(10)).await;
    for (n, (language, tag)) in (1..).zip(variants) {
        script.says(304, &[("etag", tag)]);
        let got = get(&svc, &[("accept-language", language)]).await;
        assert_eq!(got.body, format!("body {n}"));
        assert_eq!(script.last("if-none-match").as_deref(), Some(tag));
    }
    for (language, _) in variants {
        assert_eq!(
            get(&svc, &[("accept-language", language)]).await.field("x-cache"),
            "hit"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_invalidated_is_not_asked_about() {
    let script = Script::new(&[("cache-control", "max-age=10"), ("etag", "\"v1\"")]);
    let layer = HttpCacheLayer::new();
    let svc = layer.layer(script.origin());
    get(&svc, &[]).await;
    layer.handle().invalidate("/a");
    assert_eq!(get(&svc, &[]).await.body, "body 2");
    assert_eq!(script.last("if-none-match"), None);
}

#[tokio::test(start_paused = true)]
async fn after_the_window_and_without_a_validator_the_whole_is_asked_for() {
    for (fields, wait) in [
        (&[("cache-control", "max-age=10"), ("etag", "\"v1\"")] as &[_], 70),
        (&[("cache-control", "max-age=10")], 20),
    ] {
        let script = Script::new(fields);
        let svc = HttpCacheLayer::new()
            .revalidate_within(secs(60))
            .layer(script.origin());
        get(&svc, &[]).await;
        advance(secs(wait)).await;
        assert_eq!(get(&svc, &[]).await.body, "body 2");
        assert_eq!(script.last("if-none-match"), None);
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_no_time_at_all_is_asked_about_each_time() {
    for control in [
        "no-cache",
        "max-age=60, no-cache",
        "max-age=0",
        "max-age=0, must-revalidate",
    ] {
        let fields = [("cache-control", control), ("etag", "\"v1\"")];
        let script = Script::new(&fields);
        let svc = HttpCacheLayer::new().layer(script.origin());
        assert_eq!(get(&svc, &[]).await.body, "body 1");
        script.says(304, &fields);
        for call in 2..5 {
            let got = get(&svc, &[]).await;
            assert_eq!((got.status, got.body.as_str()), (200, "body 1"), "{control}");
            assert_eq!(got.field("x-cache"), "miss");
            assert_eq!(
                (script.calls(), script.last("if-none-match").as_deref()),
                (call, Some("\"v1\""))
            );
        }
        script.says(200, &fields);
        assert_eq!(get(&svc, &[]).await.body, "body 2");
        // Where nothing is kept past its time, nothing is kept.
        let script = Script::new(&fields);
        let svc = HttpCacheLayer::new()
            .revalidate_within(secs(0))
            .layer(script.origin());
        get(&svc, &[]).await;
        get(&svc, &[]).await;
        assert_eq!(script.last("if-none-match"), None, "{control}");
    }
}

/// RFC 9111, 4.2.3: what a cache on the way kept without telling is as old as its date.
#[tokio::test(start_paused = true)]
async fn a_response_is_as_old_as_its_date() {
    let date = std::time::SystemTime::now() - secs(100);
    let date: &'static str = httpdate::fmt_http_date(date).leak();
    let script = Script::new(&[("cache-control", "max-age=160"), ("date", date)]);
    let svc = HttpCacheLayer::new().layer(script.origin());
    get(&svc, &[]).await;
    advance(secs(20)).await;
    let hit = get(&svc, &[]).await;
    let age: u64 = hit.field("age").parse().unwrap();
    assert_eq!(hit.field("x-cache"), "hit");
    assert!((120..150).contains(&age), "{age}");
    advance(secs(40)).await;
    assert_eq!(get(&svc, &[]).await.field("x-cache"), "miss");
}
