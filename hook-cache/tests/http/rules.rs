//! The rules of RFC 9111, one row a case.

use axum::http::StatusCode;
use hook_cache::http::HttpCacheLayer;
use tokio::time::advance;

use crate::support::{Fields, origin, secs};

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
                ("date", "Fri, 01 Jan 2100 00:00:00 GMT"),
                ("expires", "Fri, 01 Jan 2100 00:01:00 GMT"),
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
        (
            "1.2.2: a number too large is as large as can be",
            &[("cache-control", "max-age=99999999999999999999999")],
            &[],
            true,
        ),
        (
            "1.2.2: a number is digits",
            &[("cache-control", "max-age=+60")],
            &[],
            false,
        ),
        (
            "4.2.3: an age too large",
            &[FRESH, ("age", "99999999999999999999999")],
            &[],
            false,
        ),
        (
            "5.2: a quote that is escaped ends nothing",
            &[("cache-control", "max-age=60, x=\"\\\"\", private, y=\"\\\"\"")],
            &[],
            false,
        ),
        (
            "5.2: a quote that never ends may hide anything",
            &[("cache-control", "max-age=60, x=\"a, private")],
            &[],
            false,
        ),
        (
            "safe: a host with a path in it",
            &[FRESH],
            &[("host", "a.example/b")],
            false,
        ),
        (
            "safe: two hosts",
            &[FRESH],
            &[("host", "a.example"), ("host", "b.example")],
            false,
        ),
        ("3.2: a host", &[FRESH], &[("host", "a.example:8080")], true),
        ("5.3: Expires: 0", &[("expires", "0")], &[], false),
        (
            "4.2.3: a date of long ago",
            &[FRESH, ("date", "Mon, 01 Jan 2024 00:00:00 GMT")],
            &[],
            false,
        ),
        (
            "4.2.3: a clock that is fast",
            &[FRESH, ("date", "Fri, 01 Jan 2100 00:00:00 GMT")],
            &[],
            true,
        ),
        (
            "5.2.1.3: the client says min-fresh",
            &[FRESH],
            &[("cache-control", "min-fresh=10")],
            false,
        ),
        (
            "safe: a request for another protocol",
            &[FRESH],
            &[("connection", "upgrade"), ("upgrade", "websocket")],
            false,
        ),
        (
            "5.2.2.4: no-cache, and the origin can be asked",
            &[("cache-control", "max-age=60, no-cache"), ("etag", "\"1\"")],
            &[],
            false,
        ),
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
}

#[tokio::test(start_paused = true)]
async fn only_if_cached_never_asks_the_origin() {
    let origin = origin(HttpCacheLayer::new(), &[("cache-control", "max-age=60")]);
    let only = [("cache-control", "only-if-cached")];
    assert_eq!(origin.get(&only).await.status, 504);
    origin.get(&[]).await;
    assert_eq!(origin.get(&only).await.x_cache, "hit");
    // What cannot be had from the cache is not asked for.
    for more in ["no-cache", "max-age=0", "min-fresh=100"] {
        let both = [("cache-control", "only-if-cached"), ("cache-control", more)];
        assert_eq!(origin.get(&both).await.status, 504, "{more}");
    }
    assert_eq!(origin.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_stale_stands_in_for_an_error_unless_that_is_forbidden() {
    for (fields, stale) in [
        (&[("cache-control", "max-age=10")] as Fields, true),
        (&[("cache-control", "max-age=10, must-revalidate")], false),
        (&[("cache-control", "max-age=10, proxy-revalidate")], false),
        (&[("cache-control", "s-maxage=10")], false),
        (
            &[("cache-control", "max-age=10, no-cache"), ("etag", "\"1\"")],
            false,
        ),
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

/// A request for `victim/x` and one that says `Host: victim/x` must not meet, nor may one host speak for another.
#[tokio::test(start_paused = true)]
async fn nobody_stores_a_response_for_another_host() {
    let origin = origin(HttpCacheLayer::new(), &[("cache-control", "max-age=60")]);
    for (uri, host) in [
        ("/y", "victim.example/x"),
        ("http://victim.example/x/y", "evil.example"),
        ("/x/y", "victim.example, evil.example"),
    ] {
        assert_eq!(
            origin.ask("GET", uri, &[("host", host)]).await.x_cache,
            "bypass",
            "{uri}"
        );
    }
    let victim = origin.ask("GET", "/x/y", &[("host", "victim.example")]).await;
    assert_eq!(
        (victim.x_cache.as_str(), victim.body.as_str()),
        ("miss", "body 4")
    );
    let same = origin
        .ask("GET", "http://VICTIM.example/x/y", &[("host", "victim.example")])
        .await;
    assert_eq!(same.x_cache, "hit");
}

#[tokio::test(start_paused = true)]
async fn thirty_thousand_uris_keep_to_the_capacity() {
    let layer = HttpCacheLayer::new().capacity_bytes(1 << 20);
    let handle = layer.handle();
    let origin = origin(layer, &[("cache-control", "max-age=60")]);
    for n in 0..30_000 {
        origin.ask("GET", &format!("/{n}"), &[]).await;
    }
    let stats = handle.stats();
    assert!(stats.weight <= 1 << 20 && stats.entries < 2_000, "{stats:?}");
}
